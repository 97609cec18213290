//! Certificates: which are recorded, which are let in, which are shut out.

use crate::clock::Wall;
use crate::model::{AgentId, Fingerprint};
use crate::roster::Roster;
use crate::roster::change::{CertificateRow, Change, Standing};
use crate::roster::error::{Inconsistent, RosterError};
use crate::roster::member::Member;

/// How many certificates are remembered of one agent. It renews at two thirds
/// of a lifetime, so an honest one has two or three that have not expired;
/// older ones are then unknown, and refused as such.
const REMEMBERED: usize = 8;

/// An agent that may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    pub id: AgentId,
    /// Of the certificate it came with.
    pub generation: u32,
    /// When that certificate expires.
    pub not_after: Wall,
}

/// Why a peer with a certificate of our CA is not let in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "admit agent {claimed}: its certificate is not known here\n(enroll it anew: `ripostctl enroll token --id {claimed}`)"
    )]
    UnknownCertificate { claimed: AgentId },
    #[error(
        "admit agent {agent}: its certificate has expired\n(enroll it anew: `ripostctl enroll token --id {agent}`)"
    )]
    Expired { agent: AgentId },
    #[error(
        "admit agent {agent}: it is revoked\n(`ripostctl enroll token --id {agent}` lets it enroll again)"
    )]
    Revoked { agent: AgentId },
    #[error(
        "admit agent {agent}: its certificate is from before it was enrolled anew\n(a host that has just been enrolled takes up its new certificate by itself; enroll any other by a token of its own)"
    )]
    Replaced { agent: AgentId },
    #[error(
        "admit agent {agent}: its certificate has generation {seen}, and {newest} was used already, so its key may have been copied\n(find out who has it, then enroll the host anew: `ripostctl enroll token --id {agent}`)"
    )]
    OldGeneration {
        agent: AgentId,
        seen: u32,
        newest: u32,
    },
    #[error(
        "admit agent {claimed}: its certificate is that of agent {agent}\n(a home was copied from one host to another; enroll this host by a token of its own)"
    )]
    WrongId { claimed: AgentId, agent: AgentId },
}

impl Roster {
    /// The generation of the certificate that replaces the present one.
    pub fn next_generation(&mut self, id: &AgentId) -> Result<(u32, Vec<Change>), RosterError> {
        let member = self.remote(id)?;
        if !member.is_enrolled() {
            return Err(RosterError::NotEnrolled(id.clone()));
        }
        let mut row = member.row.clone();
        row.issued += 1;
        let generation = row.issued;
        Ok((generation, self.commit(vec![Change::Agent(Box::new(row))])))
    }

    /// Records a certificate that was made for a generation that was issued.
    pub fn certified(
        &mut self,
        id: &AgentId,
        generation: u32,
        fingerprint: Fingerprint,
        not_after: Wall,
    ) -> Result<Vec<Change>, RosterError> {
        let member = self.remote(id)?;
        let issued = (1..=member.row.issued).contains(&generation);
        let twice = member
            .certificates
            .iter()
            .any(|one| one.generation == generation);
        if !issued || twice || self.owners.contains_key(&fingerprint) {
            let agent = id.clone();
            return Err(RosterError::Certificate { agent, generation });
        }
        let in_use = member.row.generation;
        let others = member
            .certificates
            .iter()
            .filter(|one| one.generation != in_use);
        let too_many = (member.certificates.len() + 1).saturating_sub(REMEMBERED);
        let mut changes: Vec<_> = others
            .take(too_many)
            .map(|one| Change::CertificateGone(one.fingerprint))
            .collect();
        changes.push(Change::Certificate(CertificateRow {
            fingerprint,
            agent: id.clone(),
            generation,
            not_after,
        }));
        Ok(self.commit(changes))
    }

    /// Another host has come with the certificate of an agent that is connected.
    pub fn used_twice(&mut self, agent: &AgentId, from: &str, now: Wall) {
        self.problems.twice(agent, from, now);
    }

    /// Whether a peer may come in that has proven to have the key of this
    /// certificate and says to be `claimed`. The first use of a generation
    /// makes those before it invalid.
    ///
    /// `from` is the address of the peer, for people.
    pub fn admit(
        &mut self,
        fingerprint: &Fingerprint,
        claimed: &AgentId,
        from: &str,
        now: Wall,
    ) -> Result<(Admitted, Vec<Change>), Refusal> {
        let (member, certificate) = match self.judged(fingerprint, claimed, now) {
            Ok(found) => found,
            Err(refusal) => {
                if let Refusal::OldGeneration { agent, .. } = &refusal {
                    self.problems.copied(agent, from, now);
                }
                return Err(refusal);
            }
        };
        let admitted = Admitted {
            id: certificate.agent.clone(),
            generation: certificate.generation,
            not_after: certificate.not_after,
        };
        let mut changes = Vec::new();
        if certificate.generation > member.row.generation {
            let mut row = member.row.clone();
            row.generation = certificate.generation;
            changes.push(Change::Agent(Box::new(row)));
        }
        Ok((admitted, self.commit(changes)))
    }

