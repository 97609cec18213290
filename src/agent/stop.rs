//! How the agent ends: what runs gets a last chance, and what is in force stays,
//! or is taken back first where `agent.conf` says so.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::{self, Boot};
use crate::config::OnStop;
use crate::ledger::agent::{Changes, Entry, Step};
use crate::model::ActionId;

use super::Agent;

/// What runs when the agent is asked to stop gets this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What is lifted gets this long in all. A service manager waits longer
/// (`TimeoutStopSec` of the unit), as what runs then is still to be killed.
const LIFT_PATIENCE: Duration = Duration::from_secs(30);

/// A manager that is connected gets so long to confirm what was lifted.
const TELL_PATIENCE: Duration = Duration::from_secs(1);

/// Actions that are lifted in one journal write.
const LIFTED_AT_ONCE: usize = 1_000;

/// A stop that was asked for.
#[derive(Debug)]
pub(super) struct Stop {
    /// The agent ends by then at the latest.
    by: Boot,
    lifting: Option<Lifting>,
}

/// What is in force is taken back before the agent ends.
#[derive(Debug)]
struct Lifting {
    left: HashSet<ActionId>,
    /// Once nothing is left: how long the manager may take to confirm it.
    told_by: Option<Boot>,
}

impl Lifting {
    fn new(left: HashSet<ActionId>) -> Self {
        let mut lifting = Self {
            left,
            told_by: None,
        };
        lifting.look();
        lifting
    }

    fn is_over(&mut self, id: ActionId) {
        self.left.remove(&id);
        self.look();
    }

    fn look(&mut self) {
        if self.left.is_empty() {
            self.told_by
                .get_or_insert_with(|| clock::boot().plus(TELL_PATIENCE));
        }
    }
}

impl Agent {
    /// Begins to stop.
    pub(super) async fn begin_to_stop(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let now = clock::boot();
        if self.settings.on_stop == OnStop::Leave {
            log::info!("stopping; responses in force stay");
            self.stop = Some(Stop {
                by: now.plus(STOP_PATIENCE),
                lifting: None,
            });
            return;
        }
        let ids = self.liftable();
        log::info!(actions = ids.len(); "stopping; taking back what is in force (on_stop in etc/agent.conf)");
        self.stop = Some(Stop {
            by: now.plus(LIFT_PATIENCE),
            lifting: Some(Lifting::new(ids.clone())),
        });
        self.lift_all(ids).await;
    }

    fn liftable(&self) -> HashSet<ActionId> {
        let is_meant = |step: Step| match step {
            Step::Adding | Step::InForce | Step::Reverting | Step::Undoing | Step::Redoing => true,
            Step::Waiting | Step::Ended => false,
        };
        let entries = self.ledger.entries().filter(|entry| is_meant(entry.step));
        entries.map(|entry| entry.action.id).collect()
    }

    async fn lift_all(&mut self, ids: HashSet<ActionId>) {
        let now = clock::now();
        let mut ids: Vec<_> = ids
            .into_iter()
            .filter_map(|id| Some((self.ledger.entry(id)?.number, id)))
            .collect();
        ids.sort_unstable();
        for part in ids.chunks(LIFTED_AT_ONCE) {
            let mut changes = Changes::default();
            for (_, id) in part {
                if let Some(lifted) = self.ledger.lift(*id, now) {
                    changes.merge(lifted);
                }
            }
            self.commit(changes).await;
        }
        self.start_planned().await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether runs may still be started: all of them, or those that take back.
    pub(super) fn may_start(&self) -> bool {
        self.stop.as_ref().is_none_or(|stop| stop.lifting.is_some())
    }

    /// Whether an action that has not begun does not any more before the agent ends.
    pub(super) fn is_left_to_the_next_start(&self, id: ActionId) -> bool {
        let waits = |entry: &Entry| entry.step == Step::Waiting;
        self.is_stopping() && self.ledger.entry(id).is_some_and(waits)
    }

    /// An action has ended.
    pub(super) fn is_over(&mut self, id: ActionId) {
        let lifting = self.stop.as_mut().and_then(|stop| stop.lifting.as_mut());
        if let Some(lifting) = lifting {
            lifting.is_over(id);
        }
    }

    /// When to look again whether the agent may end.
    pub(super) fn ends_by(&self) -> Option<Boot> {
        let stop = self.stop.as_ref()?;
        let told_by = stop.lifting.as_ref().and_then(|lifting| lifting.told_by);
        let told_by = told_by.filter(|by| *by > clock::boot());
        Some(told_by.map_or(stop.by, |by| by.min(stop.by)))
    }

    /// Whether nothing keeps the agent any more.
    pub(super) fn may_end(&self) -> bool {
        let Some(stop) = &self.stop else {
            return false;
        };
        let now = clock::boot();
        let lifting = stop.lifting.as_ref();
        if stop.by <= now {
            if let Some(left) = lifting.map(|lifting| lifting.left.len()).filter(|n| *n > 0) {
                log::warn!(actions = left; "not all that is in force could be taken back in time; the rest is at the next start");
            }
            return true;
        }
        let is_told = !self.outbox.is_connected() || self.outbox.unconfirmed() == 0;
        let is_done = |lifting: &Lifting| lifting.told_by.is_some_and(|by| is_told || by <= now);
        self.running.is_empty() && lifting.is_none_or(is_done)
    }
}
