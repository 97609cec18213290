//! The only place in the daemons that starts a process.
//!
//! [`run`] carries one executable through the contract, from the verified file
//! to an [`Outcome`] that owns everything and can be serialised: this is the
//! seam at which the privileged half can be put into a process of its own. It
//! believes no one: the file is verified again at the start, whatever was known
//! of it when the run was planned. [`Slots`] says which run may start when.
//! Bundled executables that serve are run by [`Workers`] instead, with the same
//! seam.
//!
//! The owner of a run hears of it twice, as [`Progress`]: when the process
//! exists, so that its number can be journalled before anything is written to
//! it, and when it has named its keys. The keys of a script that is given words
//! are known: of those the owner hears first, and the process exists only once
//! it has decided.

mod heard;
mod killed;
mod pipes;
mod session;
mod slots;
mod workers;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{self, Boot};
use crate::contract::reply::RunResult;
use crate::contract::request::{Message, Told};
use crate::model::{ExeName, Keys};
use crate::sys::exe::{Home, VerifiedExe};
use crate::sys::process::{self, Child, Pipes, ProcessId, StartError};

pub use crate::contract::request::Decision;
pub use crate::model::Mode;
pub use killed::log_killed;
pub use slots::{By, MAX_ADDS, MAX_OF_SCRIPT, MAX_RUNNING, MAX_SERVED, Planned, Slots, Turn};
pub use workers::{Manner, Workers};

/// The run within this life of the daemon; drawn by whoever plans it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// How long things may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// From the first byte of the message to the end, without the time that the
    /// owner takes to decide.
    pub execution: Duration,
    /// How long stdin stays open for an executable that prints no keys.
    pub handshake: Duration,
    /// From `SIGTERM` to `SIGKILL`.
    pub kill_grace: Duration,
}

impl Limits {
    /// Those of the contract for executables whose command sets none.
    pub fn standard(bundled: bool) -> Self {
        Self {
            execution: Duration::from_secs(if bundled { 30 } else { 30 * 60 }),
            handshake: Duration::from_secs(5),
            kill_grace: Duration::from_secs(5),
        }
    }
}

/// Everything one run needs.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    pub home: Home,
    pub exe: ExeName,
    /// What the executable was when the run was planned. It is not started if
    /// it has become the other.
    pub bundled: bool,
    pub mode: Mode,
    pub told: Told,
    pub limits: Limits,
    /// From when on it is pointless. It is not spoken to any more then.
    pub pointless_at: Option<Boot>,
    /// Whether nothing else runs, so that it may be started where it stands.
    pub alone: bool,
    /// What a worker is answered without asking the owner. Only for an add.
    pub foreseen: Option<Foreseen>,
}

/// The keys that a bundled executable is going to name, and what its owner has
/// decided on them already. Should it name others, the owner is asked.
#[derive(Clone, Debug)]
pub struct Foreseen {
    pub keys: Keys,
    /// How long the kernel may keep the effect; `None`: no end.
    expires: Option<Duration>,
    /// From when on, in boot nanoseconds.
    at: u64,
}

impl Foreseen {
    /// Continue with these keys; the kernel may keep the effect for so long from
    /// now on.
    pub fn now(keys: Keys, expires: Option<Duration>) -> Self {
        let at = clock::boot_nanos();
        Self { keys, expires, at }
    }
}

/// What the owner of a run hears of it.
#[derive(Debug)]
pub enum Progress {
    /// The process exists. Nothing is written to it before `go` is answered;
    /// dropped, it is killed.
    Started {
        process: ProcessId,
        go: oneshot::Sender<()>,
    },
    /// It printed a `check_keys` line, with keys or with something else in their
    /// place. Dropped, it is killed.
    Keys {
        keys: Result<Keys, String>,
        decide: oneshot::Sender<Decision>,
    },
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Exited(i32),
    Signalled(i32),
    /// Killed at its deadline.
    TimedOut,
    /// There was no process, for this reason.
    NotStarted(String),
    /// Killed because its owner wanted it no longer.
    Cancelled,
    /// It had become pointless before anything was said to it.
    TooLate,
    /// A worker has told what became of it, or was told to let it be.
    Answered,
}

