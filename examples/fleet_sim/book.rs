//! What one agent knows of its actions: its journal, in memory.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ripost::clock::Wall;
use ripost::contract::target;
use ripost::model::{Action, ActionId, ActionState, Keys, Record};
use ripost::wire::{Reverted, ToManager};

use super::options::Answer;

/// Actions that an agent remembers after their end. A real one remembers them
/// for a week.
const REMEMBERED: usize = 4_096;

/// An action that an agent has.
#[derive(Debug)]
struct Entry {
    action: Action,
    keys: Option<Keys>,
    state: ActionState,
    /// What was left of the timeout when it came.
    left: Option<Duration>,
    received_us: u64,
}

/// A report that the manager has not confirmed.
#[derive(Debug)]
struct Pending {
    seq: u64,
    message: ToManager,
    /// The action and when it came, if this is the first report of it.
    first: Option<(ActionId, u64)>,
}

/// The journal of one agent.
#[derive(Debug)]
pub struct Book {
    answer: Answer,
    seq: u64,
    actions: HashMap<ActionId, Entry>,
    ended: VecDeque<ActionId>,
    pending: VecDeque<Pending>,
}

impl Book {
    pub fn new(answer: Answer) -> Self {
        Self {
            answer,
            seq: 0,
            actions: HashMap::new(),
            ended: VecDeque::new(),
            pending: VecDeque::new(),
        }
    }

    /// Takes an action in; `false` if it was there before.
    pub fn take(
        &mut self,
        action: Action,
        alert: &[u8],
        left: Option<Duration>,
        received_us: u64,
    ) -> bool {
        if self.actions.contains_key(&action.id) {
            return false;
        }
        let entry = Entry {
            keys: target::address(alert).ok().map(|target| target.keys()),
            state: ActionState::Sent,
            left,
            received_us,
            action,
        };
        self.actions.insert(entry.action.id, entry);
        true
    }

    /// What is to be said of a new action besides that it is there.
    pub fn start(&mut self, id: ActionId, now: Wall) -> Vec<ToManager> {
        let Some(entry) = self.actions.get(&id) else {
            return Vec::new();
        };
        let last = match entry.action.timeout {
            Some(_) => ActionState::Applied,
            None => ActionState::Done,
        };
        let states: &[ActionState] = match self.answer {
            Answer::Taken => &[],
            Answer::Applied => &[last],
            Answer::Running => &[ActionState::Running, last],
        };
        states
            .iter()
            .filter_map(|state| self.now(id, *state, now))
            .collect()
    }

    /// How long an action stays in force from its beginning on, if it is.
    pub fn lasts(&self, id: ActionId) -> Option<Duration> {
        let entry = self.actions.get(&id)?;
        entry.left.filter(|_| entry.state.is_in_force())
    }

    /// The end of an action, if it is in force.
    pub fn end(&mut self, id: ActionId, now: Wall) -> Option<ToManager> {
        let is_in_force = self.actions.get(&id)?.state.is_in_force();
        is_in_force
            .then(|| self.now(id, ActionState::Reverted, now))
            .flatten()
    }

    /// The manager wants an action back.
    pub fn revert(&mut self, id: ActionId, request: u64, now: Wall) -> Vec<ToManager> {
        let keys = self.actions.get(&id).and_then(|entry| entry.keys.clone());
        let Some(update) = self.end(id, now) else {
            let outcome = Reverted::NotFound;
            return vec![ToManager::Reverted { request, outcome }];
        };
        let outcome = Reverted::Outcome {
            state: ActionState::Reverted,
            keys,
            detail: None,
        };
        vec![update, ToManager::Reverted { request, outcome }]
    }

    /// Everything that is not confirmed, to be said again.
    pub fn again(&self) -> Vec<ToManager> {
        let messages = self.pending.iter().map(|pending| pending.message.clone());
        messages.collect()
    }

    /// The manager has stored reports up to this one. Returns the actions whose
    /// first report was among them, with when they had come.
    pub fn stored(&mut self, up_to: u64) -> (u64, Vec<(ActionId, u64)>) {
        let mut firsts = Vec::new();
        let mut count = 0;
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.seq <= up_to)
        {
            count += 1;
            firsts.extend(self.pending.pop_front().and_then(|pending| pending.first));
        }
        (count, firsts)
    }

    fn now(&mut self, id: ActionId, state: ActionState, now: Wall) -> Option<ToManager> {
        let entry = self.actions.get_mut(&id)?;
        let is_first = entry.state == ActionState::Sent;
        entry.state = state;
        let mut record = Record::new(&entry.action, state, now);
        record.keys.clone_from(&entry.keys);
        if state == ActionState::Applied {
            record.since = Some(now);
            record.until = entry.left.map(|left| now.plus(left));
            record.verified = Some(true);
            record.exit_code = Some(0);
            record.duration_ms = Some(0.5);
        }
        self.seq += 1;
        let message = ToManager::Update {
            seq: self.seq,
            action: entry.action.clone().into(),
            record: record.into(),
        };
        self.pending.push_back(Pending {
            seq: self.seq,
            message: message.clone(),
            first: is_first.then_some((id, entry.received_us)),
        });
        if state.is_final() {
            self.ended.push_back(id);
            if self.ended.len() > REMEMBERED
                && let Some(old) = self.ended.pop_front()
            {
                self.actions.remove(&old);
            }
        }
        Some(message)
    }
}
