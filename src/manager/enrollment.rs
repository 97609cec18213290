//! Who may become an agent, and how long its certificate lasts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock;
use crate::config::AgentsConfig;
use crate::journal::roster::RosterSchema;
use crate::journal::{Journal, JournalError, Ticket};
use crate::model::AgentId;
use crate::roster::{Change, Enrolled};
use crate::transport::listener::{Counters, Enrollment};
use crate::transport::pki::Authority;
use crate::transport::random::{self, NoRandomness};
use crate::wire::control::{Answer, ErrorKind, IssuedToken, KnownAgent, TokenWish};
use crate::wire::enroll::{EnrollAnswer, EnrollRequest, PublicKey, Secret, TokenId};
use crate::wire::{Denial, PROTOCOL, ToAgent};

use super::{Asker, Chore, Manager};

/// An agent is given one certificate in so long, or in a quarter of a lifetime
/// if that is shorter: whoever has a copy of its key must not be able to ask so
/// often that what the honest host was given is forgotten. An agent that has
/// had no answer asks again after ten minutes.
const PAUSE: Duration = Duration::from_secs(300);

/// What a manager needs for agents on other hosts.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub authority: Arc<Authority>,
    /// How long certificates of agents are valid.
    pub lifetime: Duration,
    /// What the listener has counted.
    pub counters: Arc<Counters>,
}

impl Fleet {
    /// What `<agents>` says, with the CA of this home.
    pub fn new(config: &AgentsConfig, authority: Arc<Authority>, counters: Arc<Counters>) -> Self {
        Self {
            authority,
            lifetime: config.certificate_lifetime,
            counters,
        }
    }
}

/// The durable form of the roster. Changes are gathered while an event is
/// handled and written together after it.
#[derive(Debug)]
pub(super) struct Registry {
    journal: Journal<RosterSchema>,
    changes: Vec<Change>,
}

impl Registry {
    pub(super) fn open(path: &std::path::Path) -> Result<Self, JournalError> {
        Ok(Self {
            journal: Journal::open(path)?,
            changes: Vec::new(),
        })
    }

    pub(super) fn append(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    pub(super) async fn flush(&mut self) -> Option<Ticket> {
        if self.changes.is_empty() {
            return None;
        }
        Some(self.journal.write(std::mem::take(&mut self.changes)).await)
    }

    pub(super) fn problem(&self) -> Option<String> {
        let error = self.journal.health().error()?;
        let path = self.journal.path().display();
        Some(format!("the journal {path} cannot be written: {error}"))
    }

    pub(super) fn close(self) {
        self.journal.close();
    }
}

impl Manager {
    /// A host asks to become an agent. It is told only once what it is told is
    /// on the disk.
    pub(super) async fn enroll(&mut self, enrollment: Enrollment) {
        let Enrollment {
            address,
            request,
            answer,
        } = enrollment;
        let from = address.ip().to_string();
        match self.certified(&request) {
            Ok((enrolled, told)) => {
                log::info!(agent:% = enrolled.id, name:% = enrolled.name, from = from.as_str(); "a host has become an agent");
                // The certificates of both are void from now on.
                self.end_session(&enrolled.id);
                self.let_rival_in(&enrolled.id).await;
                self.look_for_nobody();
                self.once_stored(answer, told).await;
            }
            Err((denial, text)) => {
                if let Some(more) = self.limiter.pass("refused enrollment", clock::boot()) {
                    log::warn!(problem = text.for_log.as_str(), from = from.as_str(), more_since = more; "a host may not become an agent");
                }
                let denied = EnrollAnswer::Denied {
                    denial,
                    text: text.for_peer,
                };
                // A peer that has gone need not hear it.
                let _ = answer.send(denied);
            }
        }
    }

    fn certified(
        &mut self,
        request: &EnrollRequest,
    ) -> Result<(Enrolled, EnrollAnswer), (Denial, Refused)> {
        let fleet = self.fleet.clone().ok_or_else(not_here)?;
        if request.protocol != PROTOCOL {
            let text = format!(
                "this manager speaks protocol {PROTOCOL}, the host {}",
                request.protocol
            );
            return Err((Denial::Version, Refused::both(text)));
        }
        let (enrolled, changes) = self
            .roster
            .enroll(request, clock::wall())
            .map_err(|error| {
                let (denial, for_peer) = error.for_peer();
                let for_log = error.to_string();
                (denial, Refused { for_log, for_peer })
            })?;
        self.enrolled.append(changes);
        let certificate = self
            .certificate(&fleet, &enrolled.id, enrolled.generation, &request.key)
            .map_err(|text| (Denial::Busy, Refused::both(text)))?;
        let answer = EnrollAnswer::Enrolled {
            id: enrolled.id.clone(),
            name: enrolled.name.clone(),
            groups: enrolled.groups.clone(),
            certificate,
            ca: fleet.authority.ca_pem().to_owned(),
        };
        Ok((enrolled, answer))
    }

    /// Makes a certificate of a generation that was issued.
    fn certificate(
        &mut self,
        fleet: &Fleet,
        agent: &AgentId,
        generation: u32,
        key: &PublicKey,
    ) -> Result<String, String> {
        let issued = fleet
            .authority
            .issue(agent, key, fleet.lifetime)
            .map_err(|error| error.to_string())?;
        let changes = self
            .roster
            .certified(agent, generation, issued.fingerprint, issued.not_after)
            .map_err(|error| error.to_string())?;
        self.enrolled.append(changes);
        Ok(issued.pem)
    }

