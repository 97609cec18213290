//! `alerts.json` of Wazuh 4.x (analysisd/format/to_json.c): one JSON object a
//! line. Exports from the indexer have another order and more members; older
//! versions and other writers put numbers where 4.x puts texts, and leave out
//! the level, the groups or the agent.

use serde::de::{IgnoredAny, MapAccess};

use crate::alert::formats::object::{label, members};
use crate::alert::lenient::{Members, Object, Scalar, Texts, as_text, first};
use crate::alert::signs::{Looks, object};
use crate::alert::{Alert, NotAnAlert, Origin, Rule, shown};
use crate::model::{AgentId, Level, RuleId};

/// The groups that 4.x takes out of `groups` into a list of their own, without
/// their prefix: `pci_dss_10.2.4` becomes `"pci_dss":["10.2.4"]`.
const COMPLIANCE: [&str; 7] = [
    "pci_dss",
    "cis",
    "gdpr",
    "gpg13",
    "hipaa",
    "nist_800_53",
    "tsc",
];

/// Its rule is an object, without the id that OSSEC gives it.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    looks
        .signs()
        .and_then(|signs| object(&signs.rule))
        .is_some_and(|rule| rule.sidid.is_none())
}

/// Reads one object.
pub(in crate::alert) fn parse(body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    // Bytes that are not UTF-8 come from logs in other encodings. They stay in
    // the body; what is decided on here gets U+FFFD for them.
    let text = as_text(body);
    members::<Line<'_>>(&text)?.read(body)
}

/// Reads one object whose rule is one of Wazuh's, as [`recognise`] would say;
/// `None` for any other.
pub(in crate::alert) fn parse_own(body: &[u8]) -> Option<Result<Alert<'_>, NotAnAlert>> {
    let text = as_text(body);
    let line: Line<'_> = members(&text).ok()?;
    let rule = line.rule.as_ref()?.0.as_ref()?;
    rule.sidid.is_none().then(|| line.read(body))
}

#[derive(Default)]
struct Line<'a> {
    rule: Option<Object<RawRule<'a>>>,
    agent: Option<Object<Agent<'a>>>,
    id: Option<Scalar<'a>>,
    timestamp: Option<Scalar<'a>>,
    /// `@timestamp`, which the indexer adds.
    indexed: Option<Scalar<'a>>,
}

#[derive(Default)]
struct RawRule<'a> {
    sidid: Option<IgnoredAny>,
    id: Option<Scalar<'a>>,
    level: Option<Scalar<'a>>,
    groups: Option<Texts<'a>>,
    compliance: [Option<Texts<'a>>; COMPLIANCE.len()],
}

/// Who it is about, as Wazuh of either version says it.
#[derive(Default)]
pub(super) struct Agent<'a> {
    id: Option<Scalar<'a>>,
    name: Option<Scalar<'a>>,
}

impl<'de> Members<'de> for Line<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            "agent" => first(&mut self.agent, map),
            "id" => first(&mut self.id, map),
            "timestamp" => first(&mut self.timestamp, map),
            "@timestamp" => first(&mut self.indexed, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for RawRule<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "sidid" => first(&mut self.sidid, map),
            "id" => first(&mut self.id, map),
            "level" => first(&mut self.level, map),
            "groups" => first(&mut self.groups, map),
            _ => match COMPLIANCE.iter().position(|&list| list == name) {
                Some(list) => first(&mut self.compliance[list], map),
                None => Ok(false),
            },
        }
    }
}

impl<'de> Members<'de> for Agent<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => first(&mut self.id, map),
            "name" => first(&mut self.name, map),
            _ => Ok(false),
        }
    }
}

impl Line<'_> {
    fn read(self, body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
        let rule = self.rule.and_then(|rule| rule.0);
        Ok(Alert {
            rule: rule.ok_or(NotAnAlert::NoRule)?.read()?,
            origin: self
                .agent
                .and_then(|agent| agent.0)
                .map_or(Origin::Absent, Agent::read),
            id: self.id.and_then(label),
            timestamp: self.timestamp.or(self.indexed).and_then(label),
            body: body.into(),
            fields: None,
            span: None,
        })
    }
}

impl RawRule<'_> {
    fn read(self) -> Result<Rule, NotAnAlert> {
        let id = rule_id(self.id)?;
        let level = level(self.level)?;
        let groups = self.groups.unwrap_or_default();
        let others = items(&COMPLIANCE, &self.compliance);
        Ok(rule(id, level, &groups, others))
    }
}

