//! Findings of Wazuh 5: documents of its common schema, from the index
//! `wazuh-findings-v5-*`. What stands outermost describes the event; rule and
//! agent are in `wazuh`.

use std::sync::{Arc, LazyLock};

use serde::de::MapAccess;

use crate::alert::formats::object::{label, members};
use crate::alert::formats::ossec::map;
use crate::alert::formats::wazuh::{Agent, items, rule, rule_id};
use crate::alert::lenient::{Members, Object, Scalar, Texts, as_text, first};
use crate::alert::signs::{Looks, object};
use crate::alert::{Alert, NotAnAlert, Origin, Rule};
use crate::model::{Field, FieldMap, Level};

/// What a level becomes (`docs/migration-wazuh5.md`).
const LEVELS: [(&str, u8); 5] = [
    ("informational", 3),
    ("low", 5),
    ("medium", 8),
    ("high", 12),
    ("critical", 15),
];

/// The lists in `compliance`, whose items are groups in the rules of 4.x.
const COMPLIANCE: [&str; 10] = [
    "pci_dss",
    "gdpr",
    "hipaa",
    "nist_800_53",
    "tsc",
    "nist_800_171",
    "iso_27001",
    "cmmc",
    "fedramp",
    "nis2",
];

/// Where a finding names what a response acts upon.
///
/// `source` is who sent, `client` who asked; where a finding has both they are
/// the same, and where it has one that is the remote side. `destination` and
/// `server` are those attacked and never looked at. `user` is who did it, or who
/// somebody tried to be; `user.target` is whom it was done to, and locking that
/// account would finish the attacker's work.
static FIELDS: LazyLock<Arc<FieldMap>> = LazyLock::new(|| {
    map(&[
        (Field::Srcip, "source.ip"),
        (Field::Srcip, "client.ip"),
        (Field::User, "user.name"),
        (Field::Pid, "process.pid"),
        (Field::Exe, "process.executable"),
        (Field::File, "file.path"),
    ])
});

/// There is a rule in `wazuh`, and none where 4.x has it.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    looks.signs().is_some_and(|signs| {
        let inner = object(&signs.wazuh).and_then(|wazuh| object(&wazuh.rule));
        inner.is_some() && object(&signs.rule).is_none()
    })
}

/// Reads one object.
pub(in crate::alert) fn parse(body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    let text = as_text(body);
    let finding: Finding<'_> = members(&text)?;
    let wazuh = finding.wazuh.and_then(|wazuh| wazuh.0).unwrap_or_default();
    let rule = wazuh.rule.and_then(|rule| rule.0);
    let event = finding.event.and_then(|event| event.0).unwrap_or_default();
    Ok(Alert {
        rule: rule.ok_or(NotAnAlert::NoRule)?.read()?,
        origin: wazuh
            .agent
            .and_then(|agent| agent.0)
            .map_or(Origin::Absent, Agent::read),
        // That of the document, where it is said, else the event's own.
        id: event
            .document
            .and_then(label)
            .or_else(|| event.id.and_then(label)),
        timestamp: finding.timestamp.and_then(label),
        body: body.into(),
        fields: Some(Arc::clone(&FIELDS)),
        span: None,
    })
}

#[derive(Default)]
struct Finding<'a> {
    wazuh: Option<Object<Wazuh<'a>>>,
    event: Option<Object<Event<'a>>>,
    timestamp: Option<Scalar<'a>>,
}

#[derive(Default)]
struct Wazuh<'a> {
    rule: Option<Object<RawRule<'a>>>,
    agent: Option<Object<Agent<'a>>>,
}

#[derive(Default)]
struct Event<'a> {
    document: Option<Scalar<'a>>,
    id: Option<Scalar<'a>>,
}

#[derive(Default)]
struct RawRule<'a> {
    id: Option<Scalar<'a>>,
    level: Option<Scalar<'a>>,
    tags: Option<Texts<'a>>,
    compliance: Option<Object<Compliance<'a>>>,
}

#[derive(Default)]
struct Compliance<'a>([Option<Texts<'a>>; COMPLIANCE.len()]);

