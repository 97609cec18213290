//! What agents report, written down before it is confirmed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock;
use crate::journal::manager::Op;
use crate::model::{ActionId, ActionState, AgentId, Record};
use crate::roster::shortened;
use crate::transport::Report;
use crate::wire::ToManager;
use crate::wire::about::About;
use crate::wire::message::Reverted as RevertedMessage;

use super::hosts::Told;
use super::{Chore, Manager, Unwritten};

/// Actions that one journal write is about, at most.
pub(super) const AT_ONCE: usize = 1_000;

/// What is written to `responses.json`, and then to the journal, at once.
const LINES_AT_ONCE: usize = 1_000;

/// Why nobody will tell what becomes of an action.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// Its agent is to take it back and does not know it.
    Unknown,
    /// Its agent has another journal than when it took it.
    Journal,
}

impl Manager {
    /// Takes in what sessions have reported, and writes all of it down at once.
    pub(super) async fn told_all(&mut self, reports: Vec<Report>) {
        for report in reports {
            match report {
                Report::Told(session, message) => self.heed(session, message).await,
                Report::Gone(session) => self.gone(session).await,
            }
        }
        self.write_unwritten().await;
        self.delivery.confirm();
    }

    /// Takes in one message. What it leads to is still to be written down.
    async fn heed(&mut self, session: u64, message: ToManager) {
        let Some(agent) = self.delivery.sessions.get(&session).cloned() else {
            return;
        };
        match message {
            ToManager::Capabilities { capabilities } => {
                self.now_capable(&agent, *capabilities).await;
            }
            ToManager::Taken { actions } => self.taken(&agent, actions).await,
            ToManager::Update {
                seq,
                action,
                record,
            } => {
                let told = Told {
                    agent,
                    session,
                    seq,
                };
                self.update(told, &action, record).await;
            }
            ToManager::Reverted { request, outcome } => {
                self.revert_answered(&agent, request, outcome).await;
            }
            ToManager::Renew { key } => self.renew(&agent, key).await,
            ToManager::Pong => self.is_alive(&agent),
            // The session has answered it.
            ToManager::Ping => {}
        }
    }

    /// An agent has actions in its journal: they need not be sent again. What
    /// it was not sent in this session it cannot acknowledge.
    async fn taken(&mut self, agent: &AgentId, actions: Vec<ActionId>) {
        let mut ops = Vec::new();
        for action in actions {
            if self.delivery.acknowledged(agent, action) {
                let agent = agent.clone();
                ops.push(Op::Taken { agent, action });
            }
        }
        if ops.is_empty() {
            return;
        }
        self.push(Unwritten {
            ops,
            agents: vec![agent.clone()],
            ..Unwritten::default()
        });
        self.pump(agent).await;
    }

    /// Takes a state in. One that came before, as after a lost confirmation, is
    /// only confirmed again.
    async fn update(&mut self, told: Told, action: &About, record: Arc<Record>) {
        let agent = &told.agent;
        let names_others = action.agent() != agent || record.agent.id != *agent;
        // An agent may tell of an action that is not known here, but not of one
        // that is another's: people wait for what becomes of it.
        let owner = self.owner(action.id());
        let is_others = owner.is_some_and(|owner| owner != *agent);
        if names_others || record.action != action.id() || is_others {
            if let Some(more) = self.limiter.pass("speaks for another", clock::boot()) {
                log::error!(agent:% = agent, action:% = record.action, more_since = more; "an agent speaks for another one; its session is ended (look what runs on that host; ripostctl agents revoke ID shuts it out)");
            }
            self.end_session(agent);
            return;
        }
        self.delivery.acknowledged(agent, record.action);
        if self.delivery.host(agent).has_heard(told.seq) {
            // Behind whatever waits: its line may be among it.
            self.push(Unwritten {
                update: Some(told),
                ..Unwritten::default()
            });
            return;
        }
        let mut ops = vec![Op::taken(&record)];
        if let Some((journal, seq)) = self.delivery.host(agent).heard {
            ops.push(Op::Heard {
                agent: agent.clone(),
                journal,
                seq,
            });
        }
        let agent = agent.clone();
        self.note(record, ops, Some(told));
        if self.delivery.host(&agent).has_more() {
            self.pump(&agent).await;
        }
    }

