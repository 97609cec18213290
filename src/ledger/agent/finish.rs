//! What a run that has ended means for its action.

use crate::clock::Now;
use crate::contract::reply::{RunResult, Status};
use crate::ledger::end::End;
use crate::model::{ActionId, ActionState, Mode, Record};

use super::{Changes, Entry, Failure, Ledger, Step};

/// How a run ended, as far as the ledger cares.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// A bundled executable said what it did.
    Reported(RunResult),
    /// It ended by itself with this status and no such word.
    Exited(i32),
    /// It was killed, or can never be started; why.
    Broke(String),
    /// It was not started, which another attempt may be; why.
    NotStarted(String),
    /// When it could be spoken to, it was too late for its action to begin.
    TooLate,
}

/// A run that has ended. `duration_ms` is in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub ending: Ending,
    pub exit_code: Option<i32>,
    pub stderr: Option<String>,
    pub detail: Option<String>,
    pub duration_ms: Option<f64>,
}

impl Finished {
    fn status(&self) -> Option<Status> {
        match &self.ending {
            Ending::Reported(result) => Some(result.status),
            Ending::Exited(_) | Ending::Broke(_) | Ending::NotStarted(_) | Ending::TooLate => None,
        }
    }

    /// How many packets the effect had dropped when it was found there.
    fn hits(&self) -> Option<u64> {
        match &self.ending {
            Ending::Reported(result) => result.hits,
            Ending::Exited(_) | Ending::Broke(_) | Ending::NotStarted(_) | Ending::TooLate => None,
        }
    }

    /// What to tell a person, with everything that was noted.
    fn detail(&self) -> Option<String> {
        let ending = match &self.ending {
            Ending::Reported(result) => result.detail.clone(),
            Ending::Exited(0) | Ending::TooLate => None,
            Ending::Exited(status) => Some(format!("ended with status {status}")),
            Ending::Broke(why) | Ending::NotStarted(why) => Some(why.clone()),
        };
        match (ending, &self.detail) {
            (Some(ending), Some(note)) => Some(format!("{ending}; {note}")),
            (Some(text), None) => Some(text),
            (None, note) => note.clone(),
        }
    }

    fn record(&self, entry: &Entry, state: ActionState, now: Now) -> Record {
        let mut record = Record::new(&entry.action, state, now.wall);
        record.keys.clone_from(&entry.keys);
        record.exit_code = self.exit_code;
        record.stderr.clone_from(&self.stderr);
        record.duration_ms = self.duration_ms;
        record.hits = self.hits();
        record.detail = self.detail();
        record
    }
}

impl Ledger {
    /// Takes in the end of a run.
    pub fn finish(&mut self, id: ActionId, kind: Mode, run: &Finished, now: Now) -> Changes {
        let mut changes = Changes::default();
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        entry.running = false;
        let is_look_up = kind == Mode::Add && entry.step == Step::InForce;
        if entry.process.take().is_some() || !is_look_up {
            changes.change(id);
        }
        let (step, repeat_of) = (entry.step, entry.repeat_of.take());
        changes.merge(match (kind, step, repeat_of) {
            (Mode::Add, Step::InForce, _) => self.finish_restore(id, run, now),
            (Mode::Add, _, Some(holder)) => self.finish_repeat(id, holder, run, now),
            (Mode::Add, _, None) => self.finish_add(id, run, now),
            (Mode::Delete, Step::Redoing, _) => self.finish_redo(id, run, now),
            (Mode::Delete, _, _) => self.finish_delete(id, run, now),
        });
        changes
    }

    fn finish_add(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        let bundled = entry.bundled().is_some();
        match (run.status(), &run.ending) {
            (Some(Status::Applied), _) if bundled => self.finish_applied(id, run, now),
            (Some(Status::Already), _) if bundled => self.end(id, run, ActionState::Already, now),
            (Some(Status::Refused), _) if bundled => self.end(id, run, ActionState::Refused, now),
            (_, Ending::Exited(0)) if !bundled => self.finish_applied(id, run, now),
            (_, Ending::TooLate) => {
                let why = entry.too_late().to_owned();
                self.refuse(id, ActionState::Expired, why, now)
            }
            _ => self.finish_failed(id, run, now),
        }
    }

