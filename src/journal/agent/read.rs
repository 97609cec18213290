//! Reads `queue/agentd.db` beside its writer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Row;
use serde::de::DeserializeOwned;

use crate::clock::BootId;
use crate::journal::JournalError;
use crate::journal::reader::Reader;
use crate::ledger::agent::{Alike, Entry};
use crate::model::{Action, ActionId, JournalId, Record};

use super::{Telling, i64_of};

/// What a journal holds at a start.
#[derive(Debug)]
pub struct Loaded {
    /// Every action that has not ended, in the order of their numbers.
    pub live: Vec<Box<Entry>>,
    /// Rows of such actions that are not valid. They are left where they are.
    pub unreadable: Vec<(ActionId, JournalError)>,
    /// What the manager has not confirmed, in order, with the numbers of the
    /// updates.
    pub updates: Vec<(u64, Telling)>,
    pub white_list: Option<String>,
    /// The boot of this host in which it was last opened.
    pub boot: Option<BootId>,
    /// The id of this journal.
    pub journal: JournalId,
    /// That of the manager which was last told everything.
    pub manager: Option<JournalId>,
    pub numbers: Numbers,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// That of the next action.
    pub action: u64,
    /// That of the next update.
    pub next: u64,
    /// Up to which the manager that was last told everything has confirmed them.
    pub promised: u64,
}

/// What can be read of the actions that have not ended.
type Live = (Vec<Box<Entry>>, Vec<(ActionId, JournalError)>);

const META: &str = "SELECT value FROM meta WHERE name = ?1";

/// A reading connection.
#[derive(Debug)]
pub struct AgentReader(pub(super) Reader);

