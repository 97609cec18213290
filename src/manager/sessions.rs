//! Agents come and go.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock;
use crate::journal::manager::Op;
use crate::model::{AgentId, Capabilities, JournalId};
use crate::roster::{Sighting, shortened};
use crate::transport::{Admission, Arrival, Origin};
use crate::wire::{Denial, ManagerJournal, ToAgent};

use super::host::{Rival, Session};
use super::results::{Loss, lost};
use super::{Manager, Unwritten};

/// How long the present session has to answer when another host comes with the
/// same certificate. A live one answers within a round trip.
const PROBE: Duration = Duration::from_secs(3);

impl Manager {
    /// An agent wants to be let in.
    pub(super) async fn arrived(&mut self, arrival: Arrival) {
        let generation = match self.admit(&arrival) {
            Ok(generation) => generation,
            Err((denial, text)) => {
                deny(arrival.admit, denial, text);
                return;
            }
        };
        let agent = arrival.hello.id.clone();
        let host = self.delivery.host(&agent);
        if host.makes_way(arrival.hello.instance, generation) {
            self.end_session(&agent);
            self.connect(arrival, generation).await;
        } else {
            self.doubt(&agent, arrival);
        }
    }

    /// Whether the roster knows it and lets it in; the generation of its
    /// certificate, 0 for agent 000.
    fn admit(&mut self, arrival: &Arrival) -> Result<u32, (Denial, String)> {
        let (address, fingerprint) = match arrival.origin {
            // Only agent 000 comes this way; the socket has seen to it.
            Origin::Local => return Ok(0),
            Origin::Remote {
                address,
                fingerprint,
            } => (address, fingerprint),
        };
        let claimed = &arrival.hello.id;
        let from = address.ip().to_string();
        match self
            .roster
            .admit(&fingerprint, claimed, &from, clock::wall())
        {
            Ok((admitted, changes)) => {
                self.enrolled.append(changes);
                Ok(admitted.generation)
            }
            Err(refusal) => {
                if let Some(more) = self.limiter.pass("refused agent", clock::boot()) {
                    log::warn!(problem:% = refusal, from = from.as_str(), more_since = more; "an agent is not let in");
                }
                Err((Denial::NotPermitted, refusal.to_string()))
            }
        }
    }

    /// Another host, or the same one started anew, may have come while a session
    /// is there. Whoever is there first stays if it is alive: two hosts with one
    /// certificate must not push each other out for ever.
    fn doubt(&mut self, agent: &AgentId, arrival: Arrival) {
        let host = self.delivery.host(agent);
        if host.rival.is_some() {
            deny(
                arrival.admit,
                Denial::Busy,
                "another connection of this agent is being looked into (try again)".to_owned(),
            );
            return;
        }
        host.rival = Some(Rival {
            arrival,
            deadline: clock::boot(),
        });
        self.doubtful.insert(agent.clone());
        self.ask_for_life(agent);
    }

    /// Asks the present session whether it is alive, if another connection waits
    /// for its place.
    fn ask_for_life(&mut self, agent: &AgentId) {
        let host = self.delivery.host(agent);
        let Some(rival) = host.rival.as_mut() else {
            return;
        };
        rival.deadline = clock::boot().plus(PROBE);
        if let (Some(session), Ok(ping)) = (&host.session, ToAgent::Ping.into_frame()) {
            // Without room for it there is no answer either.
            let _ = session.send(ping);
        }
    }

    /// The present session has answered: whoever came with the same certificate
    /// is another host.
    pub(super) fn is_alive(&mut self, agent: &AgentId) {
        let host = self.delivery.host(agent);
        let Some(rival) = host.rival.take() else {
            return;
        };
        host.is_elsewhere(rival.arrival.hello.instance);
        self.doubtful.remove(agent);
        let from = match rival.arrival.origin {
            Origin::Local => "this host".to_owned(),
            Origin::Remote { address, .. } => address.ip().to_string(),
        };
        self.roster.used_twice(agent, &from, clock::wall());
        if let Some(more) = self.limiter.pass("certificate used twice", clock::boot()) {
            let host = shortened(&rival.arrival.hello.host);
            log::error!(agent:% = agent, from = from.as_str(), host = host, more_since = more; "two hosts use the certificate of one agent; the second is not let in (enroll it by a token of its own)");
        }
        let text = format!(
            "agent {agent} is connected from another host with the same certificate\n(was this home copied from there? remove etc/tls and queue, and enroll this host by a token of its own)"
        );
        deny(rival.arrival.admit, Denial::Twice, text);
    }

    /// Lets those in whose predecessors have not answered.
    pub(super) async fn end_doubts(&mut self) {
        let now = clock::boot();
        let doubtful: Vec<_> = self.doubtful.iter().cloned().collect();
        for agent in doubtful {
            let rival = self.delivery.host(&agent).rival.as_ref();
            if rival.is_none_or(|rival| rival.deadline <= now) {
                self.let_rival_in(&agent).await;
            }
        }
    }

    /// Whoever waits for the place of a session takes it, if it may still come
    /// in: the agent may have been shut out meanwhile, or enrolled anew.
    pub(super) async fn let_rival_in(&mut self, agent: &AgentId) {
        self.doubtful.remove(agent);
        let Some(rival) = self.delivery.host(agent).rival.take() else {
            return;
        };
        match self.admit(&rival.arrival) {
            Ok(generation) => {
                self.end_session(agent);
                self.connect(rival.arrival, generation).await;
            }
            Err((denial, text)) => deny(rival.arrival.admit, denial, text),
        }
    }

