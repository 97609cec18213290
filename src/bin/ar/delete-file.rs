//! `delete-file`: deletes a file for good.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, quarantine};
use ripost::model::bundled::Backend;
use ripost::model::target::FilePath;

struct DeleteFile;

impl Action for DeleteFile {
    const NAME: &str = "delete-file";
    type Target = FilePath;

    fn backend(&self) -> Backend {
        Backend::Unlink
    }

    fn add(&mut self, job: &Job<'_, FilePath>) -> Result<Done, Fail> {
        quarantine::destroy(job)
    }

    /// What is deleted does not come back; see its row.
    fn delete(&mut self, _: &Job<'_, FilePath>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(DeleteFile)
}
