//! Agents that are known elsewhere: OSSEC's or Wazuh's `client.keys`.

use std::collections::HashSet;

use crate::clock::Wall;
use crate::model::AgentId;
use crate::roster::Roster;
use crate::roster::change::{AgentRow, Change, Standing};
use crate::roster::error::RosterError;
use crate::roster::tokens::{TokenParts, expiry};
use crate::wire::control::KnownAgent;
use crate::wire::enroll::{Secret, TokenId};

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// One for each agent that may enroll now.
    pub tokens: Vec<TokenParts>,
    /// What was not taken in, and why, one sentence each.
    pub notes: Vec<String>,
    pub changes: Vec<Change>,
}

/// What is to be done with one agent of the list.
enum Verdict {
    /// It gets a token, and a row if it has none.
    Invite,
    /// Its id is not to be used again.
    Block,
    /// It is enrolled already.
    Enrolled,
    /// Its id is blocked already.
    Blocked,
    /// It is not taken in.
    Skip(String),
}

impl Roster {
    /// Takes in agents with their ids and names as invited, each with a token
    /// valid for `ttl` seconds; those removed elsewhere only block their ids.
    /// What is here already is never overwritten. An agent that is invited
    /// already gets a fresh token, and its earlier one is void: whoever imports
    /// a second time has lost the first list, or wants it to be worth nothing.
    pub fn import(
        &mut self,
        agents: &[KnownAgent],
        ttl: u64,
        random: &mut dyn FnMut() -> (TokenId, Secret),
        now: Wall,
    ) -> Result<Imported, RosterError> {
        let expires = expiry(ttl, now)?;
        let mut imported = Imported::default();
        let mut listed = HashSet::new();
        let mut enrolled = 0;
        for agent in agents {
            let verdict = if listed.insert(&agent.id) {
                self.judge_known(agent)
            } else {
                Verdict::Skip(format!("agent {} is listed twice", agent.id))
            };
            let changes = match verdict {
                Verdict::Invite => {
                    let parts = self.invitation(agent, expires, random);
                    let changes = self.changes_of(&parts, &[]);
                    imported.tokens.push(parts);
                    changes
                }
                Verdict::Block => vec![Change::Agent(Box::new(AgentRow {
                    name: Some(agent.name.clone()),
                    ..AgentRow::new(agent.id.clone(), Standing::Revoked)
                }))],
                Verdict::Enrolled => {
                    enrolled += 1;
                    continue;
                }
                Verdict::Blocked => continue,
                Verdict::Skip(note) => {
                    imported.notes.push(note);
                    continue;
                }
            };
            imported.changes.extend(self.commit(changes));
        }
        if enrolled > 0 {
            let note = format!("{enrolled} agents are enrolled already and need no token");
            imported.notes.push(note);
        }
        Ok(imported)
    }

    fn judge_known(&self, known: &KnownAgent) -> Verdict {
        let KnownAgent { id, name, removed } = known;
        if *id == AgentId::MANAGER {
            return Verdict::Skip(format!(
                "agent 000 {name} is not taken in: here it is the manager's own host"
            ));
        }
        let Some(member) = self.members.get(id) else {
            return match self.other_holder(name, None) {
                _ if *removed => Verdict::Block,
                None => Verdict::Invite,
                Some(holder) => Verdict::Skip(format!(
                    "agent {id} is not taken in: agent {holder} is named {name} already (make it a token with another name: `ripostctl enroll token --id {id} --name NAME`)"
                )),
            };
        };
        let same = member.name().eq_ignore_ascii_case(name.as_str());
        match (member.standing(), *removed) {
            (Standing::Revoked, true) => Verdict::Blocked,
            (Standing::Revoked, false) => Verdict::Skip(format!(
                "agent {id} {name} is not taken in: it is revoked here (`ripostctl enroll token --id {id}` lets it enroll again)"
            )),
            (Standing::Invited | Standing::Enrolled, true) => Verdict::Skip(format!(
                "agent {id} {name} was removed there and is left as it is here (`ripostctl agents revoke {id}` shuts it out)"
            )),
            (Standing::Invited | Standing::Enrolled, false) if !same => Verdict::Skip(format!(
                "agent {id} {name} is not taken in: here its id is that of {}",
                match member.name() {
                    "" => "an agent without a name",
                    name => name,
                }
            )),
            (Standing::Invited, false) => Verdict::Invite,
            (Standing::Enrolled, false) => Verdict::Enrolled,
        }
    }

    fn invitation(
        &self,
        agent: &KnownAgent,
        expires: Wall,
        random: &mut dyn FnMut() -> (TokenId, Secret),
    ) -> TokenParts {
        let (mut id, mut secret) = random();
        // The ids are random and have 64 bits: this is as good as never true.
        while self.tokens.contains_key(&id) {
            (id, secret) = random();
        }
        TokenParts {
            agent: Some(agent.id.clone()),
            name: Some(agent.name.clone()),
            id,
            secret,
            uses: 1,
            expires,
        }
    }
}
