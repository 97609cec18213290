//! Runs of executables: planned, started, spoken to, ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::executor::{
    By, Decision, End, Foreseen, Limits, Outcome, Planned, Progress, Run, RunId, Turn,
};
use crate::journal::{self, JournalError, Ticket};
use crate::ledger::agent::{Changes, Ending, Entry, Finished, Step, Verdict, pause_after};
use crate::model::bundled::{Bundled, Effect};
use crate::model::{ActionId, ActionState, Mode, Target};

use super::backlog::LinedUp;
use super::{Agent, Hands, HeldKeys};

/// How long a revert waits for the journal, twice: before it starts and before
/// it is spoken to. Together that stays below the second in which a revert is
/// promised, also while the disk is full. Its action is stored with its end
/// already, so that a revert whose beginning is not written is only repeated.
const REVERT_WAITS: Duration = Duration::from_millis(250);

/// A run that has been started.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) action: ActionId,
    pub(super) kind: Mode,
    /// Whether its keys were known, so that nobody asks about them.
    foreseen: bool,
    /// Dropped or set, it kills the run.
    cancel: watch::Sender<bool>,
}

impl Agent {
    /// Lines a run up behind the others of its lane.
    pub(super) fn plan(
        &mut self,
        id: ActionId,
        kind: Mode,
        target: Option<&Target>,
    ) -> Option<RunId> {
        let lane = self.lane(id, target)?;
        let entry = self.ledger.entry(id)?;
        let run = RunId(self.next_run);
        self.next_run += 1;
        self.planned.insert(run, (id, kind));
        let exe = &entry.action.executable;
        let by = self.hands.run_by(exe, entry.bundled());
        if entry.step == Step::Waiting {
            let place = LinedUp {
                run,
                lane: lane.clone(),
                script: (!entry.is_bundled).then(|| exe.clone()),
            };
            self.backlog.line_up(id, place);
        }
        let turn = match (entry.step, kind) {
            // Another action that waits in this lane may wait for its outcome.
            (Step::Adding | Step::Undoing | Step::Redoing, _) => Turn::Next,
            (Step::InForce, Mode::Add) => Turn::Last,
            (Step::Waiting | Step::InForce | Step::Reverting | Step::Ended, _) => Turn::Usual,
        };
        let planned = Planned {
            id: run,
            lane,
            by,
            mode: kind,
        };
        self.slots.submit(planned, turn);
        Some(run)
    }

    /// Gives the slot of a run to the next one.
    fn free(&mut self, run: RunId) {
        self.slots.finished(run);
        self.look_ups.ended(run);
    }

    /// Starts what may start within the bounds.
    pub(super) async fn start_planned(&mut self) {
        while self.may_start() {
            if !self.is_stopping() {
                while let Some(id) = self.backlog.next_up() {
                    self.line_up(id).await;
                }
                self.line_up_look_ups();
            }
            let Some(run) = self.slots.start_next() else {
                return;
            };
            let Some((id, kind)) = self.planned.remove(&run) else {
                continue;
            };
            self.backlog.remove(id);
            if self.is_left_to_the_next_start(id) {
                self.free(run);
                continue;
            }
            self.start_run(run, id, kind).await;
        }
    }