pub(super) fn rule_id(written: Option<Scalar<'_>>) -> Result<RuleId, NotAnAlert> {
    match written {
        None | Some(Scalar::Null) => Err(NotAnAlert::NoRuleId),
        Some(id) => id
            .into_text()
            .and_then(|id| RuleId::parse(&id).ok())
            .ok_or(NotAnAlert::InvalidRuleId),
    }
}

/// The items of lists, each with the name of its list, which stands before it in
/// the group that it was.
pub(super) fn items<'a, const N: usize>(
    names: &'a [&str; N],
    lists: &'a [Option<Texts<'_>>; N],
) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
    names.iter().zip(lists).flat_map(|(name, items)| {
        let items = items.iter().flat_map(|items| &items.0);
        items.map(|item| (*name, &**item))
    })
}

/// A rule with its `groups`, and with others, of lists, that are matched but not
/// shown.
pub(super) fn rule<'a>(
    id: RuleId,
    level: Level,
    groups: &Texts<'_>,
    others: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Rule {
    // Splitting leaves 4.x's items as they are, and reads the one text that
    // some writers put there ("a,b,").
    let items = groups.0.iter().flat_map(|item| item.split(','));
    let groups: Vec<&str> = items.filter(|group| !group.is_empty()).collect();
    let listed = others
        .clone()
        .map(|(list, item)| list.len() + item.len() + 2);
    let own = groups.iter().map(|group| group.len() + 1);
    let mut group_text = String::with_capacity(own.chain(listed).sum());
    for group in &groups {
        group_text.extend([group, ","]);
    }
    for (list, item) in others {
        group_text.extend([list, "_", item, ","]);
    }
    Rule {
        id,
        level,
        groups: shown(groups),
        group_text,
    }
}

/// 4.x leaves the level out where it is 0.
pub(super) fn level(written: Option<Scalar<'_>>) -> Result<Level, NotAnAlert> {
    let level = match written {
        None | Some(Scalar::Null) => Some(Level::ZERO),
        Some(Scalar::Number(number)) => u8::try_from(number)
            .ok()
            .and_then(|number| Level::new(number).ok()),
        Some(Scalar::Text(text)) => Level::parse(&text).ok(),
        Some(Scalar::Other) => None,
    };
    level.ok_or(NotAnAlert::InvalidLevel)
}

