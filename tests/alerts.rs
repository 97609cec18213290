//! Alerts as they stand in files: fixtures with what is to be read from them,
//! samples of other people where there are any, and lines that went wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use ripost::alert::{self, FORMATS, Format, NotAnAlert, Origin};
use ripost::contract::target;
use serde_json::{Value, json};

fn fixtures(format: &Format) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/alerts")
        .join(format.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".in.json"))
        .collect();
    inputs.sort();
    inputs
}

fn wazuh() -> &'static Format {
    alert::find("wazuh").unwrap()
}

/// Everything that is read from a line, in the form of the `.out.json` files.
fn read(line: &[u8], format: &Format) -> Value {
    let alert = match alert::parse(line, format) {
        Ok(alert) => alert,
        Err(kind) => return json!({ "not_an_alert": kind.to_string() }),
    };
    let agent = match &alert.origin {
        Origin::Agent { id, name } => json!({ "id": id, "name": name }),
        Origin::Absent => json!("absent"),
        Origin::Unreadable => json!("unreadable"),
    };
    let start = alert.body.as_ptr() as usize - line.as_ptr() as usize;
    let target = match target::address(alert.body) {
        Ok(target) => json!(target.to_string()),
        Err(why) => json!({ "none": why.to_string() }),
    };
    json!({
        "rule": {
            "id": alert.rule.id,
            "level": alert.rule.level,
            "groups": alert.rule.groups,
            "group_text": alert.rule.group_text,
        },
        "agent": agent,
        "id": alert.id,
        "timestamp": alert.timestamp,
        "body": [start, start + alert.body.len()],
        "target": target,
    })
}

