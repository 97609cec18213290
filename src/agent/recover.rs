//! What a start does about the actions of a predecessor.

use std::time::Duration;

use crate::clock;
use crate::ledger::agent::{Entry, Step};

use super::Agent;

/// What a predecessor left running gets this long to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

impl Agent {
    /// Ends what a predecessor left running and takes its entries in.
    pub(super) fn load(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            let Some(process) = entry.process else {
                continue;
            };
            if let Err(error) = process.end_group(self.home.path(), LEFTOVER_GRACE) {
                log::error!(action:% = entry.action.id, error:% = error; "what a killed predecessor had started cannot be ended");
            }
        }
        let now = clock::now();
        for entry in entries {
            self.ledger.load(entry, now);
        }
    }

    /// Lines up what each entry needs: reverts that are due, effects to be
    /// looked up, runs to be repeated, and actions that had not begun.
    pub(super) async fn recover(&mut self) {
        let changes = self.ledger.recover(clock::now());
        let mut waiting: Vec<_> = self
            .ledger
            .entries()
            .filter(|entry| entry.step == Step::Waiting)
            .map(|entry| (entry.accepted, entry.action.id))
            .collect();
        waiting.sort_unstable();
        self.commit(changes).await;
        for (_, id) in waiting {
            self.admit(id).await;
        }
        self.start_planned().await;
    }
}