    /// Gives an agent that is connected a certificate for its next key.
    pub(super) async fn renew(&mut self, agent: &AgentId, key: PublicKey) {
        let Some(fleet) = self.fleet.clone() else {
            return;
        };
        let now = clock::boot();
        let last = self.delivery.host(agent).renewed;
        if last.is_some_and(|last| last.until(now) < PAUSE.min(fleet.lifetime / 4)) {
            if let Some(more) = self.limiter.pass("renewal too soon", now) {
                log::warn!(agent:% = agent, more_since = more; "an agent asks for another certificate too soon");
            }
            return;
        }
        let renewed = match self.roster.next_generation(agent) {
            Ok((generation, changes)) => {
                self.enrolled.append(changes);
                self.certificate(&fleet, agent, generation, &key)
            }
            Err(error) => Err(error.to_string()),
        };
        let certificate = match renewed {
            Ok(certificate) => certificate,
            Err(problem) => {
                log::warn!(agent:% = agent, problem = problem.as_str(); "a certificate cannot be renewed");
                return;
            }
        };
        let Some(mut ticket) = self.enrolled.flush().await else {
            return;
        };
        self.delivery.host(agent).renewed = Some(now);
        // One that is lost on the way is asked for again.
        let message = ToAgent::Renewed {
            certificate,
            ca: fleet.authority.ca_pem().to_owned(),
        };
        let agent = agent.clone();
        self.chores.spawn(async move {
            if ticket.synced().await {
                Chore::Tell(agent, Box::new(message))
            } else {
                Chore::Done
            }
        });
    }

    async fn once_stored(&mut self, asker: oneshot::Sender<EnrollAnswer>, answer: EnrollAnswer) {
        let ticket = self.enrolled.flush().await;
        self.chores.spawn(async move {
            let stored = match ticket {
                Some(mut ticket) => ticket.synced().await,
                None => true,
            };
            if stored {
                // A peer that has gone has used its token up; its id is in the log.
                let _ = asker.send(answer);
            }
            Chore::Done
        });
    }

    /// Answers a person once the roster is on the disk.
    pub(super) async fn answer_once_stored(&mut self, asker: Asker, answer: Answer) {
        let ticket = self.enrolled.flush().await;
        self.chores.spawn(async move {
            let stored = match ticket {
                Some(mut ticket) => ticket.synced().await,
                None => true,
            };
            let answer = if stored {
                answer
            } else {
                Answer::error(ErrorKind::Unavailable, "the manager is stopping")
            };
            // An asker who has gone needs no answer.
            let _ = asker.send(answer);
            Chore::Done
        });
    }

    pub(super) async fn make_token(&mut self, wish: &TokenWish, asker: Asker) {
        let answer = match (self.fleet.clone(), random_token()) {
            (None, _) => no_agents(),
            (_, Err(error)) => Answer::error(ErrorKind::Unavailable, error),
            (Some(fleet), Ok(random)) => match self.roster.issue(wish, random, clock::wall()) {
                Ok((parts, changes)) => {
                    self.enrolled.append(changes);
                    Answer::Tokens {
                        tokens: vec![parts.reveal(fleet.authority.pin())],
                        notes: Vec::new(),
                    }
                }
                Err(error) => Answer::error(ErrorKind::Invalid, error),
            },
        };
        self.answer_once_stored(asker, answer).await;
    }

    pub(super) async fn import(&mut self, agents: &[KnownAgent], ttl: u64, asker: Asker) {
        let answer = match self.fleet.clone() {
            None => no_agents(),
            Some(fleet) => match self.imported(agents, ttl, &fleet) {
                Ok((tokens, notes)) => Answer::Tokens { tokens, notes },
                Err(text) => Answer::error(ErrorKind::Invalid, text),
            },
        };
        self.answer_once_stored(asker, answer).await;
    }

    fn imported(
        &mut self,
        agents: &[KnownAgent],
        ttl: u64,
        fleet: &Fleet,
    ) -> Result<(Vec<IssuedToken>, Vec<String>), String> {
        let mut random = random_tokens(agents.len()).map_err(|error| error.to_string())?;
        let mut next = || random.pop().expect("there is one for each agent");
        let imported = self
            .roster
            .import(agents, ttl, &mut next, clock::wall())
            .map_err(|error| error.to_string())?;
        self.enrolled.append(imported.changes);
        let pin = fleet.authority.pin();
        let tokens = imported.tokens.iter().map(|token| token.reveal(pin));
        Ok((tokens.collect(), imported.notes))
    }
}

/// What is said of a refusal.
struct Refused {
    for_log: String,
    for_peer: String,
}

impl Refused {
    fn both(text: String) -> Self {
        Self {
            for_log: text.clone(),
            for_peer: text,
        }
    }
}

fn not_here() -> (Denial, Refused) {
    let text = "this manager takes no agents".to_owned();
    (Denial::NotPermitted, Refused::both(text))
}

fn no_agents() -> Answer {
    Answer::error(
        ErrorKind::Invalid,
        "this manager takes no agents of other hosts\n(write <agents><listen>0.0.0.0:1517</listen></agents> into etc/manager.conf and run ripostctl reload)",
    )
}

fn random_token() -> Result<(TokenId, Secret), NoRandomness> {
    Ok((
        TokenId::from_bytes(random::bytes()?),
        Secret::from_bytes(random::bytes()?),
    ))
}

fn random_tokens(count: usize) -> Result<Vec<(TokenId, Secret)>, NoRandomness> {
    (0..count).map(|_| random_token()).collect()
}
