//! One agent as the manager knows it.

use std::sync::Arc;

use crate::clock::Wall;
use crate::model::{AgentGroup, AgentId, Capabilities, JournalId, Selector};
use crate::roster::change::{AgentRow, CertificateRow, Standing};
use crate::wire::enroll::TokenId;

/// One agent as the manager knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub(super) row: AgentRow,
    /// The name of the manager's host, which 000 alone goes by.
    pub(super) host: Option<Box<str>>,
    pub(super) capabilities: Option<Arc<Capabilities>>,
    /// By generation, the oldest first.
    pub(super) certificates: Vec<CertificateRow>,
    /// The token that is bound to it.
    pub(super) token: Option<TokenId>,
}

impl Member {
    pub fn id(&self) -> &AgentId {
        &self.row.id
    }

    /// Empty for one that was invited by its id alone. That of a revoked agent
    /// may be another one's by now.
    pub fn name(&self) -> &str {
        match (&self.host, &self.row.name) {
            (Some(host), _) => host,
            (None, Some(name)) => name.as_str(),
            (None, None) => "",
        }
    }

    pub fn groups(&self) -> &[AgentGroup] {
        &self.row.groups
    }

    pub fn standing(&self) -> Standing {
        self.row.standing
    }

    /// Whether actions may be meant for it.
    pub fn is_enrolled(&self) -> bool {
        self.row.standing == Standing::Enrolled
    }

    /// Whether it is the agent on the manager's own host.
    pub fn is_origin(&self) -> bool {
        self.row.id == AgentId::MANAGER
    }

    /// The newest generation of its certificates that was used; 0 for none.
    pub fn generation(&self) -> u32 {
        self.row.generation
    }

    /// When it was enrolled the last time; none for 000.
    pub fn since(&self) -> Option<Wall> {
        self.row.since
    }

    pub fn last_seen(&self) -> Option<Wall> {
        self.row.last_seen
    }

    /// Where it connected from the last time.
    pub fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    pub fn version(&self) -> Option<&str> {
        self.row.version.as_deref()
    }

    /// The journal it had the last time.
    pub fn journal(&self) -> Option<JournalId> {
        self.row.journal
    }

    /// What its host can do, as far as it has said.
    pub fn capabilities(&self) -> Option<&Arc<Capabilities>> {
        self.capabilities.as_ref()
    }

    pub(super) fn is_meant(&self, selector: &Selector) -> bool {
        self.is_enrolled() && selector.is(self.id(), self.name(), self.groups())
    }
}
