//! Reverts that somebody waits for: which actions, and what became of each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::clock::Boot;
use crate::model::{ActionId, ActionState, Keys, Record};
use crate::wire::control::RevertOutcome;

/// How long somebody who has asked for `count` reverts waits for their
/// confirmation: 10 s, and longer for very many, which take 0.1 ms each on an idle
/// machine.
pub fn patience(count: usize) -> Duration {
    const EACH: Duration = Duration::from_micros(300);
    Duration::from_secs(10) + EACH * u32::try_from(count).unwrap_or(u32::MAX)
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reverted {
    pub action: ActionId,
    pub state: ActionState,
    pub keys: Option<Keys>,
    pub detail: Option<String>,
}

impl From<Reverted> for RevertOutcome {
    fn from(reverted: Reverted) -> Self {
        Self {
            action: reverted.action,
            state: reverted.state,
            keys: reverted
                .keys
                .map(|keys| keys.to_string())
                .unwrap_or_default(),
            detail: reverted.detail,
        }
    }
}

/// Askers and what they wait for; `T` is how an asker is answered. A person may
/// ask for a hundred thousand at once, and a manager then asks for each alone,
/// so nothing here looks through all of them.
#[derive(Debug)]
pub struct Waiters<T> {
    last: u64,
    waiting: HashMap<u64, Waiter<T>>,
    by_action: HashMap<ActionId, Vec<u64>>,
    deadlines: BTreeSet<(Boot, u64)>,
    /// Those who have heard of everything.
    done: Vec<u64>,
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
            last: 0,
            waiting: HashMap::new(),
            by_action: HashMap::new(),
            deadlines: BTreeSet::new(),
            done: Vec::new(),
        }
    }
}

impl<T> Waiters<T> {
    /// Notes an asker who wants to hear of `ids`, at the latest at `deadline`.
    pub fn wait(&mut self, asker: T, ids: impl IntoIterator<Item = ActionId>, deadline: Boot) {
        self.last += 1;
        let number = self.last;
        let open: HashSet<_> = ids.into_iter().collect();
        for id in &open {
            self.by_action.entry(*id).or_default().push(number);
        }
        if open.is_empty() {
            self.done.push(number);
        }
        self.deadlines.insert((deadline, number));
        let waiter = Waiter {
            asker,
            open,
            outcomes: Vec::new(),
            deadline,
        };
        self.waiting.insert(number, waiter);
    }

    /// An action has a new state: one that nothing follows, or a revert that was
    /// tried and not confirmed, is what askers wait for.
    pub fn heard(&mut self, record: &Record) {
        let tried = record.state == ActionState::Reverting && record.detail.is_some();
        if record.state.is_final() || tried {
            self.settled(&Reverted {
                action: record.action,
                state: record.state,
                keys: record.keys.clone(),
                detail: record.detail.clone(),
            });
        }
    }

    /// Something has become of an action.
    pub fn settled(&mut self, outcome: &Reverted) {
        for number in self.by_action.remove(&outcome.action).unwrap_or_default() {
            let Some(waiter) = self.waiting.get_mut(&number) else {
                continue;
            };
            if waiter.open.remove(&outcome.action) {
                waiter.outcomes.push(outcome.clone());
            }
            if waiter.open.is_empty() {
                self.done.push(number);
            }
        }
    }

    /// The askers who have heard of everything, or whose time is up; what is
    /// still open then is told as `reverting`.
    pub fn answered(&mut self, now: Boot) -> Vec<(T, Vec<Reverted>)> {
        let mut numbers = std::mem::take(&mut self.done);
        let late = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        numbers.extend(late.map(|(_, number)| *number));
        let mut answers = Vec::new();
        for number in numbers {
            if let Some(waiter) = self.waiting.remove(&number) {
                answers.push(self.answer(number, waiter));
            }
        }
        answers
    }

    fn answer(&mut self, number: u64, waiter: Waiter<T>) -> (T, Vec<Reverted>) {
        self.deadlines.remove(&(waiter.deadline, number));
        let mut outcomes = waiter.outcomes;
        for action in waiter.open {
            if let Some(others) = self.by_action.get_mut(&action) {
                others.retain(|other| *other != number);
                if others.is_empty() {
                    self.by_action.remove(&action);
                }
            }
            outcomes.push(Reverted {
                action,
                state: ActionState::Reverting,
                keys: None,
                detail: Some("not confirmed yet".to_owned()),
            });
        }
        (waiter.asker, outcomes)
    }

    /// When the first asker's time is up.
    pub fn next_deadline(&self) -> Option<Boot> {
        self.deadlines.first().map(|(at, _)| *at)
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
    fn a_hundred_thousand_askers_are_answered_as_they_come() {
        let mut waiters = Waiters::default();
        let id = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            ActionId::from_bytes(bytes)
        };
        for number in 0..100_000 {
            waiters.wait(number, [id(number)], LATE);
        }
        for number in 0..100_000 {
            waiters.settled(&Reverted {
                action: id(number),
                ..reverted(0)
            });
            let answers = waiters.answered(EARLY);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].0, number);
        }
        assert!(waiters.by_action.is_empty() && waiters.deadlines.is_empty());
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
