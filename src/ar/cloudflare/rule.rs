//! One rule of Cloudflare's, and how it spells what the rule is for.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::ar::http::shown;

/// A rule, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    #[serde(default)]
    mode: String,
    /// The API says null where there are none.
    notes: Option<String>,
    #[serde(default)]
    configuration: Configuration,
}

#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    value: String,
}

/// What a rule is called by: letters and digits, so that it can stand in a URL.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RuleId(String);

impl RuleId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RuleId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_good =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        match is_good {
            true => Ok(Self(text)),
            false => Err("an id that is not letters and digits"),
        }
    }
}

impl Rule {
    pub(super) fn is_ours(&self, mark: &str) -> bool {
        self.notes.as_deref() == Some(mark)
    }

    pub(super) fn blocks(&self) -> bool {
        self.mode == "block"
    }

    /// Lets its target in whatever else is said of it.
    pub(super) fn allows(&self) -> bool {
        self.mode == "whitelist"
    }

    /// For people.
    pub(super) fn described(&self, mark: &str) -> String {
        let notes = shown(self.notes.as_deref().unwrap_or_default());
        let (mode, id) = (shown(&self.mode), self.id.as_str());
        let whose = match self.is_ours(mark) {
            true => "with our mark, changed since",
            false => "without our mark",
        };
        format!("rule {id} for it, {whose} (mode {mode}, notes \"{notes}\")")
    }

    /// The API spells IPv6 out, so that texts cannot be compared.
    pub(super) fn is_for(&self, target: IpNetwork) -> bool {
        let network = self.configuration.value.parse::<IpNetwork>();
        network.is_ok_and(|network| {
            (network.network(), network.prefix()) == (target.network(), target.prefix())
        })
    }
}

/// A target as we spell it: a single host without the length of its prefix.
pub(super) fn name(target: IpNetwork) -> String {
    match kind(target) {
        "ip_range" => target.to_string(),
        _ => target.ip().to_string(),
    }
}

/// The kind of target, in the words of the API.
pub(super) fn kind(target: IpNetwork) -> &'static str {
    match target {
        IpNetwork::V4(network) if network.prefix() == 32 => "ip",
        IpNetwork::V6(network) if network.prefix() == 128 => "ip6",
        IpNetwork::V4(_) | IpNetwork::V6(_) => "ip_range",
    }
}

/// A target as the API itself spells it, so that a search finds it: IPv6 with
/// all its zeros.
pub(super) fn value(target: IpNetwork) -> String {
    let address = match target.network() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => spelt_out(address),
    };
    match kind(target) {
        "ip_range" => format!("{address}/{}", target.prefix()),
        _ => address,
    }
}

fn spelt_out(address: Ipv6Addr) -> String {
    let groups = address.segments().map(|group| format!("{group:04x}"));
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use super::{Rule, kind, value};

    #[test]
    fn a_target_is_spelt_as_the_api_does() {
        for (target, wanted_kind, wanted) in [
            ("203.0.113.9", "ip", "203.0.113.9"),
            ("203.0.113.0/24", "ip_range", "203.0.113.0/24"),
            (
                "2001:db8::a:1",
                "ip6",
                "2001:0db8:0000:0000:0000:0000:000a:0001",
            ),
            (
                "2001:db8:1::/48",
                "ip_range",
                "2001:0db8:0001:0000:0000:0000:0000:0000/48",
            ),
        ] {
            let target = target.parse().unwrap();
            assert_eq!(
                (kind(target), value(target).as_str()),
                (wanted_kind, wanted)
            );
        }
    }

    fn rule(value: &str, id: &str) -> Result<Rule, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"id":"{id}","mode":"block","notes":null,"configuration":{{"target":"ip","value":"{value}"}}}}"#
        ))
    }

    #[test]
    fn a_rule_is_for_a_target_in_any_spelling_and_for_no_other() {
        for (value, target, wanted) in [
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9/32", "203.0.113.9", true),
            ("203.0.113.90", "203.0.113.9", false),
            ("203.0.113.0/24", "203.0.113.0", false),
            ("203.0.113.7/24", "203.0.113.0/24", true),
            (
                "2001:0DB8:0000:0000:0000:0000:0000:0001",
                "2001:db8::1",
                true,
            ),
            ("DE", "203.0.113.9", false),
            ("", "203.0.113.9", false),
        ] {
            let rule = rule(value, "a1").unwrap();
            assert_eq!(
                rule.is_for(target.parse().unwrap()),
                wanted,
                "{value} {target}"
            );
        }
    }

    #[test]
    fn an_id_that_would_change_a_url_is_none() {
        assert!(rule("203.0.113.9", "92f17202ed8bd63d69a66b86a49a8f6b").is_ok());
        for id in ["", "../x", "a/b", "a?b", "a b", "a%2e"] {
            assert!(rule("203.0.113.9", id).is_err(), "{id}");
        }
    }
}
