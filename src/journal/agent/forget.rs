//! What an agent's journal forgets, and when.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction};

use crate::clock::Wall;

use super::set_meta;

/// How much is kept of what is over.
struct Kept {
    /// The moments of its rows, the newest first.
    moments: &'static str,
    span: Duration,
    most: u32,
}

/// Ids, so that none of these actions is carried out again: about 0.5 KB each.
const IDS: Kept = Kept {
    moments: "SELECT ended_ms FROM ended ORDER BY ended_ms DESC",
    span: Duration::from_secs(7 * 86_400),
    most: 500_000,
};

/// Records, for people: about 0.5 KB each.
const HISTORY: Kept = Kept {
    moments: "SELECT time_ms FROM updates ORDER BY time_ms DESC",
    span: Duration::from_secs(90 * 86_400),
    most: 200_000,
};

/// Counts of blocks. A row is as old as long as all of it is forgiven.
const OFFENCES: Kept = Kept {
    moments: "SELECT forgiven_ms FROM offences ORDER BY forgiven_ms DESC",
    span: Duration::ZERO,
    most: 100_000,
};

/// The clock is believed to have moved on by so much at most since the last look.
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that is before 2020 was never set, and tells no age.
const SET: Wall = Wall::from_millis(1_577_836_800_000);

/// Forgets what is over, but nothing that the manager has not confirmed.
pub(super) fn prune(transaction: &Transaction<'_>, now: Wall) -> rusqlite::Result<usize> {
    let now = believed(transaction, now)?;
    let confirmed = number_of(transaction, "confirmed")?;
    sweep(transaction, confirmed)?;
    let before = IDS.before(transaction, now)?;
    transaction.execute(
        "DELETE FROM ended WHERE ended_ms < ?1
         AND number NOT IN (SELECT number FROM updates WHERE seq > ?2)",
        [before, confirmed],
    )?;
    let before = OFFENCES.before(transaction, now)?;
    transaction.execute("DELETE FROM offences WHERE forgiven_ms < ?1", [before])?;
    let before = HISTORY.before(transaction, now)?;
    transaction.execute(
        "DELETE FROM updates WHERE time_ms < ?1 AND seq <= ?2
         AND number NOT IN (SELECT number FROM live)
         AND number NOT IN (SELECT number FROM updates WHERE seq > ?2)",
        [before, confirmed],
    )
}

/// Leaves of what the manager has confirmed since the last time the last record
/// of each action.
fn sweep(transaction: &Transaction<'_>, confirmed: i64) -> rusqlite::Result<usize> {
    let swept = number_of(transaction, "swept")?;
    transaction.execute(
        "DELETE FROM updates WHERE seq > ?1 AND seq <= ?2 AND EXISTS
         (SELECT 1 FROM updates AS later
          WHERE later.number = updates.number AND later.seq > updates.seq)",
        [swept, confirmed],
    )?;
    set_meta(transaction, "swept", &confirmed.to_string())
}

/// The number of an update under this name; 0 if there is none.
fn number_of(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    let query = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?1";
    let number = transaction.query_row(query, [name], |row| row.get(0));
    Ok(number.optional()?.unwrap_or_default())
}

impl Kept {
    /// What is over since before this moment is forgotten, in milliseconds.
    fn before(&self, transaction: &Transaction<'_>, now: Wall) -> rusqlite::Result<i64> {
        let query = format!("{} LIMIT 1 OFFSET {}", self.moments, self.most);
        let first_too_many: Option<i64> = transaction
            .query_row(&query, [], |row| row.get(0))
            .optional()?;
        let too_old = now.minus(self.span).millis();
        Ok(first_too_many.map_or(too_old, |moment| too_old.max(moment + 1)))
    }
}

/// The moment by which age is told. A clock that is far ahead, as at the start of
/// a host whose clock has lost its battery, would make everything old at once;
/// after so long a break it is believed bit by bit.
fn believed(transaction: &Transaction<'_>, now: Wall) -> rusqlite::Result<Wall> {
    let last: Option<i64> = transaction.query_row(
        "SELECT COALESCE((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'looked'),
                         (SELECT MAX(time_ms) FROM updates))",
        [],
        |row| row.get(0),
    )?;
    let last = last.map(Wall::from_millis).filter(|last| *last >= SET);
    let last = last.unwrap_or(now);
    let believed = now.min(last.plus(DAY));
    // A clock that is behind for a while changes nothing about that.
    set_meta(
        transaction,
        "looked",
        &last.max(believed).millis().to_string(),
    )?;
    Ok(believed)
}
