//! What people ask of the manager.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock;
use crate::journal::manager::{ManagerReader, Op};
use crate::ledger::reverts::Reverted;
use crate::model::{ActionId, ActionState, AgentId, Record};
use crate::wire::Daemon;
use crate::wire::control::{
    self, Agent, Answer, Asked, Connection, Counter, ErrorKind, Request, RevertOutcome, Status,
    Which,
};

use super::{Asker, Live, Manager};

/// How long somebody who asked for a revert waits for its confirmation.
const REVERT_PATIENCE: Duration = Duration::from_secs(10);

impl Manager {
    pub(super) async fn answer(&mut self, asked: Asked) {
        let answer = match asked.request {
            Request::Status => Answer::Status(self.status()),
            Request::Agents => Answer::Agents {
                agents: vec![self.local_agent()],
            },
            Request::Responses => Answer::Records {
                records: self.in_force(),
            },
            Request::History { limit } => {
                self.tell_history(limit, asked.answer);
                return;
            }
            Request::Revert { which } => {
                self.revert(&which, asked.answer).await;
                return;
            }
            Request::Run(_)
            | Request::EnrollToken(_)
            | Request::Import { .. }
            | Request::Revoke { .. } => {
                Answer::error(ErrorKind::Invalid, "this is not in this version")
            }
            Request::Reload => {
                control::pass_on(asked.answer, &self.reloads);
                return;
            }
        };
        // An asker who has gone needs no answer.
        let _ = asked.answer.send(answer);
    }

    fn tell_history(&mut self, limit: u32, asker: oneshot::Sender<Answer>) {
        let path = self.journal.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            ManagerReader::open(&path).and_then(|reader| reader.history(limit))
        });
        self.chores.spawn(control::tell_records(reading, asker));
    }

    async fn revert(&mut self, which: &Which, asker: Asker) {
        let ids: Vec<_> = self
            .live
            .values()
            .filter(|live| is_wanted(live, which))
            .map(|live| live.record.action)
            .collect();
        if let [id] = ids[..]
            && self.is_queued(id)
        {
            self.take_back(id, asker).await;
            return;
        }
        let problem = if ids.is_empty() {
            Some(which.nothing())
        } else if !self.agent.is_connected() {
            Some(Answer::error(
                ErrorKind::Unavailable,
                "ripost-agentd is not connected, and it alone can take a response back (start it)",
            ))
        } else {
            None
        };
        if let Some(problem) = problem {
            // An asker who has gone needs no answer.
            let _ = asker.send(problem);
            return;
        }
        self.ask_agent(&ids).await;
        let deadline = clock::boot().plus(REVERT_PATIENCE);
        self.reverts.wait(asker, ids, deadline);
    }

    /// Whether an action has not been handed to its host.
    fn is_queued(&self, id: ActionId) -> bool {
        let live = self.live.get(&id);
        live.is_some_and(|live| live.record.state == ActionState::Queued)
    }

    /// Ends an action that is queued; its host would not know it.
    async fn take_back(&mut self, id: ActionId, asker: Asker) {
        let Some(mut record) = self.live.get(&id).map(|live| live.record.clone()) else {
            return;
        };
        self.agent.forget(&HashSet::from([id]));
        record.state = ActionState::Suppressed;
        record.time = clock::wall();
        record.detail = Some("taken back by a person before it was sent".to_owned());
        let deadline = clock::boot().plus(REVERT_PATIENCE);
        self.reverts.wait(asker, [id], deadline);
        self.record(record, vec![Op::Taken(id)], None).await;
    }

    async fn ask_agent(&mut self, ids: &[ActionId]) {
        for id in ids {
            self.agent.ask_revert(*id);
        }
        self.deliver().await;
    }

    fn in_force(&self) -> Vec<Record> {
        let mut records: Vec<_> = self
            .live
            .values()
            .filter(|live| {
                matches!(
                    live.record.state,
                    ActionState::Applied | ActionState::Reverting
                )
            })
            .map(|live| live.record.clone())
            .collect();
        records.sort_by_key(|record| (record.since, record.action));
        records
    }

    fn local_agent(&self) -> Agent {
        let count = |in_force: bool| {
            let wanted = |live: &&Live| {
                matches!(
                    live.record.state,
                    ActionState::Applied | ActionState::Reverting
                ) == in_force
            };
            number(self.live.values().filter(wanted).count())
        };
        Agent {
            id: AgentId::MANAGER,
            name: self.host.clone(),
            state: if self.agent.is_connected() {
                Connection::Connected
            } else {
                Connection::Offline
            },
            since: self.agent.since,
            version: self.agent.version.clone(),
            groups: Vec::new(),
            address: None,
            gaps: Vec::new(),
            pending: count(false),
            in_force: count(true),
        }
    }

    fn status(&self) -> Status {
        let counts = &self.counts;
        let agent = self.local_agent();
        let counters = [
            ("alerts read", counts.alerts),
            ("alerts matched", counts.matched),
            ("actions", counts.actions),
            ("lines that are no alert", counts.not_alerts.values().sum()),
            ("runs of bytes passed over", counts.skipped),
            ("alerts of agents not known here", counts.strangers),
            ("pending", agent.pending),
            ("in force", agent.in_force),
            ("results not written yet", number(self.unwritten.len())),
        ];
        Status {
            daemon: Daemon::Manager.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since,
            counters: counters
                .into_iter()
                .map(|(name, value)| Counter {
                    name: name.to_owned(),
                    value,
                })
                .collect(),
            manager: None,
            problems: self.problems(),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self
            .counts
            .trouble
            .iter()
            .map(|(source, trouble)| format!("the alert source {source} {trouble}"))
            .collect();
        if let Some(source) = self.failed_source() {
            problems.push(format!(
                "the reader of {source} has ended; restart ripost-manager"
            ));
        }
        if let Some(error) = self.journal.health().error() {
            problems.push(format!(
                "the journal {} cannot be written: {error}",
                self.journal.path().display()
            ));
        }
        if let Some(error) = &self.counts.unwritable {
            problems.push(format!("logs/responses.json cannot be written: {error}"));
        }
        if !self.agent.is_connected() {
            problems.push(
                "agent 000 is not connected; its actions wait (start ripost-agentd)".to_owned(),
            );
        }
        let reverting = |live: &&Live| {
            live.record.state == ActionState::Reverting && live.record.detail.is_some()
        };
        let failing = self.live.values().filter(reverting).count();
        if failing > 0 {
            problems.push(format!(
                "{failing} reverts are not confirmed and are tried again (ripostctl responses shows them)"
            ));
        }
        problems
    }
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn is_wanted(live: &Live, which: &Which) -> bool {
    let record = &live.record;
    let in_force = matches!(record.state, ActionState::Applied | ActionState::Reverting);
    (in_force || matches!(which, Which::Id(_))) && which.is(record.action, record.keys.as_ref())
}

/// Tells somebody what became of the reverts they asked for.
pub(super) fn reply_reverted(asker: Asker, outcomes: Vec<Reverted>) {
    let outcomes = outcomes.into_iter().map(RevertOutcome::from).collect();
    // An asker who has gone needs no answer.
    let _ = asker.send(Answer::Reverted { outcomes });
}
