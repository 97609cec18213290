//! `ripostctl run`: a command that a person starts.

use std::path::Path;
use std::time::Duration;

use crate::ctl::connection::Connection;
use crate::ctl::error::Error;
use crate::ctl::options::Output;
use crate::ctl::{json, print, say, show};
use crate::daemon::exit;
use crate::model::{ActionState, Record};
use crate::wire::control::{Answer, Request, Run};

/// The manager answers when every host has an outcome or its own patience is
/// over, which is shorter than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts `run` and shows what became of it on each host.
pub(super) fn run(home: &Path, output: Output, run: &Run) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?.patient(PATIENCE);
    let Answer::Records { records } = connection.ask(&Request::Run(run.clone()))? else {
        return Err(connection.wrong_answer());
    };
    match output {
        Output::Json => print(&json(&records))?,
        Output::Table => print(&show::outcomes_of_run(&records))?,
    };
    Ok(judge(&records))
}

/// What a state means to somebody who waits for the command to be carried out.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Outcome {
    Good,
    Open,
    Bad,
}

fn outcome(state: ActionState) -> Outcome {
    match state {
        ActionState::Applied | ActionState::Already | ActionState::Done => Outcome::Good,
        ActionState::Queued | ActionState::Sent | ActionState::Running => Outcome::Open,
        // Taken back already: it is not as it was asked for.
        ActionState::Reverting
        | ActionState::Reverted
        | ActionState::Failed
        | ActionState::Refused
        | ActionState::Expired
        | ActionState::Suppressed => Outcome::Bad,
    }
}

fn judge(records: &[Record]) -> u8 {
    let total = records.len();
    if total == 0 {
        say("no host was selected, nothing was started");
        return exit::FAILED;
    }
    let count = |wanted| {
        let outcomes = records.iter().map(|record| outcome(record.state));
        outcomes.filter(|outcome| *outcome == wanted).count()
    };
    let (open, bad) = (count(Outcome::Open), count(Outcome::Bad));
    if open > 0 {
        say(&format!(
            "{open} of {total} still open: queued (the host is offline), sent or running\n(`ripostctl history` shows what becomes of them)"
        ));
    }
    if bad > 0 {
        say(&format!("{bad} of {total} did not happen"));
        return exit::FAILED;
    }
    match open {
        0 => exit::DONE,
        _ => exit::TRY_AGAIN,
    }
}
