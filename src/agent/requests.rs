//! What people ask of the agent.

use tokio::sync::oneshot;

use crate::clock;
use crate::executor::MAX_OF_SCRIPT;
use crate::journal::agent::AgentReader;
use crate::ledger::agent::{Entry, Step};
use crate::ledger::reverts::{Reverted, patience};
use crate::model::{ActionId, ActionState, Record};
use crate::wire::control::{
    self, Answer, Asked, Counter, ErrorKind, Request, RevertOutcome, Status, Upstream, Which,
};
use crate::wire::message::Reverted as RevertedMessage;
use crate::wire::{Daemon, ToManager};

use super::{Agent, Asker};

impl Agent {
    pub(super) async fn answer(&mut self, asked: Asked) {
        let answer = match asked.request {
            Request::Status => Answer::Status(self.status()),
            Request::Responses => {
                self.tell_in_force(asked.answer);
                return;
            }
            Request::History { limit } => {
                self.tell_history(limit, asked.answer);
                return;
            }
            Request::Revert { which } => {
                let ids = self.chosen(&which);
                if ids.is_empty() {
                    which.nothing()
                } else {
                    self.revert(ids, Asker::Person(asked.answer)).await;
                    return;
                }
            }
            Request::Agents => Answer::error(
                ErrorKind::Invalid,
                "an agent knows no other agents (ask the manager)",
            ),
            Request::Run(_)
            | Request::EnrollToken(_)
            | Request::EnrollList
            | Request::EnrollRevoke { .. }
            | Request::Import { .. }
            | Request::Revoke { .. } => Answer::error(
                ErrorKind::Invalid,
                "only a manager can do that (run it on the manager's host)",
            ),
            Request::Reload => {
                control::pass_on(asked.answer, &self.reloads);
                return;
            }
        };
        // An asker who has gone needs no answer.
        let _ = asked.answer.send(answer);
    }

    fn tell_in_force(&mut self, asker: oneshot::Sender<Answer>) {
        let (records, hands) = (self.in_force(), self.hands.clone());
        self.chores.spawn(async move {
            let records = hands.counted(records).await;
            // An asker who has gone needs no answer.
            let _ = asker.send(Answer::Records { records });
        });
    }

