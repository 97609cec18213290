//! `end-sessions`: logs a person out, everywhere on this host.

use std::process::ExitCode;

use ripost::ar::accounts::{Person, Who};
use ripost::ar::{self, Action, Done, Fail, Job, sessions};
use ripost::model::bundled::Backend;
use ripost::model::target::UserName;

struct EndSessions;

impl Action for EndSessions {
    const NAME: &str = "end-sessions";
    type Target = UserName;

    fn backend(&self) -> Backend {
        sessions::backend()
    }

    fn add(&mut self, job: &Job<'_, UserName>) -> Result<Done, Fail> {
        match Person::find(&job.target, &job.options)? {
            Who::Person(person) => Ok(Done::applied().saying(sessions::end(&person)?.to_string())),
            Who::Other(spared) => Ok(Done::refused(spared.to_string())),
        }
    }

    /// Never called: what was ended is not taken back.
    fn delete(&mut self, _: &Job<'_, UserName>) -> Result<Done, Fail> {
        Ok(Done::absent())
    }
}

fn main() -> ExitCode {
    ar::main(EndSessions)
}
