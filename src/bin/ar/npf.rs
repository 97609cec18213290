//! `npf`: blocks an address or a network in a table of npf (NetBSD).

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::{Backend, System};

struct Npf;

impl Action for Npf {
    const NAME: &str = "npf";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Npf
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
    ar::main(Npf)
}
