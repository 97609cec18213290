//! What a start does about the actions of a predecessor.

use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::contract::words::Words;
use crate::executor::log_killed;
use crate::journal::JournalError;
use crate::journal::agent::Op;
use crate::ledger::agent::{Entry, Step};
use crate::model::Mode;
use crate::model::action::Contract;
use crate::model::bundled::Effect;
use crate::sys::process::ProcessId;

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

    /// Takes in how often targets have been blocked.
    pub(super) fn load_offences(&mut self) -> Result<(), JournalError> {
        let (counts, unreadable) = self.reader.offences()?;
        if let Some(first) = unreadable.first() {
            let cause = std::error::Error::source(first).map(ToString::to_string);
            log::warn!(rows = unreadable.len(), first:% = first, cause = cause.as_deref().unwrap_or_default(); "how often some targets were blocked cannot be read; they are blocked as for the first time");
        }
        let steps = self.settings.repeated_offenders.clone();
        self.ledger.rule_offences(steps);
        self.ledger.load_offences(counts, clock::now());
        Ok(())
    }

    fn end_leftovers(&self, entries: &[Box<Entry>]) {
        let home = self.home.path();
        let left = entries
            .iter()
            .filter_map(|entry| Some((entry, self.leftover(entry)?)));
        std::thread::scope(|scope| {
            for (entry, process) in left {
                scope.spawn(move || end_leftover(entry, process, home));
            }
        });
    }

    /// The process that an entry may have left.
    fn leftover(&self, entry: &Entry) -> Option<ProcessId> {
        match &entry.process {
            Some(started) => (started.boot_id == self.boot_id).then_some(started.process),
            None => self.unknown_leftover(entry),
        }
    }

    /// A script that is given words acts before anybody has written its number
    /// down; its words tell it from all others.
    fn unknown_leftover(&self, entry: &Entry) -> Option<ProcessId> {
        let mode = match entry.step {
            Step::Adding if entry.printed_keys => Mode::Add,
            Step::Reverting | Step::Undoing | Step::Redoing => Mode::Delete,
            Step::Adding | Step::Waiting | Step::InForce | Step::Ended => return None,
        };
        let action = &entry.action;
        let Contract::Argv(wanted) = action.contract else {
            return None;
        };
        if !entry.is_given_words() {
            return None;
        }
        let alert = self.reader.alert(entry.number).ok()??;
        let words = Words::new(action, wanted, &alert).ok()?;
        let program = format!("active-response/bin/{}", action.executable);
        ProcessId::of_words(&self.home, &program, &words.arguments(mode))
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
fn end_leftover(entry: &Entry, process: ProcessId, home: &Path) {
    let id = entry.action.id;
    if process.is_running() {
        log::warn!(action:% = id, executable:% = entry.action.executable, pid = process.pid(); "ending what a killed predecessor had started");
        let why = "killed: the agent that had started it was gone";
        let logged = log_killed(home, &entry.action.executable, clock::wall(), why);
        if let Err(error) = logged {
            log::warn!(error:% = error; "logs/active-responses.log cannot be written");
        }
    }
    if let Err(error) = process.end_group(home, LEFTOVER_GRACE) {
        log::error!(action:% = id, error:% = error; "what a killed predecessor had started cannot be ended");
    }
}
