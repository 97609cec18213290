//! What the bundled executables share: everything but what they do.
//!
//! An executable implements [`Action`] and hands itself to [`main`], which
//! speaks the contract, keeps the log and says how it ended. One run is one
//! order for one target. A run enters its home, so paths in an action are
//! relative to it.
//!
//! Exit status: 0 done, aborted, or nothing left to do; 255 (4.x's -1) the
//! input was refused; 1 the effect did not come about, which 4.x often hides
//! behind 0.

pub mod hosts_deny;
mod log;
mod place;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::ar::log::Log;
use crate::contract::input::{self, Answer, InvalidInput, Order, Request};
use crate::contract::reply::{self, RunResult, Status};
use crate::contract::target::{self, NoTarget};
use crate::model::bundled::{self, TargetKind};
use crate::model::{ExeName, Target};

const REFUSED: u8 = 255;
const FAILED: u8 = 1;

/// What one executable does.
///
/// ```no_run
/// use std::time::Duration;
///
/// use ripost::ar::{self, Action, Done, Fail};
/// use ripost::model::Target;
///
/// struct Notify;
///
/// impl Action for Notify {
///     const NAME: &str = "host-deny";
///     const BACKEND: &str = "none";
///
///     fn add(&mut self, _: &Target, _: Option<Duration>) -> Result<Done, Fail> {
///         Ok(Done::applied())
///     }
///
///     fn delete(&mut self, _: &Target) -> Result<Done, Fail> {
///         Ok(Done::absent())
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     ar::main(Notify)
/// }
/// ```
pub trait Action {
    /// The name of its row in [`bundled::BUNDLED`].
    const NAME: &str;

    /// What it works through, for the result line.
    const BACKEND: &str;

    /// Brings the effect about and looks it up. `lasts`: how long it may
    /// outlive whoever should take it back, where the effect can end by
    /// itself; `None` is without end. Doing it twice is doing it once.
    fn add(&mut self, target: &Target, lasts: Option<Duration>) -> Result<Done, Fail>;

    /// Takes back what `add` did, and nothing else, and looks that up.
    fn delete(&mut self, target: &Target) -> Result<Done, Fail>;
}

/// How an order was carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Done {
    status: Status,
    detail: Option<String>,
}

impl Done {
    /// In force, and looked up.
    pub fn applied() -> Self {
        Self::new(Status::Applied, None)
    }

    /// As [`Done::applied`], and it was in force as our own before.
    pub fn in_place() -> Self {
        Self::new(Status::Applied, Some(reply::IN_PLACE.to_owned()))
    }

    /// The administrator has it in force; `detail` says where.
    pub fn already(detail: String) -> Self {
        Self::new(Status::Already, Some(detail))
    }

    /// Taken back, and looked up.
    pub fn reverted() -> Self {
        Self::new(Status::Reverted, None)
    }

    /// There was nothing of ours to take back.
    pub fn absent() -> Self {
        Self::new(Status::Absent, None)
    }

    fn new(status: Status, detail: Option<String>) -> Self {
        Self { status, detail }
    }
}

/// Why an effect did not come about: an error with its causes, and a hint on
/// lines of its own.
#[derive(Clone, Debug)]
pub struct Fail {
    text: String,
    hint: String,
    words: Option<String>,
}

impl Fail {
    /// With the words that 4.x logs in this case, as people search for them.
    pub fn logged_as(self, words: String) -> Self {
        let words = Some(words);
        Self { words, ..self }
    }

    fn explain(&self) {
        let line = self.line();
        match self.hint.as_str() {
            "" => eprintln!("{line}"),
            hint => eprintln!("{line}\n{hint}"),
        }
    }

    fn line(&self) -> String {
        match &self.words {
            Some(words) => format!("{words}: failed to {}", self.text),
            None => format!("failed to {}", self.text),
        }
    }
}

impl<E: Error> From<E> for Fail {
    fn from(error: E) -> Self {
        let message = error.to_string();
        let (first, hint) = message.split_once('\n').unwrap_or((&message, ""));
        let mut text = first.to_owned();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self {
            text,
            hint: hint.to_owned(),
            words: None,
        }
    }
}

