//! A record of `alerts.log` (OSSEC and Wazuh 4.14, analysisd/alerts/log.c), of
//! which an object as in `alerts.json` of Wazuh 4.x is made:
//!
//! ```text
//! ** Alert SECONDS.NUMBER:[ mail ] - GROUP,GROUP,
//! YYYY Mon DD HH:MM:SS PLACE
//! [LABEL: VALUE, of Wazuh, in any number of lines]
//! Rule: ID (level N) -> 'DESCRIPTION'
//! [Src IP: X, Src Location, Src Port, Dst IP, Dst Location, Dst Port, User:
//!  each in a line of its own, in this order]
//! LOG, which may go on for several lines
//! ```
//!
//! The log is text of attackers, and nothing marks where it begins. What is
//! taken for a field therefore stands in its place and in its order, and occurs
//! in the first line of the log, as it must if a decoder has found it there. A
//! log that reads `Src IP: 192.0.2.1` has no such line behind it.

use serde::Serialize;

use crate::alert::formats::ossec::{Place, moment};
use crate::alert::formats::wazuh::rule;
use crate::alert::lenient::Texts;
use crate::alert::signs::RECORD;
use crate::alert::{Alert, Alerts, NotAnAlert};
use crate::model::{Level, RuleId};

/// The most labels of an agent.
const MAX_LABELS: usize = 100;

/// Where OSSEC cuts a log: what a decoder has found may have stood behind it.
const CUT: usize = 1_256;

/// What lines begin with that hold fields, in their order, and what the fields
/// are called in `data`.
const FIELDS: [(&str, Option<Name>); 7] = [
    ("Src IP: ", Some(Name::Srcip)),
    ("Src Location: ", None),
    ("Src Port: ", Some(Name::Srcport)),
    ("Dst IP: ", Some(Name::Dstip)),
    ("Dst Location: ", None),
    ("Dst Port: ", Some(Name::Dstport)),
    ("User: ", Some(Name::Dstuser)),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Name {
    Srcip,
    Srcport,
    Dstip,
    Dstport,
    Dstuser,
}

/// Reads a record, or several with empty lines between. What stands behind an
/// empty line and is no beginning belongs to the record before it (the changes
/// within a file, which Wazuh appends) and is left out.
pub(super) fn parse(piece: &[u8]) -> Alerts<'static> {
    let lines: Vec<&[u8]> = piece.split(|byte| *byte == b'\n').collect();
    let lines = lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<&[u8]> = lines.collect();
    lines
        .split(|line| line.is_empty())
        .filter(|record| record.first().is_some_and(|line| line.starts_with(RECORD)))
        .map(|record| read(record).unwrap_or(Err(NotAnAlert::NotARecord)))
        .collect()
}

/// `None` if it is none.
fn read(lines: &[&[u8]]) -> Option<Result<Alert<'static>, NotAnAlert>> {
    let head = Head::of(whole_head(lines.first()?))?;
    let (stamp, place) = place(lines.get(1)?)?;
    let labels = lines[2..].iter().take(MAX_LABELS);
    let labels = labels.take_while(|line| is_label(line)).count();
    let (verdict, rest) = lines[2 + labels..].split_first()?;
    let verdict = Verdict::of(verdict)?;
    let fields = fields(rest);
    let log = &rest[fields..];
    let Some(level) = Level::parse(verdict.level).ok() else {
        return Some(Err(NotAnAlert::InvalidLevel));
    };
    let Some(id) = RuleId::parse(verdict.id).ok() else {
        return Some(Err(NotAnAlert::InvalidRuleId));
    };
    let place = Place::of(place);
    let timestamp = head.seconds.checked_mul(1_000).and_then(moment);
    let rule = rule(
        id,
        level,
        &Texts(vec![head.groups.as_str().into()]),
        std::iter::empty(),
    );
    let body = Body {
        timestamp: timestamp.clone().unwrap_or_else(|| stamp.to_owned()),
        rule: RuleBody {
            level: level.number(),
            description: verdict.description,
            id: verdict.id,
            groups: head
                .groups
                .split(',')
                .filter(|group| !group.is_empty())
                .collect(),
        },
        agent: AgentBody::of(&place),
        id: head.id,
        full_log: String::from_utf8_lossy(&log.join(&b'\n')).into_owned(),
        syscheck: file(&head.groups, &place, log).map(|path| Syscheck { path }),
        predecoder: Predecoder::of(&place),
        data: Data::of(&rest[..fields]),
        location: location(&place),
    };
    Some(Ok(Alert {
        rule,
        origin: place.origin(),
        id: Some(head.id.to_owned()),
        timestamp: timestamp.or_else(|| Some(stamp.to_owned())),
        body: serde_json::to_vec(&body)
            .expect("texts and numbers always serialise")
            .into(),
        fields: None,
        span: None,
    }))
}