    fn finish_applied(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let boot_id = self.boot_id.clone();
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        if !entry.is_reverted_later() {
            let mut run = run.clone();
            if entry.is_stateful() && !entry.printed_keys {
                let why = "it printed no check_keys, so there is nothing to revert";
                run.detail = Some(match run.detail {
                    Some(note) => format!("{why}; {note}"),
                    None => why.to_owned(),
                });
            }
            return self.end(id, &run, ActionState::Done, now);
        }
        entry.step = Step::InForce;
        entry.since = Some(now.wall);
        let asked = entry.asked;
        let mut record = entry.in_force_record(now, &boot_id);
        record.exit_code = run.exit_code;
        record.stderr.clone_from(&run.stderr);
        record.duration_ms = run.duration_ms;
        record.hits = run.hits();
        record.detail = entry.remark(run.detail());
        let mut changes = Changes::default();
        changes.records.push(record);
        changes.counts.extend(self.count(id, now));
        self.arm(id);
        if asked {
            changes.merge(self.begin_revert(id, now));
        }
        changes
    }

    /// An add that broke off may have done its work, or half of it. What can be
    /// taken back is taken back before the action is called failed. A bundled
    /// executable that says that it failed is believed.
    fn finish_failed(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        let did_nothing = match &run.ending {
            Ending::Reported(_) | Ending::TooLate => true,
            Ending::NotStarted(_) => !entry.printed_keys || entry.is_given_words(),
            // A bundled one begins its work once it has named its keys, a script
            // whenever it likes.
            Ending::Exited(_) | Ending::Broke(_) => {
                entry.bundled().is_some() && !entry.printed_keys
            }
        };
        if did_nothing || !entry.is_reverted_later() {
            return self.end(id, run, ActionState::Failed, now);
        }
        let why = run.detail().unwrap_or_else(|| "no result".to_owned());
        entry.step = Step::Undoing;
        entry.attempts = 0;
        entry.failure = Some(Box::new(Failure {
            detail: why.clone(),
            exit_code: run.exit_code,
            stderr: run.stderr.clone(),
            duration_ms: run.duration_ms,
        }));
        let mut record = run.record(entry, ActionState::Reverting, now);
        record.detail = Some(format!("{why}; taking back what it may have done"));
        let mut changes = Changes::default();
        changes.records.push(record);
        changes.runs.push((id, Mode::Delete));
        changes
    }

    fn finish_repeat(
        &mut self,
        id: ActionId,
        holder: ActionId,
        run: &Finished,
        now: Now,
    ) -> Changes {
        let boot_id = self.boot_id.clone();
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        let bundled = entry.bundled().is_some();
        let wanted = entry.end.clone();
        let (asked, lifted) = (entry.asked, entry.lifted);
        let mut changes = Changes::default();
        let in_force = !bundled || matches!(run.status(), Some(Status::Applied | Status::Already));
        if let Some(held) = self.entries.get_mut(&holder).filter(|_| bundled) {
            held.repeats = held.repeats.saturating_sub(1);
            let end = held.end.clone();
            if in_force {
                let later = End::later(end.as_ref(), wanted.as_ref(), now, &boot_id);
                changes.merge(self.prolong(holder, later, now));
            }
            // Whoever wants the repeat taken back means what it has in force,
            // which may have been on its way out before.
            if let Some(held) = self.entries.get_mut(&holder).filter(|_| in_force) {
                held.asked |= asked;
                held.lifted |= asked && lifted;
            }
            changes.merge(self.settle(holder, now));
        }
        if !in_force {
            changes.merge(self.end(id, run, ActionState::Failed, now));
            return changes;
        }
        let held = self.entries.get(&holder);
        let until = held
            .and_then(|held| held.end.as_ref())
            .map(|end| end.shown(now, &boot_id));
        let since = held.and_then(|held| held.since);
        let mut ended = self.end(id, run, ActionState::Already, now);
        for record in &mut ended.records {
            record.since = since;
            record.until = until;
            record.verified = bundled.then_some(true);
            record.detail = Some(format!("in force through action {holder}"));
        }
        changes.merge(ended);
        changes
    }

