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
            let write = last_write(&self.journal);
            self.agent.confirm_after(seq, write);
            self.agent.confirm();
            return;
        }
        self.note(&record);
        self.append(record, Some(seq)).await;
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
    /// them. Those that came from an agent are journalled then and confirmed
    /// once that is synced.
    pub(super) async fn write_unwritten(&mut self) {
        while let Some(next) = self.unwritten.front() {
            if let Err(error) = self.responses.append(std::slice::from_ref(&*next.record)) {
                self.counts.unwritable = Some(error.to_string());
                if let Some(more) = self.limiter.pass("responses.json", clock::boot()) {
                    log::error!(error:% = error, waiting = self.unwritten.len(), more_since = more; "logs/responses.json cannot be written; results are kept and not confirmed until it can (free disk space or mend the file system)");
                }
                return;
            }
            self.counts.unwritable = None;
            let Some(Unwritten { record, update }) = self.unwritten.pop_front() else {
                return;
            };
            let Some(seq) = update else {
                continue;
            };
            let taken = Op::Taken(record.action);
            let ticket = self.journal.write(vec![Op::Record(record), taken]).await;
            self.agent.confirm_after(seq, ticket.number());
        }
    }

    pub(super) fn confirm_updates(&mut self) {
        self.agent.confirm();
    }
}
