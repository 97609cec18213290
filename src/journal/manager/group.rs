//! Many operations of a manager's journal, applied together: each row is looked
//! up and written once, whatever happens to it in between. In a burst an action
//! is decided on, taken by its agent, runs and is in force within one commit;
//! then neither its dispatch nor its alert is ever written.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Dispatch, Op, json};
use crate::clock::Wall;
use crate::model::position::Checkpoint;
use crate::model::{ActionId, ActionState, JournalId, Keys, Record};

/// What has become of an action, as it is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Over = 0,
    Queued = 1,
    UnderWay = 2,
    InForce = 3,
    /// It should have been reverted, and that is tried again.
    Failing = 4,
}

impl Standing {
    pub(super) fn of(record: &Record) -> Self {
        match record.state {
            ActionState::Queued => Self::Queued,
            ActionState::Sent | ActionState::Running => Self::UnderWay,
            ActionState::Applied => Self::InForce,
            ActionState::Reverting if record.detail.is_some() => Self::Failing,
            ActionState::Reverting => Self::InForce,
            ActionState::Already
            | ActionState::Done
            | ActionState::Reverted
            | ActionState::Failed
            | ActionState::Refused
            | ActionState::Expired
            | ActionState::Suppressed => Self::Over,
        }
    }

    fn is_live(self) -> bool {
        self != Self::Over
    }
}

/// A row of `actions` as it stands in the database.
#[derive(Clone, Copy, Debug)]
struct Stored {
    number: i64,
    agent: u32,
    is_live: bool,
    is_queued: bool,
    reverts: bool,
    /// Of the dispatch that it has or had.
    alert: Option<i64>,
}

fn stored(transaction: &Transaction<'_>, id: ActionId) -> rusqlite::Result<Option<Stored>> {
    transaction
        .prepare_cached(
            "SELECT number, agent, live, standing, revert, alert FROM actions WHERE id = ?1",
        )?
        .query_row([&id.bytes()[..]], |row| {
            Ok(Stored {
                number: row.get(0)?,
                agent: row.get(1)?,
                is_live: row.get(2)?,
                is_queued: row.get::<_, i64>(3)? == Standing::Queued as i64,
                reverts: row.get(4)?,
                alert: row.get(5)?,
            })
        })
        .optional()
}

/// What is to be sent of an action.
#[derive(Debug)]
enum Sending<'a> {
    /// What is stored, with its end told anew.
    Kept(Option<&'a Dispatch>),
    New {
        dispatch: &'a Dispatch,
        place: i64,
        alert: i64,
        is_queued: bool,
    },
    /// Nothing any more.
    Over,
}

/// The keys of what runs and has not named any.
#[derive(Clone, Copy, Debug)]
enum Foreseen<'a> {
    None,
    Keys(&'a Keys),
    /// Those of the stored record.
    Stored,
}

/// What becomes of one action.
#[derive(Debug)]
struct Row<'a> {
    id: ActionId,
    stored: Option<Stored>,
    record: Option<(&'a Record, Wall)>,
    foreseen: Foreseen<'a>,
    reverts: bool,
    sending: Sending<'a>,
}

impl<'a> Row<'a> {
    fn new(id: ActionId, stored: Option<Stored>) -> Self {
        Self {
            id,
            stored,
            record: None,
            foreseen: Foreseen::None,
            reverts: stored.is_some_and(|stored| stored.reverts),
            sending: Sending::Kept(None),
        }
    }

    /// Whose it is; none if there is no such action.
    fn agent(&self) -> Option<u32> {
        match self.record {
            Some((record, _)) => Some(record.agent.id.number()),
            None => self.stored.map(|stored| stored.agent),
        }
    }

    fn is_live(&self) -> bool {
        match self.record {
            Some((record, _)) => !record.state.is_final(),
            None => self.stored.is_some_and(|stored| stored.is_live),
        }
    }

    /// What runs and has not named its keys yet keeps those that were foreseen,
    /// so that it is found by them.
    fn set(&mut self, record: &'a Record, heard: Wall) {
        self.foreseen = match (record.state, &record.keys, self.record, self.stored) {
            (ActionState::Running, None, Some((before, _)), _) => match &before.keys {
                Some(keys) => Foreseen::Keys(keys),
                None => self.foreseen,
            },
            (ActionState::Running, None, None, Some(_)) => Foreseen::Stored,
            _ => Foreseen::None,
        };
        self.record = Some((record, heard));
        self.reverts &= !record.state.is_final();
        if let Sending::New { is_queued, .. } = &mut self.sending {
            *is_queued = false;
        }
    }
}

