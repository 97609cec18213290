//! Why something cannot be done with the roster.

use crate::model::{AgentId, AgentName};

/// Why a person's wish, or a change of an agent, is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RosterError {
    #[error(
        "change agent 000: it is the manager's own host\n(it has no token and no certificate; stop its agentd to be without it)"
    )]
    Origin,
    #[error("find agent {0}: nobody has this id\n(`ripostctl agents` lists those there are)")]
    Unknown(AgentId),
    #[error(
        "revoke agent {0}: it is revoked already\n(`ripostctl enroll token --id {0}` lets it enroll again)"
    )]
    AlreadyRevoked(AgentId),
    #[error(
        "issue certificate for agent {0}: it is not enrolled\n(`ripostctl enroll token --id {0}` lets it enroll)"
    )]
    NotEnrolled(AgentId),
    /// Of a certificate that was not asked for, or is recorded already.
    #[error("record certificate of agent {agent}: nobody waits for its generation {generation}")]
    Certificate { agent: AgentId, generation: u32 },
    #[error(
        "make token: nobody could use it\n(write how many hosts may enroll with it, 1 or more)"
    )]
    NoUse,
    #[error(
        "make token: {0} hosts cannot share an id or a name\n(leave the number of uses away, or the id and the name)"
    )]
    Shared(u32),
    #[error("make token: it cannot be valid for {0} s\n(1 s to 365 d are possible)")]
    Lifetime(u64),
    #[error(
        "make token: agent {holder} is named {name} already\n(choose another name, or make a token for that agent: --id {holder})"
    )]
    NameTaken { name: AgentName, holder: AgentId },
    #[error("make token: its random id is in use\n(try again)")]
    Collision,
}

/// A row that refers to one that is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Inconsistent {
    #[error("load certificate {certificate}: its agent {agent} is not stored")]
    Certificate { certificate: String, agent: AgentId },
    #[error("load token {token}: its agent {agent} is not stored")]
    Token { token: String, agent: AgentId },
    #[error("load agent {0}: its capabilities are not stored")]
    Capabilities(AgentId),
}
