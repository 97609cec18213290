//! The agent: carries actions out on its host and takes them back when their
//! time is over, with or without a manager in reach.
//!
//! One task owns the ledger and everything else here, and selects over what
//! comes in; runs of executables are tasks of their own that report to it. All
//! channels are bounded: when too many actions wait, it stops reading from its
//! manager, while reverts go on.

mod alerts;
mod backlog;
mod capabilities;
mod drift;
mod guards;
mod hands;
mod hits;
mod inbox;
mod intake;
mod link;
mod look_ups;
mod memory;
mod outbox;
mod recover;
mod requests;
mod runs;
mod speech;
mod standing;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock::BootId;
use crate::clock::{self, Boot, Wall};
use crate::config::OnStop;
use crate::executor::{Decision, Outcome, Progress, RunId, Slots};
use crate::journal::agent::{AgentReader, AgentSchema, Op};
use crate::journal::{Journal, JournalError, Ticket};
use crate::ledger::agent::{Changes, Ledger, Step};
use crate::ledger::reverts::Waiters;
use crate::model::{ActionId, ExeName, Instance, JournalId, Keys, Mode, Steps};
use crate::policy::WhiteList;
use crate::sys::exe::Home;
use crate::wire::ToManager;
use crate::wire::control::Answer;

use alerts::Alerts;
use backlog::Backlog;
use drift::Drift;
use guards::Guards;
pub use hands::Hands;
#[cfg(test)]
pub(crate) use hands::Played;
use inbox::Event;
pub use inbox::{Inbox, Steer};
use link::LinkState;
pub use link::{Caller, Link, Reports};
use look_ups::LookUps;
use memory::Memory;
use outbox::Outbox;
use runs::Running;
use standing::Standing;
use stop::Stop;

/// Actions of bundled executables, and for the first white list, that may wait
/// before no more are taken from the manager.
const MAX_PENDING: usize = 2_000;

/// Actions that may stand behind others of their script before no more are
/// taken from the manager. They take as much memory as what is in force, so
/// there may be as many.
const MAX_BEHIND: usize = 100_000;

/// What an agent is made of.
#[derive(Debug)]
pub struct Parts {
    pub home: Home,
    pub boot_id: BootId,
    /// Made at random for this run.
    pub instance: Instance,
    pub settings: Settings,
    /// What its executables are run by.
    pub hands: Hands,
    /// Takes whoever asks for a reload.
    pub reloads: mpsc::Sender<oneshot::Sender<Answer>>,
}

/// What its configuration says. Replaced as a whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `<active-response><disabled>yes`: no new action is started.
    pub disabled: bool,
    /// Its own white list, beside the manager's.
    pub white_list: WhiteList,
    /// How much longer a target is held here that comes again.
    pub repeated_offenders: Option<Steps>,
    /// What becomes of what is in force at a stop.
    pub on_stop: OnStop,
}

/// Who asked for a revert.
#[derive(Debug)]
enum Asker {
    Person(oneshot::Sender<Answer>),
    Manager { request: u64 },
}

/// Keys whose decision waits until another run has ended.
#[derive(Debug)]
struct HeldKeys {
    run: RunId,
    action: ActionId,
    keys: Keys,
    decide: oneshot::Sender<Decision>,
}

/// The agent. See the module for who may touch what.
#[derive(Debug)]
pub struct Agent {
    home: Home,
    settings: Settings,
    since: Wall,
    boot_id: BootId,
    ledger: Ledger,
    journal: Journal<AgentSchema>,
    reader: AgentReader,
    memory: Memory,
    guards: Guards,
    hands: Hands,
    slots: Slots,
    next_run: u64,
    planned: HashMap<RunId, (ActionId, Mode)>,
    /// Actions that have not begun.
    backlog: Backlog,
    look_ups: LookUps,
    running: HashMap<RunId, Running>,
    runs: JoinSet<(RunId, Outcome)>,
    /// Answers that wait for the journal.
    chores: JoinSet<()>,
    held_keys: Vec<HeldKeys>,
    /// Actions that wait for the first white list.
    unguarded: VecDeque<ActionId>,
    alerts: Alerts,
    /// An executable as an action named it, the bundled one that it was found to
    /// be, and when.
    looked_at: Option<(ExeName, ExeName, Boot)>,
    /// The names for which bundled executables were found to stand in.
    stand_ins: HashSet<ExeName>,
    outbox: Outbox,
    progress: mpsc::Sender<(RunId, Progress)>,
    reverts: Waiters<Asker>,
    reloads: mpsc::Sender<oneshot::Sender<Answer>>,
    /// How the link to the manager stands.
    link: watch::Receiver<LinkState>,
    /// The manager's journal that was last told everything.
    manager: Option<JournalId>,
    /// Names this journal to the manager.
    journal_id: watch::Sender<JournalId>,
    instance: Instance,
    /// Has what this host can do looked up again.
    look_again: Arc<Notify>,
    drift: Drift,
    standing: Standing,
    /// Where the managers were when a host that is cut off was told last.
    managers: Vec<SocketAddr>,
    /// None unless it is asked to stop.
    stop: Option<Stop>,
}

