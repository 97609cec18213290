//! What happened in a run, in order. The checker believes this alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::{ActionId, ActionState, Mode};
use crate::transport::random::played;

/// Numbers that can be had again.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another row of numbers, which does not depend on how far this one is.
    pub(super) fn fork(&self, what: u64) -> Self {
        let mut state = self.0 ^ what.wrapping_mul(0x2545_f491_4f6c_dd1d);
        played::word(&mut state);
        Self(state)
    }

    pub(super) fn word(&mut self) -> u64 {
        played::word(&mut self.0)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// True that often of a hundred times.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}

/// How a run of an executable ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Took {
    /// It did its work.
    Whole,
    /// It said that it failed, and did nothing.
    Failed,
    /// It was told to leave things as they are.
    Aborted,
    /// It broke off; whether its work was done is chance.
    Broke,
    /// The same because its host broke down.
    CutOff,
    /// That came before it was told to go on, so it did nothing.
    Unheard,
}

/// A run of an executable.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Doing {
    pub(super) agent: u32,
    /// The life of its agentd.
    pub(super) life: u32,
    pub(super) mode: Mode,
    pub(super) alert: u32,
    pub(super) exe: String,
    pub(super) address: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// An alert stands in the file.
    Alert {
        alert: u32,
        rule: u32,
        agent: u32,
        address: String,
    },
    /// The manager gets its line.
    Read {
        alert: u32,
    },
    Begun(Doing),
    Ended(Doing, Took),
    /// A kernel has forgotten an effect by itself, at `when`.
    Forgot {
        agent: u32,
        exe: String,
        address: String,
        when: u64,
    },
    /// A daemon runs; manager and its host are number 0.
    Up {
        host: u32,
        life: u32,
    },
    /// It runs no longer: killed, or with its whole host.
    Down {
        host: u32,
        power: bool,
    },
    /// It is asked to stop, and takes back what is in force before.
    Lifts {
        host: u32,
    },
    /// The wall clock of a host is set.
    Stepped {
        host: u32,
        millis: i64,
    },
    /// The greeting of a session has reached its agent after `way` milliseconds.
    Welcomed {
        agent: u32,
        way: u64,
    },
    /// The session of an agent is over.
    Line {
        agent: u32,
        how: String,
    },
    /// Something that has left the manager comes no further.
    Stuck {
        agent: u32,
    },
    /// It goes on.
    Freed {
        agent: u32,
    },
    /// An action has reached its agent, in a session whose greeting had taken
    /// `greeting` milliseconds.
    Arrived {
        alert: u32,
        agent: u32,
        greeting: u64,
    },
    /// A person wants an action taken back.
    Asked {
        action: ActionId,
    },
    /// And is told what became of it, if the manager lives so long.
    Answered {
        action: ActionId,
        /// None if there was nothing to take back.
        state: Option<ActionState>,
    },
    /// A line of `responses.json`.
    Seen {
        action: ActionId,
        alert: u32,
        agent: u32,
        state: ActionState,
    },
    /// Everything is mended and stays so.
    Healed,
}

/// Something that happened, and when, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    pub(super) fn note(&self, what: What) {
        let at = super::elapsed().as_millis();
        let event = Event {
            at: u64::try_from(at).unwrap(),
            what,
        };
        self.0.lock().unwrap().push(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}
