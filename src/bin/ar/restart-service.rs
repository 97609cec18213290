//! `restart-service`: restarts the service that `--service` names.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, service};
use ripost::model::Target;
use ripost::model::bundled::Backend;

struct RestartService;

impl Action for RestartService {
    const NAME: &str = "restart-service";
    type Target = Target;

    fn backend(&self) -> Backend {
        service::backend()
    }

    fn add(&mut self, job: &Job<'_, Target>) -> Result<Done, Fail> {
        service::restart(&job.target.to_string())
    }

    /// Never called: a restart is not taken back.
    fn delete(&mut self, _: &Job<'_, Target>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(RestartService)
}