impl Agent<'_> {
    pub(super) fn read(self) -> Origin {
        let id = match self.id {
            None | Some(Scalar::Null) => return Origin::Absent,
            Some(id) => id.into_text().and_then(|id| AgentId::parse(&id).ok()),
        };
        match id {
            Some(id) => Origin::Agent {
                id,
                name: self.name.and_then(label),
            },
            None => Origin::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::AgentId;

    fn group_text(rule: &str) -> String {
        parse(format!(r#"{{"rule":{{"id":"1",{rule}}}}}"#).as_bytes())
            .unwrap()
            .rule
            .group_text
    }

    #[test]
    fn the_group_text_is_what_the_rule_file_said() {
        for (rule, wanted) in [
            (r#""groups":["syslog","sshd"]"#, "syslog,sshd,"),
            (r#""groups":["web"," attack"]"#, "web, attack,"),
            (
                r#""tsc":["CC6.1"],"groups":["sshd"],"gdpr":["IV_35.7.d","IV_32.2"],"pci_dss":["10.2.4"]"#,
                "sshd,pci_dss_10.2.4,gdpr_IV_35.7.d,gdpr_IV_32.2,tsc_CC6.1,",
            ),
            (r#""groups":"syslog,sshd,""#, "syslog,sshd,"),
            (r#""groups":["a",null,["b"],{"c":1},7]"#, "a,7,"),
            (r#""groups":null"#, ""),
            (r#""groups":{"a":1}"#, ""),
            (r#""mitre":{"id":["T1110"]}"#, ""),
        ] {
            assert_eq!(group_text(rule), wanted, "{rule}");
        }
    }

    #[test]
    fn of_very_many_groups_the_first_are_shown_and_all_are_matched() {
        let long = "x".repeat(1_000);
        for (group, count, shown) in [
            ("a", 63, 64),
            ("a", 100_000, 64),
            (&long, 900, 5),
            (&long, 3, 5),
        ] {
            let mut groups = vec!["first"];
            groups.extend(vec![group; count]);
            groups.push("last");
            let line = serde_json::json!({"rule": {"id": "1", "groups": groups}});
            let rule = parse(line.to_string().as_bytes()).unwrap().rule;
            assert_eq!(rule.groups.len(), shown, "{group:.3} {count}");
            assert_eq!(rule.groups[0].as_str(), "first");
            assert!(rule.group_text.ends_with(&format!("{group},last,")));
        }
    }

    #[test]
    fn ids_and_levels_are_taken_as_numbers_and_as_texts() {
        for (rule, id, level) in [
            (r#"{"id":"5763","level":10}"#, "5763", 10),
            (r#"{"id":5763,"level":"10"}"#, "5763", 10),
            (r#"{"id":5763.0,"level":10.0}"#, "5763", 10),
            (r#"{"id":"5763"}"#, "5763", 0),
            (r#"{"id":"5763","level":null}"#, "5763", 0),
            (r#"{"id":"1","id":"2","level":3,"level":4}"#, "1", 3),
        ] {
            let line = format!(r#"{{"rule":{rule}}}"#);
            let read = parse(line.as_bytes()).unwrap().rule;
            assert_eq!(
                (read.id.as_str(), read.level.number()),
                (id, level),
                "{rule}"
            );
        }
    }

    #[test]
    fn a_line_that_is_no_alert_says_which_kind() {
        for (line, wanted) in [
            ("{", NotAnAlert::NotJson),
            (r#"{"rule":{"id":"1"}} x"#, NotAnAlert::NotJson),
            (
                r#"{"rule":{"id":"1"}}{"rule":{"id":"1"}}"#,
                NotAnAlert::NotJson,
            ),
            ("** Alert 1510376401.0: - syslog,", NotAnAlert::NotJson),
            ("[]", NotAnAlert::NotAnObject),
            ("7", NotAnAlert::NotAnObject),
            ("{}", NotAnAlert::NoRule),
            (r#"{"rule":"5763"}"#, NotAnAlert::NoRule),
            (r#"{"rule":{}}"#, NotAnAlert::NoRuleId),
            (r#"{"rule":{"id":null}}"#, NotAnAlert::NoRuleId),
            (r#"{"rule":{"id":""}}"#, NotAnAlert::InvalidRuleId),
            (r#"{"rule":{"id":[1]}}"#, NotAnAlert::InvalidRuleId),
            (r#"{"rule":{"id":1.5}}"#, NotAnAlert::InvalidRuleId),
            (r#"{"rule":{"id":-1}}"#, NotAnAlert::InvalidRuleId),
            (
                r#"{"rule":{"id":"1","level":21}}"#,
                NotAnAlert::InvalidLevel,
            ),
            (
                r#"{"rule":{"id":"1","level":-1}}"#,
                NotAnAlert::InvalidLevel,
            ),
            (
                r#"{"rule":{"id":"1","level":"high"}}"#,
                NotAnAlert::InvalidLevel,
            ),
            (
                r#"{"rule":{"id":"1","level":true}}"#,
                NotAnAlert::InvalidLevel,
            ),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap_err(), wanted, "{line}");
        }
    }

    #[test]
    fn an_agent_is_known_by_its_id_in_any_form() {
        let manager = || Origin::Agent {
            id: AgentId::MANAGER,
            name: None,
        };
        for (agent, wanted) in [
            (r#"{"id":"000"}"#, manager()),
            (r#"{"id":0}"#, manager()),
            (r#"{"id":"0","name":7.5}"#, manager()),
            (r#"{"name":"web"}"#, Origin::Absent),
            ("null", Origin::Absent),
            (r#""web""#, Origin::Absent),
            (r#"{"id":"web"}"#, Origin::Unreadable),
            (r#"{"id":[]}"#, Origin::Unreadable),
        ] {
            let line = format!(r#"{{"agent":{agent},"rule":{{"id":"1"}}}}"#);
            assert_eq!(parse(line.as_bytes()).unwrap().origin, wanted, "{agent}");
        }
    }

    #[test]
    fn the_body_is_the_object_byte_for_byte() {
        let object = b"{ \"b\":1,\"rule\":{\"id\":\"1\"},\"full_log\":\"\xff\\u00e9\" }";
        assert_eq!(*parse(object).unwrap().body, *object);
    }

    #[test]
    fn the_time_of_the_indexer_stands_in_where_there_is_no_other() {
        for (members, wanted) in [
            (r#""@timestamp":"a""#, "a"),
            (r#""@timestamp":"a","timestamp":"b""#, "b"),
        ] {
            let line = format!(r#"{{{members},"rule":{{"id":"1"}}}}"#);
            let found = parse(line.as_bytes()).unwrap().timestamp;
            assert_eq!(found.as_deref(), Some(wanted), "{members}");
        }
    }

    #[test]
    fn depth_in_a_member_nobody_asks_for_costs_nothing() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let line = format!(r#"{{"data":{deep},"rule":{{"id":"1","x":{deep}}},"agent":{deep}}}"#);
        assert!(parse(line.as_bytes()).is_ok());
    }
}
