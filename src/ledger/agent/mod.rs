//! The agent's ledger: every action this host knows of and has not ended.
//!
//! One action is in force per executable and keys, its **holder**. A repeat
//! moves the holder's end, never shortens it, and ends itself as `already`.
//! Whoever owns the ledger writes the entries it names as changed to the
//! journal before it acts on what else it was told.

mod alike;
mod ask;
mod counting;
mod entry;
mod finish;
mod recover;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::BootId;
use crate::clock::{Boot, Now};
use crate::ledger::end::End;
use crate::ledger::offences::{self, Offences};
use crate::model::{Action, ActionId, ActionState, ExeName, Keys, Mode, Record};
use crate::sys::process::ProcessId;

pub use alike::Alike;
pub use entry::{Entry, Failure, Started, Step};
pub use finish::{Ending, Finished};

/// How much longer than the action the kernel keeps an element that it can
/// expire itself: long enough that it is not first while the agent lives, short
/// enough that hundreds of ends at one moment still let packets through within
/// a second (the kernel deletes one element per transaction and 13 ms).
pub const KERNEL_GRACE: Duration = Duration::from_millis(500);

/// Pauses before a revert that was not confirmed is tried again; the last one
/// repeats.
const RETRIES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(300),
];

/// What follows from an event, in the order in which it is to be done: journal
/// `changed` together with `records`, then start `runs`.
#[derive(Debug, Default)]
pub struct Changes {
    pub changed: Vec<ActionId>,
    pub records: Vec<Record>,
    pub runs: Vec<(ActionId, Mode)>,
    /// How often targets have been blocked, to be journalled together with that.
    pub counts: Vec<offences::Change>,
    /// The ids in `changed`, once they are more than [`FEW`]: a hundred thousand
    /// ends may be due at one start.
    seen: HashSet<ActionId>,
}

/// Most changes are of one action or two, for which a set is not made.
const FEW: usize = 8;

impl Changes {
    fn change(&mut self, id: ActionId) {
        let is_new = match self.changed.len() {
            0..FEW => !self.changed.contains(&id),
            FEW => {
                self.seen.extend(&self.changed);
                self.seen.insert(id)
            }
            _ => self.seen.insert(id),
        };
        if is_new {
            self.changed.push(id);
        }
    }

    pub fn merge(&mut self, other: Changes) {
        other.changed.into_iter().for_each(|id| self.change(id));
        self.records.extend(other.records);
        self.runs.extend(other.runs);
        self.counts.extend(other.counts);
    }
}

/// The answer to an executable that has printed its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Go on; the kernel may forget the effect after `expires`.
    Continue { expires: Option<Duration> },
    /// Another action has it in force.
    Abort,
    /// Another run for the same keys has not ended; ask again when one has.
    Wait,
}

type Place = (ExeName, Keys);

/// The ledger. `boot_id` is that of this boot.
#[derive(Debug)]
pub struct Ledger {
    boot_id: BootId,
    /// The number of the next new entry.
    next_number: u64,
    alike: Alike,
    entries: HashMap<ActionId, Box<Entry>>,
    holders: HashMap<Place, ActionId>,
    /// When each entry that waits for a moment wakes up: its end or a retry.
    alarms: BTreeSet<(Boot, ActionId)>,
    offences: Offences,
}

impl Ledger {
    pub fn new(boot_id: BootId) -> Self {
        Self {
            boot_id,
            next_number: 1,
            alike: Alike::default(),
            entries: HashMap::new(),
            holders: HashMap::new(),
            alarms: BTreeSet::new(),
            offences: Offences::default(),
        }
    }

    /// Gives new entries numbers from this one on.
    pub fn count_from(&mut self, number: u64) {
        self.next_number = number;
    }

    pub fn entry(&self, id: ActionId) -> Option<&Entry> {
        self.entries.get(&id).map(Box::as_ref)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(Box::as_ref)
    }

