//! Blocks of networks with the best that works on this host.
//!
//! The row of an executable names its back ends. To add, the best one that this
//! host has is used; one that is there and fails is no reason to use the next.
//! To delete, all are looked through: what was used may have been another then,
//! before a module of the kernel was loaded or a tool removed. So nothing has
//! to be remembered anywhere.

use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::ar::iptables::{self, Iptables, IptablesError};
use crate::ar::{Cause, Done, Fail};
use crate::model::bundled::{self, Backend};
use crate::sys::nft::{Change, Element, Found, Kernel, Lists, NftError};
use crate::sys::null_routes::{self, NullRoutes, Owner, RouteError};

/// Why a network is not blocked, or still is.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    /// What is wrong with a whole batch is wrong with each of it.
    #[error(transparent)]
    NfTables(#[from] Arc<NftError>),
    #[error(transparent)]
    Iptables(#[from] IptablesError),
    #[error(transparent)]
    Routes(#[from] RouteError),
    #[error("block by any means of this host: {tried}\n({hint})")]
    Nothing {
        tried: String,
        hint: String,
        /// What the last of them is missing.
        lacks: Cause,
    },
}

impl BlockError {
    /// Whether it says that this host does not have the back end at all.
    fn is_gap(&self) -> bool {
        match self {
            Self::NfTables(error) => matches!(**error, NftError::NotInKernel),
            Self::Iptables(error) => error.is_gap(),
            Self::Routes(error) => matches!(error, RouteError::NoFamily(_)),
            Self::Nothing { .. } => true,
        }
    }
}

/// The means of blocking, as far as they are ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Means {
    NfTables,
    Iptables,
    Routes,
}

/// The best first: rules of iptables cost every packet a little, and a route
/// stops answers only.
const MEANS: [Means; 3] = [Means::NfTables, Means::Iptables, Means::Routes];

impl Means {
    fn backend(self) -> Backend {
        match self {
            Self::NfTables => Backend::NfTables,
            Self::Iptables => Backend::Iptables,
            Self::Routes => Backend::Routes,
        }
    }
}

/// Whether a block was there before a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    There,
    Missing,
}

/// The blocks of one executable. What two executables block is kept apart.
#[derive(Debug)]
pub struct Block {
    name: &'static str,
    means: Vec<Means>,
    /// Held to the end, because closing them may take a while.
    lists: Option<Lists>,
    iptables: Iptables,
    used: Means,
}

impl Block {
    /// Those of the executable `name`, which has a row.
    pub fn of(name: &'static str) -> Self {
        let row = bundled::find(name).expect("every executable has a row");
        let named = |means: &Means| row.backends.contains(&means.backend());
        let means: Vec<_> = MEANS.into_iter().filter(named).collect();
        Self {
            name,
            used: *means.first().expect("whoever blocks has means to"),
            means,
            lists: None,
            iptables: Iptables::of(name),
        }
    }

    /// What did the work last; before that, what is tried first.
    pub fn backend(&self) -> Backend {
        self.used.backend()
    }

    /// As [`Block::add_all`], of one.
    pub fn add(&mut self, element: Element) -> Result<Done, Fail> {
        let done = self.add_all(&[element]).pop();
        done.expect("one answer for one network")
    }

    /// As [`Block::delete_all`], of one.
    pub fn delete(&mut self, network: IpNetwork) -> Result<Done, Fail> {
        let done = self.delete_all(&[network]).pop();
        done.expect("one answer for one network")
    }

    /// Blocks networks, and looks whether they are blocked. Each ends by itself
    /// after its time where the means can do that; nf_tables alone can. The
    /// answers are in the order of `elements`.
    pub fn add_all(&mut self, elements: &[Element]) -> Vec<Result<Done, Fail>> {
        let mut open: Vec<Open> = elements.iter().copied().map(Open::new).collect();
        for means in self.means.clone() {
            let mut left: Vec<_> = open.iter_mut().filter(|one| one.done.is_none()).collect();
            if left.is_empty() {
                break;
            }
            self.used = means;
            let wanted: Vec<Element> = left.iter().map(|one| one.element).collect();
            let answers = self.add_by(means, &wanted);
            left.iter_mut()
                .zip(answers)
                .for_each(|(one, answer)| one.take(answer));
        }
        open.into_iter().map(Open::end).collect()
    }

    /// Takes back what blocks networks, by whichever means, and looks whether
    /// it is gone. The answers are in the order of `networks`.
    pub fn delete_all(&mut self, networks: &[IpNetwork]) -> Vec<Result<Done, Fail>> {
        let mut done = vec![Ok(Done::absent()); networks.len()];
        for means in self.means.clone() {
            let answers = self.delete_by(means, networks);
            for (done, answer) in done.iter_mut().zip(answers) {
                match answer {
                    Ok(Before::Missing) => {}
                    // What a host does not have holds nothing.
                    Err(error) if error.is_gap() => {}
                    Ok(Before::There) => {
                        self.used = means;
                        if done.is_ok() {
                            *done = Ok(Done::reverted());
                        }
                    }
                    // The others are looked through all the same.
                    Err(error) => {
                        self.used = means;
                        *done = Err(error.into());
                    }
                }
            }
        }
        done
    }

