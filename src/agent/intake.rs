//! Actions as they come from the manager: taken in once, acknowledged, judged
//! and lined up; and what the manager is told again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock;
use crate::contract::target::{self, Unclear};
use crate::contract::words::NoWords;
use crate::journal::JournalError;
use crate::journal::agent::{Op, Telling};
use crate::ledger::agent::{Entry, Step};
use crate::model::{Action, ActionId, ActionState, JournalId, Mode, Record, Target};
use crate::policy::{self, Verdict};
use crate::sys::exe::ExeError;
use crate::transport::random;
use crate::wire::{Frame, ManagerJournal, ToAgent};

use super::Agent;
use super::alerts::Alert;
use super::guards::Listed;

/// Actions that are told again in one journal write.
const TOLD_AT_ONCE: usize = 500;

/// How long an action may still wait for its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// So much of its timeout remains.
    OfTimeout(Duration),
    /// It has no timeout, and is pointless after so long.
    OfPatience(Duration),
}

impl Left {
    /// From what travels with an action.
    pub(super) fn new(remaining_ms: Option<u64>, age_ms: u64) -> Self {
        match remaining_ms {
            Some(remaining) => Self::OfTimeout(Duration::from_millis(remaining)),
            None => {
                let age = Duration::from_millis(age_ms);
                Self::OfPatience(policy::PATIENCE.saturating_sub(age))
            }
        }
    }
}

impl Agent {
    /// A session with the manager begins.
    pub(super) async fn linked(
        &mut self,
        link: mpsc::Sender<Frame>,
        manager: Option<ManagerJournal>,
    ) {
        self.outbox.connect(link);
        self.guards.begin();
        self.look_again.notify_one();
        let Some(ManagerJournal { id, heard }) = manager else {
            return;
        };
        if self.outbox.has_forgotten(heard) {
            self.become_another().await;
        } else if self.manager != Some(id) {
            self.tell_everything(id).await;
        } else if self.outbox.is_forgotten(heard) {
            log::error!(heard = heard; "the manager has forgotten what it had confirmed: its journal was put back from a copy; telling it everything since then");
            self.tell_what_is_over(heard).await;
            self.tell_everything(id).await;
        }
    }

    /// The manager has heard more than this journal tells of: it was put back
    /// from a copy, as with its whole machine. What this host did since then
    /// nobody knows here, and the numbers of it are used up. So it goes on as
    /// another journal, and comes back with that.
    async fn become_another(&mut self) {
        let Ok(id) = random::bytes().map(JournalId::from_bytes) else {
            // The next session tries again.
            self.outbox.disconnect();
            return;
        };
        log::error!(
            "queue/agentd.db was put back from a copy: the manager has heard of more than it holds; what was in force here and is not in it has to be looked for (nft list table inet ripost)"
        );
        self.journal_id.send_replace(id);
        self.manager = None;
        self.outbox.is_promised_nothing();
        self.outbox.disconnect();
        self.journal.write(vec![Op::Journal(id)]).await;
    }

    /// Tells a manager whose journal was put back, and knows updates up to
    /// `heard`, what has ended since then.
    async fn tell_what_is_over(&mut self, heard: u64) {
        let over = match self.reader.over_since(heard) {
            Ok(over) => over,
            Err(error) => {
                log::error!(error:% = error; "cannot tell the manager what has ended here");
                return;
            }
        };
        let over: Vec<_> = over
            .into_iter()
            .filter(|telling| !self.outbox.mentions(telling.action.id))
            .collect();
        for part in over.chunks(TOLD_AT_ONCE) {
            let write = self.journal.next();
            let told = part.iter().cloned();
            let ops = told.map(|telling| self.outbox.push(telling, write));
            let ops = ops.collect();
            self.journal.write(ops).await;
        }
    }

    /// Tells a manager that knows nothing of this host, because its journal is
    /// another one than before, where every action stands. What is unconfirmed
    /// is sent anyway.
    async fn tell_everything(&mut self, manager: JournalId) {
        let now = clock::now();
        let mut standing: Vec<_> = self
            .ledger
            .entries()
            .filter(|entry| !self.outbox.mentions(entry.action.id))
            .map(|entry| telling(entry, entry.in_force_record(now, &self.boot_id)))
            .collect();
        standing.sort_by_key(|telling| telling.number);
        if !standing.is_empty() {
            log::info!(actions = standing.len(); "the manager's journal is another one than before; telling it what is in force here");
        }
        let mut ops = Vec::new();
        for telling in standing {
            ops.push(self.outbox.push(telling, self.journal.next()));
            if ops.len() == TOLD_AT_ONCE {
                self.journal.write(std::mem::take(&mut ops)).await;
            }
        }
        ops.push(Op::Manager(manager));
        self.journal.write(ops).await;
        self.manager = Some(manager);
        self.outbox.is_promised_nothing();
    }

