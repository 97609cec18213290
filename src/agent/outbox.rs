//! What the manager is to be told, in order. What this host can do comes first
//! in each session. That an action is taken, and what became of it, leaves only
//! after the write that holds it is synced: what a power cut takes from this
//! host, the manager must still believe to be unsent. An update is kept until
//! the manager has stored it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::journal::{
    self,
    agent::{Numbers, Op, Telling},
};
use crate::model::{ActionId, Capabilities};
use crate::wire::about::About;
use crate::wire::{Frame, ToManager};

/// Actions that one message names as taken.
const TAKEN_AT_ONCE: usize = 1_000;

/// More of them than this wait only for a manager that sends and does not read.
const MAX_TAKEN: usize = 10_000;

#[derive(Debug)]
pub(super) struct Outbox {
    /// None until they have been looked up, which takes milliseconds; nothing
    /// leaves before.
    capabilities: Option<Capabilities>,
    /// Whether the manager has been told them on the present link.
    described: bool,
    /// Actions that came over the present link, and the journal write that
    /// holds each.
    taken: VecDeque<(u64, ActionId)>,
    updates: VecDeque<Update>,
    mentioned: HashMap<ActionId, usize>,
    next_seq: u64,
    /// Updates up to this one have left on the present link.
    sent: u64,
    /// No update beyond this one has ever left this host, as far as it knows.
    reached: u64,
    /// The manager that was last told everything has confirmed up to this one.
    promised: u64,
    answers: VecDeque<ToManager>,
    link: Option<mpsc::Sender<Frame>>,
    synced: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Update {
    seq: u64,
    /// The journal write that holds it.
    write: u64,
    telling: Telling,
}

impl Outbox {
    /// `synced` is the number up to which journal writes are on the disk;
    /// `updates` and `numbers` are what the journal held at start.
    pub(super) fn new(
        updates: Vec<(u64, Telling)>,
        numbers: Numbers,
        synced: watch::Receiver<u64>,
    ) -> Self {
        let mut outbox = Self {
            capabilities: None,
            described: false,
            taken: VecDeque::new(),
            updates: VecDeque::new(),
            mentioned: HashMap::new(),
            next_seq: numbers.next,
            sent: 0,
            reached: numbers.next - 1,
            promised: numbers.promised,
            answers: VecDeque::new(),
            link: None,
            synced,
        };
        for (seq, telling) in updates {
            outbox.add(Update {
                seq,
                write: journal::FOUND,
                telling,
            });
        }
        outbox
    }

    fn add(&mut self, update: Update) {
        *self.mentioned.entry(update.telling.action.id).or_default() += 1;
        self.updates.push_back(update);
    }

    /// Adds an update that will be in journal write number `write`, and returns
    /// the operation that puts it there.
    pub(super) fn push(&mut self, telling: Telling, write: u64) -> Op {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.add(Update {
            seq,
            write,
            telling: telling.clone(),
        });
        Op::Update { seq, telling }
    }

    /// Whether something is still to be told of this action.
    pub(super) fn mentions(&self, id: ActionId) -> bool {
        self.mentioned.contains_key(&id)
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.updates.len()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// What this host can do. The manager hears of it at once if it is new.
    pub(super) fn describe(&mut self, capabilities: Capabilities) {
        if self.capabilities.as_ref() != Some(&capabilities) {
            self.capabilities = Some(capabilities);
            self.described = false;
        }
    }

    /// An action has come that is in journal write number `write`.
    pub(super) fn took(&mut self, id: ActionId, write: u64) {
        self.taken.push_back((write, id));
    }

    /// Whether so many actions wait to be named as taken that no more are to be
    /// accepted.
    pub(super) fn is_full(&self) -> bool {
        self.taken.len() >= MAX_TAKEN
    }

    /// A new link: everything the manager has not stored is sent again. It sends
    /// again itself what it does not know to be taken.
    pub(super) fn connect(&mut self, link: mpsc::Sender<Frame>) {
        self.sent = 0;
        self.described = false;
        self.taken.clear();
        self.answers.clear();
        self.link = Some(link);
    }

    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    pub(super) fn answer(&mut self, message: ToManager) {
        self.answers.push_back(message);
    }

    /// The manager has stored every update up to `up_to`. Returns how far that
    /// is in truth: not further than there are updates.
    pub(super) fn stored(&mut self, up_to: u64) -> u64 {
        let up_to = up_to.min(self.next_seq - 1);
        while self
            .updates
            .front()
            .is_some_and(|update| update.seq <= up_to)
        {
            let update = self.updates.pop_front().expect("there is a first one");
            let id = update.telling.action.id;
            if let Some(count) = self.mentioned.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.mentioned.remove(&id);
                }
            }
        }
        self.promised = self.promised.max(up_to);
        up_to
    }

