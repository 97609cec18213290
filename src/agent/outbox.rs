//! What the manager is to be told, in order, until it has stored it. An update
//! leaves only after the write that holds it is synced: what a power cut takes
//! from this host, the manager must still believe to be unsent.

use std::collections::{HashMap, VecDeque};

use tokio::sync::{mpsc, watch};

use crate::journal::agent::Op;
use crate::model::{Action, ActionId, Record};
use crate::wire::{Frame, ToManager};

#[derive(Debug)]
pub(super) struct Outbox {
    updates: VecDeque<Update>,
    mentioned: HashMap<ActionId, usize>,
    next_seq: u64,
    /// Updates up to this one have left on the present link.
    sent: u64,
    answers: VecDeque<ToManager>,
    link: Option<mpsc::Sender<Frame>>,
    synced: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Update {
    seq: u64,
    /// The journal write that holds it.
    write: u64,
    action: Box<Action>,
    record: Box<Record>,
}

impl Outbox {
    /// `synced` is the number up to which journal writes are on the disk;
    /// `updates` are what the journal held at start.
    pub(super) fn new(updates: Vec<(u64, Action, Record)>, synced: watch::Receiver<u64>) -> Self {
        let next_seq = updates.last().map_or(1, |(seq, _, _)| seq + 1);
        let mut outbox = Self {
            updates: VecDeque::new(),
            mentioned: HashMap::new(),
            next_seq,
            sent: 0,
            answers: VecDeque::new(),
            link: None,
            synced,
        };
        for (seq, action, record) in updates {
            outbox.add(Update {
                seq,
                write: 0,
                action: Box::new(action),
                record: Box::new(record),
            });
        }
        outbox
    }

    fn add(&mut self, update: Update) {
        *self.mentioned.entry(update.action.id).or_default() += 1;
        self.updates.push_back(update);
    }

    /// Adds an update that will be in journal write number `write`, and returns
    /// the operation that puts it there.
    pub(super) fn push(&mut self, action: Action, record: Record, write: u64) -> Op {
        let seq = self.next_seq;
        self.next_seq += 1;
        let (action, record) = (Box::new(action), Box::new(record));
        self.add(Update {
            seq,
            write,
            action: action.clone(),
            record: record.clone(),
        });
        Op::Update {
            seq,
            action,
            record,
        }
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

    /// A new link: everything the manager has not stored is sent again.
    pub(super) fn connect(&mut self, link: mpsc::Sender<Frame>) {
        self.sent = 0;
        self.answers.clear();
        self.link = Some(link);
    }

    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    pub(super) fn answer(&mut self, message: ToManager) {
        self.answers.push_back(message);
    }

    /// The manager has stored every update up to `up_to`.
    pub(super) fn stored(&mut self, up_to: u64) {
        while self
            .updates
            .front()
            .is_some_and(|update| update.seq <= up_to)
        {
            let update = self.updates.pop_front().expect("there is a first one");
            if let Some(count) = self.mentioned.get_mut(&update.action.id) {
                *count -= 1;
                if *count == 0 {
                    self.mentioned.remove(&update.action.id);
                }
            }
        }
    }

    /// Sends the next message that may leave. Never returns while there is none,
    /// or no link; may be dropped while it waits.
    pub(super) async fn send_next(&mut self) {
        let Some(link) = self.link.clone() else {
            return std::future::pending().await;
        };
        let Some(place) = self.next_place() else {
            return std::future::pending().await;
        };
        let Ok(permit) = link.reserve().await else {
            self.link = None;
            return;
        };
        let message = match place {
            Place::Answer => self.answers.pop_front(),
            Place::Update(at) => {
                let update = &self.updates[at];
                self.sent = update.seq;
                Some(ToManager::Update {
                    seq: update.seq,
                    action: update.action.clone(),
                    record: update.record.clone(),
                })
            }
        };
        match message.map(|message| message.to_frame()).transpose() {
            Ok(Some(frame)) => permit.send(frame),
            Ok(None) => {}
            Err(error) => log::error!(error:% = error; "an update cannot be sent"),
        }
    }

    fn next_place(&self) -> Option<Place> {
        if !self.answers.is_empty() {
            return Some(Place::Answer);
        }
        let at = self
            .updates
            .partition_point(|update| update.seq <= self.sent);
        let update = self.updates.get(at)?;
        (update.write <= *self.synced.borrow()).then_some(Place::Update(at))
    }
}

enum Place {
    Answer,
    Update(usize),
}