/// Why a run ends without having tried.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Input(#[from] InvalidInput),
    /// The text is the one of 4.x.
    #[error("Cannot read 'srcip' from data or invalid IP format")]
    Target(#[source] Option<NoTarget>),
}

/// Runs one executable from its first line to its exit status.
pub fn main(action: impl Action) -> ExitCode {
    let name = match place::enter() {
        Ok(name) => name,
        Err(why) => {
            Fail::from(why).explain();
            return ExitCode::from(REFUSED);
        }
    };
    let mut run = Run {
        log: Log::open(&name),
        name,
        action,
    };
    match run.order(&mut io::stdin().lock()) {
        Ok(code) => code,
        Err(stop) => {
            run.log.line(stop.to_string().as_bytes());
            match stop.source() {
                Some(why) => eprintln!("{stop}: the alert {why}"),
                None => eprintln!("{stop}"),
            }
            ExitCode::from(REFUSED)
        }
    }
}

struct Run<A> {
    action: A,
    name: ExeName,
    log: Log,
}

impl<A: Action> Run<A> {
    fn order(&mut self, input: &mut impl BufRead) -> Result<ExitCode, Stop> {
        self.log.line(b"Starting");
        let line = input::read_line(input)?;
        // Without the newline that 4.x leaves in, which makes a blank line
        // that no decoder asks for.
        self.log.line(line.trim_ascii_end());
        let request = input::request(&line)?;
        let target = self.target(&request)?;
        let done = match request.order {
            Order::Delete => self.action.delete(&target),
            Order::Add => match self.ask(&target, input)? {
                Answer::Abort => {
                    self.log.line(b"Aborted");
                    return Ok(ExitCode::SUCCESS);
                }
                Answer::Continue { expires } => match never(&target) {
                    Some(detail) => Ok(Done::new(Status::Refused, Some(detail))),
                    None => self.action.add(&target, expires),
                },
            },
        };
        Ok(self.end(done))
    }

    fn target(&self, request: &Request<'_>) -> Result<Target, Stop> {
        let row = bundled::find(A::NAME).expect("every executable has a row");
        match row.target {
            TargetKind::Address => {
                let alert = request.alert().ok_or(Stop::Target(None))?;
                target::address_in(alert).map_err(|why| Stop::Target(Some(why)))
            }
        }
    }

    /// Says what it would act on and reads the daemon's answer.
    fn ask(&mut self, target: &Target, input: &mut impl BufRead) -> Result<Answer, Stop> {
        let line = reply::check_keys(&self.name, &target.keys());
        self.log.line(line.as_bytes());
        say(&line);
        Ok(input::answer(&input::read_line(input)?)?)
    }

    /// Logs and reports the end. The action is still whole: what it holds is
    /// let go only after this, as that may take a while.
    fn end(&mut self, done: Result<Done, Fail>) -> ExitCode {
        let done = done.unwrap_or_else(|fail| {
            fail.explain();
            Done::new(Status::Failed, Some(fail.line()))
        });
        let code = match done.status {
            Status::Applied | Status::Already | Status::Reverted | Status::Absent => 0,
            Status::Refused => REFUSED,
            Status::Failed => FAILED,
        };
        let why = done.detail.as_deref().unwrap_or_default();
        let message = if code == 0 { "Ended" } else { why };
        self.log.line(message.as_bytes());
        say(&reply::result(
            &self.name,
            &RunResult {
                status: done.status,
                detail: done.detail,
                backend: Some(A::BACKEND.to_owned()),
            },
        ));
        ExitCode::from(code)
    }
}

/// Prints one line. That nobody listens is no error: a 4.x execd closes its
/// end once it has answered.
fn say(line: &str) {
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// Why no host may ever act on this target, whoever asks. A 4.x daemon has no
/// such guard; ours has asked its own, which know the host, before.
fn never(target: &Target) -> Option<String> {
    let Target::Address(address) = target;
    let kind = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some(format!("refused {address}: it is {kind}"))
}
