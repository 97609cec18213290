//! The orders that a keeper has in hand: what each of them waits for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Decided, Ended};
use crate::clock;
use crate::contract::request::{Command, Message};
use crate::contract::worker;
use crate::executor::heard::Heard;
use crate::executor::pipes::Head;
use crate::executor::{Decision, End, Mode, Outcome, Run, RunId};
use crate::model::Keys;

/// As of the stderr of a process.
const MAX_STDERR: usize = 4 * 1024;

/// How often an order may lose its worker before it is run alone.
const MAX_LOSSES: u32 = 2;

/// Why a line of a worker cannot be followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("it printed a line without the number of an order")]
    NoNumber,
    #[error("it spoke of an order that it does not have")]
    Unknown,
    #[error("it printed a line that is too long")]
    TooLong,
}

/// How many orders had to be given up when a worker was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub(super) again: usize,
    pub(super) alone: usize,
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// For a worker that takes it.
    Unsent,
    /// For its worker, in boot nanoseconds.
    Worker { until: u64 },
    /// For its owner, who knows the keys.
    Owner,
}

/// Where a run hears of its order, once each.
#[derive(Debug)]
pub(super) struct Ears {
    /// Until it was told the keys.
    pub(super) keys: Option<oneshot::Sender<Result<Keys, String>>>,
    pub(super) end: oneshot::Sender<Ended>,
}

struct Order {
    run: Arc<Run>,
    to: Ears,
    step: Step,
    heard: Heard,
    decided: Option<Decided>,
    losses: u32,
}

impl Order {
    fn new(run: Arc<Run>, to: Ears) -> Self {
        Self {
            heard: Heard::new(run.mode, true),
            run,
            to,
            step: Step::Unsent,
            decided: None,
            losses: 0,
        }
    }

    /// What was decided on these keys before the worker named them.
    fn foresaw(&self, keys: &Result<Keys, String>) -> Option<Decided> {
        let foreseen = self.run.foreseen.as_ref()?;
        let decided = Decided {
            decision: Decision::Continue {
                expires: foreseen.expires,
            },
            at: foreseen.at,
        };
        (keys.as_ref() == Ok(&foreseen.keys)).then_some(decided)
    }

    /// It is to be run as a process of its own.
    fn give_back(self) {
        // A run that was cancelled does not listen any more.
        let _ = self.to.end.send(Ended::Alone(self.decided));
    }

    fn end(self, end: End) {
        let mut outcome = Outcome {
            end,
            ..Outcome::not_started(String::new())
        };
        self.heard.tell(&mut outcome);
        // Another worker, which is lost, may have named them.
        outcome.printed_keys |= self.decided.is_some();
        let result = outcome.result.as_mut();
        if let Some(text) = result.and_then(|result| result.stderr.take()) {
            let mut head = Head::new(MAX_STDERR);
            head.feed(text.as_bytes());
            outcome.stderr = head.text();
        }
        if self.losses > 0 {
            outcome.add_detail("its worker was replaced");
        }
        // As above.
        let _ = self.to.end.send(Ended::Here(Box::new(outcome)));
    }
}

#[derive(Default)]
pub(super) struct Orders {
    all: HashMap<RunId, Order>,
    unsent: BTreeSet<RunId>,
    /// What a worker has, by when it must have answered.
    owed: BTreeSet<(u64, RunId)>,
}

impl Orders {
    pub(super) fn take(&mut self, run: Arc<Run>, to: Ears) {
        self.unsent.insert(run.id);
        self.all.insert(run.id, Order::new(run, to));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether the worker has any that has not ended.
    pub(super) fn has_sent(&self) -> bool {
        self.all.len() > self.unsent.len()
    }

    /// When the worker must have answered next.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.owed.first().map(|(at, _)| *at)
    }

    /// Puts orders that wait for a worker into its `output`, as long as that is
    /// shorter than `room`.
    pub(super) fn send(&mut self, output: &mut Vec<u8>, room: usize) {
        while output.len() < room {
            let Some(id) = self.unsent.pop_first() else {
                return;
            };
            let Some(order) = self.all.get(&id) else {
                continue;
            };
            if order.to.end.is_closed() {
                self.all.remove(&id);
                continue;
            }
            if order.losses == 0 && order.run.is_pointless() {
                self.end(id, End::TooLate);
                continue;
            }
            let command = match order.run.mode {
                Mode::Add => Command::Add,
                Mode::Delete => Command::Delete,
            };
            worker::begin(output, id.0);
            message(&order.run).write_line(command, output);
            self.wait_for_worker(id);
        }
    }