    async fn start_run(&mut self, run: RunId, id: ActionId, kind: Mode) {
        let alert = self.alert_for(id, kind);
        if let Some(why) = self.objection(id, kind) {
            let now = clock::now();
            let changes = self.ledger.refuse(id, ActionState::Refused, why, now);
            self.commit(changes).await;
            self.free(run);
            return;
        }
        let waiting = self.ledger.entry(id).filter(|e| e.step == Step::Waiting);
        let pointless_at = waiting.and_then(Entry::begins_before);
        let Some(mut changes) = self.ledger.start(id, kind, clock::now()) else {
            self.free(run);
            return;
        };
        let foreseen = self.foresee(id, kind, &mut changes);
        let ticket = self.commit(changes).await;
        let Some(entry) = self.ledger.entry(id).filter(|e| e.step != Step::Ended) else {
            self.free(run);
            return;
        };
        let planned = match self.prepare(run, entry, kind, alert) {
            Ok(planned) => Run {
                pointless_at,
                foreseen,
                ..planned
            },
            Err(ending) => {
                self.not_started(run, id, kind, ending).await;
                return;
            }
        };
        // A bundled executable does nothing before it has read a line, so its
        // process is made while the journal still writes; the line waits. A
        // worker has its process, so all of the run waits.
        let is_process = match self.hands.run_by(&entry.action.executable, entry.bundled()) {
            By::Process => true,
            By::Script(_) | By::Worker => false,
        };
        let waits = (!is_process).then(|| Waits::before(kind, entry));
        let keeps_lane = kind == Mode::Delete && !entry.is_bundled && entry.step != Step::Reverting;
        let (cancel, cancelled) = watch::channel(false);
        let (hands, progress) = (self.hands.clone(), self.progress.clone());
        self.running.insert(
            run,
            Running {
                action: id,
                kind,
                foreseen: planned.foreseen.is_some(),
                cancel,
            },
        );
        self.runs.spawn(async move {
            if let Some(waits) = waits {
                let mut cancel = cancelled.clone();
                tokio::select! {
                    () = waits.out(ticket) => {}
                    // Nothing is started then. A journal that cannot be written
                    // does not keep a daemon from ending.
                    _ = cancel.wait_for(|wanted| *wanted) => {}
                }
            }
            if keeps_lane {
                return (
                    run,
                    started_at_last(hands, planned, progress, cancelled).await,
                );
            }
            (run, hands.run(planned, progress, cancelled).await)
        });
    }

    /// Why an action that has waited for its turn may not run any more: white
    /// list and configuration may be others than when it was lined up.
    fn objection(&mut self, id: ActionId, kind: Mode) -> Option<String> {
        let waiting = self.ledger.entry(id)?.step == Step::Waiting;
        if kind == Mode::Delete || !waiting {
            return None;
        }
        let target = self.target(id);
        self.judge(id, target.as_ref())?.err()
    }

    /// A worker names its keys like any executable. They are known before, and
    /// so is the answer, unless another action has to do with them: then nobody
    /// is asked, and the journal has both in one write.
    fn foresee(&mut self, id: ActionId, kind: Mode, changes: &mut Changes) -> Option<Foreseen> {
        let entry = self.ledger.entry(id).filter(|_| kind == Mode::Add)?;
        if self.hands.run_by(&entry.action.executable, entry.bundled()) != By::Worker {
            return None;
        }
        let keys = self.target(id)?.keys();
        let (expires, changed) = self.ledger.foresee(id, &keys, clock::now())?;
        changes.merge(changed);
        Some(Foreseen::now(keys, expires))
    }

    fn prepare(
        &self,
        id: RunId,
        entry: &Entry,
        kind: Mode,
        alert: Result<Option<Arc<[u8]>>, JournalError>,
    ) -> Result<Run, Ending> {
        let never = |why: String| match kind {
            Mode::Add => Ending::NotStarted(why),
            // No other attempt would come further.
            Mode::Delete => Ending::Broke(why),
        };
        let alert = alert.map_err(|error| Ending::NotStarted(error.to_string()))?;
        let gone = || never("its alert is not in the journal any more".to_owned());
        let alert = alert.ok_or_else(gone)?;
        let action = &entry.action;
        let told = self.speech(entry, &alert).map_err(never)?;
        let mut limits = Limits::standard(entry.is_bundled);
        limits.execution = action.execution_timeout.unwrap_or(limits.execution);
        limits.handshake = action.handshake_timeout.unwrap_or(limits.handshake);
        Ok(Run {
            id,
            home: self.home.clone(),
            exe: action.executable.clone(),
            bundled: entry.is_bundled,
            mode: kind,
            told,
            limits,
            pointless_at: None,
            foreseen: None,
            alone: entry.is_bundled && self.running.is_empty(),
        })
    }

    async fn not_started(&mut self, run: RunId, id: ActionId, kind: Mode, ending: Ending) {
        let finished = Finished {
            ending,
            exit_code: None,
            stderr: None,
            detail: None,
            duration_ms: None,
        };
        self.conclude(run, id, kind, &finished).await;
    }

