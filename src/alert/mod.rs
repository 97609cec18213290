//! The normalised alert over borrowed bytes, one file per format.
//!
//! Reading is lenient where nothing depends on it and strict where a decision
//! does: a wrong type in a field that no response asks for never costs an
//! alert, while a rule without an id or with an impossible level is reported
//! rather than guessed.

mod formats;
mod header;
mod lenient;
mod list;
mod reading;
mod signs;
mod syslog;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::mapping::Mapping;
use crate::model::{AgentId, AgentName, FieldMap, GroupName, Level, RuleId};
pub use header::{Header, Opening, Remainder};

use signs::Looks;

/// One event that a detection pipeline has judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alert<'a> {
    pub rule: Rule,
    pub origin: Origin,
    /// The pipeline's own id of the alert.
    pub id: Option<String>,
    /// When the pipeline says it happened, as written or, where it counts
    /// seconds, as RFC 3339 has it. Shown, never decided on.
    pub timestamp: Option<String>,
    /// The alert as one JSON object. For formats that are JSON: the object of
    /// the line, the same bytes, without what stood around it. For others: an
    /// object as Wazuh 4.x would have written it.
    pub body: Cow<'a, [u8]>,
    /// Where in the body what a response acts upon is named, unless that is
    /// where Wazuh 4.x has it.
    pub fields: Option<Arc<FieldMap>>,
    /// For how long the pipeline wants something done about it; never longer
    /// than a response says. Zero: no longer.
    pub span: Option<Duration>,
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
    /// The alert names an agent and has no id of it (OSSEC).
    Named(AgentName),
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
    /// Its members are those of no format here.
    Unrecognised,
    /// It is a hit of a search in the indexer without the document.
    NoSource,
    NoRule,
    NoRuleId,
    InvalidRuleId,
    InvalidLevel,
    NoLevel,
    /// A word for a level that means nothing here.
    UnknownLevel,
    InvalidSpan,
    /// Its pipeline writes other events among its alerts.
    OtherEvent,
    NotARecord,
}

impl NotAnAlert {
    pub const ALL: &[Self] = &[
        Self::Empty,
        Self::NotJson,
        Self::NotAnObject,
        Self::Unrecognised,
        Self::NoSource,
        Self::NoRule,
        Self::NoRuleId,
        Self::InvalidRuleId,
        Self::InvalidLevel,
        Self::NoLevel,
        Self::UnknownLevel,
        Self::InvalidSpan,
        Self::OtherEvent,
        Self::NotARecord,
    ];

    /// What is wrong, as a sentence about the line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::NotJson => "is not JSON",
            Self::NotAnObject => "is not a JSON object",
            Self::Unrecognised => {
                "has the members of no format that is known here (set <format> of its alert source)"
            }
            Self::NoSource => "is a hit of a search without its document (ask for _source)",
            Self::NoRule => "has no rule",
            Self::NoRuleId => "has no rule id",
            Self::InvalidRuleId => "has a rule id that is neither a number nor a short text",
            Self::InvalidLevel => "has a level that is no number from 0 to 20",
            Self::NoLevel => "has no level",
            Self::UnknownLevel => "has a level or priority that is none of those known here",
            Self::InvalidSpan => "says for how long in a way that cannot be read",
            Self::OtherEvent => "is an event that is no alert",
            Self::NotARecord => "is no whole record of alerts.log",
        }
    }

    /// Whether there is nothing wrong with it: it is counted and no more.
    pub fn is_expected(self) -> bool {
        matches!(self, Self::OtherEvent)
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
    /// Whether a line looks like one. At most one format says so of a line that
    /// a pipeline has written, so that their order does not matter.
    recognise: fn(&Looks) -> bool,
    /// Reads one object without blanks around it, in whose texts there may be
    /// bytes that are not UTF-8; or one record.
    parse: for<'a> fn(&'a [u8]) -> Alerts<'a>,
}

/// What one line holds: mostly one alert.
pub type Alerts<'a> = Vec<Result<Alert<'a>, NotAnAlert>>;

/// How the lines of a source are read.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Each line tells by the names of its members, and for itself alone: what
    /// a line means never depends on those before it, which a restart in the
    /// middle of a file would not have seen.
    Auto,
    /// All lines have this format.
    One(&'static Format),
    /// All lines are JSON in which this says where all stands.
    Mapped(Arc<Mapping>),
}

