//! What becomes of one action within one commit, and how that is written.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Dispatch, json};
use crate::clock::Wall;
use crate::model::{ActionId, ActionState, Keys, Record};

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
pub(super) struct Stored {
    number: i64,
    agent: u32,
    is_live: bool,
    is_queued: bool,
    reverts: bool,
    /// Of the dispatch that it has or had.
    alert: Option<i64>,
}

pub(super) fn stored(
    transaction: &Transaction<'_>,
    id: ActionId,
) -> rusqlite::Result<Option<Stored>> {
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
pub(super) enum Sending<'a> {
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
pub(super) enum Foreseen<'a> {
    None,
    Keys(&'a Keys),
    /// Those of the stored record.
    Stored,
}

/// What becomes of one action.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: ActionId,
    stored: Option<Stored>,
    pub(super) record: Option<(&'a Record, Wall)>,
    pub(super) foreseen: Foreseen<'a>,
    pub(super) reverts: bool,
    pub(super) sending: Sending<'a>,
}

impl<'a> Row<'a> {
    pub(super) fn new(id: ActionId, stored: Option<Stored>) -> Self {
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
    pub(super) fn agent(&self) -> Option<u32> {
        match self.record {
            Some((record, _)) => Some(record.agent.id.number()),
            None => self.stored.map(|stored| stored.agent),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        match self.record {
            Some((record, _)) => !record.state.is_final(),
            None => self.stored.is_some_and(|stored| stored.is_live),
        }
    }

    /// What runs and has not named its keys yet keeps those that were foreseen,
    /// so that it is found by them.
    pub(super) fn set(&mut self, record: &'a Record, heard: Wall) {
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

/// What a row leads to.
impl Row<'_> {
    /// The alert that has to stay for it.
    pub(super) fn needs(&self) -> Option<i64> {
        match self.sending {
            Sending::New { alert, .. } => Some(alert),
            Sending::Kept(_) | Sending::Over => None,
        }
    }

    /// Returns the alert that it may have been the last to need.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
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
