//! Events of Falco as JSON (`json_output`), one object a line, also as
//! falcosidekick sends them on, with an id and fields of its own.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde::de::MapAccess;

use super::groups::Groups;
use super::object::{is_named, label, members, origin};
use crate::alert::lenient::{Members, Object, Scalar, Texts, as_text, first};
use crate::alert::signs::{Looks, is_text, object};
use crate::alert::{Alert, NotAnAlert};
use crate::model::{Field, FieldMap, FieldPath, Level, RuleId};

/// Falco's priorities (those of syslog), and what they are to a response.
const PRIORITIES: [(&str, u8); 10] = [
    ("emergency", 15),
    ("alert", 14),
    ("critical", 13),
    ("error", 11),
    ("warning", 8),
    ("warn", 8),
    ("notice", 5),
    ("informational", 3),
    ("info", 3),
    ("debug", 0),
];

/// Its rule is a text, with a priority.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    looks.signs().is_some_and(|signs| {
        let has_rule = is_text(&signs.rule) || is_text(&signs.capital_rule);
        let is_others = object(&signs.rule).is_some()
            || object(&signs.wazuh).is_some()
            || is_text(&signs.event_type);
        has_rule && is_text(&signs.priority) && !is_others
    })
}

/// Reads one object.
pub(in crate::alert) fn parse(body: &[u8]) -> Result<Alert<'_>, NotAnAlert> {
    let text = as_text(body);
    let event: Event<'_> = members(&text)?;
    let id = match event.rule {
        None | Some(Scalar::Null) => return Err(NotAnAlert::NoRuleId),
        Some(Scalar::Text(name)) => RuleId::parse(&name).map_err(|_| NotAnAlert::InvalidRuleId)?,
        Some(Scalar::Number(_) | Scalar::Other) => return Err(NotAnAlert::InvalidRuleId),
    };
    let level = level(event.priority)?;
    let mut groups = Groups::of("falco");
    if let Some(source) = event.source.and_then(Scalar::into_text) {
        groups.push_label(&source);
    }
    for tag in event.tags.unwrap_or_default().0 {
        groups.push_label(&tag);
    }
    let fields = event.fields.and_then(|fields| fields.0).unwrap_or_default();
    Ok(Alert {
        rule: groups.into_rule(id, level),
        origin: origin(event.hostname),
        id: event.uuid.and_then(label),
        timestamp: event.time.and_then(label),
        body: body.into(),
        fields: Some(fields.map()),
        span: None,
    })
}

fn level(priority: Option<Scalar<'_>>) -> Result<Level, NotAnAlert> {
    let word = match priority {
        None | Some(Scalar::Null) => return Err(NotAnAlert::NoLevel),
        Some(priority) => priority.into_text().ok_or(NotAnAlert::UnknownLevel)?,
    };
    let row = PRIORITIES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&word));
    row.and_then(|(_, level)| Level::new(*level).ok())
        .ok_or(NotAnAlert::UnknownLevel)
}

#[derive(Default)]
struct Event<'a> {
    rule: Option<Scalar<'a>>,
    priority: Option<Scalar<'a>>,
    source: Option<Scalar<'a>>,
    tags: Option<Texts<'a>>,
    hostname: Option<Scalar<'a>>,
    time: Option<Scalar<'a>>,
    uuid: Option<Scalar<'a>>,
    fields: Option<Object<OutputFields<'a>>>,
}

/// What decides which of the other fields name a target.
#[derive(Default)]
struct OutputFields<'a> {
    event: Option<Scalar<'a>>,
    container: Option<Scalar<'a>>,
    pod: Option<Scalar<'a>>,
}

