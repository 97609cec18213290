//! What people ask of the manager.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock;
use crate::journal::manager::{LiveCounts, ManagerReader, Op};
use crate::journal::{self, JournalError};
use crate::ledger::reverts::Reverted;
use crate::model::{ActionState, AgentId, Record};
use crate::roster::{Member, Standing};
use crate::wire::Daemon;
use crate::wire::control::{
    Agent, Answer, Asked, Connection, Counter, ErrorKind, Request, RevertOutcome, Status, Which,
    pass_on,
};

use super::{Asker, Chore, Manager, Unwritten};

/// How long somebody who asked for a revert waits for its confirmation.
const REVERT_PATIENCE: Duration = Duration::from_secs(10);

/// How long it waits if the host is offline. One whose agent or manager was
/// just started is back sooner.
const OFFLINE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a question waits for the journal to have what was decided before
/// it. Only a disk that is full takes longer, and then the question is answered
/// from what the journal has.
const READ_PATIENCE: Duration = Duration::from_secs(1);

impl Manager {
    pub(super) async fn answer(&mut self, asked: Asked) {
        let Asked { request, answer } = asked;
        match request {
            Request::Status => self.tell_status(answer),
            Request::Agents => self.tell_agents(answer),
            Request::Responses => self.tell_records(answer, |reader| reader.in_force()),
            Request::History { limit } => {
                self.tell_records(answer, move |reader| reader.history(limit));
            }
            Request::Revert { which } => self.choose(which, answer),
            Request::Reload => pass_on(answer, &self.reloads),
            Request::Run(run) => self.run_by_hand(&run, answer).await,
            Request::EnrollToken(wish) => self.make_token(&wish, answer).await,
            Request::EnrollList => self.list_tokens(answer),
            Request::EnrollRevoke { tokens } => self.void_tokens(&tokens, answer).await,
            Request::Import { agents, ttl } => self.import(&agents, ttl, answer).await,
            Request::Revoke { agent } => self.revoke(&agent, answer).await,
        }
    }

