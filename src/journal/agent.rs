//! What an agent must not forget: its actions, the alerts they came with, what
//! the manager has not confirmed yet, and the last white list.
//!
//! Tables of version 2:
//! - `actions(id, ended_ms, entry)`: a ledger entry as JSON; `ended_ms` (wall
//!   time) is null while it lives, and then only the `action` of it is kept, for
//!   a week after its end: its id must be known for so long;
//! - `alerts(id, body)`: the alert's bytes, apart so that a start does not read them;
//! - `records(id, time_ms, record, seq)`: the last record of each action and the
//!   number of its update, for history, 90 days;
//! - `updates(seq, action, record)`: what the manager has not confirmed;
//! - `meta(name, value)`, values as JSON: `white_list`; `journal`, the id of this
//!   journal; `manager`, that of the manager's; `confirmed`, the last update
//!   that the manager has stored; `promised`, the same of the manager that was last
//!   told everything; `looked`, the wall time in milliseconds up to which was
//!   looked for what is to be forgotten.
//!
//! Of both tables the newest rows are kept, `IDS` and `HISTORY` many at most;
//! what the manager has not confirmed stays in any case.
//!
//! Version 1 had of `meta` only `white_list`.

use std::path::Path;
use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock::Wall;
use crate::ledger::agent::{Entry, Step};
use crate::model::{Action, ActionId, JournalId, Record};

use super::reader::Reader;
use super::{JournalError, Schema};

/// The schema of `queue/agentd.db`.
#[derive(Debug)]
pub struct AgentSchema;

/// One change. Those of one write are applied together.
#[derive(Clone, Debug)]
pub enum Op {
    /// A new action with its alert.
    Alert {
        id: ActionId,
        body: Vec<u8>,
    },
    /// An action as it stands now.
    Entry(Box<Entry>, Wall),
    /// A state change the manager is to be told of.
    Update {
        seq: u64,
        action: Box<Action>,
        record: Box<Record>,
    },
    /// The manager has stored every update up to this one.
    Confirmed {
        up_to: u64,
    },
    WhiteList(String),
    /// The manager with this journal has been told everything.
    Manager(JournalId),
    /// This journal has another id, and no manager has been told of it.
    Journal(JournalId),
    /// Forgets what is over, confirmed, and too old or too much.
    Prune {
        now: Wall,
    },
}

impl Schema for AgentSchema {
    type Op = Op;

    const VERSION: i32 = 2;

    const CREATE: &'static str = "
        CREATE TABLE actions (id TEXT PRIMARY KEY, ended_ms INTEGER, entry TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX actions_ended ON actions (ended_ms);
        CREATE TABLE alerts (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE records (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, record TEXT NOT NULL,
                              seq INTEGER NOT NULL DEFAULT 0) STRICT;
        CREATE INDEX records_time ON records (time_ms);
        CREATE INDEX records_seq ON records (seq);
        CREATE TABLE updates (seq INTEGER PRIMARY KEY, action TEXT NOT NULL, record TEXT NOT NULL) STRICT;
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        INSERT INTO meta VALUES ('journal', json_quote(lower(hex(randomblob(16)))));";

    const MIGRATE: &'static [&'static str] = &[
        "INSERT INTO meta VALUES ('journal', json_quote(lower(hex(randomblob(16)))));
           ALTER TABLE records ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
           CREATE INDEX records_seq ON records (seq);",
    ];

    fn apply(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
        match op {
            Op::Alert { id, body } => transaction
                .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2)")?
                .execute(params![id.to_string(), body]),
            Op::Entry(entry, now) => {
                let ended = (entry.step == Step::Ended).then(|| now.millis());
                let id = entry.action.id.to_string();
                if ended.is_some() {
                    transaction
                        .prepare_cached("DELETE FROM alerts WHERE id = ?1")?
                        .execute([&id])?;
                }
                // Of what is over it is only told what it was.
                let text = match ended {
                    Some(_) => serde_json::json!({ "action": entry.action }).to_string(),
                    None => json(entry),
                };
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO actions VALUES (?1, ?2, ?3)")?
                    .execute(params![id, ended, text])
            }
            Op::Update {
                seq,
                action,
                record,
            } => {
                let text = json(record);
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![
                        record.action.to_string(),
                        record.time.millis(),
                        text,
                        i64_of(*seq)
                    ])?;
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO updates VALUES (?1, ?2, ?3)")?
                    .execute(params![i64_of(*seq), json(action), text])
            }
            Op::Confirmed { up_to } => {
                transaction
                    .prepare_cached("DELETE FROM updates WHERE seq <= ?1")?
                    .execute([i64_of(*up_to)])?;
                // Their numbers are not given again, also when none is left.
                set_meta(transaction, "confirmed", &up_to.to_string())?;
                set_meta(transaction, "promised", &up_to.to_string())
            }
            Op::WhiteList(text) => set_meta(transaction, "white_list", text),
            Op::Manager(journal) => {
                set_meta(transaction, "promised", "0")?;
                set_meta(transaction, "manager", &json(journal))
            }
            Op::Journal(journal) => {
                transaction
                    .execute("DELETE FROM meta WHERE name IN ('manager', 'promised')", [])?;
                set_meta(transaction, "journal", &json(journal))
            }
            Op::Prune { now } => prune(transaction, *now),
        }
        .map(drop)
    }

    fn sets(op: &Op) -> Option<ActionId> {
        match op {
            Op::Entry(entry, _) => Some(entry.action.id),
            Op::Alert { .. }
            | Op::Update { .. }
            | Op::Confirmed { .. }
            | Op::WhiteList(_)
            | Op::Manager(_)
            | Op::Journal(_)
            | Op::Prune { .. } => None,
        }
    }
}

