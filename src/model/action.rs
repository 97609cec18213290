//! An action: one response on one agent for one alert, as manager and agent
//! both know it and as it is written to `responses.json`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    ActionId, AgentId, CommandName, ExeName, FieldMap, GroupName, Level, RepeatedOffenders, RuleId,
};

/// What has become of an action. The words are those of `responses.json`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionState {
    /// The host is offline; the action waits for it.
    Queued,
    /// Handed to the host, which has not answered yet.
    Sent,
    /// The executable runs.
    Running,
    /// In force.
    Applied,
    /// Another action, or the administrator, has it in force.
    Already,
    /// Done, and nothing to revert.
    Done,
    /// Its time is over (or a person asked) and the revert is not confirmed yet.
    Reverting,
    /// Taken back.
    Reverted,
    /// Did not happen; the detail says why.
    Failed,
    /// A guard said no; the detail says which.
    Refused,
    /// Waited for its host until it would have been pointless.
    Expired,
    /// A limit or a counting rule said no.
    Suppressed,
}

impl ActionState {
    /// Whether nothing follows this state.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Sent | Self::Running | Self::Applied | Self::Reverting => false,
            Self::Already
            | Self::Done
            | Self::Reverted
            | Self::Failed
            | Self::Refused
            | Self::Expired
            | Self::Suppressed => true,
        }
    }

    /// Whether its effect stands, or is being taken back.
    pub fn is_in_force(self) -> bool {
        matches!(self, Self::Applied | Self::Reverting)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Applied => "applied",
            Self::Already => "already",
            Self::Done => "done",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
        }
    }
}

impl fmt::Display for ActionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a response runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// On the agent the alert came from.
    Local,
    /// On the manager's own host, agent `000`.
    Server,
    /// On agents that are named by id, range, name or group.
    DefinedAgent,
    /// On every agent, the manager's host included.
    All,
}

impl Location {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Server => "server",
            Self::DefinedAgent => "defined-agent",
            Self::All => "all",
        }
    }
}

/// Whether an effect is made or taken back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Add,
    Delete,
}

/// How a script is spoken to. A bundled executable always gets
/// [`Contract::Json`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// One JSON line on stdin, as Wazuh 4.2 and later.
    Json,
    /// Words behind its name, as OSSEC and Wazuh before 4.2.
    Argv(Wanted),
    /// One JSON line on stdin with `enable` or `disable`, as Wazuh 5.
    V5,
}

impl Contract {
    /// The word in `<contract>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Argv(_) => "argv",
            Self::V5 => "v5",
        }
    }

    /// Whether a script is reverted at its end although it printed no keys:
    /// only Wazuh 4.x takes one that prints none for a notifier.
    pub fn reverts_without_keys(self) -> bool {
        match self {
            Self::Json => false,
            Self::Argv(_) | Self::V5 => true,
        }
    }
}

/// What of an alert a script is given as words (`<expect>`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Wanted {
    pub user: Want,
    pub srcip: Want,
    pub filename: Want,
}

/// Whether a script is given something.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Never: it gets `-`.
    No,
    /// If the alert has it, else `-`.
    Maybe,
    /// Always: without it the script does not run.
    Needed,
}

impl Wanted {
    /// Without an `<expect>`: whatever there is.
    pub const ANYTHING: Self = Self {
        user: Want::Maybe,
        srcip: Want::Maybe,
        filename: Want::Maybe,
    };

    /// With an empty `<expect>`.
    pub const NOTHING: Self = Self {
        user: Want::No,
        srcip: Want::No,
        filename: Want::No,
    };
}

/// An agent as people see it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AgentRef {
    pub id: AgentId,
    pub name: Arc<str>,
}

/// The rule that fired.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleRef {
    pub id: RuleId,
    pub level: Level,
    pub groups: Vec<GroupName>,
}

/// Everything a host needs to carry an action out, except the alert itself.
/// It travels to the agent, is kept in both journals, and comes back whole
/// with each result, so that either side can adopt what the other has lost.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Action {
    pub id: ActionId,
    pub command: CommandName,
    pub executable: ExeName,
    pub location: Location,
    pub agent: AgentRef,
    /// None if a person asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<RuleRef>>,
    /// The id of the alert, where it has one.
    pub alert: Option<Arc<str>>,
    /// How long it stays in force, from the moment the manager read the alert.
    /// `None`: stateless.
    #[serde(with = "millis", default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How much longer it stays in force on a host where its target has been
    /// blocked before. Older managers say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated_offenders: Option<Arc<RepeatedOffenders>>,
    pub extra_args: Vec<String>,
    /// Where the alert names what to act upon, unless that is where Wazuh 4.x
    /// has it. Older managers say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Arc<FieldMap>>,
    pub contract: Contract,
    /// Whether a script is reverted although it printed no keys
    /// (`<revert>yes</revert>`), or not although it did (`no`).
    pub revert: Option<bool>,
    #[serde(with = "millis", default, skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<Duration>,
    #[serde(with = "millis", default, skip_serializing_if = "Option::is_none")]
    pub handshake_timeout: Option<Duration>,
}

/// Optional spans as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => {
                serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
            }
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// Actions for tests.
#[cfg(test)]
pub(crate) mod sample {
    use std::time::Duration;

    use super::{Action, AgentRef, Contract, Location, RuleRef};
    use crate::model::{ActionId, AgentId, CommandName, ExeName, GroupName, Level, RuleId};

    /// An action with this number as its id; `timeout` is in seconds.
    pub(crate) fn action(number: u8, executable: &str, timeout: Option<u64>) -> Action {
        Action {
            id: ActionId::from_bytes([number; 16]),
            command: CommandName::parse("block").unwrap(),
            executable: ExeName::parse(executable).unwrap(),
            location: Location::Local,
            agent: AgentRef {
                id: AgentId::MANAGER,
                name: "host".into(),
            },
            rule: Some(
                RuleRef {
                    id: RuleId::parse("5763").unwrap(),
                    level: Level::parse("10").unwrap(),
                    groups: vec![GroupName::parse("sshd").unwrap()],
                }
                .into(),
            ),
            alert: Some("1772600767.41231".into()),
            timeout: timeout.map(Duration::from_secs),
            repeated_offenders: None,
            extra_args: Vec::new(),
            fields: None,
            contract: Contract::Json,
            revert: None,
            execution_timeout: None,
            handshake_timeout: Some(Duration::from_secs(5)),
        }
    }
}
