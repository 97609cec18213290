//! The normalised alert over borrowed bytes, one file per format.
//!
//! Reading is lenient where nothing depends on it and strict where a decision
//! does: a wrong type in a field that no response asks for never costs an
//! alert, while a rule without an id or with an impossible level is reported
//! rather than guessed.

mod formats;
mod lenient;

use std::fmt;

use crate::model::{AgentId, GroupName, Level, RuleId};

/// One event that a detection pipeline has judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alert<'a> {
    pub rule: Rule,
    pub origin: Origin,
    /// The pipeline's own id of the alert.
    pub id: Option<String>,
    /// When the pipeline says it happened, as written. Shown, never decided on.
    pub timestamp: Option<String>,
    /// The alert as one JSON object. For formats that are JSON: the object of
    /// the line, the same bytes, without what stood around it.
    pub body: &'a [u8],
}

/// The groups of a rule that are shown, recorded and sent to agents: far more
/// than any rule has. A line of a mebibyte may hold nothing else, and what
/// tells of its action, twice over, must fit a frame.
const MAX_GROUPS: usize = 64;
const MAX_GROUPS_BYTES: usize = 4_096;

/// The rule that fired, as far as matching asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    pub id: RuleId,
    pub level: Level,
    /// The groups that are fit to be shown; of very many, the first.
    pub groups: Vec<GroupName>,
    /// What `rules_group` is matched against: every group of the rule followed
    /// by a comma.
    pub group_text: String,
}

/// Of the groups of a rule, those that are shown.
fn shown<'a>(groups: impl IntoIterator<Item = &'a str>) -> Vec<GroupName> {
    let mut room = MAX_GROUPS_BYTES;
    groups
        .into_iter()
        .filter_map(|group| GroupName::parse(group).ok())
        .take(MAX_GROUPS)
        .take_while(|group| {
            let left = room.checked_sub(group.as_str().len());
            room = left.unwrap_or_default();
            left.is_some()
        })
        .collect()
}

/// Where the alert came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    Agent {
        id: AgentId,
        name: Option<String>,
    },
    /// The alert names no agent (agentless devices, some exports).
    Absent,
    /// The alert names an agent by something that is no agent id.
    Unreadable,
}

/// Why a line is no alert. These are kinds, so that a caller can report each
/// once in a while and count the rest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NotAnAlert {
    Empty,
    NotJson,
    NotAnObject,
    NoRule,
    NoRuleId,
    InvalidRuleId,
    InvalidLevel,
}

impl NotAnAlert {
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::NotJson,
        Self::NotAnObject,
        Self::NoRule,
        Self::NoRuleId,
        Self::InvalidRuleId,
        Self::InvalidLevel,
    ];

    /// What is wrong, as a sentence about the line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::NotJson => "is not JSON",
            Self::NotAnObject => "is not a JSON object",
            Self::NoRule => "has no rule",
            Self::NoRuleId => "has no rule id",
            Self::InvalidRuleId => "has a rule id that is neither a number nor a short text",
            Self::InvalidLevel => "has a level that is no number from 0 to 20",
        }
    }
}

impl fmt::Display for NotAnAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for NotAnAlert {}

/// A way to write alerts, one per line.
pub struct Format {
    /// The word in `<format>`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    parse: for<'a> fn(&'a [u8]) -> Result<Alert<'a>, NotAnAlert>,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Format({})", self.name)
    }
}

/// All formats. A new one is a file in `formats/`, a row here, and at least
/// three fixtures in `tests/data/alerts/NAME`.
pub const FORMATS: &[Format] = &[Format {
    name: "wazuh",
    about: "Wazuh 4.x and 3.x alerts.json, also as exported from its indexer",
    parse: formats::wazuh::parse,
}];

/// The format with this name.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Reads one line, with or without its line ending.
///
/// ```
/// use ripost::alert;
///
/// let wazuh = alert::find("wazuh").expect("there is a row for it");
/// let line = br#"{"rule":{"level":10,"id":"5763","groups":["sshd"]},"agent":{"id":"007"}}"#;
/// let alert = alert::parse(line, wazuh)?;
/// assert_eq!(alert.rule.level.number(), 10);
/// assert_eq!(alert.rule.group_text, "sshd,");
/// # Ok::<(), alert::NotAnAlert>(())
/// ```
pub fn parse<'a>(line: &'a [u8], format: &Format) -> Result<Alert<'a>, NotAnAlert> {
    (format.parse)(line)
}
