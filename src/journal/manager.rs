//! What a manager must not forget: how far each source is read, the actions
//! that are not over, and what became of the others.
//!
//! Tables of version 2:
//! - `meta(name, value)`: `journal`, the id of this journal; `pruned`, the moment
//!   (wall time in milliseconds) before which nothing is kept that is over;
//! - `sources(source, checkpoint)`: a position as JSON, `null` while the source
//!   is not there; written together with the actions of the lines before it;
//! - `actions(id, agent, place, time_ms, live, queued, until_ms, revert, alert,
//!   dispatch, record)`: the last record as JSON, and when it was taken in, by
//!   the clock of the manager's host. `dispatch` holds what is
//!   needed to send it, until the agent has it; `alert` is its row in `alerts`,
//!   and `place` its place among what waits for the same agent. `queued` is set
//!   while it has never been sent, `until_ms` (boot time of the manager's
//!   host, once it was told anew in its present boot) is when it becomes
//!   pointless then; `revert` while its agent is to take it back;
//! - `alerts(id, body)`: the bytes of an alert, for as long as an action that
//!   came from it has to be sent;
//! - `heard(agent, journal, seq)`: up to which number the updates of an agent's
//!   journal are taken in.
//!
//! Version 1 knew agent 000 alone and had the alert beside each action.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::clock::{Boot, BootId, Wall};
use crate::ledger::end::End;
use crate::model::position::Checkpoint;
use crate::model::{Action, ActionId, ActionState, AgentId, JournalId, Record};
use crate::wire::control::Which;

use super::reader::Reader;
use super::{JournalError, Schema};

/// The schema of `queue/manager.db`.
#[derive(Debug)]
pub struct ManagerSchema;

/// An action that may still have to be sent, and when that becomes pointless.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Dispatch {
    pub action: Action,
    /// The end of its timeout, or of the patience with an offline host.
    pub end: End,
}

/// What goes first when more than one action waits for an agent; within one
/// rank, what was decided on first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// A person waits for it.
    ByHand,
    /// It was meant for this agent.
    Aimed,
    /// It goes to every agent.
    Bulk,
}

impl Rank {
    /// The place in the queue of the `number`th action of a manager: SQLite
    /// orders by one number more quickly than by two.
    fn place(self, number: i64) -> i64 {
        let rank = match self {
            Self::ByHand => 0,
            Self::Aimed => 1,
            Self::Bulk => 2,
        };
        (rank << 60) | number
    }
}

/// The number of an action in its place; see [`Rank::place`].
const NUMBER: i64 = (1 << 60) - 1;

/// One change. Those of one write are applied together.
#[derive(Clone, Debug)]
pub enum Op {
    Checkpoint {
        source: String,
        checkpoint: Box<Checkpoint>,
    },
    /// The source was looked at and nothing was there yet.
    Awaited { source: String },
    /// The alert of the dispatches that follow.
    Alert { number: i64, body: Arc<[u8]> },
    /// A new action that is to be sent.
    Dispatch {
        dispatch: Box<Dispatch>,
        rank: Rank,
        /// Grows with each dispatch.
        number: i64,
        /// The number of its alert.
        alert: i64,
        record: Box<Record>,
    },
    /// A state change, which only the action's own agent can make. History goes
    /// by when it was `heard` of: the record has the time of the agent's clock,
    /// which may show any year.
    Record { record: Box<Record>, heard: Wall },
    /// An action that still has to be sent, with its end told in another boot.
    Retold(Box<Dispatch>),
    /// The agent has journalled it. Does nothing about an action of another one.
    Taken { agent: AgentId, action: ActionId },
    /// The agent is to take it back, and need not be sent it any more.
    Revert { agent: AgentId, action: ActionId },
    /// Updates of this agent's journal are taken in up to this one.
    Heard {
        agent: AgentId,
        journal: JournalId,
        seq: u64,
    },
    /// Forgets what was told to have ended before this moment.
    Prune { before: Wall },
}

impl Op {
    /// The agent of this record has its action.
    pub fn taken(record: &Record) -> Self {
        Self::Taken {
            agent: record.agent.id.clone(),
            action: record.action,
        }
    }
}

