//! Alerts as they stand in files: fixtures with what is to be read from them,
//! samples of other people where there are any, and lines that went wrong.
//!
//! `tests/data/alerts/FORMAT/NAME.in.*` is a line, a document or a record, and
//! `NAME.out.json` what it says. The samples are no part of this repository:
//! `RIPOST_SAMPLES` names a folder with `alerts/` in it, and
//! `tests/data/alerts.expect` holds what each of them gives.
//! `RIPOST_BLESS=1 cargo test --test alerts` writes both anew, and each line of
//! the difference is to be judged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod generic;
mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ripost::alert::{self, Alert, FORMATS, Format, NotAnAlert, Origin, Shape};
use ripost::contract::json::{self as contract, Value as Seen};
use ripost::contract::target;
use ripost::model::{Field, FieldPath};
use serde_json::{Value, json};

/// Where alerts in the shape of Wazuh 4.x name what is acted upon.
const USUAL: [(Field, &[&str]); 5] = [
    (
        Field::Srcip,
        &[
            "data.win.eventdata.ipAddress",
            "data.win.eventdata.destinationIp",
            "data.srcip",
        ],
    ),
    (Field::User, &["data.dstuser"]),
    (
        Field::Pid,
        &["data.process.pid", "data.audit.pid", "data.pid"],
    ),
    (Field::Exe, &["data.process.executable", "data.audit.exe"]),
    (
        Field::File,
        &[
            "syscheck.path",
            "data.virustotal.source.file",
            "data.file.path",
        ],
    ),
];

fn folder(name: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    data.join(name)
}

fn is_blessing() -> bool {
    std::env::var_os("RIPOST_BLESS").is_some()
}

#[expect(
    clippy::disallowed_methods,
    reason = "writes expectations when asked to"
)]
fn bless(path: &Path, found: &str) {
    fs::write(path, found).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn fixtures(format: &Format) -> Vec<PathBuf> {
    let mut files = files(&folder("alerts").join(format.name));
    files.retain(|path| path.to_str().unwrap().contains(".in."));
    files
}

/// Everything that is read from a piece, in the form of the `.out.json` files:
/// an object, or a list where there are several answers.
fn read(piece: &[u8], shape: &Shape) -> Value {
    let mut answers: Vec<Value> = shape
        .read(piece)
        .iter()
        .map(|answer| match answer {
            Ok(alert) => shown(alert, piece),
            Err(kind) => json!({ "not_an_alert": kind.to_string() }),
        })
        .collect();
    match answers.len() {
        1 => answers.remove(0),
        _ => Value::Array(answers),
    }
}

fn shown(alert: &Alert<'_>, piece: &[u8]) -> Value {
    let agent = match &alert.origin {
        Origin::Agent { id, name } => json!({ "id": id, "name": name }),
        Origin::Named(name) => json!({ "name": name }),
        Origin::Absent => json!("absent"),
        Origin::Unreadable => json!("unreadable"),
    };
    // Where it stands in the piece, or what it is if it was made.
    let start = (alert.body.as_ptr() as usize).wrapping_sub(piece.as_ptr() as usize);
    let body = match start < piece.len() {
        true => json!([start, start + alert.body.len()]),
        false => serde_json::from_slice(&alert.body).unwrap(),
    };
    let target = match target::address_in(&alert.body, alert.fields.as_deref()) {
        Ok(target) => json!(target.to_string()),
        Err(why) => json!({ "none": why.to_string() }),
    };
    let mut shown = json!({
        "rule": {
            "id": alert.rule.id,
            "level": alert.rule.level,
            "groups": alert.rule.groups,
            "group_text": alert.rule.group_text,
        },
        "agent": agent,
        "id": alert.id,
        "timestamp": alert.timestamp,
        "body": body,
        "target": target,
    });
    if alert.fields.is_some() {
        shown["named"] = json!(named(alert));
    }
    if let Some(span) = alert.span {
        shown["span"] = json!(span.as_secs_f64());
    }
    shown
}

/// What an alert names, looked for with the eyes of an executable.
fn named(alert: &Alert<'_>) -> BTreeMap<&'static str, String> {
    let body = contract::parse(&alert.body).unwrap();
    let name = |field: &Field| {
        let text = paths(alert, *field)
            .iter()
            .find_map(|path| at(&body, *field, path));
        Some((field.word(), text?))
    };
    Field::ALL.iter().filter_map(name).collect()
}

fn paths(alert: &Alert<'_>, field: Field) -> Vec<FieldPath> {
    let said = alert.fields.as_ref().and_then(|map| map.paths(field));
    let usual = || {
        let (_, paths) = USUAL.iter().find(|(known, _)| *known == field).unwrap();
        paths
            .iter()
            .map(|path| FieldPath::parse(path).unwrap())
            .collect()
    };
    said.map_or_else(usual, <[_]>::to_vec)
}

fn at(body: &Seen<'_>, field: Field, path: &FieldPath) -> Option<String> {
    let found = path.names().try_fold(body, |value, name| match value {
        Seen::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.member(&name),
    });
    match found? {
        Seen::String(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Seen::Number(number) if field == Field::Pid => Some(number.to_string()),
        Seen::Number(_) | Seen::Null | Seen::Bool(_) | Seen::Array(_) | Seen::Object(_) => None,
    }
}

/// Holds what is read from a fixture against its pair.
fn compare(input: &Path, shape: &Shape) {
    let piece = fs::read(input).unwrap();
    let found = read(&piece, shape);
    let (stem, _) = input.to_str().unwrap().split_once(".in.").unwrap();
    let output = PathBuf::from(format!("{stem}.out.json"));
    if is_blessing() {
        bless(&output, &format!("{found:#}\n"));
    }
    let wanted = fs::read_to_string(&output).unwrap_or_default();
    let wanted: Value = serde_json::from_str(&wanted).unwrap_or_default();
    assert_eq!(found, wanted, "{output:?} should be\n{found:#}");
}

#[test]
fn fixtures_are_read_as_their_pair_says() {
    for format in FORMATS {
        for input in fixtures(format) {
            compare(&input, &Shape::One(format));
        }
    }
}

/// What is of a format is recognised as that, so that `auto` reads it as the
/// word does.
#[test]
fn every_fixture_that_is_an_alert_is_recognised() {
    for format in FORMATS {
        for input in fixtures(format) {
            let piece = fs::read(&input).unwrap();
            let wanted = read(&piece, &Shape::One(format));
            if Shape::One(format).read(&piece).iter().any(Result::is_ok) {
                assert_eq!(read(&piece, &Shape::Auto), wanted, "{input:?}");
            }
        }
    }
}

#[test]
fn every_format_is_named_once_described_and_shown_by_fixtures() {
    let mut names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FORMATS.len());
    for format in FORMATS {
        assert!(!format.about.is_empty() && !format.about.ends_with('.'));
        assert_eq!(
            alert::find(format.name).map(|found| found.name),
            Some(format.name)
        );
        let names: Vec<_> = fixtures(format)
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        for needed in ["typical.in.", "minimal.in.", "hostile.in."] {
            assert!(
                names.iter().any(|name| name.starts_with(needed)),
                "{needed} of {format:?}"
            );
        }
    }
}

#[test]
fn every_kind_of_no_alert_has_a_label_of_its_own() {
    let mut labels: Vec<_> = NotAnAlert::ALL.iter().map(|kind| kind.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), NotAnAlert::ALL.len());
}
