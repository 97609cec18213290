use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::model::target::{overlap, unmapped};

/// A text that is no address and no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not an address or network (192.0.2.1, 192.0.2.0/24, 2001:db8::/32)")]
pub struct InvalidNetwork(pub String);

/// Addresses and networks that are never acted against. Sent to hosts and
/// stored as a list of texts. Networks in the IPv4-mapped range
/// (`::ffff:192.0.2.0/120`) are the IPv4 networks they stand for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct WhiteList(Vec<IpNetwork>);

impl WhiteList {
    pub fn new(entries: Vec<IpNetwork>) -> Self {
        Self(entries.into_iter().map(unmapped).collect())
    }

    /// The first entry that `network`, in canonical form, belongs to or holds,
    /// be it in part.
    pub fn entry_for(&self, network: IpNetwork) -> Option<IpNetwork> {
        let mut entries = self.0.iter().copied();
        entries.find(|entry| overlap(*entry, network))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

impl From<WhiteList> for Vec<String> {
    fn from(list: WhiteList) -> Self {
        list.0.iter().map(IpNetwork::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::WhiteList;

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
    fn a_mapped_network_is_the_ipv4_network_it_stands_for() {
        for (written, wanted) in [
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::ffff:0.0.0.0/95"),
            ("::/0", "::/0"),
        ] {
            let list = WhiteList::try_from(vec![written.to_owned()]).unwrap();
            assert_eq!(Vec::<String>::from(list), [wanted], "{written}");
        }
    }
}