/// The head in a line: where one was torn, the next stands right behind it.
/// Nothing in it is from a log.
fn whole_head(line: &[u8]) -> &[u8] {
    let start = memchr::memmem::rfind(line, RECORD);
    &line[start.unwrap_or_default()..]
}

/// `** Alert SECONDS.NUMBER:[ mail ] - GROUPS`.
struct Head<'a> {
    /// With the number.
    id: &'a str,
    seconds: i64,
    groups: String,
}

impl<'a> Head<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let (id, rest) = str_of(line.strip_prefix(RECORD)?)?.split_once(':')?;
        let (seconds, number) = id.split_once('.')?;
        let is_id = [seconds, number].iter().all(|part| is_number(part));
        let rest = rest.strip_prefix(" mail ").unwrap_or(rest);
        let groups = rest.strip_prefix(" -")?;
        (is_id && (groups.is_empty() || groups.starts_with(' '))).then_some(())?;
        Some(Self {
            id,
            seconds: seconds.parse().ok()?,
            groups: groups.get(1..).unwrap_or_default().to_owned(),
        })
    }
}

/// `YYYY Mon DD HH:MM:SS PLACE`: the time as it is written, and the place.
fn place(line: &[u8]) -> Option<(&str, &str)> {
    const PATTERN: &[u8] = b"0000 aaa 00 00:00:00";
    let (stamp, place) = str_of(line)?.split_at_checked(PATTERN.len())?;
    let fits = |(byte, sort): (u8, &u8)| match sort {
        b'0' => byte.is_ascii_digit(),
        b'a' => byte.is_ascii_alphabetic(),
        _ => byte == *sort,
    };
    let is_stamp = stamp.bytes().zip(PATTERN).all(fits);
    // A place that was torn has the head of the next record behind it.
    let is_whole = memchr::memmem::find(line, RECORD).is_none();
    Some((stamp, place.strip_prefix(' ')?)).filter(|_| is_stamp && is_whole)
}

/// A line of Wazuh about the agent.
fn is_label(line: &[u8]) -> bool {
    !line.starts_with(b"Rule: ") && memchr::memmem::find(line, b": ").is_some()
}

/// `Rule: ID (level N) -> 'DESCRIPTION'`.
struct Verdict<'a> {
    id: &'a str,
    level: &'a str,
    description: String,
}

impl<'a> Verdict<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_prefix(b"Rule: ")?;
        let end = memchr::memmem::find(line, b") -> '")?;
        let (id, level) = str_of(&line[..end])?.split_once(" (level ")?;
        let description = line[end..].strip_prefix(b") -> '")?.strip_suffix(b"'")?;
        [id, level]
            .iter()
            .all(|part| is_number(part))
            .then_some(Self {
                id,
                level,
                description: String::from_utf8_lossy(description).into_owned(),
            })
    }
}

/// How many of the lines behind the rule are fields: as many as stand in order
/// and occur in the line behind them. The last line never is one.
fn fields(lines: &[&[u8]]) -> usize {
    let mut names = FIELDS.iter();
    let in_order = lines.iter().take_while(|line| {
        let rest = names.by_ref();
        rest.any(|(label, _)| line.starts_with(label.as_bytes()))
    });
    let in_order = in_order.count().min(lines.len().saturating_sub(1));
    let occurs =
        |log: &[u8], value: &[u8]| !value.is_empty() && memchr::memmem::find(log, value).is_some();
    let fits = |count: &usize| {
        let log = lines[*count];
        let mut values = lines[..*count].iter().filter_map(|line| value(line));
        // Where a record was torn the head of the next may stand.
        !log.starts_with(RECORD)
            && (log.len() == CUT || values.all(|(_, value)| occurs(log, value)))
    };
    (1..=in_order).rev().find(fits).unwrap_or(0)
}