    fn judged(
        &self,
        fingerprint: &Fingerprint,
        claimed: &AgentId,
        now: Wall,
    ) -> Result<(&Member, &CertificateRow), Refusal> {
        let owner = self.owners.get(fingerprint);
        let member = owner.and_then(|owner| self.members.get(owner));
        let found = member.and_then(|member| Some((member, member.certificate(fingerprint)?)));
        let Some((member, certificate)) = found else {
            let claimed = claimed.clone();
            return Err(Refusal::UnknownCertificate { claimed });
        };
        let agent = member.id().clone();
        if certificate.not_after <= now {
            return Err(Refusal::Expired { agent });
        }
        if !member.is_enrolled() {
            return Err(Refusal::Revoked { agent });
        }
        if certificate.generation < member.row.generation {
            return Err(Refusal::OldGeneration {
                agent,
                seen: certificate.generation,
                newest: member.row.generation,
            });
        }
        // Not to be reported: the host itself may come once more with it before
        // it has stored the new one.
        if certificate.generation <= member.row.barred {
            return Err(Refusal::Replaced { agent });
        }
        if agent != *claimed {
            let claimed = claimed.clone();
            return Err(Refusal::WrongId { claimed, agent });
        }
        Ok((member, certificate))
    }

    /// Shuts an agent out for good: none of its certificates and tokens is
    /// valid any more, and its name is free. It may be enrolled anew by a token
    /// made for its id after this. Of one that is revoked already the token is
    /// all there can be; without one that is an error.
    pub fn revoke(&mut self, id: &AgentId) -> Result<Vec<Change>, RosterError> {
        let member = self.remote(id)?;
        if member.standing() == Standing::Revoked {
            let token = member
                .token
                .ok_or_else(|| RosterError::AlreadyRevoked(id.clone()))?;
            return Ok(self.commit(vec![Change::TokenGone(token)]));
        }
        let mut row = member.row.clone();
        row.standing = Standing::Revoked;
        row.barred = row.issued;
        let mut changes = vec![Change::Agent(Box::new(row))];
        changes.extend(member.token.map(Change::TokenGone));
        self.problems.settle(id);
        Ok(self.commit(changes))
    }

    /// An agent that is not the manager's own host.
    fn remote(&self, id: &AgentId) -> Result<&Member, RosterError> {
        if *id == AgentId::MANAGER {
            return Err(RosterError::Origin);
        }
        self.members
            .get(id)
            .ok_or_else(|| RosterError::Unknown(id.clone()))
    }

    pub(super) fn put_certificate(&mut self, row: CertificateRow) -> Result<(), Inconsistent> {
        let member = self.members.get_mut(&row.agent);
        let member = member.ok_or_else(|| Inconsistent::Certificate {
            certificate: row.fingerprint.to_string(),
            agent: row.agent.clone(),
        })?;
        self.owners.insert(row.fingerprint, row.agent.clone());
        let list = &mut member.certificates;
        let at = list.partition_point(|one| one.generation < row.generation);
        list.insert(at, row);
        Ok(())
    }

    pub(super) fn drop_certificate(&mut self, fingerprint: &Fingerprint) {
        let owner = self.owners.remove(fingerprint);
        if let Some(member) = owner.and_then(|owner| self.members.get_mut(&owner)) {
            member
                .certificates
                .retain(|one| one.fingerprint != *fingerprint);
        }
    }
}

impl Member {
    /// The certificates without which it could come in as well: all but the
    /// newest and the one in use, and these too if they are void.
    pub(super) fn dispensable(&self) -> impl Iterator<Item = &CertificateRow> {
        let newest = self.certificates.last().map(|one| one.generation);
        self.certificates.iter().filter(move |one| {
            let needed = one.generation == self.row.generation || Some(one.generation) == newest;
            let void = !self.is_enrolled() || one.generation <= self.row.barred;
            void || !needed
        })
    }

    fn certificate(&self, fingerprint: &Fingerprint) -> Option<&CertificateRow> {
        self.certificates
            .iter()
            .find(|one| one.fingerprint == *fingerprint)
    }
}
