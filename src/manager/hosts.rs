//! The agents' hosts together: which are connected, how much is on its way to
//! them, and which are to be looked at again.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::watch;

use crate::clock::Boot;
use crate::model::{ActionId, AgentId};
use crate::wire::{Frame, ToAgent};

use super::backlog::{Kept, Parcel};
use super::host::{Host, Session, WINDOW};
use super::pacing::{ENOUGH, Pacing};

/// Bytes on their way to all agents together, and to one. Beyond it what waits
/// stays in the journal until its agent has acknowledged what it got before;
/// one that has nothing to acknowledge may always be sent an action, so that
/// hosts that take nothing, such as those with a full disk, hold nobody up.
const MAX_UNDER_WAY: usize = 64 * 1024 * 1024;
const MAX_TO_ONE: usize = 4 * 1024 * 1024;

/// Reverts to be asked for that are kept for all hosts together; what comes
/// beyond them is read from the journal. Each takes 16 bytes.
pub(super) const MAX_TO_ASK: usize = if cfg!(test) { 20 } else { 200_000 };

/// The hosts, and what is on its way to them.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) hosts: HashMap<AgentId, Host>,
    /// Whose session has which number.
    pub(super) sessions: HashMap<u64, AgentId>,
    pub(super) last_session: u64,
    last_request: u64,
    under_way: usize,
    /// Bytes in the backlogs of all hosts.
    backlogs: usize,
    /// How many reverts are to be asked for, of those that are kept.
    to_ask: usize,
    /// Hosts with enough in theirs that alerts may wait for them: very few, as
    /// the backlogs together are bounded.
    crowded: BTreeSet<AgentId>,
    pub(super) pacing: Pacing,
    /// Hosts to be looked at again when the journal has been written or others
    /// have acknowledged.
    pub(super) hungry: BTreeSet<AgentId>,
    /// Hosts with updates to confirm.
    unconfirmed: BTreeSet<AgentId>,
    /// Whether something may wait for a host that is offline.
    pub(super) may_expire: bool,
    pub(super) written: watch::Receiver<u64>,
    synced: watch::Receiver<u64>,
}

impl Delivery {
    /// The receivers tell up to which number journal writes can be read, and
    /// are on the disk.
    pub(super) fn new(written: watch::Receiver<u64>, synced: watch::Receiver<u64>) -> Self {
        Self {
            hosts: HashMap::new(),
            sessions: HashMap::new(),
            last_session: 0,
            last_request: 0,
            under_way: 0,
            backlogs: 0,
            to_ask: 0,
            crowded: BTreeSet::new(),
            pacing: Pacing::default(),
            hungry: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            may_expire: true,
            written,
            synced,
        }
    }

    pub(super) fn host(&mut self, agent: &AgentId) -> &mut Host {
        self.hosts.entry(agent.clone()).or_default()
    }

    pub(super) fn is_connected(&self, agent: &AgentId) -> bool {
        self.hosts.get(agent).is_some_and(Host::is_connected)
    }

    /// Whether an agent is there and has said what its host can do, so that it
    /// gets what is decided on now, or at least after what waits before it.
    pub(super) fn is_ready(&self, agent: &AgentId) -> bool {
        let session = self.hosts.get(agent).and_then(|host| host.session.as_ref());
        session.is_some_and(|session| session.ready)
    }

    /// Whether something waits that a look every few milliseconds moves on.
    pub(super) fn is_waiting(&self) -> bool {
        !self.hungry.is_empty() || !self.unconfirmed.is_empty()
    }

    pub(super) fn is_hungry(&mut self, agent: &AgentId) {
        self.hungry.insert(agent.clone());
    }

    /// Whether the journal tells everything that is known about a host.
    pub(super) fn is_current(&mut self, agent: &AgentId) -> bool {
        let written = *self.written.borrow();
        self.host(agent).is_current(written)
    }

    /// Ends a session, and returns its number.
    pub(super) fn disconnect(&mut self, agent: &AgentId) -> Option<u64> {
        let host = self.hosts.get_mut(agent)?;
        let session = host.session.take()?;
        host.behind = true;
        host.backlog.clear(&mut self.backlogs);
        self.to_ask -= std::mem::take(&mut host.to_ask).len();
        host.reverts_wait = true;
        self.under_way -= session.bytes();
        self.unconfirmed.remove(agent);
        self.sessions.remove(&session.number);
        Some(session.number)
    }

    /// An agent has an action; whether it was on its way there.
    pub(super) fn acknowledged(&mut self, agent: &AgentId, id: ActionId) -> bool {
        let session = self.host(agent).session.as_mut();
        let Some(bytes) = session.and_then(|session| session.acknowledged(id)) else {
            return false;
        };
        self.under_way -= bytes;
        true
    }

    /// An update of the session `number` is in journal write number `write`.
    pub(super) fn confirm_after(&mut self, told: &Told, write: u64) {
        let host = self.hosts.get_mut(&told.agent);
        let session = host.and_then(|host| host.session.as_mut());
        if let Some(session) = session.filter(|session| session.number == told.session) {
            session.confirm_after(told.seq, write);
            self.unconfirmed.insert(told.agent.clone());
        }
    }

    /// Confirms what is synced.
    pub(super) fn confirm(&mut self) {
        let synced = *self.synced.borrow();
        let hosts = &mut self.hosts;
        self.unconfirmed.retain(|agent| {
            let session = hosts.get_mut(agent).and_then(|host| host.session.as_mut());
            session.is_some_and(|session| {
                session.confirm(synced);
                session.has_unconfirmed()
            })
        });
    }

