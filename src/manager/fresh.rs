//! Actions that were decided on, or heard of, and that the journal may not tell
//! of yet, so that a line that is read twice leads to each of its actions once.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::journal::manager::Op;
use crate::model::{ActionId, AgentId};

#[derive(Debug)]
pub(super) struct Fresh {
    /// Whose each is.
    ids: HashMap<ActionId, AgentId>,
    /// In the order of their journal writes.
    writes: VecDeque<(u64, ActionId)>,
    written: watch::Receiver<u64>,
}

impl Fresh {
    /// `written` is the number up to which journal writes can be read.
    pub(super) fn new(written: watch::Receiver<u64>) -> Self {
        Self {
            ids: HashMap::new(),
            writes: VecDeque::new(),
            written,
        }
    }

    /// Whose action this is; none if it is not one of these.
    pub(super) fn owner(&self, id: ActionId) -> Option<&AgentId> {
        self.ids.get(&id)
    }

    /// An action of this agent has been decided on, or heard of.
    pub(super) fn insert(&mut self, id: ActionId, agent: AgentId) {
        self.ids.insert(id, agent);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Forgets those that the journal can tell of.
    pub(super) fn forget_written(&mut self) {
        let written = *self.written.borrow();
        while let Some((_, old)) = self.writes.front().filter(|(write, _)| *write <= written) {
            self.ids.remove(old);
            self.writes.pop_front();
        }
    }

    /// These operations are in journal write number `write`.
    pub(super) fn written(&mut self, ops: &[Op], write: u64) {
        self.forget_written();
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
            if self.ids.contains_key(&id) {
                self.writes.push_back((write, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::Fresh;
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
        written.send_replace(4);
        fresh.written(&[], 6);
        assert_eq!(fresh.owner(first.0), None);
        assert_eq!(fresh.owner(second.0), owner);
    }

    fn fresh_id(record: &Record) -> (crate::model::ActionId, Op) {
        (
            record.action,
            Op::Record {
                record: Box::new(record.clone()),
                heard: record.time,
            },
        )
    }
}
