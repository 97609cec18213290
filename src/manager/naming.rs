//! What an action is called: an id that is derived, so that an alert that is read
//! twice leads to the same actions ([`ActionId`]).

use sha2::{Digest, Sha256};

use crate::alert::Alert;
use crate::model::{ActionId, AgentId};
use crate::source::{Line, Receipt};

/// What tells one alert of a source from all others.
pub(super) struct Place<'a> {
    pub(super) source: &'a str,
    pub(super) line: &'a Line,
    /// Among those of its line.
    pub(super) ordinal: usize,
    /// The SHA-256 of the alert, where that and not its line names it.
    pub(super) bytes: Option<[u8; 32]>,
}

impl Place<'_> {
    /// The same alert, response and agent always give the same id. The parts are
    /// delimited by their lengths.
    pub(super) fn action_id(&self, response: &str, agent: &AgentId) -> ActionId {
        let generation = self.line.generation.0.to_be_bytes();
        let offset = self.line.offset.to_be_bytes();
        let agent = agent.to_string();
        let ordinal = self.ordinal.to_be_bytes();
        let mut parts = vec![self.source.as_bytes()];
        match &self.bytes {
            Some(bytes) => parts.push(bytes),
            None => parts.extend([generation.as_slice(), &offset]),
        }
        parts.extend([response.as_bytes(), agent.as_bytes()]);
        // The first alert of a line has the id that it had when there was no other.
        if self.ordinal > 0 {
            parts.push(&ordinal);
        }
        derived(&parts)
    }
}

/// The bytes that name an alert which somebody sent who does not learn whether it
/// arrived, and so may send it again, as rsyslog does after a connection was
/// refused. Without an id or a time of its own it could as well be another one.
pub(super) fn by_bytes(alert: &Alert<'_>, receipt: &Receipt) -> Option<[u8; 32]> {
    match receipt {
        Receipt::None if alert.id.is_some() || alert.timestamp.is_some() => {
            Some(Sha256::digest(&alert.body).into())
        }
        // A file has positions, and who waits for an answer names what he sends.
        Receipt::None | Receipt::Position(_) | Receipt::Answer(_) => None,
    }
}

/// An id derived from these parts.
pub(super) fn derived(parts: &[&[u8]]) -> ActionId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    ActionId::from_bytes(id)
}
