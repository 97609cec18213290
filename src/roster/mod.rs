//! Who the agents of a manager are: their ids and names, with which tokens they
//! enroll, with which certificates they are let in, and what was last seen of
//! them.
//!
//! A pure state machine: moments and random bytes come in from outside, and
//! each method that changes something also returns the rows to be stored, those
//! of one call in one transaction. The manager stores them before it tells a
//! peer what follows from them. Every change of the roster goes through such a
//! row ([`Roster::load`] takes the same path), so that what is read back at the
//! next start is what was there.
//!
//! Promises: an id is never handed out twice, also not that of a revoked agent,
//! since its row stays for ever; a token is never used more often than allowed;
//! a certificate that was revoked, or is older than another that was used or
//! than the last enrollment of its agent, is never let in again.

mod change;
mod enroll;
mod error;
mod import;
mod member;
mod problems;
#[cfg(test)]
mod properties;
mod sessions;
mod sightings;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use change::{AgentRow, CapabilitiesRow, CertificateRow, Change, Digest, Standing, TokenRow};
pub use enroll::{EnrollError, Enrolled, TokenFault};
pub use error::{Inconsistent, RosterError};
pub use import::Imported;
pub use member::Member;
pub use sessions::{Admitted, Refusal};
pub use sightings::{Sighting, shortened};
pub use tokens::TokenParts;

use crate::clock::Wall;
use crate::model::{AgentId, AgentName, Capabilities, Fingerprint, Selector};
use crate::wire::enroll::TokenId;
use problems::Problems;

/// How long what has expired is kept, so that the log can tell an expired token
/// or certificate from one that never was.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The agents of a manager.
#[derive(Clone, Debug, PartialEq)]
pub struct Roster {
    members: BTreeMap<AgentId, Member>,
    /// Who has a name, those of revoked agents excepted. Names are folded to
    /// lower case, as [`Selector`] compares them.
    names: HashMap<Box<str>, AgentId>,
    owners: HashMap<Fingerprint, AgentId>,
    tokens: HashMap<TokenId, TokenRow>,
    capabilities: HashMap<Digest, Shared>,
    next: u32,
    problems: Problems,
}

/// What hosts can do that are alike, and how many those are.
#[derive(Clone, Debug, PartialEq)]
struct Shared {
    capabilities: Arc<Capabilities>,
    users: usize,
}

impl Roster {
    /// The roster of a manager without remote agents; `host` is the name of its
    /// own host, by which agent 000 goes.
    pub fn new(host: &str) -> Self {
        let origin = Member {
            row: AgentRow::new(AgentId::MANAGER, Standing::Enrolled),
            host: Some(host.into()),
            capabilities: None,
            certificates: Vec::new(),
            token: None,
        };
        Self {
            members: BTreeMap::from([(AgentId::MANAGER, origin)]),
            names: HashMap::from([(folded(host), AgentId::MANAGER)]),
            owners: HashMap::new(),
            tokens: HashMap::new(),
            capabilities: HashMap::new(),
            next: 1,
            problems: Problems::default(),
        }
    }

    /// The roster that these rows make. A row may refer only to rows before it:
    /// to an agent, or to capabilities.
    pub fn load(host: &str, rows: impl IntoIterator<Item = Change>) -> Result<Self, Inconsistent> {
        let mut roster = Self::new(host);
        for row in rows {
            roster.apply(row)?;
        }
        Ok(roster)
    }

    /// The agent with this id, whatever its standing.
    pub fn agent(&self, id: &AgentId) -> Option<&Member> {
        self.members.get(id)
    }

    /// The agent that goes by this name, unless it is revoked.
    pub fn named(&self, name: &AgentName) -> Option<&Member> {
        self.agent(self.names.get(&folded(name.as_str()))?)
    }