impl Agent {
    /// Opens the journal, ends what a predecessor left running, and decides
    /// what each of its actions needs. Blocks while it does.
    pub fn open(parts: Parts, inbox: &Inbox) -> Result<Self, JournalError> {
        let path = parts.home.path().join("queue/agentd.db");
        let journal = Journal::<AgentSchema>::open(&path)?;
        let reader = AgentReader::open(&path)?;
        let loaded = reader.load()?;
        let is_new_boot = loaded.boot.as_ref() != Some(&parts.boot_id);
        let mut agent = Self {
            guards: Guards::new(loaded.white_list.as_deref()),
            settings: parts.settings,
            hands: parts.hands,
            since: clock::wall(),
            ledger: Ledger::new(parts.boot_id.clone()),
            boot_id: parts.boot_id,
            memory: Memory::new(journal.written(), reader.ended()?),
            reader,
            slots: Slots::default(),
            next_run: 0,
            planned: HashMap::new(),
            backlog: Backlog::default(),
            look_ups: LookUps::default(),
            running: HashMap::new(),
            runs: JoinSet::new(),
            chores: JoinSet::new(),
            held_keys: Vec::new(),
            unguarded: VecDeque::new(),
            alerts: Alerts::new(),
            looked_at: None,
            stand_ins: HashSet::new(),
            outbox: Outbox::new(loaded.updates, loaded.numbers, journal.synced()),
            progress: inbox.progress(),
            reverts: Waiters::default(),
            reloads: parts.reloads,
            link: inbox.link_state(),
            manager: loaded.manager,
            journal_id: watch::Sender::new(loaded.journal),
            instance: parts.instance,
            look_again: Arc::default(),
            drift: Drift::default(),
            standing: Standing::default(),
            managers: Vec::new(),
            stop: None,
            journal,
            home: parts.home,
        };
        agent.ledger.count_from(loaded.numbers.action);
        for (id, error) in loaded.unreadable {
            agent.memory.remember(id);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            log::error!(error:% = error, cause = cause.as_deref().unwrap_or_default(); "an action of the journal cannot be read and is set aside; look whether its effect is still there (sqlite3 shows the row)");
        }
        agent.load(loaded.live);
        agent.load_offences()?;
        agent.standing.begin(is_new_boot);
        Ok(agent)
    }

    /// How this agent introduces itself.
    pub fn caller(&self) -> Caller {
        Caller {
            boot_id: self.boot_id.clone(),
            journal: self.journal_id.subscribe(),
            instance: self.instance,
        }
    }

    /// Told once what is in force stands again after a boot of this host; at once
    /// after any other start, which has not taken it away.
    pub fn standing(&mut self) -> oneshot::Receiver<()> {
        self.standing.told()
    }