    /// A holder whose last repeat or restore has ended: a revert that was put
    /// off until then begins, or its alarm is set again.
    fn settle(&mut self, id: ActionId, now: Now) -> Changes {
        match self.entries.get(&id) {
            Some(held) if held.step == Step::InForce && held.repeats == 0 && !held.running => {
                if held.asked {
                    return self.begin_revert(id, now);
                }
                self.arm(id);
                Changes::default()
            }
            Some(_) | None => Changes::default(),
        }
    }

    fn finish_restore(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        if matches!(run.status(), Some(Status::Applied | Status::Already)) {
            entry.must_restore = false;
            entry.attempts = 0;
            return self.settle(id, now);
        }
        entry.attempts += 1;
        let attempts = entry.attempts;
        let settled = self.settle(id, now);
        let end = self.entries.get(&id).and_then(|e| e.alarm);
        if self
            .entries
            .get(&id)
            .is_some_and(|e| e.step == Step::InForce)
        {
            self.retry_later(id, attempts, now);
            let retry = self.entries.get(&id).and_then(|e| e.alarm);
            if let (Some(end), Some(retry)) = (end, retry)
                && end < retry
            {
                self.arm_at(id, end);
            }
        }
        settled
    }

    fn finish_redo(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let boot_id = self.boot_id.clone();
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        if entry.asked || entry.left(now, &boot_id).is_some_and(|left| left.is_zero()) {
            entry.step = Step::Reverting;
            return self.finish_delete(id, run, now);
        }
        entry.step = Step::Adding;
        entry.printed_keys = false;
        let mut changes = Changes::default();
        changes.runs.push((id, Mode::Add));
        changes
    }

    fn finish_delete(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        let confirmed = match run.status() {
            Some(Status::Reverted | Status::Absent | Status::Already) => true,
            Some(Status::Applied | Status::Refused | Status::Failed) => false,
            None if entry.bundled().is_some() => false,
            // That of a script runs once, and this one has not yet. For an end
            // other than this, actions with the same keys wait in the same lane,
            // so its owner does not give the lane up for another attempt.
            None => {
                let is_started = !matches!(run.ending, Ending::NotStarted(_) | Ending::TooLate);
                is_started || entry.step != Step::Reverting
            }
        };
        if !confirmed {
            return self.finish_unconfirmed(id, run, now);
        }
        if let Some(failure) = entry.failure.take() {
            let mut changes = self.end(id, run, ActionState::Failed, now);
            for record in &mut changes.records {
                record.detail = Some(failure.detail.clone());
                record.exit_code = failure.exit_code;
                record.stderr.clone_from(&failure.stderr);
                record.duration_ms = failure.duration_ms;
            }
            return changes;
        }
        let done = entry.bundled().is_some() || matches!(run.ending, Ending::Exited(0));
        let (since, detail) = (entry.since, entry.remark(run.detail()));
        let state = if done {
            ActionState::Reverted
        } else {
            ActionState::Failed
        };
        let mut changes = self.end(id, run, state, now);
        for record in &mut changes.records {
            record.since = since;
            if done {
                record.detail.clone_from(&detail);
            } else {
                let why = record.detail.take().unwrap_or_default();
                record.detail = Some(format!(
                    "delete {why}; it is not run again, look whether the effect is still there"
                ));
            }
        }
        changes
    }

    fn finish_unconfirmed(&mut self, id: ActionId, run: &Finished, now: Now) -> Changes {
        let entry = self.entries.get_mut(&id).expect("the caller looked it up");
        entry.attempts += 1;
        let attempts = entry.attempts;
        let mut changes = Changes::default();
        if attempts == 1 {
            let mut record = run.record(entry, ActionState::Reverting, now);
            record.since = entry.since;
            record.detail = entry.remark(run.detail());
            changes.records.push(record);
        }
        self.retry_later(id, attempts, now);
        changes
    }

    /// The final state of an action.
    fn end(&mut self, id: ActionId, run: &Finished, state: ActionState, now: Now) -> Changes {
        let mut changes = Changes::default();
        self.disarm(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        entry.step = Step::Ended;
        let record = run.record(entry, state, now);
        changes.change(id);
        changes.records.push(record);
        self.release(id);
        changes
    }
}
