//! Many operations of a manager's journal, applied together: each row is looked
//! up and written once, whatever happens to it in between. In a burst an action
//! is decided on, taken by its agent, runs and is in force within one commit;
//! then neither its dispatch nor its alert is ever written.

use std::collections::{HashMap, HashSet};

use rusqlite::{Transaction, params};

use super::row::{Foreseen, Row, Sending, stored};
use super::{Op, json};
use crate::clock::Wall;
use crate::model::position::Checkpoint;
use crate::model::{ActionId, ActionState, JournalId};

/// The operations of one commit.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    at: HashMap<ActionId, usize>,
    rows: Vec<Row<'a>>,
    alerts: Vec<(i64, &'a [u8])>,
    /// Alerts of the dispatches of this group. Those that came with them are in
    /// `alerts`: an alert and its dispatches come in one write.
    named: HashSet<i64>,
    sources: HashMap<&'a str, Option<&'a Checkpoint>>,
    heard: HashMap<u32, (JournalId, u64)>,
}

impl<'a> Group<'a> {
    /// Applies operations in their order.
    pub(super) fn apply(transaction: &Transaction<'_>, ops: &[&'a Op]) -> rusqlite::Result<()> {
        let mut group = Self::default();
        for op in ops {
            if let Op::Prune { before } = op {
                std::mem::take(&mut group).write(transaction)?;
                prune(transaction, *before)?;
            } else {
                group.take(transaction, op)?;
            }
        }
        group.write(transaction)
    }

    fn take(&mut self, transaction: &Transaction<'_>, op: &'a Op) -> rusqlite::Result<()> {
        match op {
            Op::Checkpoint { source, checkpoint } => {
                self.sources.insert(source, Some(checkpoint));
            }
            Op::Awaited { source } => {
                self.sources.insert(source, None);
            }
            Op::Alert { number, body } => self.alerts.push((*number, body)),
            Op::Dispatch { .. } => self.dispatch(op),
            Op::Record { record, heard } => {
                let row = self.row(transaction, record.action)?;
                let agent = record.agent.id.number();
                if row.agent().is_none_or(|owner| owner == agent) {
                    row.set(record, *heard);
                }
            }
            Op::Retold(retold) => {
                match &mut self.row(transaction, retold.action.id)?.sending {
                    Sending::Kept(end) => *end = Some(retold),
                    Sending::New { dispatch, .. } => *dispatch = retold,
                    Sending::Over => {}
                };
            }
            Op::Taken { agent, action } => {
                let row = self.row(transaction, *action)?;
                taken(row, agent.number());
            }
            Op::Revert { agent, action } => {
                let row = self.row(transaction, *action)?;
                row.reverts |= row.is_live();
                taken(row, agent.number());
            }
            Op::Heard {
                agent,
                journal,
                seq,
            } => {
                self.heard.insert(agent.number(), (*journal, *seq));
            }
            Op::Prune { .. } => {}
        }
        Ok(())
    }

    /// What is known of an action so far.
    fn row(
        &mut self,
        transaction: &Transaction<'_>,
        id: ActionId,
    ) -> rusqlite::Result<&mut Row<'a>> {
        if let Some(at) = self.at.get(&id) {
            return Ok(&mut self.rows[*at]);
        }
        let row = Row::new(id, stored(transaction, id)?);
        Ok(self.add(row))
    }

    fn add(&mut self, row: Row<'a>) -> &mut Row<'a> {
        let at = self.rows.len();
        self.at.insert(row.id, at);
        self.rows.push(row);
        &mut self.rows[at]
    }

    /// A new action is not looked up: whether it is new is told by writing it.
    fn dispatch(&mut self, op: &'a Op) {
        let Op::Dispatch {
            dispatch,
            rank,
            number,
            alert,
            record,
        } = op
        else {
            return;
        };
        self.named.insert(*alert);
        let row = match self.at.get(&record.action) {
            Some(at) => &mut self.rows[*at],
            None => self.add(Row::new(record.action, None)),
        };
        row.record = Some((record, record.time));
        row.foreseen = Foreseen::None;
        row.reverts = false;
        row.sending = Sending::New {
            dispatch,
            place: rank.place(*number),
            alert: *alert,
            is_queued: record.state == ActionState::Queued,
        };
    }

    fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let needed: HashSet<i64> = self.rows.iter().filter_map(Row::needs).collect();
        for (number, body) in &self.alerts {
            if needed.contains(number) || !self.named.contains(number) {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2)")?
                    .execute(params![number, body])?;
            }
        }
        // Alerts of earlier groups whose dispatches were taken in this one.
        let new: HashSet<i64> = self.alerts.iter().map(|(number, _)| *number).collect();
        let mut left: Vec<i64> = self.named.difference(&new).copied().collect();
        left.retain(|alert| !needed.contains(alert));
        for row in &self.rows {
            left.extend(row.write(transaction)?);
        }
        for alert in left {
            transaction
                .prepare_cached(
                    "DELETE FROM alerts WHERE id = ?1 AND NOT EXISTS
                     (SELECT 1 FROM dispatches WHERE alert = ?1)",
                )?
                .execute([alert])?;
        }
        for (source, checkpoint) in self.sources {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, ?2)")?
                .execute(params![source, json(&checkpoint)])?;
        }
        for (agent, (journal, seq)) in self.heard {
            let seq = i64::try_from(seq).unwrap_or(i64::MAX);
            transaction
                .prepare_cached("INSERT OR REPLACE INTO heard VALUES (?1, ?2, ?3)")?
                .execute(params![agent, journal.to_string(), seq])?;
        }
        Ok(())
    }
}

/// The agent has it: it need not be sent any more.
fn taken(row: &mut Row<'_>, agent: u32) {
    if row.agent() == Some(agent) {
        row.sending = Sending::Over;
    }
}

/// Forgets what was told to have ended before this moment.
fn prune(transaction: &Transaction<'_>, before: Wall) -> rusqlite::Result<()> {
    for statement in [
        "INSERT INTO meta VALUES ('pruned', ?1) ON CONFLICT (name)
         DO UPDATE SET value = max(CAST(value AS INTEGER), ?1)",
        "DELETE FROM dispatches WHERE (alert, action) IN
         (SELECT alert, number FROM actions WHERE live = 0 AND time_ms < ?1)",
        "DELETE FROM actions WHERE live = 0 AND time_ms < ?1",
    ] {
        transaction
            .prepare_cached(statement)?
            .execute([before.millis()])?;
    }
    Ok(())
}
