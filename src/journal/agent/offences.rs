//! How often targets have been blocked, as an agent's journal holds it.

use rusqlite::{Transaction, params};

use crate::journal::JournalError;
use crate::ledger::offences::{Change, Counted};

use super::read::number;
use super::{AgentReader, i64_of, json};

/// A count stands under the number of the last action that was counted.
pub(super) fn store(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<usize> {
    let counted = match change {
        Change::Counted(counted) => counted,
        Change::Forgiven(number) => return remove(transaction, *number),
    };
    if let Some(before) = counted.replaces {
        remove(transaction, before)?;
    }
    transaction
        .prepare_cached("INSERT OR REPLACE INTO offences VALUES (?1, ?2, ?3)")?
        .execute(params![
            i64_of(counted.number),
            counted.standing.forgiven().millis(),
            json(counted)
        ])
}

fn remove(transaction: &Transaction<'_>, number: u64) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM offences WHERE number = ?1")?
        .execute([i64_of(number)])
}

impl AgentReader {
    /// The counts, in the order of their numbers, and what is wrong with those that
    /// are not valid. They are left where they are: without its count a target is
    /// blocked as for the first time.
    pub fn offences(&self) -> Result<(Vec<Counted>, Vec<JournalError>), JournalError> {
        let query = "SELECT number, count FROM offences ORDER BY number";
        let (mut counts, mut unreadable) = (Vec::new(), Vec::new());
        self.0.rows(query, [], |row| {
            let number = number(row, 0)?;
            match self
                .0
                .parse::<Counted>(&number.to_string(), row.get_ref(1)?.as_str()?)
            {
                Ok(counted) => counts.push(Counted { number, ..counted }),
                Err(error) => unreadable.push(error),
            }
            Ok(())
        })?;
        Ok((counts, unreadable))
    }
}
