//! What people want taken back.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock;
use crate::journal::JournalError;
use crate::journal::manager::{ManagerReader, Op, Wanted};
use crate::ledger::reverts::{Reverted, patience};
use crate::model::{ActionId, ActionState, Keys, Record};
use crate::wire::control::{Answer, ErrorKind, RevertOutcome, Which};

use super::results::AT_ONCE;
use super::{Asker, Chore, Manager, Unwritten};

/// How long somebody waits for a revert if the host is offline. One whose agent or
/// manager was just started is back sooner.
const OFFLINE_PATIENCE: Duration = Duration::from_secs(2);

impl Manager {
    /// Finds what a person wants reverted.
    pub(super) fn choose(&mut self, which: Which, asker: Asker) {
        let meant = which.clone();
        let later = Later::new(self.unwritten.iter());
        let reading = self.read_at(move |reader| later.chosen(&meant, reader));
        self.chores.spawn(async move {
            Chore::Chosen {
                found: reading
                    .await
                    .map(|(wanted, written)| Chosen { wanted, written }),
                which,
                asker,
            }
        });
    }

    /// Takes back what a person wants reverted, on every host that has it.
    pub(super) async fn revert_chosen(
        &mut self,
        which: &Which,
        found: Result<Chosen, JournalError>,
        asker: Asker,
    ) {
        let problem = match found {
            Ok(chosen) if !chosen.wanted.is_empty() => {
                return self.take_back_all(chosen, asker).await;
            }
            Ok(_) => which.nothing(),
            Err(error) => Answer::error(ErrorKind::Unavailable, error),
        };
        // An asker who has gone needs no answer.
        let _ = asker.send(problem);
    }

    async fn take_back_all(&mut self, chosen: Chosen, asker: Asker) {
        let Chosen { wanted, written } = chosen;
        let ids = wanted.iter().map(|wanted| wanted.action);
        let deadline = clock::boot().plus(patience(wanted.len()));
        self.reverts.wait(asker, ids, deadline);
        let (mut waiting, mut sent) = (Vec::new(), Vec::new());
        for mut wanted in wanted {
            // A record says that an action was never sent only if nothing has
            // happened since it was read.
            let host = self.delivery.host(&wanted.agent.id);
            match wanted.waiting.take() {
                Some(record) if host.is_current(written) => waiting.push(never_sent(*record)),
                Some(_) | None => sent.push(wanted),
            }
        }
        self.end_all(waiting).await;
        self.ask_back(sent).await;
    }

    /// Asks the hosts that may have these actions to take them back.
    async fn ask_back(&mut self, actions: Vec<Wanted>) {
        // What is taken back before it was sent is not sent any more.
        for action in &actions {
            self.delivery.read_anew(&action.agent.id);
        }
        for part in actions.chunks(AT_ONCE) {
            let agents = part.iter().map(|action| action.agent.id.clone());
            let reverts = part.iter().map(|action| Op::Revert {
                agent: action.agent.id.clone(),
                action: action.action,
            });
            self.push(Unwritten {
                ops: reverts.collect(),
                agents: agents.collect(),
                ..Unwritten::default()
            });
        }
        self.write_unwritten().await;
        let patience = clock::boot().plus(OFFLINE_PATIENCE);
        for action in actions {
            self.ask_revert(&action.agent.id, action.action);
            if !self.delivery.is_connected(&action.agent.id) {
                self.offline_reverts.push_back((patience, action));
            }
        }
    }

    /// Tells who asked for reverts on hosts that are still away.
    pub(super) fn tell_offline_reverts(&mut self) {
        let now = clock::boot();
        while self
            .offline_reverts
            .front()
            .is_some_and(|(at, _)| *at <= now)
        {
            let Some((_, away)) = self.offline_reverts.pop_front() else {
                return;
            };
            if !self.delivery.is_connected(&away.agent.id) {
                self.reverts.settled(&Reverted {
                    action: away.action,
                    state: away.state,
                    keys: away.keys,
                    detail: Some(
                        "its host is offline; it is taken back there when it is connected again"
                            .to_owned(),
                    ),
                });
            }
        }
    }
}

/// What a person means who asks for a revert.
pub(super) struct Chosen {
    pub(super) wanted: Vec<Wanted>,
    /// The journal write up to which they were read.
    pub(super) written: u64,
}

/// The last record of each action that waits for `responses.json`: the journal
/// does not tell of it yet.
#[derive(Debug, Default)]
struct Later(HashMap<ActionId, Record>);

impl Later {
    fn new<'a>(unwritten: impl Iterator<Item = &'a Unwritten>) -> Self {
        let mut later: HashMap<_, Record> = HashMap::new();
        for record in unwritten.filter_map(|unwritten| unwritten.record.as_deref()) {
            let known = later.remove(&record.action);
            let record = with_keys(record.clone(), known.and_then(|known| known.keys));
            later.insert(record.action, record);
        }
        Self(later)
    }

    /// What a person means who asks for a revert; see [`ManagerReader::wanted`].
    fn chosen(
        mut self,
        which: &Which,
        reader: &ManagerReader,
    ) -> Result<Vec<Wanted>, JournalError> {
        let mut wanted = reader.wanted(which)?;
        for one in &mut wanted {
            if let Some(later) = self.0.remove(&one.action) {
                *one = with_keys(later, one.keys.take()).into();
            }
        }
        for (id, record) in self.0 {
            // It may have been journalled since, and have ended.
            let journalled = reader.record(id)?;
            let is_over = journalled.is_some_and(|record| record.state.is_final());
            if !is_over && which.is(id, record.keys.as_ref()) {
                wanted.push(record.into());
            }
        }
        wanted.retain(|wanted| !wanted.state.is_final());
        Ok(wanted)
    }
}

/// The last record of what its host does not know.
fn never_sent(mut record: Record) -> Record {
    record.state = ActionState::Suppressed;
    record.time = clock::wall();
    record.detail = Some("taken back by a person before it was sent".to_owned());
    record
}

/// What runs and has not named its keys yet is found by those foreseen.
fn with_keys(mut record: Record, foreseen: Option<Keys>) -> Record {
    if record.state == ActionState::Running {
        record.keys = record.keys.or(foreseen);
    }
    record
}

/// Tells somebody what became of the reverts they asked for.
pub(super) fn reply_reverted(asker: Asker, outcomes: Vec<Reverted>) {
    let outcomes = outcomes.into_iter().map(RevertOutcome::from).collect();
    // An asker who has gone needs no answer.
    let _ = asker.send(Answer::Reverted { outcomes });
}
