//! What the executables of Wazuh 4.14.7 were seen to do with each input, and
//! that ours do the same: the keys that they name, their exit status, how their
//! log ends, and whether anything has changed. Where ours differ, the row says
//! what they do and why.
//!
//! Everywhere: ours print a `result` line at the end, which a 4.x execd does not
//! read; they do not log the answer to their keys, nor the blank lines that 4.x
//! leaves behind what it has read.

mod addresses;
mod lines;
mod odds;
mod stories;
mod users;

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::{Home, Ran, direct, feed};
use crate::{fresh, home, nft, read};

/// What one run shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    /// What it prints as its only key; `None`: no such line.
    keys: Option<&'static str>,
    status: i32,
    /// How the last line of its log begins.
    last: &'static str,
}

/// Where ours do something else.
struct Differs {
    ours: Seen,
    why: &'static str,
}

const fn ended(key: &'static str) -> Seen {
    let (keys, status, last) = (Some(key), 0, "Ended");
    Seen { keys, status, last }
}

const fn refused(last: &'static str) -> Seen {
    let (keys, status) = (None, 255);
    Seen { keys, status, last }
}

/// It has named its keys before.
const fn stopped(key: &'static str, last: &'static str) -> Seen {
    let (keys, status) = (Some(key), 255);
    Seen { keys, status, last }
}

/// A delete, which names no keys.
const DELETED: Seen = Seen {
    keys: None,
    status: 0,
    last: "Ended",
};

const NO_SRCIP: Seen = refused("Cannot read 'srcip' from data");
const NO_DSTUSER: Seen = refused("Cannot read 'dstuser' from data or invalid username format");
const BAD_FORMAT: Seen = refused("Invalid input format");
const BAD_COMMAND: Seen = refused("Invalid value of 'command'");
const NO_INPUT: Seen = refused("Cannot read input from stdin");

const ONE_SPELLING: &str = "an address has one spelling, so that two of them are not two blocks, and a mapped one is \
     blocked as what it is on the wire";
const NO_SHORT_FORMS: &str = "tools disagree on what short, octal, hexadecimal and scoped addresses mean: 4.x blocks \
     another host than it says";
const NEVER: &str = "nobody is helped by a block of loopback or of all addresses";
const NETWORKS: &str = "networks are taken, as one block";
const IDEMPOTENT: &str = "to do it twice is to do it once";

