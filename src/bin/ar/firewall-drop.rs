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

    fn add(
        &mut self,
        &Target::Address(address): &Target,
        lasts: Option<Duration>,
    ) -> Result<Done, Fail> {
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        let changes = lists.add(&[Element { address, lasts }])?;
        let was_missing = changes.iter().any(|c| c.before == Found::Missing);
        Ok(if was_missing {
            Done::applied()
        } else {
            Done::in_place()
        })
    }

    fn delete(&mut self, &Target::Address(address): &Target) -> Result<Done, Fail> {
        let lists = self.0.insert(Lists::open(Self::NAME, Kernel::probe())?);
        let changes = lists.delete(&[address])?;
        let was_missing = changes.iter().all(|c| c.before == Found::Missing);
        Ok(if was_missing {
            Done::absent()
        } else {
            Done::reverted()
        })
    }
}

fn main() -> ExitCode {
    ar::main(FirewallDrop(None))
}
