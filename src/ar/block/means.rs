//! The means of blocking, as far as they are ours, each for many networks at
//! once.

use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::error::BlockError;
use crate::ar::iptables::{self, Iptables};
use crate::model::bundled::Backend;
use crate::sys::nft::{Change, Element, Found, Kernel, Lists, NftError};
use crate::sys::null_routes::{self, NullRoutes, Owner, RouteError};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Means {
    NfTables,
    Iptables,
    Routes,
}

/// The best first: rules of iptables cost every packet a little, and a route
/// stops answers only.
pub(super) const MEANS: [Means; 3] = [Means::NfTables, Means::Iptables, Means::Routes];

impl Means {
    pub(super) fn backend(self) -> Backend {
        match self {
            Self::NfTables => Backend::NfTables,
            Self::Iptables => Backend::Iptables,
            Self::Routes => Backend::Routes,
        }
    }
}

/// Whether a block was there before a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Before {
    There {
        /// How many packets it had dropped, where they are counted.
        hits: Option<u64>,
    },
    Missing,
}

/// What became of each network, in their order.
type Answers = Vec<Result<Before, BlockError>>;

/// What one executable blocks with. What it has opened it holds to the end,
/// because closing may take a while, or until it fails.
#[derive(Debug)]
pub(super) struct Tools {
    name: &'static str,
    lists: Option<Lists>,
    iptables: Iptables,
    routes: Option<NullRoutes>,
}

impl Tools {
    pub(super) fn of(name: &'static str) -> Self {
        Self {
            name,
            lists: None,
            iptables: Iptables::of(name),
            routes: None,
        }
    }

    pub(super) fn add(&mut self, means: Means, elements: &[Element]) -> Answers {
        let count = elements.len();
        let networks = || -> Vec<_> { elements.iter().map(|element| element.network).collect() };
        match means {
            Means::NfTables => self.listed(count, |lists| lists.add(elements)),
            Means::Iptables => each_shared(self.iptables.add(&networks())),
            Means::Routes => self.routed(count, |routes| routes.add(&networks())),
        }
    }

    pub(super) fn delete(&mut self, means: Means, networks: &[IpNetwork]) -> Answers {
        let count = networks.len();
        match means {
            Means::NfTables => self.listed(count, |lists| lists.delete(networks)),
            Means::Iptables => each_shared(self.iptables.delete(networks)),
            Means::Routes => self.routed(count, |routes| routes.delete(networks)),
        }
    }

    /// Changes the lists, of `count` networks.
    fn listed<F>(&mut self, count: usize, change: F) -> Answers
    where
        F: FnOnce(&mut Lists) -> Result<Vec<Result<Change, NftError>>, NftError>,
    {
        let lists = match self.lists.take() {
            Some(lists) => Ok(lists),
            None => Lists::open(self.name, Kernel::probe()),
        };
        // After a failure it stays closed, to be opened anew for what comes next.
        let answers = lists.and_then(|mut lists| {
            let changes = change(&mut lists)?;
            self.lists = Some(lists);
            Ok(changes)
        });
        each(count, answers)
    }

    /// Changes the routes, to `count` networks.
    fn routed<F>(&mut self, count: usize, change: F) -> Answers
    where
        F: FnOnce(
            &mut NullRoutes,
        ) -> Result<Vec<Result<null_routes::Before, RouteError>>, RouteError>,
    {
        let routes = match self.routes.take() {
            Some(routes) => Ok(routes),
            None => NullRoutes::open(Owner::BlockIp),
        };
        // As above.
        let answers = routes.and_then(|mut routes| {
            let changes = change(&mut routes)?;
            self.routes = Some(routes);
            Ok(changes)
        });
        each(count, answers)
    }
}

/// An answer for each of `count` networks.
fn each<T, E>(count: usize, answers: Result<Vec<Result<T, E>>, E>) -> Answers
where
    Before: From<T>,
    BlockError: From<Arc<E>>,
{
    match answers {
        Ok(answers) => each_shared(
            answers
                .into_iter()
                .map(|answer| answer.map_err(Arc::new))
                .collect(),
        ),
        Err(error) => {
            let all = std::iter::repeat_n(Arc::new(error), count);
            all.map(|error| Err(error.into())).collect()
        }
    }
}

fn each_shared<T, E>(answers: Vec<Result<T, Arc<E>>>) -> Answers
where
    Before: From<T>,
    BlockError: From<Arc<E>>,
{
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        all.push(match answer {
            Ok(before) => Ok(before.into()),
            Err(error) => Err(error.into()),
        });
    }
    all
}

impl From<Change> for Before {
    fn from(change: Change) -> Self {
        match change.before {
            Found::Missing => Self::Missing,
            Found::There(held) => Self::There { hits: held.hits },
        }
    }
}

impl From<iptables::Before> for Before {
    fn from(before: iptables::Before) -> Self {
        match before {
            iptables::Before::Missing => Self::Missing,
            iptables::Before::There { hits } => Self::There { hits: Some(hits) },
        }
    }
}

impl From<null_routes::Before> for Before {
    fn from(before: null_routes::Before) -> Self {
        match before {
            null_routes::Before::Missing => Self::Missing,
            null_routes::Before::There => Self::There { hits: None },
        }
    }
}
