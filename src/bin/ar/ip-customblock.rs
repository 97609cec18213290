//! `ip-customblock`: leaves a file named after an address or a network, for
//! other programs to see. It blocks nothing itself.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::{self, Action, Done, Fail, Job, customblock};
use ripost::model::bundled::Backend;

struct IpCustomblock;

impl Action for IpCustomblock {
    const NAME: &str = "ip-customblock";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Markers
    }

    /// A file has no end of its own.
    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        customblock::add(job)
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        customblock::delete(job)
    }
}

fn main() -> ExitCode {
    ar::main(IpCustomblock)
}
