//! Alerts that others have published.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ripost::alert::{self, Origin, Shape};
use ripost::contract::target;
use serde_json::Value;

use crate::{bless, files, folder, is_blessing, named};

/// What others have published: `alerts/FOLDER/*` below the folder that
/// `RIPOST_SAMPLES` names; a `.jsonl` by its lines, anything else as one
/// document. Without it there is nothing to walk.
fn samples() -> Option<Vec<(String, Vec<u8>)>> {
    let Some(samples) = std::env::var_os("RIPOST_SAMPLES") else {
        println!("skipped: RIPOST_SAMPLES names no folder of samples with alerts/ in it");
        return None;
    };
    let root = Path::new(&samples).join("alerts");
    let mut found = Vec::new();
    for path in files(&root).iter().flat_map(|folder| files(folder)) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let bytes = fs::read(&path).unwrap();
        if !name.ends_with(".jsonl") {
            found.push((format!("{name}:1"), bytes));
            continue;
        }
        let lines = bytes.split(|&byte| byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        found.extend(lines.map(|(number, line)| (format!("{name}:{}", number + 1), line.to_vec())));
    }
    assert!(!found.is_empty(), "nothing in {root:?}");
    Some(found)
}

#[test]
fn each_sample_gives_what_was_judged() {
    let Some(samples) = samples() else { return };
    let expect = folder("alerts.expect");
    let said: Vec<_> = samples
        .iter()
        .map(|(place, piece)| (place, said(place, piece)))
        .collect();
    if is_blessing() {
        let all: String = said.iter().map(|(_, said)| said.as_str()).collect();
        bless(&expect, &all);
    }
    let expect = fs::read_to_string(expect).unwrap();
    let mut judged: BTreeMap<&str, String> = BTreeMap::new();
    for line in expect.lines() {
        let (place, _) = line.split_once(": ").unwrap();
        let text = judged.entry(place).or_default();
        text.push_str(line);
        text.push('\n');
    }
    let mut held = 0;
    for (place, said) in said {
        match judged.get(place.as_str()) {
            Some(wanted) => {
                assert_eq!(said, *wanted);
                held += 1;
            }
            // Another collection may have more.
            None => println!("not judged yet: {said}"),
        }
    }
    assert!(held > 0, "none of these samples has been judged");
}

/// What a sample gives, a line for each answer.
fn said(place: &str, piece: &[u8]) -> String {
    let mut said = String::new();
    for answer in Shape::Auto.read(piece) {
        let alert = match answer {
            Ok(alert) => alert,
            Err(kind) => {
                writeln!(said, "{place}: {kind}").unwrap();
                continue;
            }
        };
        let rule = &alert.rule;
        let agent = match &alert.origin {
            Origin::Agent { id, .. } => format!("agent {id}"),
            Origin::Named(name) => format!("agent {name}"),
            Origin::Absent => "no agent".to_owned(),
            Origin::Unreadable => "an unclear agent".to_owned(),
        };
        let (id, level, groups) = (&rule.id, rule.level, &rule.group_text);
        write!(said, "{place}: {id} level {level} [{groups}] {agent}").unwrap();
        for (field, text) in named(&alert) {
            write!(said, " {field}={text:?}").unwrap();
        }
        if let Some(span) = alert.span {
            write!(said, " for {} s", span.as_secs_f64()).unwrap();
        }
        said.push('\n');
    }
    said
}

#[test]
fn samples_of_wazuh_4_lose_nothing_that_matching_asks_for() {
    let Some(samples) = samples() else { return };
    let of_wazuh = |(place, _): &&(String, Vec<u8>)| place.starts_with("wazuh4/");
    let mut lines = 0;
    for (place, line) in samples.iter().filter(of_wazuh) {
        check_sample(line, place);
        lines += 1;
    }
    println!("{lines} sample lines");
}

fn check_sample(line: &[u8], place: &str) {
    let wazuh = alert::find("wazuh").unwrap();
    let alert = alert::parse(line, wazuh).unwrap_or_else(|kind| panic!("{place} {kind}"));
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
    let found = target::address(&alert.body).ok();
    assert_eq!(
        found.map(|target| target.to_string()),
        wanted.map(|address| address.to_canonical().to_string()),
        "{place}"
    );
}
