//! A host becomes an agent.

use crate::clock::Wall;
use crate::model::{AgentGroup, AgentId, AgentName};
use crate::roster::Roster;
use crate::roster::change::{AgentRow, Change, Digest, Standing, TokenRow};
use crate::wire::enroll::EnrollRequest;
use crate::wire::hello::Denial;

/// What a host has become.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrolled {
    pub id: AgentId,
    pub name: AgentName,
    pub groups: Vec<AgentGroup>,
    /// Of the certificate that it is to be given.
    pub generation: u32,
}

/// Why a host is not enrolled. This text is for the log; what the peer may
/// know is [`EnrollError::for_peer`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnrollError {
    #[error("enroll {name}: {fault}")]
    Token { name: AgentName, fault: TokenFault },
    #[error("enroll {name}: agent {holder} is named so already\n({})", remedy(.holder))]
    NameTaken { name: AgentName, holder: AgentId },
    #[error("enroll {0}: there are no ids left")]
    Full(AgentName),
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenFault {
    #[error("nobody knows its token")]
    Unknown,
    #[error("the secret of its token is wrong")]
    WrongSecret,
    #[error("its token has expired")]
    Expired,
    #[error("its token is used up")]
    UsedUp,
}

fn remedy(holder: &AgentId) -> String {
    if *holder == AgentId::MANAGER {
        return "the manager's own host is; enroll this one under another name".to_owned();
    }
    format!(
        "if it is the same host, use a token of `ripostctl enroll token --id {holder}`; else enroll it under another name"
    )
}

impl EnrollError {
    /// What is said to the peer. All faults of a token read the same: who
    /// guesses learns nothing.
    pub fn for_peer(&self) -> (Denial, String) {
        match self {
            Self::Token { name, .. } => {
                let text = format!(
                    "enroll {name}: the token is not valid, or not any more\n(`ripostctl enroll token` on the manager prints a new one; its log says what is wrong with this one)"
                );
                (Denial::Token, text)
            }
            Self::NameTaken { .. } | Self::Full(_) => (Denial::NotPermitted, self.to_string()),
        }
    }
}

impl Roster {
    /// Enrolls a host: takes one use of its token and issues the next
    /// generation of certificates, both in the changes of this one call. None
    /// of the certificates that the agent had before is valid any more: whoever
    /// has copied one is out, whether or not the host uses its new one soon.
    ///
    /// Its name is that of the token, else the one the agent has that the token
    /// is for, else its own wish; a revoked agent has none left. Its groups are
    /// those of the token; a token without any leaves an agent in those it has.
    pub fn enroll(
        &mut self,
        request: &EnrollRequest,
        now: Wall,
    ) -> Result<(Enrolled, Vec<Change>), EnrollError> {
        let token = self.valid_token(request, now)?.clone();
        let id = match &token.agent {
            Some(id) => id.clone(),
            None => self
                .free_id()
                .ok_or_else(|| EnrollError::Full(request.name.clone()))?,
        };
        let row = self.enrolled_row(&id, &token, request, now);
        let name = row.name.clone().expect("an enrolled row has a name");
        if let Some(holder) = self.other_holder(&name, Some(&id)) {
            let holder = holder.clone();
            return Err(EnrollError::NameTaken { name, holder });
        }
        let enrolled = Enrolled {
            id: id.clone(),
            name,
            groups: row.groups.clone(),
            generation: row.issued,
        };
        let mut changes = vec![Change::Agent(Box::new(row))];
        if token.agent.is_none() {
            changes.push(Change::Next(id.number() + 1));
        }
        let uses = token.uses - 1;
        changes.push(Change::Token(Box::new(TokenRow { uses, ..token })));
        self.problems.settle(&id);
        Ok((enrolled, self.commit(changes)))
    }

    fn valid_token(&self, request: &EnrollRequest, now: Wall) -> Result<&TokenRow, EnrollError> {
        let digest = Digest::of(request.secret.bytes());
        let fault = match self.tokens.get(&request.token) {
            None => TokenFault::Unknown,
            Some(token) if !token.digest.is(&digest) => TokenFault::WrongSecret,
            Some(token) if token.expires <= now => TokenFault::Expired,
            Some(token) if token.uses == 0 => TokenFault::UsedUp,
            Some(token) => return Ok(token),
        };
        let name = request.name.clone();
        Err(EnrollError::Token { name, fault })
    }

    /// The next id that nobody has or had.
    fn free_id(&self) -> Option<AgentId> {
        (self.next..)
            .map_while(AgentId::from_number)
            .find(|id| !self.members.contains_key(id))
    }

    fn enrolled_row(
        &self,
        id: &AgentId,
        token: &TokenRow,
        request: &EnrollRequest,
        now: Wall,
    ) -> AgentRow {
        let mut row = match self.members.get(id) {
            Some(member) => member.row.clone(),
            None => AgentRow::new(id.clone(), Standing::Invited),
        };
        if row.standing == Standing::Revoked {
            row.name = None;
        }
        let given = token.name.clone().or(row.name);
        row.name = Some(given.unwrap_or_else(|| request.name.clone()));
        if !token.groups.is_empty() {
            row.groups = token.groups.clone();
        }
        row.standing = Standing::Enrolled;
        row.barred = row.issued;
        row.issued += 1;
        row.since = Some(now);
        row
    }
}
