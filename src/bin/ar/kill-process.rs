//! `kill-process`: ends processes, with all that descend from them. By number
//! only if the process is the one that the alert speaks of.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, kill};
use ripost::model::bundled::Backend;
use ripost::model::target::Process;

struct KillProcess;

impl Action for KillProcess {
    const NAME: &str = "kill-process";
    type Target = Process;

    fn backend(&self) -> Backend {
        Backend::Signals
    }

    fn add(&mut self, job: &Job<'_, Process>) -> Result<Done, Fail> {
        kill::end(job)
    }

    /// Nobody brings a process back.
    fn delete(&mut self, _: &Job<'_, Process>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(KillProcess)
}