    /// Whether a manager that has heard updates up to `heard` has heard more than
    /// this journal has ever told.
    pub(super) fn has_forgotten(&self, heard: u64) -> bool {
        heard > self.reached
    }

    /// Whether a manager that has heard updates up to `heard` has confirmed more.
    pub(super) fn is_forgotten(&self, heard: u64) -> bool {
        heard < self.promised
    }

    /// What was confirmed was so by another manager, or of another journal.
    pub(super) fn is_promised_nothing(&mut self) {
        self.promised = 0;
    }

    /// Sends what may leave, as far as the link takes it. Never returns while
    /// there is nothing, or no link; may be dropped while it waits.
    pub(super) async fn send(&mut self) {
        let (Some(link), Some(mut place)) = (self.link.clone(), self.next_place()) else {
            return std::future::pending().await;
        };
        let Ok(mut permit) = link.reserve().await else {
            self.link = None;
            return;
        };
        loop {
            if let Some(frame) = self.frame(place) {
                permit.send(frame);
            }
            let (Some(next), Ok(room)) = (self.next_place(), link.try_reserve()) else {
                return;
            };
            (place, permit) = (next, room);
        }
    }

    /// The message at this place, which counts as sent.
    fn frame(&mut self, place: Place) -> Option<Frame> {
        let frame = self.take(place)?.to_frame();
        frame
            .inspect_err(|error| {
                log::error!(error:% = error; "a message to the manager cannot be written");
            })
            .ok()
    }

    fn take(&mut self, place: Place) -> Option<ToManager> {
        match place {
            Place::Capabilities => {
                self.described = true;
                let capabilities = self.capabilities.clone().map(Box::new);
                capabilities.map(|capabilities| ToManager::Capabilities { capabilities })
            }
            Place::Answer => self.answers.pop_front(),
            Place::Taken => {
                let synced = *self.synced.borrow();
                let on_disk = self.taken.partition_point(|(write, _)| *write <= synced);
                let taken = self.taken.drain(..on_disk.min(TAKEN_AT_ONCE));
                let actions = taken.map(|(_, id)| id).collect();
                Some(ToManager::Taken { actions })
            }
            Place::Update(at) => {
                let update = &self.updates[at];
                self.sent = update.seq;
                self.reached = self.reached.max(update.seq);
                Some(ToManager::Update {
                    seq: update.seq,
                    action: About::Whole(Arc::clone(&update.telling.action)),
                    record: Arc::clone(&update.telling.record),
                })
            }
        }
    }