impl Schema for ManagerSchema {
    type Op = Op;

    const VERSION: i32 = 2;

    const CREATE: &'static str = "
        CREATE TABLE sources (source TEXT PRIMARY KEY, checkpoint TEXT NOT NULL) STRICT;
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        INSERT INTO meta VALUES ('journal', lower(hex(randomblob(16))));
        CREATE TABLE actions (id TEXT PRIMARY KEY, agent INTEGER NOT NULL, place INTEGER NOT NULL,
                              time_ms INTEGER NOT NULL, live INTEGER NOT NULL, queued INTEGER NOT NULL,
                              until_ms INTEGER NOT NULL, revert INTEGER NOT NULL, alert INTEGER,
                              dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX actions_time ON actions (time_ms);
        CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
        CREATE INDEX actions_waiting ON actions (agent, place) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_alert ON actions (alert) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_queued ON actions (until_ms) WHERE queued = 1;
        CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;
        CREATE TABLE alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE heard (agent INTEGER PRIMARY KEY, journal TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;";

    const MIGRATE: &'static [&'static str] = &["
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        INSERT INTO meta VALUES ('journal', lower(hex(randomblob(16))));
        DROP INDEX actions_time;
        DROP INDEX actions_live;
        ALTER TABLE actions RENAME TO old_actions;
        ALTER TABLE alerts RENAME TO old_alerts;
        CREATE TABLE actions (id TEXT PRIMARY KEY, agent INTEGER NOT NULL, place INTEGER NOT NULL,
                              time_ms INTEGER NOT NULL, live INTEGER NOT NULL, queued INTEGER NOT NULL,
                              until_ms INTEGER NOT NULL, revert INTEGER NOT NULL, alert INTEGER,
                              dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE heard (agent INTEGER PRIMARY KEY, journal TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
        INSERT INTO alerts SELECT rowid, body FROM old_alerts;
        INSERT INTO actions
            SELECT id, 0, (1 << 60) | ROW_NUMBER() OVER (ORDER BY time_ms), time_ms, live,
                   dispatch IS NOT NULL AND json_extract(record, '$.state') = 'queued',
                   COALESCE(json_extract(dispatch, '$.end.wall'), 0), 0,
                   (SELECT rowid FROM old_alerts WHERE old_alerts.id = old_actions.id),
                   dispatch, record
            FROM old_actions;
        DROP TABLE old_actions;
        DROP TABLE old_alerts;
        CREATE INDEX actions_time ON actions (time_ms);
        CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
        CREATE INDEX actions_waiting ON actions (agent, place) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_alert ON actions (alert) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_queued ON actions (until_ms) WHERE queued = 1;
        CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;"];

    fn apply(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
        match op {
            Op::Checkpoint { source, checkpoint } => transaction
                .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, ?2)")?
                .execute(params![source, json(checkpoint)]),
            Op::Awaited { source } => transaction
                .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, 'null')")?
                .execute([source]),
            Op::Alert { number, body } => transaction
                .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2)")?
                .execute(params![number, &body[..]]),
            Op::Dispatch {
                dispatch,
                rank,
                number,
                alert,
                record,
            } => transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO actions VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, 0, ?7, ?8, ?9)",
                )?
                .execute(params![
                    record.action.to_string(),
                    record.agent.id.number(),
                    rank.place(*number),
                    record.time.millis(),
                    record.state == ActionState::Queued,
                    boot_ms(dispatch),
                    alert,
                    json(dispatch),
                    json(record)
                ]),
            // What runs and has not named its keys yet keeps those that were
            // foreseen, so that it is found by them.
            Op::Record { record, heard } => transaction
                .prepare_cached(
                    "INSERT INTO actions VALUES (?1, ?2, 0, ?3, ?4, 0, 0, 0, NULL, NULL, ?5)
                     ON CONFLICT (id) DO UPDATE SET time_ms = ?3, live = ?4, queued = 0,
                     revert = revert AND ?4,
                     record = iif(json_extract(?5, '$.state') = 'running'
                                  AND json_type(?5, '$.keys') IS NULL
                                  AND json_type(record, '$.keys') IS NOT NULL,
                                  json_set(?5, '$.keys', json_extract(record, '$.keys')), ?5)
                     WHERE agent = ?2",
                )?
                .execute(params![
                    record.action.to_string(),
                    record.agent.id.number(),
                    heard.millis(),
                    !record.state.is_final(),
                    json(record)
                ]),
            Op::Retold(dispatch) => transaction
                .prepare_cached(
                    "UPDATE actions SET dispatch = ?2, until_ms = ?3
                     WHERE id = ?1 AND dispatch IS NOT NULL",
                )?
                .execute(params![
                    dispatch.action.id.to_string(),
                    json(dispatch),
                    boot_ms(dispatch)
                ]),
            Op::Taken { agent, action } => taken(transaction, *action, agent.number()),
            Op::Revert { agent, action } => {
                transaction
                    .prepare_cached("UPDATE actions SET revert = 1 WHERE id = ?1 AND live = 1")?
                    .execute([action.to_string()])?;
                taken(transaction, *action, agent.number())
            }
            Op::Heard {
                agent,
                journal,
                seq,
            } => transaction
                .prepare_cached("INSERT OR REPLACE INTO heard VALUES (?1, ?2, ?3)")?
                .execute(params![
                    agent.number(),
                    journal.to_string(),
                    i64::try_from(*seq).unwrap_or(i64::MAX)
                ]),
            Op::Prune { before } => {
                transaction
                    .prepare_cached(
                        "INSERT INTO meta VALUES ('pruned', ?1) ON CONFLICT (name)
                         DO UPDATE SET value = max(CAST(value AS INTEGER), ?1)",
                    )?
                    .execute([before.millis()])?;
                transaction
                    .prepare_cached("DELETE FROM actions WHERE live = 0 AND time_ms < ?1")?
                    .execute([before.millis()])
            }
        }
        .map(drop)
    }
}