    fn add_by(&mut self, means: Means, elements: &[Element]) -> Vec<Result<Before, BlockError>> {
        let networks = elements.iter().map(|element| element.network);
        match means {
            Means::NfTables => self.listed(elements.len(), |lists| lists.add(elements)),
            Means::Iptables => networks
                .map(|network| Ok(self.iptables.add(network)?.into()))
                .collect(),
            Means::Routes => networks
                .map(|network| Ok(NullRoutes::open(Owner::BlockIp)?.add(network)?.into()))
                .collect(),
        }
    }

    fn delete_by(
        &mut self,
        means: Means,
        networks: &[IpNetwork],
    ) -> Vec<Result<Before, BlockError>> {
        let each = networks.iter().copied();
        match means {
            Means::NfTables => self.listed(networks.len(), |lists| lists.delete(networks)),
            Means::Iptables => each
                .map(|network| Ok(self.iptables.delete(network)?.into()))
                .collect(),
            Means::Routes => each
                .map(|network| Ok(NullRoutes::open(Owner::BlockIp)?.delete(network)?.into()))
                .collect(),
        }
    }

    /// Changes the lists, of `count` networks.
    fn listed<F>(&mut self, count: usize, change: F) -> Vec<Result<Before, BlockError>>
    where
        F: FnOnce(&mut Lists) -> Result<Vec<Result<Change, NftError>>, NftError>,
    {
        match self.lists().and_then(change) {
            Ok(changes) => changes
                .into_iter()
                .map(|change| Ok(change.map_err(Arc::new)?.before.into()))
                .collect(),
            Err(error) => {
                // Opened anew for what comes next.
                self.lists = None;
                let error = Arc::new(error);
                let all = std::iter::repeat_n(error, count);
                all.map(|error| Err(error.into())).collect()
            }
        }
    }

    fn lists(&mut self) -> Result<&mut Lists, NftError> {
        let lists = match self.lists.take() {
            Some(lists) => lists,
            None => Lists::open(self.name, Kernel::probe())?,
        };
        Ok(self.lists.insert(lists))
    }
}

/// A network that is to be blocked, and how far that has got.
struct Open {
    element: Element,
    /// Why the means that were tried are none.
    gaps: Vec<BlockError>,
    done: Option<Result<Done, Fail>>,
}

impl Open {
    fn new(element: Element) -> Self {
        Self {
            element,
            gaps: Vec::new(),
            done: None,
        }
    }

    fn take(&mut self, answer: Result<Before, BlockError>) {
        match answer {
            Ok(Before::Missing) => self.done = Some(Ok(Done::applied())),
            Ok(Before::There) => self.done = Some(Ok(Done::in_place())),
            Err(error) if error.is_gap() => self.gaps.push(error),
            Err(error) => self.done = Some(Err(error.into())),
        }
    }

    fn end(self) -> Result<Done, Fail> {
        self.done.unwrap_or_else(|| Err(nothing(&self.gaps).into()))
    }
}

/// All that was tried, and what would help each.
fn nothing(gaps: &[BlockError]) -> BlockError {
    let whole: Vec<String> = gaps.iter().map(|gap| gap.to_string()).collect();
    let parts = whole
        .iter()
        .map(|text| text.split_once('\n').unwrap_or((text, "")));
    let (tried, hints): (Vec<_>, Vec<_>) = parts.unzip();
    let bare = |hint: &str| {
        let inner = hint
            .strip_prefix('(')
            .and_then(|hint| hint.strip_suffix(')'));
        inner.unwrap_or(hint).to_owned()
    };
    let hints: Vec<_> = hints.into_iter().map(bare).collect();
    BlockError::Nothing {
        tried: tried.join("; "),
        hint: hints.join("; or: "),
        lacks: gaps.last().map_or(Cause::NotInKernel, |gap| Cause::of(gap)),
    }
}

impl From<Found> for Before {
    fn from(found: Found) -> Self {
        match found {
            Found::Missing => Self::Missing,
            Found::There(_) => Self::There,
        }
    }
}

impl From<iptables::Before> for Before {
    fn from(before: iptables::Before) -> Self {
        match before {
            iptables::Before::Missing => Self::Missing,
            iptables::Before::There => Self::There,
        }
    }
}

impl From<null_routes::Before> for Before {
    fn from(before: null_routes::Before) -> Self {
        match before {
            null_routes::Before::Missing => Self::Missing,
            null_routes::Before::There => Self::There,
        }
    }
}