fn set_meta(transaction: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute([name, value])
}

/// How much is kept of what is over.
struct Kept {
    /// The moments of its rows, the newest first.
    moments: &'static str,
    span: Duration,
    most: u32,
}

/// Ids, so that none of these actions is carried out again: about 0.5 KB each.
const IDS: Kept = Kept {
    moments: "SELECT ended_ms FROM actions WHERE ended_ms IS NOT NULL ORDER BY ended_ms DESC",
    span: Duration::from_secs(7 * 86_400),
    most: 500_000,
};

/// Records, for people: about 0.5 KB each.
const HISTORY: Kept = Kept {
    moments: "SELECT time_ms FROM records ORDER BY time_ms DESC",
    span: Duration::from_secs(90 * 86_400),
    most: 200_000,
};

/// The clock is believed to have moved on by so much at most since the last look.
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that is before 2020 was never set, and tells no age.
const SET: Wall = Wall::from_millis(1_577_836_800_000);

/// Forgets what is over, but nothing that the manager has not confirmed.
fn prune(transaction: &Transaction<'_>, now: Wall) -> rusqlite::Result<usize> {
    let now = believed(transaction, now)?;
    let unconfirmed = "SELECT json_extract(record, '$.action') FROM updates";
    let before = IDS.before(transaction, now)?;
    let ids = format!("DELETE FROM actions WHERE ended_ms < ?1 AND id NOT IN ({unconfirmed})");
    transaction.execute(&ids, [before])?;
    let before = HISTORY.before(transaction, now)?;
    let live = "SELECT id FROM actions WHERE ended_ms IS NULL";
    let records = format!(
        "DELETE FROM records WHERE time_ms < ?1 AND id NOT IN ({live}) AND id NOT IN ({unconfirmed})"
    );
    transaction.execute(&records, [before])
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
                         (SELECT MAX(time_ms) FROM records))",
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

/// SQLite integers are signed; sequence numbers never come near the limit.
fn i64_of(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("names, numbers and lists always serialise")
}

/// What a journal holds at a start.
#[derive(Debug)]
pub struct Loaded {
    /// Every action that has not ended.
    pub live: Vec<Entry>,
    /// Rows of such actions that are not valid. They are left where they are.
    pub unreadable: Vec<JournalError>,
    /// What the manager has not confirmed, in order.
    pub updates: Vec<(u64, Action, Record)>,
    pub white_list: Option<String>,
    /// The id of this journal.
    pub journal: JournalId,
    /// That of the manager which was last told everything.
    pub manager: Option<JournalId>,
    pub numbers: Numbers,
}

/// The numbers of updates.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// That of the next one.
    pub next: u64,
    /// Up to which the manager that was last told everything has confirmed them.
    pub promised: u64,
}

