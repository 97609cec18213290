//! What a person asks of a daemon, and what it answers. `ripostctl` speaks it
//! over the control socket; whatever comes later (HTTP, a page) will speak the
//! same requests.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Wall;
use crate::model::{
    ActionId, ActionState, AgentGroup, AgentId, AgentName, CommandName, Keys, Record, Target,
};
use crate::wire::enroll::TokenId;

/// A request on its way to the daemon's owner of the state, who answers it.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    pub answer: oneshot::Sender<Answer>,
}

/// What a person can ask of a daemon.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub enum Request {
    /// Answered with [`Answer::Status`].
    Status,
    /// Answered with [`Answer::Agents`].
    Agents,
    /// What is in force now; answered with [`Answer::Records`].
    Responses,
    /// What was, newest first; answered with [`Answer::Records`].
    History { limit: u32 },
    /// Takes actions back before their end; answered with [`Answer::Reverted`].
    Revert { which: Which },
    /// Applies the configuration on disk; answered with [`Answer::Reloaded`].
    Reload,
    /// Starts a command by hand; answered with [`Answer::Records`], one for
    /// each host, once each has an outcome or the patience is over.
    Run(Run),
    /// Makes an enrollment token; answered with [`Answer::Tokens`].
    EnrollToken(TokenWish),
    /// The tokens with which hosts may still enroll; answered with
    /// [`Answer::Usable`].
    EnrollList,
    /// Makes tokens void; answered with [`Answer::Usable`], which has those
    /// that could still be used and cannot any more.
    EnrollRevoke { tokens: WhichTokens },
    /// Takes in agents that are known elsewhere, with their ids and names;
    /// answered with [`Answer::Tokens`], one for each that is new here.
    Import {
        agents: Vec<KnownAgent>,
        /// How long their tokens are valid, in seconds.
        ttl: u64,
    },
    /// Shuts an agent out at once, and makes the token for its id void;
    /// answered with [`Answer::Done`].
    Revoke { agent: AgentId },
}

/// A command that a person starts.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Run {
    pub command: CommandName,
    /// Selectors ([`crate::model::Selector`]), or `all`.
    pub agents: Vec<String>,
    /// An address, or what else the executable acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Seconds; none for one that is not taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// What an enrollment token is to be good for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TokenWish {
    /// The one agent it is for, which may be enrolled already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    pub groups: Vec<AgentGroup>,
    /// How many hosts may enroll with it.
    pub uses: u32,
    /// How long it is valid, in seconds.
    pub ttl: u64,
}

/// An agent of OSSEC or Wazuh, a line of `client.keys`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct KnownAgent {
    pub id: AgentId,
    pub name: AgentName,
    /// It was removed there: its id must not be used again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// A token that was made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct IssuedToken {
    /// The one agent it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    pub token: String,
    pub uses: u32,
    pub expires: Wall,
}

/// A token with which hosts may still enroll. Its secret is nowhere.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UsableToken {
    /// The third part of the token's own word.
    pub token: TokenId,
    /// The one agent it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AgentId>,
    /// The name the agent gets, if the token says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    pub groups: Vec<AgentGroup>,
    /// How many hosts may still enroll with it.
    pub uses: u32,
    pub expires: Wall,
}

/// Which tokens to make void.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhichTokens {
    Ids(Vec<TokenId>),
    All,
}

/// Which actions to revert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    Id(ActionId),
    /// Every action in force with this text among its keys.
    Target(String),
    All,
}

/// Passes whoever asks for a reload on to the daemon, which reads the file and
/// answers.
pub fn pass_on(asker: oneshot::Sender<Answer>, reloads: &mpsc::Sender<oneshot::Sender<Answer>>) {
    if let Err(error) = reloads.try_send(asker) {
        let busy = Answer::error(ErrorKind::Unavailable, "a reload is under way already");
        // An asker who has gone needs no answer.
        let _ = error.into_inner().send(busy);
    }
}

/// Answers with records that a thread of its own is reading: months of history
/// would hold up everything else.
pub async fn tell_records<E: Display>(
    reading: JoinHandle<Result<Vec<Record>, E>>,
    asker: oneshot::Sender<Answer>,
) {
    let answer = match reading.await.expect("reading does not panic") {
        Ok(records) => Answer::Records { records },
        Err(error) => Answer::error(ErrorKind::Unavailable, error),
    };
    // An asker who has gone needs no answer.
    let _ = asker.send(answer);
}

impl Which {
    /// The answer if nothing of the kind is in force.
    pub fn nothing(&self) -> Answer {
        let text = match self {
            Self::Id(id) => format!("no action {id} is in force (ripostctl responses lists them)"),
            Self::Target(target) => {
                format!("nothing is in force for {target} (ripostctl responses lists what is)")
            }
            Self::All => "nothing is in force".to_owned(),
        };
        Answer::error(ErrorKind::NotFound, text)
    }

