//! `host-deny`: denies everything to an address, in hosts.deny.

use std::net::IpAddr;
use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, hosts_deny};
use ripost::model::bundled::Backend;

struct HostDeny;

impl Action for HostDeny {
    const NAME: &str = "host-deny";
    type Target = IpAddr;

    fn backend(&self) -> Backend {
        Backend::HostsDeny
    }

    /// The file knows no end of its own.
    fn add(&mut self, job: &Job<'_, IpAddr>) -> Result<Done, Fail> {
        hosts_deny::add(job.target)
    }

    fn delete(&mut self, job: &Job<'_, IpAddr>) -> Result<Done, Fail> {
        hosts_deny::delete(job.target)
    }
}

fn main() -> ExitCode {
    ar::main(HostDeny)
}