/// What became of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Outcome {
    pub end: End,
    /// The keys of its `check_keys` line, if they were valid.
    pub keys: Option<Keys>,
    /// Whether there was such a line at all.
    pub printed_keys: bool,
    /// What a bundled executable said of its work.
    pub result: Option<RunResult>,
    /// Printed where `check_keys` was expected; escaped and cut.
    pub output_note: Option<String>,
    /// Escaped and cut to 4 KiB.
    pub stderr: String,
    /// From the verification of the file to the end, with the time that the
    /// owner took to answer.
    pub duration: Duration,
    /// What else there is to know, such as that the alert had to be cut.
    pub detail: Option<String>,
}

/// Carries one run through to its end. `cancel` becoming true, or being
/// dropped, kills it.
///
/// A script that prints something else before its `check_keys` line is put up
/// with: the first such line counts whenever it comes (4.x would take the name
/// of the script for the key). One that prints only other things gets
/// `continue` when the handshake time is over, as it would from 4.x at once;
/// then, or if nothing at all was printed, its stdin ends. Keys that are named
/// later than that count too, though no reply can be given any more.
pub async fn run(
    run: Run,
    progress: mpsc::Sender<(RunId, Progress)>,
    cancel: watch::Receiver<bool>,
) -> Outcome {
    if let Some(unwanted) = run.unwanted(&cancel) {
        return unwanted;
    }
    let started_at = clock::boot_nanos();
    let (run, keys) = match settled(run, &progress, cancel.clone()).await {
        Ok(settled) => settled,
        Err(outcome) => return *outcome,
    };
    let mut outcome = match start(&run).await {
        Ok((child, pipes)) => {
            session::Session::new(&run, child, progress, cancel)
                .carry_out(pipes)
                .await
        }
        Err(reason) => Outcome::not_started(reason),
    };
    outcome.keys = outcome.keys.or(keys);
    outcome.duration = Duration::from_nanos(clock::boot_nanos().saturating_sub(started_at));
    if let Some(trimmed) = run.told.trimmed() {
        outcome.add_detail(&trimmed.to_string());
    }
    if let Some(why) = outcome.killed(run.limits) {
        if let Err(error) = log_killed(run.home.path(), &run.exe, clock::wall(), &why) {
            outcome.add_detail(&error.to_string());
        }
        outcome.add_detail(&why);
    }
    outcome
}

/// The keys of a script that is given words are known before it starts, and it
/// acts at once: its owner decides on them first. Returns how it ends if it is
/// not to start.
async fn settled(
    run: Run,
    progress: &mpsc::Sender<(RunId, Progress)>,
    mut cancel: watch::Receiver<bool>,
) -> Result<(Run, Option<Keys>), Box<Outcome>> {
    let keys = match (&run.told, run.mode) {
        (Told::Words(words), Mode::Add) => words.keys(),
        (Told::Words(_), Mode::Delete) | (Told::Lines(_), _) => return Ok((run, None)),
    };
    let (decide, decision) = oneshot::channel();
    let asked = Progress::Keys {
        keys: Ok(keys.clone()),
        decide,
    };
    let decision = async {
        progress.send((run.id, asked)).await.ok()?;
        decision.await.ok()
    };
    let decision = tokio::select! {
        decision = decision => decision,
        _ = cancel.wait_for(|wanted| *wanted) => None,
    };
    let end = match decision {
        Some(Decision::Continue { .. }) if run.is_pointless() => End::TooLate,
        Some(Decision::Continue { .. }) => return Ok((run, Some(keys))),
        Some(Decision::Abort) => End::Answered,
        None => End::Cancelled,
    };
    Err(Box::new(Outcome {
        end,
        keys: Some(keys),
        ..Outcome::not_started(String::new())
    }))
}

