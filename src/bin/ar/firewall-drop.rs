//! `firewall-drop`: drops all packets from an address, through nf_tables.

use std::process::ExitCode;
use std::time::Duration;

use ripost::ar::{self, Action, Done, Fail};
use ripost::model::Target;
use ripost::sys::nft::{Element, Found, Kernel, Lists};

/// Holds its lists to the end, because closing them may take a while.
struct FirewallDrop(Option<Lists>);

impl Action for FirewallDrop {
    const NAME: &str = "firewall-drop";
    const BACKEND: &str = "nf_tables";

    fn add(&mut self, target: &Target, lasts: Option<Duration>) -> Result<Done, Fail> {
        let Target::Address(address) = *target;
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        match lists.add(&[Element { address, lasts }])?[0].before {
            Found::Missing => Ok(Done::applied()),
            Found::Until(_) | Found::Endless => Ok(Done::in_place()),
        }
    }

    fn delete(&mut self, target: &Target) -> Result<Done, Fail> {
        let Target::Address(address) = *target;
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        match lists.delete(&[address])?[0].before {
            Found::Missing => Ok(Done::absent()),
            Found::Until(_) | Found::Endless => Ok(Done::reverted()),
        }
    }
}

fn main() -> ExitCode {
    ar::main(FirewallDrop(None))
}
