//! Promises that hold whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::{
    ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::test_runner::TestCaseError;

use super::problems::Problems;
use super::tests::{DAY, NOW, after, id, name, print, random, request, wish};
use super::{Change, Refusal, Roster, Sighting};
use crate::clock::Wall;
use crate::model::{AgentId, Capabilities, Fingerprint};
use crate::wire::control::{KnownAgent, TokenWish, WhichTokens};
use crate::wire::enroll::TokenId;

#[derive(Clone, Debug)]
enum Step {
    Issue {
        agent: Option<u32>,
        named: Option<u8>,
        uses: u32,
    },
    /// With one of the tokens that were made.
    Enroll {
        token: u8,
        named: u8,
        right: bool,
    },
    /// Makes the certificate of the oldest generation without one.
    Certify,
    Admit {
        certificate: u8,
        claimed: Option<u32>,
    },
    Renew(u32),
    Revoke(u32),
    /// One of the tokens that were made, or all.
    Void(Option<u8>),
    Import(Vec<(u32, u8, bool)>),
    Seen {
        agent: u32,
        system: u8,
    },
    Days(u8),
    Prune,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let agent = || 0..5u32;
    let named = || 0..8u8;
    prop_oneof![
        4 => (proptest::option::of(agent()), proptest::option::weighted(0.2, named()), 0..4u32)
            .prop_map(|(agent, named, uses)| Step::Issue { agent, named, uses }),
        8 => (any::<u8>(), named(), proptest::bool::weighted(0.9))
            .prop_map(|(token, named, right)| Step::Enroll { token, named, right }),
        8 => proptest::strategy::Just(Step::Certify),
        12 => (any::<u8>(), proptest::option::weighted(0.1, agent()))
            .prop_map(|(certificate, claimed)| Step::Admit { certificate, claimed }),
        5 => agent().prop_map(Step::Renew),
        2 => agent().prop_map(Step::Revoke),
        2 => proptest::option::weighted(0.8, any::<u8>()).prop_map(Step::Void),
        1 => proptest::collection::vec((agent(), named(), any::<bool>()), 0..4)
            .prop_map(Step::Import),
        2 => (agent(), 0..3u8).prop_map(|(agent, system)| Step::Seen { agent, system }),
        2 => (0..8u8).prop_map(Step::Days),
        1 => proptest::strategy::Just(Step::Prune),
        2 => proptest::strategy::Just(Step::Restart),
    ]
}

fn named(number: u8) -> String {
    format!("host-{number}")
}

/// What a table holds: the last row of each key.
#[derive(Default)]
struct Rows {
    capabilities: HashMap<String, Change>,
    agents: BTreeMap<AgentId, Change>,
    certificates: HashMap<String, Change>,
    tokens: HashMap<String, Change>,
    next: Option<Change>,
}

impl Rows {
    fn store(&mut self, change: Change) {
        match &change {
            Change::Agent(row) => drop(self.agents.insert(row.id.clone(), change)),
            Change::Certificate(row) => {
                let key = row.fingerprint.to_string();
                self.certificates.insert(key, change);
            }
            Change::CertificateGone(print) => drop(self.certificates.remove(&print.to_string())),
            Change::Token(row) => drop(self.tokens.insert(row.id.to_string(), change)),
            Change::TokenGone(id) => drop(self.tokens.remove(&id.to_string())),
            Change::Capabilities(row) => {
                let key = row.digest.to_string();
                self.capabilities.insert(key, change);
            }
            Change::CapabilitiesGone(digest) => {
                drop(self.capabilities.remove(&digest.to_string()));
            }
            Change::Next(_) => self.next = Some(change),
        }
    }

    fn all(&self) -> Vec<Change> {
        let capabilities = self.capabilities.values();
        let rows = capabilities
            .chain(self.agents.values())
            .chain(self.certificates.values());
        let rows = rows.chain(self.tokens.values()).chain(&self.next);
        rows.cloned().collect()
    }
}

/// A certificate that was made.
struct Made {
    agent: AgentId,
    generation: u32,
    not_after: Wall,
}

/// What happened so far, as an onlooker notes it.
struct World {
    roster: Roster,
    now: Wall,
    days: u64,
    rows: Rows,
    log: Vec<Change>,
    made_tokens: u8,
    /// How often each token may still be used.
    uses: HashMap<TokenId, u32>,
    waiting: Vec<(AgentId, u32)>,
    certificates: Vec<Made>,
    /// Those that the roster said it forgets.
    forgotten: BTreeSet<Fingerprint>,
    /// The newest generation that came in.
    used: HashMap<AgentId, u32>,
    /// The newest generation that was issued.
    issued: HashMap<AgentId, u32>,
    /// The newest generation that was issued before it was revoked, or enrolled
    /// the last time.
    barred: HashMap<AgentId, u32>,
    revoked: BTreeSet<AgentId>,
    ids: BTreeSet<AgentId>,
}

