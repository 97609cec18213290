//! Networks whose packets are dropped by rules of iptables, where there is
//! nothing better: each rule costs every packet a little, and each change some
//! milliseconds. Each executable has a chain of its own, called `RIPOST-` and
//! its name, in the table raw, or in filter where raw is not there. Rules have
//! no end of their own.
//!
//! Called by `ar::block`. Changes are made by iptables-restore(8), whole or not
//! at all, under a lock that ends with its holder.

mod chain;
mod error;
mod program;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;

pub use error::IptablesError;

use crate::clock;
use crate::sys::fs;
use crate::sys::xtables::{Family, has_legacy_table, has_nft_chain};
use chain::{Answers, Chain, TABLES, Table};
use program::{Program, Variant};

/// Longer than many runs of iptables, shorter than the daemon's deadline.
const WAIT: Duration = Duration::from_secs(15);

/// How long nothing is looked for again where no chain of ours was: whoever
/// takes back thousands at once does not look each time.
const SETTLED: Duration = Duration::from_secs(1);

/// In this order. Whoever gets here has a kernel without nf_tables, or without
/// the parts of it that we need; iptables-nft may do with less.
const VARIANTS: [Variant; 2] = [Variant::Legacy, Variant::Nft];

/// Whether a block of ours was there before a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Before {
    There {
        /// How many packets it had dropped.
        hits: u64,
    },
    Missing,
}

/// The rules of one executable.
#[derive(Debug)]
pub struct Iptables {
    chain: String,
    lock: PathBuf,
    /// Families without any chain of ours, and when that was seen: in
    /// nanoseconds of boot time.
    bare: Vec<(Family, u64)>,
}

impl Iptables {
    /// Those of the executable `name`. Nothing is made before something is
    /// added. Its home is the working directory.
    pub fn of(name: &str) -> Self {
        Self {
            chain: chain::name(name),
            lock: PathBuf::from(format!("queue/{name}.iptables.lock")),
            bare: Vec::new(),
        }
    }

    /// Drops the packets of networks, and looks whether they are dropped. The
    /// answers are in the order of `networks`; what is wrong with all of a
    /// family is wrong with each.
    pub fn add(&mut self, networks: &[IpNetwork]) -> Vec<Result<Before, Arc<IptablesError>>> {
        by_family(networks, |family, networks| self.add_of(family, networks))
    }

    /// Lets the packets of networks pass again, whatever kind of iptables
    /// dropped them and in whichever table, and looks whether nothing of ours
    /// drops them. The answers are as those of [`Iptables::add`].
    pub fn delete(&mut self, networks: &[IpNetwork]) -> Vec<Result<Before, Arc<IptablesError>>> {
        by_family(networks, |family, networks| {
            self.delete_of(family, networks)
        })
    }

    fn add_of(&mut self, family: Family, networks: &[IpNetwork]) -> Result<Answers, IptablesError> {
        let _lock = fs::lock(&self.lock, WAIT)?;
        self.bare.clear();
        let mut gap: Option<IptablesError> = None;
        for variant in VARIANTS {
            match self.add_by(variant, family, networks) {
                // One that is there and cannot work tells more than one that
                // is not there.
                Err(error) if error.is_gap() => {
                    if gap.as_ref().is_none_or(IptablesError::is_missing) {
                        gap = Some(error);
                    }
                }
                done => return done,
            }
        }
        Err(gap.expect("each variant was tried"))
    }

    fn add_by(
        &self,
        variant: Variant,
        family: Family,
        networks: &[IpNetwork],
    ) -> Result<Answers, IptablesError> {
        let program = Program::find(family, variant)?;
        let mut done = Ok(Vec::new());
        for table in TABLES {
            done = self.chain(&program, table).add(networks);
            if !matches!(done, Err(IptablesError::NoTable { .. })) {
                break;
            }
        }
        done
    }

    fn delete_of(
        &mut self,
        family: Family,
        networks: &[IpNetwork],
    ) -> Result<Answers, IptablesError> {
        let mut answers: Answers = networks.iter().map(|_| Ok(Before::Missing)).collect();
        let recent = clock::boot_nanos().saturating_sub(SETTLED.as_nanos() as u64);
        self.bare.retain(|(_, seen)| *seen > recent);
        if self.bare.iter().any(|(bare, _)| *bare == family) {
            return Ok(answers);
        }
        let mut chains = 0;
        for (variant, table) in self.places(family)? {
            let program = match Program::find(family, variant) {
                // With what is not there we have never written anything.
                Err(error) if error.is_missing() => continue,
                found => found?,
            };
            let _lock = fs::lock(&self.lock, WAIT)?;
            if let Some(deleted) = self.chain(&program, table).delete(networks)? {
                chains += 1;
                answers
                    .iter_mut()
                    .zip(deleted)
                    .for_each(|(answer, deleted)| join(answer, deleted));
            }
        }
        if chains == 0 {
            self.bare.push((family, clock::boot_nanos()));
        }
        Ok(answers)
    }

    /// Where rules of ours may be. No program is started for it: on most hosts
    /// there are none, and a revert costs nothing more.
    fn places(&self, family: Family) -> Result<Vec<(Variant, &'static Table)>, IptablesError> {
        let mut places = Vec::new();
        for table in TABLES {
            if has_legacy_table(family, table.name)? {
                places.push((Variant::Legacy, table));
            }
            if has_nft_chain(family, table.name, &self.chain)? {
                places.push((Variant::Nft, table));
            }
        }
        Ok(places)
    }

    fn chain<'a>(&'a self, program: &'a Program, table: &'a Table) -> Chain<'a> {
        Chain {
            program,
            table,
            name: &self.chain,
        }
    }
}

/// Adds to what became of a network what became of it in another table.
fn join(answer: &mut Result<Before, IptablesError>, other: Result<Before, IptablesError>) {
    match (&mut *answer, other) {
        (Err(_), _) | (_, Ok(Before::Missing)) => {}
        (Ok(Before::There { hits }), Ok(Before::There { hits: more })) => *hits += more,
        (Ok(_), other) => *answer = other,
    }
}

/// Carries something out family by family, and puts the answers into the order
/// of `networks`.
fn by_family<F>(networks: &[IpNetwork], mut act: F) -> Vec<Result<Before, Arc<IptablesError>>>
where
    F: FnMut(Family, &[IpNetwork]) -> Result<Answers, IptablesError>,
{
    let mut answers = vec![None; networks.len()];
    for family in [Family::Ipv4, Family::Ipv6] {
        let is_of = |at: &usize| Family::of(networks[*at]) == family;
        let places: Vec<usize> = (0..networks.len()).filter(is_of).collect();
        if places.is_empty() {
            continue;
        }
        let some: Vec<IpNetwork> = places.iter().map(|&at| networks[at]).collect();
        match act(family, &some) {
            Ok(done) => {
                for (at, done) in places.into_iter().zip(done) {
                    answers[at] = Some(done.map_err(Arc::new));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for at in places {
                    answers[at] = Some(Err(Arc::clone(&error)));
                }
            }
        }
    }
    answers.into_iter().flatten().collect()
}