    /// Runs until it is told to stop. What is in force stays in force, unless it is
    /// to be lifted.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut synced = self.journal.synced();
        self.recover().await;
        // After what is to be put back, whose files it would only read as well.
        let hints = Arc::clone(&self.look_again);
        let looking = self.hands.look(self.home.clone(), hints, inbox.capable());
        tokio::spawn(looking);
        tokio::spawn(self.hands.watch(inbox.drifted()));
        while !self.may_end() {
            let event = inbox.next(&mut self, &mut synced).await;
            self.handle(event).await;
        }
        self.shut_down().await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Steer(Steer::Reload(settings)) => {
                let steps = settings.repeated_offenders.clone();
                self.ledger.rule_offences(steps);
                self.settings = settings;
                self.look_again.notify_one();
                self.drift.begin_anew(clock::boot());
            }
            Event::Steer(Steer::Stop) => self.begin_to_stop().await,
            Event::Prune => {
                let now = clock::now();
                self.ledger.forget_offences(now);
                self.journal.write(vec![Op::Prune { now: now.wall }]).await;
            }
            Event::Asked(asked) => self.answer(asked).await,
            Event::Linked(link, manager) => self.linked(link, manager).await,
            Event::Renew(key) => self.outbox.answer(ToManager::Renew { key }),
            Event::Unlinked => self.outbox.disconnect(),
            Event::Capable(capabilities) => self.outbox.describe(*capabilities),
            Event::Told(message) => self.told(message).await,
            Event::Retracted { action, revert } => self.retracted(action, revert).await,
            Event::Progress(run, progress) => self.progress(run, progress).await,
            Event::Ended(run, outcome) => self.run_ended(run, *outcome).await,
            Event::Rang => self.wake().await,
            Event::Drifted(seen) => self.drifted(seen),
            Event::Relinked => self.relinked().await,
            Event::Held | Event::Synced | Event::Sent => {}
        }
    }

    /// Whether another action may be taken from the manager. What is looked up
    /// or taken back does not count: there may be very much of it after a start.
    /// Nor does what is lined up of a script, which may hang.
    fn accepts(&self) -> bool {
        self.backlog.bundled() + self.unguarded.len() < MAX_PENDING
            && self.backlog.behind() < MAX_BEHIND
            && !self.outbox.is_full()
            && self.journal.has_room()
    }

    /// While it stops, no end is begun any more unless all are, so none may wake it
    /// up.
    fn next_alarm(&self) -> Option<Boot> {
        let due = self.ledger.next_due().filter(|_| self.may_start());
        let repair = self.drift.due().filter(|_| !self.is_stopping());
        let alarms = [due, repair, self.reverts.next_deadline(), self.ends_by()];
        alarms.into_iter().flatten().min()
    }

    async fn wake(&mut self) {
        if self.may_start() {
            let changes = self.ledger.due(clock::now());
            self.commit(changes).await;
            self.start_planned().await;
        }
        if !self.is_stopping() {
            self.repair().await;
        }
        self.answer_reverts();
    }

    /// Journals what has changed, then lines up the runs that follow from it.
    /// The ticket is that of the last write.
    async fn commit(&mut self, changes: Changes) -> Ticket {
        let now = clock::wall();
        let mut ops = Vec::new();
        for id in &changes.changed {
            let Some(entry) = self.ledger.entry(*id) else {
                continue;
            };
            if entry.step == Step::Waiting
                && let Some(alert) = self.alerts.get(id)
            {
                ops.push(Op::Alert {
                    number: entry.number,
                    body: Arc::clone(&alert.body),
                });
            }
            ops.push(Op::Entry(Box::new(entry.clone()), now));
        }
        for record in changes.records {
            log::debug!(action:% = record.action, state:% = record.state, command:% = record.command; "an action has a new state");
            self.reverts.heard(&record);
            let Some(entry) = self.ledger.entry(record.action) else {
                continue;
            };
            let telling = intake::telling(entry, record);
            ops.push(self.outbox.push(telling, self.journal.next()));
        }
        ops.extend(changes.counts.into_iter().map(Op::Offence));
        // What only looks something up changes nothing.
        let (write, ticket) = match ops.is_empty() {
            true => (self.journal.next() - 1, self.journal.last()),
            false => (self.journal.next(), self.journal.write(ops).await),
        };
        for id in &changes.changed {
            match self.ledger.entry(*id).map(|entry| entry.step) {
                Some(Step::Ended) => {
                    self.memory.ended(*id, write);
                    self.is_over(*id);
                    self.standing.is_done(*id);
                    self.alerts.remove(id);
                    self.unguarded.retain(|waiting| waiting != id);
                    if let Some(place) = self.backlog.remove(*id) {
                        self.planned.remove(&place.run);
                        self.slots.withdraw(place.run, &place.lane);
                    }
                    self.ledger.remove_ended(*id);
                }
                // It was written before its add began. Its delete reads it from
                // there; alerts of all that is in force would fill the memory.
                Some(Step::InForce) => {
                    self.alerts.remove(id);
                }
                Some(
                    Step::Waiting | Step::Adding | Step::Reverting | Step::Undoing | Step::Redoing,
                )
                | None => {}
            }
        }
        for (id, kind) in changes.runs {
            if self.put_off(id, kind) {
                continue;
            }
            let wanted = self.target(id);
            self.plan(id, kind, wanted.as_ref());
        }
        self.answer_reverts();
        ticket
    }
}
