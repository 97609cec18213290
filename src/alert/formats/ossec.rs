//! What OSSEC writes: the records of `alerts.log` (see [`record`]), the lines
//! of `alerts.json` (analysisd/format/to_json.c), and what it sends to syslog as
//! JSON (os_csyslogd/alert.c).

use std::sync::{Arc, LazyLock};

use serde::de::MapAccess;

use crate::alert::formats::object::{label, members};
use crate::alert::formats::record;
use crate::alert::formats::wazuh::{level, rule, rule_id};
use crate::alert::lenient::{Members, Object, Scalar, Texts, as_text, first};
use crate::alert::signs::{Looks, RECORD, is_text, object};
use crate::alert::{Alert, Alerts, NotAnAlert, Origin};
use crate::clock::Wall;
use crate::model::{AgentId, AgentName, Field, FieldMap, FieldPath};

/// Where `alerts.json` names what a response acts upon. Of users the first is
/// the one that OSSEC 4.3 prefers (analysisd/analysisd_stages.c).
static IN_JSON: LazyLock<Arc<FieldMap>> = LazyLock::new(|| {
    map(&[
        (Field::Srcip, "srcip"),
        (Field::User, "dstuser"),
        (Field::User, "srcuser"),
        (Field::File, "SyscheckFile.path"),
    ])
});

/// The same for what is sent to syslog.
static IN_SYSLOG: LazyLock<Arc<FieldMap>> = LazyLock::new(|| {
    map(&[
        (Field::Srcip, "src_ip"),
        (Field::User, "acct"),
        (Field::File, "file"),
    ])
});

pub(super) fn map(fields: &[(Field, &str)]) -> Arc<FieldMap> {
    let mut map = FieldMap::default();
    for (field, path) in fields {
        let path = FieldPath::parse(path).expect("a constant path is one");
        map.push(*field, path);
    }
    Arc::new(map)
}

/// A record, a rule with OSSEC's name for its id, or what it sends to syslog.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    let Looks::Object(signs) = looks else {
        return true;
    };
    match object(&signs.rule) {
        Some(rule) => rule.sidid.is_some(),
        None => signs.rule.is_none() && signs.crit.is_some() && is_text(&signs.component),
    }
}

/// Reads one object, or one record of several lines.
pub(in crate::alert) fn parse(piece: &[u8]) -> Alerts<'_> {
    match piece.starts_with(RECORD) {
        true => record::parse(piece),
        false => vec![parse_object(piece)],
    }
}

fn parse_object(body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    let text = as_text(body);
    let line: Line<'_> = members(&text)?;
    let id = line.id.and_then(label);
    let (raw, place, id, fields) = match line.rule.and_then(|rule| rule.0) {
        Some(rule) => (rule, line.location, id, &IN_JSON),
        // Behind syslog the id is that of the rule, and the alert has none.
        None if line.crit.is_some() => {
            let rule = RawRule {
                sidid: id.map(|id| Scalar::Text(id.into())),
                level: line.crit,
                group: line.classification.map(without_blank),
                groups: None,
            };
            (rule, line.component, None, &IN_SYSLOG)
        }
        None => return Err(NotAnAlert::NoRule),
    };
    let groups = raw.group.or(raw.groups).unwrap_or_default();
    let place = place.and_then(Scalar::into_text);
    let stamp = line.stamp.and_then(Scalar::into_text);
    Ok(Alert {
        rule: rule(
            rule_id(raw.sidid)?,
            level(raw.level)?,
            &groups,
            std::iter::empty(),
        ),
        origin: place.map_or(Origin::Absent, |place| Place::of(&place).origin()),
        timestamp: stamp.and_then(|millis| moment(millis.parse().ok()?)),
        id,
        body: body.into(),
        fields: Some(Arc::clone(fields)),
        span: None,
    })
}

