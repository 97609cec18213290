//! `host-deny`: denies everything to an address, in hosts.deny.

use std::process::ExitCode;
use std::time::Duration;

use ripost::ar::{self, Action, Done, Fail, hosts_deny};
use ripost::model::Target;

struct HostDeny;

impl Action for HostDeny {
    const NAME: &str = "host-deny";
    const BACKEND: &str = "hosts.deny";

    /// The file knows no end of its own.
    fn add(&mut self, target: &Target, _: Option<Duration>) -> Result<Done, Fail> {
        let Target::Address(address) = *target;
        hosts_deny::add(address)
    }

    fn delete(&mut self, target: &Target) -> Result<Done, Fail> {
        let Target::Address(address) = *target;
        hosts_deny::delete(address)
    }
}

fn main() -> ExitCode {
    ar::main(HostDeny)
}
