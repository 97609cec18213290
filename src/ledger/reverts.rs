//! Reverts that somebody waits for: which actions, and what became of each.

use std::collections::HashSet;

use crate::clock::Boot;
use crate::model::{ActionId, ActionState, Keys};

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reverted {
    pub action: ActionId,
    pub state: ActionState,
    pub keys: Option<Keys>,
    pub detail: Option<String>,
}

/// Askers and what they wait for; `T` is how an asker is answered.
#[derive(Debug)]
pub struct Waiters<T> {
    waiting: Vec<Waiter<T>>,
}

#[derive(Debug)]
struct Waiter<T> {
    asker: T,
    open: HashSet<ActionId>,
    outcomes: Vec<Reverted>,
    deadline: Boot,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
        }
    }
}

impl<T> Waiters<T> {
    /// Notes an asker who wants to hear of `ids`, at the latest at `deadline`.
    pub fn wait(&mut self, asker: T, ids: impl IntoIterator<Item = ActionId>, deadline: Boot) {
        self.waiting.push(Waiter {
            asker,
            open: ids.into_iter().collect(),
            outcomes: Vec::new(),
            deadline,
        });
    }

    /// Something has become of an action.
    pub fn settled(&mut self, outcome: &Reverted) {
        for waiter in &mut self.waiting {
            if waiter.open.remove(&outcome.action) {
                waiter.outcomes.push(outcome.clone());
            }
        }
    }

    /// The askers who have heard of everything, or whose time is up; what is
    /// still open then is told as `reverting`.
    pub fn answered(&mut self, now: Boot) -> Vec<(T, Vec<Reverted>)> {
        let (done, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiter| waiter.open.is_empty() || waiter.deadline <= now);
        self.waiting = waiting;
        done.into_iter()
            .map(|mut waiter: Waiter<T>| {
                let open = std::mem::take(&mut waiter.open).into_iter();
                waiter.outcomes.extend(open.map(|action| Reverted {
                    action,
                    state: ActionState::Reverting,
                    keys: None,
                    detail: Some("not confirmed yet".to_owned()),
                }));
                (waiter.asker, waiter.outcomes)
            })
            .collect()
    }

    /// When the first asker's time is up.
    pub fn next_deadline(&self) -> Option<Boot> {
        self.waiting.iter().map(|waiter| waiter.deadline).min()
    }
}