/// The groups as the rule has them: what sends them leaves the blank that stands
/// before them in `alerts.log` (shared/read-alert.c).
fn without_blank(Texts(groups): Texts<'_>) -> Texts<'_> {
    let groups = groups.into_iter().map(|text| match text.strip_prefix(' ') {
        Some(rest) => rest.to_owned().into(),
        None => text,
    });
    Texts(groups.collect())
}

#[derive(Default)]
struct Line<'a> {
    rule: Option<Object<RawRule<'a>>>,
    id: Option<Scalar<'a>>,
    location: Option<Scalar<'a>>,
    /// `TimeStamp`: milliseconds since 1970.
    stamp: Option<Scalar<'a>>,
    crit: Option<Scalar<'a>>,
    component: Option<Scalar<'a>>,
    classification: Option<Texts<'a>>,
}

#[derive(Default)]
struct RawRule<'a> {
    sidid: Option<Scalar<'a>>,
    level: Option<Scalar<'a>>,
    /// The text of the rule file.
    group: Option<Texts<'a>>,
    /// The items of it, without those of compliance.
    groups: Option<Texts<'a>>,
}

impl<'de> Members<'de> for Line<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            "id" => first(&mut self.id, map),
            "location" => first(&mut self.location, map),
            "TimeStamp" => first(&mut self.stamp, map),
            "crit" => first(&mut self.crit, map),
            "component" => first(&mut self.component, map),
            "classification" => first(&mut self.classification, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for RawRule<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "sidid" => first(&mut self.sidid, map),
            "level" => first(&mut self.level, map),
            "group" => first(&mut self.group, map),
            "groups" => first(&mut self.groups, map),
            _ => Ok(false),
        }
    }
}

/// Where a log was read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Place<'a> {
    /// `(NAME) ADDRESS->FILE`, which remoted makes of what an agent sends.
    OfAgent {
        name: &'a str,
        address: &'a str,
        file: &'a str,
    },
    /// `HOST->FILE` or `FILE`: by the manager itself, also what other devices
    /// have sent to its syslog. The host is the one that the log names.
    OfManager {
        host: Option<&'a str>,
        file: &'a str,
    },
    /// Something in parentheses that is no agent.
    Unclear(&'a str),
}

impl<'a> Place<'a> {
    /// OSSEC 4.3 puts the host that the log names before the place of an agent,
    /// too. A host has no blanks and no parentheses (`isValidChar` of its
    /// analysisd/cleanevent.c), so that a log cannot name an agent.
    pub(super) fn of(text: &'a str) -> Self {
        let (host, place) = match text.split_once("->") {
            Some((host, place)) if !text.starts_with('(') => (Some(host), place),
            Some(_) | None => (None, text),
        };
        if !place.starts_with('(') {
            return Self::OfManager { host, file: place };
        }
        let agent = place[1..].split_once(") ").and_then(|(name, rest)| {
            let (address, file) = rest.split_once("->")?;
            Some(Self::OfAgent {
                name,
                address,
                file,
            })
        });
        agent.unwrap_or(Self::Unclear(place))
    }

    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::OfAgent { name, .. } => match AgentName::parse(name) {
                Ok(name) => Origin::Named(name),
                Err(_) => Origin::Unreadable,
            },
            Self::OfManager { .. } => Origin::Agent {
                id: AgentId::MANAGER,
                name: None,
            },
            Self::Unclear(_) => Origin::Unreadable,
        }
    }
}

/// A moment in milliseconds since 1970 as RFC 3339 has it; `None` beyond the year
/// 9999.
pub(super) fn moment(millis: i64) -> Option<String> {
    const END: i64 = 253_402_300_800_000;
    (0..END)
        .contains(&millis)
        .then(|| Wall::from_millis(millis).to_string())
}

#[cfg(test)]
mod tests {
    use super::{Place, parse};
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::{AgentId, AgentName};

    fn named(name: &str) -> Origin {
        Origin::Named(AgentName::parse(name).unwrap())
    }

