//! Targets that come again: how long a new holder of its keys stays in force, and
//! what is remembered of that.

use std::sync::Arc;

use crate::clock::Now;
use crate::ledger::end::End;
use crate::ledger::offences::{Change, Counted};
use crate::model::{ActionId, Steps};

use super::{Changes, Ledger, Step};

impl Ledger {
    /// What this host's own file says about targets that come again.
    pub fn rule_offences(&mut self, own: Option<Steps>) {
        self.offences.rule(own);
    }

    /// Takes in the counts of the journal, in the order of their numbers.
    pub fn load_offences(&mut self, counts: Vec<Counted>, now: Now) {
        self.offences.load(counts, now, &self.boot_id);
    }

    /// Forgets counts that are forgiven, or too many.
    pub fn forget_offences(&mut self, now: Now) {
        self.offences.forget(now, &self.boot_id);
    }

    /// Moves the end of an action that has just come to hold its keys, if its
    /// target has been blocked before. It is counted when it is in force.
    pub(super) fn sentence(&mut self, id: ActionId, now: Now) -> Changes {
        let mut changes = Changes::default();
        let Some(entry) = self.entries.get_mut(&id) else {
            return changes;
        };
        // A look-up of what is in force, or a second run of what was interrupted,
        // is no other block; what a person takes back already does not count.
        let is_wanted = !entry.asked || entry.lifted;
        let is_new = entry.step == Step::Adding && entry.offence.is_none() && is_wanted;
        let (Some(keys), Some(end), Some(timeout)) =
            (&entry.keys, &entry.end, entry.action.timeout)
        else {
            return changes;
        };
        if !is_new || !entry.is_reverted_later() {
            return changes;
        }
        let judged = self.offences.judge(&entry.action, keys, now, &self.boot_id);
        let Some((offence, step)) = judged else {
            return changes;
        };
        if let Some(step) = step {
            // It runs from the same moment as the timeout that it replaces.
            let left = (end.left(now, &self.boot_id) + step).saturating_sub(timeout);
            entry.end = Some(End::after(left, step, now, &self.boot_id));
            Arc::make_mut(&mut entry.action).timeout = Some(step);
        }
        entry.offence = Some(offence);
        changes.change(id);
        changes
    }

    /// Counts a block that is in force, or whose end has moved. Once it is counted,
    /// it is so under the same number however often this is called.
    pub(super) fn count(&mut self, id: ActionId, now: Now) -> Option<Change> {
        let entry = self.entries.get(&id)?;
        let (offence, keys) = (entry.offence.as_ref()?, entry.keys.as_ref()?);
        // A repeat may have taken its end away.
        let end = entry.end.as_ref()?;
        let counted = (entry.number, &*entry.action, keys);
        let offences = &mut self.offences;
        Some(offences.count(counted, (offence, end), now, &self.boot_id))
    }

    /// Forgets what is known of the target of a block that a person takes back:
    /// they say that it should not be.
    pub(super) fn forgive(&mut self, id: ActionId) -> Option<Change> {
        let entry = self.entries.get_mut(&id)?;
        entry.offence.take()?;
        let keys = entry.keys.as_ref()?;
        self.offences.forgive(&entry.action, keys)
    }
}
