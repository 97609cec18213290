//! What an agent must not forget: its actions, the alerts they came with, what
//! the manager has not confirmed yet, and the last white list.
//!
//! Each action has a number, which grows; what is written in a burst so stands
//! side by side, and a write costs the same however much is there. Tables of
//! version 4:
//! - `live(number, id, entry)`: the ledger entry, as JSON, of what has not ended;
//! - `alerts(number, body)`: its alert, apart so that a start does not read it;
//! - `ended(number, id, ended_ms, action)`: what has (wall time), for a week: its
//!   id must be known for so long;
//! - `updates(seq, number, time_ms, record)`: what the manager was told or is to
//!   be. Once confirmed, the last record of each action is kept as its history,
//!   90 days;
//! - `offences(number, forgiven_ms, count)`: how often a target has been blocked,
//!   as JSON, under the number of the last action that counted, until all of it is
//!   forgiven (wall time);
//! - `meta(name, value)`, values as JSON: `white_list`; `boot`, the last boot of
//!   this host in which it was opened; `journal`, the id of this journal; `manager`, that of the manager's; `confirmed`, the last update
//!   that the manager has stored; `promised`, the same of the manager that was last
//!   told everything; `swept`, up to which number only last records are left;
//!   `looked`, the wall time in milliseconds up to which was looked for what is
//!   to be forgotten.
//!
//! Of `ended` and `updates` the newest rows are kept, `IDS` and `HISTORY` many at
//! most; what the manager has not confirmed stays in any case. Of `offences` those
//! are kept that are forgiven last, `OFFENCES` many.
//!
//! Before version 4 nothing was counted. Before version 3 rows were found by the id of their action, which is drawn at
//! random: each lay on a page of its own. Version 1 had of `meta` only
//! `white_list`.

mod forget;
mod offences;
mod read;

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Transaction, params};

use crate::clock::{BootId, Wall};
use crate::ledger::agent::{Entry, Step};
use crate::ledger::offences::Change;
use crate::model::{Action, ActionId, JournalId, Record};

use super::{Schema, json};
pub use read::{AgentReader, Loaded, Numbers};

/// The schema of `queue/agentd.db`.
#[derive(Debug)]
pub struct AgentSchema;

/// A state of an action, which the manager is to be told.
#[derive(Clone, Debug)]
pub struct Telling {
    /// That of the action here; see [`Entry::number`].
    pub number: u64,
    pub action: Arc<Action>,
    pub record: Arc<Record>,
}

/// One change. Those of one write are applied together.
#[derive(Clone, Debug)]
pub enum Op {
    /// The alert of the new action with this number.
    Alert {
        number: u64,
        body: Arc<[u8]>,
    },
    /// An action as it stands now.
    Entry(Box<Entry>, Wall),
    /// A state that the manager is to be told.
    Update {
        seq: u64,
        telling: Telling,
    },
    /// The manager has stored every update up to this one.
    Confirmed {
        up_to: u64,
    },
    WhiteList(String),
    /// How often a target has been blocked.
    Offence(Change),
    /// The manager with this journal has been told everything.
    Manager(JournalId),
    /// It has been opened in this boot.
    Boot(BootId),
    /// This journal has another id, and no manager has been told of it.
    Journal(JournalId),
    /// Forgets what is over, confirmed, and too old or too much.
    Prune {
        now: Wall,
    },
}

impl Schema for AgentSchema {
    type Op = Op;

    const VERSION: i32 = 4;

