//! What the bundled executables share: everything but what they do.
//!
//! An executable implements [`Action`] and hands itself to [`main`], which
//! speaks the contract, keeps the log and says how it ended. One run is one
//! order for one target. A run enters its home, so paths in an action are
//! relative to it. One that implements [`Serves`] too can be kept running as a
//! worker, which takes any number of orders.
//!
//! Exit status: 0 done, aborted, or nothing left to do; 255 (4.x's -1) the
//! input or the target was refused; another, as [`Cause`] lists them, that the
//! effect did not come about, which 4.x often hides behind 0.

pub mod accounts;
mod acts_on;
pub mod block;
mod cause;
pub mod cloudflare;
pub mod customblock;
mod cut;
pub mod foreign;
pub mod hosts_deny;
pub mod http;
pub mod iptables;
pub mod isolate;
pub mod kill;
mod log;
mod place;
pub mod quarantine;
mod run;
pub mod service;
pub mod sessions;
pub mod slack;
pub mod tool;
mod worker;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::contract::json::Value;
use crate::contract::reply::{self, Status};
use crate::model::bundled::{Backend, Options};

pub use acts_on::ActsOn;
pub use cause::Cause;
pub use cut::cut_open;
pub use run::main;
pub use worker::serve;

/// What one executable does.
///
/// ```no_run
/// use std::net::IpAddr;
///
/// use ripost::ar::{self, Action, Done, Fail, Job};
/// use ripost::model::bundled::Backend;
///
/// struct Notify;
///
/// impl Action for Notify {
///     const NAME: &str = "host-deny";
///     type Target = IpAddr;
///
///     fn backend(&self) -> Backend {
///         Backend::HostsDeny
///     }
///
///     fn add(&mut self, _: &Job<'_, IpAddr>) -> Result<Done, Fail> {
///         Ok(Done::applied())
///     }
///
///     fn delete(&mut self, _: &Job<'_, IpAddr>) -> Result<Done, Fail> {
///         Ok(Done::absent())
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     ar::main(Notify)
/// }
/// ```
pub trait Action {
    /// The name of its row in [`bundled::BUNDLED`](crate::model::bundled::BUNDLED).
    const NAME: &str;

    /// What it logs for an alert that names no target, in the words of 4.x.
    const NO_TARGET: &str = <Self::Target as ActsOn>::NO_TARGET;

    /// What its row says that it acts on.
    type Target: ActsOn;

    /// What it has worked through, for the result line.
    fn backend(&self) -> Backend;

    /// Brings the effect about and looks it up. Doing it twice is doing it once.
    fn add(&mut self, job: &Job<'_, Self::Target>) -> Result<Done, Fail>;

    /// Takes back what `add` did, and nothing else, and looks that up.
    fn delete(&mut self, job: &Job<'_, Self::Target>) -> Result<Done, Fail>;
}

/// An executable that also serves as a worker: it takes many orders at once,
/// because that is far cheaper than one after the other. Hands itself to
/// [`serve`] in place of [`main`].
///
/// Of the jobs of one call no two have the same target, and none carries its
/// alert. The answers are in the order of the jobs, one for each.
pub trait Serves: Action {
    /// As [`Action::add`], for each job.
    fn add_all(&mut self, jobs: &[Job<'_, Self::Target>]) -> Vec<Result<Done, Fail>>;

    /// As [`Action::delete`], for each job.
    fn delete_all(&mut self, jobs: &[Job<'_, Self::Target>]) -> Vec<Result<Done, Fail>>;
}

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a, T> {
    pub target: T,
    /// How long the effect may outlive whoever should take it back, where it
    /// can end by itself; `None` is without end.
    pub lasts: Option<Duration>,
    pub options: Options,
    /// The alert that led here; whatever stands in its place.
    pub alert: Option<Value<'a>>,
}

/// How an order was carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Done {
    status: Status,
    detail: Option<String>,
    /// Of one that failed or was refused, where it is known.
    cause: Option<Cause>,
    backend: Option<Backend>,
    hits: Option<u64>,
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

    /// A guard of the executable has said no, for this reason.
    pub fn refused(why: String) -> Self {
        Self::new(Status::Refused, Some(why))
    }

    /// As [`Done::refused`], because what stands there is not what the alert
    /// speaks of.
    pub fn changed(why: String) -> Self {
        let cause = Some(Cause::Changed);
        Self {
            cause,
            ..Self::refused(why)
        }
    }

    /// Through this, where it is not what [`Action::backend`] says.
    #[must_use]
    pub fn by(self, backend: Backend) -> Self {
        let backend = Some(backend);
        Self { backend, ..self }
    }

    /// With how many packets what was found there had dropped, where the kernel
    /// counts them.
    #[must_use]
    pub fn counting(self, hits: Option<u64>) -> Self {
        Self { hits, ..self }
    }

    /// With more for people to know.
    #[must_use]
    pub fn saying(self, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into());
        Self { detail, ..self }
    }

    /// With this behind what there is to know already.
    #[must_use]
    pub fn adding(mut self, more: &str) -> Self {
        self.tell_also(more);
        self
    }

    /// As [`Done::adding`], in place.
    fn tell_also(&mut self, more: &str) {
        self.detail = Some(match self.detail.take() {
            Some(detail) => format!("{detail}; {more}"),
            None => more.to_owned(),
        });
    }

    fn failed(fail: &Fail) -> Self {
        Self {
            cause: Some(fail.cause),
            backend: fail.backend,
            ..Self::new(Status::Failed, Some(fail.line()))
        }
    }

    fn new(status: Status, detail: Option<String>) -> Self {
        Self {
            status,
            detail,
            cause: None,
            backend: None,
            hits: None,
        }
    }
}

/// Why an effect did not come about: an error with its causes, and a hint on
/// lines of its own.
#[derive(Clone, Debug)]
pub struct Fail {
    text: String,
    hint: String,
    words: Option<String>,
    cause: Cause,
    backend: Option<Backend>,
}

impl Fail {
    /// As [`Done::by`].
    #[must_use]
    pub fn by(self, backend: Backend) -> Self {
        let backend = Some(backend);
        Self { backend, ..self }
    }

    /// With the words that 4.x logs in this case, as people search for them.
    pub fn logged_as(self, words: String) -> Self {
        let words = Some(words);
        Self { words, ..self }
    }

    /// What kind of trouble it is.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    fn explain(&self) {
        eprintln!("{}", self.explained());
    }

    /// With its hint, for people.
    fn explained(&self) -> String {
        let line = self.line();
        match self.hint.as_str() {
            "" => line,
            hint => format!("{line}\n{hint}"),
        }
    }

    fn line(&self) -> String {
        match &self.words {
            Some(words) => format!("{words}: failed to {}", self.text),
            None => format!("failed to {}", self.text),
        }
    }
}

/// Without its hint.
impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl<E: Error + 'static> From<E> for Fail {
    fn from(error: E) -> Self {
        let message = error.to_string();
        let (first, hint) = message.split_once('\n').unwrap_or((&message, ""));
        let mut text = first.to_owned();
        let mut next = error.source();
        while let Some(error) = next {
            text = format!("{text}: {error}");
            next = error.source();
        }
        let cause = Cause::of(&error);
        let hint = if hint.is_empty() { cause.hint() } else { hint };
        Self {
            text,
            hint: hint.to_owned(),
            words: None,
            cause,
            backend: None,
        }
    }
}