    /// Forgets an entry that has ended and is stored.
    pub fn remove_ended(&mut self, id: ActionId) {
        if self.entries.get(&id).is_some_and(|e| e.step == Step::Ended) {
            self.entries.remove(&id);
        }
    }

    /// Takes in a new action of which `left` remains (`None`: no end).
    pub fn accept(
        &mut self,
        action: Action,
        is_bundled: bool,
        left: Option<Duration>,
        now: Now,
    ) -> Changes {
        let id = action.id;
        let end = left.map(|left| {
            let whole = action.timeout.unwrap_or(left);
            End::after(left, whole, now, &self.boot_id)
        });
        let mut action = Arc::new(action);
        self.alike.share(&mut action);
        let entry = Entry {
            number: self.next_number,
            ..Entry::new(action, is_bundled, end, now.wall)
        };
        self.next_number += 1;
        self.entries.insert(id, Box::new(entry));
        self.arm(id);
        let mut changes = Changes::default();
        changes.change(id);
        changes
    }

    /// Lets an accepted action without end begin within `patience` only. Called
    /// before it is journalled.
    pub fn begin_within(&mut self, id: ActionId, patience: Duration, now: Now) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.begin_by = Some(End::after(patience, patience, now, &self.boot_id));
        }
        self.arm(id);
    }

    /// Ends an action that has not begun if it is too late for it.
    pub fn expire(&mut self, id: ActionId, now: Now) -> Option<Changes> {
        let entry = self.entries.get(&id)?;
        let over = entry.pointless_at()?.left(now, &self.boot_id).is_zero();
        if entry.step != Step::Waiting || !over {
            return None;
        }
        let detail = entry.too_late().to_owned();
        Some(self.refuse(id, ActionState::Expired, detail, now))
    }

    /// Ends an action that has not started, for a reason.
    pub fn refuse(
        &mut self,
        id: ActionId,
        state: ActionState,
        detail: String,
        now: Now,
    ) -> Changes {
        let mut changes = Changes::default();
        self.disarm(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        entry.step = Step::Ended;
        let mut record = Record::new(&entry.action, state, now.wall);
        record.detail = Some(detail);
        changes.change(id);
        changes.records.push(record);
        self.release(id);
        changes
    }

    /// An action that has ended holds nothing any more.
    fn release(&mut self, id: ActionId) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if let Some(keys) = entry.keys.clone() {
            let place = (entry.action.executable.clone(), keys);
            if self.holders.get(&place) == Some(&id) {
                self.holders.remove(&place);
            }
        }
    }

    /// Marks an action whose executable is about to be started. `None` if it
    /// does not want that run any more. An add whose time is over before it
    /// began is expired instead.
    pub fn start(&mut self, id: ActionId, kind: Mode, now: Now) -> Option<Changes> {
        if let Some(expired) = self.expire(id, now) {
            return Some(expired);
        }
        let entry = self.entries.get_mut(&id)?;
        let begins = entry.step == Step::Waiting;
        let told_anew = std::mem::take(&mut entry.told_anew);
        let mut changes = Changes::default();
        match (kind, entry.step) {
            (Mode::Add, Step::Waiting) => {
                entry.step = Step::Adding;
                changes
                    .records
                    .push(Record::new(&entry.action, ActionState::Running, now.wall));
            }
            (Mode::Add, Step::Adding | Step::InForce)
            | (Mode::Delete, Step::Reverting | Step::Undoing | Step::Redoing) => {}
            (Mode::Add, _) | (Mode::Delete, _) => return None,
        }
        entry.running = true;
        // Whatever else is run is on record already: a start would do the same.
        if begins || told_anew {
            changes.change(id);
        }
        if begins {
            // What it waited for has come.
            self.disarm(id);
        }
        Some(changes)
    }

    /// The process of a run that has been started, to be journalled before it
    /// is spoken to.
    pub fn started(&mut self, id: ActionId, process: ProcessId) -> Changes {
        let mut changes = Changes::default();
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.process = Some(Started {
                process,
                boot_id: self.boot_id.clone(),
            });
            changes.change(id);
        }
        changes
    }

    /// Decides on the keys that the add of `id` is going to print, so that nobody
    /// need be asked then: how long the kernel may keep the effect. `None` where
    /// another action holds them, or there are none to hold.
    pub fn foresee(
        &mut self,
        id: ActionId,
        keys: &Keys,
        now: Now,
    ) -> Option<(Option<Duration>, Changes)> {
        let entry = self.entries.get_mut(&id)?;
        if keys.is_empty() || !entry.is_stateful() {
            return None;
        }
        let place = (entry.action.executable.clone(), keys.clone());
        if *self.holders.entry(place).or_insert(id) != id {
            return None;
        }
        let mut changes = Changes::default();
        if entry.keys.as_ref() != Some(keys) {
            entry.keys = Some(keys.clone());
            changes.change(id);
        }
        changes.merge(self.sentence(id, now));
        let end = self.entries.get(&id)?.end.clone();
        Some((self.expires(end.as_ref(), now), changes))
    }

    /// The executable of `id` has named the keys that were foreseen.
    pub fn named(&mut self, id: ActionId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.printed_keys = true;
        }
    }

    /// Decides on the keys that the add of `id` has printed.
    pub fn keys(&mut self, id: ActionId, keys: &Keys, now: Now) -> (Verdict, Changes) {
        let mut changes = Changes::default();
        let Some(entry) = self.entries.get_mut(&id) else {
            return (Verdict::Abort, changes);
        };
        if entry.keys.as_ref() != Some(keys) || !entry.printed_keys {
            entry.keys = Some(keys.clone());
            entry.printed_keys = true;
            changes.change(id);
        }
        if !entry.is_stateful() {
            return (Verdict::Continue { expires: None }, changes);
        }
        let bundled = entry.bundled().is_some();
        let end = entry.end.clone();
        let place = (entry.action.executable.clone(), keys.clone());
        let holder = (!keys.is_empty())
            .then(|| self.holders.get(&place).copied())
            .flatten()
            .filter(|holder| *holder != id);
        let Some(holder) = holder else {
            if !keys.is_empty() {
                self.holders.insert(place, id);
                changes.merge(self.sentence(id, now));
            }
            let end = self.entries.get(&id).and_then(|entry| entry.end.as_ref());
            let expires = self.expires(end, now);
            return (Verdict::Continue { expires }, changes);
        };
        let held = self
            .entries
            .get_mut(&holder)
            .expect("a holder is an entry until it ends");
        let may_take_over = match held.step {
            Step::InForce => true,
            Step::Reverting => !held.running,
            // A bundled one makes the effect whole, so there is nothing to undo;
            // waiting for a retry that waits in the same lane would never end.
            Step::Undoing => !held.running && bundled,
            Step::Waiting | Step::Adding | Step::Redoing | Step::Ended => false,
        };
        if !may_take_over {
            return (Verdict::Wait, changes);
        }
        let later = End::later(held.end.as_ref(), end.as_ref(), now, &self.boot_id);
        if bundled {
            held.repeats += 1;
            let expires = self.expires(later.as_ref(), now);
            self.set_repeat(id, holder);
            return (Verdict::Continue { expires }, changes);
        }
        changes.merge(self.prolong(holder, later, now));
        self.set_repeat(id, holder);
        (Verdict::Abort, changes)
    }

    fn set_repeat(&mut self, id: ActionId, holder: ActionId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.repeat_of = Some(holder);
        }
    }

    /// Moves the end of what `holder` has in force, and says so if it moved.
    fn prolong(&mut self, holder: ActionId, end: Option<End>, now: Now) -> Changes {
        let mut changes = Changes::default();
        let boot_id = self.boot_id.clone();
        let Some(held) = self.entries.get_mut(&holder) else {
            return changes;
        };
        let moved = held.end != end || held.step != Step::InForce;
        if !moved {
            return changes;
        }
        held.end = end;
        held.failure = None;
        held.since.get_or_insert(now.wall);
        held.step = Step::InForce;
        held.attempts = 0;
        // An end that is asked for comes all the same.
        held.lifted &= held.asked;
        let record = held.in_force_record(now, &boot_id);
        changes.records.push(record);
        changes.change(holder);
        changes.counts.extend(self.count(holder, now));
        self.arm(holder);
        changes
    }

    /// How long the kernel may keep an effect that ends with `end`.
    fn expires(&self, end: Option<&End>, now: Now) -> Option<Duration> {
        end.map(|end| end.left(now, &self.boot_id) + KERNEL_GRACE)
    }

    /// Begins the revert of everything whose time is over, and of what is to be
    /// tried again.
    pub fn due(&mut self, now: Now) -> Changes {
        let mut changes = Changes::default();
        while let Some(&(at, id)) = self.alarms.first() {
            if at > now.boot {
                break;
            }
            self.alarms.pop_first();
            changes.merge(self.wake(id, now));
        }
        changes
    }

    /// When `due` has something to do next.
    pub fn next_due(&self) -> Option<Boot> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn wake(&mut self, id: ActionId, now: Now) -> Changes {
        let mut changes = Changes::default();
        let boot_id = self.boot_id.clone();
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        entry.alarm = None;
        match entry.step {
            Step::InForce => {
                let over = entry.left(now, &boot_id) == Some(Duration::ZERO);
                // A repeat that is under way may move the end; it looks again.
                if over && entry.repeats == 0 && !entry.running {
                    return self.begin_revert(id, now);
                }
                // One that is under way already looks for what follows itself.
                if entry.must_restore && !entry.running {
                    changes.runs.push((id, Mode::Add));
                }
                if !over {
                    self.arm(id);
                }
            }
            Step::Reverting | Step::Undoing => changes.runs.push((id, Mode::Delete)),
            Step::Waiting => return self.expire(id, now).unwrap_or_default(),
            Step::Adding | Step::Redoing | Step::Ended => {}
        }
        changes
    }

    fn begin_revert(&mut self, id: ActionId, now: Now) -> Changes {
        let mut changes = Changes::default();
        self.disarm(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        entry.step = Step::Reverting;
        entry.attempts = 0;
        entry.must_restore = false;
        // A later repeat is a new wish to have it in force.
        entry.asked = false;
        let mut record = Record::new(&entry.action, ActionState::Reverting, now.wall);
        record.keys.clone_from(&entry.keys);
        record.since = entry.since;
        record.detail = entry.remark(None);
        changes.change(id);
        changes.records.push(record);
        changes.runs.push((id, Mode::Delete));
        changes
    }

    /// Arms the alarm for the end of an entry, in force or not begun.
    fn arm(&mut self, id: ActionId) {
        let end = self.entries.get(&id).and_then(|entry| match entry.step {
            Step::Waiting => entry.pointless_at(),
            Step::Adding
            | Step::InForce
            | Step::Reverting
            | Step::Undoing
            | Step::Redoing
            | Step::Ended => entry.end.as_ref(),
        });
        match end.map(End::boot) {
            Some(at) => self.arm_at(id, at),
            None => self.disarm(id),
        }
    }

    fn arm_at(&mut self, id: ActionId, at: Boot) {
        self.disarm(id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.alarm = Some(at);
            self.alarms.insert((at, id));
        }
    }

    fn disarm(&mut self, id: ActionId) {
        if let Some(at) = self.entries.get_mut(&id).and_then(|e| e.alarm.take()) {
            self.alarms.remove(&(at, id));
        }
    }

    fn retry_later(&mut self, id: ActionId, attempts: u32, now: Now) {
        self.arm_at(id, now.boot.plus(pause_after(attempts)));
    }
}

/// The pause after so many attempts at a revert that came to nothing.
pub fn pause_after(attempts: u32) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    RETRIES[step.min(RETRIES.len() - 1)]
}
