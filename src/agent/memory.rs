//! Which actions have ended here, so that none is carried out again. The journal
//! remembers them; kept in memory is only what it may not have written yet.

use std::collections::{HashSet, VecDeque};

use tokio::sync::watch;

use crate::journal::JournalError;
use crate::journal::agent::AgentReader;
use crate::model::ActionId;

#[derive(Debug)]
pub(super) struct Memory {
    unwritten: HashSet<ActionId>,
    /// Those whose rows cannot be read: nobody knows what became of them.
    unreadable: HashSet<ActionId>,
    /// In the order of their journal writes.
    writes: VecDeque<(u64, ActionId)>,
    written: watch::Receiver<u64>,
}

impl Memory {
    /// `written` is the number up to which journal writes can be read.
    pub(super) fn new(written: watch::Receiver<u64>) -> Self {
        Self {
            unwritten: HashSet::new(),
            unreadable: HashSet::new(),
            writes: VecDeque::new(),
            written,
        }
    }

    /// An action has ended, which is in journal write number `write`.
    pub(super) fn ended(&mut self, id: ActionId, write: u64) {
        let written = *self.written.borrow();
        while let Some((_, old)) = self.writes.front().filter(|(write, _)| *write <= written) {
            self.unwritten.remove(old);
            self.writes.pop_front();
        }
        if self.unwritten.insert(id) {
            self.writes.push_back((write, id));
        }
    }

    /// An action is in the journal, but cannot be read.
    pub(super) fn remember(&mut self, id: ActionId) {
        self.unreadable.insert(id);
    }

    /// Whether an action has ended here, or may have.
    pub(super) fn has(&self, id: ActionId, reader: &AgentReader) -> Result<bool, JournalError> {
        if self.unwritten.contains(&id) || self.unreadable.contains(&id) {
            return Ok(true);
        }
        reader.has_ended(id)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::Memory;
    use crate::model::ActionId;

    #[test]
    fn what_the_journal_has_written_takes_no_memory() {
        let (written, on_written) = watch::channel(0);
        let mut memory = Memory::new(on_written);
        let id = |number: u8| ActionId::from_bytes([number; 16]);
        memory.ended(id(1), 1);
        memory.ended(id(2), 2);
        written.send_replace(1);
        memory.ended(id(3), 3);
        assert!(!memory.unwritten.contains(&id(1)));
        assert!(memory.unwritten.contains(&id(2)) && memory.unwritten.contains(&id(3)));
    }
}