    /// A revert is to be asked for when there is room, behind those that are
    /// kept; `false` if it is left to the journal.
    pub(super) fn keep_revert(&mut self, agent: &AgentId, id: ActionId) -> bool {
        let is_full = self.to_ask >= MAX_TO_ASK;
        let host = self.hosts.entry(agent.clone()).or_default();
        // What waits in the journal alone comes first, and this one with it.
        if is_full || !host.is_connected() || host.reverts_wait {
            return false;
        }
        host.to_ask.push_back(id);
        self.to_ask += 1;
        true
    }

    /// Asks for reverts that are kept, as far as there is room, and returns them.
    pub(super) fn ask_kept(&mut self, agent: &AgentId) -> Vec<ActionId> {
        let mut asked = Vec::new();
        while let Some(id) = self.host(agent).to_ask.front().copied() {
            if !self.ask_revert(agent, id) {
                break;
            }
            self.host(agent).to_ask.pop_front();
            self.to_ask -= 1;
            asked.push(id);
        }
        asked
    }

    /// As much as there was room for is asked for. Answers make room for more; an
    /// agent that owes none is to be looked at again.
    pub(super) fn has_asked(&mut self, agent: &AgentId) {
        let host = self.host(agent);
        let owes = |session: &Session| !session.asked.is_empty();
        if !host.to_ask.is_empty() && !host.session.as_ref().is_some_and(owes) {
            self.is_hungry(agent);
        }
    }

    /// The journal tells what an agent is still to be asked for.
    pub(super) fn look_for_reverts(&mut self, agent: &AgentId) {
        let host = self.hosts.entry(agent.clone()).or_default();
        self.to_ask -= std::mem::take(&mut host.to_ask).len();
        host.reverts_wait = true;
        self.hungry.insert(agent.clone());
    }

    /// Asks an agent for a revert; `false` if there is no room now.
    pub(super) fn ask_revert(&mut self, agent: &AgentId, id: ActionId) -> bool {
        let request = self.last_request + 1;
        let Ok(frame) = (ToAgent::Revert { id, request }).into_frame() else {
            return false;
        };
        let host = self.hosts.get_mut(agent);
        let Some(session) = host.and_then(|host| host.session.as_mut()) else {
            return false;
        };
        if session.asked.len() >= WINDOW || session.send(frame).is_err() {
            return false;
        }
        session.asked.insert(request, id);
        self.last_request = request;
        true
    }

    /// Hands an action to an agent that is connected; `false` if there is no
    /// room now.
    pub(super) fn send(&mut self, agent: &AgentId, id: ActionId, frame: Frame) -> bool {
        let bytes = frame.length();
        let host = self.hosts.get_mut(agent);
        let Some(session) = host.and_then(|host| host.session.as_mut()) else {
            return false;
        };
        let fits = self.under_way + bytes <= MAX_UNDER_WAY && session.bytes() + bytes <= MAX_TO_ONE;
        let sent = (fits || session.under_way() == 0) && session.send_action(id, frame);
        if sent {
            self.under_way += bytes;
        }
        sent
    }

    /// An action is to be sent to an agent when it has room, in this place. One
    /// whose agent is not there, or has much that waits, is left to the journal.
    pub(super) fn keep(&mut self, agent: &AgentId, place: i64, parcel: Parcel) {
        let is_ready = self.is_ready(agent);
        let host = self.hosts.entry(agent.clone()).or_default();
        let kept = match is_ready {
            true => {
                let is_all = !host.behind;
                host.backlog.keep(place, parcel, is_all, &mut self.backlogs)
            }
            false => Kept::NotAll,
        };
        host.behind |= kept == Kept::NotAll;
        if host.backlog.bytes() > ENOUGH && !self.crowded.contains(agent) {
            self.crowded.insert(agent.clone());
        }
    }

    /// Whether alerts are to wait until hosts that are quick have taken more of
    /// what is lined up for them.
    pub(super) fn holds_alerts(&mut self, now: Boot) -> bool {
        if self.crowded.is_empty() && !self.pacing.is_on() {
            return false;
        }
        let hosts = &mut self.hosts;
        let mut crowd = Vec::new();
        self.crowded.retain(|agent| {
            let host = hosts.get_mut(agent);
            let backlog = host.map(|host| &mut host.backlog);
            let backlog = backlog.filter(|backlog| backlog.bytes() > ENOUGH);
            let is_quick = backlog.map(|backlog| backlog.is_quick(now));
            crowd.extend(is_quick);
            is_quick.is_some()
        });
        self.pacing.holds(crowd, now)
    }

    /// What an agent is to be sent next, as far as it is not in the journal alone.
    pub(super) fn next(&self, agent: &AgentId) -> Option<(i64, Parcel)> {
        let (place, parcel) = self.hosts.get(agent)?.backlog.first()?;
        Some((place, parcel.clone()))
    }

    /// What was next is on its way.
    pub(super) fn sent(&mut self, agent: &AgentId, place: i64) {
        if let Some(host) = self.hosts.get_mut(agent) {
            host.backlog.sent(place, &mut self.backlogs);
        }
    }

    /// Something that waits for an agent is not to be sent any more: the journal
    /// tells what is.
    pub(super) fn read_anew(&mut self, agent: &AgentId) {
        let host = self.hosts.entry(agent.clone()).or_default();
        if !host.backlog.is_empty() {
            host.backlog.clear(&mut self.backlogs);
            host.behind = true;
            self.hungry.insert(agent.clone());
        }
    }

    /// Whether more than one action may be on its way to an agent.
    pub(super) fn has_room(&self) -> bool {
        self.under_way < MAX_UNDER_WAY
    }
}

/// Which update of which session something came with.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) agent: AgentId,
    pub(super) session: u64,
    pub(super) seq: u64,
}
