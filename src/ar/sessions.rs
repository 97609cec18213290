//! The sessions of a person: ended through the login manager of systemd, which
//! knows all that belongs to one, or, where there is none, by ending all
//! processes of that user.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use super::accounts::Person;
use super::kill::{UserError, count_of, end_all_of};
use super::tool::{Tool, ToolError};
use crate::clock;
use crate::model::bundled::Backend;
use crate::sys::host;

/// For each run of loginctl(1).
const LIMIT: Duration = Duration::from_secs(4);

/// How long a session may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How long it may take when it is killed.
const KILL_WAIT: Duration = Duration::from_secs(2);

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why sessions go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Processes(#[from] UserError),
    #[error(
        "end the sessions of {person}: {left} of them are still there\n(see `loginctl user-status {person}`)"
    )]
    Left { person: String, left: usize },
}

/// What sessions are ended with on this host.
pub fn backend() -> Backend {
    if host::has_systemd() {
        Backend::Logind
    } else {
        Backend::Signals
    }
}

/// What was there to end; nothing is left of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// Sessions that the login manager knew, and how many processes the user has
    /// outside of them: jobs of cron(8), services.
    Sessions {
        ended: usize,
        outside: usize,
    },
    Processes {
        ended: usize,
    },
}

impl Ended {
    pub fn is_nothing(self) -> bool {
        match self {
            Self::Sessions { ended, .. } | Self::Processes { ended } => ended == 0,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sessions { ended: 0, .. } => f.write_str("found no session of this user")?,
            Self::Sessions { ended, .. } => write!(f, "ended sessions: {ended}")?,
            Self::Processes { ended: 0 } => f.write_str("found no process of this user")?,
            Self::Processes { ended } => write!(f, "ended processes: {ended}")?,
        }
        match self {
            Self::Sessions { outside: 0, .. } | Self::Processes { .. } => Ok(()),
            Self::Sessions { outside, .. } => {
                write!(f, "; processes of this user outside of sessions: {outside}")
            }
        }
    }
}

/// Ends them and looks whether they are gone.
pub fn end(person: &Person) -> Result<Ended, SessionsError> {
    if host::has_systemd() {
        return end_logins(person);
    }
    let ended = end_all_of(person.uid)?;
    Ok(Ended::Processes { ended })
}

fn end_logins(person: &Person) -> Result<Ended, SessionsError> {
    let loginctl = Tool::find("loginctl", "it is part of systemd")?;
    let uid = person.uid.to_string();
    let ask = |args: &[&str]| loginctl.run(args, LIMIT)?.done();
    let sessions = || -> Result<usize, ToolError> {
        let list = ask(&["list-sessions", "--no-legend"])?;
        Ok(rows_of(&list, 1, &uid))
    };
    let found = sessions()?;
    // Without sessions too a user may be known: one whose services linger.
    let is_known = found + rows_of(&ask(&["list-users", "--no-legend"])?, 0, &uid) > 0;
    if is_known {
        loginctl.run(&["terminate-user", &uid], LIMIT)?;
    }
    if wait_until_none(&sessions, GRACE)? > 0 {
        loginctl.run(&["kill-user", "--signal=SIGKILL", &uid], LIMIT)?;
        let left = wait_until_none(&sessions, KILL_WAIT)?;
        if left > 0 {
            let person = person.name.to_string();
            return Err(SessionsError::Left { person, left });
        }
    }
    let outside = count_of(person.uid)?;
    Ok(Ended::Sessions {
        ended: found,
        outside,
    })
}

/// How many rows of a table have this in that column.
fn rows_of(table: &str, column: usize, wanted: &str) -> usize {
    let rows = table.lines();
    rows.filter(|row| row.split_whitespace().nth(column) == Some(wanted))
        .count()
}

/// How many there are in the end.
fn wait_until_none(
    count: &impl Fn() -> Result<usize, ToolError>,
    wait: Duration,
) -> Result<usize, ToolError> {
    let start = clock::boot();
    loop {
        let left = count()?;
        if left == 0 || start.until(clock::boot()) >= wait {
            return Ok(left);
        }
        sleep(LOOK_AGAIN);
    }
}