    async fn revert_answered(&mut self, agent: &AgentId, request: u64, outcome: RevertedMessage) {
        let Some(session) = self.delivery.host(agent).session.as_mut() else {
            return;
        };
        let Some(action) = session.asked.remove(&request) else {
            // Nobody has asked it.
            return;
        };
        let last = session.asked.is_empty();
        match outcome {
            // The states themselves come as updates.
            RevertedMessage::Outcome { .. } => {}
            RevertedMessage::NotFound => self.unknown_to_agent(agent, action).await,
            RevertedMessage::Failed { text } => {
                log::warn!(agent:% = agent, problem = shortened(&text); "an agent could not revert");
            }
        }
        self.ask_kept(agent);
        if last && self.delivery.host(agent).reverts_wait {
            self.pump(agent).await;
        }
    }

    /// Ends an action that its agent has never had, or has lost with its
    /// journal: nobody else will.
    async fn unknown_to_agent(&mut self, agent: &AgentId, id: ActionId) {
        if !self.delivery.is_current(agent) {
            // Of what is on its way into the journal it is asked again.
            self.delivery.look_for_reverts(agent);
            return;
        }
        match self.reader.record(id) {
            Ok(Some(record)) if record.agent.id == *agent => {
                let lost = lost(record, Loss::Unknown);
                self.end_all(lost.into_iter().collect()).await;
            }
            Ok(_) => {}
            Err(error) => log::error!(error:% = error; "cannot look an action up"),
        }
    }

    /// Writes a state to `responses.json` and to the journal, in this order:
    /// the line stands before a result is confirmed.
    pub(super) async fn record(&mut self, record: Record, ops: Vec<Op>) {
        self.note(record.into(), ops, None);
        self.write_unwritten().await;
    }

    /// Lines a state up to be written.
    fn note(&mut self, record: Arc<Record>, mut ops: Vec<Op>, update: Option<Told>) {
        self.heard_of(&record);
        // Its line may be read again before the journal can tell of it: an agent
        // that had it from a manager that was killed tells what became of it.
        self.fresh.insert(record.action, record.agent.id.clone());
        ops.push(Op::Record {
            record: Arc::clone(&record),
            heard: clock::wall(),
        });
        self.push(Unwritten {
            agents: vec![record.agent.id.clone()],
            record: Some(record),
            ops,
            update,
            stored: None,
        });
    }

    /// Writes down that actions are over and need not be sent any more, as
    /// [`Manager::record`] does but with one journal write for many of them.
    pub(super) async fn end_all(&mut self, records: Vec<Record>) {
        let (mut ops, mut agents) = (Vec::new(), Vec::new());
        let mut records = records.into_iter().peekable();
        while let Some(record) = records.next() {
            self.heard_of(&record);
            self.fresh.insert(record.action, record.agent.id.clone());
            ops.push(Op::taken(&record));
            let record = Arc::new(record);
            ops.push(Op::Record {
                record: Arc::clone(&record),
                heard: clock::wall(),
            });
            agents.push(record.agent.id.clone());
            let mut unwritten = Unwritten {
                record: Some(record),
                ..Unwritten::default()
            };
            // Nothing is journalled before the last line of those it is about.
            if agents.len() == AT_ONCE || records.peek().is_none() {
                unwritten.ops = std::mem::take(&mut ops);
                unwritten.agents = std::mem::take(&mut agents);
            }
            self.push(unwritten);
        }
        self.write_unwritten().await;
    }

    /// Tells whoever waits for an action that it has a new state.
    pub(super) fn heard_of(&mut self, record: &Record) {
        self.reverts.heard(record);
        self.runs.heard(record);
    }

