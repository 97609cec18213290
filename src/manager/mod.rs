//! The manager: takes alerts in, decides which responses they lead to, hands
//! the actions to the hosts and keeps what became of them.
//!
//! One task owns all state and selects over what comes in. What waits for a
//! host stands in the journal, so that thousands of hosts that are away cost
//! disk and not memory. A log that cannot be written stops it from taking
//! alerts: the file they stand in is the queue, and its position is stored only
//! with the actions of the lines before it.

mod alerts;
mod backlog;
mod by_hand;
mod delivery;
mod enrollment;
mod fresh;
mod history;
mod host;
mod hosts;
mod http;
mod inbox;
mod naming;
mod pacing;
mod reach;
mod requests;
mod results;
mod reverts;
mod revocation;
mod sessions;
mod shape;
mod sources;
#[cfg(test)]
mod tests;
mod tokens;
mod twins;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::audit::{Limiter, ResponsesLog};
use crate::clock::BootId;
use crate::clock::{self, Boot, Wall};
use crate::config::{Command, Entries, ManagerConfig, Response};
use crate::journal::manager::{ManagerReader, ManagerSchema, Op, Wanted};
use crate::journal::roster::RosterReader;
use crate::journal::{self, Journal, JournalError};
use crate::ledger::reverts::Waiters;
use crate::matcher::{Condition, Conditions, Matcher};
use crate::model::{AgentId, JournalId, Record, Selector};
use crate::policy::WhiteList;
use crate::roster::{Inconsistent, Roster};
use crate::sys::exe::Home;
use crate::wire::control::{Answer, Which};
use crate::wire::{Frame, ToAgent};

use alerts::{Batch, Counts};
use by_hand::Runs;
pub use enrollment::Fleet;
use enrollment::Registry;
use fresh::Fresh;
use history::History;
use hosts::{Delivery, Told};
use inbox::Event;
pub use inbox::{Inbox, Senders, Steer};
use reach::Reach;
use reverts::Chosen;
use revocation::Closing;
pub use sources::SourceError;
use sources::Sources;
use twins::Twins;

/// Records that wait for `responses.json` before no more alerts and results are
/// taken in.
const MAX_UNWRITTEN: usize = 10_000;

/// The same for operations that the journal has not written.
const MAX_OPS: usize = 16_000;

/// What a manager is made of.
#[derive(Debug)]
pub struct Parts {
    pub home: Home,
    pub boot_id: BootId,
    /// The name of this host, that is of agent `000`.
    pub host: String,
    pub config: ManagerConfig,
    /// None if it takes no agents of other hosts.
    pub fleet: Option<Fleet>,
}

/// Why a manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "{0}\n(queue/agents.db says who the agents are; put a copy of it back, or move it away and enroll every host anew)"
    )]
    Roster(#[from] Inconsistent),
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
    commands: Vec<Arc<Command>>,
    responses: Vec<Response>,
    matcher: Matcher,
    white_list: WhiteList,
    /// The same for agents; made once for all of them.
    white_list_frames: Vec<Frame>,
    /// Selectors that mean no agent there is.
    nobody: Vec<Selector>,
}

/// Networks in one message: about 900 KB, well below the limit of a frame.
const WHITE_LIST_PART: usize = 20_000;

/// Names in one message, which are longer.
const NAMES_PART: usize = 2_000;

fn white_list_frames(list: &Entries) -> Vec<Frame> {
    let networks: Vec<_> = list.networks.chunks(WHITE_LIST_PART).collect();
    let names: Vec<_> = list.names.chunks(NAMES_PART).collect();
    let last = networks.len().max(names.len()).max(1) - 1;
    let messages = (0..=last).map(|at| ToAgent::WhiteList {
        networks: networks.get(at).map_or_else(Vec::new, |part| part.to_vec()),
        names: names.get(at).map_or_else(Vec::new, |part| part.to_vec()),
        more: at < last,
    });
    messages
        .map(|message| {
            message
                .into_frame()
                .expect("a white list always serialises")
        })
        .collect()
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
            logic: response.when.logic,
        });
        let white_list = config.white_list.all();
        Self {
            matcher: Matcher::new(conditions.collect()),
            commands: config.commands.clone(),
            responses: config.responses.clone(),
            white_list_frames: white_list_frames(&white_list),
            white_list: WhiteList::new(white_list.networks).with_names(white_list.names),
            nobody: Vec::new(),
        }
    }

    fn conditions(&self) -> Arc<Conditions> {
        Arc::clone(self.matcher.conditions())
    }
}

/// Who asked for a revert.
type Asker = oneshot::Sender<Answer>;

/// What a task of its own has found out or done for the manager.
enum Chore {
    Done,
    /// A message to an agent may leave.
    Tell(AgentId, Box<ToAgent>),
    /// What a person wants reverted.
    Chosen {
        which: Which,
        found: Result<Chosen, JournalError>,
        asker: Asker,
    },
}

