//! Who reads active-responses.log finds in it what was done: the decoders and
//! rules of Wazuh 4.x in the layout of Wazuh, those of OSSEC in that of OSSEC.
//! What each demands is put in code here (wazuh 4.14 ruleset
//! decoders/0010-active-response_decoders.xml, rules/0015-ossec_rules.xml;
//! ossec-hids 4.3 etc/decoder.xml, etc/rules/ossec_rules.xml).

use std::fs;

use ripost::model::bundled::{BUNDLED, TargetKind};
use serde_json::Value;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::{Home, direct, under_execd};
use crate::{CASES, Case, delete_under_execd, fresh, home, keys_line, line};

/// What a decoder has found in a line.
#[derive(Debug, Eq, PartialEq)]
struct Decoded {
    script: String,
    verb: String,
    target: String,
}

/// The text behind as many digits as the pattern has `d`; other bytes of it
/// stand for themselves.
fn behind<'a>(text: &'a str, pattern: &str) -> Option<&'a str> {
    let rest = text.get(pattern.len()..)?;
    let fits = text
        .bytes()
        .zip(pattern.bytes())
        .all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        });
    fits.then_some(rest)
}

/// `ar_log_json`: a stamp, the path of an executable, a colon, JSON. Only a line
/// with a program and a command is one of those that rules tell apart.
fn wazuh(line: &str) -> Option<Decoded> {
    let rest = behind(line, "dddd/dd/dd dd:dd:dd active-response/bin/")?;
    let (name, json) = rest.split_once(": ")?;
    if name.contains(char::is_whitespace) {
        return None;
    }
    let event: Value = serde_json::from_str(json).ok()?;
    let parameters = &event["parameters"];
    let program = parameters["program"].as_str()?;
    Some(Decoded {
        script: program.strip_prefix("active-response/bin/")?.to_owned(),
        verb: event["command"].as_str()?.to_owned(),
        target: parameters["alert"]["data"]["srcip"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The rule of Wazuh for a line; 650 is for all that is decoded.
fn wazuh_rule(line: &str) -> Option<u32> {
    let Decoded { script, verb, .. } = wazuh(line)?;
    Some(match (script.as_str(), verb.as_str()) {
        ("firewall-drop", "add") => 651,
        ("firewall-drop", "delete") => 652,
        ("host-deny", "add") => 653,
        ("host-deny", "delete") => 654,
        ("route-null", "add") => 655,
        ("route-null", "delete") => 656,
        (_, "add" | "delete") => 657,
        _ => 650,
    })
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"@_-".contains(&byte))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `ar_log`: a date as date(1) prints it in the C locale, an absolute path, and
/// anywhere behind `/active-response` a `/bin/`, two words, a dash, and three
/// more words, of which the last two are numbers.
fn ossec(line: &str) -> Option<Decoded> {
    let mut words = line.split_ascii_whitespace();
    let [weekday, month, day, time, zone, year] =
        [(); 6].map(|()| words.next().unwrap_or_default());
    let is_date = weekday.len() == 3
        && is_word(weekday)
        && is_word(month)
        && is_number(day)
        && behind(time, "dd:dd:dd") == Some("")
        && is_word(zone)
        && is_number(year);
    let (_, path) = line.split_once(&format!(" {year} "))?;
    let (before, after) = path.split_once("/active-response")?;
    let is_path = before.starts_with('/') && before.len() > 1 && !before.contains(' ');
    let run = |at: usize| {
        let words: Vec<_> = after[at + "/bin/".len()..].splitn(6, ' ').collect();
        let [script, verb, "-", address, id, rest] = words[..] else {
            return None;
        };
        let (seconds, number) = id.split_once('.')?;
        let is_run = is_number(seconds)
            && is_number(number)
            && rest.starts_with(|c: char| c.is_ascii_digit());
        let [script, verb, target] = [script, verb, address].map(str::to_owned);
        is_run.then_some(Decoded {
            script,
            verb,
            target,
        })
    };
    let mut places = after.match_indices("/bin/").map(|(at, _)| at);
    places.find_map(run).filter(|_| is_date && is_path)
}

/// The rule of OSSEC for a line; 600 is for all that is decoded.
fn ossec_rule(line: &str) -> Option<u32> {
    let Decoded { script, verb, .. } = ossec(line)?;
    Some(match (script.as_str(), verb.as_str()) {
        ("firewall-drop.sh", "add") => 601,
        ("firewall-drop.sh", "delete") => 602,
        ("host-deny.sh", "add") => 603,
        ("host-deny.sh", "delete") => 604,
        ("route-null.sh", "add") => 605,
        ("route-null.sh", "delete") => 606,
        _ => 600,
    })
}

/// The lines of the log with their stamps.
fn lines(home: &Home) -> Vec<String> {
    let log = fs::read_to_string(home.file("logs/active-responses.log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Has one executable do and undo its work, in a home in which `prepare` was
/// done, and answers the lines of each of the two.
fn add_and_delete(case: &Case, name: &str, prepare: fn(&Home)) -> [Vec<String>; 2] {
    fresh();
    let home = home();
    prepare(&home);
    let data = (case.scene)();
    let (add, go_on) = (
        line(case, name, "add", &data),
        line(case, name, "continue", &data),
    );
    let answer = if case.keys.is_some() {
        go_on.as_str()
    } else {
        ""
    };
    let (_, code) = under_execd(direct(&home, name), &add, answer);
    assert_eq!(code, Some(case.add.1), "{name}: {:?}", home.log());
    let added = lines(&home);
    delete_under_execd(&home, name, &line(case, name, "delete", &data));
    let mut deleted = lines(&home);
    deleted.drain(..added.len());
    [added, deleted]
}

fn for_each(what: impl Fn(&Case, &str)) {
    tool("ip", &["link", "set", "lo", "up"]);
    for row in BUNDLED {
        let case = CASES.iter().find(|case| case.name == row.name).unwrap();
        row.names().for_each(|name| what(case, name));
    }
}

#[test]
fn rules_of_wazuh_find_each_order_of_each_executable_once() {
    reexec_in_namespace(|| {
        for_each(|case, name| {
            let both = add_and_delete(case, name, |_| {});
            for (verb, lines) in ["add", "delete"].into_iter().zip(both) {
                let found: Vec<_> = lines.iter().filter_map(|line| wazuh(line)).collect();
                let [decoded] = &found[..] else {
                    panic!("{name} {verb}: {lines:#?}");
                };
                assert_eq!((&*decoded.script, &*decoded.verb), (name, verb));
                let rules: Vec<_> = lines.iter().filter_map(|line| wazuh_rule(line)).collect();
                let wanted = match (name, verb) {
                    ("firewall-drop", "add") => 651,
                    ("firewall-drop", "delete") => 652,
                    ("host-deny", "add") => 653,
                    ("host-deny", "delete") => 654,
                    ("route-null", "add") => 655,
                    ("route-null", "delete") => 656,
                    _ => 657,
                };
                assert_eq!(rules, [wanted], "{name} {verb}");
            }
        });
    });
}

#[test]
fn rules_of_ossec_find_what_each_executable_has_done_in_its_layout() {
    reexec_in_namespace(|| {
        for_each(|case, name| {
            let of_ossec = |home: &Home| {
                fs::write(home.file("queue/log_layout"), "ossec\n").unwrap();
            };
            let row = ripost::model::bundled::find(name).unwrap();
            let both = add_and_delete(case, name, of_ossec);
            let ends = [case.add, case.delete];
            for ((verb, end), lines) in ["add", "delete"].into_iter().zip(ends).zip(both) {
                let [line] = &lines[..] else {
                    panic!("{name} {verb}: {lines:#?}");
                };
                assert!(
                    line.contains(&format!("/active-response/bin/{name}")),
                    "{line}"
                );
                if end.1 != 0 {
                    assert!(line.contains(" failed: "), "{line}");
                    assert_eq!(ossec(line), None, "{line}");
                    continue;
                }
                if row.target == TargetKind::User {
                    // OSSEC's decoder asks for a dash where its script writes
                    // the user.
                    assert_eq!(ossec(line), None, "{line}");
                    let words = format!("/{name}{} {verb} alice - 1.1 5715", script_end(name));
                    assert!(line.ends_with(&words), "{line}");
                    continue;
                }
                let decoded = ossec(line).unwrap_or_else(|| panic!("{name} {verb}: {line}"));
                assert_eq!(decoded.script, format!("{name}{}", script_end(name)));
                assert_eq!(decoded.verb, verb);
                let address = case
                    .keys
                    .map(|keys| keys())
                    .filter(|key| key == crate::ATTACKER);
                assert_eq!(decoded.target, address.unwrap_or("-".to_owned()), "{line}");
                let wanted = match (name, verb) {
                    ("firewall-drop", "add") => 601,
                    ("firewall-drop", "delete") => 602,
                    ("host-deny", "add") => 603,
                    ("host-deny", "delete") => 604,
                    ("route-null", "add") => 605,
                    ("route-null", "delete") => 606,
                    _ => 600,
                };
                assert_eq!(ossec_rule(line), Some(wanted), "{line}");
            }
        });
    });
}

/// Where OSSEC has a script of the name.
fn script_end(name: &str) -> &'static str {
    let of_ours = [
        "block-ip",
        "delete-file",
        "end-sessions",
        "isolate-host",
        "kill-process",
        "netsh",
        "quarantine-file",
        "restart-service",
        "restart-wazuh",
        "slack",
        "wazuh-slack",
    ];
    if of_ours.contains(&name) { "" } else { ".sh" }
}

#[test]
fn in_no_zone_is_a_line_of_ossec_lost_and_nothing_is_logged_of_a_repeat() {
    reexec_in_namespace(|| {
        fresh();
        let case = CASES.iter().find(|case| case.name == "host-deny").unwrap();
        let data = (case.scene)();
        let name = case.name;
        let add = line(case, name, "add", &data);
        for (zone, shown) in [
            ("UTC0", " UTC "),
            ("CET-1CEST", " CE"),
            // Numbers are no names to the decoder.
            ("<+03>-3", " UTC "),
        ] {
            let home = home();
            fs::write(home.file("queue/log_layout"), "ossec\n").unwrap();
            fs::write("/etc/hosts.deny", "").unwrap();
            // The second time it is in force, the third 4.x says no.
            for answer in ["continue", "continue", "abort"] {
                let mut command = direct(&home, name);
                command.env("TZ", zone);
                under_execd(command, &add, &line(case, name, answer, &data));
            }
            let lines = lines(&home);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains(shown), "{zone}: {lines:?}");
            assert_eq!(ossec_rule(&lines[0]), Some(603), "{zone}: {lines:?}");
        }
    });
}

#[test]
fn what_stands_in_the_file_of_the_layout_does_not_matter_unless_it_is_known() {
    reexec_in_namespace(|| {
        fresh();
        let case = CASES.iter().find(|case| case.name == "host-deny").unwrap();
        let data = (case.scene)();
        let add = line(case, case.name, "add", &data);
        for content in ["", "json", "\0", "ossec2"] {
            let home = home();
            fs::write(home.file("queue/log_layout"), content).unwrap();
            let go_on = line(case, case.name, "continue", &data);
            under_execd(direct(&home, case.name), &add, &go_on);
            assert!(
                lines(&home)
                    .iter()
                    .any(|line| wazuh_rule(line) == Some(653))
            );
        }
    });
}

#[test]
fn the_keys_line_of_a_run_is_decoded_as_no_block() {
    let line = keys_line("firewall-drop", "198.51.100.7");
    let line = format!("2026/11/21 10:00:00 active-response/bin/firewall-drop: {line}");
    assert_eq!(wazuh(&line), None);
}
