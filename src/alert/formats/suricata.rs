//! `eve.json` of Suricata: one JSON object a line, of which those with
//! `event_type` `alert` are alerts (userguide, EVE JSON format).

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde::de::MapAccess;

use super::groups::Groups;
use super::object::{label, members, origin};
use crate::alert::lenient::{Members, Object, Scalar, Texts, as_text, first};
use crate::alert::signs::{Looks, is_text, object};
use crate::alert::{Alert, NotAnAlert};
use crate::model::{Field, FieldMap, FieldPath, Level, RuleId};

/// Who attacks is where the signature says so (`target:`), which puts it into
/// `alert.source`. Otherwise it is where the packet came from.
static FIELDS: LazyLock<Arc<FieldMap>> = LazyLock::new(|| {
    let mut fields = FieldMap::default();
    for path in ["alert.source.ip", "src_ip"] {
        let path = FieldPath::parse(path).expect("it is a path");
        fields.push(Field::Srcip, path);
    }
    Arc::new(fields)
});

/// It says of which type the event is.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    looks.signs().is_some_and(|signs| {
        let is_others = object(&signs.rule).is_some() || object(&signs.wazuh).is_some();
        is_text(&signs.event_type) && !is_others
    })
}

/// Reads one object.
pub(in crate::alert) fn parse(body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    let text = as_text(body);
    let event: Event<'_> = members(&text)?;
    match event.event_type.and_then(Scalar::into_text).as_deref() {
        Some("alert") => {}
        Some(_) => return Err(NotAnAlert::OtherEvent),
        None => return Err(NotAnAlert::NoRule),
    }
    let signature = event
        .alert
        .and_then(|alert| alert.0)
        .ok_or(NotAnAlert::NoRule)?;
    let id = match signature.id {
        None | Some(Scalar::Null) => return Err(NotAnAlert::NoRuleId),
        Some(id) => id
            .into_text()
            .and_then(|id| RuleId::parse(&id).ok())
            .ok_or(NotAnAlert::InvalidRuleId)?,
    };
    let mut groups = Groups::of("suricata");
    groups.push_words(&text_of(signature.category));
    let metadata = signature.metadata.and_then(|metadata| metadata.0);
    for (name, values) in metadata.unwrap_or_default().0 {
        for value in values.0 {
            groups.push_words(&format!("{name} {value}"));
        }
    }
    groups.push_words(&text_of(signature.action));
    Ok(Alert {
        rule: groups.into_rule(id, level(signature.severity)),
        origin: origin(event.host),
        // `flow_id` is that of all alerts of a flow.
        id: None,
        timestamp: event.timestamp.and_then(label),
        body: body.into(),
        fields: Some(Arc::clone(&FIELDS)),
        span: None,
    })
}

fn text_of(scalar: Option<Scalar<'_>>) -> Cow<'_, str> {
    scalar.and_then(Scalar::into_text).unwrap_or_default()
}

/// 1 is the worst. What has no severity, or one that classification.config does
/// not come with, is never taken for worse than the least.
fn level(severity: Option<Scalar<'_>>) -> Level {
    let level = match severity.and_then(Scalar::into_text).as_deref() {
        Some("1") => 12,
        Some("2") => 8,
        Some("3") => 5,
        _ => 3,
    };
    Level::new(level).expect("it is no more than 20")
}

#[derive(Default)]
struct Event<'a> {
    event_type: Option<Scalar<'a>>,
    alert: Option<Object<Signature<'a>>>,
    host: Option<Scalar<'a>>,
    timestamp: Option<Scalar<'a>>,
}

#[derive(Default)]
struct Signature<'a> {
    id: Option<Scalar<'a>>,
    severity: Option<Scalar<'a>>,
    category: Option<Scalar<'a>>,
    action: Option<Scalar<'a>>,
    metadata: Option<Object<Metadata<'a>>>,
}

/// What the signature says of itself: names with lists of texts.
#[derive(Default)]
struct Metadata<'a>(Vec<(String, Texts<'a>)>);

