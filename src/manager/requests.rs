//! What people ask of the manager.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use crate::journal::manager::{LiveCounts, ManagerReader};
use crate::journal::{self, JournalError};
use crate::model::{AgentId, Record};
use crate::roster::{Member, Standing};
use crate::source::Counted;
use crate::wire::Daemon;
use crate::wire::control::{
    Agent, AlertSource, Answer, Asked, Connection, Counter, ErrorKind, NotAlerts, Request, Status,
    pass_on,
};

use super::sources::Source;
use super::{Asker, Chore, Manager};

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
        let reading = self.read_at(read);
        async move { reading.await.map(|(found, _)| found) }
    }

    /// As [`Manager::read`], with the number of the journal write up to which it
    /// certainly was read.
    pub(super) fn read_at<T: Send + 'static, F>(
        &self,
        read: F,
    ) -> impl Future<Output = Result<(T, u64), JournalError>> + Send + use<T, F>
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
            let at = *written.borrow();
            let reading = move || ManagerReader::open(&path).and_then(|reader| read(&reader));
            Ok((journal::aside(reading).await?, at))
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

    fn status(&self) -> Status {
        let counts = &self.counts;
        let read = self.sources.counted();
        let all = read.not_alerts.iter();
        let others = all.filter(|(why, _)| why.is_expected());
        let others: u64 = others.map(|(_, number)| number).sum();
        let no_alerts = read.not_alerts.values().sum::<u64>() - others;
        let mut counters = vec![
            counter("alerts read", read.alerts),
            counter("alerts matched", read.matched),
            counter("actions", counts.actions),
            counter("lines that are no alert", no_alerts),
            counter("other events of a pipeline", others),
            counter("runs of bytes passed over", read.passed_over),
            counter("alerts of agents not known here", counts.strangers),
            counter("duplicate alerts", counts.twins),
            counter("connections refused", counts.refused_peers),
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
        if let Some(counts) = self.http_counts() {
            counters.extend([
                counter("HTTP requests stored", counts.stored),
                counter("HTTP requests without the token", counts.token),
                counter("HTTP connections from elsewhere", counts.address),
                counter("HTTP requests without an alert", counts.no_alert),
                counter("HTTP pieces that are no alert", counts.not_alerts),
                counter("HTTP events that are not meant as alerts", counts.ignored),
                counter("HTTP requests too large", counts.too_large),
                counter("HTTP requests turned away as too many", counts.busy),
                counter("HTTP requests not stored in time", counts.not_stored),
                counter("HTTP requests refused otherwise", counts.other),
            ]);
        }
        Status {
            daemon: Daemon::Manager.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since_start,
            counters,
            sources: self.sources.shown().map(row_of_source).collect(),
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

fn row_of_source((source, counted): (&Source, Counted)) -> AlertSource {
    let not_alerts = counted.not_alerts.iter().map(|(why, count)| NotAlerts {
        why: why.label().to_owned(),
        lines: *count,
    });
    AlertSource {
        location: source.name.clone(),
        format: source.shape.name().to_owned(),
        bytes: counted.bytes,
        lines: counted.lines,
        alerts: counted.alerts,
        matched: counted.matched,
        not_alerts: not_alerts.collect(),
        strays: counted.strays,
        passed_over: counted.passed_over,
        last_line: counted.last_line,
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
