//! `quarantine-file`: moves a file to where only root can get at it.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, quarantine};
use ripost::model::bundled::Backend;
use ripost::model::target::FilePath;

struct QuarantineFile;

impl Action for QuarantineFile {
    const NAME: &str = "quarantine-file";
    type Target = FilePath;

    fn backend(&self) -> Backend {
        Backend::Quarantine
    }

    /// A file in the store stays there until it is given back.
    fn add(&mut self, job: &Job<'_, FilePath>) -> Result<Done, Fail> {
        quarantine::add(job)
    }

    fn delete(&mut self, job: &Job<'_, FilePath>) -> Result<Done, Fail> {
        quarantine::delete(job)
    }
}

fn main() -> ExitCode {
    ar::main(QuarantineFile)
}
