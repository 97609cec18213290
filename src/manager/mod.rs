//! The manager: takes alerts in, decides which responses they lead to, hands
//! the actions to the hosts and keeps what became of them.
//!
//! One task owns all state and selects over what comes in. A full outbox or
//! too many actions under way stop it from taking alerts: the file they stand
//! in is the queue, and its position is stored only with the actions of the
//! lines before it.

mod alerts;
mod delivery;
mod inbox;
mod requests;
mod results;
mod sources;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::audit::{Limiter, ResponsesLog};
use crate::clock::BootId;
use crate::clock::{self, Wall};
use crate::config::ManagerConfig;
use crate::config::Response;
use crate::journal::manager::{Dispatch, ManagerReader, ManagerSchema, Op};
use crate::journal::{Journal, JournalError};
use crate::ledger::reverts::Waiters;
use crate::matcher::{Condition, Matcher};
use crate::model::{ActionId, Record};
use crate::policy::WhiteList;
use crate::sys::exe::Home;
use crate::wire::control::Answer;

use alerts::Counts;
use delivery::AgentState;
use inbox::Event;
pub use inbox::{Inbox, Senders, Steer};
pub use sources::SourceError;
use sources::Sources;

/// Actions on their way to a host before no more alerts are taken.
const MAX_PENDING: usize = 10_000;

/// Records that wait for `responses.json` before no more alerts are taken.
const MAX_UNWRITTEN: usize = 10_000;

/// How long what became of an action is kept.
const HISTORY: Duration = Duration::from_secs(90 * 86_400);

/// What a manager is made of.
#[derive(Debug)]
pub struct Parts {
    pub home: Home,
    pub boot_id: BootId,
    /// The name of this host, that is of agent `000`.
    pub host: String,
    pub config: ManagerConfig,
}

/// Why a manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("open {path}: {source}")]
    Responses {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
}

/// What the configuration says, ready for use. Replaced as a whole by a reload.
#[derive(Debug)]
struct Settings {
    responses: Vec<Response>,
    matcher: Matcher,
    networks: Vec<IpNetwork>,
    white_list: WhiteList,
}

impl Settings {
    fn new(config: &ManagerConfig) -> Self {
        let conditions = config.responses.iter().map(|response| Condition {
            level: response.when.level,
            group: response
                .when
                .rules_group
                .as_ref()
                .map(|group| group.pattern.clone()),
            ids: response.when.rules_id.clone(),
        });
        Self {
            matcher: Matcher::new(conditions.collect()),
            responses: config.responses.clone(),
            networks: config.white_list.clone(),
            white_list: WhiteList::new(config.white_list.clone()),
        }
    }
}

/// An action that is not over.
#[derive(Debug)]
struct Live {
    record: Record,
    /// Until its host has it.
    dispatch: Option<Box<Dispatch>>,
    alert: Option<Arc<[u8]>>,
}

/// Who asked for a revert.
type Asker = oneshot::Sender<Answer>;

/// The manager. See the module for who may touch what.
#[derive(Debug)]
pub struct Manager {
    home: Home,
    host: String,
    since: Wall,
    boot_id: BootId,
    settings: Settings,
    journal: Journal<ManagerSchema>,
    reader: ManagerReader,
    live: HashMap<ActionId, Live>,
    agent: AgentState,
    responses: ResponsesLog,
    /// Records that `responses.json` could not take yet, in order.
    unwritten: VecDeque<Unwritten>,
    sources: Sources,
    counts: Counts,
    limiter: Limiter,
    reverts: Waiters<Asker>,
    chores: JoinSet<()>,
    ready: Option<oneshot::Sender<()>>,
    reloads: mpsc::Sender<Asker>,
}

/// What waits for `responses.json`. Journalled only once its line stands, so
/// that a crash in between repeats a line and never leaves one out.
#[derive(Debug, Default)]
struct Unwritten {
    /// The line; none if it stands already.
    record: Option<Box<Record>>,
    /// What the journal is to hold then.
    ops: Vec<Op>,
    /// The update of the present session that it came with.
    update: Option<u64>,
    /// The reader that waits until the journal is synced.
    stored: Option<oneshot::Sender<()>>,
}

