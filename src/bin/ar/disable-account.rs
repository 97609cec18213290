//! `disable-account`: keeps a person out of their account until it is taken
//! back.

use std::process::ExitCode;

use ripost::ar::accounts::{self, Person, Who};
use ripost::ar::{self, Action, Done, Fail, Job, sessions};
use ripost::model::bundled::Backend;
use ripost::model::target::UserName;

struct DisableAccount;

impl Action for DisableAccount {
    const NAME: &str = "disable-account";
    type Target = UserName;

    fn backend(&self) -> Backend {
        Backend::Shadow
    }

    /// The file knows no end of its own.
    fn add(&mut self, job: &Job<'_, UserName>) -> Result<Done, Fail> {
        let person = match Person::find(&job.target, &job.options)? {
            Who::Person(person) => person,
            Who::Other(spared) => return Ok(Done::refused(spared.to_string())),
        };
        let done = accounts::disable(&person, &job.options)?;
        if job.options.get("--end-sessions").is_none() {
            return Ok(done);
        }
        // The account is disabled and stays so whatever becomes of these: what
        // failed would not be taken back.
        Ok(match sessions::end(&person) {
            // As at every start of an agent.
            Ok(ended) if ended.is_nothing() => done,
            Ok(ended) => done.adding(&ended.to_string()),
            Err(why) => done.adding(&format!("its sessions go on: {}", Fail::from(why))),
        })
    }

    fn delete(&mut self, job: &Job<'_, UserName>) -> Result<Done, Fail> {
        accounts::enable(&job.target)
    }
}

fn main() -> ExitCode {
    ar::main(DisableAccount)
}
