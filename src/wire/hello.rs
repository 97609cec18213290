//! The first frame in each direction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{AgentId, Instance, JournalId};
use crate::wire::PROTOCOL;

/// Who dials.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hello {
    Ctl {
        protocol: u32,
        /// For people: the version of the package.
        version: String,
    },
    Agent(AgentHello),
}

/// An agent that dials.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AgentHello {
    pub protocol: u32,
    pub id: AgentId,
    /// For people: the version of the package.
    pub version: String,
    /// As the kernel writes it; another one means that the host has been
    /// started anew since.
    pub boot_id: String,
    /// Another one means that the agent has lost what it knew; the numbers of
    /// its updates begin anew with it.
    pub journal: JournalId,
    /// Tells a host that comes back from another one with the same certificate.
    pub instance: Instance,
    /// The name of the host, for people.
    pub host: String,
}

impl Hello {
    /// What this `ripostctl` says.
    pub fn ctl() -> Self {
        Self::Ctl {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The answer to a peer that speaks another protocol than we do.
    pub fn mismatch(&self, daemon: Daemon) -> Option<Greeting> {
        let (Self::Ctl { protocol, version }
        | Self::Agent(AgentHello {
            protocol, version, ..
        })) = self;
        (*protocol != PROTOCOL).then(|| Greeting::Denied {
            denial: Denial::Version,
            text: format!(
                "{daemon} {} speaks protocol {PROTOCOL}, the other side ({version}) speaks {protocol}",
                env!("CARGO_PKG_VERSION")
            ),
        })
    }
}

/// What a manager remembers of an agent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ManagerJournal {
    /// Another one than before means that the manager has lost what it knew of
    /// this agent.
    pub id: JournalId,
    /// Up to which number the updates of the agent's journal are taken in. More
    /// than the agent has told: its journal was put back from a copy. Less than
    /// the manager has confirmed: that of the manager was.
    pub heard: u64,
}

/// What the side that was dialled answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Greeting {
    Welcome {
        daemon: Daemon,
        protocol: u32,
        version: String,
        /// Of a manager that greets an agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal: Option<ManagerJournal>,
    },
    Denied {
        denial: Denial,
        /// For people: what was wrong and what to do.
        text: String,
    },
}

impl Greeting {
    /// What this daemon answers to a peer that it accepts.
    pub fn welcome(daemon: Daemon, journal: Option<ManagerJournal>) -> Self {
        Self::Welcome {
            daemon,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal,
        }
    }
}

/// Why a peer is not accepted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denial {
    /// This peer may not, now or later.
    NotPermitted,
    /// Its enrollment token is none that is valid now.
    Token,
    /// It speaks another protocol.
    Version,
    /// Not now: too many connections, or the daemon is stopping.
    Busy,
    /// Another host is connected with the same certificate.
    Twice,
}

/// Which daemon speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Daemon {
    #[serde(rename = "ripost-manager")]
    Manager,
    #[serde(rename = "ripost-agentd")]
    Agentd,
}

impl Daemon {
    /// The name of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "ripost-manager",
            Self::Agentd => "ripost-agentd",
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{AgentHello, Daemon, Denial, Greeting, Hello};
    use crate::model::{AgentId, Instance, JournalId};
    use crate::wire::{Frame, PROTOCOL};

    #[test]
    fn a_peer_of_another_protocol_is_told_both_versions() {
        let hello = Hello::Ctl {
            protocol: PROTOCOL + 1,
            version: "9.8.7".to_owned(),
        };
        let Some(Greeting::Denied { denial, text }) = hello.mismatch(Daemon::Manager) else {
            panic!("not denied");
        };
        assert_eq!(denial, Denial::Version);
        assert!(text.contains("9.8.7") && text.contains("ripost-manager"));
        let agent = Hello::Agent(AgentHello {
            protocol: PROTOCOL,
            id: AgentId::MANAGER,
            version: "0.1.0".to_owned(),
            boot_id: "b".to_owned(),
            journal: JournalId::from_bytes([1; 16]),
            instance: Instance::from_bytes([2; 8]),
            host: "web-7".to_owned(),
        });
        assert_eq!(agent.mismatch(Daemon::Manager), None);
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        let frame = Frame::new(&serde_json::json!({
            "ctl": {"protocol": 1, "version": "0.9", "locale": "de"}
        }))
        .unwrap();
        assert!(matches!(frame.message().unwrap(), Hello::Ctl { .. }));
    }

    #[test]
    fn the_greeting_names_the_program() {
        let text = serde_json::to_string(&Greeting::welcome(Daemon::Agentd, None)).unwrap();
        assert!(text.starts_with(r#"{"welcome":{"daemon":"ripost-agentd","protocol":1,"#));
    }
}
