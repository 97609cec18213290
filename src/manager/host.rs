//! What the manager knows of one agent while it runs: its session, what is on
//! its way to it, and what has to be confirmed.
//!
//! What waits for an agent stands in the journal. Only what is on its way is
//! kept here, at most [`WINDOW`] actions, and the agent's acknowledgements make
//! room for more. An agent that has everything gets new actions directly; one
//! that is `behind` gets them from the journal, in their order.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;

use super::backlog::Backlog;
use crate::clock::{self, Boot};
use crate::model::{ActionId, Instance, JournalId};
use crate::transport::Arrival;
use crate::wire::{Frame, ToAgent};

/// Actions on their way to one agent that it has not acknowledged, and reverts
/// that it has not answered. So few in tests that it is full now and then.
pub(super) const WINDOW: usize = if cfg!(test) { 12 } else { 1_024 };

/// Frames that fit a session's channel: both windows, and some for the white
/// list and confirmations.
pub(super) const CHANNEL: usize = 2 * WINDOW + 64;

/// A session that was replaced by its own agentd sooner than this was pushed
/// out, or lost at once. Agents wait up to half a minute before they come back.
const SHORT: Duration = Duration::from_secs(60);

/// So many such sessions in a row are not taken for a bad line any more.
const TOO_OFTEN: u32 = 3;

/// An agent.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) session: Option<Session>,
    /// Another connection with the same certificate, while it is asked whether
    /// the present one is alive.
    pub(super) rival: Option<Rival>,
    /// How many short sessions in a row its own agentd has replaced.
    replaced: u32,
    /// An agentd that was there twice at one time: its host was cloned while it
    /// ran.
    cloned: Option<Instance>,
    /// The first of what waits for it and is not on its way.
    pub(super) backlog: Backlog,
    /// Whether more than that may wait, in the journal.
    pub(super) behind: bool,
    /// Whether reverts may wait in the journal that were not asked for and are
    /// not in `to_ask`.
    pub(super) reverts_wait: bool,
    /// Reverts that are to be asked for when there is room. The journal has them
    /// too, or they are on their way there.
    pub(super) to_ask: VecDeque<ActionId>,
    /// Journal writes about it that are not made yet, and the last that was.
    unwritten: usize,
    last_write: u64,
    /// Up to which number the updates of its journal are taken in.
    pub(super) heard: Option<(JournalId, u64)>,
    /// When it was given a certificate the last time.
    pub(super) renewed: Option<Boot>,
}

/// A session, from its greeting on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) instance: Instance,
    pub(super) journal: JournalId,
    /// Of the certificate that it came with; 0 for agent 000.
    pub(super) generation: u32,
    outgoing: mpsc::Sender<Frame>,
    pub(super) began: Boot,
    /// It has said what its host can do, so that it can be judged what to send.
    pub(super) ready: bool,
    /// What the agent had taken into another journal than this one is still to be
    /// ended.
    pub(super) other_journal: bool,
    /// Frames of the white list that have been sent.
    pub(super) white_list: usize,
    /// Actions that it has not acknowledged, with the bytes of each.
    window: HashMap<ActionId, usize>,
    /// Which action each revert that is not answered yet is about.
    pub(super) asked: HashMap<u64, ActionId>,
    /// Updates that wait for their journal write to be synced: (seq, write).
    unconfirmed: VecDeque<(u64, u64)>,
    /// A confirmation that has not been sent.
    stored: Option<u64>,
}

/// A connection that waits until it is known whether the present one is alive.
#[derive(Debug)]
pub(super) struct Rival {
    pub(super) arrival: Arrival,
    pub(super) deadline: Boot,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            session: None,
            rival: None,
            replaced: 0,
            cloned: None,
            backlog: Backlog::default(),
            behind: true,
            reverts_wait: true,
            to_ask: VecDeque::new(),
            unwritten: 0,
            last_write: 0,
            heard: None,
            renewed: None,
        }
    }
}