    /// A session begins: the agent gets the white list, tells what its host can
    /// do, and then gets everything it has not acknowledged.
    async fn connect(&mut self, arrival: Arrival, generation: u32) {
        let Arrival {
            origin,
            hello,
            admit,
        } = arrival;
        let agent = hello.id;
        self.delivery.last_session += 1;
        let number = self.delivery.last_session;
        let (mut session, outgoing) =
            Session::new(number, hello.instance, hello.journal, generation);
        // What the agent of this host can do is not asked; see `gap`.
        session.ready = agent == AgentId::MANAGER;
        let host = self.delivery.host(&agent);
        session.other_journal = host
            .heard
            .is_some_and(|(before, _)| before != hello.journal);
        let heard = host.heard_of(hello.journal);
        let admission = Admission::Welcome {
            session: number,
            began: session.began,
            journal: ManagerJournal {
                id: self.journal_id,
                heard,
            },
            outgoing,
        };
        if admit.send(admission).is_err() {
            // It has gone already.
            return;
        }
        log::info!(agent:% = agent, version = shortened(&hello.version), host = shortened(&hello.host); "an agent has connected");
        self.delivery.host(&agent).session = Some(session);
        self.delivery.sessions.insert(number, agent.clone());
        self.ask_for_life(&agent);
        let address = match origin {
            Origin::Local => None,
            Origin::Remote { address, .. } => Some(address.ip().to_string()),
        };
        let sighting = Sighting {
            address,
            version: Some(hello.version),
            journal: Some(hello.journal),
            capabilities: None,
        };
        self.since.insert(agent.clone(), clock::wall());
        self.see(&agent, sighting);
        self.pump(&agent).await;
    }

    /// An agent with another journal than before does not know any more what it
    /// had taken. `false` if that cannot be looked up yet.
    pub(super) async fn compare_journals(&mut self, agent: &AgentId) -> bool {
        let host = self.delivery.host(agent);
        let session = host
            .session
            .as_ref()
            .filter(|session| session.other_journal);
        let Some(journal) = session.map(|session| session.journal) else {
            return true;
        };
        if !self.delivery.is_current(agent) {
            return false;
        }
        let taken = match self.reader.taken(agent) {
            Ok(taken) => taken,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot look up what an agent had");
                return true;
            }
        };
        if !taken.is_empty() {
            log::error!(agent:% = agent, actions = taken.len(); "an agent has lost its journal, and with it the ends of what was in force there (look at that host: nft list table inet ripost)");
        }
        let lost = taken
            .into_iter()
            .filter_map(|taken| lost(taken, Loss::Journal));
        self.end_all(lost.collect()).await;
        self.now_heard(agent, journal).await;
        true
    }

    /// Notes which journal an agent has now: what it takes from here on is in it.
    async fn now_heard(&mut self, agent: &AgentId, journal: JournalId) {
        let host = self.delivery.host(agent);
        if let Some(session) = host.session.as_mut() {
            session.other_journal = false;
        }
        let (_, seq) = *host.heard.insert(match host.heard {
            Some((known, seq)) if known == journal => (known, seq),
            Some(_) | None => (journal, 0),
        });
        self.push(Unwritten {
            ops: vec![Op::Heard {
                agent: agent.clone(),
                journal,
                seq,
            }],
            agents: vec![agent.clone()],
            ..Unwritten::default()
        });
        self.write_unwritten().await;
    }

    /// Notes what was seen of an agent.
    pub(super) fn see(&mut self, agent: &AgentId, sighting: Sighting) {
        let changes = self.roster.seen(agent, sighting, clock::wall());
        self.enrolled.append(changes);
    }

    /// Notes that those who are connected are there, so that it is known when
    /// each was last seen if this manager is killed.
    pub(super) fn see_connected(&mut self) {
        let connected: Vec<_> = self.delivery.sessions.values().cloned().collect();
        for agent in connected {
            self.see(&agent, Sighting::default());
        }
    }

    /// An agent says what its host can do.
    pub(super) async fn now_capable(&mut self, agent: &AgentId, capabilities: Capabilities) {
        let sighting = Sighting {
            capabilities: Some(capabilities),
            ..Sighting::default()
        };
        self.see(agent, sighting);
        if let Some(session) = self.delivery.host(agent).session.as_mut() {
            session.ready = true;
        }
        self.pump(agent).await;
    }

    /// Ends a session from this side. It closes once its channel is gone.
    pub(super) fn end_session(&mut self, agent: &AgentId) {
        if self.delivery.disconnect(agent).is_some() {
            self.since.insert(agent.clone(), clock::wall());
        }
    }

    /// Ends the sessions that went with their port. Otherwise what is decided on
    /// would be sent to nobody until their agents are back.
    pub(super) async fn end_closed(&mut self) {
        let hosts = &self.delivery.hosts;
        let is_over = |agent| {
            let session = hosts.get(agent).and_then(|host| host.session.as_ref());
            session.is_some_and(Session::is_over)
        };
        let sessions = self.delivery.sessions.iter();
        let over = sessions.filter(|(_, agent)| is_over(*agent));
        let over: Vec<_> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.gone(number).await;
        }
    }

    /// A session is over.
    pub(super) async fn gone(&mut self, number: u64) {
        let Some(agent) = self.delivery.sessions.get(&number).cloned() else {
            return;
        };
        if !self.delivery.host(&agent).is_session(number) {
            return;
        }
        log::warn!(agent:% = agent; "an agent is gone; its actions wait for it");
        self.see(&agent, Sighting::default());
        self.end_session(&agent);
        self.let_rival_in(&agent).await;
    }
}

fn deny(admit: oneshot::Sender<Admission>, denial: Denial, text: String) {
    // One that has gone need not hear it.
    let _ = admit.send(Admission::Denied { denial, text });
}
