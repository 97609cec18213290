//! The object that stands in `responses.json`, in the answers of `ripostctl
//! responses` and `history`, and in both journals: one state of one action.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::model::{
    Action, ActionId, ActionState, AgentRef, CommandName, ExeName, Keys, Location, RuleRef,
};

/// One state of one action. What does not apply is left out, never null.
/// `timeout` is in seconds, `duration_ms` in milliseconds with a fraction.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    pub time: Wall,
    pub action: ActionId,
    pub state: ActionState,
    pub command: CommandName,
    pub executable: ExeName,
    pub location: Location,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    pub agent: AgentRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<RuleRef>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
}

impl Record {
    /// The action in this state, with nothing known beyond it.
    pub fn new(action: &Action, state: ActionState, time: Wall) -> Self {
        Self {
            time,
            action: action.id,
            state,
            command: action.command.clone(),
            executable: action.executable.clone(),
            location: action.location,
            timeout: action.timeout.map(|span| span.as_secs()),
            agent: action.agent.clone(),
            keys: None,
            rule: action.rule.clone(),
            alert: action.alert.clone(),
            since: None,
            until: None,
            verified: None,
            exit_code: None,
            duration_ms: None,
            hits: None,
            detail: None,
            stderr: None,
        }
    }
}