/// The operations of one commit.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    at: HashMap<ActionId, usize>,
    rows: Vec<Row<'a>>,
    alerts: Vec<(i64, &'a [u8])>,
    /// Alerts of the dispatches that came with this group.
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

/// What a row leads to.
impl Row<'_> {
    /// The alert that has to stay for it.
    fn needs(&self) -> Option<i64> {
        match self.sending {
            Sending::New { alert, .. } => Some(alert),
            Sending::Kept(_) | Sending::Over => None,
        }
    }

    /// Returns the alert that it may have been the last to need.
    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
        let Some((record, heard)) = self.record else {
            return match self.stored {
                Some(stored) => {
                    self.write_revert(transaction, stored)?;
                    self.write_sending(transaction, stored)
                }
                None => Ok(None),
            };
        };
        if self.stored.is_none() && self.insert(transaction, record, heard)? {
            return Ok(None);
        }
        let stored = match self.stored {
            Some(stored) => stored,
            None => stored(transaction, self.id)?
                .expect("what could not be inserted for its id is there"),
        };
        self.update(transaction, stored, (record, heard))?;
        self.write_sending(transaction, stored)
    }

    /// `false` if there is one with this id.
    fn insert(
        &self,
        transaction: &Transaction<'_>,
        record: &Record,
        heard: Wall,
    ) -> rusqlite::Result<bool> {
        let standing = Standing::of(record);
        let text = self.text(transaction, record)?;
        let added = transaction
            .prepare_cached(
                "INSERT INTO actions (id, agent, time_ms, live, standing, revert, alert, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![
                &self.id.bytes()[..],
                record.agent.id.number(),
                heard.millis(),
                standing.is_live(),
                standing as i64,
                self.reverts,
                self.needs(),
                text
            ])?;
        if added == 1 {
            self.insert_dispatch(transaction, transaction.last_insert_rowid())?;
        }
        Ok(added == 1)
    }

    /// No index is touched as long as an action lives.
    fn update(
        &self,
        transaction: &Transaction<'_>,
        stored: Stored,
        (record, heard): (&Record, Wall),
    ) -> rusqlite::Result<()> {
        let standing = Standing::of(record);
        let text = self.text(transaction, record)?;
        let alert = match self.sending {
            Sending::Kept(_) => stored.alert,
            Sending::New { alert, .. } => Some(alert),
            Sending::Over => None,
        };
        let agent = record.agent.id.number();
        if stored.is_live && standing.is_live() && stored.agent == agent {
            transaction
                .prepare_cached(
                    "UPDATE actions SET time_ms = ?2, standing = ?3, alert = ?4, record = ?5
                     WHERE number = ?1",
                )?
                .execute(params![
                    stored.number,
                    heard.millis(),
                    standing as i64,
                    alert,
                    text
                ])?;
            return self.write_revert(transaction, stored);
        }
        transaction
            .prepare_cached(
                "UPDATE actions SET time_ms = ?2, live = ?3, standing = ?4, revert = ?5,
                 alert = ?6, record = ?7, agent = ?8 WHERE number = ?1",
            )?
            .execute(params![
                stored.number,
                heard.millis(),
                standing.is_live(),
                standing as i64,
                self.reverts,
                alert,
                text,
                agent
            ])
            .map(drop)
    }

    fn write_revert(&self, transaction: &Transaction<'_>, stored: Stored) -> rusqlite::Result<()> {
        if self.reverts == stored.reverts {
            return Ok(());
        }
        transaction
            .prepare_cached("UPDATE actions SET revert = ?2 WHERE number = ?1")?
            .execute(params![stored.number, self.reverts])
            .map(drop)
    }

    /// Brings the dispatch of a stored action to what it is now. Returns the alert
    /// that it may have been the last to need.
    fn write_sending(
        &self,
        transaction: &Transaction<'_>,
        stored: Stored,
    ) -> rusqlite::Result<Option<i64>> {
        let Some(alert) = stored.alert else {
            self.insert_dispatch(transaction, stored.number)?;
            return Ok(None);
        };
        if let Sending::Kept(retold) = self.sending {
            if let Some(retold) = retold {
                transaction
                    .prepare_cached(
                        "UPDATE dispatches SET dispatch = ?3, until_ms = ?4
                         WHERE alert = ?1 AND action = ?2",
                    )?
                    .execute(params![alert, stored.number, json(retold), boot_ms(retold)])?;
            }
            if stored.is_queued && self.record.is_some() {
                transaction
                    .prepare_cached(
                        "UPDATE dispatches SET queued = 0 WHERE alert = ?1 AND action = ?2",
                    )?
                    .execute([alert, stored.number])?;
            }
            return Ok(None);
        }
        let gone = transaction
            .prepare_cached("DELETE FROM dispatches WHERE alert = ?1 AND action = ?2")?
            .execute([alert, stored.number])?;
        self.insert_dispatch(transaction, stored.number)?;
        Ok((gone == 1).then_some(alert))
    }

    fn insert_dispatch(&self, transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
        let Sending::New {
            dispatch,
            place,
            alert,
            is_queued,
        } = self.sending
        else {
            return Ok(());
        };
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO dispatches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                alert,
                number,
                dispatch.action.agent.id.number(),
                place,
                is_queued,
                boot_ms(dispatch),
                json(dispatch)
            ])
            .map(drop)
    }

    fn text(&self, transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<String> {
        let keys = match (self.foreseen, self.stored) {
            (Foreseen::Keys(keys), _) => Some(keys.clone()),
            (Foreseen::Stored, Some(stored)) => keys_of(transaction, stored.number)?,
            (Foreseen::Stored, None) | (Foreseen::None, _) => None,
        };
        Ok(match keys {
            None => json(record),
            Some(keys) => json(&Record {
                keys: Some(keys),
                ..record.clone()
            }),
        })
    }
}

/// The keys in a stored record.
fn keys_of(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<Option<Keys>> {
    #[derive(serde::Deserialize)]
    struct OfRecord {
        keys: Option<Keys>,
    }
    let text: String = transaction
        .prepare_cached("SELECT record FROM actions WHERE number = ?1")?
        .query_row([number], |row| row.get(0))?;
    // What cannot be read is not needed any more: a new record takes its place.
    let record = serde_json::from_str::<OfRecord>(&text).ok();
    Ok(record.and_then(|record| record.keys))
}

/// When an action becomes pointless, in the boot in which that is told.
fn boot_ms(dispatch: &Dispatch) -> i64 {
    i64::try_from(dispatch.end.boot().millis()).unwrap_or(i64::MAX)
}
