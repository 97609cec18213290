//! What agents report, written down before it is confirmed.

use crate::clock;
use crate::journal::manager::Op;
use crate::ledger::reverts::Reverted;
use crate::model::{ActionState, Record};
use crate::wire::ToManager;
use crate::wire::message::Reverted as RevertedMessage;

use super::delivery::last_write;
use super::{Live, Manager, Unwritten};

impl Manager {
    pub(super) async fn told(&mut self, session: u64, message: ToManager) {
        if !self.agent.is_session(session) {
            return;
        }
        match message {
            ToManager::Update {
                seq,
                action: _,
                record,
            } => self.update(seq, *record).await,
            ToManager::Reverted {
                request: _,
                outcome,
            } => {
                // The states themselves come as updates.
                if let RevertedMessage::Failed { text } = outcome {
                    log::warn!(problem = text.as_str(); "an agent could not revert");
                }
            }
            ToManager::Pong => {}
        }
    }

    /// Takes a state in. One that came before, as after a lost confirmation, is
    /// only confirmed again.
    async fn update(&mut self, seq: u64, record: Record) {
        if self.has(&record) {
            // Behind whatever waits: its line may be among it.
            self.unwritten.push_back(Unwritten {
                update: Some(seq),
                ..Unwritten::default()
            });
            self.write_unwritten().await;
            self.agent.confirm();
            return;
        }
        let taken = vec![Op::Taken(record.action)];
        self.record(record, taken, Some(seq)).await;
    }

    fn has(&self, record: &Record) -> bool {
        match self.live.get(&record.action) {
            Some(live) => live.record == *record,
            None => match self.reader.record(record.action) {
                Ok(stored) => stored.as_ref() == Some(record),
                Err(error) => {
                    log::error!(error:% = error; "cannot look an action up");
                    false
                }
            },
        }
    }

    /// Keeps the latest state of an action in memory while it is not over.
    pub(super) fn note(&mut self, record: &Record) {
        let tried = record.state == ActionState::Reverting && record.detail.is_some();
        if record.state.is_final() || tried {
            self.reverts.settled(&Reverted {
                action: record.action,
                state: record.state,
                keys: record.keys.clone(),
                detail: record.detail.clone(),
            });
        }
        if record.state.is_final() {
            self.live.remove(&record.action);
            return;
        }
        let from_agent = !matches!(record.state, ActionState::Queued | ActionState::Sent);
        let live = self.live.entry(record.action).or_insert_with(|| Live {
            record: record.clone(),
            dispatch: None,
            alert: None,
        });
        live.record = record.clone();
        if from_agent {
            live.dispatch = None;
            live.alert = None;
        }
    }

    /// Appends waiting records to `responses.json`, in order, as far as it takes
    /// them. What belongs to them is journalled then, and those that came from
    /// an agent are confirmed once that is synced.
    pub(super) async fn write_unwritten(&mut self) {
        while let Some(next) = self.unwritten.front() {
            if let Some(line) = next.record.as_deref()
                && let Err(error) = self.responses.append(std::slice::from_ref(line))
            {
                self.counts.unwritable = Some(error.to_string());
                if let Some(more) = self.limiter.pass("responses.json", clock::boot()) {
                    log::error!(error:% = error, waiting = self.unwritten.len(), more_since = more; "logs/responses.json cannot be written; results are kept and not confirmed until it can (free disk space or mend the file system)");
                }
                return;
            }
            self.counts.unwritable = None;
            let Some(next) = self.unwritten.pop_front() else {
                return;
            };
            let Unwritten {
                ops,
                update,
                stored,
                ..
            } = next;
            if !ops.is_empty() {
                let mut ticket = self.journal.write(ops).await;
                if let Some(stored) = stored {
                    self.chores.spawn(async move {
                        if ticket.synced().await {
                            // A reader that was stopped meanwhile needs no answer.
                            let _ = stored.send(());
                        }
                    });
                }
            }
            if let Some(seq) = update {
                let write = last_write(&self.journal);
                self.agent.confirm_after(seq, write);
            }
        }
    }

    pub(super) fn confirm_updates(&mut self) {
        self.agent.confirm();
    }
}
