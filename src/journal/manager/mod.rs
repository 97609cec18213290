//! What a manager must not forget: how far each source is read, the actions
//! that are not over, and what became of the others.
//!
//! Tables of version 3:
//! - `meta(name, value)`: `journal`, the id of this journal; `pruned`, the moment
//!   (wall time in milliseconds) before which nothing is kept that is over;
//! - `sources(source, checkpoint)`: a position as JSON, `null` while the source
//!   is not there; written together with the actions of the lines before it;
//! - `actions(number, id, agent, time_ms, live, standing, revert, alert, record)`:
//!   the last record of each as JSON, and when it was taken in, by the clock of
//!   the manager's host. They lie in the order in which they came: their ids are
//!   random, and a table ordered by them would have a page written for each.
//!   `standing` is what has become of it (`row::Standing`), `revert` is set
//!   while its agent is to take it back, `alert` is that of its dispatch;
//! - `dispatches(alert, action, agent, place, queued, until_ms, dispatch)`: what
//!   is needed to send an action (its `number`), until its agent has it. `alert` is its row in
//!   `alerts`, and `place` its place among what waits for the same agent.
//!   `queued` is set while it has never been sent, `until_ms` (boot time of the
//!   manager's host, once it was told anew in its present boot) is when it
//!   becomes pointless then;
//! - `alerts(id, body)`: the bytes of an alert, for as long as an action that
//!   came from it has to be sent;
//! - `heard(agent, journal, seq)`: up to which number the updates of an agent's
//!   journal are taken in.
//!
//! Version 1 knew agent 000 alone and had the alert beside each action; version 2
//! had the actions in the order of their ids, with their dispatches in them.

mod group;
mod reader;
mod row;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::ledger::end::End;
use crate::model::position::Checkpoint;
use crate::model::{Action, ActionId, AgentId, JournalId, Record};

use super::{Schema, json};
use group::Group;
pub use reader::{Heard, LiveCounts, ManagerReader, Position, Waiting, Wanted};

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
    pub fn place(self, number: i64) -> i64 {
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
    /// The alert of dispatches that follow in the same write. No other has its
    /// number.
    Alert { number: i64, body: Arc<[u8]> },
    /// A new action that is to be sent.
    Dispatch {
        dispatch: Arc<Dispatch>,
        rank: Rank,
        /// Grows with each dispatch.
        number: i64,
        /// The number of its alert.
        alert: i64,
        record: Arc<Record>,
    },
    /// A state change, which only the action's own agent can make. History goes
    /// by when it was `heard` of: the record has the time of the agent's clock,
    /// which may show any year.
    Record { record: Arc<Record>, heard: Wall },
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

    const VERSION: i32 = 3;

    /// Nobody waits for it in a burst: an agent is sent the next actions when it
    /// has taken those before, and much that is gathered need not be written.
    const GATHER: Duration = Duration::from_millis(15);

    const CREATE: &'static str = tables::CREATE;

    const MIGRATE: &'static [&'static str] = tables::MIGRATE;

    fn apply(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
        Group::apply(transaction, &[op])
    }

    fn apply_all(transaction: &Transaction<'_>, ops: &[&Op]) -> rusqlite::Result<()> {
        Group::apply(transaction, ops)
    }
}
