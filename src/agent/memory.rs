//! Which actions have ended here, so that none is carried out again. The journal
//! remembers them; kept in memory is what it may not have written yet, and of the
//! others as much as tells of nearly every new action that it is new.

use std::collections::{HashSet, VecDeque};

use tokio::sync::watch;

use crate::journal::JournalError;
use crate::journal::agent::AgentReader;
use crate::model::ActionId;

/// Bits of a [`Sieve`], of which each of half a million ended actions sets four:
/// then two new ones of a thousand are looked up for nothing. In bytes, 1 MiB.
const BITS: usize = 1 << 23;

/// Says of most ids that they are not among those that were put in, and of those
/// that they are. None is ever taken out: what the journal has forgotten is looked
/// up there, which is all that comes of it.
#[derive(Debug)]
struct Sieve(Vec<u64>);

impl Sieve {
    fn new() -> Self {
        Self(vec![0; BITS / 64])
    }

    /// Ids are drawn at random, or made by a hash, so their bytes do for one.
    fn places(id: ActionId) -> impl Iterator<Item = (usize, u64)> {
        let parts = *id.bytes();
        (0..4).map(move |part| {
            let part = &parts[4 * part..4 * part + 4];
            let number = part
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            let bit = number % BITS;
            (bit / 64, 1 << (bit % 64))
        })
    }

    fn put(&mut self, id: ActionId) {
        for (word, bit) in Self::places(id) {
            self.0[word] |= bit;
        }
    }

    fn may_have(&self, id: ActionId) -> bool {
        Self::places(id).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

#[derive(Debug)]
pub(super) struct Memory {
    /// Everything that has ended here, as far as the journal remembers it.
    ended: Sieve,
    unwritten: HashSet<ActionId>,
    /// Those whose rows cannot be read: nobody knows what became of them.
    unreadable: HashSet<ActionId>,
    /// In the order of their journal writes.
    writes: VecDeque<(u64, ActionId)>,
    written: watch::Receiver<u64>,
}

impl Memory {
    /// `written` is the number up to which journal writes can be read; `ended` are
    /// the actions that had ended when it was opened.
    pub(super) fn new(
        written: watch::Receiver<u64>,
        ended: impl IntoIterator<Item = ActionId>,
    ) -> Self {
        let mut sieve = Sieve::new();
        ended.into_iter().for_each(|id| sieve.put(id));
        Self {
            ended: sieve,
            unwritten: HashSet::new(),
            unreadable: HashSet::new(),
            writes: VecDeque::new(),
            written,
        }
    }

    /// An action has ended, which is in journal write number `write`.
    pub(super) fn ended(&mut self, id: ActionId, write: u64) {
        self.ended.put(id);
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
        if !self.ended.may_have(id) {
            return Ok(false);
        }
        reader.has_ended(id)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use tokio::sync::watch;

    use super::{Memory, Sieve};
    use crate::model::ActionId;

    #[test]
    fn what_the_journal_has_written_takes_no_memory() {
        let (written, on_written) = watch::channel(0);
        let mut memory = Memory::new(on_written, []);
        let id = |number: u8| ActionId::from_bytes([number; 16]);
        memory.ended(id(1), 1);
        memory.ended(id(2), 2);
        written.send_replace(1);
        memory.ended(id(3), 3);
        assert!(!memory.unwritten.contains(&id(1)));
        assert!(memory.unwritten.contains(&id(2)) && memory.unwritten.contains(&id(3)));
    }

    #[test]
    fn the_sieve_holds_all_that_was_put_in_and_lets_most_others_through() {
        let id = |number: u64| {
            let mut id = [0; 16];
            id.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..16]);
            ActionId::from_bytes(id)
        };
        let mut sieve = Sieve::new();
        (0..100_000).for_each(|number| sieve.put(id(number)));
        assert!((0..100_000).all(|number| sieve.may_have(id(number))));
        let wrong = (100_000..200_000).filter(|number| sieve.may_have(id(*number)));
        let wrong = wrong.count();
        assert!(wrong < 100, "{wrong}");
    }
}