    const CREATE: &'static str = "
        CREATE TABLE live (number INTEGER PRIMARY KEY, id BLOB NOT NULL, entry TEXT NOT NULL) STRICT;
        CREATE TABLE alerts (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE ended (number INTEGER PRIMARY KEY, id BLOB NOT NULL, ended_ms INTEGER NOT NULL,
                            action TEXT NOT NULL) STRICT;
        CREATE UNIQUE INDEX ended_id ON ended (id);
        CREATE INDEX ended_time ON ended (ended_ms);
        CREATE TABLE updates (seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, time_ms INTEGER NOT NULL,
                              record TEXT NOT NULL) STRICT;
        CREATE INDEX updates_number ON updates (number);
        CREATE INDEX updates_time ON updates (time_ms);
        CREATE TABLE offences (number INTEGER PRIMARY KEY, forgiven_ms INTEGER NOT NULL, count TEXT NOT NULL) STRICT;
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        INSERT INTO meta VALUES ('journal', json_quote(lower(hex(randomblob(16)))));";

    const MIGRATE: &'static [&'static str] = &[
        "INSERT INTO meta VALUES ('journal', json_quote(lower(hex(randomblob(16)))));
           ALTER TABLE records ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
           CREATE INDEX records_seq ON records (seq);",
        // Of records without the number of an update only their order matters,
        // and that they are older than those with one.
        "DROP INDEX actions_ended;
           DROP INDEX records_time;
           DROP INDEX records_seq;
           ALTER TABLE alerts RENAME TO old_alerts;
           ALTER TABLE updates RENAME TO old_updates;
           CREATE TABLE numbers (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
           INSERT INTO numbers (id)
               SELECT id FROM actions UNION SELECT id FROM records
               UNION SELECT json_extract(record, '$.action') FROM old_updates;
           CREATE TABLE live (number INTEGER PRIMARY KEY, id BLOB NOT NULL, entry TEXT NOT NULL) STRICT;
           INSERT INTO live SELECT number, unhex(id), entry FROM actions JOIN numbers USING (id)
               WHERE ended_ms IS NULL;
           CREATE TABLE alerts (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
           INSERT INTO alerts SELECT number, body FROM old_alerts JOIN numbers USING (id);
           CREATE TABLE ended (number INTEGER PRIMARY KEY, id BLOB NOT NULL, ended_ms INTEGER NOT NULL,
                               action TEXT NOT NULL) STRICT;
           INSERT INTO ended SELECT number, unhex(id), ended_ms, json_extract(entry, '$.action')
               FROM actions JOIN numbers USING (id) WHERE ended_ms IS NOT NULL;
           CREATE TABLE updates (seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, time_ms INTEGER NOT NULL,
                                 record TEXT NOT NULL) STRICT;
           INSERT INTO updates
               SELECT old.seq, number, COALESCE(time_ms, 0), old.record
               FROM old_updates AS old
               JOIN numbers ON numbers.id = json_extract(old.record, '$.action')
               LEFT JOIN records ON records.id = numbers.id;
           INSERT INTO updates
               SELECT iif(seq > 0, seq, -ROW_NUMBER() OVER (ORDER BY time_ms DESC)), number, time_ms, record
               FROM records JOIN numbers USING (id) WHERE seq NOT IN (SELECT seq FROM old_updates);
           DROP TABLE numbers;
           DROP TABLE actions;
           DROP TABLE records;
           DROP TABLE old_alerts;
           DROP TABLE old_updates;
           CREATE UNIQUE INDEX ended_id ON ended (id);
           CREATE INDEX ended_time ON ended (ended_ms);
           CREATE INDEX updates_number ON updates (number);
           CREATE INDEX updates_time ON updates (time_ms);",
        "CREATE TABLE offences (number INTEGER PRIMARY KEY, forgiven_ms INTEGER NOT NULL, count TEXT NOT NULL) STRICT;",
    ];

    fn apply(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
        match op {
            Op::Alert { number, body } => transaction
                .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2)")?
                .execute(params![i64_of(*number), &body[..]]),
            Op::Entry(entry, now) if entry.step == Step::Ended => end(transaction, entry, *now),
            Op::Entry(entry, _) => transaction
                .prepare_cached("INSERT OR REPLACE INTO live VALUES (?1, ?2, ?3)")?
                .execute(params![
                    i64_of(entry.number),
                    entry.action.id.bytes(),
                    json(entry)
                ]),
            Op::Update { seq, telling } => tell(transaction, *seq, telling),
            Op::Confirmed { up_to } => {
                set_meta(transaction, "confirmed", &up_to.to_string())?;
                set_meta(transaction, "promised", &up_to.to_string())
            }
            Op::Offence(change) => offences::store(transaction, change),
            Op::WhiteList(text) => set_meta(transaction, "white_list", text),
            Op::Boot(boot_id) => set_meta(transaction, "boot", &json(boot_id)),
            Op::Manager(journal) => {
                set_meta(transaction, "promised", "0")?;
                set_meta(transaction, "manager", &json(journal))
            }
            Op::Journal(journal) => {
                transaction
                    .execute("DELETE FROM meta WHERE name IN ('manager', 'promised')", [])?;
                set_meta(transaction, "journal", &json(journal))
            }
            Op::Prune { now } => forget::prune(transaction, *now),
        }
        .map(drop)
    }

    fn apply_all(transaction: &Transaction<'_>, ops: &[&Op]) -> rusqlite::Result<()> {
        let mut new = HashSet::new();
        for op in ops {
            match op {
                Op::Alert { number, .. } => {
                    new.insert(*number);
                    Self::apply(transaction, op)?;
                }
                // Of what has come with this commit nothing is confirmed yet.
                Op::Update { seq, telling } if new.contains(&telling.number) => {
                    store(transaction, *seq, telling)?;
                }
                op => Self::apply(transaction, op)?,
            }
        }
        Ok(())
    }

    fn sets(op: &Op) -> Option<ActionId> {
        match op {
            Op::Entry(entry, _) => Some(entry.action.id),
            Op::Alert { .. }
            | Op::Update { .. }
            | Op::Confirmed { .. }
            | Op::WhiteList(_)
            | Op::Offence(_)
            | Op::Boot(_)
            | Op::Manager(_)
            | Op::Journal(_)
            | Op::Prune { .. } => None,
        }
    }
}

/// Of what is over only what it was is kept.
fn end(transaction: &Transaction<'_>, entry: &Entry, now: Wall) -> rusqlite::Result<usize> {
    let number = i64_of(entry.number);
    transaction
        .prepare_cached("DELETE FROM alerts WHERE number = ?1")?
        .execute([number])?;
    transaction
        .prepare_cached("DELETE FROM live WHERE number = ?1")?
        .execute([number])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO ended VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            number,
            entry.action.id.bytes(),
            now.millis(),
            json(&entry.action)
        ])
}

/// Stores an update. What was confirmed of the same action is not the last one
/// any more.
fn tell(transaction: &Transaction<'_>, seq: u64, telling: &Telling) -> rusqlite::Result<usize> {
    let number = i64_of(telling.number);
    transaction
        .prepare_cached(
            "DELETE FROM updates WHERE number = ?1
             AND seq <= (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'confirmed')",
        )?
        .execute([number])?;
    store(transaction, seq, telling)
}

fn store(transaction: &Transaction<'_>, seq: u64, telling: &Telling) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO updates VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            i64_of(seq),
            i64_of(telling.number),
            telling.record.time.millis(),
            json(&telling.record)
        ])
}

fn set_meta(transaction: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute([name, value])
}

/// SQLite integers are signed; sequence numbers never come near the limit.
fn i64_of(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
