//! What is stored of the roster: rows, each replacing the one of the same key.

use std::fmt;
use std::hint;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Wall;
use crate::model::{
    AgentGroup, AgentId, AgentName, Capabilities, Fingerprint, InvalidName, JournalId,
};
use crate::wire::enroll::TokenId;

/// One row that is to be stored or removed. Those that one method returns
/// belong into one transaction.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Agent(Box<AgentRow>),
    Certificate(CertificateRow),
    CertificateGone(Fingerprint),
    Token(Box<TokenRow>),
    TokenGone(TokenId),
    Capabilities(CapabilitiesRow),
    CapabilitiesGone(Digest),
    /// The next id to be handed out, unless somebody has it by then.
    Next(u32),
}

/// How an agent stands with its manager.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It has an id and never had a certificate.
    Invited,
    Enrolled,
    /// It is shut out. Its id stays its own, its name is free.
    Revoked,
}

/// What is stored of an agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AgentRow {
    pub id: AgentId,
    /// None for 000, and for one that was invited by its id alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<AgentGroup>,
    pub standing: Standing,
    /// The newest generation of its certificates that was used; 0 for none.
    pub generation: u32,
    /// The newest generation that was issued; 0 for none.
    pub issued: u32,
    /// Generations up to this one are void, for good: the agent was revoked
    /// after them, or enrolled anew. 0 for none.
    #[serde(default)]
    pub barred: u32,
    /// When it was enrolled the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Digest>,
}

impl AgentRow {
    pub(super) fn new(id: AgentId, standing: Standing) -> Self {
        Self {
            id,
            name: None,
            groups: Vec::new(),
            standing,
            generation: 0,
            issued: 0,
            barred: 0,
            since: None,
            last_seen: None,
            address: None,
            version: None,
            journal: None,
            capabilities: None,
        }
    }
}

/// What is stored of a certificate.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CertificateRow {
    pub fingerprint: Fingerprint,
    pub agent: AgentId,
    pub generation: u32,
    pub not_after: Wall,
}

/// What is stored of an enrollment token.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TokenRow {
    pub id: TokenId,
    /// Of the secret.
    pub digest: Digest,
    /// Uses that are left.
    pub uses: u32,
    pub expires: Wall,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<AgentGroup>,
    /// The one agent it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
}

/// What is stored of what hosts can do, once for all that are alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CapabilitiesRow {
    /// Of the capabilities as JSON.
    pub digest: Digest,
    pub capabilities: Capabilities,
}

/// A SHA-256, written as hexadecimal digits.
#[derive(Clone, Copy, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Whether both are equal, in a time that does not tell where they differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let differing = pairs.fold(0, |found, (a, b)| hint::black_box(found | (a ^ b)));
        differing == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        // Both are the 32 bytes of a SHA-256 in hexadecimal digits.
        Fingerprint::parse(&text).map(|hash| Self(*hash.bytes()))
    }
}