impl<'de> Members<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            _ if is_named(name, "rule") => first(&mut self.rule, map),
            _ if is_named(name, "priority") => first(&mut self.priority, map),
            _ if is_named(name, "source") => first(&mut self.source, map),
            _ if is_named(name, "tags") => first(&mut self.tags, map),
            _ if is_named(name, "hostname") => first(&mut self.hostname, map),
            _ if is_named(name, "time") => first(&mut self.time, map),
            _ if is_named(name, "uuid") => first(&mut self.uuid, map),
            _ if is_named(name, "output_fields") => first(&mut self.fields, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for OutputFields<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            _ if is_named(name, "evt.type") => first(&mut self.event, map),
            _ if is_named(name, "container.id") => first(&mut self.container, map),
            _ if is_named(name, "k8s.pod.name") => first(&mut self.pod, map),
            _ => Ok(false),
        }
    }
}

/// System calls by which a host speaks to others of its own accord, as the macro
/// `outbound` of Falco's rules has them.
const OUTBOUND: [&str; 4] = ["connect", "sendto", "sendmsg", "sendmmsg"];

/// By whether the host itself dialled, and whether it was a container.
static FIELDS: LazyLock<[[Arc<FieldMap>; 2]; 2]> = LazyLock::new(|| {
    [false, true].map(|dialled| [false, true].map(|contained| fields(dialled, contained)))
});

impl OutputFields<'_> {
    fn map(self) -> Arc<FieldMap> {
        let dialled = named(self.event).is_some_and(|event| OUTBOUND.contains(&&*event));
        let contained =
            named(self.container).is_some_and(|id| id != "host") || named(self.pod).is_some();
        Arc::clone(&FIELDS[usize::from(dialled)][usize::from(contained)])
    }
}