    fn tell_history(&mut self, limit: u32, asker: oneshot::Sender<Answer>) {
        let path = self.journal.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            AgentReader::open(&path).and_then(|reader| reader.history(limit))
        });
        self.chores.spawn(control::tell_records(reading, asker));
    }

    fn chosen(&self, which: &Which) -> Vec<ActionId> {
        self.ledger
            .entries()
            .filter(|entry| entry.step != Step::Ended)
            .filter(|entry| which.is(entry.action.id, entry.keys.as_ref()))
            .map(|entry| entry.action.id)
            .collect()
    }

    /// Takes actions back, and answers once it is known what became of each.
    pub(super) async fn revert(&mut self, ids: Vec<ActionId>, asker: Asker) {
        let now = clock::now();
        let deadline = now.boot.plus(patience(ids.len()));
        let (known, unknown): (Vec<_>, Vec<_>) = ids
            .into_iter()
            .partition(|id| self.ledger.entry(*id).is_some());
        if known.is_empty() {
            let ended = unknown.iter().copied().find(|id| self.has_been(*id));
            let mut outcomes = Vec::new();
            if let Some(id) = ended {
                // Its last state is on its way, or goes out again.
                self.remind(id).await;
                outcomes.push(Reverted {
                    action: id,
                    state: ActionState::Done,
                    keys: None,
                    detail: Some("it has ended".to_owned()),
                });
            }
            self.reply(asker, outcomes, &unknown);
            return;
        }
        self.reverts.wait(asker, known.iter().copied(), deadline);
        for id in known {
            if let Some(changes) = self.ledger.ask_revert(id, now) {
                self.commit(changes).await;
            }
        }
        self.start_planned().await;
    }

    /// A journal that does not answer is no reason to say that it never was.
    fn has_been(&self, id: ActionId) -> bool {
        self.is_known(id).unwrap_or_else(|error| {
            log::error!(action:% = id, error:% = error; "cannot look up whether an action has ended");
            true
        })
    }

    pub(super) fn answer_reverts(&mut self) {
        for (asker, outcomes) in self.reverts.answered(clock::boot()) {
            self.reply(asker, outcomes, &[]);
        }
    }

    fn reply(&mut self, asker: Asker, outcomes: Vec<Reverted>, unknown: &[ActionId]) {
        match asker {
            Asker::Person(answer) => {
                let outcomes = outcomes.into_iter().map(RevertOutcome::from).collect();
                // An asker who has gone needs no answer.
                let _ = answer.send(Answer::Reverted { outcomes });
            }
            Asker::Manager { request } => {
                let outcome = match outcomes.into_iter().next() {
                    Some(outcome) => RevertedMessage::Outcome {
                        state: outcome.state,
                        keys: outcome.keys,
                        detail: outcome.detail,
                    },
                    None => RevertedMessage::NotFound,
                };
                debug_assert!(unknown.len() <= 1, "the manager asks for one at a time");
                self.outbox.answer(ToManager::Reverted { request, outcome });
            }
        }
    }

    fn in_force(&self) -> Vec<Record> {
        let now = clock::now();
        let mut records: Vec<_> = self
            .ledger
            .entries()
            .filter(|entry| matches!(entry.step, Step::InForce | Step::Reverting | Step::Undoing))
            .map(|entry| entry.in_force_record(now, &self.boot_id))
            .collect();
        records.sort_by_key(|record| (record.since, record.action));
        records
    }

    fn status(&self) -> Status {
        let count = |wanted: fn(&Entry) -> bool| -> u64 {
            let number = self.ledger.entries().filter(|entry| wanted(entry)).count();
            u64::try_from(number).unwrap_or(u64::MAX)
        };
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let failing = count(|e| e.attempts > 0 && e.step != Step::InForce);
        let waiting = self.planned.len() + self.unguarded.len() + self.backlog.behind();
        let counters = [
            ("in force", count(|e| e.step == Step::InForce)),
            ("running", number(self.running.len())),
            ("waiting", number(waiting)),
            ("reverts failing", failing),
            (
                "updates the manager has not confirmed",
                number(self.outbox.unconfirmed()),
            ),
        ];
        Status {
            daemon: Daemon::Agentd.as_str().to_owned(),
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
            sources: Vec::new(),
            manager: Some(self.upstream()),
            problems: self.problems(failing),
        }
    }

    fn upstream(&self) -> Upstream {
        let link = self.link.borrow().clone();
        let (address, since) = link.connected.unzip();
        Upstream {
            address,
            since,
            certificate_until: link.certificate_until,
        }
    }

    fn problems(&self, failing: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(error) = self.journal.health().error() {
            problems.push(format!(
                "the journal {} cannot be written: {error}; no new action starts until it can",
                self.journal.path().display()
            ));
        }
        if failing > 0 {
            problems.push(format!(
                "{failing} reverts are not confirmed and are tried again (ripostctl responses shows them)"
            ));
        }
        let missing = self
            .ledger
            .entries()
            .filter(|entry| entry.must_restore && entry.attempts > 0);
        let missing = missing.count();
        if missing > 0 {
            problems.push(format!(
                "{missing} effects could not be put back after a start and are tried again (the log says why)"
            ));
        }
        problems.extend(self.drift.problem());
        for (script, behind) in self.backlog.crowded() {
            problems.push(format!(
                "{behind} actions wait behind others of {script}, of which {MAX_OF_SCRIPT} run at a time (if its runs hang, an <execution_timeout> in its <command> ends them sooner)"
            ));
        }
        if !self.guards.has_white_list() {
            problems.push(
                "no white list has come from a manager yet; no new action starts before".to_owned(),
            );
        }
        if !self.outbox.is_connected() {
            let why = self.link.borrow().problem.clone();
            problems.push(match why {
                Some(why) => format!("the manager is not connected: {why}"),
                None => "the manager is not connected".to_owned(),
            });
        }
        if let Some(why) = &self.link.borrow().renewal {
            problems.push(why.clone());
        }
        problems
    }
}
