//! `alerts.json` of Wazuh 4.x (analysisd/format/to_json.c): one JSON object a
//! line. Exports from the indexer have another order and more members; older
//! versions and other writers put numbers where 4.x puts texts, and leave out
//! the level, the groups or the agent.

use serde::de::MapAccess;

use crate::alert::lenient::{Members, Object, Scalar, Texts, first};
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

/// A label longer than this is no label; it is left out.
const MAX_LABEL: usize = 256;

/// Reads one line.
pub(in crate::alert) fn parse(line: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let body = line.trim_ascii();
    if body.is_empty() {
        return Err(NotAnAlert::Empty);
    }
    // Bytes that are not UTF-8 come from logs in other encodings. They stay in
    // the body; what is decided on here gets U+FFFD for them.
    let text = String::from_utf8_lossy(body);
    let Object(line) =
        serde_json::from_str::<Object<Line>>(&text).map_err(|_| NotAnAlert::NotJson)?;
    let line = line.ok_or(NotAnAlert::NotAnObject)?;
    let rule = line
        .rule
        .and_then(|rule| rule.0)
        .ok_or(NotAnAlert::NoRule)?;
    Ok(Alert {
        rule: rule.read()?,
        origin: line
            .agent
            .and_then(|agent| agent.0)
            .map_or(Origin::Absent, Agent::read),
        id: line.id.and_then(label),
        timestamp: line.timestamp.and_then(label),
        body,
    })
}

#[derive(Default)]
struct Line {
    rule: Option<Object<RawRule>>,
    agent: Option<Object<Agent>>,
    id: Option<Scalar>,
    timestamp: Option<Scalar>,
}

#[derive(Default)]
struct RawRule {
    id: Option<Scalar>,
    level: Option<Scalar>,
    groups: Option<Texts>,
    compliance: [Option<Texts>; COMPLIANCE.len()],
}

#[derive(Default)]
struct Agent {
    id: Option<Scalar>,
    name: Option<Scalar>,
}

impl<'de> Members<'de> for Line {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            "agent" => first(&mut self.agent, map),
            "id" => first(&mut self.id, map),
            "timestamp" => first(&mut self.timestamp, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for RawRule {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
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

impl<'de> Members<'de> for Agent {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => first(&mut self.id, map),
            "name" => first(&mut self.name, map),
            _ => Ok(false),
        }
    }
}

impl RawRule {
    fn read(self) -> Result<Rule, NotAnAlert> {
        let id = match self.id {
            None | Some(Scalar::Null) => return Err(NotAnAlert::NoRuleId),
            Some(id) => id
                .into_text()
                .and_then(|id| RuleId::parse(&id).ok())
                .ok_or(NotAnAlert::InvalidRuleId)?,
        };
        // Splitting leaves 4.x's items as they are, and reads the one text that
        // some writers put there ("a,b,").
        let groups = self.groups.unwrap_or_default().0;
        let groups: Vec<&str> = groups
            .iter()
            .flat_map(|item| item.split(','))
            .filter(|group| !group.is_empty())
            .collect();
        let compliance = COMPLIANCE
            .iter()
            .zip(self.compliance)
            .flat_map(|(list, items)| {
                let items = items.unwrap_or_default().0;
                items.into_iter().map(move |item| format!("{list}_{item}"))
            });
        let mut group_text = String::new();
        for group in groups.iter().copied().map(str::to_owned).chain(compliance) {
            group_text.push_str(&group);
            group_text.push(',');
        }
        Ok(Rule {
            id,
            level: level(self.level)?,
            groups: shown(groups),
            group_text,
        })
    }
}

/// 4.x leaves the level out where it is 0.
fn level(written: Option<Scalar>) -> Result<Level, NotAnAlert> {
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

impl Agent {
    fn read(self) -> Origin {
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

/// A short printable text, or nothing.
fn label(scalar: Scalar) -> Option<String> {
    scalar.into_text().filter(|text| {
        !text.is_empty() && text.len() <= MAX_LABEL && !text.chars().any(char::is_control)
    })
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
            ("", NotAnAlert::Empty),
            (" \r\n", NotAnAlert::Empty),
            ("\u{feff}", NotAnAlert::Empty),
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
        let line = [b"\xef\xbb\xbf ".as_slice(), object, b"\r\n"].concat();
        assert_eq!(parse(&line).unwrap().body, object);
    }

    #[test]
    fn depth_in_a_member_nobody_asks_for_costs_nothing() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let line = format!(r#"{{"data":{deep},"rule":{{"id":"1","x":{deep}}},"agent":{deep}}}"#);
        assert!(parse(line.as_bytes()).is_ok());
    }
}
