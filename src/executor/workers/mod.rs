//! Bundled executables that run as long-lived workers. To the owner of a run
//! it is all the same: [`Workers::run`] is as [`executor::run`], but that there
//! is no process of its own, so it hears no [`Progress::Started`], and the
//! order is passed on at once.
//!
//! Each executable has one keeper, a task that owns its worker: it starts it
//! when it is first needed, ends it when it has been idle for a while or its
//! file was replaced, and replaces it when it dies, hangs or talks nonsense. The
//! orders that such a worker had not ended are given to the next one, once; what
//! loses that one as well is run as a process of its own, so that an order that
//! kills workers takes no other with it. Where workers die one after the other,
//! all orders are run so for a while.
//!
//! All channels are bounded: a run waits for room in its keeper's, and the
//! keeper does not listen to runs while its worker does not read.
//!
//! [`executor::run`]: super::run()

mod keeper;
mod live;
mod orders;
mod predecessor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{Decision, End, MAX_ADDS, Outcome, Progress, Run, RunId};
use crate::clock;
use crate::model::{ExeName, Keys};
use keeper::{Keeper, Word};
use orders::Ears;

/// Words from runs that a keeper may not have taken yet.
const QUEUE: usize = 1_024;

/// How workers are kept.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// After so long without an order a worker is ended.
    pub idle: Duration,
    /// For so long no worker is started after several have died young.
    pub without: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(3 * 60),
            without: Duration::from_secs(60),
        }
    }
}

/// The workers of one daemon. Cheap to clone; with the last clone the workers
/// end.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    manner: Manner,
    keepers: Mutex<HashMap<ExeName, mpsc::Sender<Word>>>,
    /// Of the orders that are run as processes of their own.
    alone: Semaphore,
}

/// How a run ends for its keeper.
#[derive(Debug)]
enum Ended {
    Here(Box<Outcome>),
    /// To be run as a process of its own. What has been decided on it already
    /// holds.
    Alone(Option<Decided>),
}

/// What the owner has decided, and when.
#[derive(Clone, Copy, Debug)]
struct Decided {
    decision: Decision,
    at: u64,
}

impl Decided {
    fn now(decision: Decision) -> Self {
        let at = clock::boot_nanos();
        Self { decision, at }
    }

    /// What is to be said now: of the life of an effect only the rest is left.
    fn decision(self) -> Decision {
        /// The kernel would take none at all for a life without end.
        const LEAST: Duration = Duration::from_millis(1);
        match self.decision {
            Decision::Abort => Decision::Abort,
            Decision::Continue { expires } => {
                let gone = Duration::from_nanos(clock::boot_nanos().saturating_sub(self.at));
                let expires = expires.map(|life| life.saturating_sub(gone).max(LEAST));
                Decision::Continue { expires }
            }
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self::new(Manner::default())
    }
}

impl Workers {
    pub fn new(manner: Manner) -> Self {
        Self(Arc::new(Inner {
            manner,
            keepers: Mutex::default(),
            alone: Semaphore::new(MAX_ADDS),
        }))
    }

    /// Carries one run of an executable that serves through to its end. Must be
    /// called within a tokio runtime. `cancel` becoming true, or being dropped,
    /// ends it for its owner; what the worker has been told already it may do.
    pub async fn run(
        &self,
        run: Run,
        progress: mpsc::Sender<(RunId, Progress)>,
        cancel: watch::Receiver<bool>,
    ) -> Outcome {
        if let Some(unwanted) = run.unwanted(&cancel) {
            return unwanted;
        }
        let started_at = clock::boot_nanos();
        let run = Arc::new(run);
        let conversation = Conversation {
            workers: self,
            run: &run,
            keeper: self.keeper(&run),
            progress: &progress,
        };
        let mut outcome = tokio::select! {
            outcome = conversation.carry_out(&cancel) => outcome,
            () = cancelled(cancel.clone()) => Outcome::cancelled(),
        };
        // One that was run alone says so itself.
        if outcome.duration.is_zero() {
            outcome.duration = Duration::from_nanos(clock::boot_nanos().saturating_sub(started_at));
            if let Some(trimmed) = run.told.trimmed() {
                outcome.add_detail(&trimmed.to_string());
            }
        }
        outcome
    }

