//! What a start does about the actions of a predecessor.

use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::executor::log_killed;
use crate::journal::agent::Op;
use crate::ledger::agent::{Entry, Step};
use crate::model::Mode;
use crate::model::bundled::Effect;

use super::Agent;

/// What a predecessor left running gets this long to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

impl Agent {
    /// Ends what a predecessor left running and takes its entries in.
    #[expect(
        clippy::vec_box,
        reason = "the ledger keeps each in its box; a hundred thousand are not to be there twice"
    )]
    pub(super) fn load(&mut self, entries: Vec<Box<Entry>>) {
        if self.hands.leave_processes() {
            self.end_leftovers(&entries);
        }
        let now = clock::now();
        for entry in entries {
            self.ledger.load(entry, now);
        }
    }

    fn end_leftovers(&self, entries: &[Box<Entry>]) {
        let home = self.home.path();
        let left = entries.iter().filter(|entry| {
            let started = entry.process.as_ref();
            started.is_some_and(|started| started.boot_id == self.boot_id)
        });
        std::thread::scope(|scope| {
            for entry in left {
                scope.spawn(|| end_leftover(entry, home));
            }
        });
    }

    /// Lines up what each entry needs: reverts that are due, effects to be
    /// looked up, runs to be repeated, and actions that had not begun.
    pub(super) async fn recover(&mut self) {
        let boot = Op::Boot(self.boot_id.clone());
        self.journal.write(vec![boot]).await;
        let changes = self.ledger.recover(clock::now());
        let put_back = changes.runs.iter().filter(|(id, kind)| {
            let row = self.ledger.entry(*id).and_then(Entry::bundled);
            *kind == Mode::Add && row.is_some_and(|row| row.effect == Effect::Kernel)
        });
        self.standing.waits_for(put_back.map(|(id, _)| *id));
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

/// At most as many at a time as there were runs: some dozens.
fn end_leftover(entry: &Entry, home: &Path) {
    let Some(started) = &entry.process else {
        return;
    };
    let id = entry.action.id;
    if started.process.is_running() {
        log::warn!(action:% = id, executable:% = entry.action.executable, pid = started.process.pid(); "ending what a killed predecessor had started");
        let why = "killed: the agent that had started it was gone";
        let logged = log_killed(home, &entry.action.executable, clock::wall(), why);
        if let Err(error) = logged {
            log::warn!(error:% = error; "logs/active-responses.log cannot be written");
        }
    }
    if let Err(error) = started.process.end_group(home, LEFTOVER_GRACE) {
        log::error!(action:% = id, error:% = error; "what a killed predecessor had started cannot be ended");
    }
}
