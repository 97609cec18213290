//! What was last seen of an agent.

use crate::clock::Wall;
use crate::model::{AgentId, Capabilities, JournalId};
use crate::roster::Roster;
use crate::roster::change::{AgentRow, CapabilitiesRow, Change, Digest};

/// Bytes of JSON that are kept of what a host can do. One with a hundred
/// executables needs about 8 KiB.
const DESCRIPTION: usize = 64 * 1024;

/// Characters that are kept, or logged, of a name, an address or a version.
const TEXT: usize = 64;

/// What is newly known of an agent that is connected or has just gone; what is
/// none stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    pub address: Option<String>,
    pub version: Option<String>,
    pub journal: Option<JournalId>,
    pub capabilities: Option<Capabilities>,
}

impl Roster {
    /// Notes that an agent was there. No changes if nobody has this id.
    pub fn seen(&mut self, id: &AgentId, sighting: Sighting, now: Wall) -> Vec<Change> {
        let Some(member) = self.members.get(id) else {
            return Vec::new();
        };
        let mut row = member.row.clone();
        row.last_seen = Some(now);
        let kept = |text: String| shortened(&text).to_owned();
        row.address = sighting.address.map(kept).or(row.address);
        row.version = sighting.version.map(kept).or(row.version);
        row.journal = sighting.journal.or(row.journal);
        let changes = match sighting.capabilities {
            Some(capabilities) => self.able(row, capabilities),
            None => vec![Change::Agent(Box::new(row))],
        };
        self.commit(changes)
    }

    /// The changes of an agent that says what its host can do.
    fn able(&mut self, row: AgentRow, capabilities: Capabilities) -> Vec<Change> {
        let text = serde_json::to_string(&capabilities)
            .expect("names, switches and lists always serialise");
        if text.len() > DESCRIPTION {
            self.problems.boasting(&row.id, text.len());
            return self.with_capabilities(row, None);
        }
        self.problems.modest(&row.id);
        let digest = Digest::of(text.as_bytes());
        let known = self.capabilities.contains_key(&digest);
        let mut changes = Vec::new();
        if !known {
            changes.push(Change::Capabilities(CapabilitiesRow {
                digest,
                capabilities,
            }));
        }
        changes.extend(self.with_capabilities(row, Some(digest)));
        changes
    }

    /// The changes of a row that refers to other capabilities than before.
    fn with_capabilities(&self, mut row: AgentRow, digest: Option<Digest>) -> Vec<Change> {
        let before = std::mem::replace(&mut row.capabilities, digest);
        let left = before.filter(|before| {
            let shared = self.capabilities.get(before);
            Some(*before) != digest && shared.is_some_and(|shared| shared.users == 1)
        });
        let mut changes = vec![Change::Agent(Box::new(row))];
        changes.extend(left.map(Change::CapabilitiesGone));
        changes
    }
}

/// As much of a text that an agent says of itself as people need to see.
pub fn shortened(text: &str) -> &str {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