    pub(super) async fn progress(&mut self, run: RunId, progress: Progress) {
        let Some(running) = self.running.get(&run) else {
            return;
        };
        let (id, kind) = (running.action, running.kind);
        match progress {
            Progress::Started { process, go } => {
                let changes = self.ledger.started(id, process);
                let ticket = self.commit(changes).await;
                // What a script does before it reads has waited for its intent;
                // here only its process is new.
                let waits = match (self.ledger.entry(id), kind) {
                    (Some(entry), _) if entry.is_bundled => Waits::before(kind, entry),
                    (_, Mode::Add) => Waits::Written,
                    (_, Mode::Delete) => Waits::Briefly,
                };
                self.answer_after(ticket, waits, go, ());
            }
            Progress::Keys {
                keys: Ok(keys),
                decide,
            } => {
                self.decide(HeldKeys {
                    run,
                    action: id,
                    keys,
                    decide,
                })
                .await;
            }
            Progress::Keys {
                keys: Err(why),
                decide,
            } => {
                log::warn!(action:% = id, why = why.as_str(); "an executable printed keys that cannot be used; it goes on without");
                // A run that has ended meanwhile needs no decision.
                let _ = decide.send(Decision::Continue { expires: None });
            }
        }
    }

    async fn decide(&mut self, held: HeldKeys) {
        let (verdict, changes) = self.ledger.keys(held.action, &held.keys, clock::now());
        let decision = match verdict {
            Verdict::Wait => {
                self.commit(changes).await;
                self.held_keys.push(held);
                return;
            }
            Verdict::Continue { expires } => Decision::Continue { expires },
            Verdict::Abort => Decision::Abort,
        };
        let entry = self.ledger.entry(held.action);
        if entry.is_some_and(|entry| entry.is_bundled) {
            // Its keys were known, and after a crash it is run again whether or
            // not it had named them: nothing has to be on record before it goes on.
            // A run that has ended meanwhile needs no answer.
            let _ = held.decide.send(decision);
            self.commit(changes).await;
        } else {
            let ticket = self.commit(changes).await;
            self.answer_after(ticket, Waits::Synced, held.decide, decision);
        }
    }

    fn answer_after<T: Send + 'static>(
        &mut self,
        ticket: Ticket,
        waits: Waits,
        answer: oneshot::Sender<T>,
        value: T,
    ) {
        self.chores.spawn(async move {
            waits.out(ticket).await;
            // A run that has ended meanwhile needs no answer.
            let _ = answer.send(value);
        });
    }

    pub(super) async fn run_ended(&mut self, run: RunId, outcome: Outcome) {
        let Some(running) = self.running.remove(&run) else {
            return;
        };
        if self.is_stopping() && outcome.end == End::Cancelled {
            // The next start decides, as after a crash.
            return;
        }
        if running.foreseen && outcome.printed_keys {
            self.ledger.named(running.action);
        }
        let entry = self.ledger.entry(running.action);
        let finished = finished(outcome, entry.and_then(Entry::bundled));
        self.conclude(run, running.action, running.kind, &finished)
            .await;
        self.start_planned().await;
    }

    async fn conclude(&mut self, run: RunId, id: ActionId, kind: Mode, finished: &Finished) {
        let before = self.ledger.entry(id).map(|entry| entry.step);
        let changes = self.ledger.finish(id, kind, finished, clock::now());
        self.report(id, kind, before, finished);
        self.commit(changes).await;
        self.standing.is_done(id);
        self.free(run);
        self.held_keys.retain(|held| held.run != run);
        for held in std::mem::take(&mut self.held_keys) {
            self.decide(held).await;
        }
    }

    fn report(&mut self, id: ActionId, kind: Mode, before: Option<Step>, run: &Finished) {
        let problem = match &run.ending {
            Ending::Broke(why) | Ending::NotStarted(why) => why.clone(),
            Ending::Exited(status) if *status != 0 => format!("status {status}"),
            Ending::Exited(_) | Ending::TooLate => return,
            Ending::Reported(result) => {
                let in_place = result.is_in_place();
                if before == Some(Step::InForce) && !in_place && kind == Mode::Add {
                    log::debug!(action:% = id; "an effect was missing and has been put back");
                    self.drift.put_back(clock::boot());
                }
                return;
            }
        };
        let what = match kind {
            Mode::Add => "add",
            Mode::Delete => "delete",
        };
        log::warn!(action:% = id, run = what, problem = problem.as_str(); "an executable did not succeed");
    }

    /// Gives what runs a last chance, kills the rest, and closes the journal.
    pub(super) async fn shut_down(mut self) {
        for running in self.running.values() {
            running.cancel.send_replace(true);
        }
        while self.runs.join_next().await.is_some() {}
        let journal = self.journal;
        journal::aside(move || journal.close()).await;
    }
}

