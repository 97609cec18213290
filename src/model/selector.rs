//! Which agents somebody means: ids, ranges of ids, names and groups.

use std::fmt;

use crate::model::{AgentGroup, AgentId, AgentName};

/// One agent or several, as written in `<agent_id>`, `<exclude>` and behind
/// `--agent`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Selector {
    /// `007`
    Id(AgentId),
    /// `010-019`, both ends included.
    Range(AgentId, AgentId),
    /// `web-7`
    Name(AgentName),
    /// `group:web`
    Group(AgentGroup),
}

/// Why a text selects no agents.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSelector {
    #[error(
        "`{0}` is no agent: write an id (007), a range (010-019), a name (web-7) or group:NAME"
    )]
    Unknown(String),
    #[error("the range {0} is empty: its second id is the smaller one")]
    EmptyRange(String),
}

/// Stands for agent `000`, as the location of that name does.
const SERVER: &str = "server";

impl Selector {
    /// Reads one of the forms above; `server` is the manager's own host, `000`.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let unknown = || InvalidSelector::Unknown(text.to_owned());
        if text.eq_ignore_ascii_case(SERVER) {
            return Ok(Self::Id(AgentId::MANAGER));
        }
        if let Some(group) = text.strip_prefix("group:") {
            return AgentGroup::parse(group)
                .map(Self::Group)
                .map_err(|_| unknown());
        }
        if let Ok(id) = AgentId::parse(text) {
            return Ok(Self::Id(id));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Ok(first), Ok(last)) = (AgentId::parse(first), AgentId::parse(last))
        {
            if last < first {
                return Err(InvalidSelector::EmptyRange(text.to_owned()));
            }
            if first == last {
                return Ok(Self::Id(first));
            }
            return Ok(Self::Range(first, last));
        }
        AgentName::parse(text)
            .map(Self::Name)
            .map_err(|_| unknown())
    }

    /// Whether an agent is meant. Names are compared without regard to case,
    /// as host names are.
    pub fn is(&self, id: &AgentId, name: &str, groups: &[AgentGroup]) -> bool {
        match self {
            Self::Id(wanted) => wanted == id,
            Self::Range(first, last) => (first..=last).contains(&id),
            Self::Name(wanted) => wanted.as_str().eq_ignore_ascii_case(name),
            Self::Group(wanted) => groups.contains(wanted),
        }
    }

    /// Whether `other` means no agent that this does not mean, whatever the
    /// agents are called and whatever groups they are in.
    pub fn includes(&self, other: &Self) -> bool {
        match (self.numbers(), other.numbers(), self, other) {
            (Some((first, last)), Some((from, to)), _, _) => first <= from && to <= last,
            (_, _, Self::Name(one), Self::Name(two)) => {
                one.as_str().eq_ignore_ascii_case(two.as_str())
            }
            _ => self == other,
        }
    }

    /// Whether an agent can be meant by both; names and groups may belong to
    /// any id.
    pub fn may_meet(&self, other: &Self) -> bool {
        match (self.numbers(), other.numbers()) {
            (Some((first, last)), Some((from, to))) => first <= to && from <= last,
            _ => true,
        }
    }

    /// The first and the last id, where ids are meant.
    fn numbers(&self) -> Option<(u32, u32)> {
        match self {
            Self::Id(id) => Some((id.number(), id.number())),
            Self::Range(first, last) => Some((first.number(), last.number())),
            Self::Name(_) | Self::Group(_) => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Name(name) => name.fmt(f),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Selector;
    use crate::model::{AgentGroup, AgentId};

    #[test]
    fn what_is_written_selects_what_it_names() {
        let web = [AgentGroup::parse("web").unwrap()];
        let is = |text: &str, id: &str| {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(Selector::parse(&selector.to_string()), Ok(selector.clone()));
            selector.is(&AgentId::parse(id).unwrap(), "web-7", &web)
        };
        assert!(is("7", "007") && !is("7", "070"));
        assert!(is("5-7", "7") && is("007-009", "7") && !is("8-9", "7"));
        assert!(is("WEB-7", "7") && !is("web-70", "7"));
        assert!(is("group:web", "7") && !is("group:db", "7"));
    }

    #[test]
    fn the_manager_s_host_is_called_server() {
        for text in ["000", "0", "server", "SERVER", "0-0"] {
            let selector = Selector::parse(text);
            assert_eq!(selector, Ok(Selector::Id(AgentId::MANAGER)), "{text}");
        }
    }

    #[test]
    fn one_selector_includes_or_meets_another() {
        // wide, narrow, whether the first includes the second, whether they may meet
        for (wide, narrow, includes, meets) in [
            ("007", "7", true, true),
            ("007", "008", false, false),
            ("001-009", "007", true, true),
            ("001-009", "009-010", false, true),
            ("001-009", "010-012", false, false),
            ("007", "001-009", false, true),
            ("WEB-7", "web-7", true, true),
            ("web-7", "web-8", false, true),
            ("web-7", "007", false, true),
            ("group:web", "group:web", true, true),
            ("group:web", "group:WEB", false, true),
            ("group:web", "web", false, true),
        ] {
            let (one, two) = (
                Selector::parse(wide).unwrap(),
                Selector::parse(narrow).unwrap(),
            );
            assert_eq!(one.includes(&two), includes, "{wide} includes {narrow}");
            assert_eq!(one.may_meet(&two), meets, "{wide} meets {narrow}");
            assert_eq!(two.may_meet(&one), meets, "{narrow} meets {wide}");
        }
    }

    #[test]
    fn what_selects_nothing_is_an_error() {
        for bad in ["", "9-8", "1,2", "group:", "a b", "-1", "1-", "*"] {
            assert!(Selector::parse(bad).is_err(), "{bad:?}");
        }
    }
}