#[test]
fn fixtures_are_read_as_their_pair_says() {
    for format in FORMATS {
        for input in fixtures(format) {
            let found = read(&fs::read(&input).unwrap(), format);
            let output = input.to_str().unwrap().replace(".in.json", ".out.json");
            let wanted = fs::read_to_string(&output).unwrap_or_default();
            let wanted: Value = serde_json::from_str(&wanted).unwrap_or_default();
            assert_eq!(found, wanted, "{output} should be\n{found:#}");
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
        let stems: Vec<_> = fixtures(format)
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        for needed in ["typical.in.json", "minimal.in.json", "hostile.in.json"] {
            assert!(
                stems.iter().any(|stem| stem == needed),
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

/// Lines that others have published: `alerts/wazuh4/*.jsonl` below the folder
/// that `RIPOST_SAMPLES` names; without it there is nothing to walk.
#[test]
fn samples_are_alerts_and_lose_nothing_that_matching_asks_for() {
    let Some(folder) = std::env::var_os("RIPOST_SAMPLES") else {
        println!("skipped: RIPOST_SAMPLES names no folder of samples with alerts/wazuh4 in it");
        return;
    };
    let mut lines = 0;
    let folder = std::path::Path::new(&folder).join("alerts/wazuh4");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                check_sample(line, &format!("{}:{}", path.display(), number + 1));
                lines += 1;
            }
        }
    }
    assert!(lines > 0, "no lines in {folder:?}");
    println!("{lines} sample lines");
}

fn check_sample(line: &[u8], place: &str) {
    let alert = alert::parse(line, wazuh()).unwrap_or_else(|kind| panic!("{place} {kind}"));
    let whole: Value = serde_json::from_slice(line).unwrap();
    let rule = &whole["rule"];
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    assert_eq!(alert.rule.id.as_str(), text(&rule["id"]), "{place}");
    if let Some(level) = rule.get("level") {
        assert_eq!(alert.rule.level.to_string(), text(level), "{place}");
    }
    for group in rule["groups"].as_array().into_iter().flatten() {
        let group = format!("{},", text(group));
        assert!(alert.rule.group_text.contains(&group), "{place}: {group}");
    }
    for item in rule["pci_dss"].as_array().into_iter().flatten() {
        let item = format!(",pci_dss_{},", text(item));
        let text = format!(",{}", alert.rule.group_text);
        assert!(text.contains(&item), "{place}: {item}");
    }
    let eventdata = &whole["data"]["win"]["eventdata"];
    let named = [
        &eventdata["ipAddress"],
        &eventdata["destinationIp"],
        &whole["data"]["srcip"],
    ];
    let named = named.iter().find_map(|field| field.as_str());
    let wanted = named.and_then(|text| text.parse::<std::net::IpAddr>().ok());
    let found = target::address(alert.body).ok();
    assert_eq!(
        found.map(|target| target.to_string()),
        wanted.map(|address| address.to_canonical().to_string()),
        "{place}"
    );
}

/// Writes `value` with its members in an order that `choices` decide, every
/// third name in escapes.
fn rewritten(value: &Value, choices: &mut impl Iterator<Item = Index>) -> String {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<_> = members
                .iter()
                .map(|(name, value)| {
                    let escaped: String =
                        name.encode_utf16().fold(String::new(), |mut all, unit| {
                            write!(all, "\\u{unit:04X}").unwrap();
                            all
                        });
                    let name = if choices.next().unwrap().index(3) == 0 {
                        format!("\"{escaped}\"")
                    } else {
                        json!(name).to_string()
                    };
                    format!("{name} : {}", rewritten(value, choices))
                })
                .collect();
            for at in (1..parts.len()).rev() {
                parts.swap(at, choices.next().unwrap().index(at + 1));
            }
            format!("{{ {} }}", parts.join(" ,"))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| rewritten(item, choices)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Replaces the value that `choices` lead to by `other`.
fn replace_somewhere(value: &mut Value, choices: &mut impl Iterator<Item = Index>, other: Value) {
    let stay = choices.next().unwrap().index(4) == 0;
    match value {
        Value::Object(members) if !members.is_empty() && !stay => {
            let at = choices.next().unwrap().index(members.len());
            replace_somewhere(members.iter_mut().nth(at).unwrap().1, choices, other);
        }
        Value::Array(items) if !items.is_empty() && !stay => {
            let at = choices.next().unwrap().index(items.len());
            replace_somewhere(&mut items[at], choices, other);
        }
        _ => *value = other,
    }
}

fn any_line() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    let lines: Vec<_> = fixtures(wazuh())
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    prop::sample::select(lines)
}

/// The fixtures that are plain JSON without repeated names.
fn plain_line() -> impl proptest::strategy::Strategy<Value = Value> {
    let values: Vec<Value> = fixtures(wazuh())
        .iter()
        .filter(|path| !path.to_str().unwrap().contains("hostile"))
        .filter_map(|path| serde_json::from_slice(&fs::read(path).unwrap()).ok())
        .collect();
    assert!(values.len() >= 3);
    prop::sample::select(values)
}

fn choices(seed: &[Index]) -> impl Iterator<Item = Index> + '_ {
    seed.iter().copied().cycle()
}

/// What `read` says, but for where the body stands.
fn decided(line: &str) -> Value {
    let mut found = read(line.as_bytes(), wazuh());
    if let Some(members) = found.as_object_mut() {
        members.remove("body");
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn order_blanks_and_escapes_do_not_change_what_is_read(
        value in plain_line(),
        seed in prop::collection::vec(any::<Index>(), 64),
    ) {
        let line = rewritten(&value, &mut choices(&seed));
        prop_assert_eq!(decided(&line), decided(&value.to_string()), "{}", line);
    }

    #[test]
    fn a_wrong_type_anywhere_is_read_around_or_named(
        mut value in plain_line(),
        seed in prop::collection::vec(any::<Index>(), 16),
        other in prop::sample::select(vec![
            json!(null), json!(true), json!(-7), json!(1e300), json!("\u{0}"), json!([[]]),
            json!({"id": {"id": []}}), json!("x".repeat(5_000)),
        ]),
    ) {
        let rule = value["rule"].clone();
        replace_somewhere(&mut value, &mut choices(&seed), other);
        let found = decided(&value.to_string());
        if value["rule"] == rule {
            let alone = decided(&json!({ "rule": rule }).to_string());
            prop_assert_eq!(&found["rule"], &alone["rule"], "{}", value);
            prop_assert_eq!(&found["not_an_alert"], &alone["not_an_alert"], "{}", value);
        }
    }

    #[test]
    fn no_damage_makes_reading_panic_or_the_body_differ(
        line in any_line(),
        cut in any::<Index>(),
        from in any::<Index>(),
        junk in prop::collection::vec(any::<u8>(), 0..8),
        depth in prop::sample::select(vec![0_usize, 100, 1_001, 20_000]),
    ) {
        let at = cut.index(line.len() + 1);
        let from = from.index(line.len() + 1);
        let deep = ["{\"rule\":".repeat(depth), "}".repeat(depth)].map(String::into_bytes);
        for damaged in [
            line[..at].to_vec(),
            [&line[..], &line[..]].concat(),
            [&line[..at], &line[from..]].concat(),
            [&line[..at], &junk[..], &line[at..]].concat(),
            [&deep[0][..], &line[..], &deep[1][..]].concat(),
            [&line[..at], &b"[".repeat(depth)[..], &line[at..]].concat(),
        ] {
            if let Ok(alert) = alert::parse(&damaged, wazuh()) {
                let inside = damaged.as_ptr_range();
                prop_assert!(inside.contains(&alert.body.as_ptr()));
                let again = alert::parse(alert.body, wazuh());
                prop_assert_eq!(again.as_ref(), Ok(&alert));
                let _ = target::address(alert.body);
            }
            let _ = target::address(&damaged);
        }
    }
}