    fn manager() -> Origin {
        Origin::Agent {
            id: AgentId::MANAGER,
            name: None,
        }
    }

    #[test]
    fn an_agent_is_named_by_what_remoted_writes_and_by_nothing_else() {
        for (place, wanted) in [
            ("(web-7) 192.0.2.7->/var/log/auth.log", named("web-7")),
            ("(web-7) any->syscheck", named("web-7")),
            ("db->(web-7) 192.0.2.7->/var/log/auth.log", named("web-7")),
            ("mgr->/var/log/auth.log", manager()),
            ("/var/log/auth.log", manager()),
            ("192.0.2.9", manager()),
            ("mgr->ossec-logcollector", manager()),
            ("mgr->/var/log/(web-7) any->x", manager()),
            ("", manager()),
            ("(web-7)->/var/log/auth.log", Origin::Unreadable),
            ("(web 7) any->x", Origin::Unreadable),
            ("(7) any->x", Origin::Unreadable),
            ("(web-7) any", Origin::Unreadable),
            ("(", Origin::Unreadable),
        ] {
            assert_eq!(Place::of(place).origin(), wanted, "{place}");
        }
    }

    #[test]
    fn a_line_of_alerts_json_is_read_by_its_own_names() {
        let line = br#"{"rule":{"level":10,"comment":"c","sidid":5712,"group":"syslog,sshd,pci_dss_10.2.4,",
            "groups":["syslog","sshd"]},"id":"1795191000.1","TimeStamp":1795191000000,"srcip":"203.0.113.9",
            "location":"(web-7) any->/var/log/auth.log","agent_name":"db","data":"x"}"#;
        let [alert] = <[_; 1]>::try_from(parse(line)).unwrap();
        let alert = alert.unwrap();
        assert_eq!(
            (alert.rule.id.as_str(), alert.rule.level.number()),
            ("5712", 10)
        );
        assert_eq!(alert.rule.group_text, "syslog,sshd,pci_dss_10.2.4,");
        assert_eq!(alert.origin, named("web-7"));
        assert_eq!(alert.id.as_deref(), Some("1795191000.1"));
        assert_eq!(alert.timestamp.as_deref(), Some("2026-11-20T16:10:00.000Z"));
        assert_eq!(*alert.body, *line);
    }

    #[test]
    fn what_is_sent_to_syslog_has_names_of_its_own() {
        let line = br#"{"crit":10,"id":5712,"component":"mgr->/var/log/auth.log","classification":" syslog,sshd,",
            "description":"d","message":"m","acct":"root","src_ip":"203.0.113.9"}"#;
        let [alert] = <[_; 1]>::try_from(parse(line)).unwrap();
        let alert = alert.unwrap();
        assert_eq!(
            (alert.rule.id.as_str(), alert.rule.level.number()),
            ("5712", 10)
        );
        assert_eq!(alert.rule.group_text, "syslog,sshd,");
        assert_eq!((alert.origin, alert.id), (manager(), None));
    }

    #[test]
    fn what_is_no_alert_says_why() {
        for (line, why) in [
            ("{}", NotAnAlert::NoRule),
            (r#"{"rule":{}}"#, NotAnAlert::NoRuleId),
            (r#"{"rule":{"sidid":[]}}"#, NotAnAlert::InvalidRuleId),
            (
                r#"{"rule":{"sidid":1,"level":21}}"#,
                NotAnAlert::InvalidLevel,
            ),
            (r#"{"crit":1}"#, NotAnAlert::NoRuleId),
            (r#"{"rule":{"sidid":1}"#, NotAnAlert::NotJson),
            ("7", NotAnAlert::NotAnObject),
        ] {
            let [answer] = <[_; 1]>::try_from(parse(line.as_bytes())).unwrap();
            assert_eq!(answer.unwrap_err(), why, "{line}");
        }
    }
}
