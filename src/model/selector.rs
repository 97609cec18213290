//! Which agents somebody means: ids, ranges of ids, names and groups.

use std::fmt;

use crate::model::{AgentGroup, AgentId, AgentName};

/// One agent or several, as written in `<agent_id>`, `<exclude>` and behind
/// `--agent`.
#[derive(Clone, Debug, Eq, PartialEq)]
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

impl Selector {
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let unknown = || InvalidSelector::Unknown(text.to_owned());
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
    fn what_selects_nothing_is_an_error() {
        for bad in ["", "9-8", "1,2", "group:", "a b", "-1", "1-", "*"] {
            assert!(Selector::parse(bad).is_err(), "{bad:?}");
        }
    }
}