/// The field in a line and what it says. Where something is on a map is in no
/// log.
fn value(line: &[u8]) -> Option<(Name, &[u8])> {
    let said = |(label, name): &(&str, Option<Name>)| {
        let value = line.strip_prefix(label.as_bytes())?;
        Some(((*name)?, value))
    };
    FIELDS.iter().find_map(said)
}

/// The file that file integrity monitoring has found changed. Only its own
/// records say so: those of its rules that come from itself.
fn file(groups: &str, place: &Place<'_>, log: &[&[u8]]) -> Option<String> {
    // Where nothing more follows, the text could have been torn at a quote in
    // the name of the file.
    const WITH_MORE: [(&str, &str); 4] = [
        ("Integrity checksum changed for: '", "'"),
        ("File '", "' modified"),
        ("File '", "' added"),
        ("File '", "' deleted"),
    ];
    const ALONE: [(&str, &str); 2] = [
        ("New file '", "' added to the file system."),
        ("File '", "' was deleted. Unable to retrieve checksum."),
    ];
    let (line, more) = log.split_first()?;
    let line = str_of(line)?;
    let with_more = WITH_MORE.iter().filter(|_| !more.is_empty());
    let mut sentences = with_more.chain(&ALONE);
    let path = sentences.find_map(|(before, behind)| {
        let path = line.strip_prefix(before)?;
        path.strip_suffix(behind)
    });
    let is_own = groups.split(',').any(|group| group == "syscheck");
    path.filter(|_| is_own && location(place) == "syscheck")
        .map(str::to_owned)
}

fn location<'a>(place: &Place<'a>) -> &'a str {
    match place {
        Place::OfAgent { file, .. } | Place::OfManager { file, .. } => file,
        Place::Unclear(text) => text,
    }
}

/// Names and addresses in other encodings would become others if they were put
/// into UTF-8, so they are none.
fn str_of(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// In the order of Wazuh 4.x.
#[derive(Serialize)]
struct Body<'a> {
    timestamp: String,
    rule: RuleBody<'a>,
    agent: AgentBody<'a>,
    id: &'a str,
    full_log: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    syscheck: Option<Syscheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predecoder: Option<Predecoder<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    location: &'a str,
}

#[derive(Serialize)]
struct RuleBody<'a> {
    level: u8,
    description: String,
    id: &'a str,
    groups: Vec<&'a str>,
}

#[derive(Serialize)]
struct Syscheck {
    path: String,
}

/// What a record knows of the agent: of a remote one no id.
#[derive(Default, Serialize)]
struct AgentBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'a str>,
}

impl<'a> AgentBody<'a> {
    fn of(place: &Place<'a>) -> Self {
        match place {
            Place::OfAgent { name, address, .. } => Self {
                id: None,
                name: Some(name),
                ip: Some(*address).filter(|address| *address != "any"),
            },
            Place::OfManager { .. } => Self {
                id: Some("000"),
                ..Self::default()
            },
            Place::Unclear(_) => Self::default(),
        }
    }
}

#[derive(Serialize)]
struct Predecoder<'a> {
    hostname: &'a str,
}

impl<'a> Predecoder<'a> {
    fn of(place: &Place<'a>) -> Option<Self> {
        match place {
            Place::OfManager { host, .. } => host.map(|hostname| Self { hostname }),
            Place::OfAgent { .. } | Place::Unclear(_) => None,
        }
    }
}

