//! `netsh`: blocks an address or a network in the firewall of Windows.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::{Backend, System};

struct Netsh;

impl Action for Netsh {
    const NAME: &str = "netsh";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Netsh
    }

    /// It has no end of its own.
    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        Foreign::new(self.backend(), System::here(), job.target, &job.options)?.add()
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        Foreign::new(self.backend(), System::here(), job.target, &job.options)?.delete()
    }
}

fn main() -> ExitCode {
    ar::main(Netsh)
}