impl Host {
    pub(super) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn is_session(&self, number: u64) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.number == number)
    }

    /// Whether a newcomer takes the place of whoever is there unasked.
    pub(super) fn makes_way(&mut self, instance: Instance, generation: u32) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        // A certificate older than one that was used is let in no more.
        if session.generation < generation {
            return true;
        }
        if session.instance != instance {
            return false;
        }
        // The same agentd has lost a connection that we still believe in. But
        // two that run on clones of one host would push each other out for ever.
        self.replaced = if session.lasted() < SHORT {
            self.replaced.saturating_add(1)
        } else {
            0
        };
        self.replaced < TOO_OFTEN && self.cloned != Some(instance)
    }

    /// An agentd that is none of the present session was seen while that one is
    /// alive.
    pub(super) fn is_elsewhere(&mut self, instance: Instance) {
        let session = self.session.as_ref();
        if session.is_some_and(|session| session.instance == instance) {
            self.cloned = Some(instance);
        }
    }

    /// A journal write about it is planned.
    pub(super) fn will_write(&mut self) {
        self.unwritten += 1;
    }

    /// One that was planned is in journal write number `write`.
    pub(super) fn wrote(&mut self, write: u64) {
        self.unwritten -= 1;
        self.last_write = write;
    }

    /// Whether the journal, of which `written` can be read, tells everything
    /// that is known about it.
    pub(super) fn is_current(&self, written: u64) -> bool {
        self.unwritten == 0 && self.last_write <= written
    }

    /// Whether something waits for it that is not on its way.
    pub(super) fn has_more(&self) -> bool {
        self.behind || !self.backlog.is_empty()
    }

    /// Whether a new action can go to it directly.
    pub(super) fn takes_directly(&self) -> bool {
        let session = self.session.as_ref();
        !self.has_more() && session.is_some_and(|s| s.ready && s.window.len() < WINDOW)
    }

    /// Up to which number the updates of this journal are taken in.
    pub(super) fn heard_of(&self, journal: JournalId) -> u64 {
        let heard = self.heard.filter(|(known, _)| *known == journal);
        heard.map_or(0, |(_, up_to)| up_to)
    }

    /// Whether an update was taken in before. Notes it if it was not.
    pub(super) fn has_heard(&mut self, seq: u64) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        match &mut self.heard {
            Some((journal, up_to)) if *journal == session.journal => {
                let before = seq <= *up_to;
                *up_to = seq.max(*up_to);
                before
            }
            heard => {
                *heard = Some((session.journal, seq));
                false
            }
        }
    }
}

impl Session {
    pub(super) fn new(
        number: u64,
        instance: Instance,
        journal: JournalId,
        generation: u32,
    ) -> (Self, mpsc::Receiver<Frame>) {
        let (outgoing, queue) = mpsc::channel(CHANNEL);
        let session = Self {
            number,
            instance,
            journal,
            generation,
            outgoing,
            began: clock::boot(),
            ready: false,
            other_journal: false,
            white_list: 0,
            window: HashMap::new(),
            asked: HashMap::new(),
            unconfirmed: VecDeque::new(),
            stored: None,
        };
        (session, queue)
    }

    /// How long it has been.
    pub(super) fn lasted(&self) -> Duration {
        self.began.until(clock::boot())
    }

    /// Whether its other end is there no more.
    pub(super) fn is_over(&self) -> bool {
        self.outgoing.is_closed()
    }

    /// Hands a frame over, or gives it back if there is no room.
    pub(super) fn send(&self, frame: Frame) -> Result<(), Frame> {
        self.outgoing
            .try_send(frame)
            .map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Hands an action over; `false` if there is no room.
    pub(super) fn send_action(&mut self, id: ActionId, frame: Frame) -> bool {
        let bytes = frame.length();
        if self.send(frame).is_err() {
            return false;
        }
        self.window.insert(id, bytes);
        true
    }

    /// Whether an action is on its way, or has come and is not acknowledged.
    pub(super) fn has_under_way(&self, id: ActionId) -> bool {
        self.window.contains_key(&id)
    }

    pub(super) fn under_way(&self) -> usize {
        self.window.len()
    }

    /// The agent has an action. Returns the bytes that it took on the way, if it
    /// was.
    pub(super) fn acknowledged(&mut self, id: ActionId) -> Option<usize> {
        self.window.remove(&id)
    }

    /// The bytes of everything that is on its way.
    pub(super) fn bytes(&self) -> usize {
        self.window.values().sum()
    }

    /// An update is in journal write number `write`.
    pub(super) fn confirm_after(&mut self, seq: u64, write: u64) {
        self.unconfirmed.push_back((seq, write));
    }

    /// Whether updates wait for their confirmation.
    pub(super) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty() || self.stored.is_some()
    }