    /// Takes a line of the worker; what it is to be answered goes to `output`.
    pub(super) fn heard(&mut self, line: &[u8], output: &mut Vec<u8>) -> Result<(), Nonsense> {
        let (number, line) = worker::split(line).ok_or(Nonsense::NoNumber)?;
        let id = RunId(number);
        let order = self.all.get_mut(&id).ok_or(Nonsense::Unknown)?;
        if order.step == Step::Unsent {
            return Err(Nonsense::Unknown);
        }
        order.heard.line(line);
        if order.heard.has_result() {
            self.end(id, End::Answered);
        } else if let Some(keys) = order.heard.unasked_keys() {
            order.decided = order.decided.or_else(|| order.foresaw(&keys));
            if let Some(to) = order.to.keys.take_if(|_| order.decided.is_none()) {
                // As in `Order::end`.
                let _ = to.send(keys);
            }
            let decided = order.decided;
            self.wait_for_owner(id);
            if let Some(decided) = decided {
                self.answer(id, decided, output);
            }
        }
        Ok(())
    }

    /// Passes on what the owner has decided.
    pub(super) fn decided(&mut self, id: RunId, decided: Decided, output: &mut Vec<u8>) {
        let Some(order) = self.all.get_mut(&id) else {
            return;
        };
        order.decided = Some(decided);
        // Where a new worker has not named the keys yet, it is said then.
        if order.step == Step::Owner {
            self.answer(id, decided, output);
        }
    }

    fn answer(&mut self, id: RunId, decided: Decided, output: &mut Vec<u8>) {
        let Some(order) = self.all.get(&id) else {
            return;
        };
        let decision = decided.decision();
        worker::push(output, id.0, &message(&order.run).bundled_reply(decision));
        match decision {
            Decision::Continue { .. } => self.wait_for_worker(id),
            // The last word on it.
            Decision::Abort => self.end(id, End::Answered),
        }
    }

    /// The worker is gone. What it had is for the next one.
    pub(super) fn lose(&mut self) -> Losses {
        let mut losses = Losses::default();
        self.owed.clear();
        let sent: Vec<RunId> = self
            .all
            .iter()
            .filter(|(_, order)| order.step != Step::Unsent)
            .map(|(id, _)| *id)
            .collect();
        for id in sent {
            let Some(order) = self.all.get_mut(&id) else {
                continue;
            };
            order.losses += 1;
            order.step = Step::Unsent;
            order.heard = Heard::new(order.run.mode, true);
            if order.losses < MAX_LOSSES {
                self.unsent.insert(id);
                losses.again += 1;
            } else if let Some(order) = self.all.remove(&id) {
                order.give_back();
                losses.alone += 1;
            }
        }
        losses
    }

    /// No worker can be started, for this reason.
    pub(super) fn refuse(&mut self, why: &str) {
        for id in std::mem::take(&mut self.unsent) {
            self.end(id, End::NotStarted(why.to_owned()));
        }
    }

    /// Has everything that waits for a worker run as processes.
    pub(super) fn release(&mut self) -> usize {
        let unsent = std::mem::take(&mut self.unsent);
        for id in &unsent {
            if let Some(order) = self.all.remove(id) {
                order.give_back();
            }
        }
        unsent.len()
    }

    fn wait_for_worker(&mut self, id: RunId) {
        if let Some(order) = self.all.get_mut(&id) {
            let until = clock::boot_nanos().saturating_add(nanos(order.run.limits.execution));
            order.step = Step::Worker { until };
            self.owed.insert((until, id));
        }
    }

    fn wait_for_owner(&mut self, id: RunId) {
        if let Some(order) = self.all.get_mut(&id) {
            if let Step::Worker { until } = order.step {
                self.owed.remove(&(until, id));
            }
            order.step = Step::Owner;
        }
    }

    fn end(&mut self, id: RunId, end: End) {
        if let Some(order) = self.all.remove(&id) {
            if let Step::Worker { until } = order.step {
                self.owed.remove(&(until, id));
            }
            order.end(end);
        }
    }
}

/// What a worker is told of a run.
fn message(run: &Run) -> &Message {
    run.message()
        .expect("a worker is a bundled executable, and those are told by lines")
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