    /// The keeper of an executable, which is made if there is none yet.
    fn keeper(&self, run: &Run) -> mpsc::Sender<Word> {
        let keepers = &self.0.keepers;
        let mut keepers = keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keepers.get(&run.exe) {
            return keeper.clone();
        }
        let (words, heard) = mpsc::channel(QUEUE);
        let keeper = Keeper::new(run.home.clone(), run.exe.clone(), self.0.manner, heard);
        // It ends when the last sender is gone, or with the runtime.
        tokio::spawn(keeper.keep());
        keepers.insert(run.exe.clone(), words.clone());
        words
    }
}

/// One run and those it speaks to.
struct Conversation<'a> {
    workers: &'a Workers,
    run: &'a Arc<Run>,
    keeper: mpsc::Sender<Word>,
    progress: &'a mpsc::Sender<(RunId, Progress)>,
}

impl Conversation<'_> {
    async fn carry_out(&self, cancel: &watch::Receiver<bool>) -> Outcome {
        let (keys, named) = oneshot::channel();
        let (end, mut ended) = oneshot::channel();
        let keys = Some(keys);
        let order = Word::Order {
            run: Arc::clone(self.run),
            to: Ears { keys, end },
        };
        if self.keeper.send(order).await.is_err() {
            return self.abandoned();
        }
        // An order that names no keys, or those that were foreseen, ends, and
        // with it both channels.
        let keys = tokio::select! {
            biased;
            Ok(keys) = named => keys,
            told = &mut ended => return self.end(told.ok(), cancel, None).await,
        };
        let Some(decision) = self.ask(keys).await else {
            self.decide(Decided::now(Decision::Abort)).await;
            return Outcome::cancelled();
        };
        let decided = Decided::now(decision);
        self.decide(decided).await;
        self.end(ended.await.ok(), cancel, Some(decided)).await
    }

    async fn end(
        &self,
        ended: Option<Ended>,
        cancel: &watch::Receiver<bool>,
        decided: Option<Decided>,
    ) -> Outcome {
        match ended {
            Some(Ended::Here(outcome)) => *outcome,
            // Rare, and large: thousands of runs need not keep room for it.
            Some(Ended::Alone(told)) => {
                let decided = told.or(decided);
                let mut outcome = Box::pin(self.alone(cancel, decided)).await;
                outcome.printed_keys |= decided.is_some();
                outcome
            }
            None => self.abandoned(),
        }
    }

    /// `None`: its owner wants it no longer.
    async fn ask(&self, keys: Result<Keys, String>) -> Option<Decision> {
        let (decide, decision) = oneshot::channel();
        let asked = Progress::Keys { keys, decide };
        self.progress.send((self.run.id, asked)).await.ok()?;
        decision.await.ok()
    }

    async fn decide(&self, decided: Decided) {
        let id = self.run.id;
        // A keeper that is gone tells so next.
        let _ = self.keeper.send(Word::Decided { id, decided }).await;
    }

    fn abandoned(&self) -> Outcome {
        Outcome::not_started(format!(
            "pass {} on: its worker has no keeper",
            self.run.exe
        ))
    }

    /// Runs it as a process of its own. What its owner has decided already
    /// holds; it is not asked twice.
    async fn alone(&self, cancel: &watch::Receiver<bool>, decided: Option<Decided>) -> Outcome {
        let slot = self.workers.0.alone.acquire().await;
        let _slot = slot.expect("nobody closes it");
        let mut run = Run::clone(self.run);
        if decided.is_some() {
            // It may have acted already, so it is not too late for it.
            run.pointless_at = None;
        }
        run.alone = false;
        let (own, mut events) = mpsc::channel(1);
        let running = super::run(run, own, cancel.clone());
        tokio::pin!(running);
        let mut outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Some((id, event)) = events.recv() => match (event, decided) {
                    (Progress::Keys { decide, .. }, Some(decided)) => {
                        // One that has ended meanwhile needs no answer.
                        let _ = decide.send(decided.decision());
                    }
                    (event, _) => {
                        // A dropped event ends the process.
                        let _ = self.progress.send((id, event)).await;
                    }
                },
            }
        };
        outcome.add_detail("run without a worker");
        outcome
    }
}

/// True, or an owner that is gone: either way nobody wants the run any more.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    let _ = cancel.wait_for(|wanted| *wanted).await;
}

impl Outcome {
    fn cancelled() -> Self {
        Self {
            end: End::Cancelled,
            ..Self::not_started(String::new())
        }
    }
}
#[cfg(test)]
mod tests {
    use super::Workers;

    /// Up to 10,000 are under way at a time.
    #[test]
    fn a_run_takes_little_room() {
        fn room<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let workers = Workers::default();
        let room = room(|run, progress, cancel| workers.run(run, progress, cancel));
        assert!(room < 2_048, "{room}");
    }
}
