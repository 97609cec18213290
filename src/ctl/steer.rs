//! The verbs that change what a daemon does.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::ctl::connection::Connection;
use crate::ctl::error::Error;
use crate::ctl::options::Output;
use crate::ctl::{json, print, say, show};
use crate::daemon::exit;
use crate::daemon::options::Stop;
use crate::model::ActionState;
use crate::wire::control::{Answer, ErrorKind, Request, RevertOutcome, Which};

/// How long a daemon may take to take everything back: a hundred thousand blocks
/// are confirmed or given up within 40 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes back `which`. Done when none of them stands or is still to come; failed
/// when one is not confirmed (yet), or when none was found.
pub(super) fn revert(home: &Path, output: Output, which: &Which, yes: bool) -> Result<u8, Error> {
    if *which == Which::All && !yes && !confirmed()? {
        say("nothing was changed");
        return Ok(exit::FAILED);
    }
    let mut connection = Connection::to_any(home)?.patient(PATIENCE);
    let request = Request::Revert {
        which: which.clone(),
    };
    let outcomes = match connection.ask(&request) {
        Ok(Answer::Reverted { outcomes }) => outcomes,
        // The same as no rows; what it was that is not there is said below.
        Err(Error::Refused {
            kind: ErrorKind::NotFound,
            ..
        }) => Vec::new(),
        Ok(_) => return Err(connection.wrong_answer()),
        Err(error) => return Err(error),
    };
    match output {
        Output::Json => print(&json(&outcomes))?,
        Output::Table => print(&show::outcomes(&outcomes))?,
    };
    Ok(judge(which, &outcomes))
}

fn judge(which: &Which, outcomes: &[RevertOutcome]) -> u8 {
    if outcomes.is_empty() {
        return match which {
            Which::All => {
                say("no responses in force");
                exit::DONE
            }
            Which::Id(id) => {
                say(&format!("no response {id} is in force"));
                exit::FAILED
            }
            Which::Target(target) => {
                say(&format!("no response against {target} is in force"));
                exit::FAILED
            }
        };
    }
    let open = outcomes
        .iter()
        .filter(|outcome| !is_settled(outcome.state))
        .count();
    if open == 0 {
        return exit::DONE;
    }
    say(&format!(
        "{open} of {} not confirmed\n(what is `reverting` is tried again; `ripostctl status` tells)",
        outcomes.len()
    ));
    exit::FAILED
}

/// Whether nothing of an action stands or is still to come: it was taken back,
/// kept from running, or over already.
fn is_settled(state: ActionState) -> bool {
    match state {
        ActionState::Reverted
        | ActionState::Suppressed
        | ActionState::Expired
        | ActionState::Refused
        | ActionState::Already
        | ActionState::Done => true,
        ActionState::Queued
        | ActionState::Sent
        | ActionState::Running
        | ActionState::Applied
        | ActionState::Reverting
        | ActionState::Failed => false,
    }
}

/// Asks the person at the terminal; an error where there is none.
fn confirmed() -> Result<bool, Error> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let text = "error: `revert --all` needs --yes where nobody can be asked\n";
        return Err(Stop::usage(text.to_owned()).into());
    }
    let mut stderr = io::stderr().lock();
    // If the question cannot be shown, no answer comes that counts as yes.
    let _ = write!(stderr, "Take back every response in force? [y/N] ");
    let mut answer = String::new();
    stdin
        .lock()
        .take(16)
        .read_line(&mut answer)
        .map_err(Error::Terminal)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Tells every daemon of the home that answers: the configuration of one is not
/// the configuration of the other.
pub(super) fn reload(home: &Path, output: Output) -> Result<u8, Error> {
    let mut code = exit::DONE;
    let mut rows = Vec::new();
    for mut connection in Connection::to_all(home)? {
        let (applied, text) = match connection.ask(&Request::Reload) {
            Ok(Answer::Reloaded { applied, text }) => (applied, text),
            // The other daemon is told all the same.
            Err(Error::Refused { text, .. }) => (false, text),
            Ok(_) => return Err(connection.wrong_answer()),
            Err(error) => return Err(error),
        };
        if !applied {
            code = exit::FAILED;
        }
        rows.push(Reloaded {
            daemon: connection.daemon().as_str(),
            applied,
            text,
        });
    }
    match output {
        Output::Json => print(&json(&rows))?,
        Output::Table => print(&rows.iter().map(Reloaded::lines).collect::<String>())?,
    };
    Ok(code)
}

#[derive(serde::Serialize)]
struct Reloaded {
    daemon: &'static str,
    applied: bool,
    text: String,
}

impl Reloaded {
    /// The text may be a list of problems, one line each.
    fn lines(&self) -> String {
        let word = if self.applied {
            "applied"
        } else {
            "not applied"
        };
        let mut lines = format!("{}: {word}\n", self.daemon);
        for line in self.text.lines() {
            lines.push_str(&format!("  {}\n", super::table::escape(line)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::{is_yes, judge};
    use crate::daemon::exit;
    use crate::model::{ActionId, ActionState};
    use crate::wire::control::{RevertOutcome, Which};

    #[test]
    fn a_revert_is_done_when_nothing_stands_or_is_still_to_come() {
        for (states, code) in [
            (vec![ActionState::Reverted], exit::DONE),
            (
                vec![ActionState::Suppressed, ActionState::Reverted],
                exit::DONE,
            ),
            (
                vec![
                    ActionState::Done,
                    ActionState::Already,
                    ActionState::Expired,
                ],
                exit::DONE,
            ),
            (
                vec![ActionState::Reverted, ActionState::Failed],
                exit::FAILED,
            ),
            (vec![ActionState::Reverting], exit::FAILED),
            (vec![ActionState::Queued], exit::FAILED),
            (vec![ActionState::Sent], exit::FAILED),
        ] {
            let outcome = |state: &ActionState| RevertOutcome {
                action: ActionId::from_bytes([1; 16]),
                state: *state,
                keys: String::new(),
                detail: None,
            };
            let outcomes: Vec<_> = states.iter().map(outcome).collect();
            assert_eq!(judge(&Which::All, &outcomes), code, "{states:?}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, yes) in [
            ("y\n", true),
            ("yes\n", true),
            ("Y", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yesterday\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
