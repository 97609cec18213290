//! Look-ups of what is in force. After a start, or after somebody has flushed the
//! tables of the kernel, there may be a hundred thousand: they are lined up few
//! at a time, so that they take neither memory nor the time of what is new.

use std::collections::{HashSet, VecDeque};

use crate::executor::RunId;
use crate::ledger::agent::{Entry, Step};
use crate::model::{ActionId, Mode};

use super::Agent;

/// Look-ups that are lined up or run: enough to fill the transactions of a
/// worker.
const MAX_OPEN: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct LookUps {
    waiting: VecDeque<ActionId>,
    open: HashSet<RunId>,
}

impl LookUps {
    /// The next one that may be lined up now.
    fn next(&mut self) -> Option<ActionId> {
        let has_room = self.open.len() < MAX_OPEN;
        has_room.then(|| self.waiting.pop_front()).flatten()
    }

    /// A run has ended, or does not take place.
    pub(super) fn ended(&mut self, run: RunId) {
        self.open.remove(&run);
    }
}

impl Agent {
    /// Puts a run off until there is room for it, if it is a look-up. Returns
    /// whether it is.
    pub(super) fn put_off(&mut self, id: ActionId, kind: Mode) -> bool {
        let in_force = |entry: &Entry| entry.step == Step::InForce;
        let is_one = kind == Mode::Add && self.ledger.entry(id).is_some_and(in_force);
        if is_one {
            self.look_ups.waiting.push_back(id);
        }
        is_one
    }

    /// Lines up as many as there is room for.
    pub(super) fn line_up_look_ups(&mut self) {
        while let Some(id) = self.look_ups.next() {
            let is_wanted =
                |entry: &Entry| entry.step == Step::InForce && entry.must_restore && !entry.running;
            if !self.ledger.entry(id).is_some_and(is_wanted) {
                // It has ended meanwhile, or was looked up.
                self.standing.is_done(id);
                continue;
            }
            let target = self.target(id);
            if let Some(run) = self.plan(id, Mode::Add, target.as_ref()) {
                self.look_ups.open.insert(run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LookUps, MAX_OPEN};
    use crate::executor::RunId;
    use crate::model::ActionId;

    #[test]
    fn few_are_lined_up_at_a_time_and_one_more_for_each_that_has_ended() {
        let mut look_ups = LookUps::default();
        let ids = (0..2 * MAX_OPEN).map(|number| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            ActionId::from_bytes(id)
        });
        look_ups.waiting.extend(ids);
        let mut runs = 0;
        while look_ups.next().is_some() {
            look_ups.open.insert(RunId(runs));
            runs += 1;
        }
        assert_eq!(runs, MAX_OPEN as u64);
        look_ups.ended(RunId(0));
        assert!(look_ups.next().is_some());
        look_ups.open.insert(RunId(runs));
        assert_eq!(look_ups.next(), None);
    }
}
