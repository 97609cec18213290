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

#[cfg(test)]
mod tests {
    use super::{Reverted, Waiters};
    use crate::clock::Boot;
    use crate::model::{ActionId, ActionState};

    fn id(number: u8) -> ActionId {
        ActionId::from_bytes([number; 16])
    }

    fn reverted(number: u8) -> Reverted {
        Reverted {
            action: id(number),
            state: ActionState::Reverted,
            keys: None,
            detail: None,
        }
    }

    const LATE: Boot = Boot::from_millis(1_000);
    const EARLY: Boot = Boot::from_millis(10);

    #[test]
    fn an_asker_hears_once_everything_asked_for_is_settled() {
        let mut waiters = Waiters::default();
        waiters.wait("a", [id(1), id(2)], LATE);
        waiters.settled(&reverted(1));
        waiters.settled(&reverted(9));
        assert_eq!(waiters.answered(EARLY), []);
        waiters.settled(&reverted(2));
        waiters.settled(&reverted(2));
        assert_eq!(
            waiters.answered(EARLY),
            [("a", vec![reverted(1), reverted(2)])]
        );
        assert_eq!(waiters.answered(LATE), []);
    }

    #[test]
    fn what_is_open_at_the_deadline_is_told_as_reverting() {
        let mut waiters = Waiters::default();
        waiters.wait("a", [id(1), id(2)], LATE);
        waiters.settled(&reverted(1));
        let answers = waiters.answered(LATE);
        let [("a", outcomes)] = &answers[..] else {
            panic!("{answers:?}");
        };
        assert_eq!(outcomes[0], reverted(1));
        assert_eq!(
            (outcomes[1].action, outcomes[1].state),
            (id(2), ActionState::Reverting)
        );
        assert_eq!(waiters.next_deadline(), None);
    }

    #[test]
    fn askers_for_the_same_action_are_all_answered() {
        let mut waiters = Waiters::default();
        waiters.wait("a", [id(1)], LATE);
        waiters.wait("b", [id(1)], EARLY);
        waiters.wait("c", [id(2)], LATE);
        assert_eq!(waiters.next_deadline(), Some(EARLY));
        waiters.settled(&reverted(1));
        let mut askers: Vec<_> = waiters
            .answered(Boot::from_millis(0))
            .into_iter()
            .map(|(asker, _)| asker)
            .collect();
        askers.sort_unstable();
        assert_eq!(askers, ["a", "b"]);
        assert_eq!(waiters.next_deadline(), Some(LATE));
    }
}