/// The manager. See the module for who may touch what.
#[derive(Debug)]
pub struct Manager {
    home: Home,
    since_start: Wall,
    boot_id: BootId,
    settings: Settings,
    journal: Journal<ManagerSchema>,
    journal_id: JournalId,
    reader: ManagerReader,
    roster: Roster,
    enrolled: Registry,
    fleet: Option<Fleet>,
    delivery: Delivery,
    /// Since when each agent is connected, or away, as far as we have seen.
    since: HashMap<AgentId, Wall>,
    /// Agents whose present session is asked whether it is alive.
    doubtful: BTreeSet<AgentId>,
    /// What of the lines that were read is still to be taken in.
    batch: Option<Batch>,
    fresh: Fresh,
    last_dispatch: i64,
    last_alert: i64,
    responses: ResponsesLog,
    /// Records that `responses.json` could not take yet, in order.
    unwritten: VecDeque<Unwritten>,
    sources: Sources,
    reach: Reach,
    twins: Twins,
    counts: Counts,
    limiter: Limiter,
    reverts: Waiters<Asker>,
    /// Reverts of hosts that were offline, and until when they may come back.
    offline_reverts: VecDeque<(Boot, Wanted)>,
    runs: Runs,
    closing: Closing,
    history: History,
    chores: JoinSet<Chore>,
    ready: Option<oneshot::Sender<()>>,
    reloads: mpsc::Sender<Asker>,
}

/// What waits for `responses.json`. Journalled only once its line stands, so
/// that a crash in between repeats a line and never leaves one out.
#[derive(Debug, Default)]
struct Unwritten {
    /// The line; none if it stands already.
    record: Option<Arc<Record>>,
    /// What the journal is to hold then.
    ops: Vec<Op>,
    /// The agents whose actions these operations change.
    agents: Vec<AgentId>,
    /// The update that it came with.
    update: Option<Told>,
    /// The reader that waits until the journal is synced.
    stored: Option<oneshot::Sender<()>>,
}

impl Manager {
    /// Opens journals and log and starts the sources. `ready` is answered once
    /// every source is open and its start position is on disk; `reloads` takes
    /// whoever asks for a reload. Blocks while it does.
    pub fn open(
        parts: Parts,
        inbox: &Inbox,
        ready: oneshot::Sender<()>,
        reloads: mpsc::Sender<Asker>,
    ) -> Result<Self, OpenError> {
        let home = parts.home.path();
        let path = home.join("logs/responses.json");
        let responses =
            ResponsesLog::open(&path).map_err(|source| OpenError::Responses { path, source })?;
        let path = home.join("queue/manager.db");
        // A result is confirmed, and then forgotten by its host, once it is
        // synced; so its line must be by then.
        let syncer = Box::new(responses.syncer());
        let journal = Journal::<ManagerSchema>::open_beside(&path, syncer)?;
        let reader = ManagerReader::open(&path)?;
        let path = home.join("queue/agents.db");
        let enrolled = Registry::open(&path)?;
        let roster = Roster::load(&parts.host, RosterReader::open(&path)?.rows()?)?;
        let (last_dispatch, last_alert) = reader.numbers()?;
        let settings = Settings::new(&parts.config);
        let conditions = settings.conditions();
        let mut manager = Self {
            since_start: clock::wall(),
            boot_id: parts.boot_id,
            settings,
            journal_id: reader.id()?,
            roster,
            enrolled,
            fleet: parts.fleet,
            delivery: Delivery::new(journal.written(), journal.synced()),
            since: HashMap::new(),
            doubtful: BTreeSet::new(),
            batch: None,
            fresh: Fresh::new(journal.written()),
            last_dispatch,
            last_alert,
            journal,
            responses,
            unwritten: VecDeque::new(),
            sources: Sources::new(inbox.source_events(), conditions),
            reach: Reach::default(),
            twins: Twins::default(),
            counts: Counts::default(),
            limiter: Limiter::default(),
            reverts: Waiters::default(),
            offline_reverts: VecDeque::new(),
            runs: Runs::default(),
            closing: Closing::of(reader.with_account()?),
            history: History::new(reader.pruned()?, clock::now()),
            chores: JoinSet::new(),
            ready: Some(ready),
            reloads,
            reader,
            home: parts.home,
        };
        for heard in manager.reader.heard()? {
            manager.delivery.host(&heard.agent).heard = Some((heard.journal, heard.seq));
        }
        manager.look_for_nobody();
        manager.set_sources(&parts.config.sources)?;
        Ok(manager)
    }