impl AgentReader {
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Reader::open(path).map(Self)
    }

    pub fn load(&self) -> Result<Loaded, JournalError> {
        let (live, unreadable) = self.live()?;
        let confirmed: Option<u64> = self.meta("confirmed")?;
        let updates = self.updates(confirmed.unwrap_or(0), &live)?;
        Ok(Loaded {
            live,
            unreadable,
            updates,
            white_list: self.0.one(META, ["white_list"])?,
            boot: self.meta("boot")?,
            journal: self.id()?,
            manager: self.meta("manager")?,
            numbers: Numbers {
                action: self.last_action()? + 1,
                next: self.last_update()?.max(confirmed.unwrap_or(0)) + 1,
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

    fn live(&self) -> Result<Live, JournalError> {
        let query = "SELECT number, id, entry FROM live ORDER BY number";
        let (mut live, mut unreadable) = (Vec::new(), Vec::new());
        // There may be very many, whose texts would not fit beside each other.
        let mut alike = Alike::default();
        self.0.rows(query, [], |row| {
            let (number, id) = (number(row, 0)?, id(row, 1)?);
            let text = row.get_ref(2)?.as_str()?;
            match self.0.parse::<Box<Entry>>(&id.to_string(), text) {
                Ok(mut entry) => {
                    entry.number = number;
                    alike.share(&mut entry.action);
                    live.push(entry);
                }
                Err(error) => unreadable.push((id, error)),
            }
            Ok(())
        })?;
        Ok((live, unreadable))
    }

    /// What comes after update `confirmed`. Of an action that cannot be read
    /// nothing is told.
    fn updates(
        &self,
        confirmed: u64,
        live: &[Box<Entry>],
    ) -> Result<Vec<(u64, Telling)>, JournalError> {
        let query = "SELECT number, action FROM ended
                     WHERE number IN (SELECT number FROM updates WHERE seq > ?1)";
        let mut actions: HashMap<u64, Arc<Action>> = live
            .iter()
            .map(|entry| (entry.number, Arc::clone(&entry.action)))
            .collect();
        let ended = self.0.rows(query, [i64_of(confirmed)], numbered)?;
        for (number, text) in ended {
            actions.insert(number, self.0.parse(&number.to_string(), &text)?);
        }
        let query = "SELECT seq, number, record FROM updates WHERE seq > ?1 ORDER BY seq";
        let rows = self.0.rows(query, [i64_of(confirmed)], |row| {
            Ok((number(row, 0)?, number(row, 1)?, row.get::<_, String>(2)?))
        })?;
        let mut updates = Vec::with_capacity(rows.len());
        for (seq, number, text) in rows {
            let record = self.0.parse(&seq.to_string(), &text)?;
            let Some(action) = actions.get(&number).map(Arc::clone) else {
                continue;
            };
            let telling = Telling {
                number,
                action,
                record,
            };
            updates.push((seq, telling));
        }
        Ok(updates)
    }

    /// The greatest number of an action.
    fn last_action(&self) -> Result<u64, JournalError> {
        let query = "SELECT MAX(COALESCE((SELECT MAX(number) FROM live), 0),
                                COALESCE((SELECT MAX(number) FROM ended), 0),
                                COALESCE((SELECT MAX(number) FROM offences), 0),
                                COALESCE((SELECT MAX(number) FROM updates), 0))";
        let last: Option<i64> = self.0.one(query, [])?;
        Ok(last.map_or(0, i64::unsigned_abs))
    }

    fn last_update(&self) -> Result<u64, JournalError> {
        let last: Option<Option<i64>> = self.0.one("SELECT MAX(seq) FROM updates", [])?;
        let last = last.flatten().unwrap_or_default();
        Ok(u64::try_from(last).unwrap_or_default())
    }

    /// The alert of an action that has not ended.
    pub fn alert(&self, number: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let query = "SELECT body FROM alerts WHERE number = ?1";
        self.0.one(query, [i64_of(number)])
    }

    /// Whether this action has ended here.
    pub fn has_ended(&self, id: ActionId) -> Result<bool, JournalError> {
        let query = "SELECT 1 FROM ended WHERE id = ?1";
        let found: Option<i64> = self.0.one(query, [id.bytes()])?;
        Ok(found.is_some())
    }

    /// Every action that has ended here.
    pub fn ended(&self) -> Result<Vec<ActionId>, JournalError> {
        self.0.rows("SELECT id FROM ended", [], |row| id(row, 0))
    }

    /// An action that has ended, and the last record of it.
    pub fn told(&self, id: ActionId) -> Result<Option<Telling>, JournalError> {
        let query = "SELECT number, action, record FROM ended JOIN updates USING (number)
                     WHERE id = ?1 ORDER BY seq DESC LIMIT 1";
        let rows = self.0.rows(query, [id.bytes()], text_of_telling)?;
        let row = rows.into_iter().next();
        row.map(|row| self.telling(row)).transpose()
    }

    /// What has ended with an update beyond this number, with its last record, in
    /// their order; of very many the first.
    pub fn over_since(&self, seq: u64) -> Result<Vec<Telling>, JournalError> {
        let query = "SELECT number, action, record FROM ended JOIN updates USING (number)
                     WHERE seq > ?1 AND NOT EXISTS
                     (SELECT 1 FROM updates AS later
                      WHERE later.number = updates.number AND later.seq > updates.seq)
                     ORDER BY seq LIMIT 20000";
        let rows = self.0.rows(query, [i64_of(seq)], text_of_telling)?;
        rows.into_iter().map(|row| self.telling(row)).collect()
    }

    fn telling(&self, row: (u64, String, String)) -> Result<Telling, JournalError> {
        let (number, action, record) = row;
        let name = number.to_string();
        Ok(Telling {
            number,
            action: self.0.parse(&name, &action)?,
            record: self.0.parse(&name, &record)?,
        })
    }

    /// The last record of each of the `limit` actions that changed last, newest first.
    pub fn history(&self, limit: u32) -> Result<Vec<Record>, JournalError> {
        let query = "SELECT seq, record FROM updates WHERE NOT EXISTS
                     (SELECT 1 FROM updates AS later
                      WHERE later.number = updates.number AND later.seq > updates.seq)
                     ORDER BY time_ms DESC, seq DESC LIMIT ?1";
        let rows = self.0.rows(query, [limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let records = rows.into_iter();
        records
            .map(|(seq, text)| self.0.parse(&seq.to_string(), &text))
            .collect()
    }
}

/// Numbers are never negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<ActionId> {
    row.get(column).map(ActionId::from_bytes)
}

fn numbered(row: &Row<'_>) -> rusqlite::Result<(u64, String)> {
    Ok((number(row, 0)?, row.get(1)?))
}

fn text_of_telling(row: &Row<'_>) -> rusqlite::Result<(u64, String, String)> {
    Ok((number(row, 0)?, row.get(1)?, row.get(2)?))
}