    /// Whether an action with this id and these keys is meant. An address is
    /// compared as an address, however it is spelled.
    pub fn is(&self, id: ActionId, keys: Option<&Keys>) -> bool {
        match self {
            Self::Id(wanted) => *wanted == id,
            Self::All => true,
            Self::Target(text) => {
                let canonical = Target::parse_network(text).map(|target| target.to_string());
                let wanted = canonical.as_ref().unwrap_or(text);
                keys.is_some_and(|keys| keys.iter().any(|key| key == wanted))
            }
        }
    }
}

/// What a daemon answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "answer")]
pub enum Answer {
    Status(Status),
    Agents {
        agents: Vec<Agent>,
    },
    Records {
        records: Vec<Record>,
    },
    /// One row per action that was to be reverted, with what became of it.
    Reverted {
        outcomes: Vec<RevertOutcome>,
    },
    /// The text of what changed, or of why nothing did (with `applied: false`).
    Reloaded {
        applied: bool,
        text: String,
    },
    /// Tokens that were made, and what is to be said of the rest.
    Tokens {
        tokens: Vec<IssuedToken>,
        notes: Vec<String>,
    },
    /// In the order in which they expire.
    Usable {
        tokens: Vec<UsableToken>,
    },
    /// The text of what was done.
    Done {
        text: String,
    },
    /// The request could not be carried out.
    Error {
        kind: ErrorKind,
        text: String,
    },
}

impl Answer {
    pub fn error(kind: ErrorKind, text: impl Display) -> Self {
        Self::Error {
            kind,
            text: text.to_string(),
        }
    }
}

/// What became of one revert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RevertOutcome {
    pub action: ActionId,
    /// `reverted`; `reverting` when it is not confirmed yet and is being retried.
    pub state: ActionState,
    pub keys: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    NotPermitted,
    NotFound,
    Unavailable,
    Invalid,
}

/// One row of `ripostctl agents`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Agent {
    pub id: AgentId,
    pub name: String,
    pub state: Connection,
    /// Since when it is connected, or when it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it connects from, or did the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub groups: Vec<String>,
    /// Actions that wait or run.
    pub pending: u64,
    pub in_force: u64,
    /// Which of its executables cannot work there, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    Connected,
    Offline,
}

/// The answer to `status`: which daemon, since when, and every counter that
/// tells an operator whether something is wrong.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// `ripost-manager` or `ripost-agentd`.
    pub daemon: String,
    pub version: String,
    pub pid: u32,
    pub since: Wall,
    /// Named counters in the order in which they are shown, such as
    /// `alerts read`, `lines skipped`, `in force`, `reverts failing`.
    pub counters: Vec<Counter>,
    /// Of a manager: what has come in where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<AlertSource>,
    /// Of an agentd: how it stands with its manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Upstream>,
    /// What needs a person's attention, one sentence each.
    pub problems: Vec<String>,
}

/// What has come in from one source of alerts since the daemon started, or
/// since it has the source.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AlertSource {
    /// As it is configured.
    pub location: String,
    pub format: String,
    pub bytes: u64,
    /// Lines that are not empty.
    pub lines: u64,
    pub alerts: u64,
    /// Of the alerts, those that have a response.
    pub matched: u64,
    /// What is no alert, by why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_alerts: Vec<NotAlerts>,
    /// Lines between the records of an `alerts.log`.
    #[serde(default)]
    pub strays: u64,
    /// Runs of bytes that were passed over.
    pub passed_over: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<Wall>,
}

/// Lines of a source that are no alert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NotAlerts {
    /// A sentence about the line: `is not JSON`.
    pub why: String,
    pub lines: u64,
}

/// How an agent stands with its manager.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Upstream {
    /// `192.0.2.1:1517`, or the path of a socket; none while it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Since when it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Wall>,
    /// Until when its certificate is valid, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Wall>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Counter {
    pub name: String,
    pub value: u64,
}

#[cfg(test)]
mod tests {
    use super::Which;
    use crate::model::{ActionId, Keys};

    #[test]
    fn a_target_is_found_however_its_address_is_spelled() {
        let id = ActionId::from_bytes([1; 16]);
        let keys = Keys::new(vec!["2001:db8::1".to_owned()]).unwrap();
        let target = |text: &str| Which::Target(text.to_owned());
        assert!(target("2001:DB8:0::1").is(id, Some(&keys)));
        assert!(!target("2001:db8::2").is(id, Some(&keys)));
        assert!(!target("2001:db8::1").is(id, None));
        let user = Keys::new(vec!["alice".to_owned()]).unwrap();
        assert!(target("alice").is(id, Some(&user)));
    }
}
