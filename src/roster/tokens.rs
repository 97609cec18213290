//! Enrollment tokens: made for a person, known by the hash of their secret.

use std::time::Duration;

use crate::clock::Wall;
use crate::model::{AgentGroup, AgentId, AgentName, Pin};
use crate::roster::Roster;
use crate::roster::change::{AgentRow, Change, Digest, Standing, TokenRow};
use crate::roster::error::{Inconsistent, RosterError};
use crate::wire::control::{IssuedToken, TokenWish, UsableToken, WhichTokens};
use crate::wire::enroll::{Secret, Token, TokenId};

/// How long a token may be valid, in seconds: 365 days.
const LONGEST: u64 = 365 * 24 * 3600;

/// A token that was made; the secret is nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenParts {
    /// The one agent it is for.
    pub agent: Option<AgentId>,
    pub name: Option<AgentName>,
    pub id: TokenId,
    pub secret: Secret,
    pub uses: u32,
    pub expires: Wall,
}

impl TokenParts {
    /// The token in one word with the pin of the manager's CA.
    pub fn reveal(&self, pin: Pin) -> IssuedToken {
        let token = Token {
            pin,
            id: self.id,
            secret: self.secret,
        };
        IssuedToken {
            id: self.agent.clone(),
            name: self.name.clone(),
            token: token.reveal(),
            uses: self.uses,
            expires: self.expires,
        }
    }
}

/// When a token made now expires.
pub(super) fn expiry(ttl: u64, now: Wall) -> Result<Wall, RosterError> {
    if !(1..=LONGEST).contains(&ttl) {
        return Err(RosterError::Lifetime(ttl));
    }
    Ok(now.plus(Duration::from_secs(ttl)))
}

impl Roster {
    /// Makes a token. One for an id makes that id known as invited, and takes
    /// the place of an earlier one for the same id: the last one printed is the
    /// one that counts.
    pub fn issue(
        &mut self,
        wish: &TokenWish,
        random: (TokenId, Secret),
        now: Wall,
    ) -> Result<(TokenParts, Vec<Change>), RosterError> {
        let expires = expiry(wish.ttl, now)?;
        if wish.uses == 0 {
            return Err(RosterError::NoUse);
        }
        if wish.uses > 1 && (wish.id.is_some() || wish.name.is_some()) {
            return Err(RosterError::Shared(wish.uses));
        }
        if wish.id == Some(AgentId::MANAGER) {
            return Err(RosterError::Origin);
        }
        if let Some(name) = &wish.name
            && let Some(holder) = self.other_holder(name, wish.id.as_ref())
        {
            let (name, holder) = (name.clone(), holder.clone());
            return Err(RosterError::NameTaken { name, holder });
        }
        if self.tokens.contains_key(&random.0) {
            return Err(RosterError::Collision);
        }
        let parts = TokenParts {
            agent: wish.id.clone(),
            name: wish.name.clone(),
            id: random.0,
            secret: random.1,
            uses: wish.uses,
            expires,
        };
        let changes = self.changes_of(&parts, &wish.groups);
        Ok((parts, self.commit(changes)))
    }

    /// The tokens with which hosts may still enroll, by their ends.
    pub fn usable_tokens(&self, now: Wall) -> Vec<UsableToken> {
        let usable = self.tokens.values().filter(|row| row.is_usable(now));
        let mut usable: Vec<_> = usable.map(UsableToken::from).collect();
        usable.sort_by_key(|token| (token.expires, token.token));
        usable
    }

    /// Makes tokens void. Returns those that could still be used.
    pub fn void_tokens(
        &mut self,
        which: &WhichTokens,
        now: Wall,
    ) -> (Vec<UsableToken>, Vec<Change>) {
        let mut voided = self.usable_tokens(now);
        match which {
            WhichTokens::All => {}
            WhichTokens::Ids(ids) => voided.retain(|token| ids.contains(&token.token)),
        }
        let changes = voided.iter().map(|token| Change::TokenGone(token.token));
        let changes = changes.collect();
        (voided, self.commit(changes))
    }

    /// What is to be stored for a new token.
    pub(super) fn changes_of(&self, parts: &TokenParts, groups: &[AgentGroup]) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(id) = &parts.agent {
            match self.members.get(id) {
                Some(member) => changes.extend(member.token.map(Change::TokenGone)),
                None => changes.push(Change::Agent(Box::new(AgentRow {
                    name: parts.name.clone(),
                    groups: groups.to_vec(),
                    ..AgentRow::new(id.clone(), Standing::Invited)
                }))),
            }
        }
        changes.push(Change::Token(Box::new(TokenRow {
            id: parts.id,
            digest: Digest::of(parts.secret.bytes()),
            uses: parts.uses,
            expires: parts.expires,
            groups: groups.to_vec(),
            agent: parts.agent.clone(),
            name: parts.name.clone(),
        })));
        changes
    }

    pub(super) fn put_token(&mut self, row: TokenRow) -> Result<(), Inconsistent> {
        if let Some(id) = &row.agent {
            let member = self.members.get_mut(id);
            let member = member.ok_or_else(|| Inconsistent::Token {
                token: row.id.to_string(),
                agent: id.clone(),
            })?;
            member.token = Some(row.id);
        }
        self.tokens.insert(row.id, row);
        Ok(())
    }

    pub(super) fn drop_token(&mut self, id: &TokenId) {
        let agent = self.tokens.remove(id).and_then(|row| row.agent);
        let member = agent.and_then(|agent| self.members.get_mut(&agent));
        if let Some(member) = member
            && member.token == Some(*id)
        {
            member.token = None;
        }
    }
}

impl TokenRow {
    fn is_usable(&self, now: Wall) -> bool {
        self.uses > 0 && now < self.expires
    }
}

impl From<&TokenRow> for UsableToken {
    fn from(row: &TokenRow) -> Self {
        Self {
            token: row.id,
            id: row.agent.clone(),
            name: row.name.clone(),
            groups: row.groups.clone(),
            uses: row.uses,
            expires: row.expires,
        }
    }
}
