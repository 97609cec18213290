//! The first frame in each direction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::AgentId;
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
    Agent {
        protocol: u32,
        id: AgentId,
        version: String,
        /// As the kernel writes it; another one means that the host has been
        /// started anew since.
        boot_id: String,
    },
}

impl Hello {
    /// What this `ripostctl` says.
    pub fn ctl() -> Self {
        Self::Ctl {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What this agentd says.
    pub fn agent(id: AgentId, boot_id: String) -> Self {
        Self::Agent {
            protocol: PROTOCOL,
            id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id,
        }
    }

    /// The answer to a peer that speaks another protocol than we do.
    pub fn mismatch(&self, daemon: Daemon) -> Option<Greeting> {
        let (Self::Ctl { protocol, version }
        | Self::Agent {
            protocol, version, ..
        }) = self;
        (*protocol != PROTOCOL).then(|| Greeting::Denied {
            denial: Denial::Version,
            text: format!(
                "{daemon} {} speaks protocol {PROTOCOL}, the other side ({version}) speaks {protocol}",
                env!("CARGO_PKG_VERSION")
            ),
        })
    }
}

/// What the side that was dialled answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Greeting {
    Welcome {
        daemon: Daemon,
        protocol: u32,
        version: String,
    },
    Denied {
        denial: Denial,
        /// For people: what was wrong and what to do.
        text: String,
    },
}

impl Greeting {
    /// What this daemon answers to a peer that it accepts.
    pub fn welcome(daemon: Daemon) -> Self {
        Self::Welcome {
            daemon,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Why a peer is not accepted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denial {
    /// This peer may not, now or later.
    NotPermitted,
    /// It speaks another protocol.
    Version,
    /// Not now: too many connections, or the daemon is stopping.
    Busy,
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
    use super::{Daemon, Denial, Greeting, Hello};
    use crate::model::AgentId;
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
        let agent = Hello::agent(AgentId::MANAGER, "b".to_owned());
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
        let text = serde_json::to_string(&Greeting::welcome(Daemon::Agentd)).unwrap();
        assert!(text.starts_with(r#"{"welcome":{"daemon":"ripost-agentd","protocol":1,"#));
    }
}
