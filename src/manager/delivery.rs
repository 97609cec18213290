//! The agent on the manager's own host: its session, and what it is to be sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::clock::{self, Wall};
use crate::journal::Journal;
use crate::journal::manager::ManagerSchema;
use crate::model::{ActionId, ActionState, JournalId};
use crate::transport::{Admission, Arrival};
use crate::wire::{Frame, ToAgent};

use super::Manager;
use super::alerts::PATIENCE;

/// Messages under way to the agent.
const OUTGOING: usize = 256;

#[derive(Debug)]
pub(super) struct AgentState {
    session: Option<Session>,
    sessions: u64,
    pub(super) since: Option<Wall>,
    pub(super) version: Option<String>,
    /// Actions to be sent, in order.
    queue: VecDeque<ActionId>,
    /// What goes before them: white list, reverts, confirmations.
    first: VecDeque<Frame>,
    /// Updates that wait for their journal write to be synced: (seq, write).
    unconfirmed: VecDeque<(u64, u64)>,
    synced: watch::Receiver<u64>,
    last_request: u64,
    /// Which action each revert that is not answered yet is about.
    asked: HashMap<u64, ActionId>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    outgoing: mpsc::Sender<Frame>,
}

impl AgentState {
    pub(super) fn new(synced: watch::Receiver<u64>) -> Self {
        Self {
            session: None,
            sessions: 0,
            since: None,
            version: None,
            queue: VecDeque::new(),
            first: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            synced,
            last_request: 0,
            asked: HashMap::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn is_session(&self, number: u64) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.number == number)
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn queue(&mut self, id: ActionId) {
        self.queue.push_back(id);
    }

    /// Takes actions that are over out of the queue.
    pub(super) fn forget(&mut self, ids: &HashSet<ActionId>) {
        self.queue.retain(|id| !ids.contains(id));
    }

    /// Sends a message before any action.
    pub(super) fn send_first(&mut self, message: ToAgent) {
        if self.session.is_none() {
            return;
        }
        match message.into_frame() {
            Ok(frame) => self.first.push_back(frame),
            Err(error) => log::error!(error:% = error; "a message to the agent cannot be written"),
        }
    }

    /// Asks for a revert.
    pub(super) fn ask_revert(&mut self, id: ActionId) {
        self.last_request += 1;
        let request = self.last_request;
        self.asked.insert(request, id);
        self.send_first(ToAgent::Revert { id, request });
    }

    /// Which action a revert that is answered was about.
    pub(super) fn asked_for(&mut self, request: u64) -> Option<ActionId> {
        self.asked.remove(&request)
    }

    /// An update is in journal write number `write`.
    pub(super) fn confirm_after(&mut self, seq: u64, write: u64) {
        self.unconfirmed.push_back((seq, write));
    }

    /// Updates that wait for their journal write: (seq, write).
    #[cfg(test)]
    pub(super) fn to_confirm(&self) -> Vec<(u64, u64)> {
        self.unconfirmed.iter().copied().collect()
    }

    /// Confirms what is synced.
    pub(super) fn confirm(&mut self) {
        let synced = *self.synced.borrow();
        let mut up_to = None;
        while let Some((seq, _)) = self
            .unconfirmed
            .front()
            .filter(|(_, write)| *write <= synced)
        {
            up_to = Some(*seq);
            self.unconfirmed.pop_front();
        }
        if let Some(up_to) = up_to {
            self.send_first(ToAgent::Stored { up_to });
        }
    }

    /// Waits until there is something to send and room for it. Never returns
    /// while there is no session; may be dropped while it waits.
    pub(super) async fn room(&self) {
        match &self.session {
            Some(session) if !self.first.is_empty() || !self.queue.is_empty() => {
                // A closed channel is an agent that goes; its session says so.
                if session.outgoing.reserve().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Some(_) | None => std::future::pending().await,
        }
    }

    fn try_send(&self, frame: Frame) -> Result<(), Frame> {
        let Some(session) = &self.session else {
            return Err(frame);
        };
        session
            .outgoing
            .try_send(frame)
            .map_err(mpsc::error::TrySendError::into_inner)
    }
}

impl Manager {
    /// A session begins: the agent gets the white list, then everything it has
    /// not confirmed to have.
    pub(super) async fn agent_connected(&mut self, arrival: Arrival) {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        self.agent.sessions += 1;
        let number = self.agent.sessions;
        let agent = arrival.hello;
        log::info!(agent:% = agent.id, version = agent.version.as_str(); "an agent has connected");
        self.agent.session = Some(Session { number, outgoing });
        self.agent.since = Some(clock::wall());
        self.agent.version = Some(agent.version);
        self.agent.first.clear();
        self.agent.unconfirmed.clear();
        self.agent.asked.clear();
        // The agent sends again what it has no confirmation of, perhaps under
        // other numbers.
        for unwritten in &mut self.unwritten {
            unwritten.update = None;
        }
        let admission = Admission::Welcome {
            session: number,
            journal: JournalId::from_bytes([0; 16]),
            outgoing: queue,
        };
        // An agent that has gone reports nothing; the next one replaces it.
        let _ = arrival.admit.send(admission);
        self.send_white_list();
        let mut undelivered: Vec<_> = self
            .live
            .values()
            .filter(|live| live.dispatch.is_some())
            .map(|live| (live.record.time, live.record.action))
            .collect();
        undelivered.sort_unstable();
        self.agent.queue = undelivered.into_iter().map(|(_, id)| id).collect();
        self.deliver().await;
    }

    pub(super) fn agent_gone(&mut self, session: u64) {
        if !self.agent.is_session(session) {
            return;
        }
        log::warn!("agent 000 is gone; its actions wait for it");
        self.agent.session = None;
        self.agent.since = Some(clock::wall());
    }

    pub(super) fn send_white_list(&mut self) {
        let networks = self.settings.networks.clone();
        self.agent.send_first(ToAgent::WhiteList {
            networks,
            more: false,
        });
    }

    /// Sends as much as there is room for.
    pub(super) async fn deliver(&mut self) {
        while let Some(frame) = self.agent.first.pop_front() {
            if let Err(frame) = self.agent.try_send(frame) {
                self.agent.first.push_front(frame);
                return;
            }
        }
        while let Some(id) = self.agent.queue.front().copied() {
            if !self.agent.is_connected() || !self.deliver_one(id).await {
                return;
            }
            self.agent.queue.pop_front();
        }
    }

    /// `false` if there is no room.
    async fn deliver_one(&mut self, id: ActionId) -> bool {
        let now = clock::now();
        let boot_id = self.boot_id.clone();
        let Some(live) = self.live.get_mut(&id) else {
            return true;
        };
        let Some(dispatch) = &live.dispatch else {
            return true;
        };
        let left = dispatch.end.left(now, &boot_id);
        if left.is_zero() && live.record.state == ActionState::Queued {
            // The next tick ends it. One that was sent before goes out again,
            // because only the agent can tell whether it had arrived.
            return true;
        }
        let alert = match &live.alert {
            Some(alert) => Arc::clone(alert),
            None => match self.reader.alert(id) {
                Ok(Some(alert)) => alert.into(),
                Ok(None) => return true,
                Err(error) => {
                    log::error!(action:% = id, error:% = error; "cannot read the alert of an action");
                    return true;
                }
            },
        };
        let millis =
            |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let whole = dispatch.action.timeout;
        let message = ToAgent::Act {
            action: Box::new(dispatch.action.clone()),
            alert,
            remaining_ms: whole.map(|_| millis(left)),
            age_ms: millis(whole.unwrap_or(PATIENCE).saturating_sub(left)),
        };
        let frame = match message.into_frame() {
            Ok(frame) => frame,
            Err(error) => {
                log::error!(action:% = id, error:% = error; "an action cannot be written");
                return true;
            }
        };
        if self.agent.try_send(frame).is_err() {
            return false;
        }
        if live.record.state == ActionState::Queued {
            live.record.state = ActionState::Sent;
            live.record.time = now.wall;
            let record = live.record.clone();
            self.record(record, Vec::new(), None).await;
        }
        true
    }

    /// Ends what has waited for its host until it became pointless.
    pub(super) async fn expire(&mut self) {
        let now = clock::now();
        let over: Vec<_> = self
            .live
            .values()
            .filter(|live| {
                let end = live.dispatch.as_ref().map(|dispatch| &dispatch.end);
                live.record.state == ActionState::Queued
                    && end.is_some_and(|end| end.left(now, &self.boot_id).is_zero())
            })
            .map(|live| live.record.clone())
            .collect();
        // The place of those that are over is for others: alerts are taken again.
        let gone: HashSet<_> = over.iter().map(|record| record.action).collect();
        if !gone.is_empty() {
            self.agent.forget(&gone);
        }
        for mut record in over {
            record.state = ActionState::Expired;
            record.time = now.wall;
            record.detail = Some("its host was offline until its time was over".to_owned());
            self.live.remove(&record.action);
            let taken = crate::journal::manager::Op::Taken(record.action);
            self.record(record, vec![taken], None).await;
        }
    }
}

/// The number of the last write of a journal.
pub(super) fn last_write(journal: &Journal<ManagerSchema>) -> u64 {
    journal.next() - 1
}