/// What an input is made of.
#[derive(Clone, Copy)]
enum Input {
    /// What stands under `data` of the alert.
    Data(&'static str),
    /// What stands under `parameters`.
    Parameters(&'static str),
    /// The first line as it is, with the answer behind it.
    Line(fn() -> Vec<u8>),
    /// All of it.
    All(fn() -> Vec<u8>),
    /// This address, and then this in place of the answer.
    Answer(&'static str, fn() -> Vec<u8>),
}

const VERSION: &str = r#""version":1"#;
const ORIGIN: &str = r#""origin":{"name":"node01","module":"wazuh-execd"}"#;

/// A line of these members.
fn object(members: &[&str]) -> Vec<u8> {
    format!("{{{}}}\n", members.join(",")).into_bytes()
}

fn order(command: &str, parameters: &str) -> Vec<u8> {
    let command = format!(r#""command":"{command}""#);
    let parameters = format!(r#""parameters":{parameters}"#);
    object(&[VERSION, ORIGIN, &command, &parameters])
}

fn with_data(data: &str, args: &[&str]) -> String {
    let args = serde_json::to_string(args).unwrap();
    format!(r#"{{"extra_args":{args},"alert":{{"rule":{{"id":"5715"}},"data":{data}}}}}"#)
}

fn of_address(address: &str) -> String {
    with_data(&format!(r#"{{"srcip":"{address}"}}"#), &[])
}

fn add(address: &str) -> Vec<u8> {
    order("add", &of_address(address))
}

/// The bytes that a run gets, all at once, and then the end of its input.
fn bytes(input: Input, args: &[&str]) -> Vec<u8> {
    let answer = order("continue", "{}");
    let bytes = match input {
        Input::Data(data) => [order("add", &with_data(data, &[])), answer].concat(),
        Input::Parameters(text) => [order("add", text), answer].concat(),
        Input::Line(line) => [line(), answer].concat(),
        Input::All(all) => all(),
        Input::Answer(address, answer) => [add(address), answer()].concat(),
    };
    with_args(bytes, args)
}

/// With these words for the executable, which all that could have an effect has
/// a place for.
fn with_args(mut bytes: Vec<u8>, args: &[&str]) -> Vec<u8> {
    const NONE: &[u8] = br#""extra_args":[]"#;
    if args.is_empty() {
        return bytes;
    }
    let place = bytes.windows(NONE.len()).position(|part| part == NONE);
    let has_address = bytes.windows(8).any(|part| part == b"192.0.2.");
    assert!(place.is_some() || !has_address, "{}", bytes.escape_ascii());
    if let Some(at) = place {
        let words = format!(r#""extra_args":{}"#, serde_json::to_string(args).unwrap());
        bytes.splice(at..at + NONE.len(), words.into_bytes());
    }
    bytes
}

/// A valid line for an address with something changed in it.
fn changed(address: &str, change: fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    change(add(address))
}

fn padded(mut line: Vec<u8>, length: usize) -> Vec<u8> {
    let end = line.iter().rposition(|byte| *byte == b'}').unwrap();
    let pad = format!(r#","pad":"{}""#, "x".repeat(length));
    line.splice(end..end, pad.into_bytes());
    line
}

/// One input to those that block an address: what 4.x was seen to do, and what
/// all of ours do, where that is something else.
struct Row {
    name: &'static str,
    input: Input,
    seen: Seen,
    differs: Option<Differs>,
}

impl Row {
    /// What differs does so, and for a reason.
    fn is_sound(&self) -> bool {
        let differs = self.differs.as_ref();
        differs.is_none_or(|differs| differs.ours != self.seen && !differs.why.is_empty())
    }
}

const fn row(name: &'static str, input: Input, seen: Seen) -> Row {
    Row {
        name,
        input,
        seen,
        differs: None,
    }
}

const fn differs(row: Row, ours: Seen, why: &'static str) -> Row {
    Row {
        differs: Some(Differs { ours, why }),
        ..row
    }
}

/// Those that take an address from the alert, with the words they need here.
const BLOCKERS: &[(&str, &[&str])] = &[
    ("firewall-drop", &[]),
    ("host-deny", &[]),
    ("route-null", &[]),
    // Not in `/`, which is the machine's own.
    ("ip-customblock", &["--directory", "/run/ipblock"]),
    ("firewalld-drop", &[]),
];

/// Everything that they change.
fn state() -> String {
    let mut state = nft();
    state += &tool("ip", &["route", "show", "proto", "165"]);
    state += &tool("ip", &["-6", "route", "show", "proto", "165"]);
    state += &read("/etc/hosts.deny");
    state += &read("/run/rules");
    let markers = fs::read_dir("/run/ipblock").into_iter().flatten();
    let mut markers: Vec<_> = markers.map(|entry| entry.unwrap().file_name()).collect();
    markers.sort();
    format!("{state}{markers:?}{}", read("/etc/shadow"))
}

/// As it was before the first of them.
fn reset() {
    tool("nft", &["flush ruleset"]);
    tool("ip", &["route", "flush", "proto", "165"]);
    tool("ip", &["-6", "route", "flush", "proto", "165"]);
    fs::write("/etc/hosts.deny", "").unwrap();
    for gone in ["/run/rules", "/run/asked"] {
        let _ = fs::remove_file(gone);
    }
    let _ = fs::remove_dir_all("/run/ipblock");
}

/// What a run showed, in the words of a row.
struct Shown {
    keys: Option<String>,
    status: Option<i32>,
    last: String,
    ran: Ran,
}

/// Runs one and looks at it; its log is taken away afterwards.
fn show(home: &Home, command: Command, input: &[u8], name: &str) -> Shown {
    let ran = feed(command, input);
    let log = home.log();
    let _ = fs::remove_file(home.file("logs/active-responses.log"));
    let prefix = format!("active-response/bin/{name}: ");
    let said = |line: &String| {
        line.strip_prefix(&prefix)
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    };
    let log: Vec<_> = log.iter().map(said).collect();
    assert_eq!(log.first().map(String::as_str), Some("Starting"), "{name}");
    let lines = ran
        .stdout
        .iter()
        .map(|line| (line, serde_json::from_str::<Value>(line).unwrap()));
    let mut keys = None;
    for (at, (line, value)) in lines.enumerate() {
        match value["command"].as_str().unwrap() {
            "check_keys" => {
                assert_eq!(at, 0, "{line}");
                assert!(log.contains(line), "{line} in {log:?}");
                let list = value["parameters"]["keys"].as_array().unwrap();
                assert_eq!(list.len(), 1, "{line}");
                keys = list[0].as_str().map(str::to_owned);
            }
            command => assert_eq!((command, at + 1), ("result", ran.stdout.len()), "{line}"),
        }
    }
    Shown {
        keys,
        status: ran.code,
        last: log.last().unwrap().clone(),
        ran,
    }
}

/// What is wrong with it, if it is not what was wanted.
fn objection(what: &str, shown: &Shown, wanted: Seen) -> Option<String> {
    let fits = shown.keys.as_deref() == wanted.keys
        && shown.status == Some(wanted.status)
        && shown.last.starts_with(wanted.last);
    (!fits).then(|| {
        let Shown {
            keys,
            status,
            last,
            ran,
        } = shown;
        format!(
            "{what}: {keys:?} {status:?} {last:?}, wanted {wanted:?} {}",
            ran.stderr
        )
    })
}

#[track_caller]
fn none(objections: Vec<String>) {
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn each_input_is_taken_as_by_4_x_or_differs_for_a_reason() {
    reexec_in_namespace(|| {
        fresh();
        let mut objections = Vec::new();
        for (name, args) in BLOCKERS {
            let home = home();
            for row in addresses::ROWS.iter().chain(lines::ROWS) {
                reset();
                let before = state();
                let wanted = row
                    .differs
                    .as_ref()
                    .map_or(row.seen, |differs| differs.ours);
                let input = bytes(row.input, args);
                let shown = show(&home, direct(&home, name), &input, name);
                let what = format!("{name}, {}", row.name);
                objections.extend(objection(&what, &shown, wanted));
                let has_changed = state() != before;
                if has_changed != (wanted.last == "Ended") {
                    objections.push(format!("{what}: changed {has_changed}"));
                }
                assert!(row.is_sound(), "{what}");
            }
        }
        none(objections);
    });
}