    /// Reads the journal on a thread of its own: months of history would hold
    /// up everything else. What was decided before is in it by then.
    fn read<T: Send + 'static, F>(
        &self,
        read: F,
    ) -> impl Future<Output = Result<T, JournalError>> + Send + use<T, F>
    where
        F: FnOnce(&ManagerReader) -> Result<T, JournalError> + Send + 'static,
    {
        let path: PathBuf = self.journal.path().to_owned();
        let wanted = self.journal.next() - 1;
        let mut written = self.journal.written();
        async move {
            let wait = written.wait_for(|number| *number >= wanted);
            // Too late, or a journal that is closing: see READ_PATIENCE.
            let _ = tokio::time::timeout(READ_PATIENCE, wait).await;
            journal::aside(move || ManagerReader::open(&path).and_then(|r| read(&r))).await
        }
    }

    fn tell<T: Send + 'static>(
        &mut self,
        asker: Asker,
        reading: impl Future<Output = Result<T, JournalError>> + Send + 'static,
        answer: impl FnOnce(T) -> Answer + Send + 'static,
    ) {
        self.chores.spawn(async move {
            let answer = match reading.await {
                Ok(found) => answer(found),
                Err(error) => Answer::error(ErrorKind::Unavailable, error),
            };
            // An asker who has gone needs no answer.
            let _ = asker.send(answer);
            Chore::Done
        });
    }

    fn tell_records(
        &mut self,
        asker: Asker,
        read: impl FnOnce(&ManagerReader) -> Result<Vec<Record>, JournalError> + Send + 'static,
    ) {
        let reading = self.read(read);
        self.tell(asker, reading, |records| Answer::Records { records });
    }

    fn tell_status(&mut self, asker: Asker) {
        let mut status = self.status();
        let reading = self.read(ManagerReader::counts);
        self.tell(asker, reading, move |counts| {
            let sum = |of: fn(&LiveCounts) -> u64| counts.values().map(of).sum();
            for (name, value) in [
                ("pending", sum(|counts| counts.pending)),
                ("in force", sum(|counts| counts.in_force)),
            ] {
                status.counters.push(counter(name, value));
            }
            let failing = sum(|counts| counts.failing);
            if failing > 0 {
                status.problems.push(format!(
                    "{failing} reverts are not confirmed and are tried again (ripostctl responses shows them)"
                ));
            }
            Answer::Status(status)
        });
    }

    fn tell_agents(&mut self, asker: Asker) {
        let agents: Vec<_> = self
            .roster
            .members()
            .filter(|member| member.standing() != Standing::Revoked)
            .map(|member| self.row(member))
            .collect();
        let reading = self.read(ManagerReader::counts);
        self.tell(asker, reading, |counts| Answer::Agents {
            agents: counted(agents, &counts),
        });
    }

    fn row(&self, member: &Member) -> Agent {
        let id = member.id();
        Agent {
            id: id.clone(),
            name: member.name().to_owned(),
            state: if self.delivery.is_connected(id) {
                Connection::Connected
            } else {
                Connection::Offline
            },
            since: self.since.get(id).copied().or(member.last_seen()),
            version: member.version().map(str::to_owned),
            address: member.address().map(str::to_owned),
            groups: member.groups().iter().map(ToString::to_string).collect(),
            pending: 0,
            in_force: 0,
            gaps: member
                .capabilities()
                .map(|capabilities| capabilities.gaps())
                .unwrap_or_default(),
        }
    }

    /// Finds what a person wants reverted.
    fn choose(&mut self, which: Which, asker: Asker) {
        let wanted = which.clone();
        let reading = self.read(move |reader| reader.chosen(&wanted));
        self.chores.spawn(async move {
            Chore::Chosen {
                records: reading.await,
                which,
                asker,
            }
        });
    }

    /// Takes back what a person wants reverted, on every host that has it.
    pub(super) async fn revert_chosen(
        &mut self,
        which: &Which,
        records: Result<Vec<Record>, JournalError>,
        asker: Asker,
    ) {
        let problem = match &records {
            Ok(records) if records.is_empty() => Some(which.nothing()),
            Ok(_) => None,
            Err(error) => Some(Answer::error(ErrorKind::Unavailable, error)),
        };
        if let Some(problem) = problem {
            // An asker who has gone needs no answer.
            let _ = asker.send(problem);
            return;
        }
        let records = records.unwrap_or_default();
        let ids: Vec<_> = records.iter().map(|record| record.action).collect();
        let deadline = clock::boot().plus(REVERT_PATIENCE);
        self.reverts.wait(asker, ids, deadline);
        for record in records {
            self.take_back(record).await;
        }
    }

    async fn take_back(&mut self, mut record: Record) {
        let agent = record.agent.id.clone();
        let session = self.delivery.host(&agent).session.as_ref();
        let under_way = session.is_some_and(|session| session.has_under_way(record.action));
        if record.state == ActionState::Queued && !under_way {
            // It was never sent, so its host would not know it.
            record.state = ActionState::Suppressed;
            record.time = clock::wall();
            record.detail = Some("taken back by a person before it was sent".to_owned());
            let taken = vec![Op::taken(&record)];
            self.record(record, taken, None).await;
            return;
        }
        let is_connected = session.is_some();
        self.push(Unwritten {
            ops: vec![Op::Revert {
                agent: agent.clone(),
                action: record.action,
            }],
            agents: vec![agent.clone()],
            ..Unwritten::default()
        });
        self.write_unwritten().await;
        self.ask_revert(&agent, record.action);
        if !is_connected {
            let patience = clock::boot().plus(OFFLINE_PATIENCE);
            self.offline_reverts.push_back((patience, record));
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
            let Some((_, record)) = self.offline_reverts.pop_front() else {
                return;
            };
            if !self.delivery.is_connected(&record.agent.id) {
                self.reverts.settled(&Reverted {
                    action: record.action,
                    state: record.state,
                    keys: record.keys,
                    detail: Some(
                        "its host is offline; it is taken back there when it is connected again"
                            .to_owned(),
                    ),
                });
            }
        }
    }

    /// Ends what waits for an agent that will never be let in again.
    pub(super) async fn give_up(&mut self, agent: &AgentId) -> usize {
        let mut given_up = 0;
        loop {
            let rows = match self.reader.waiting(agent, 1_000) {
                Ok(rows) => rows,
                Err(error) => {
                    log::error!(agent:% = agent, error:% = error; "cannot look up what waits for an agent");
                    return given_up;
                }
            };
            let end = rows.len() < 1_000;
            for row in rows {
                let mut record = row.record;
                record.state = ActionState::Failed;
                record.time = clock::wall();
                record.detail = Some("its agent was revoked before it had taken it".to_owned());
                let taken = vec![Op::taken(&record)];
                self.record(record, taken, None).await;
                given_up += 1;
            }
            let wanted = self.journal.next() - 1;
            let mut written = self.journal.written();
            let wait = written.wait_for(|number| *number >= wanted);
            let is_written = tokio::time::timeout(READ_PATIENCE, wait).await.is_ok();
            if end || !is_written {
                return given_up;
            }
        }
    }

    /// Ends the account of what an agent has that will never report again.
    /// Returns how many actions those were.
    pub(super) async fn write_off(&mut self, agent: &AgentId) -> usize {
        let taken = match self.reader.taken(agent) {
            Ok(taken) => taken,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot look up what an agent has");
                return 0;
            }
        };
        let count = taken.len();
        for mut record in taken {
            let ends = record.until.map_or_else(
                || "without end".to_owned(),
                |until| format!("until {until}"),
            );
            record.detail = Some(format!(
                "its agent was revoked while it was {}, {ends}; the host is not heard any more",
                record.state
            ));
            record.state = ActionState::Failed;
            record.time = clock::wall();
            record.verified = None;
            self.record(record, Vec::new(), None).await;
        }
        count
    }

    fn status(&self) -> Status {
        let counts = &self.counts;
        let mut counters = vec![
            counter("alerts read", counts.alerts),
            counter("alerts matched", counts.matched),
            counter("actions", counts.actions),
            counter("lines that are no alert", counts.not_alerts.values().sum()),
            counter("runs of bytes passed over", counts.skipped),
            counter("alerts of agents not known here", counts.strangers),
            counter("results not written yet", number(self.unwritten.len())),
            counter("agents enrolled", number(self.roster.enrolled().count())),
            counter("agents connected", number(self.delivery.sessions.len())),
        ];
        if let Some(fleet) = &self.fleet {
            let counts = fleet.counters.counts();
            counters.extend([
                counter("handshakes refused", counts.handshakes_refused),
                counter("handshakes dropped", counts.handshakes_dropped),
                counter("certificates refused", counts.certificates_refused),
                counter("enrollments denied", counts.enrollments_denied),
            ]);
        }
        Status {
            daemon: Daemon::Manager.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since_start,
            counters,
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
        problems.extend(self.enrolled.problem());
        if let Some(error) = &self.counts.unwritable {
            problems.push(format!("logs/responses.json cannot be written: {error}"));
        }
        if !self.delivery.is_connected(&AgentId::MANAGER) {
            problems.push(
                "agent 000 is not connected; its actions wait (start ripost-agentd)".to_owned(),
            );
        }
        for selector in &self.settings.nobody {
            problems.push(format!(
                "a response names {selector}, which is no enrolled agent; nothing is sent there"
            ));
        }
        problems.extend(self.roster.problems());
        problems
    }
}

fn counter(name: &str, value: u64) -> Counter {
    Counter {
        name: name.to_owned(),
        value,
    }
}

/// The rows with how much of each agent is not over.
fn counted(mut agents: Vec<Agent>, counts: &HashMap<AgentId, LiveCounts>) -> Vec<Agent> {
    for agent in &mut agents {
        let counts = counts.get(&agent.id).copied().unwrap_or_default();
        agent.pending = counts.pending;
        agent.in_force = counts.in_force;
    }
    agents
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Tells somebody what became of the reverts they asked for.
pub(super) fn reply_reverted(asker: Asker, outcomes: Vec<Reverted>) {
    let outcomes = outcomes.into_iter().map(RevertOutcome::from).collect();
    // An asker who has gone needs no answer.
    let _ = asker.send(Answer::Reverted { outcomes });
}