/// Carries out a delete for whose outcome others may wait in its lane: it keeps
/// that, and its slot, until it could be started.
pub(super) async fn started_at_last(
    hands: Hands,
    run: Run,
    progress: mpsc::Sender<(RunId, Progress)>,
    mut cancel: watch::Receiver<bool>,
) -> Outcome {
    let mut attempts = 0;
    loop {
        let again = (run.clone(), progress.clone(), cancel.clone());
        let outcome = hands.clone().run(again.0, again.1, again.2).await;
        let End::NotStarted(why) = &outcome.end else {
            return outcome;
        };
        attempts += 1;
        log::warn!(executable:% = run.exe, why = why.as_str(); "a delete could not be started; trying again, and what has the same target waits");
        // A run that is cancelled says so itself.
        let cancelled = cancel.wait_for(|wanted| *wanted);
        let _ = tokio::time::timeout(pause_after(attempts), cancelled).await;
    }
}

/// What an action that is about to run waits for.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Written,
    Synced,
    /// Written, but not for long.
    Briefly,
}

impl Waits {
    /// Kernel state is gone after a power cut, so its intent need only survive
    /// a crash of the process; files and accounts are not.
    fn before(kind: Mode, entry: &Entry) -> Self {
        match (kind, entry.bundled().map(|row| row.effect)) {
            (Mode::Delete, _) => Self::Briefly,
            (Mode::Add, Some(Effect::Kernel)) => Self::Written,
            (Mode::Add, Some(Effect::File | Effect::Outside) | None) => Self::Synced,
        }
    }

    async fn out(self, mut ticket: Ticket) {
        // A writer that has ended takes the daemon with it; what is waited for
        // then never happens, and neither does the run.
        let done = match self {
            Self::Written => ticket.written().await,
            Self::Synced => ticket.synced().await,
            Self::Briefly => {
                let _ = tokio::time::timeout(REVERT_WAITS, ticket.written()).await;
                true
            }
        };
        if !done {
            std::future::pending::<()>().await;
        }
    }
}

fn finished(outcome: Outcome, bundled: Option<&Bundled>) -> Finished {
    let exit_code = match outcome.end {
        End::Exited(status) => Some(status),
        // It is the worker's answer that says how it went.
        End::Answered => {
            let told = outcome.result.as_ref().map(|result| result.exit_code);
            told.flatten().map(i32::from)
        }
        End::Signalled(_) | End::TimedOut | End::NotStarted(_) | End::Cancelled | End::TooLate => {
            None
        }
    };
    let ending = match (outcome.result, outcome.end) {
        (Some(result), _) => Ending::Reported(result),
        (None, End::Exited(status)) => Ending::Exited(status),
        (None, End::Signalled(signal)) => Ending::Broke(format!("was ended by signal {signal}")),
        (None, End::TimedOut) => Ending::Broke("ran into its time limit".to_owned()),
        (None, End::NotStarted(why)) => Ending::NotStarted(why),
        (None, End::Cancelled) => Ending::Broke("was cancelled".to_owned()),
        (None, End::TooLate) => Ending::TooLate,
        // Told to let it be, as a process that then ends with 0.
        (None, End::Answered) => Ending::Exited(0),
    };
    let missing = bundled
        .zip(exit_code)
        .and_then(|(row, status)| row.missing_library(status, &outcome.stderr))
        .map(|library| {
            let (file, package) = (library.file, library.package);
            format!("the library {file} is missing (Debian and Ubuntu: apt install {package})")
        });
    let notes: Vec<_> = [missing, outcome.detail, outcome.output_note]
        .into_iter()
        .flatten()
        .collect();
    Finished {
        ending,
        exit_code,
        stderr: (!outcome.stderr.is_empty()).then_some(outcome.stderr),
        detail: (!notes.is_empty()).then(|| notes.join("; ")),
        duration_ms: Some(outcome.duration.as_secs_f64() * 1_000.0),
    }
}