/// When an action becomes pointless, in the boot in which that is told.
fn boot_ms(dispatch: &Dispatch) -> i64 {
    i64::try_from(dispatch.end.boot().millis()).unwrap_or(i64::MAX)
}

/// An action need not be sent any more, and its alert goes with the last one
/// that has to be.
fn taken(transaction: &Transaction<'_>, id: ActionId, agent: u32) -> rusqlite::Result<usize> {
    let alert: Option<Option<i64>> = transaction
        .prepare_cached(
            "UPDATE actions SET dispatch = NULL
             WHERE id = ?1 AND agent = ?2 AND dispatch IS NOT NULL RETURNING alert",
        )?
        .query_row(params![id.to_string(), agent], |row| row.get(0))
        .optional()?;
    let Some(Some(alert)) = alert else {
        return Ok(0);
    };
    transaction
        .prepare_cached(
            "DELETE FROM alerts WHERE id = ?1 AND NOT EXISTS
             (SELECT 1 FROM actions WHERE alert = ?1 AND dispatch IS NOT NULL)",
        )?
        .execute([alert])
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("names, numbers and lists always serialise")
}

/// What is stored of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// It has never been looked at.
    Unknown,
    /// It has, and nothing was there: what appears is new from its beginning.
    Awaited,
    At(Checkpoint),
}

/// Reads `queue/manager.db` beside its writer.
#[derive(Debug)]
pub struct ManagerReader(Reader);