    pub(super) async fn told(&mut self, message: ToAgent) {
        match message {
            ToAgent::WhiteList {
                networks,
                names,
                more,
            } => {
                match self.guards.list(networks, names, more) {
                    Listed::No => return,
                    Listed::Same => {}
                    Listed::New(stored) => {
                        self.journal.write(vec![Op::WhiteList(stored)]).await;
                    }
                }
                for id in std::mem::take(&mut self.unguarded) {
                    self.admit(id).await;
                }
            }
            action @ ToAgent::Act { .. } => {
                if let Some(id) = self.take_in(action).await {
                    self.admit(id).await;
                }
            }
            ToAgent::Revert { id, request } => {
                let asker = super::Asker::Manager { request };
                self.revert(vec![id], asker).await;
            }
            ToAgent::Stored { up_to } => {
                let up_to = self.outbox.stored(up_to);
                self.journal.write(vec![Op::Confirmed { up_to }]).await;
            }
            // The session answers pings, and the link takes certificates.
            ToAgent::Ping | ToAgent::Pong { .. } | ToAgent::Renewed { .. } => {}
        }
    }

    /// An action is to be taken back that has been held: it is taken in, but
    /// not lined up.
    pub(super) async fn retracted(&mut self, action: ToAgent, revert: ToAgent) {
        self.take_in(action).await;
        self.told(revert).await;
    }

    /// Takes in an action, once. It is acknowledged whether or not it is new, as
    /// soon as the journal has it on the disk. Returns its id if it is to be
    /// carried out.
    async fn take_in(&mut self, message: ToAgent) -> Option<ActionId> {
        let ToAgent::Act {
            action,
            alert,
            remaining_ms,
            age_ms,
            // The session has taken its time on the way off.
            session_ms: _,
        } = message
        else {
            return None;
        };
        let id = action.id;
        match self.is_known(id) {
            Ok(false) => {}
            Ok(true) => {
                // Whatever write it is in, that is not later than the last one.
                self.outbox.took(id, self.journal.next() - 1);
                self.remind(id).await;
                return None;
            }
            // Nothing is carried out that may have been before: the manager, who
            // hears nothing, sends it again.
            Err(error) => {
                log::error!(action:% = id, error:% = error; "cannot look up whether an action has ended");
                return None;
            }
        }
        let write = self.journal.next();
        let left = Left::new(remaining_ms, age_ms);
        let waits = self.accept(*action, alert, left).await;
        self.outbox.took(id, write);
        waits.then_some(id)
    }

    /// Journals a new action, in one write. Returns whether it is to be carried
    /// out.
    async fn accept(&mut self, mut action: Action, alert: Arc<[u8]>, left: Left) -> bool {
        let id = action.id;
        let now = clock::now();
        let kind = self.look_up(&mut action);
        let is_bundled = kind.as_ref().is_ok_and(|is_bundled| *is_bundled);
        let wanted = target::of_action(&action, is_bundled, &alert);
        let mut changes = match left {
            Left::OfTimeout(left) => self.ledger.accept(action, is_bundled, Some(left), now),
            Left::OfPatience(left) => {
                let changes = self.ledger.accept(action, is_bundled, None, now);
                self.ledger.begin_within(id, left, now);
                changes
            }
        };
        let wanted = match (kind, wanted) {
            (Err(error), _) => Err((ActionState::Failed, error.to_string())),
            (Ok(_), wanted) => wanted.map_err(|error| (kept_back(&error), error.to_string())),
        };
        let waits = match (self.ledger.expire(id, now), wanted) {
            (Some(expired), _) => {
                changes.merge(expired);
                false
            }
            (None, Err((state, why))) => {
                changes.merge(self.ledger.refuse(id, state, why, now));
                false
            }
            (None, Ok(target)) => {
                let alert = Alert {
                    body: alert,
                    target,
                };
                self.alerts.insert(id, alert);
                true
            }
        };
        self.commit(changes).await;
        waits
    }

    /// Whether the file of an action is a bundled executable; puts the name of
    /// the one that runs in its place into the action, so that both names are one
    /// in what is in force. It is verified again when it is started, so in a burst
    /// it need not be looked at for each action.
    fn look_up(&mut self, action: &mut Action) -> Result<bool, ExeError> {
        const LOOKED: Duration = Duration::from_millis(50);
        let now = clock::boot();
        if let Some((named, bundled, at)) = &self.looked_at
            && *named == action.executable
            && at.until(now) < LOOKED
        {
            action.executable = bundled.clone();
            return Ok(true);
        }
        let named = action.executable.clone();
        let exe = self.home.executable_or_stand_in(&named)?;
        let found = exe.name();
        if *found != named && self.stand_ins.insert(named.clone()) {
            log::info!(executable:% = named, bundled:% = found; "there is no such file in active-response/bin; the bundled executable runs in its place");
        }
        if exe.mismatch() {
            log::warn!(executable:% = named; "the file has the name of a bundled executable but is not the recorded one; it is run as a script (ripostctl init --refresh DIR installs the bundled one)");
        }
        action.executable = found.clone();
        let is_bundled = exe.kind().is_bundled();
        self.looked_at = is_bundled.then(|| (named, found.clone(), now));
        Ok(is_bundled)
    }