const META: &str = "SELECT value FROM meta WHERE name = ?1";

/// Reads `queue/agentd.db` beside its writer.
#[derive(Debug)]
pub struct AgentReader(Reader);

impl AgentReader {
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Reader::open(path).map(Self)
    }

    pub fn load(&self) -> Result<Loaded, JournalError> {
        let query = "SELECT id, entry FROM actions WHERE ended_ms IS NULL";
        let (live, unreadable): (Vec<_>, Vec<_>) =
            self.0.each(query, [])?.into_iter().partition(Result::is_ok);
        let updates = self.updates()?;
        let confirmed: Option<u64> = self.meta("confirmed")?;
        let told = updates.last().map(|(seq, ..)| *seq);
        Ok(Loaded {
            live: live.into_iter().flatten().collect(),
            unreadable: unreadable.into_iter().filter_map(Result::err).collect(),
            updates,
            white_list: self.0.one(META, ["white_list"])?,
            journal: self.id()?,
            manager: self.meta("manager")?,
            numbers: Numbers {
                next: told.max(confirmed).unwrap_or(0) + 1,
                promised: self.meta("promised")?.unwrap_or(0),
            },
        })
    }

    /// The id of this journal.
    pub fn id(&self) -> Result<JournalId, JournalError> {
        let text: Option<String> = self.0.one(META, ["journal"])?;
        self.0.parse("journal", text.as_deref().unwrap_or_default())
    }

    fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JournalError> {
        let text: Option<String> = self.0.one(META, [name])?;
        text.map(|text| self.0.parse(name, &text)).transpose()
    }

    fn updates(&self) -> Result<Vec<(u64, Action, Record)>, JournalError> {
        let query = "SELECT CAST(seq AS TEXT),
                            json_object('seq', seq, 'action', json(action), 'record', json(record))
                     FROM updates ORDER BY seq";
        let updates: Vec<StoredUpdate> = self.0.values(query, [])?;
        Ok(updates
            .into_iter()
            .map(|update| (update.seq, update.action, update.record))
            .collect())
    }

    /// The alert of an action that has not ended.
    pub fn alert(&self, id: ActionId) -> Result<Option<Vec<u8>>, JournalError> {
        self.0.alert(id)
    }

    /// Whether this action has been accepted here, ended or not.
    pub fn knows(&self, id: ActionId) -> Result<bool, JournalError> {
        self.0.has_action(id)
    }

    /// An action that has ended, and the last record of it.
    pub fn told(&self, id: ActionId) -> Result<Option<(Action, Record)>, JournalError> {
        let id = id.to_string();
        let ended: Vec<Ended> = self
            .0
            .values("SELECT id, entry FROM actions WHERE id = ?1", [&id])?;
        let records = self
            .0
            .values("SELECT id, record FROM records WHERE id = ?1", [&id])?;
        let action = ended.into_iter().map(|ended| ended.action).next();
        Ok(action.zip(records.into_iter().next()))
    }

    /// What has ended with an update beyond this number, with its last record, in
    /// their order; of very many the first.
    pub fn over_since(&self, seq: u64) -> Result<Vec<(Action, Record)>, JournalError> {
        let query = "SELECT CAST(seq AS TEXT),
                            json_object('seq', seq, 'action', json_extract(entry, '$.action'), 'record', json(record))
                     FROM records JOIN actions USING (id)
                     WHERE seq > ?1 AND ended_ms IS NOT NULL ORDER BY seq LIMIT 20000";
        let over: Vec<StoredUpdate> = self.0.values(query, [i64_of(seq)])?;
        let over = over.into_iter();
        Ok(over.map(|over| (over.action, over.record)).collect())
    }

    /// The last record of each of the `limit` actions that changed last, newest first.
    pub fn history(&self, limit: u32) -> Result<Vec<Record>, JournalError> {
        let query = "SELECT id, record FROM records ORDER BY time_ms DESC LIMIT ?1";
        self.0.values(query, [limit])
    }
}

/// The row of an action that is over; also what an earlier version made of it.
#[derive(Deserialize)]
struct Ended {
    action: Action,
}

#[derive(Deserialize)]
struct StoredUpdate {
    seq: u64,
    action: Action,
    record: Record,
}
