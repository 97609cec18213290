//! `restart-wazuh`: has the agent restarted that runs this.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, service};
use ripost::model::bundled::Backend;

struct RestartAgent;

impl Action for RestartAgent {
    const NAME: &str = "restart-wazuh";
    type Target = ();

    fn backend(&self) -> Backend {
        Backend::Systemd
    }

    fn add(&mut self, job: &Job<'_, ()>) -> Result<Done, Fail> {
        service::agent::restart(job.alert.as_ref())
    }

    /// Never called, although 4.x restarts a second time here.
    fn delete(&mut self, _: &Job<'_, ()>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(RestartAgent)
}