impl Shape {
    /// The word in `<format>`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::One(format) => format.name,
            Self::Mapped(_) => "generic",
        }
    }

    /// Reads one line, with or without its line ending; or a document of
    /// several lines, or a record of `alerts.log`, in one piece. There is at
    /// least one answer: one for each item of a list.
    pub fn read<'a>(&self, line: &'a [u8]) -> Alerts<'a> {
        match self {
            Self::Auto => reading::read(line, &parse_any),
            Self::One(format) => reading::read(line, &format.parse),
            Self::Mapped(mapping) => reading::read(line, &|object| {
                vec![formats::generic::parse(object, mapping)]
            }),
        }
    }

    /// Whether of lines that begin as [`Header`] knows it the rule decides alone
    /// how they are read: those with one rule are then all alerts with that rule,
    /// or none.
    pub fn takes_headers(&self) -> bool {
        matches!(self.name(), "auto" | "wazuh")
    }

    /// Whether bytes that no newline ends are a whole alert all the same.
    pub fn is_whole(&self, line: &[u8]) -> bool {
        self.read(line).iter().all(Result::is_ok)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Format({})", self.name)
    }
}

/// All formats. A new one is a file in `formats/`, a row here, and at least
/// three fixtures in `tests/data/alerts/NAME`.
pub const FORMATS: &[Format] = &[
    Format {
        name: "wazuh",
        about: "Wazuh 4.x and 3.x alerts.json, also as exported from its indexer",
        recognise: formats::wazuh::recognise,
        parse: |line| vec![formats::wazuh::parse(line)],
    },
    Format {
        name: "suricata",
        about: "Suricata eve.json, of which the events of type alert",
        recognise: formats::suricata::recognise,
        parse: |line| vec![formats::suricata::parse(line)],
    },
    Format {
        name: "falco",
        about: "Falco events as JSON, also as falcosidekick sends them on",
        recognise: formats::falco::recognise,
        parse: |line| vec![formats::falco::parse(line)],
    },
    Format {
        name: "crowdsec",
        about: "CrowdSec alerts and decisions, also as its plugin file writes them",
        recognise: formats::crowdsec::recognise,
        parse: formats::crowdsec::parse,
    },
    Format {
        name: "wazuh5",
        about: "Wazuh 5 findings, as its indexer has them",
        recognise: formats::wazuh5::recognise,
        parse: |line| vec![formats::wazuh5::parse(line)],
    },
    Format {
        name: "ossec",
        about: "OSSEC alerts.log and alerts.json",
        recognise: formats::ossec::recognise,
        parse: formats::ossec::parse,
    },
];

/// Reads an object or a record by the format that it is of.
fn parse_any(object: &[u8]) -> Alerts<'_> {
    let has_header = Header::scan(object).is_some();
    // One look is enough for nearly all of them.
    let alert = has_header
        .then(|| formats::wazuh::parse_own(object))
        .flatten();
    if let Some(alert) = alert {
        return vec![alert];
    }
    match recognise(object, has_header) {
        Ok(format) => (format.parse)(object),
        Err(why) => vec![Err(why)],
    }
}

/// The format that an object or a record is of.
fn recognise(object: &[u8], has_header: bool) -> Result<&'static Format, NotAnAlert> {
    let mut looks = Looks::of(object)?;
    if has_header {
        looks.forget_all_but_rule();
    }
    FORMATS
        .iter()
        .find(|format| (format.recognise)(&looks))
        .ok_or(NotAnAlert::Unrecognised)
}

/// The format with this name.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Reads a line that holds one alert; of several the first.
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
    let mut alerts = reading::read(line, &format.parse).into_iter();
    alerts.next().unwrap_or(Err(NotAnAlert::Empty))
}

#[cfg(test)]
mod tests {
    use super::{NotAnAlert, Shape};

    fn answer(line: &str) -> Result<String, NotAnAlert> {
        let answers = Shape::Auto.read(line.as_bytes());
        let [answer] = <[_; 1]>::try_from(answers).unwrap();
        answer.map(|alert| alert.rule.id.as_str().to_owned())
    }

    #[test]
    fn a_line_of_no_known_format_asks_for_a_word() {
        for line in [r#"{"rule":"x"}"#, "{}", r#"{"x":{"rule":{"id":"1"}}}"#] {
            assert_eq!(answer(line), Err(NotAnAlert::Unrecognised), "{line}");
        }
        assert!(NotAnAlert::Unrecognised.label().contains("<format>"));
        assert_eq!(answer(" \n"), Err(NotAnAlert::Empty));
        assert_eq!(answer("x"), Err(NotAnAlert::NotJson));
    }

    #[test]
    fn each_line_is_recognised_by_itself_whatever_is_deeper_in_it() {
        let line = r#"{"data":{"sidid":1,"event_type":"alert"},"rule":{"level":3,"id":"1"}}"#;
        assert_eq!(answer(line).as_deref(), Ok("1"));
        assert_eq!(answer(&format!("\u{feff}{line}\r\n")).as_deref(), Ok("1"));
    }
}
