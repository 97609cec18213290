//! What a person should look at.

use std::collections::BTreeMap;

use crate::clock::Wall;
use crate::model::AgentId;

/// How many problems are told one by one; of the others only the number.
const TOLD: usize = 64;

/// What a person should look at: the last of each kind for each agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Problems {
    told: BTreeMap<(AgentId, Kind), String>,
    /// Those that found no room.
    untold: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Copied,
    Twice,
    Boasting,
}

impl Problems {
    /// An old certificate was used after a newer one.
    pub(super) fn copied(&mut self, agent: &AgentId, from: &str, now: Wall) {
        let text = format!(
            "old certificate generation of agent {agent} seen from {from} at {now}: its key may have been copied (find out who has it, then `ripostctl enroll token --id {agent}` or `ripostctl agents revoke {agent}`)"
        );
        self.tell(agent, Kind::Copied, text);
    }

    /// Two hosts were there at one time with one certificate.
    pub(super) fn twice(&mut self, agent: &AgentId, from: &str, now: Wall) {
        let text = format!(
            "another host came from {from} at {now} with the certificate of agent {agent}, which was connected; it was not let in (was its home copied? enroll it by a token of its own)"
        );
        self.tell(agent, Kind::Twice, text);
    }

    /// It says of its host more than anybody keeps.
    pub(super) fn boasting(&mut self, agent: &AgentId, bytes: usize) {
        let text = format!(
            "agent {agent} describes its host in {bytes} bytes, which is too much to keep; what it cannot do is not known beforehand (look at its active-response/bin)"
        );
        self.tell(agent, Kind::Boasting, text);
    }

    /// It says so no longer.
    pub(super) fn modest(&mut self, agent: &AgentId) {
        self.told.remove(&(agent.clone(), Kind::Boasting));
    }

    /// An agent was enrolled anew, or shut out.
    pub(super) fn settle(&mut self, agent: &AgentId) {
        for kind in [Kind::Copied, Kind::Twice, Kind::Boasting] {
            self.told.remove(&(agent.clone(), kind));
        }
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let untold = (self.untold > 0).then(|| {
            format!(
                "{} more problems with agents, which the log tells",
                self.untold
            )
        });
        self.told.values().cloned().chain(untold).collect()
    }

    fn tell(&mut self, agent: &AgentId, kind: Kind, text: String) {
        let key = (agent.clone(), kind);
        if self.told.len() < TOLD || self.told.contains_key(&key) {
            self.told.insert(key, text);
        } else {
            self.untold += 1;
        }
    }
}