    fn next_place(&self) -> Option<Place> {
        if !self.described {
            return self.capabilities.as_ref().map(|_| Place::Capabilities);
        }
        if !self.answers.is_empty() {
            return Some(Place::Answer);
        }
        let synced = *self.synced.borrow();
        if self
            .taken
            .front()
            .is_some_and(|(write, _)| *write <= synced)
        {
            return Some(Place::Taken);
        }
        let at = self
            .updates
            .partition_point(|update| update.seq <= self.sent);
        let update = self.updates.get(at)?;
        (update.write <= synced).then_some(Place::Update(at))
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Capabilities,
    Answer,
    /// Everything that is synced of what has been taken.
    Taken,
    Update(usize),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::{mpsc, watch};

    use super::{Numbers, Outbox, Telling};
    use crate::clock::Wall;
    use crate::journal;
    use crate::model::action::sample;
    use crate::model::{Action, ActionId, ActionState, Capabilities, Record};
    use crate::wire::{Frame, ToManager};

    fn action(number: u8) -> Action {
        sample::action(number, "firewall-drop", None)
    }

    /// An outbox of a host that knows what it can do.
    fn outbox(updates: Vec<(u64, Telling)>, synced: watch::Receiver<u64>) -> Outbox {
        let next = updates.last().map_or(1, |(seq, _)| seq + 1);
        let numbers = Numbers {
            action: 1,
            next,
            promised: 0,
        };
        let mut outbox = Outbox::new(updates, numbers, synced);
        outbox.describe(Capabilities::default());
        outbox
    }

    fn running(number: u8) -> Telling {
        let action = action(number);
        let record = Record::new(&action, ActionState::Running, Wall::from_millis(0));
        Telling {
            number: number.into(),
            action: action.into(),
            record: record.into(),
        }
    }

    fn push(outbox: &mut Outbox, number: u8, write: u64) {
        let _ = outbox.push(running(number), write);
    }

    /// Sends what may leave now, and returns it.
    async fn messages(outbox: &mut Outbox, link: &mut mpsc::Receiver<Frame>) -> Vec<ToManager> {
        let mut messages = Vec::new();
        while tokio::time::timeout(Duration::ZERO, outbox.send())
            .await
            .is_ok()
        {
            while let Ok(frame) = link.try_recv() {
                messages.push(ToManager::from_frame(&frame).unwrap());
            }
        }
        messages
    }

    /// The same for the numbers of the updates.
    async fn sent(outbox: &mut Outbox, link: &mut mpsc::Receiver<Frame>) -> Vec<u64> {
        messages(outbox, link)
            .await
            .into_iter()
            .filter_map(|message| match message {
                ToManager::Update { seq, .. } => Some(seq),
                ToManager::Capabilities { .. }
                | ToManager::Taken { .. }
                | ToManager::Reverted { .. }
                | ToManager::Renew { .. }
                | ToManager::Ping
                | ToManager::Pong => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn an_update_leaves_only_once_its_write_is_synced() {
        let (synced, on_synced) = watch::channel(1);
        let mut outbox = outbox(Vec::new(), on_synced);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        push(&mut outbox, 1, 1);
        push(&mut outbox, 2, 2);
        assert_eq!(sent(&mut outbox, &mut far).await, [1]);
        synced.send_replace(2);
        assert_eq!(sent(&mut outbox, &mut far).await, [2]);
        assert_eq!(sent(&mut outbox, &mut far).await, [0; 0]);
    }

    #[tokio::test]
    async fn what_is_not_stored_is_sent_again_on_each_link_in_order() {
        let (_synced, on_synced) = watch::channel(9);
        let mut outbox = outbox(Vec::new(), on_synced);
        for number in 1..=4 {
            push(&mut outbox, number, 1);
        }
        for wanted in [&[1, 2, 3, 4][..], &[3, 4]] {
            let (link, mut far) = mpsc::channel(8);
            outbox.connect(link);
            assert_eq!(sent(&mut outbox, &mut far).await, wanted);
            outbox.disconnect();
            outbox.stored(2);
        }
        assert_eq!(outbox.unconfirmed(), 2);
    }

    #[tokio::test]
    async fn a_restart_goes_on_counting_behind_what_is_unconfirmed() {
        let (synced, on_synced) = watch::channel(0);
        let kept = vec![(41, running(1)), (42, running(2))];
        let mut outbox = outbox(kept, on_synced);
        push(&mut outbox, 3, journal::FOUND + 1);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        // What the journal held at the start may not be synced, and then the
        // new one is not yet.
        assert_eq!(sent(&mut outbox, &mut far).await, [0; 0]);
        synced.send_replace(journal::FOUND);
        assert_eq!(sent(&mut outbox, &mut far).await, [41, 42]);
        outbox.stored(42);
        assert_eq!(outbox.unconfirmed(), 1);
        assert_eq!(outbox.updates[0].seq, 43);
    }

    #[tokio::test]
    async fn an_action_is_mentioned_until_its_last_update_is_stored() {
        let (_synced, on_synced) = watch::channel(9);
        let mut outbox = outbox(Vec::new(), on_synced);
        let id = action(1).id;
        push(&mut outbox, 1, 1);
        push(&mut outbox, 2, 1);
        push(&mut outbox, 1, 1);
        outbox.stored(2);
        assert!(outbox.mentions(id));
        assert!(!outbox.mentions(action(2).id));
        outbox.stored(3);
        assert!(!outbox.mentions(id));
    }

    #[tokio::test]
    async fn a_full_or_closed_link_loses_nothing() {
        let (_synced, on_synced) = watch::channel(9);
        let mut outbox = outbox(Vec::new(), on_synced);
        let (link, mut far) = mpsc::channel(1);
        outbox.connect(link);
        push(&mut outbox, 1, 1);
        push(&mut outbox, 2, 1);
        // What it can do fills the link.
        outbox.send().await;
        let full = tokio::time::timeout(Duration::ZERO, outbox.send()).await;
        assert!(full.is_err());
        far.recv().await.unwrap();
        assert_eq!(sent(&mut outbox, &mut far).await, [1, 2]);
        push(&mut outbox, 3, 1);
        drop(far);
        outbox.send().await;
        assert!(!outbox.is_connected());
        assert_eq!(outbox.unconfirmed(), 3);
    }

    #[tokio::test]
    async fn what_is_taken_is_named_once_it_is_synced_in_order_and_at_once() {
        let (synced, on_synced) = watch::channel(1);
        let mut outbox = outbox(Vec::new(), on_synced);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        let taken = |numbers: &[u8]| ToManager::Taken {
            actions: numbers.iter().map(|number| action(*number).id).collect(),
        };
        for (number, write) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
            outbox.took(action(number).id, write);
        }
        let sent = messages(&mut outbox, &mut far).await;
        assert_eq!(sent[1..], [taken(&[1, 2])]);
        synced.send_replace(3);
        push(&mut outbox, 3, 2);
        let sent = messages(&mut outbox, &mut far).await;
        assert_eq!(sent[0], taken(&[3, 4]));
        assert!(matches!(sent[1..], [ToManager::Update { seq: 1, .. }]));
    }

    #[tokio::test]
    async fn what_is_taken_fits_its_messages_and_is_not_told_on_another_link() {
        let (_synced, on_synced) = watch::channel(1);
        let mut outbox = outbox(Vec::new(), on_synced);
        let (link, mut far) = mpsc::channel(64);
        outbox.connect(link);
        while !outbox.is_full() {
            outbox.took(action(1).id, 1);
        }
        let sent = messages(&mut outbox, &mut far).await;
        let named = |message: &ToManager| match message {
            ToManager::Taken { actions } => actions.len(),
            _ => 0,
        };
        assert!(
            sent.iter()
                .map(named)
                .all(|count| count <= super::TAKEN_AT_ONCE)
        );
        assert_eq!(sent.iter().map(named).sum::<usize>(), super::MAX_TAKEN);
        assert!(!outbox.is_full());
        outbox.took(ActionId::from_bytes([7; 16]), 1);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        let sent = messages(&mut outbox, &mut far).await;
        assert!(sent.iter().all(|message| named(message) == 0), "{sent:?}");
    }

    #[tokio::test]
    async fn what_the_host_can_do_is_told_first_on_each_link_and_again_when_it_changes() {
        let (_synced, on_synced) = watch::channel(9);
        let numbers = Numbers {
            action: 1,
            next: 1,
            promised: 0,
        };
        let mut outbox = Outbox::new(Vec::new(), numbers, on_synced);
        let told = |ipv6| ToManager::Capabilities {
            capabilities: Box::new(Capabilities {
                ipv6,
                ..Capabilities::default()
            }),
        };
        let can = |ipv6| Capabilities {
            ipv6,
            ..Capabilities::default()
        };
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        outbox.answer(ToManager::Pong);
        assert_eq!(messages(&mut outbox, &mut far).await, []);
        outbox.describe(can(false));
        let sent = messages(&mut outbox, &mut far).await;
        assert_eq!(sent, [told(false), ToManager::Pong]);
        outbox.describe(can(false));
        assert_eq!(messages(&mut outbox, &mut far).await, []);
        outbox.describe(can(true));
        assert_eq!(messages(&mut outbox, &mut far).await, [told(true)]);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        assert_eq!(messages(&mut outbox, &mut far).await, [told(true)]);
    }

    #[test]
    fn no_more_is_stored_than_was_ever_told() {
        let (_synced, on_synced) = watch::channel(9);
        let mut outbox = outbox(Vec::new(), on_synced);
        push(&mut outbox, 1, 1);
        assert_eq!(outbox.stored(u64::MAX), 1);
        push(&mut outbox, 2, 1);
        assert_eq!(outbox.updates[0].seq, 2);
    }

    #[tokio::test]
    async fn answers_go_before_updates_and_not_into_another_link() {
        let (_synced, on_synced) = watch::channel(9);
        let mut outbox = outbox(Vec::new(), on_synced);
        push(&mut outbox, 1, 1);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        outbox.answer(ToManager::Pong);
        let sent_now = messages(&mut outbox, &mut far).await;
        assert_eq!(sent_now[1], ToManager::Pong);
        assert!(matches!(sent_now[2], ToManager::Update { seq: 1, .. }));
        outbox.answer(ToManager::Pong);
        let (link, mut far) = mpsc::channel(8);
        outbox.connect(link);
        assert_eq!(sent(&mut outbox, &mut far).await, [1]);
    }
}
