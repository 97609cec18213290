//! What stands in `queue/manager.db`, read beside its writer.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Params, params};
use serde::Deserialize;

use super::{Dispatch, NUMBER};
use crate::clock::{Boot, BootId, Wall};
use crate::journal::JournalError;
use crate::journal::reader::Reader;
use crate::model::position::Checkpoint;
use crate::model::{ActionId, ActionState, AgentId, JournalId, Keys, Record};
use crate::wire::control::Which;

/// A row of what waits, without its end.
const WAITING: &str = "SELECT lower(hex(id)), dispatch, record, dispatches.alert
                       FROM dispatches JOIN actions ON actions.number = dispatches.action";

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

    /// How far the sources have been read whose names begin with `names`.
    pub fn positions_in(&self, names: &str) -> Result<Vec<Checkpoint>, JournalError> {
        let query = "SELECT source, checkpoint FROM sources
                     WHERE substr(source, 1, length(?1)) = ?1";
        self.0.values(query, [names])
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
        let places = format!("SELECT MAX(place & {NUMBER}) FROM dispatches");
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
        let query = format!("{WAITING} WHERE dispatches.agent = ?1 ORDER BY place LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.waiting_by(&query, params![agent.number(), limit])
    }

    /// What an agent has to take back, `limit` at most.
    pub fn to_revert(&self, agent: &AgentId, limit: usize) -> Result<Vec<ActionId>, JournalError> {
        let query = "SELECT lower(hex(id)), json_quote(lower(hex(id))) FROM actions
             WHERE agent = ?1 AND revert = 1 LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0.values(query, params![agent.number(), limit])
    }

    /// What was never sent and was to have ended by `until`, as far as its end is
    /// told in this boot.
    pub fn overdue(&self, until: Boot) -> Result<Vec<Waiting>, JournalError> {
        let query =
            format!("{WAITING} WHERE queued = 1 AND until_ms <= ?1 ORDER BY until_ms LIMIT 1000");
        let until = i64::try_from(until.millis()).unwrap_or(i64::MAX);
        self.waiting_by(&query, [until])
    }

    fn waiting_by(&self, query: &str, params: impl Params) -> Result<Vec<Waiting>, JournalError> {
        let rows = self.0.rows(query, params, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.into_iter()
            .map(
                |(id, dispatch, record, alert): (String, String, String, i64)| {
                    Ok(Waiting {
                        dispatch: self.0.parse(&id, &dispatch)?,
                        record: self.0.parse(&id, &record)?,
                        alert,
                    })
                },
            )
            .collect()
    }

    /// What has to be sent and whose end is told in another boot than this.
    pub fn of_other_boots(&self, boot_id: &BootId) -> Result<Vec<Dispatch>, JournalError> {
        let query = "SELECT CAST(action AS TEXT), dispatch FROM dispatches
                     WHERE json_extract(dispatch, '$.end.boot_id') <> ?1
                           OR json_extract(dispatch, '$.end.boot') <> until_ms";
        self.0.values(query, [&boot_id.0])
    }

    /// Whether something was never sent.
    pub fn has_queued(&self) -> Result<bool, JournalError> {
        let query = "SELECT 1 FROM dispatches WHERE queued = 1 LIMIT 1";
        Ok(self.0.one::<i64>(query, [])?.is_some())
    }

    /// The last record of what an agent has taken and not ended.
    pub fn taken(&self, agent: &AgentId) -> Result<Vec<Record>, JournalError> {
        let query = "SELECT lower(hex(id)), record FROM actions WHERE agent = ?1 AND live = 1
             AND NOT EXISTS (SELECT 1 FROM dispatches
                             WHERE dispatches.alert = actions.alert AND action = number)";
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
        let query =
            "SELECT CAST(agent AS TEXT), json_object('agent', CAST(agent AS TEXT), 'all', COUNT(*),
                            'in_force', SUM(standing >= 3), 'failing', SUM(standing = 4))
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
    pub fn wanted(&self, which: &Which) -> Result<Vec<Wanted>, JournalError> {
        let query = "SELECT lower(hex(id)), record FROM actions WHERE live = 1";
        let mut wanted = match which {
            Which::Id(id) => {
                let query = format!("{query} AND id = ?1");
                self.wanted_by(&query, [&id.bytes()[..]], which)?
            }
            Which::Target(_) | Which::All => self.wanted_by(query, [], which)?,
        };
        wanted.sort_by_key(|wanted| (wanted.since, wanted.action));
        Ok(wanted)
    }

    /// There may be very many, whose texts would not fit beside each other.
    fn wanted_by(
        &self,
        query: &str,
        params: impl Params,
        which: &Which,
    ) -> Result<Vec<Wanted>, JournalError> {
        let (mut wanted, mut unreadable) = (Vec::new(), None);
        self.0.rows(query, params, |row| {
            let (id, text) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            match self.parse_wanted(id, text) {
                Ok(one) if which.is(one.action, one.keys.as_ref()) => wanted.push(one),
                Ok(_) => {}
                Err(error) => unreadable = unreadable.take().or(Some(error)),
            }
            Ok(())
        })?;
        unreadable.map_or(Ok(wanted), Err)
    }

    fn parse_wanted(&self, id: &str, text: &str) -> Result<Wanted, JournalError> {
        let mut wanted: Wanted = self.0.parse(id, text)?;
        if wanted.state == ActionState::Queued {
            wanted.waiting = Some(self.0.parse(id, text)?);
        }
        Ok(wanted)
    }

    /// The last record of every action that is not over.
    pub fn live(&self) -> Result<Vec<Record>, JournalError> {
        self.0.values(
            "SELECT lower(hex(id)), record FROM actions WHERE live = 1",
            [],
        )
    }

    /// An alert that an action came from which has to be sent.
    pub fn alert(&self, number: i64) -> Result<Option<Vec<u8>>, JournalError> {
        self.0
            .one("SELECT body FROM alerts WHERE id = ?1", [number])
    }

    /// Whether this action is stored.
    pub fn knows(&self, id: ActionId) -> Result<bool, JournalError> {
        let query = "SELECT 1 FROM actions WHERE id = ?1";
        Ok(self.0.one::<i64>(query, [&id.bytes()[..]])?.is_some())
    }

    /// Whose action this is; none if it is not stored.
    pub fn owner(&self, id: ActionId) -> Result<Option<AgentId>, JournalError> {
        let query = "SELECT agent FROM actions WHERE id = ?1";
        let number: Option<u32> = self.0.one(query, [&id.bytes()[..]])?;
        Ok(number.and_then(AgentId::from_number))
    }

    /// The last record of an action.
    pub fn record(&self, id: ActionId) -> Result<Option<Record>, JournalError> {
        let query = "SELECT lower(hex(id)), record FROM actions WHERE id = ?1";
        let records = self.0.values(query, [&id.bytes()[..]])?;
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
        // Those that live are in no index of times, which would have to be
        // written for each of their states.
        let query = "SELECT lower(hex(id)), record FROM actions WHERE number IN
                     (SELECT number FROM (SELECT number FROM actions WHERE live = 0
                                          ORDER BY time_ms DESC, number DESC LIMIT ?1)
                      UNION ALL
                      SELECT number FROM (SELECT number FROM actions WHERE live = 1
                                          ORDER BY time_ms DESC, number DESC LIMIT ?1))
                     ORDER BY time_ms DESC, number DESC LIMIT ?1";
        self.0.values(query, [limit])
    }
}

/// An action that a person wants taken back: of its last record what is needed
/// for that.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Wanted {
    pub action: ActionId,
    pub state: ActionState,
    pub agent: OfAgent,
    #[serde(default)]
    pub keys: Option<Keys>,
    #[serde(default)]
    pub since: Option<Wall>,
    /// All of the record of what was never sent.
    #[serde(skip)]
    pub waiting: Option<Box<Record>>,
}

/// Whose an action is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct OfAgent {
    pub id: AgentId,
}

impl From<Record> for Wanted {
    fn from(record: Record) -> Self {
        Self {
            action: record.action,
            state: record.state,
            agent: OfAgent {
                id: record.agent.id.clone(),
            },
            keys: record.keys.clone(),
            since: record.since,
            waiting: (record.state == ActionState::Queued).then(|| record.into()),
        }
    }
}

/// An action that has to be sent.
#[derive(Clone, Debug, PartialEq)]
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
