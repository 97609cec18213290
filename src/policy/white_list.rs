use std::fmt;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::model::target::unmapped;
use crate::model::{NamePattern, Target};
use crate::policy::networks::Networks;

/// A text that is no address and no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not an address or network (192.0.2.1, 192.0.2.0/24, 2001:db8::/32)")]
pub struct InvalidNetwork(pub String);

/// What is never acted against: addresses and networks, and names of hosts.
/// Networks in the IPv4-mapped range (`::ffff:192.0.2.0/120`) are the IPv4
/// networks they stand for. Stored on hosts as a list of texts or, if it has
/// names, as an object with both lists.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct WhiteList {
    networks: Vec<IpNetwork>,
    /// The same, to look in.
    index: Networks,
    names: Vec<NamePattern>,
}

/// One entry of a white list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    Network(IpNetwork),
    Name(NamePattern),
}

impl WhiteList {
    pub fn new(networks: Vec<IpNetwork>) -> Self {
        let networks: Vec<_> = networks.into_iter().map(unmapped).collect();
        Self {
            index: Networks::new(&networks),
            networks,
            names: Vec::new(),
        }
    }

    /// The same with these names besides.
    pub fn with_names(self, names: Vec<NamePattern>) -> Self {
        Self { names, ..self }
    }

    /// An entry that `target` belongs to or, be it in part, holds. A name
    /// is held against the text of an address, too, as in 4.x.
    pub fn entry_for(&self, target: &Target) -> Option<Entry> {
        let network = target
            .network()
            .and_then(|network| self.index.meeting(network));
        network
            .map(Entry::Network)
            .or_else(|| self.name_for(target).cloned().map(Entry::Name))
    }

    fn name_for(&self, target: &Target) -> Option<&NamePattern> {
        if self.names.is_empty() {
            return None;
        }
        let text = match target {
            Target::Address(_) | Target::Network(_) | Target::Name(_) => target.to_string(),
            Target::User(_)
            | Target::Process(_)
            | Target::File(_)
            | Target::Service(_)
            | Target::Host => return None,
        };
        self.names.iter().find(|name| name.is_match(&text))
    }

    pub fn len(&self) -> usize {
        self.networks.len() + self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a list is stored. One without names is as it was before there were any.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Stored {
    Networks(Vec<String>),
    Both {
        networks: Vec<String>,
        names: Vec<NamePattern>,
    },
}

impl TryFrom<Stored> for WhiteList {
    type Error = InvalidNetwork;

    fn try_from(stored: Stored) -> Result<Self, InvalidNetwork> {
        match stored {
            Stored::Networks(networks) => Self::try_from(networks),
            Stored::Both { networks, names } => Ok(Self::try_from(networks)?.with_names(names)),
        }
    }
}

impl TryFrom<Vec<String>> for WhiteList {
    type Error = InvalidNetwork;

    fn try_from(texts: Vec<String>) -> Result<Self, InvalidNetwork> {
        texts
            .into_iter()
            .map(|text| text.parse().map_err(|_| InvalidNetwork(text)))
            .collect::<Result<_, _>>()
            .map(Self::new)
    }
}

impl From<WhiteList> for Stored {
    fn from(list: WhiteList) -> Self {
        let networks = list.networks.iter().map(IpNetwork::to_string).collect();
        match list.names {
            names if names.is_empty() => Self::Networks(networks),
            names => Self::Both { networks, names },
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WhiteList;
    use crate::model::target::{HostName, UserName};
    use crate::model::{NamePattern, Target};

    #[test]
    fn a_list_travels_as_texts() {
        let json = r#"["192.0.2.1/32","2001:db8::/32"]"#;
        let list: WhiteList = serde_json::from_str(json).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        for bad in [
            r#"["10.0.0"]"#,
            r#"["192.0.2.0/33"]"#,
            r#"["web.example"]"#,
            r#"[""]"#,
        ] {
            assert!(serde_json::from_str::<WhiteList>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_with_names_travels_as_an_object() {
        let json = r#"{"networks":["192.0.2.1/32"],"names":["^web-"]}"#;
        let list: WhiteList = serde_json::from_str(json).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        for bad in [
            r#"{"networks":["192.0.2.1/32"],"names":["|"]}"#,
            r#"{"networks":["web"],"names":["^web-"]}"#,
            r#"{"names":["^web-"]}"#,
        ] {
            assert!(serde_json::from_str::<WhiteList>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_held_against_the_text_of_the_target() {
        let names = ["^web-7.example$", "^198.51.100."];
        let names = names.map(|name| NamePattern::parse(name).unwrap());
        let list = WhiteList::new(Vec::new()).with_names(names.to_vec());
        let name = |text| Target::Name(HostName::parse(text).unwrap());
        let address = |text| Target::parse_address(text).unwrap();
        for (target, listed) in [
            (name("WEB-7.example"), true),
            (name("web-70.example"), false),
            (address("198.51.100.7"), true),
            (address("::ffff:198.51.100.7"), true),
            (address("192.0.2.7"), false),
            (
                Target::User(UserName::parse("web-7.example").unwrap()),
                false,
            ),
            (Target::Service("web-7.example".to_owned()), false),
            (Target::Host, false),
        ] {
            assert_eq!(list.entry_for(&target).is_some(), listed, "{target}");
        }
    }

    #[test]
    fn a_mapped_network_is_the_ipv4_network_it_stands_for() {
        for (written, wanted) in [
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::ffff:0.0.0.0/95"),
            ("::/0", "::/0"),
        ] {
            let list = WhiteList::try_from(vec![written.to_owned()]).unwrap();
            let json = serde_json::to_string(&list).unwrap();
            assert_eq!(json, format!("[\"{wanted}\"]"), "{written}");
        }
    }
}