impl<'de> Members<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "event_type" => first(&mut self.event_type, map),
            "alert" => first(&mut self.alert, map),
            "host" => first(&mut self.host, map),
            "timestamp" => first(&mut self.timestamp, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Signature<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "signature_id" => first(&mut self.id, map),
            "severity" => first(&mut self.severity, map),
            "category" => first(&mut self.category, map),
            "action" => first(&mut self.action, map),
            "metadata" => first(&mut self.metadata, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Metadata<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        self.0.push((name.to_owned(), map.next_value()?));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::Field;

    fn signature(members: &str) -> String {
        format!(r#"{{"event_type":"alert","alert":{{"signature_id":2100498{members}}}}}"#)
    }

    #[test]
    fn a_severity_is_a_level_and_none_is_taken_for_worse_than_it_is() {
        for (severity, level) in [
            (r#","severity":1"#, 12),
            (r#","severity":2"#, 8),
            (r#","severity":3"#, 5),
            (r#","severity":4"#, 3),
            (r#","severity":"1""#, 12),
            (r#","severity":0"#, 3),
            (r#","severity":255"#, 3),
            (r#","severity":-1"#, 3),
            (r#","severity":1.5"#, 3),
            (r#","severity":[1]"#, 3),
            (r#","severity":null"#, 3),
            ("", 3),
        ] {
            let line = signature(severity);
            let alert = parse(line.as_bytes()).unwrap();
            assert_eq!(alert.rule.level.number(), level, "{severity}");
            assert_eq!(alert.rule.id.as_str(), "2100498");
            assert_eq!((alert.origin, alert.id), (Origin::Absent, None));
        }
    }

    #[test]
    fn what_the_signature_says_of_itself_are_groups() {
        for (members, wanted) in [
            ("", "suricata,"),
            (
                r#","category":"Attempted Administrator Privilege Gain","action":"blocked""#,
                "suricata,attempted_administrator_privilege_gain,blocked,",
            ),
            (
                r#","action":"allowed","metadata":{"signature_severity":["Major"],
                    "cve":["CVE_2021_44228","CVE-2021-45046"],"mitre_technique_id":"T1059.001"}"#,
                "suricata,signature_severity_major,cve_cve_2021_44228,cve_cve_2021_45046,\
                 mitre_technique_id_t1059_001,allowed,",
            ),
            (
                r#","category":"a,sshd|x","metadata":{"a,b":["c,d"],"e":[{}],"f":{"g":1}}"#,
                "suricata,a_sshd_x,a_b_c_d,",
            ),
            (r#","category":7,"metadata":["x"]"#, "suricata,7,"),
        ] {
            let line = signature(members);
            let alert = parse(line.as_bytes()).unwrap();
            assert_eq!(alert.rule.group_text, wanted, "{members}");
        }
    }

    #[test]
    fn the_source_that_the_signature_names_comes_before_that_of_the_packet() {
        let line = signature("");
        let fields = parse(line.as_bytes()).unwrap().fields.unwrap();
        let paths: Vec<_> = fields.paths(Field::Srcip).unwrap().iter().collect();
        assert_eq!(
            paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
            ["alert.source.ip", "src_ip"]
        );
        assert_eq!(fields.paths(Field::User), None);
    }

    #[test]
    fn other_events_are_expected_and_what_is_none_says_why() {
        for (line, wanted) in [
            (r#"{"event_type":"flow"}"#, NotAnAlert::OtherEvent),
            (
                r#"{"event_type":"drop","alert":{"signature_id":1}}"#,
                NotAnAlert::OtherEvent,
            ),
            (r#"{"event_type":"ALERT"}"#, NotAnAlert::OtherEvent),
            (r#"{"alert":{"signature_id":1}}"#, NotAnAlert::NoRule),
            (r#"{"event_type":null}"#, NotAnAlert::NoRule),
            (r#"{"event_type":"alert"}"#, NotAnAlert::NoRule),
            (r#"{"event_type":"alert","alert":7}"#, NotAnAlert::NoRule),
            (r#"{"event_type":"alert","alert":{}}"#, NotAnAlert::NoRuleId),
            (
                r#"{"event_type":"alert","alert":{"signature_id":-1}}"#,
                NotAnAlert::InvalidRuleId,
            ),
            (r#"["event_type"]"#, NotAnAlert::NotAnObject),
            (r#"{"event_type":"alert""#, NotAnAlert::NotJson),
        ] {
            let why = parse(line.as_bytes()).unwrap_err();
            assert_eq!(why, wanted, "{line}");
            assert_eq!(why.is_expected(), why == NotAnAlert::OtherEvent);
        }
    }
}