    /// Lines something up for `responses.json` and the journal.
    pub(super) fn push(&mut self, unwritten: Unwritten) {
        for agent in &unwritten.agents {
            self.delivery.host(agent).will_write();
        }
        self.unwritten.push_back(unwritten);
    }

    /// Appends waiting records to `responses.json`, in order, as far as it takes
    /// them. What belongs to them is journalled then, and those that came from
    /// an agent are confirmed once that is synced.
    pub(super) async fn write_unwritten(&mut self) {
        while !self.unwritten.is_empty() {
            let part = self.unwritten.iter().take(LINES_AT_ONCE);
            let lines = part.filter_map(|next| next.record.as_deref());
            let appended = self.responses.append(lines);
            let done = match &appended {
                Ok(()) => LINES_AT_ONCE,
                Err(error) => standing(&self.unwritten, error.written),
            };
            let rest = self.unwritten.split_off(done.min(self.unwritten.len()));
            let written = std::mem::replace(&mut self.unwritten, rest);
            self.journal_written(written).await;
            self.counts.unwritable = appended.as_ref().err().map(|error| error.to_string());
            if let Err(error) = appended {
                if let Some(more) = self.limiter.pass("responses.json", clock::boot()) {
                    log::error!(error:% = error, waiting = self.unwritten.len(), more_since = more; "logs/responses.json cannot be written; results are kept and not confirmed until it can (free disk space or mend the file system)");
                }
                return;
            }
        }
    }

    /// The lines of all these stand; their operations may be journalled.
    async fn journal_written(&mut self, written: VecDeque<Unwritten>) {
        let (mut ops, mut agents) = (Vec::new(), Vec::new());
        let (mut updates, mut askers) = (Vec::new(), Vec::new());
        for unwritten in written {
            ops.extend(unwritten.ops);
            agents.extend(unwritten.agents);
            updates.extend(unwritten.update);
            askers.extend(unwritten.stored);
        }
        if !ops.is_empty() {
            let write = self.journal.next();
            self.fresh.written(&ops, write);
            self.journal.write(ops).await;
            for agent in &agents {
                self.delivery.host(agent).wrote(write);
            }
        }
        for stored in askers {
            let mut ticket = self.journal.last();
            self.chores.spawn(async move {
                if ticket.synced().await {
                    // A reader that was stopped meanwhile needs no answer.
                    let _ = stored.send(());
                }
                Chore::Done
            });
        }
        for told in updates {
            self.delivery.confirm_after(&told, self.journal.next() - 1);
        }
    }
}

/// How many of these are done when so many lines of them stand: up to the first
/// whose line does not.
fn standing(unwritten: &VecDeque<Unwritten>, mut lines: usize) -> usize {
    let missing = unwritten.iter().position(|next| {
        let stands = next.record.is_none() || lines > 0;
        lines -= usize::from(next.record.is_some() && stands);
        !stands
    });
    missing.unwrap_or(unwritten.len())
}

/// The last record of an action that its agent does not know; none if it is over.
pub(super) fn lost(mut record: Record, loss: Loss) -> Option<Record> {
    let (state, detail) = match (record.state, loss) {
        (ActionState::Queued | ActionState::Sent, Loss::Unknown) => (
            ActionState::Suppressed,
            "taken back by a person before it reached its host",
        ),
        (ActionState::Queued | ActionState::Sent, Loss::Journal) => (
            ActionState::Failed,
            "its host had it and has lost its journal (was queue/agentd.db removed?), so that it is not known what became of it; look whether the effect is there",
        ),
        (ActionState::Running | ActionState::Applied | ActionState::Reverting, _) => (
            ActionState::Failed,
            "its host does not know it any more (was queue/agentd.db removed?); look whether the effect is still there",
        ),
        (
            ActionState::Already
            | ActionState::Done
            | ActionState::Reverted
            | ActionState::Failed
            | ActionState::Refused
            | ActionState::Expired
            | ActionState::Suppressed,
            _,
        ) => return None,
    };
    record.state = state;
    record.time = clock::wall();
    record.detail = Some(detail.to_owned());
    record.verified = None;
    record.until = None;
    Some(record)
}
