//! What is taken back before its time: because a person asks, or because agentd
//! stops.

use crate::clock::Now;
use crate::model::{ActionId, ActionState, Mode};

use super::{Changes, Ledger, Step};

impl Ledger {
    /// Takes an action back because a person asked, and forgives its target.
    /// `None` if it is not in force and not on its way to be.
    pub fn ask_revert(&mut self, id: ActionId, now: Now) -> Option<Changes> {
        let entry = self.entries.get_mut(&id)?;
        if entry.step == Step::Waiting {
            let detail = "taken back by a person before it ran".to_owned();
            return Some(self.refuse(id, ActionState::Suppressed, detail, now));
        }
        let is_other = entry.offence.is_some() || entry.lifted;
        entry.lifted = false;
        let forgiven = self.forgive(id);
        let mut changes = self.take_back(id, now)?;
        if is_other {
            changes.change(id);
            changes.counts.extend(forgiven);
        }
        Some(changes)
    }

    /// Takes an action back because agentd stops. `None` if it is not in force and
    /// not on its way to be.
    pub fn lift(&mut self, id: ActionId, now: Now) -> Option<Changes> {
        let entry = self.entries.get_mut(&id)?;
        let is_early = match entry.step {
            Step::Adding | Step::InForce | Step::Redoing => true,
            // What has not begun is left to the next start.
            Step::Waiting | Step::Reverting | Step::Undoing | Step::Ended => false,
        };
        // What a person wants taken back is so because of them.
        entry.lifted |= is_early && !entry.asked;
        self.take_back(id, now)
    }

    fn take_back(&mut self, id: ActionId, now: Now) -> Option<Changes> {
        let entry = self.entries.get_mut(&id)?;
        let mut changes = Changes::default();
        match entry.step {
            Step::Adding | Step::Redoing => {
                entry.asked = true;
                changes.change(id);
            }
            Step::InForce if entry.running || entry.repeats > 0 => {
                entry.asked = true;
                changes.change(id);
            }
            Step::InForce => return Some(self.begin_revert(id, now)),
            Step::Reverting | Step::Undoing => {
                if !entry.running {
                    // Do not wait for the next retry.
                    self.disarm(id);
                    changes.runs.push((id, Mode::Delete));
                }
            }
            Step::Waiting | Step::Ended => return None,
        }
        Some(changes)
    }
}
