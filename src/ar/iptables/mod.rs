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
use std::time::Duration;

use ipnetwork::IpNetwork;

pub use error::IptablesError;

use crate::clock;
use crate::sys::fs;
use crate::sys::xtables::{Family, has_legacy_table, has_nft_chain};
use chain::{Chain, TABLES, Table};
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
    There,
    Missing,
}

impl Before {
    fn of(there: bool) -> Self {
        match there {
            true => Self::There,
            false => Self::Missing,
        }
    }
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

    /// Drops the packets of a network, and looks whether they are dropped.
    pub fn add(&mut self, network: IpNetwork) -> Result<Before, IptablesError> {
        let _lock = fs::lock(&self.lock, WAIT)?;
        self.bare.clear();
        let mut gap: Option<IptablesError> = None;
        for variant in VARIANTS {
            match self.add_by(variant, network) {
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

    fn add_by(&self, variant: Variant, network: IpNetwork) -> Result<Before, IptablesError> {
        let program = Program::find(Family::of(network), variant)?;
        let mut done = Ok(Before::Missing);
        for table in TABLES {
            done = self.chain(&program, table).add(network);
            if !matches!(done, Err(IptablesError::NoTable { .. })) {
                break;
            }
        }
        done
    }

    /// Lets the packets of a network pass again, whatever kind of iptables
    /// dropped them and in whichever table, and looks whether nothing of ours
    /// drops them.
    pub fn delete(&mut self, network: IpNetwork) -> Result<Before, IptablesError> {
        let family = Family::of(network);
        let recent = clock::boot_nanos().saturating_sub(SETTLED.as_nanos() as u64);
        self.bare.retain(|(_, seen)| *seen > recent);
        if self.bare.iter().any(|(bare, _)| *bare == family) {
            return Ok(Before::Missing);
        }
        let (mut before, mut chains) = (Before::Missing, 0);
        for (variant, table) in self.places(family)? {
            let program = match Program::find(family, variant) {
                // With what is not there we have never written anything.
                Err(error) if error.is_missing() => continue,
                found => found?,
            };
            let _lock = fs::lock(&self.lock, WAIT)?;
            if program.has_chain(table.name, &self.chain)? {
                chains += 1;
                if self.chain(&program, table).delete(network)? == Before::There {
                    before = Before::There;
                }
            }
        }
        if chains == 0 {
            self.bare.push((family, clock::boot_nanos()));
        }
        Ok(before)
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