impl<'de> Members<'de> for Finding<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "wazuh" => first(&mut self.wazuh, map),
            "event" => first(&mut self.event, map),
            "@timestamp" => first(&mut self.timestamp, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Wazuh<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            "agent" => first(&mut self.agent, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "doc_id" => first(&mut self.document, map),
            "id" => first(&mut self.id, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for RawRule<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => first(&mut self.id, map),
            "level" => first(&mut self.level, map),
            "tags" => first(&mut self.tags, map),
            "compliance" => first(&mut self.compliance, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Compliance<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match COMPLIANCE.iter().position(|&list| list == name) {
            Some(list) => first(&mut self.0[list], map),
            None => Ok(false),
        }
    }
}

impl RawRule<'_> {
    fn read(self) -> Result<Rule, NotAnAlert> {
        let id = rule_id(self.id)?;
        let level = level(self.level)?;
        let lists = self
            .compliance
            .and_then(|lists| lists.0)
            .unwrap_or_default();
        let others = items(&COMPLIANCE, &lists.0);
        Ok(rule(id, level, &self.tags.unwrap_or_default(), others))
    }
}

fn level(written: Option<Scalar>) -> Result<Level, NotAnAlert> {
    let Some(Scalar::Text(word)) = written else {
        return Err(match written {
            None | Some(Scalar::Null) => NotAnAlert::NoLevel,
            Some(_) => NotAnAlert::UnknownLevel,
        });
    };
    let level = LEVELS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(&word));
    level
        .and_then(|(_, number)| Level::new(*number).ok())
        .ok_or(NotAnAlert::UnknownLevel)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::{AgentId, Field};

    fn finding(rule: &str) -> String {
        format!(r#"{{"wazuh":{{"agent":{{"id":"007","name":"web-7"}},"rule":{rule}}}}}"#)
    }

    #[test]
    fn a_level_is_one_of_five_words() {
        for (level, wanted) in [
            (r#""informational""#, Ok(3)),
            (r#""low""#, Ok(5)),
            (r#""Medium""#, Ok(8)),
            (r#""high""#, Ok(12)),
            (r#""critical""#, Ok(15)),
            (r#""severe""#, Err(NotAnAlert::UnknownLevel)),
            (r#""12""#, Err(NotAnAlert::UnknownLevel)),
            ("12", Err(NotAnAlert::UnknownLevel)),
            ("null", Err(NotAnAlert::NoLevel)),
        ] {
            let line = finding(&format!(r#"{{"id":"sec-003","level":{level}}}"#));
            let found = parse(line.as_bytes()).map(|alert| alert.rule.level.number());
            assert_eq!(found, wanted, "{level}");
        }
        let line = finding(r#"{"id":"sec-003"}"#);
        assert_eq!(parse(line.as_bytes()).unwrap_err(), NotAnAlert::NoLevel);
    }

    #[test]
    fn tags_are_groups_and_compliance_is_matched_too() {
        let line = finding(
            r#"{"tags":["malware","port-scan"],"level":"low","id":"sec-003","compliance":
            {"cmmc":["AU.L2-3.3.1"],"tsc":["CC7.1"],"other":["x"],"pci_dss":["6.2","11.3"]},
            "mitre":{"tactic":{"id":["TA0040"]}}}"#,
        );
        let rule = parse(line.as_bytes()).unwrap().rule;
        assert_eq!(rule.id.as_str(), "sec-003");
        assert_eq!(
            rule.group_text,
            "malware,port-scan,pci_dss_6.2,pci_dss_11.3,tsc_CC7.1,cmmc_AU.L2-3.3.1,"
        );
        let shown: Vec<_> = rule.groups.iter().map(|group| group.as_str()).collect();
        assert_eq!(shown, ["malware", "port-scan"]);
    }

    #[test]
    fn the_agent_and_the_ids_are_taken_from_where_they_are() {
        let rule = r#"{"id":"1","level":"low"}"#;
        for (event, id) in [
            (r#"{"id":"e"}"#, Some("e")),
            (r#"{"id":"e","doc_id":"d"}"#, Some("d")),
            (r#"{"id":"e","doc_id":null}"#, Some("e")),
            ("7", None),
        ] {
            let line = finding(rule);
            let line = format!(r#"{{"@timestamp":"t","event":{event},{}"#, &line[1..]);
            let alert = parse(line.as_bytes()).unwrap();
            assert_eq!(alert.id.as_deref(), id, "{event}");
            assert_eq!(alert.timestamp.as_deref(), Some("t"));
            let origin = Origin::Agent {
                id: AgentId::parse("7").unwrap(),
                name: Some("web-7".to_owned()),
            };
            assert_eq!(alert.origin, origin);
        }
        let alone = format!(r#"{{"wazuh":{{"rule":{rule}}}}}"#);
        assert_eq!(parse(alone.as_bytes()).unwrap().origin, Origin::Absent);
    }

    #[test]
    fn what_was_attacked_is_never_the_target() {
        let line = finding(r#"{"id":"1","level":"low"}"#);
        let map = parse(line.as_bytes()).unwrap().fields.unwrap();
        for field in Field::ALL {
            for path in map.paths(field).unwrap() {
                let is_victim = ["target", "destination", "server"]
                    .iter()
                    .any(|word| path.as_str().contains(word));
                assert!(!is_victim, "{path}");
            }
        }
    }

    #[test]
    fn a_document_without_a_rule_is_no_alert() {
        for (line, why) in [
            (r#"{"wazuh":{"agent":{"id":"1"}}}"#, NotAnAlert::NoRule),
            (r#"{"wazuh":7}"#, NotAnAlert::NoRule),
            (
                r#"{"wazuh":{"rule":{"level":"low"}}}"#,
                NotAnAlert::NoRuleId,
            ),
            (
                r#"{"wazuh":{"rule":{"id":[],"level":"low"}}}"#,
                NotAnAlert::InvalidRuleId,
            ),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap_err(), why, "{line}");
        }
    }
}