/// A text that says something.
fn named(scalar: Option<Scalar<'_>>) -> Option<Cow<'_, str>> {
    let text = scalar.and_then(Scalar::into_text)?;
    (!text.is_empty() && text != "<NA>").then_some(text)
}

/// The other side of a connection is `fd.rip`, whoever began it. Where a rule
/// does not print that, the other side is the client, or the server if this host
/// has dialled; the other one of the two is this host, or a container on it.
///
/// A container has accounts and files of its own: what is called `root` or
/// `/etc/passwd` there is not what the host calls so, and nothing says what the
/// host calls it. The number of a process is the host's (`proc.vpid` is the
/// container's).
fn fields(dialled: bool, contained: bool) -> Arc<FieldMap> {
    let far = if dialled { r"fd\.sip" } else { r"fd\.cip" };
    let mut wanted = vec![
        (Field::Srcip, r"fd\.rip"),
        (Field::Srcip, far),
        (Field::Pid, r"proc\.pid"),
    ];
    if !contained {
        wanted.extend([
            (Field::User, r"user\.name"),
            (Field::Exe, r"proc\.exepath"),
            (Field::File, r"fd\.name"),
        ]);
    }
    let mut fields = FieldMap::default();
    for (field, name) in wanted {
        let path = FieldPath::parse(&format!("output_fields.{name}")).expect("it is a path");
        fields.push(field, path);
    }
    Arc::new(fields)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::alert::NotAnAlert;
    use crate::model::Field;

    #[test]
    fn each_priority_is_a_level_in_any_case_and_no_other_word_is() {
        for (priority, level) in [
            ("Emergency", 15),
            ("alert", 14),
            ("CRITICAL", 13),
            ("Error", 11),
            ("Warning", 8),
            ("warn", 8),
            ("Notice", 5),
            ("Informational", 3),
            ("info", 3),
            ("Debug", 0),
        ] {
            let line = format!(r#"{{"rule":"Test","priority":"{priority}"}}"#);
            let alert = parse(line.as_bytes()).unwrap();
            assert_eq!(alert.rule.level.number(), level, "{priority}");
        }
        for (priority, why) in [
            (r#""high""#, NotAnAlert::UnknownLevel),
            (r#""""#, NotAnAlert::UnknownLevel),
            ("2", NotAnAlert::UnknownLevel),
            ("[]", NotAnAlert::UnknownLevel),
            ("null", NotAnAlert::NoLevel),
        ] {
            let line = format!(r#"{{"rule":"Test","priority":{priority}}}"#);
            assert_eq!(parse(line.as_bytes()).unwrap_err(), why, "{priority}");
        }
    }

    #[test]
    fn the_name_of_the_rule_is_its_id_whoever_spells_it() {
        for name in ["rule", "Rule", "RULE"] {
            let line = format!(r#"{{"{name}":"Terminal shell in container","priority":"error"}}"#);
            let alert = parse(line.as_bytes()).unwrap();
            assert_eq!(alert.rule.id.as_str(), "Terminal shell in container");
        }
        for (members, why) in [
            (r#""priority":"error""#, NotAnAlert::NoRuleId),
            (r#""rule":"","priority":"error""#, NotAnAlert::InvalidRuleId),
            (
                r#""rule":"a\nb","priority":"error""#,
                NotAnAlert::InvalidRuleId,
            ),
            (
                r#""rule":{"id":"1"},"priority":"error""#,
                NotAnAlert::InvalidRuleId,
            ),
            (r#""rule":"x""#, NotAnAlert::NoLevel),
        ] {
            let line = format!("{{{members}}}");
            assert_eq!(parse(line.as_bytes()).unwrap_err(), why, "{members}");
        }
    }

    #[test]
    fn source_and_tags_are_groups_as_they_are_written() {
        let line = br#"{"rule":"x","priority":"error","source":"syscall",
            "tags":["mitre_execution","T1059","PCI_DSS_10.2.5","a,b",null]}"#;
        assert_eq!(
            parse(line).unwrap().rule.group_text,
            "falco,syscall,mitre_execution,T1059,PCI_DSS_10.2.5,a_b,"
        );
    }

    fn paths(output_fields: &str, field: Field) -> Option<Vec<String>> {
        let line = format!(r#"{{"rule":"x","priority":"error","output_fields":{output_fields}}}"#);
        let fields = parse(line.as_bytes()).unwrap().fields.unwrap();
        let paths = fields.paths(field)?;
        Some(paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_far_end_of_a_connection_is_the_client_unless_this_host_has_dialled() {
        const CLIENT: [&str; 2] = [r"output_fields.fd\.rip", r"output_fields.fd\.cip"];
        const SERVER: [&str; 2] = [r"output_fields.fd\.rip", r"output_fields.fd\.sip"];
        for (output_fields, wanted) in [
            ("{}", CLIENT),
            ("null", CLIENT),
            (r#"{"evt.type":"accept4"}"#, CLIENT),
            (r#"{"evt.type":"execve"}"#, CLIENT),
            (r#"{"evt.type":"connect"}"#, SERVER),
            (r#"{"EVT.type":"sendto"}"#, SERVER),
            (r#"{"evt.type":"accept","evt.type":"connect"}"#, CLIENT),
        ] {
            let found = paths(output_fields, Field::Srcip).unwrap();
            assert_eq!(found, wanted, "{output_fields}");
        }
    }

    #[test]
    fn accounts_and_files_of_a_container_are_none_of_the_host() {
        for (output_fields, contained) in [
            ("{}", false),
            (r#"{"container.id":"host"}"#, false),
            (r#"{"container.id":null}"#, false),
            (r#"{"container.id":"<NA>","k8s.pod.name":""}"#, false),
            (r#"{"container.id":"3ad7b26ded6d"}"#, true),
            (r#"{"k8s.pod.name":"web-1"}"#, true),
            (r#"{"container.id":"host","k8s.pod.name":"web-1"}"#, true),
        ] {
            for (field, name) in [
                (Field::User, r"user\.name"),
                (Field::Exe, r"proc\.exepath"),
                (Field::File, r"fd\.name"),
            ] {
                let wanted = (!contained).then(|| vec![format!("output_fields.{name}")]);
                assert_eq!(paths(output_fields, field), wanted, "{output_fields}");
            }
            let pid = paths(output_fields, Field::Pid);
            assert_eq!(pid, Some(vec![r"output_fields.proc\.pid".to_owned()]));
        }
    }
}