/// Verifies and starts. Both read files, and the start lasts until the program
/// has been loaded, so others are not made to wait: a run goes to another thread
/// unless it is alone. That way costs a single alert half a millisecond, and
/// saves a burst of them a quarter of its time and more.
async fn start(run: &Run) -> Result<(Child, Pipes), String> {
    let words = match &run.told {
        Told::Lines(_) => None,
        Told::Words(words) => {
            let words = words.arguments(run.mode).into_iter();
            Some(words.map(str::to_owned).collect::<Vec<_>>())
        }
    };
    if run.alone {
        return verify_and_spawn(&run.home, &run.exe, run.bundled, words.as_deref());
    }
    let (home, name, bundled) = (run.home.clone(), run.exe.clone(), run.bundled);
    tokio::task::spawn_blocking(move || verify_and_spawn(&home, &name, bundled, words.as_deref()))
        .await
        .expect("the task neither panics nor is it aborted")
}

/// Without `words` it is told by lines on its stdin.
fn verify_and_spawn(
    home: &Home,
    name: &ExeName,
    bundled: bool,
    words: Option<&[String]>,
) -> Result<(Child, Pipes), String> {
    let exe = home.executable(name).map_err(|error| error.to_string())?;
    if exe.kind().is_bundled() != bundled {
        return Err(changed(&exe));
    }
    patiently(|| match words {
        None => process::start(&exe),
        Some(words) => process::start_with_words(&exe, words),
    })
    .map_err(|error| error.to_string())
}

/// Starts a program. A file that is open for writing gets a few more moments: a
/// process that is just being started elsewhere may hold a copy of a descriptor
/// that its parent has closed already.
fn patiently<T>(start: impl Fn() -> Result<T, StartError>) -> Result<T, StartError> {
    const MOMENT: Duration = Duration::from_millis(10);
    for _ in 0..10 {
        match start() {
            Err(StartError::Busy(_)) => std::thread::sleep(MOMENT),
            other => return other,
        }
    }
    start()
}

fn changed(exe: &VerifiedExe) -> String {
    let (was, is) = if exe.kind().is_bundled() {
        ("a script", "the bundled one")
    } else {
        ("the bundled one", "a script")
    };
    format!(
        "start {}: it was {was} when the run was planned and is {is} now",
        exe.path().display()
    )
}

impl Run {
    /// What is written to the stdin of its process; `None` if nothing is.
    pub fn message(&self) -> Option<&Message> {
        match &self.told {
            Told::Lines(message) => Some(message),
            Told::Words(_) => None,
        }
    }

    /// Whether it is too late to speak to it.
    pub fn is_pointless(&self) -> bool {
        self.pointless_at.is_some_and(|at| at <= clock::boot())
    }

    /// How it ends if nobody wants it any more before it has begun.
    fn unwanted(&self, cancel: &watch::Receiver<bool>) -> Option<Outcome> {
        let end = if *cancel.borrow() || cancel.has_changed().is_err() {
            End::Cancelled
        } else if self.is_pointless() {
            End::TooLate
        } else {
            return None;
        };
        Some(Outcome {
            end,
            ..Outcome::not_started(String::new())
        })
    }
}

impl Outcome {
    fn not_started(reason: String) -> Self {
        Self {
            end: End::NotStarted(reason),
            keys: None,
            printed_keys: false,
            result: None,
            output_note: None,
            stderr: String::new(),
            duration: Duration::ZERO,
            detail: None,
        }
    }

    /// What `active-responses.log` says of a run that was killed.
    fn killed(&self, limits: Limits) -> Option<String> {
        match self.end {
            End::TimedOut => Some(format!("killed: did not end within {:?}", limits.execution)),
            End::Cancelled => Some("killed: its run was cancelled".to_owned()),
            End::TooLate => Some("killed: it was too late for it to begin".to_owned()),
            End::Exited(_) | End::Signalled(_) | End::NotStarted(_) | End::Answered => None,
        }
    }

    fn add_detail(&mut self, text: &str) {
        match &mut self.detail {
            Some(detail) => {
                detail.push_str("; ");
                detail.push_str(text);
            }
            None => self.detail = Some(text.to_owned()),
        }
    }
}