impl ManagerReader {
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Reader::open(path).map(Self)
    }

    /// How far a source has been read.
    pub fn position(&self, source: &str) -> Result<Position, JournalError> {
        let query = "SELECT checkpoint FROM sources WHERE source = ?1";
        let Some(text) = self.0.one::<String>(query, [source])? else {
            return Ok(Position::Unknown);
        };
        let checkpoint: Option<Checkpoint> = self.0.parse(source, &text)?;
        Ok(checkpoint.map_or(Position::Awaited, Position::At))
    }

    /// The id of this journal.
    pub fn id(&self) -> Result<JournalId, JournalError> {
        let query = "SELECT json_quote(value) FROM meta WHERE name = 'journal'";
        let text: Option<String> = self.0.one(query, [])?;
        self.0.parse("journal", text.as_deref().unwrap_or("null"))
    }

    /// The greatest number of a dispatch and of an alert among what waits: later
    /// ones have to be greater than these alone.
    pub fn numbers(&self) -> Result<(i64, i64), JournalError> {
        let places =
            format!("SELECT MAX(place & {NUMBER}) FROM actions WHERE dispatch IS NOT NULL");
        let dispatch: Option<Option<i64>> = self.0.one(&places, [])?;
        let alert: Option<Option<i64>> = self.0.one("SELECT MAX(id) FROM alerts", [])?;
        Ok((
            dispatch.flatten().unwrap_or_default(),
            alert.flatten().unwrap_or_default(),
        ))
    }

    /// Up to which number the updates of each agent's journal are taken in.
    pub fn heard(&self) -> Result<Vec<Heard>, JournalError> {
        let query = "SELECT CAST(agent AS TEXT),
                            json_object('agent', CAST(agent AS TEXT), 'journal', journal, 'seq', seq)
                     FROM heard";
        self.0.values(query, [])
    }

    /// What has to be sent to an agent, in order, `limit` at most.
    pub fn waiting(&self, agent: &AgentId, limit: usize) -> Result<Vec<Waiting>, JournalError> {
        let query = "SELECT id, json_object('dispatch', json(dispatch), 'record', json(record), 'alert', alert)
                     FROM actions WHERE agent = ?1 AND dispatch IS NOT NULL ORDER BY place LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0.values(query, params![agent.number(), limit])
    }

    /// What an agent has to take back, `limit` at most.
    pub fn to_revert(&self, agent: &AgentId, limit: usize) -> Result<Vec<ActionId>, JournalError> {
        let query =
            "SELECT id, json_quote(id) FROM actions WHERE agent = ?1 AND revert = 1 LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0.values(query, params![agent.number(), limit])
    }

    /// What was never sent and was to have ended by `until`, as far as its end is
    /// told in this boot.
    pub fn overdue(&self, until: Boot) -> Result<Vec<Waiting>, JournalError> {
        let query = "SELECT id, json_object('dispatch', json(dispatch), 'record', json(record), 'alert', alert)
                     FROM actions WHERE queued = 1 AND dispatch IS NOT NULL AND until_ms <= ?1
                     ORDER BY until_ms LIMIT 1000";
        self.0
            .values(query, [i64::try_from(until.millis()).unwrap_or(i64::MAX)])
    }

    /// What has to be sent and whose end is told in another boot than this.
    pub fn of_other_boots(&self, boot_id: &BootId) -> Result<Vec<Dispatch>, JournalError> {
        let query = "SELECT id, dispatch FROM actions WHERE dispatch IS NOT NULL
                     AND (json_extract(dispatch, '$.end.boot_id') <> ?1
                          OR json_extract(dispatch, '$.end.boot') <> until_ms)";
        self.0.values(query, [&boot_id.0])
    }

    /// Whether something was never sent.
    pub fn has_queued(&self) -> Result<bool, JournalError> {
        let query = "SELECT 1 FROM actions WHERE queued = 1 AND dispatch IS NOT NULL LIMIT 1";
        Ok(self.0.one::<i64>(query, [])?.is_some())
    }

    /// The last record of what an agent has taken and not ended.
    pub fn taken(&self, agent: &AgentId) -> Result<Vec<Record>, JournalError> {
        let query =
            "SELECT id, record FROM actions WHERE agent = ?1 AND live = 1 AND dispatch IS NULL";
        self.0.values(query, [agent.number()])
    }

    /// The agents with something that waits for them or that they have not ended.
    pub fn with_account(&self) -> Result<Vec<AgentId>, JournalError> {
        let query = "SELECT DISTINCT CAST(agent AS TEXT), json_quote(CAST(agent AS TEXT))
                     FROM actions WHERE live = 1";
        self.0.values(query, [])
    }

    /// The last record of everything that is in force, oldest first.
    pub fn in_force(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = self.live()?;
        records.retain(|record| record.state.is_in_force());
        records.sort_by_key(|record| (record.since, record.action));
        Ok(records)
    }

    /// How many actions of each agent wait or run, and how many are in force.
    pub fn counts(&self) -> Result<HashMap<AgentId, LiveCounts>, JournalError> {
        let query = "SELECT CAST(agent AS TEXT), json_object('agent', CAST(agent AS TEXT),
                            'all', COUNT(*),
                            'in_force', SUM(json_extract(record, '$.state') IN ('applied', 'reverting')),
                            'failing', SUM(json_extract(record, '$.state') = 'reverting'
                                           AND json_extract(record, '$.detail') IS NOT NULL))
                     FROM actions WHERE live = 1 GROUP BY agent";
        let rows: Vec<CountRow> = self.0.values(query, [])?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let counts = LiveCounts {
                    pending: row.all - row.in_force,
                    in_force: row.in_force,
                    failing: row.failing,
                };
                (row.agent, counts)
            })
            .collect())
    }

    /// What a person means who asks for a revert, oldest first: whatever is not
    /// over. A host may have in force what is only known here to be sent to it.
    pub fn chosen(&self, which: &Which) -> Result<Vec<Record>, JournalError> {
        let mut records = match which {
            Which::Id(id) => self.record(*id)?.into_iter().collect(),
            Which::Target(_) | Which::All => self.live()?,
        };
        records.retain(|record| {
            !record.state.is_final() && which.is(record.action, record.keys.as_ref())
        });
        records.sort_by_key(|record| (record.since, record.action));
        Ok(records)
    }

    /// The last record of every action that is not over.
    pub fn live(&self) -> Result<Vec<Record>, JournalError> {
        self.0
            .values("SELECT id, record FROM actions WHERE live = 1", [])
    }

    /// An alert that an action came from which has to be sent.
    pub fn alert(&self, number: i64) -> Result<Option<Vec<u8>>, JournalError> {
        self.0
            .one("SELECT body FROM alerts WHERE id = ?1", [number])
    }

    /// Whether this action is stored.
    pub fn knows(&self, id: ActionId) -> Result<bool, JournalError> {
        self.0.has_action(id)
    }

    /// Whose action this is; none if it is not stored.
    pub fn owner(&self, id: ActionId) -> Result<Option<AgentId>, JournalError> {
        let query = "SELECT agent FROM actions WHERE id = ?1";
        let number: Option<u32> = self.0.one(query, [id.to_string()])?;
        Ok(number.and_then(AgentId::from_number))
    }

    /// The last record of an action.
    pub fn record(&self, id: ActionId) -> Result<Option<Record>, JournalError> {
        let query = "SELECT id, record FROM actions WHERE id = ?1";
        let records = self.0.values(query, [id.to_string()])?;
        Ok(records.into_iter().next())
    }

    /// Before which moment everything that is over was forgotten.
    pub fn pruned(&self) -> Result<Option<Wall>, JournalError> {
        let query = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'pruned'";
        Ok(self.0.one(query, [])?.map(Wall::from_millis))
    }

    /// When the first state was taken in of those that are over.
    pub fn oldest(&self) -> Result<Option<Wall>, JournalError> {
        let query = "SELECT time_ms FROM actions WHERE live = 0 ORDER BY time_ms LIMIT 1";
        Ok(self.0.one(query, [])?.map(Wall::from_millis))
    }

    /// The last record of each of the `limit` actions that changed last, newest first.
    pub fn history(&self, limit: u32) -> Result<Vec<Record>, JournalError> {
        let query = "SELECT id, record FROM actions ORDER BY time_ms DESC LIMIT ?1";
        self.0.values(query, [limit])
    }
}

/// An action that has to be sent.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Waiting {
    pub dispatch: Dispatch,
    pub record: Record,
    /// The number of its alert.
    pub alert: i64,
}

/// Up to which number the updates of an agent's journal are taken in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Heard {
    pub agent: AgentId,
    pub journal: JournalId,
    pub seq: u64,
}

/// How many actions of an agent are not over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LiveCounts {
    /// They wait or run.
    pub pending: u64,
    pub in_force: u64,
    /// Of those in force, how many should have been reverted and are tried again.
    pub failing: u64,
}

#[derive(Deserialize)]
struct CountRow {
    agent: AgentId,
    all: u64,
    in_force: u64,
    failing: u64,
}
