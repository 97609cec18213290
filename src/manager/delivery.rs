//! What is sent to agents, and when there is room for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Now};
use crate::journal::JournalError;
use crate::journal::manager::{Dispatch, Op, Rank, Waiting};
use crate::model::{ActionId, ActionState, AgentId, Record};
use crate::policy;
use crate::wire::{Frame, FrameError, ToAgent};

use super::Manager;
use super::host::WINDOW;

/// Ends that are told anew in one journal write.
const TOLD_AT_ONCE: usize = 500;

/// How long a stateless action waits for a host that is offline.
pub(super) const PATIENCE: Duration = policy::PATIENCE;

/// An action that is to be sent.
pub(super) struct Outgoing<'a> {
    pub(super) dispatch: &'a Dispatch,
    pub(super) alert: &'a Arc<[u8]>,
    pub(super) left: Duration,
}

impl Outgoing<'_> {
    /// What is written to a session that has lasted so long.
    fn frame(&self, session: Duration) -> Result<Frame, FrameError> {
        let whole = self.dispatch.action.timeout;
        let message = ToAgent::Act {
            action: Box::new(self.dispatch.action.clone()),
            alert: Arc::clone(self.alert),
            remaining_ms: whole.map(|_| millis(self.left)),
            age_ms: millis(whole.unwrap_or(PATIENCE).saturating_sub(self.left)),
            session_ms: Some(millis(session)),
        };
        message.into_frame()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What became of an attempt to send an action.
enum Attempt {
    /// Nothing more is to be done about it for now.
    Settled,
    NoRoom,
    /// The journal does not answer.
    Unread,
}

impl Manager {
    /// Hands a new action to its agent at once if the agent has everything that
    /// was before it. `false` if it has to wait in the journal.
    pub(super) fn send_directly(&mut self, outgoing: &Outgoing<'_>) -> bool {
        let action = &outgoing.dispatch.action;
        let host = self.delivery.host(&action.agent.id);
        let Some(session) = host.session.as_ref().filter(|_| host.takes_directly()) else {
            return false;
        };
        // One that fits no frame is ended when it is read from the journal.
        outgoing
            .frame(session.lasted())
            .is_ok_and(|frame| self.delivery.send(&action.agent.id, action.id, frame))
    }

    /// Sends an agent what it is to be sent, as far as there is room.
    pub(super) async fn pump(&mut self, agent: &AgentId) {
        if !self.send_white_list(agent) || !self.compare_journals(agent).await {
            self.delivery.is_hungry(agent);
            return;
        }
        self.send_reverts(agent);
        self.send_waiting(agent).await;
    }

    /// Looks again at the agents for which there was no room.
    pub(super) async fn pump_hungry(&mut self) {
        for agent in std::mem::take(&mut self.delivery.hungry) {
            self.pump(&agent).await;
        }
    }

    /// Begins to send every agent the white list as it is now.
    pub(super) async fn spread_white_list(&mut self) {
        let connected: Vec<_> = self.delivery.sessions.values().cloned().collect();
        for agent in connected {
            if let Some(session) = self.delivery.host(&agent).session.as_mut() {
                session.white_list = 0;
            }
            self.pump(&agent).await;
        }
    }

    /// `false` if there was no room for all of it.
    fn send_white_list(&mut self, agent: &AgentId) -> bool {
        let frames = &self.settings.white_list_frames;
        let Some(session) = self.delivery.host(agent).session.as_mut() else {
            return true;
        };
        while let Some(frame) = frames.get(session.white_list) {
            if session.send(frame.clone()).is_err() {
                return false;
            }
            session.white_list += 1;
        }
        true
    }

    fn send_reverts(&mut self, agent: &AgentId) {
        self.ask_kept(agent);
        let host = self.delivery.host(agent);
        let Some(session) = host.session.as_ref().filter(|_| host.reverts_wait) else {
            return;
        };
        let asked: BTreeSet<_> = session.asked.values().copied().collect();
        if !self.delivery.is_current(agent) {
            self.delivery.is_hungry(agent);
            return;
        }
        let limit = WINDOW + asked.len();
        let ids = match self.reader.to_revert(agent, limit) {
            Ok(ids) => ids,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot read what an agent is to take back");
                return;
            }
        };
        let more = ids.len() == limit;
        let mut all = true;
        for id in ids.into_iter().filter(|id| !asked.contains(id)) {
            all &= self.asks(agent, id);
        }
        // The answers to these make room for the others.
        self.delivery.host(agent).reverts_wait = more || !all;
    }

    /// Asks an agent to take an action back: now if it is connected, or when it
    /// has room or is back. The journal has been told.
    pub(super) fn ask_revert(&mut self, agent: &AgentId, id: ActionId) {
        let is_next = self.delivery.host(agent).to_ask.is_empty();
        let is_asked = is_next && self.asks(agent, id);
        if !is_asked && !self.delivery.keep_revert(agent, id) {
            self.delivery.look_for_reverts(agent);
        }
        self.delivery.has_asked(agent);
    }

    /// Asks an agent for reverts that are kept, as far as there is room.
    pub(super) fn ask_kept(&mut self, agent: &AgentId) {
        for id in self.delivery.ask_kept(agent) {
            self.fresh.keep(id, agent.clone());
        }
        self.delivery.has_asked(agent);
    }

    /// `false` if there is no room now.
    fn asks(&mut self, agent: &AgentId, id: ActionId) -> bool {
        let is_asked = self.delivery.ask_revert(agent, id);
        if is_asked {
            // What becomes of it is told soon, and whose it is looked up then.
            self.fresh.keep(id, agent.clone());
        }
        is_asked
    }

    /// Sends an agent what is kept for it. Returns how many actions are on their
    /// way to it then, if more waits in the journal and nowhere else.
    fn send_backlog(&mut self, agent: &AgentId) -> Option<usize> {
        let now = clock::now();
        loop {
            let host = self.delivery.host(agent);
            let session = host.session.as_ref().filter(|session| session.ready)?;
            let under_way = session.under_way();
            let lasted = session.lasted();
            let Some((place, parcel)) = self.delivery.next(agent) else {
                return self.delivery.host(agent).behind.then_some(under_way);
            };
            if under_way >= WINDOW {
                return None;
            }
            let outgoing = Outgoing {
                dispatch: &parcel.dispatch,
                alert: &parcel.alert,
                left: parcel.dispatch.end.left(now, &self.boot_id),
            };
            let id = parcel.dispatch.action.id;
            let Ok(frame) = outgoing.frame(lasted) else {
                // It is ended when it is read from the journal.
                self.delivery.read_anew(agent);
                continue;
            };
            if !self.delivery.send(agent, id, frame) {
                // Else its acknowledgements bring it back here.
                if under_way == 0 {
                    self.delivery.is_hungry(agent);
                }
                return None;
            }
            self.delivery.sent(agent, place);
            self.fresh.keep(id, agent.clone());
        }
    }

    /// Sends an agent that is behind what waits for it in the journal.
    async fn send_waiting(&mut self, agent: &AgentId) {
        let Some(under_way) = self.send_backlog(agent) else {
            return;
        };
        if under_way > WINDOW / 2 {
            // Its acknowledgements bring it back here.
            return;
        }
        if !self.delivery.is_current(agent) {
            self.delivery.is_hungry(agent);
            return;
        }
        let room = if self.delivery.has_room() {
            WINDOW - under_way
        } else {
            1
        };
        let limit = room + under_way;
        let rows = match self.reader.waiting(agent, limit) {
            Ok(rows) => rows,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot read what waits for an agent");
                return;
            }
        };
        let all = rows.len() < limit;
        let mut alerts = HashMap::new();
        for row in rows {
            match self.send_row(agent, row, &mut alerts).await {
                Attempt::Settled => {}
                Attempt::Unread => return,
                Attempt::NoRoom => {
                    let session = self.delivery.host(agent).session.as_ref();
                    // Else its acknowledgements bring it back here.
                    if session.is_some_and(|session| session.under_way() == 0) {
                        self.delivery.is_hungry(agent);
                    }
                    return;
                }
            }
        }
        self.delivery.host(agent).behind = !all;
    }

    async fn send_row(
        &mut self,
        agent: &AgentId,
        row: Waiting,
        alerts: &mut HashMap<i64, Arc<[u8]>>,
    ) -> Attempt {
        let Waiting {
            dispatch,
            mut record,
            alert: number,
        } = row;
        let session = self.delivery.host(agent).session.as_ref();
        let Some(session) = session.filter(|s| !s.has_under_way(record.action)) else {
            return Attempt::Settled;
        };
        let lasted = session.lasted();
        let now = clock::now();
        let never_sent = record.state == ActionState::Queued;
        let left = dispatch.end.left(now, &self.boot_id);
        // One that was sent before goes out again, because only the agent can
        // tell whether it had arrived, and what its host could do then.
        if never_sent && left.is_zero() {
            self.expire(record, now).await;
            return Attempt::Settled;
        }
        if let Some(gap) = self.gap(agent, &dispatch).filter(|_| never_sent) {
            self.cannot(record, gap, now).await;
            return Attempt::Settled;
        }
        let alert = match self.body(number, alerts) {
            Ok(Some(alert)) => alert,
            Ok(None) => {
                let gap = "its alert is not in the journal any more".to_owned();
                self.cannot(record, gap, now).await;
                return Attempt::Settled;
            }
            Err(error) => {
                log::error!(error:% = error; "cannot read the alert of an action");
                return Attempt::Unread;
            }
        };
        let outgoing = Outgoing {
            dispatch: &dispatch,
            alert: &alert,
            left,
        };
        let frame = match outgoing.frame(lasted) {
            Ok(frame) => frame,
            Err(error) => {
                let why = format!("its alert and arguments cannot be sent to the host: {error}");
                self.cannot(record, why, now).await;
                return Attempt::Settled;
            }
        };
        if !self.delivery.send(agent, record.action, frame) {
            return Attempt::NoRoom;
        }
        self.fresh.keep(record.action, agent.clone());
        if never_sent {
            record.state = ActionState::Sent;
            record.time = now.wall;
            self.record(record, Vec::new()).await;
        }
        Attempt::Settled
    }

    fn body(
        &self,
        number: i64,
        alerts: &mut HashMap<i64, Arc<[u8]>>,
    ) -> Result<Option<Arc<[u8]>>, JournalError> {
        if let Some(alert) = alerts.get(&number) {
            return Ok(Some(Arc::clone(alert)));
        }
        let Some(alert) = self.reader.alert(number)? else {
            return Ok(None);
        };
        let alert: Arc<[u8]> = alert.into();
        alerts.insert(number, Arc::clone(&alert));
        Ok(Some(alert))
    }

    /// Why a host cannot carry an action out, as far as its agent has said. The
    /// agent of this host is asked about every action that it can read: it looks
    /// at the file as it is now, and its answer is as quick.
    pub(super) fn gap(&self, agent: &AgentId, dispatch: &Dispatch) -> Option<String> {
        let member = self.roster.agent(agent)?;
        let capabilities = member.capabilities()?;
        match *agent == AgentId::MANAGER {
            true => capabilities.cannot_read(&dispatch.action),
            false => capabilities.lacks(&dispatch.action),
        }
    }

    /// Ends an action that its host cannot carry out.
    async fn cannot(&mut self, mut record: Record, gap: String, now: Now) {
        record.state = ActionState::Failed;
        record.time = now.wall;
        record.detail = Some(gap);
        let taken = vec![Op::taken(&record)];
        self.record(record, taken).await;
    }

    async fn expire(&mut self, mut record: Record, now: Now) {
        record.state = ActionState::Expired;
        record.time = now.wall;
        record.detail = Some("its host was offline until its time was over".to_owned());
        let taken = vec![Op::taken(&record)];
        self.record(record, taken).await;
    }

    /// Tells the ends of what waits for its host in the clocks of this boot.
    /// Elsewhere the wall clock would be believed, whenever it is set.
    pub(super) async fn tell_ends_anew(&mut self) {
        let now = clock::now();
        let dispatches = match self.reader.of_other_boots(&self.boot_id) {
            Ok(dispatches) => dispatches,
            Err(error) => {
                log::error!(error:% = error; "cannot read what was to be sent before the start");
                return;
            }
        };
        for part in dispatches.chunks(TOLD_AT_ONCE) {
            let told_anew = part.iter().map(|dispatch| {
                Op::Retold(Box::new(Dispatch {
                    end: dispatch.end.in_this_boot(now, &self.boot_id),
                    action: dispatch.action.clone(),
                }))
            });
            self.journal.write(told_anew.collect()).await;
        }
    }

    /// Ends what has waited for its host until it became pointless.
    pub(super) async fn expire_overdue(&mut self) {
        let now = clock::now();
        let rows = match self.reader.overdue(now.boot) {
            Ok(rows) => rows,
            Err(error) => {
                log::error!(error:% = error; "cannot look for actions that have waited too long");
                return;
            }
        };
        for row in rows {
            let agent = row.record.agent.id.clone();
            // Its own end decides, should the row not be told anew yet.
            let is_over = row.dispatch.end.left(now, &self.boot_id).is_zero();
            if is_over && self.delivery.is_current(&agent) {
                self.expire(row.record, now).await;
            }
        }
        // What is on its way into the journal cannot be read yet.
        let is_written = *self.delivery.written.borrow() >= self.journal.next() - 1;
        self.delivery.may_expire =
            !self.unwritten.is_empty() || !is_written || self.reader.has_queued().unwrap_or(true);
    }
}

/// What goes first.
pub(super) fn rank(location: crate::model::Location) -> Rank {
    use crate::model::Location;
    match location {
        Location::Local | Location::Server | Location::DefinedAgent => Rank::Aimed,
        Location::All => Rank::Bulk,
    }
}
