//! Actions that were decided on, or heard of, of late: those that the journal
//! cannot tell of yet, so that a line that is read twice leads to each of its
//! actions once, and some more, since most of what is told of an action is told
//! within seconds and need not be looked up.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::journal::manager::Op;
use crate::model::{ActionId, AgentId};

/// Actions that are kept in mind although the journal can tell of them: about
/// one megabyte.
const KEPT: usize = if cfg!(test) { 4 } else { 8_192 };

#[derive(Debug)]
pub(super) struct Fresh {
    ids: HashMap<ActionId, Known>,
    /// In the order of their journal writes.
    writes: VecDeque<(u64, ActionId)>,
    /// Those that can be read, the oldest first.
    kept: VecDeque<ActionId>,
    /// How many operations each journal write has that cannot be read yet, and
    /// all of them together.
    ops: VecDeque<(u64, usize)>,
    unwritten_ops: usize,
    pub(super) written: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Known {
    owner: AgentId,
    /// How often it is in `writes` and `kept` together.
    places: u32,
}

impl Fresh {
    /// `written` is the number up to which journal writes can be read.
    pub(super) fn new(written: watch::Receiver<u64>) -> Self {
        Self {
            ids: HashMap::new(),
            writes: VecDeque::new(),
            kept: VecDeque::new(),
            ops: VecDeque::new(),
            unwritten_ops: 0,
            written,
        }
    }

    /// Whose action this is; none if it is not one of these.
    pub(super) fn owner(&self, id: ActionId) -> Option<&AgentId> {
        self.ids.get(&id).map(|known| &known.owner)
    }

    /// An action of this agent has been decided on, or heard of.
    pub(super) fn insert(&mut self, id: ActionId, owner: AgentId) {
        self.ids.entry(id).or_insert(Known { owner, places: 0 });
    }

    /// How many operations wait for the journal.
    pub(super) fn unwritten_ops(&self) -> usize {
        self.unwritten_ops
    }

    /// Forgets those that the journal can tell of, but for the latest of them.
    pub(super) fn forget_written(&mut self) {
        let written = *self.written.borrow();
        while let Some((_, ops)) = self.ops.front().filter(|(write, _)| *write <= written) {
            self.unwritten_ops -= ops;
            self.ops.pop_front();
        }
        while let Some((_, id)) = self.writes.front().filter(|(write, _)| *write <= written) {
            self.kept.push_back(*id);
            self.writes.pop_front();
        }
        self.trim();
    }

    /// An action of this agent, of which the journal can tell, is about to be told
    /// of.
    pub(super) fn keep(&mut self, id: ActionId, owner: AgentId) {
        let known = self.ids.entry(id).or_insert(Known { owner, places: 0 });
        known.places += 1;
        self.kept.push_back(id);
        self.trim();
    }

    fn trim(&mut self) {
        let many = self.kept.len().saturating_sub(KEPT);
        for old in self.kept.drain(..many) {
            let Some(known) = self.ids.get_mut(&old) else {
                continue;
            };
            known.places -= 1;
            if known.places == 0 {
                self.ids.remove(&old);
            }
        }
    }

    /// These operations are in journal write number `write`.
    pub(super) fn written(&mut self, ops: &[Op], write: u64) {
        self.forget_written();
        self.ops.push_back((write, ops.len()));
        self.unwritten_ops += ops.len();
        for op in ops {
            let id = match op {
                Op::Dispatch { record, .. } | Op::Record { record, .. } => record.action,
                Op::Checkpoint { .. }
                | Op::Awaited { .. }
                | Op::Alert { .. }
                | Op::Retold(_)
                | Op::Taken { .. }
                | Op::Revert { .. }
                | Op::Heard { .. }
                | Op::Prune { .. } => continue,
            };
            if let Some(known) = self.ids.get_mut(&id) {
                known.places += 1;
                self.writes.push_back((write, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::{Fresh, KEPT};
    use crate::clock::Wall;
    use crate::journal::manager::Op;
    use crate::model::action::sample;
    use crate::model::{ActionState, AgentId, Record};

    #[test]
    fn an_action_is_remembered_until_the_journal_can_tell_of_it() {
        let (written, on_written) = watch::channel(0);
        let mut fresh = Fresh::new(on_written);
        let op = |number: u8| {
            let action = sample::action(number, "firewall-drop", None);
            let record = Record::new(&action, ActionState::Sent, Wall::from_millis(0));
            fresh_id(&record)
        };
        let (first, second) = (op(1), op(2));
        fresh.insert(first.0, AgentId::MANAGER);
        fresh.insert(second.0, AgentId::MANAGER);
        fresh.written(std::slice::from_ref(&first.1), 4);
        fresh.written(std::slice::from_ref(&second.1), 5);
        let owner = Some(&AgentId::MANAGER);
        assert_eq!([fresh.owner(first.0), fresh.owner(second.0)], [owner; 2]);
        assert_eq!(fresh.unwritten_ops(), 2);
        written.send_replace(4);
        fresh.written(&[], 6);
        assert_eq!(fresh.unwritten_ops(), 1);
        // A few are kept in mind all the same.
        assert_eq!([fresh.owner(first.0), fresh.owner(second.0)], [owner; 2]);
        written.send_replace(5);
        for number in 0..KEPT {
            let next = op(3 + u8::try_from(number).unwrap());
            fresh.insert(next.0, AgentId::MANAGER);
            fresh.written(std::slice::from_ref(&next.1), 7);
        }
        assert_eq!([fresh.owner(first.0), fresh.owner(second.0)], [owner; 2]);
        written.send_replace(7);
        fresh.forget_written();
        assert_eq!([fresh.owner(first.0), fresh.owner(second.0)], [None; 2]);
        assert_eq!((fresh.unwritten_ops(), fresh.ids.len()), (0, KEPT));
        // What is sent again will be told of.
        fresh.keep(first.0, AgentId::MANAGER);
        assert_eq!([fresh.owner(first.0), fresh.owner(second.0)], [owner, None]);
        assert_eq!(fresh.ids.len(), KEPT);
    }

    fn fresh_id(record: &Record) -> (crate::model::ActionId, Op) {
        (
            record.action,
            Op::Record {
                record: record.clone().into(),
                heard: record.time,
            },
        )
    }
}