    /// Confirms what is synced.
    pub(super) fn confirm(&mut self, synced: u64) {
        while let Some((seq, _)) = self
            .unconfirmed
            .front()
            .filter(|(_, write)| *write <= synced)
        {
            self.stored = Some(*seq);
            self.unconfirmed.pop_front();
        }
        if let Some(up_to) = self.stored
            && let Ok(frame) = (ToAgent::Stored { up_to }).into_frame()
            && self.send(frame).is_ok()
        {
            self.stored = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Session, WINDOW};
    use crate::model::{ActionId, Instance, JournalId};
    use crate::wire::{Frame, ToAgent};

    fn connected(journal: u8) -> (Host, tokio::sync::mpsc::Receiver<Frame>) {
        let mut host = Host::default();
        let (session, queue) = Session::new(
            1,
            Instance::from_bytes([1; 8]),
            JournalId::from_bytes([journal; 16]),
            1,
        );
        host.session = Some(session);
        (host, queue)
    }

    fn id(number: usize) -> ActionId {
        ActionId::from_bytes((number as u128).to_be_bytes())
    }

    #[test]
    fn the_window_is_full_until_the_agent_acknowledges() {
        let (mut host, _queue) = connected(1);
        host.behind = false;
        let ping = ToAgent::Ping.into_frame().unwrap();
        assert!(!host.takes_directly());
        host.session.as_mut().unwrap().ready = true;
        for number in 0..WINDOW {
            assert!(host.takes_directly());
            let session = host.session.as_mut().unwrap();
            assert!(session.send_action(id(number), ping.clone()));
        }
        assert!(!host.takes_directly());
        let session = host.session.as_mut().unwrap();
        assert_eq!(session.bytes(), WINDOW * ping.length());
        assert_eq!(session.acknowledged(id(3)), Some(ping.length()));
        assert_eq!(session.acknowledged(id(3)), None);
        assert!(host.takes_directly());
    }

    #[test]
    fn a_number_is_heard_once_in_one_journal_and_anew_in_another() {
        let (mut host, _queue) = connected(1);
        assert!(!host.has_heard(1) && !host.has_heard(2));
        assert!(host.has_heard(1) && host.has_heard(2));
        let heard = host.heard;
        let (mut host, _queue) = connected(1);
        host.heard = heard;
        assert!(host.has_heard(2) && !host.has_heard(3));
        let (mut host, _queue) = connected(2);
        host.heard = heard;
        let journal = |number| JournalId::from_bytes([number; 16]);
        assert_eq!(
            (host.heard_of(journal(1)), host.heard_of(journal(2))),
            (2, 0)
        );
        assert!(!host.has_heard(1) && host.has_heard(1));
    }

    #[test]
    fn the_journal_is_current_only_when_every_planned_write_can_be_read() {
        let mut host = Host::default();
        assert!(host.is_current(0));
        host.will_write();
        host.will_write();
        host.wrote(5);
        assert!(!host.is_current(9));
        host.wrote(6);
        assert!(!host.is_current(5) && host.is_current(6));
    }

    #[test]
    fn only_what_is_synced_is_confirmed_and_once() {
        let (mut host, mut queue) = connected(1);
        let session = host.session.as_mut().unwrap();
        for (seq, write) in [(1, 4), (2, 4), (3, 6)] {
            session.confirm_after(seq, write);
        }
        session.confirm(3);
        assert!(queue.try_recv().is_err());
        session.confirm(5);
        let frame = queue.try_recv().unwrap();
        assert_eq!(
            ToAgent::from_frame(frame).unwrap(),
            ToAgent::Stored { up_to: 2 }
        );
        session.confirm(5);
        assert!(queue.try_recv().is_err() && session.has_unconfirmed());
    }
}