    /// Every agent, whatever its standing, in the order of ids; 000 is the first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Those among them that actions may be meant for.
    pub fn enrolled(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.is_enrolled())
    }

    /// The enrolled agents that any of these mean, each once, in the order of ids.
    pub fn select(&self, selectors: &[Selector]) -> Vec<AgentId> {
        self.enrolled()
            .filter(|member| selectors.iter().any(|one| member.is_meant(one)))
            .map(|member| member.id().clone())
            .collect()
    }

    /// Those among these that mean no enrolled agent.
    pub fn unknown<'a>(&self, selectors: &'a [Selector]) -> Vec<&'a Selector> {
        selectors
            .iter()
            .filter(|selector| !self.means_anybody(selector))
            .collect()
    }

    fn means_anybody(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Id(id) => self.agent(id).is_some_and(Member::is_enrolled),
            Selector::Range(first, last) => self
                .members
                .range(first..=last)
                .any(|(_, member)| member.is_enrolled()),
            Selector::Name(_) | Selector::Group(_) => {
                self.members().any(|member| member.is_meant(selector))
            }
        }
    }

    /// What needs a person's attention, one sentence each. Kept in memory only:
    /// whoever causes one comes back and causes it again.
    pub fn problems(&self) -> Vec<String> {
        self.problems.sentences()
    }

    /// Forgets tokens and certificates that expired long ago: they are refused
    /// with and without their rows. To be called now and then. Never what an
    /// agent lives on: `now` may be wrong.
    pub fn prune(&mut self, now: Wall) -> Vec<Change> {
        let before = now.minus(KEPT);
        let tokens = self.tokens.values().filter(|token| token.expires < before);
        let tokens = tokens.map(|token| Change::TokenGone(token.id));
        let dispensable = self.members().flat_map(Member::dispensable);
        let expired = dispensable.filter(|certificate| certificate.not_after < before);
        let expired = expired.map(|certificate| Change::CertificateGone(certificate.fingerprint));
        let changes = tokens.chain(expired).collect();
        self.commit(changes)
    }

    /// Who has a name, unless that one is `id` itself.
    fn other_holder(&self, name: &AgentName, id: Option<&AgentId>) -> Option<&AgentId> {
        let holder = self.names.get(&folded(name.as_str()))?;
        (Some(holder) != id).then_some(holder)
    }

    /// Carries out what is going to be stored.
    fn commit(&mut self, changes: Vec<Change>) -> Vec<Change> {
        for change in &changes {
            self.apply(change.clone())
                .expect("a method refers only to what is there");
        }
        changes
    }

    fn apply(&mut self, change: Change) -> Result<(), Inconsistent> {
        match change {
            Change::Agent(row) => return self.put_agent(*row),
            Change::Certificate(row) => return self.put_certificate(row),
            Change::CertificateGone(fingerprint) => self.drop_certificate(&fingerprint),
            Change::Token(row) => return self.put_token(*row),
            Change::TokenGone(id) => self.drop_token(&id),
            Change::Capabilities(row) => {
                self.capabilities.entry(row.digest).or_insert(Shared {
                    capabilities: Arc::new(row.capabilities),
                    users: 0,
                });
            }
            Change::CapabilitiesGone(digest) => {
                self.capabilities.remove(&digest);
            }
            Change::Next(number) => self.next = number,
        }
        Ok(())
    }

    fn put_agent(&mut self, row: AgentRow) -> Result<(), Inconsistent> {
        let capabilities = match &row.capabilities {
            Some(digest) => {
                let shared = self.capabilities.get_mut(digest);
                let shared = shared.ok_or_else(|| Inconsistent::Capabilities(row.id.clone()))?;
                shared.users += 1;
                Some(shared.capabilities.clone())
            }
            None => None,
        };
        let id = row.id.clone();
        let before = self.members.remove(&id);
        if let Some(before) = &before {
            self.let_go(before);
        }
        let (host, certificates, token) = match before {
            Some(before) => (before.host, before.certificates, before.token),
            None => (None, Vec::new(), None),
        };
        let member = Member {
            row,
            host,
            capabilities,
            certificates,
            token,
        };
        if member.is_origin() {
            // The host may have been renamed to what an agent is named.
            let name = folded(member.name());
            self.names.entry(name).or_insert_with(|| id.clone());
        } else if member.standing() != Standing::Revoked && !member.name().is_empty() {
            self.names.insert(folded(member.name()), id.clone());
        }
        self.members.insert(id, member);
        Ok(())
    }

    /// Undoes what a member's row has counted for.
    fn let_go(&mut self, member: &Member) {
        let name = folded(member.name());
        if self.names.get(&name) == Some(member.id()) {
            self.names.remove(&name);
        }
        let digest = member.row.capabilities.as_ref();
        if let Some(shared) = digest.and_then(|digest| self.capabilities.get_mut(digest)) {
            shared.users -= 1;
        }
    }
}

/// A name as names are compared: without regard to case.
fn folded(name: &str) -> Box<str> {
    name.to_ascii_lowercase().into()
}