impl Manager {
    /// Opens journal and log and starts the sources. `ready` is answered once
    /// every source is open and its start position is on disk; `reloads` takes
    /// whoever asks for a reload. Blocks while it does.
    pub fn open(
        parts: Parts,
        inbox: &Inbox,
        ready: oneshot::Sender<()>,
        reloads: mpsc::Sender<Asker>,
    ) -> Result<Self, OpenError> {
        let path = parts.home.path().join("queue/manager.db");
        let journal = Journal::<ManagerSchema>::open(&path)?;
        let reader = ManagerReader::open(&path)?;
        let path = parts.home.path().join("logs/responses.json");
        let responses =
            ResponsesLog::open(&path).map_err(|source| OpenError::Responses { path, source })?;
        let mut manager = Self {
            host: parts.host,
            since: clock::wall(),
            boot_id: parts.boot_id,
            settings: Settings::new(&parts.config),
            live: HashMap::new(),
            agent: AgentState::new(journal.synced()),
            journal,
            responses,
            unwritten: VecDeque::new(),
            sources: Sources::new(inbox.source_events()),
            counts: Counts::default(),
            limiter: Limiter::default(),
            reverts: Waiters::default(),
            chores: JoinSet::new(),
            ready: Some(ready),
            reloads,
            reader,
            home: parts.home,
        };
        manager.load()?;
        manager.set_sources(&parts.config.sources)?;
        Ok(manager)
    }

    fn load(&mut self) -> Result<(), JournalError> {
        for record in self.reader.live()? {
            let live = Live {
                record,
                dispatch: None,
                alert: None,
            };
            self.live.insert(live.record.action, live);
        }
        let now = clock::now();
        let mut undelivered = self.reader.undelivered()?;
        undelivered.sort_by_key(|dispatch| {
            self.live
                .get(&dispatch.action.id)
                .map(|live| live.record.time)
        });
        for mut dispatch in undelivered {
            self.agent.queue(dispatch.action.id);
            dispatch.end = dispatch.end.in_this_boot(now, &self.boot_id);
            if let Some(live) = self.live.get_mut(&dispatch.action.id) {
                live.dispatch = Some(Box::new(dispatch));
            }
        }
        Ok(())
    }

    /// Runs until it is told to stop. Lifts nothing.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut synced = self.journal.synced();
        self.announce_when_ready();
        loop {
            match inbox.next(&mut self, &mut synced).await {
                Event::Steer(Steer::Stop) => break,
                event => self.handle(event).await,
            }
        }
        self.shut_down().await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Steer(Steer::Reload { config, done }) => self.reload(&config, done).await,
            Event::Steer(Steer::Stop) => {}
            Event::Source(index, event) => self.source_event(index, event).await,
            Event::Asked(asked) => self.answer(asked).await,
            Event::Agent(agent) => self.agent_connected(agent).await,
            Event::FromAgent(session, message) => self.told(session, message).await,
            Event::AgentGone(session) => self.agent_gone(session),
            Event::Deliver => self.deliver().await,
            Event::Synced => self.confirm_updates(),
            Event::Tick => self.tick().await,
            Event::Prune => {
                let before = clock::wall().minus(HISTORY);
                self.journal.write(vec![Op::Prune { before }]).await;
            }
        }
    }

    async fn tick(&mut self) {
        self.write_unwritten().await;
        self.store_positions().await;
        self.expire().await;
        self.confirm_updates();
        for (asker, outcomes) in self.reverts.answered(clock::boot()) {
            requests::reply_reverted(asker, outcomes);
        }
    }

    /// Whether a tick has anything to do; a manager at rest does not wake up.
    fn has_something_waiting(&self) -> bool {
        self.sources.has_unstored()
            || !self.unwritten.is_empty()
            || self.reverts.next_deadline().is_some()
            || (!self.agent.is_connected() && self.agent.waiting() > 0)
    }

    /// Whether alerts are taken at the moment.
    fn takes_alerts(&self) -> bool {
        self.agent.waiting() < MAX_PENDING
            && self.unwritten.len() < MAX_UNWRITTEN
            && !self.journal.health().is_failing()
    }

    async fn reload(
        &mut self,
        config: &ManagerConfig,
        done: oneshot::Sender<Result<(), SourceError>>,
    ) {
        let outcome = self.set_sources(&config.sources);
        if outcome.is_ok() {
            self.settings = Settings::new(config);
            self.send_white_list();
        }
        // Whoever asked may have gone.
        let _ = done.send(outcome);
    }

    /// Writes a state to `responses.json` and to the journal, in this order:
    /// the line stands before a result is confirmed.
    async fn record(&mut self, record: Record, mut ops: Vec<Op>, update: Option<u64>) {
        self.note(&record);
        ops.push(Op::Record(Box::new(record.clone())));
        self.unwritten.push_back(Unwritten {
            record: Some(Box::new(record)),
            ops,
            update,
            stored: None,
        });
        self.write_unwritten().await;
    }

    async fn shut_down(mut self) {
        self.write_unwritten().await;
        self.store_positions().await;
        let (sources, journal) = (self.sources, self.journal);
        let closed = tokio::task::spawn_blocking(move || {
            sources.stop();
            journal.close();
        })
        .await;
        closed.expect("closing the journal does not panic");
    }
}

/// Waits until `number` is reached, or for ever if nobody counts any more.
async fn reached(counter: &mut watch::Receiver<u64>) {
    if counter.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