    /// Runs until it is told to stop. Lifts nothing.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut synced = self.journal.synced();
        self.tell_ends_anew().await;
        self.announce_when_ready();
        loop {
            match inbox.next(&mut self, &mut synced).await {
                Event::Steer(Steer::Stop) => break,
                event => self.handle(event).await,
            }
            self.enrolled.flush().await;
        }
        self.shut_down().await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Steer(Steer::Reload {
                config,
                fleet,
                done,
            }) => {
                if self.reload(&config, done).await {
                    self.fleet = fleet;
                }
            }
            Event::Steer(Steer::Closed) => self.end_closed().await,
            Event::Steer(Steer::Stop) => {}
            Event::Source(index, event) => self.source_event(index, event).await,
            Event::MoreLines => self.next_part().await,
            Event::Asked(asked) => self.answer(asked).await,
            Event::Agent(arrival) => self.arrived(arrival).await,
            Event::FromAgents(reports) => self.told_all(reports).await,
            Event::Enroll(enrollment) => self.enroll(enrollment).await,
            Event::Chore(chore) => self.chore_done(chore).await,
            Event::Written => {
                self.fresh.forget_written();
                self.pump_hungry().await;
            }
            Event::Synced => self.delivery.confirm(),
            Event::Tick => self.tick().await,
            Event::Sweep => self.expire_overdue().await,
            Event::Prune => {
                self.prune().await;
                let expired = self.roster.prune(clock::wall());
                self.enrolled.append(expired);
                self.see_connected();
            }
        }
    }

    async fn chore_done(&mut self, chore: Chore) {
        match chore {
            Chore::Done => {}
            Chore::Tell(agent, message) => {
                let session = self.delivery.host(&agent).session.as_ref();
                if let (Some(session), Ok(frame)) = (session, message.into_frame()) {
                    // Without room it is asked for again.
                    let _ = session.send(frame);
                }
            }
            Chore::Chosen {
                which,
                found,
                asker,
            } => self.revert_chosen(&which, found, asker).await,
        }
    }

    async fn tick(&mut self) {
        self.write_unwritten().await;
        self.store_positions().await;
        self.delivery.confirm();
        self.pump_hungry().await;
        self.end_doubts().await;
        self.close_accounts().await;
        self.tell_offline_reverts();
        for (asker, outcomes) in self.reverts.answered(clock::boot()) {
            reverts::reply_reverted(asker, outcomes);
        }
        self.runs.answer(clock::boot());
    }

    /// Whether a tick has anything to do; a manager at rest does not wake up.
    fn has_something_waiting(&self) -> bool {
        self.sources.has_unstored()
            || !self.unwritten.is_empty()
            || !self.doubtful.is_empty()
            || !self.closing.is_empty()
            || self.delivery.is_waiting()
            || self.delivery.pacing.is_on()
            || self.reverts.next_deadline().is_some()
            || self.runs.is_waiting()
    }

    /// Whether there is room for what alerts and results lead to. Without it they
    /// wait where they are: in their files, and with the agents.
    fn has_room(&self) -> bool {
        self.unwritten.len() < MAX_UNWRITTEN
            && self.fresh.unwritten_ops() < MAX_OPS
            && self.journal.has_room()
    }

    async fn reload(
        &mut self,
        config: &ManagerConfig,
        done: oneshot::Sender<Result<(), SourceError>>,
    ) -> bool {
        let outcome = self.set_sources(&config.sources);
        if outcome.is_ok() {
            let mut settings = Settings::new(config);
            settings.nobody = self.settings.nobody.clone();
            self.sources.match_by(settings.conditions());
            let before = std::mem::replace(&mut self.settings, settings);
            self.look_for_nobody();
            if before.white_list_frames != self.settings.white_list_frames {
                self.spread_white_list().await;
            }
        }
        let applied = outcome.is_ok();
        // Whoever asked may have gone.
        let _ = done.send(outcome);
        applied
    }

    /// Looks for selectors that mean nobody: they may be typos, or hosts that
    /// are still to be enrolled. Warns of those that are new.
    fn look_for_nobody(&mut self) {
        let mut nobody: Vec<Selector> = Vec::new();
        for response in &self.settings.responses {
            let selectors: Vec<_> = response.location.selectors().cloned().collect();
            for selector in self.roster.unknown(&selectors) {
                if !nobody.contains(selector) {
                    nobody.push(selector.clone());
                }
            }
        }
        for selector in &nobody {
            if !self.settings.nobody.contains(selector) {
                log::warn!(agent:% = selector; "a response names an agent that is not enrolled; nothing is sent there until it is");
            }
        }
        self.settings.nobody = nobody;
    }

    async fn shut_down(mut self) {
        self.see_connected();
        self.enrolled.flush().await;
        self.write_unwritten().await;
        self.store_positions().await;
        let (sources, journal, enrolled) = (self.sources, self.journal, self.enrolled);
        journal::aside(move || {
            sources.stop();
            journal.close();
            enrolled.close();
        })
        .await;
    }
}

/// Waits until `number` is reached, or for ever if nobody counts any more.
async fn reached(counter: &mut watch::Receiver<u64>) {
    if counter.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
