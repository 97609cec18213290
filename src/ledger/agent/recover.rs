//! The ledger after a start: rebuilt from the journal, and told what each
//! interrupted action needs. What was left running of the predecessor has been
//! ended before.

use std::collections::HashSet;

use crate::clock::Now;
use crate::ledger::end::End;
use crate::model::{ActionId, ActionState, Mode};

use super::{Changes, Entry, Ledger, Step};

impl Ledger {
    /// Takes in an entry of the journal. Called for all of them before
    /// [`Ledger::recover`].
    pub fn load(&mut self, mut entry: Box<Entry>, now: Now) {
        let told_anew = |end: &End| end.in_this_boot(now, &self.boot_id);
        let end = entry.end.as_ref().map(told_anew);
        let begin_by = entry.begin_by.as_ref().map(told_anew);
        entry.told_anew = end != entry.end || begin_by != entry.begin_by;
        entry.end = end;
        entry.begin_by = begin_by;
        self.entries.insert(entry.action.id, entry);
    }

    /// Decides for every loaded entry what follows. Entries that had not been
    /// started are left to the caller, who looks at its guards again.
    pub fn recover(&mut self, now: Now) -> Changes {
        self.index_holders();
        let mut ids: Vec<_> = self
            .entries
            .values()
            .map(|e| (e.accepted, e.action.id))
            .collect();
        ids.sort_unstable();
        let mut changes = Changes::default();
        for (_, id) in ids {
            changes.merge(self.recover_one(id, now));
        }
        // The next start in this boot must not ask the wall clock again. What is
        // run is written when its run starts.
        let runs: HashSet<_> = changes.runs.iter().map(|(id, _)| *id).collect();
        let entries = self.entries.values_mut();
        for entry in entries.filter(|entry| entry.told_anew && !runs.contains(&entry.action.id)) {
            entry.told_anew = false;
            changes.change(entry.action.id);
        }
        changes
    }

    /// Who holds what: first those that had come further.
    fn index_holders(&mut self) {
        let rank = |step: Step| match step {
            Step::InForce => 0,
            Step::Reverting | Step::Undoing | Step::Redoing => 1,
            Step::Adding => 2,
            Step::Waiting | Step::Ended => 3,
        };
        let mut held: Vec<_> = self
            .entries
            .values()
            .filter(|e| rank(e.step) < 3 && e.is_stateful())
            .filter_map(|e| {
                let keys = e.keys.clone().filter(|keys| !keys.is_empty())?;
                let place = (e.action.executable.clone(), keys);
                Some((rank(e.step), e.accepted, e.action.id, place))
            })
            .collect();
        held.sort_unstable_by_key(|(rank, accepted, id, _)| (*rank, *accepted, *id));
        for (_, _, id, place) in held {
            self.holders.entry(place).or_insert(id);
        }
    }

    /// What is not in force for a while holds nothing that another could hold.
    fn is_holder(&self, entry: &Entry) -> bool {
        let keys = entry.keys.clone();
        match keys.filter(|keys| !keys.is_empty() && entry.is_stateful()) {
            Some(keys) => {
                self.holders.get(&(entry.action.executable.clone(), keys)) == Some(&entry.action.id)
            }
            None => true,
        }
    }

    fn recover_one(&mut self, id: ActionId, now: Now) -> Changes {
        let boot_id = self.boot_id.clone();
        let entry = self
            .entries
            .get(&id)
            .expect("the ids are those of the entries");
        let over = entry.left(now, &boot_id).is_some_and(|left| left.is_zero());
        let bundled = entry.bundled().is_some();
        let reverts = entry.is_reverted_later();
        let holder = self.is_holder(entry);
        let (step, asked, lifted) = (entry.step, entry.asked, entry.lifted);
        // What is on record before it is started has not been.
        let not_begun = entry.is_given_words() && !entry.printed_keys;
        let mut changes = Changes::default();
        match step {
            Step::Waiting => self.arm(id),
            Step::Ended => {}
            Step::Reverting | Step::Undoing | Step::Redoing => {
                changes.runs.push((id, Mode::Delete));
            }
            Step::InForce if over || asked => return self.begin_revert(id, now),
            Step::InForce => {
                self.arm(id);
                if bundled {
                    self.entry_mut(id).must_restore = true;
                    changes.runs.push((id, Mode::Add));
                }
            }
            Step::Adding if not_begun && asked && !lifted => {
                let detail = "taken back by a person before it ran".to_owned();
                return self.refuse(id, ActionState::Suppressed, detail, now);
            }
            Step::Adding if not_begun => {
                let entry = self.entry_mut(id);
                entry.step = Step::Waiting;
                // It was to be lifted by a stop that is over.
                (entry.asked, entry.lifted) = (false, false);
                changes.change(id);
                self.arm(id);
            }
            Step::Adding if (over || asked) && holder && reverts => {
                // It may have been in force, so it counts.
                changes.counts.extend(self.count(id, now));
                changes.merge(self.begin_revert(id, now));
            }
            Step::Adding if bundled => changes.runs.push((id, Mode::Add)),
            Step::Adding if !holder => {
                // It had been told to abort, and its holder's end had been moved.
                let detail = "in force through an earlier action; interrupted".to_owned();
                return self.refuse(id, ActionState::Already, detail, now);
            }
            Step::Adding if reverts => {
                self.entry_mut(id).step = Step::Redoing;
                changes.change(id);
                changes.runs.push((id, Mode::Delete));
            }
            Step::Adding => {
                let detail = "interrupted: outcome unknown".to_owned();
                return self.refuse(id, ActionState::Failed, detail, now);
            }
        }
        changes
    }

    /// Has the effect of everything in force that is meant looked up, and put
    /// back where it is missing. What runs already is left alone.
    pub fn look_again(&mut self, is_meant: impl Fn(&Entry) -> bool) -> Changes {
        let mut changes = Changes::default();
        let in_force = self
            .entries
            .values_mut()
            .filter(|entry| entry.step == Step::InForce && !entry.running && is_meant(entry));
        let mut ids = Vec::new();
        for entry in in_force {
            // A start would do the same, so nothing is to be written.
            entry.must_restore = true;
            ids.push((entry.accepted, entry.action.id));
        }
        ids.sort_unstable();
        changes
            .runs
            .extend(ids.into_iter().map(|(_, id)| (id, Mode::Add)));
        changes
    }

    fn entry_mut(&mut self, id: ActionId) -> &mut Entry {
        self.entries.get_mut(&id).expect("the caller looked it up")
    }
}