type Checked = Result<(), TestCaseError>;

impl World {
    fn new() -> Self {
        Self {
            roster: Roster::new("gate"),
            now: NOW,
            days: 0,
            rows: Rows::default(),
            log: Vec::new(),
            made_tokens: 0,
            uses: HashMap::new(),
            waiting: Vec::new(),
            certificates: Vec::new(),
            forgotten: BTreeSet::new(),
            used: HashMap::new(),
            issued: HashMap::new(),
            barred: HashMap::new(),
            revoked: BTreeSet::new(),
            ids: BTreeSet::from([AgentId::MANAGER]),
        }
    }

    fn store(&mut self, changes: Vec<Change>) {
        for change in changes {
            if let Change::CertificateGone(print) = &change {
                self.forgotten.insert(*print);
            }
            self.rows.store(change.clone());
            self.log.push(change);
        }
    }

    fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Issue { agent, named, uses } => self.issue(agent, named, uses),
            Step::Enroll {
                token,
                named,
                right,
            } => self.enroll(token, named, right)?,
            Step::Certify => self.certify(),
            Step::Admit {
                certificate,
                claimed,
            } => self.admit(certificate, claimed)?,
            Step::Renew(agent) => {
                if let Ok((generation, changes)) = self.roster.next_generation(&id(agent)) {
                    self.note_issued(id(agent), generation)?;
                    self.store(changes);
                }
            }
            Step::Revoke(agent) => self.revoke(agent),
            Step::Void(token) => self.void(token)?,
            Step::Import(list) => self.import(&list),
            Step::Seen { agent, system } => {
                let capabilities = Capabilities {
                    system: system.to_string(),
                    ..Capabilities::default()
                };
                let sighting = Sighting {
                    capabilities: Some(capabilities),
                    ..Sighting::default()
                };
                let changes = self.roster.seen(&id(agent), sighting, self.now);
                self.store(changes);
            }
            Step::Days(days) => {
                self.days += u64::from(days);
                self.now = after(self.days * DAY);
            }
            Step::Prune => {
                let changes = self.roster.prune(self.now);
                self.store(changes);
            }
            Step::Restart => self.restart()?,
        }
        self.check()
    }

    fn issue(&mut self, agent: Option<u32>, given: Option<u8>, uses: u32) {
        let given = given.map(named);
        let wish = TokenWish {
            uses,
            ttl: 10 * DAY,
            ..wish(agent, given.as_deref())
        };
        let random = random(self.made_tokens);
        if let Ok((parts, changes)) = self.roster.issue(&wish, random, self.now) {
            self.made_tokens += 1;
            self.uses.insert(parts.id, uses);
            self.store(changes);
        }
    }

    fn enroll(&mut self, token: u8, wished: u8, right: bool) -> Checked {
        let (token, secret) = random(token % self.made_tokens.max(1));
        let secret = if right { secret } else { random(255).1 };
        let request = request((token, secret), &named(wished));
        let Ok((enrolled, changes)) = self.roster.enroll(&request, self.now) else {
            return Ok(());
        };
        prop_assert!(right, "a wrong secret enrolled");
        let left = self.uses.get_mut(&token).filter(|left| **left > 0);
        let Some(left) = left else {
            return Err(TestCaseError::fail("a token was used too often"));
        };
        *left -= 1;
        let bound = changes.iter().any(|change| {
            matches!(change, Change::Token(row) if row.agent.as_ref() == Some(&enrolled.id))
        });
        prop_assert!(
            bound || !self.ids.contains(&enrolled.id),
            "{} was given again",
            enrolled.id
        );
        self.revoked.remove(&enrolled.id);
        let before = self.issued.get(&enrolled.id).copied().unwrap_or(0);
        self.barred.insert(enrolled.id.clone(), before);
        self.note_issued(enrolled.id, enrolled.generation)?;
        self.store(changes);
        Ok(())
    }

    fn note_issued(&mut self, agent: AgentId, generation: u32) -> Checked {
        let before = self.issued.insert(agent.clone(), generation);
        prop_assert_eq!(before.unwrap_or(0) + 1, generation);
        self.waiting.push((agent, generation));
        Ok(())
    }

    fn certify(&mut self) {
        if self.waiting.is_empty() || self.certificates.len() > 200 {
            return;
        }
        let (agent, generation) = self.waiting.remove(0);
        let not_after = after((self.days + 30) * DAY);
        let print = print(u8::try_from(self.certificates.len()).unwrap());
        let changes = self.roster.certified(&agent, generation, print, not_after);
        self.store(changes.unwrap());
        self.certificates.push(Made {
            agent,
            generation,
            not_after,
        });
    }

    fn admit(&mut self, certificate: u8, claimed: Option<u32>) -> Checked {
        // Now and then one that was not made yet.
        let count = u8::try_from(self.certificates.len()).unwrap();
        let certificate = certificate % (count + 1);
        let made = self.certificates.get(usize::from(certificate));
        let claimed = match (claimed, made) {
            (Some(claimed), _) => id(claimed),
            (None, Some(made)) => made.agent.clone(),
            (None, None) => id(1),
        };
        let print = print(certificate);
        let result = self.roster.admit(&print, &claimed, "192.0.2.1", self.now);
        let Some(made) = made else {
            let unknown = Refusal::UnknownCertificate { claimed };
            prop_assert_eq!(result.unwrap_err(), unknown);
            return Ok(());
        };
        let used = self.used.get(&made.agent).copied().unwrap_or(0);
        let barred = self.barred.get(&made.agent).copied().unwrap_or(0);
        let welcome = made.not_after > self.now
            && !self.revoked.contains(&made.agent)
            && made.generation > barred
            && made.generation >= used
            && claimed == made.agent
            && !self.forgotten.contains(&print);
        prop_assert_eq!(result.is_ok(), welcome, "{:?}", result);
        if let Ok((admitted, changes)) = result {
            prop_assert_eq!(&admitted.id, &made.agent);
            self.used.insert(made.agent.clone(), made.generation);
            self.store(changes);
        }
        Ok(())
    }

    fn revoke(&mut self, agent: u32) {
        let agent = id(agent);
        if let Ok(changes) = self.roster.revoke(&agent) {
            let issued = self.issued.get(&agent).copied().unwrap_or(0);
            self.barred.insert(agent.clone(), issued);
            self.revoked.insert(agent);
            self.store(changes);
        }
    }

    fn void(&mut self, token: Option<u8>) -> Checked {
        let usable = self.roster.usable_tokens(self.now);
        for token in &usable {
            prop_assert_eq!(self.uses.get(&token.token), Some(&token.uses));
        }
        let which = match token {
            None => WhichTokens::All,
            Some(token) => WhichTokens::Ids(vec![random(token % self.made_tokens.max(1)).0]),
        };
        let (voided, changes) = self.roster.void_tokens(&which, self.now);
        prop_assert!(voided.iter().all(|token| usable.contains(token)));
        prop_assert!(token.is_some() || voided.len() == usable.len());
        self.uses
            .extend(voided.iter().map(|token| (token.token, 0)));
        self.store(changes);
        Ok(())
    }

    fn import(&mut self, list: &[(u32, u8, bool)]) {
        let known = |(agent, given, removed): &(u32, u8, bool)| KnownAgent {
            id: id(*agent),
            name: name(&named(*given)),
            removed: *removed,
        };
        let list: Vec<_> = list.iter().map(known).collect();
        let number = &mut self.made_tokens;
        let mut supply = || {
            *number += 1;
            random(*number - 1)
        };
        let imported = self.roster.import(&list, DAY, &mut supply, self.now);
        let imported = imported.unwrap();
        let uses = imported.tokens.iter().map(|token| (token.id, 1));
        self.uses.extend(uses);
        for agent in &list {
            if agent.removed && !self.ids.contains(&agent.id) {
                self.revoked.insert(agent.id.clone());
            }
        }
        self.store(imported.changes);
    }

    /// The manager starts anew, from its tables.
    fn restart(&mut self) -> Checked {
        let before = Roster {
            problems: Problems::default(),
            ..self.roster.clone()
        };
        let replayed = Roster::load("gate", self.log.clone());
        prop_assert_eq!(replayed.as_ref(), Ok(&before));
        let loaded = Roster::load("gate", self.rows.all());
        prop_assert_eq!(loaded.as_ref(), Ok(&before));
        self.roster = before;
        Ok(())
    }

    fn check(&mut self) -> Checked {
        let mut names = BTreeSet::new();
        for member in self.roster.members() {
            let revoked = self.revoked.contains(member.id());
            let counts = !revoked && !member.name().is_empty();
            prop_assert!(!counts || names.insert(member.name()), "{}", member.name());
            self.ids.insert(member.id().clone());
        }
        let here = self.ids.iter().all(|id| self.roster.agent(id).is_some());
        prop_assert!(here, "an id was forgotten");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn identities_hold_whatever_happens(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step)?;
        }
        world.restart()?;
    }
}