#[derive(Default, Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    srcip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srcport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dstip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dstport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dstuser: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn of(lines: &[&'a [u8]]) -> Option<Self> {
        let mut data = Self::default();
        for (name, text) in lines.iter().filter_map(|line| value(line)) {
            let slot = match name {
                Name::Srcip => &mut data.srcip,
                Name::Srcport => &mut data.srcport,
                Name::Dstip => &mut data.dstip,
                Name::Dstport => &mut data.dstport,
                Name::Dstuser => &mut data.dstuser,
            };
            *slot = str_of(text);
        }
        (!lines.is_empty()).then_some(data)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    use super::parse;
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::AgentName;

    const HEAD: &str = "** Alert 1795191000.1: - syslog,sshd,authentication_failed,\n\
                        2026 Nov 20 16:10:00 (web-7) 192.0.2.7->/var/log/auth.log\n\
                        Rule: 5716 (level 5) -> 'SSHD authentication failed.'\n";
    const LOG: &str =
        "Nov 20 16:10:00 web-7 sshd[1]: Failed password for root from 203.0.113.9 port 40124 ssh2";

    fn one(record: &str) -> Value {
        let [answer] = <[_; 1]>::try_from(parse(record.as_bytes())).unwrap();
        serde_json::from_slice(&answer.unwrap().body).unwrap()
    }

    fn refusal(record: &str) -> NotAnAlert {
        let [answer] = <[_; 1]>::try_from(parse(record.as_bytes())).unwrap();
        answer.unwrap_err()
    }

    #[test]
    fn a_record_becomes_an_alert_in_the_shape_of_4x() {
        let record =
            format!("{HEAD}Src IP: 203.0.113.9\nSrc Port: 40124\nUser: root\n{LOG}\nearlier");
        let wanted = json!({
            "timestamp": "2026-11-20T16:10:00.000Z",
            "rule": {
                "level": 5, "description": "SSHD authentication failed.", "id": "5716",
                "groups": ["syslog", "sshd", "authentication_failed"],
            },
            "agent": { "name": "web-7", "ip": "192.0.2.7" },
            "id": "1795191000.1",
            "full_log": format!("{LOG}\nearlier"),
            "data": { "srcip": "203.0.113.9", "srcport": "40124", "dstuser": "root" },
            "location": "/var/log/auth.log",
        });
        assert_eq!(one(&record), wanted);
        let [answer] = <[_; 1]>::try_from(parse(record.as_bytes())).unwrap();
        let alert = answer.unwrap();
        assert_eq!(
            alert.origin,
            Origin::Named(AgentName::parse("web-7").unwrap())
        );
        assert_eq!(alert.rule.group_text, "syslog,sshd,authentication_failed,");
        assert_eq!(alert.id.as_deref(), Some("1795191000.1"));
        let body = str::from_utf8(&alert.body).unwrap();
        assert!(body.starts_with(r#"{"timestamp":"2026-11-20T16:10:00.000Z","rule":{"level":5,"#));
    }

    #[test]
    fn what_a_log_says_of_itself_is_no_field() {
        for (rest, wanted) in [
            // As OSSEC writes it.
            (
                format!("Src IP: 203.0.113.9\nUser: root\n{LOG}"),
                json!({"srcip": "203.0.113.9", "dstuser": "root"}),
            ),
            (LOG.to_owned(), Value::Null),
            // A log that is nothing but a field.
            ("Src IP: 198.51.100.1".to_owned(), Value::Null),
            ("User: admin".to_owned(), Value::Null),
            (
                "Src IP: 203.0.113.9\nUser: admin from 203.0.113.9".to_owned(),
                json!({"srcip": "203.0.113.9"}),
            ),
            // The same with earlier logs behind it.
            (format!("Src IP: 198.51.100.1\n{LOG}"), Value::Null),
            (
                format!("Src IP: 203.0.113.9\nUser: admin 203.0.113.9\n{LOG}"),
                json!({"srcip": "203.0.113.9"}),
            ),
            // Not the order of fields.
            (
                format!("User: root\nSrc IP: 203.0.113.9\n{LOG}"),
                Value::Null,
            ),
            (format!("{LOG}\nSrc IP: 203.0.113.9\n{LOG}"), Value::Null),
            (
                "Src IP: 203.0.113.9\nSrc IP: 198.51.100.1\n203.0.113.9 198.51.100.1".to_owned(),
                Value::Null,
            ),
            ("Src IP: \nx".to_owned(), Value::Null),
            // Another head.
            (
                format!(
                    "Src IP: 203.0.113.9\n{LOG}\nRule: 1 (level 15) -> 'x'\nSrc IP: 198.51.100.1\nx 198.51.100.1"
                ),
                json!({"srcip": "203.0.113.9"}),
            ),
            (format!("x\n** Alert 1.1: - y,\n{LOG}"), Value::Null),
        ] {
            let body = one(&format!("{HEAD}{rest}"));
            assert_eq!(body["data"], wanted, "{rest}");
            assert_eq!(
                (&body["rule"]["id"], &body["rule"]["level"]),
                (&json!("5716"), &json!(5))
            );
            assert_eq!(body["id"], "1795191000.1");
        }
    }

    #[test]
    fn a_log_that_was_cut_may_have_had_the_field_behind_the_cut() {
        let cut = "x".repeat(1_256);
        let body = one(&format!("{HEAD}Src IP: 203.0.113.9\n{cut}"));
        assert_eq!(body["data"]["srcip"], "203.0.113.9");
        let body = one(&format!("{HEAD}Src IP: 203.0.113.9\n{cut}x"));
        assert_eq!(body["data"], Value::Null);
    }

    #[test]
    fn a_mail_flag_labels_and_places_on_a_map_are_read_over() {
        let record = format!(
            "** Alert 1.2: mail  - syslog,\n2026 Nov 20 16:10:00 db->/var/log/x\nteam: web\nRule of thumb: none\n\
             Rule: 1 (level 15) -> 'it's ') -> ''\nSrc IP: 203.0.113.9\nSrc Location: CH\nSrc Port: 40124\n{LOG}"
        );
        let body = one(&record);
        assert_eq!(
            body["data"],
            json!({"srcip": "203.0.113.9", "srcport": "40124"})
        );
        assert_eq!(body["rule"]["description"], "it's ') -> '");
        assert_eq!(body["agent"], json!({"id": "000"}));
        assert_eq!(body["predecoder"], json!({"hostname": "db"}));
        assert_eq!(body["full_log"], LOG);
    }

    #[test]
    fn only_file_integrity_monitoring_names_a_file() {
        let record = |groups: &str, place: &str, log: &str| {
            let record = format!(
                "** Alert 1.2: - {groups}\n2026 Nov 20 16:10:00 {place}\nRule: 550 (level 7) -> 'x'\n{log}"
            );
            one(&record)["syscheck"].clone()
        };
        let changed = "Integrity checksum changed for: '/etc/it's'\nSize changed";
        let path = |path: &str| json!({ "path": path });
        for (groups, place, log, wanted) in [
            (
                "ossec,syscheck,",
                "mgr->syscheck",
                changed,
                path("/etc/it's"),
            ),
            (
                "ossec,syscheck,",
                "(web-7) any->syscheck",
                "New file '/x' added to the file system.",
                path("/x"),
            ),
            (
                "ossec,syscheck,",
                "(web-7) any->syscheck",
                "File '/x' modified\nMode: realtime",
                path("/x"),
            ),
            ("ossec,syscheck,", "mgr->/var/log/x", changed, Value::Null),
            ("ossec,", "mgr->syscheck", changed, Value::Null),
            ("ossec,syscheck_x,", "mgr->syscheck", changed, Value::Null),
            (
                "ossec,syscheck,",
                "mgr->syscheck",
                "Integrity checksum changed for: '/x",
                Value::Null,
            ),
            (
                "ossec,syscheck,",
                "mgr->syscheck",
                "Integrity checksum changed for: '/x'",
                Value::Null,
            ),
            (
                "ossec,syscheck,",
                "mgr->syscheck",
                "x\nIntegrity checksum changed for: '/x'",
                Value::Null,
            ),
        ] {
            assert_eq!(record(groups, place, log), wanted, "{groups} {place} {log}");
        }
    }

    #[test]
    fn records_in_one_piece_are_answered_one_by_one() {
        let piece = format!(
            "{HEAD}{LOG}\n\n{HEAD}Src IP: 203.0.113.9\n{LOG}\n\nWhat changed:\nx\n\n** Alert x\r\n"
        );
        let answers = parse(piece.as_bytes());
        let kinds: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().err().copied())
            .collect();
        assert_eq!(kinds, [None, None, Some(NotAnAlert::NotARecord)]);
        let windows = format!("{HEAD}{LOG}").replace('\n', "\r\n");
        assert_eq!(one(&windows)["full_log"], LOG);
    }

    #[test]
    fn of_two_heads_in_a_line_the_first_was_torn() {
        let body = one(&format!("** Alert 1.2: mail  - a,b{HEAD}{LOG}"));
        assert_eq!(body["id"], "1795191000.1");
        assert_eq!(body["rule"]["groups"][0], "syslog");
    }

    #[test]
    fn what_is_no_record_is_no_alert() {
        for record in [
            "** Alert ",
            "** Alert 1.2: - a,",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y** Alert 1.3: - a,\nx: y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10 x->y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert x.2: - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert 1: - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert 1.2 - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert 1.2: x - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 5) -> 'x'\nx",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 5) -> 'x\nx",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level -5) -> 'x'\nx",
            "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y\nno label\nRule: 1 (level 5) -> 'x'\nx",
        ] {
            assert_eq!(refusal(record), NotAnAlert::NotARecord, "{record}");
        }
        let record = "** Alert 1.2: - a,\n2026 Nov 20 16:10:00 x->y\nRule: 1 (level 21) -> 'x'\nx";
        assert_eq!(refusal(record), NotAnAlert::InvalidLevel);
    }

    #[test]
    fn bytes_that_are_no_text_are_never_a_target() {
        let text = |lines: &[&[u8]]| {
            let record = [HEAD.as_bytes(), &lines.join(&b'\n')].concat();
            let [answer] = <[_; 1]>::try_from(parse(&record)).unwrap();
            serde_json::from_slice::<Value>(&answer.unwrap().body).unwrap()
        };
        let body = text(&[b"User: r\xfft", b"for r\xfft"]);
        assert_eq!(body["data"], json!({}));
        assert_eq!(body["full_log"], "for r\u{fffd}t");
    }

    proptest! {
        #[test]
        fn no_log_changes_the_head_or_names_an_address_that_is_not_in_it(
            lines in prop::collection::vec(prop::sample::select(vec![
                "Src IP: 198.51.100.1", "Src IP: 198.51.100.2", "User: a", "Src Port: 1", "Dst IP: 198.51.100.1",
                "Rule: 1 (level 15) -> 'x'", "** Alert 1.1: - x,", "2026 Nov 20 16:10:00 (db) any->x",
                "x 198.51.100.1", "a 1", LOG,
            ]), 1..8),
        ) {
            let body = one(&format!("{HEAD}{}", lines.join("\n")));
            prop_assert_eq!(&body["rule"]["id"], "5716");
            prop_assert_eq!(&body["agent"]["name"], "web-7");
            if let Some(found) = body["data"]["srcip"].as_str() {
                // It stood in its place, and a log of its own names it.
                prop_assert_eq!(lines[0], format!("Src IP: {found}"));
                prop_assert!(body["full_log"].as_str().unwrap().lines().next().unwrap().contains(found));
            }
        }

        #[test]
        fn no_damage_makes_it_panic(
            cut in any::<prop::sample::Index>(),
            from in any::<prop::sample::Index>(),
            junk in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let record = format!("{HEAD}Src IP: 203.0.113.9\nUser: root\n{LOG}\n");
            let (cut, from) = (cut.index(record.len()), from.index(record.len()));
            let bytes = record.as_bytes();
            for damaged in [&bytes[..cut], &[&bytes[..cut], &junk, &bytes[from..]].concat()] {
                for alert in parse(damaged).iter().flatten() {
                    prop_assert!(serde_json::from_slice::<Value>(&alert.body).is_ok());
                }
            }
        }
    }
}
