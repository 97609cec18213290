//! `slack`: posts a message about the alert in a Slack channel.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, slack};
use ripost::contract::json::Value;
use ripost::model::bundled::Backend;

struct Slack;

impl Action for Slack {
    const NAME: &str = "slack";
    type Target = ();

    fn backend(&self) -> Backend {
        Backend::Https
    }

    fn add(&mut self, job: &Job<'_, ()>) -> Result<Done, Fail> {
        let alert = job.alert.as_ref().unwrap_or(&Value::Null);
        slack::post(alert, &job.options)
    }

    /// A message stays posted.
    fn delete(&mut self, _: &Job<'_, ()>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(Slack)
}