    /// Looks whether an accepted action may run, and lines it up, or has it
    /// stand behind others of its script.
    pub(super) async fn admit(&mut self, id: ActionId) {
        if !self.stands_behind(id) {
            self.line_up(id).await;
        }
        self.start_planned().await;
    }

    /// What stands behind may be very much, so its alerts stay in the journal.
    fn stands_behind(&mut self, id: ActionId) -> bool {
        let Some(entry) = self.ledger.entry(id) else {
            return false;
        };
        let script = &entry.action.executable;
        if entry.is_bundled || !self.backlog.is_full_of(script) {
            return false;
        }
        self.backlog.put_behind(id, script, self.journal.next() - 1);
        let written = *self.journal.written().borrow();
        for id in self.backlog.without_alert(written) {
            self.alerts.remove(&id);
        }
        true
    }

    /// Looks whether an action that waits may run, and lines it up.
    pub(super) async fn line_up(&mut self, id: ActionId) {
        let waits = |entry: &Entry| entry.step == Step::Waiting;
        if !self.ledger.entry(id).is_some_and(waits) {
            return;
        }
        // Whose alert cannot be read is never begun, and expires.
        if !matches!(self.alert(id), Ok(Some(_))) {
            return;
        }
        let wanted = self.target(id);
        match self.judge(id, wanted.as_ref()) {
            None => self.unguarded.push_back(id),
            Some(Ok(())) => {
                self.plan(id, Mode::Add, wanted.as_ref());
            }
            Some(Err(why)) => {
                let changes = self
                    .ledger
                    .refuse(id, ActionState::Refused, why, clock::now());
                self.commit(changes).await;
            }
        }
    }

    /// Whether a new action may run, or why not. `None` while there has been no
    /// white list.
    pub(super) fn judge(
        &mut self,
        id: ActionId,
        target: Option<&Target>,
    ) -> Option<Result<(), String>> {
        if self.settings.disabled {
            let why = "active response is disabled on this host (etc/agent.conf)";
            return Some(Err(why.to_owned()));
        }
        self.guards.set_manager(&self.link.borrow().addresses);
        let verdict = self.guards.judge(target, &self.settings.white_list)?;
        let action = &self.ledger.entry(id)?.action;
        match verdict.and(|| policy::judge_isolation(target, &action.agent.id, action.location)) {
            Verdict::Allow => Some(Ok(())),
            Verdict::Refuse(reason) => Some(Err(reason.to_string())),
        }
    }

    /// Whether an action has been accepted here, ended or not.
    pub(super) fn is_known(&self, id: ActionId) -> Result<bool, JournalError> {
        if self.ledger.entry(id).is_some() {
            return Ok(true);
        }
        self.memory.has(id, &self.reader)
    }

    /// Tells the manager again where an action stands, unless it is about to
    /// hear of it anyway.
    pub(super) async fn remind(&mut self, id: ActionId) {
        if self.outbox.mentions(id) {
            return;
        }
        let now = clock::now();
        let standing = match self.ledger.entry(id) {
            // Nothing has become of it yet that whoever sent it does not know.
            Some(entry) if entry.step == Step::Waiting => None,
            Some(entry) => {
                let record = entry.in_force_record(now, &self.boot_id);
                Some(telling(entry, record))
            }
            None => self.reader.told(id).unwrap_or_else(|error| {
                log::warn!(error:% = error; "cannot tell the manager what became of an action");
                None
            }),
        };
        if let Some(telling) = standing {
            let op = self.outbox.push(telling, self.journal.next());
            self.journal.write(vec![op]).await;
        }
    }
}

/// What becomes of an action that nothing can be made of for its executable. That
/// a script does not get what its command expects is a guard, and OSSEC's.
fn kept_back(why: &Unclear) -> ActionState {
    match why {
        Unclear::Words(NoWords::Missing { .. } | NoWords::Unfit { .. }) => ActionState::Refused,
        Unclear::Words(NoWords::Malformed(_)) | Unclear::Alert(_) | Unclear::Options(_) => {
            ActionState::Failed
        }
    }
}

/// What the manager is told of an entry.
pub(super) fn telling(entry: &Entry, record: Record) -> Telling {
    Telling {
        number: entry.number,
        action: Arc::clone(&entry.action),
        record: Arc::new(record),
    }
}
