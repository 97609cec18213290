//! `firewalld-drop`: drops all packets from an address or a network, by a rich rule of
//! firewalld.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::{Backend, System};

struct FirewalldDrop;

impl Action for FirewalldDrop {
    const NAME: &str = "firewalld-drop";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Firewalld
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
    ar::main(FirewalldDrop)
}
