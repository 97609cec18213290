//! `firewall-drop`: drops all packets from an address or a network, through
//! nf_tables.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::Backend;
use ripost::sys::nft::{Element, Found, Kernel, Lists};

/// Holds its lists to the end, because closing them may take a while.
struct FirewallDrop(Option<Lists>);

impl Action for FirewallDrop {
    const NAME: &str = "firewall-drop";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::NfTables
    }

    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        let element = Element {
            network: job.target,
            lasts: job.lasts,
        };
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        match lists.add(&[element])?.swap_remove(0)?.before {
            Found::Missing => Ok(Done::applied()),
            Found::There(_) => Ok(Done::in_place()),
        }
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        match lists.delete(&[job.target])?.swap_remove(0)?.before {
            Found::Missing => Ok(Done::absent()),
            Found::There(_) => Ok(Done::reverted()),
        }
    }
}

fn main() -> ExitCode {
    ar::main(FirewallDrop(None))
}
