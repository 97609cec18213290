//! The action that an update is about, and what is left of an update that would
//! be too long.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{Action, ActionId, AgentId, Record, RuleRef};

/// The action that an update is about. All of it is sent. Whoever reads it needs
/// no more than its id and whose it is, since the record tells the rest, and
/// updates come by the thousand: of the rest it is only seen that it is JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Named")]
pub enum About {
    Whole(Arc<Action>),
    Named { id: ActionId, agent: AgentId },
}

#[derive(Deserialize, Serialize)]
struct Named {
    id: ActionId,
    agent: NamedAgent,
}

#[derive(Deserialize, Serialize)]
struct NamedAgent {
    id: AgentId,
}

impl About {
    /// Which action it is.
    pub fn id(&self) -> ActionId {
        match self {
            Self::Whole(action) => action.id,
            Self::Named { id, .. } => *id,
        }
    }

    /// Whose it is.
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::Whole(action) => &action.agent.id,
            Self::Named { agent, .. } => agent,
        }
    }

    /// With no more of the action than fits any update.
    pub(super) fn bare(&self) -> Self {
        match self {
            Self::Whole(action) => Self::Whole(Arc::new(bare_action(action))),
            Self::Named { .. } => self.clone(),
        }
    }
}

impl From<Action> for About {
    fn from(action: Action) -> Self {
        Self::Whole(action.into())
    }
}

impl From<Named> for About {
    fn from(named: Named) -> Self {
        Self::Named {
            id: named.id,
            agent: named.agent.id,
        }
    }
}

/// By what is read of it.
impl PartialEq for About {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.agent()) == (other.id(), other.agent())
    }
}

impl Serialize for About {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(action) => action.serialize(serializer),
            Self::Named { id, agent } => Named {
                id: *id,
                agent: NamedAgent { id: agent.clone() },
            }
            .serialize(serializer),
        }
    }
}

/// Characters of a text in an update that would be too long with all of them.
const MAX_TEXT: usize = 4_096;

fn bare_action(action: &Action) -> Action {
    Action {
        rule: bare_rule(action.rule.as_deref()),
        extra_args: Vec::new(),
        ..action.clone()
    }
}

/// With no more of the record than fits any update.
pub(super) fn bare_record(record: &Record) -> Record {
    Record {
        rule: bare_rule(record.rule.as_deref()),
        detail: record.detail.as_deref().map(shortened),
        stderr: record.stderr.as_deref().map(shortened),
        ..record.clone()
    }
}

fn bare_rule(rule: Option<&RuleRef>) -> Option<Arc<RuleRef>> {
    rule.map(|rule| {
        Arc::new(RuleRef {
            groups: Vec::new(),
            ..rule.clone()
        })
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
