//! `ipfw`: denies all packets from and to an address or a network, in a table of
//! ipfw (FreeBSD).

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::{Backend, System};

struct Ipfw;

impl Action for Ipfw {
    const NAME: &str = "ipfw";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Ipfw
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
    ar::main(Ipfw)
}
