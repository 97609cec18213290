//! What a manager must not forget: how far each source is read, the actions
//! that are not over, and what became of the others.
//!
//! Tables of version 1:
//! - `sources(source, checkpoint)`: a position as JSON, `null` while the source
//!   is not there; written together with the actions of the lines before it;
//! - `actions(id, time_ms, live, dispatch, record)`: the last record as JSON;
//!   `dispatch` holds what is needed to send it again, until the agent has it;
//! - `alerts(id, body)`: the alert's bytes, equally long.

use std::path::Path;

use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::ledger::end::End;
use crate::model::position::Checkpoint;
use crate::model::{Action, ActionId, Record};

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

/// One change. Those of one write are applied together.
#[derive(Clone, Debug)]
pub enum Op {
    Checkpoint {
        source: String,
        checkpoint: Box<Checkpoint>,
    },
    /// The source was looked at and nothing was there yet.
    Awaited { source: String },
    /// A new action that is to be sent.
    Dispatch {
        dispatch: Box<Dispatch>,
        body: Vec<u8>,
        record: Box<Record>,
    },
    /// A state change.
    Record(Box<Record>),
    /// The agent has journalled it.
    Taken(ActionId),
    /// Forgets what ended before this moment.
    Prune { before: Wall },
}

impl Schema for ManagerSchema {
    type Op = Op;

    const VERSION: i32 = 1;

    const CREATE: &'static str = "
        CREATE TABLE sources (source TEXT PRIMARY KEY, checkpoint TEXT NOT NULL) STRICT;
        CREATE TABLE actions (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, live INTEGER NOT NULL,
                              dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX actions_time ON actions (time_ms);
        CREATE INDEX actions_live ON actions (id) WHERE live = 1;
        CREATE TABLE alerts (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;";

    fn apply(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
        match op {
            Op::Checkpoint { source, checkpoint } => transaction
                .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, ?2)")?
                .execute(params![source, json(checkpoint)]),
            Op::Awaited { source } => transaction
                .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, 'null')")?
                .execute([source]),
            Op::Dispatch {
                dispatch,
                body,
                record,
            } => {
                let id = record.action.to_string();
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2)")?
                    .execute(params![id, body])?;
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO actions VALUES (?1, ?2, 1, ?3, ?4)")?
                    .execute(params![
                        id,
                        record.time.millis(),
                        json(dispatch),
                        json(record)
                    ])
            }
            Op::Record(record) => transaction
                .prepare_cached(
                    "INSERT INTO actions VALUES (?1, ?2, ?3, NULL, ?4) ON CONFLICT (id) DO UPDATE
                     SET time_ms = ?2, live = ?3, record = ?4",
                )?
                .execute(params![
                    record.action.to_string(),
                    record.time.millis(),
                    !record.state.is_final(),
                    json(record)
                ]),
            Op::Taken(id) => {
                let id = id.to_string();
                transaction
                    .prepare_cached("DELETE FROM alerts WHERE id = ?1")?
                    .execute([&id])?;
                transaction
                    .prepare_cached("UPDATE actions SET dispatch = NULL WHERE id = ?1")?
                    .execute([&id])
            }
            Op::Prune { before } => transaction
                .prepare_cached("DELETE FROM actions WHERE live = 0 AND time_ms < ?1")?
                .execute([before.millis()]),
        }
        .map(drop)
    }
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

    /// The last record of every action that is not over.
    pub fn live(&self) -> Result<Vec<Record>, JournalError> {
        self.0
            .values("SELECT id, record FROM actions WHERE live = 1", [])
    }

    /// Every action that its agent has not confirmed to have.
    pub fn undelivered(&self) -> Result<Vec<Dispatch>, JournalError> {
        let query = "SELECT id, dispatch FROM actions WHERE live = 1 AND dispatch IS NOT NULL";
        self.0.values(query, [])
    }

    /// The alert of an action that its agent has not confirmed to have.
    pub fn alert(&self, id: ActionId) -> Result<Option<Vec<u8>>, JournalError> {
        self.0.alert(id)
    }

    /// Whether this action is stored.
    pub fn knows(&self, id: ActionId) -> Result<bool, JournalError> {
        self.0.has_action(id)
    }

    /// The last record of an action.
    pub fn record(&self, id: ActionId) -> Result<Option<Record>, JournalError> {
        let query = "SELECT id, record FROM actions WHERE id = ?1";
        let records = self.0.values(query, [id.to_string()])?;
        Ok(records.into_iter().next())
    }

    /// The last record of each of the `limit` actions that changed last, newest first.
    pub fn history(&self, limit: u32) -> Result<Vec<Record>, JournalError> {
        let query = "SELECT id, record FROM actions ORDER BY time_ms DESC LIMIT ?1";
        self.0.values(query, [limit])
    }
}
