//! What the executables read, print, log and answer with, row by row as it was
//! observed of Wazuh 4.14.7 (firewall-drop, and the others where they differ).
//! Where ours differs on purpose, the row says why.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "the 4.x daemon is for ar_netns")]
#[path = "support/run.rs"]
mod run;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use netns::{reexec_in_namespace, run as tool};
use ripost::model::bundled::BUNDLED;
use run::{
    FIREWALL_DROP, HOST_DENY, Home, ROUTE_NULL, Ran, add, answer, direct, feed, message, with_alert,
};

const BLOCK_IP: &str = "block-ip";

const BAD_ADDRESS: &str = "Cannot read 'srcip' from data or invalid IP format";
const BAD_ROUTE: &str = "Cannot read 'srcip' from data";
const A_NETWORK: &str = "network";
const BAD_FORMAT: &str = "Invalid input format";
const BAD_COMMAND: &str = "Invalid value of 'command'";
const NO_LINE: &str = "Cannot read input from stdin";
const ENDED: &str = "Ended";

/// One run in a fresh state.
struct Row {
    what: &'static str,
    input: Vec<u8>,
    /// The address in the `check_keys` line, if there is one.
    keys: Option<&'static str>,
    /// The status in the `result` line, if there is one.
    status: Option<&'static str>,
    /// The last line of the log.
    last: String,
    code: i32,
    /// Why 4.14.7 does something else.
    differs: Option<&'static str>,
}

impl Row {
    fn differs(self, why: &'static str) -> Self {
        let differs = Some(why);
        Self { differs, ..self }
    }

    fn logs(self, last: &str) -> Self {
        let last = last.to_owned();
        Self { last, ..self }
    }
}

fn row(what: &'static str, input: impl Into<Vec<u8>>) -> Row {
    Row {
        what,
        input: input.into(),
        keys: None,
        status: None,
        last: BAD_FORMAT.to_owned(),
        code: 255,
        differs: None,
    }
}

/// The address is taken and put in force.
fn applies(what: &'static str, keys: &'static str, input: impl Into<Vec<u8>>) -> Row {
    Row {
        keys: Some(keys),
        status: Some("applied"),
        last: ENDED.to_owned(),
        code: 0,
        ..row(what, input)
    }
}

/// The address is named, and then nothing is done.
fn stops(what: &'static str, last: &str, answer: impl Into<Vec<u8>>) -> Row {
    let input = [message("add", "192.0.2.20").into_bytes(), answer.into()].concat();
    let keys = Some("192.0.2.20");
    let code = if last == "Aborted" { 0 } else { 255 };
    Row {
        keys,
        code,
        ..row(what, input).logs(last)
    }
}

fn go_on() -> String {
    answer("continue", "{}")
}

/// An add with this text in place of the alert.
fn alert(alert: &str) -> Vec<u8> {
    (with_alert("add", alert) + &go_on()).into_bytes()
}

fn addresses() -> Vec<Row> {
    let refused = |what: &'static str, address: &'static str, kind: &str| Row {
        keys: Some(address),
        status: Some("refused"),
        ..row(what, add(address, "{}"))
            .logs(&format!("refused {address}: it is {kind}"))
            .differs("4.x cuts the host off from itself")
    };
    let guess = "tools disagree on what this means; iptables blocks 127.1.0.0 for 127.1";
    let bad = |what, address: &str| row(what, add(address, "{}")).logs(BAD_ADDRESS);
    vec![
        applies("IPv4", "192.0.2.10", add("192.0.2.10", "{}")),
        applies("IPv6", "2001:db8::10", add("2001:db8::10", "{}")),
        applies(
            "IPv6 in capitals",
            "2001:db8::11",
            add("2001:0DB8:0:0:0:0:0:0011", "{}"),
        )
        .differs("two spellings are one address, hence one key"),
        applies("IPv4-mapped", "192.0.2.11", add("::ffff:192.0.2.11", "{}"))
            .differs("the packets are IPv4; a rule of ip6tables never sees them"),
        bad("scoped", "fe80::1%lo").differs(guess),
        bad("shorthand", "127.1").differs(guess),
        bad("decimal", "3221226012").differs(guess),
        bad("hexadecimal", "0xc0000214").differs(guess),
        bad("octal", "0300.0.2.21").differs(guess),
        refused("0.0.0.0", "0.0.0.0", "the unspecified address"),
        refused("::", "::", "the unspecified address"),
        refused("127.0.0.1", "127.0.0.1", "a loopback address"),
        bad(A_NETWORK, "192.0.2.0/24"),
        bad("out of range", "999.1.1.1"),
        bad("host name", "evil.example"),
        bad("empty", ""),
        bad("dash", "-"),
        bad("leading blank", " 192.0.2.1"),
        bad("trailing blank", "192.0.2.1 "),
        bad("trailing newline", "192.0.2.1\\n"),
        bad("shell", "192.0.2.1;id"),
        bad("shell, longer", "1.2.3.4; rm -rf /"),
        bad("leading dash", "-h"),
        bad("60 kB", &"1".repeat(60_000)),
        applies("NUL escape", "192.0.2.38", add("192.0.2.38\\u0000x", "{}")),
    ]
}

fn alerts() -> Vec<Row> {
    let bad = |what, text: &str| row(what, alert(text)).logs(BAD_ADDRESS);
    let win =
        r#"{"data":{"win":{"eventdata":{"destinationIp":"192.0.2.18"}},"srcip":"192.0.2.1"}}"#;
    let win_bad = r#"{"data":{"win":{"eventdata":{"ipAddress":"-"}},"srcip":"192.0.2.1"}}"#;
    let invalid = b"{\"full_log\":\"\xff\xfe\",\"data\":{\"srcip\":\"192.0.2.39\"}}";
    let around = with_alert("add", "ALERT").replace("ALERT", "\u{1}");
    let (before, behind) = around.split_once('\u{1}').unwrap();
    let invalid = [
        before.as_bytes(),
        invalid,
        behind.as_bytes(),
        go_on().as_bytes(),
    ]
    .concat();
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(1_200), "]".repeat(1_200));
    vec![
        bad("a number", r#"{"data":{"srcip":7}}"#),
        bad("null", r#"{"data":{"srcip":null}}"#),
        bad("an array", r#"{"data":{"srcip":["192.0.2.1"]}}"#),
        bad("no srcip", r#"{"data":{}}"#),
        bad("no data", "{}"),
        bad("a text for an alert", r#""192.0.2.1""#),
        bad(
            "src_ip and srcport only",
            r#"{"data":{"src_ip":"192.0.2.1","srcport":"22"}}"#,
        ),
        bad("a bad Windows address and a good srcip", win_bad),
        row(
            "no alert",
            format!(
                "{}{}",
                with_alert("add", "{}").replace(r#""alert":{},"#, ""),
                go_on()
            ),
        )
        .logs(BAD_ADDRESS),
        applies(
            "names in capitals",
            "192.0.2.14",
            alert(r#"{"DATA":{"SRCIP":"192.0.2.14"}}"#),
        ),
        applies(
            "two of one name",
            "192.0.2.15",
            alert(r#"{"data":{"srcip":"192.0.2.15","srcip":"192.0.2.16"}}"#),
        ),
        applies(
            "ipAddress",
            "192.0.2.17",
            alert(r#"{"data":{"win":{"eventdata":{"ipAddress":"192.0.2.17"}}}}"#),
        ),
        applies("destinationIp", "192.0.2.18", alert(win)),
        applies("bytes that are no UTF-8", "192.0.2.39", invalid),
        row("nesting of 1,200", alert(&deep)),
    ]
}

fn answers() -> Vec<Row> {
    let bare = |command: &str, rest: &str| {
        format!(r#"{{"version":1,"origin":{{}},"command":"{command}"{rest}}}"#)
    };
    let ok = |what, keys, answer: String| applies(what, keys, message("add", keys) + &answer);
    vec![
        stops("abort", "Aborted", answer("abort", "{}")),
        stops("garbage for an answer", BAD_FORMAT, "garbage\n"),
        stops("no answer", NO_LINE, ""),
        stops("unknown answer", BAD_COMMAND, answer("stop", "{}")),
        stops(
            "answer without parameters",
            BAD_FORMAT,
            bare("continue", "") + "\n",
        ),
        stops(
            "answer of 100 kB",
            BAD_FORMAT,
            answer(
                "continue",
                &format!(r#"{{"pad":"{}"}}"#, "x".repeat(100_000)),
            ),
        ),
        stops(
            "a limit that is no span",
            BAD_FORMAT,
            answer("continue", r#"{"expires_ms":"soon"}"#),
        )
        .differs("4.x knows no limit; a wrong one must not become an endless block"),
        ok(
            "a minimal answer",
            "192.0.2.22",
            bare("continue", r#","parameters":{}"#) + "\n",
        ),
        ok(
            "an answer without newline",
            "192.0.2.24",
            go_on().trim_end().to_owned(),
        ),
        ok(
            "a limit",
            "192.0.2.25",
            answer("continue", r#"{"expires_ms":600000}"#),
        ),
    ]
}

fn lines() -> Vec<Row> {
    let with = |from: &str, to: &str| message("add", "192.0.2.1").replace(from, to) + &go_on();
    let sized = |length: usize| {
        let text = with_alert("add", r#"{"data":{"srcip":"192.0.2.35"},"full_log":"LOG"}"#);
        text.replace("LOG", &"x".repeat(length)) + &go_on()
    };
    let around = |before: &str, keys: &str, behind: &str| {
        let line = message("add", keys);
        format!("{before}{}{behind}\n{}", line.trim_end(), go_on())
    };
    vec![
        row("nothing", "").logs(NO_LINE),
        row("an empty line", "\n"),
        row("no JSON", "{\"version\":1,\n"),
        row("an array", "[]\n"),
        applies(
            "bytes behind the JSON",
            "192.0.2.26",
            around("", "192.0.2.26", "garbage"),
        ),
        Row {
            keys: Some("192.0.2.27"),
            ..row("no newline", message("add", "192.0.2.27").trim_end()).logs(NO_LINE)
        },
        applies(
            "byte order mark",
            "192.0.2.28",
            around("\u{feff}", "192.0.2.28", ""),
        ),
        applies(
            "leading blanks",
            "192.0.2.29",
            around("  \t", "192.0.2.29", ""),
        ),
        applies("CRLF", "192.0.2.30", around("", "192.0.2.30", "\r")),
        applies("a NUL", "192.0.2.37", around("", "192.0.2.37", "\0x")),
        row("version a text", with(r#""version":1"#, r#""version":"1""#)),
        applies(
            "version 99",
            "192.0.2.1",
            with(r#""version":1"#, r#""version":99"#),
        ),
        row("no version", with(r#""version":1,"#, "")),
        row(
            "no origin",
            with(r#""origin":{"name":"node01","module":"wazuh-execd"},"#, ""),
        ),
        row(
            "origin a text",
            with(r#"{"name":"node01","module":"wazuh-execd"}"#, r#""x""#),
        ),
        row("no parameters", with(r#""parameters":"#, r#""other":"#)),
        row("no command", with(r#""command":"add","#, "")),
        row("continue first", with(r#""add""#, r#""continue""#)).logs(BAD_COMMAND),
        row("ADD", with(r#""add""#, r#""ADD""#)).logs(BAD_COMMAND),
        applies("a line of 60 kB", "192.0.2.35", sized(60_000)),
        row("a line of 100 kB", sized(100_000)),
        row("100 kB and no newline", "A".repeat(100_000)),
        Row {
            status: Some("absent"),
            code: 0,
            ..row(
                "delete of what is not there",
                message("delete", "192.0.2.10"),
            )
            .logs(ENDED)
        }
        .differs("4.x prints nothing on delete; the result line is ours"),
        row("delete without an address", message("delete", "x")).logs(BAD_ADDRESS),
    ]
}

/// What is in force, of all executables.
fn in_force() -> String {
    let routes = ["-4", "-6"].map(|family| tool("ip", &[family, "route", "show", "proto", "165"]));
    let denied = fs::read_to_string("/etc/hosts.deny").unwrap_or_default();
    tool("nft", &["list", "ruleset"]) + &denied + &routes.concat()
}

fn fresh_state() {
    tool("nft", &["flush", "ruleset"]);
    for family in ["-4", "-6"] {
        tool("ip", &[family, "route", "flush", "proto", "165"]);
    }
    tool("mount", &["-t", "tmpfs", "tmpfs", "/etc"]);
}

fn check(name: &str, row: &Row) {
    let what = format!("{name}, {}", row.what);
    let home = Home::new();
    let ran = feed(direct(&home, name), &row.input);
    assert_eq!(ran.code, Some(row.code), "{what}: {ran:?}");

    let mut printed = ran.stdout.iter();
    if let Some(keys) = row.keys {
        let wanted = format!(
            r#"{{"version":1,"origin":{{"name":"{name}","module":"active-response"}},"command":"check_keys","parameters":{{"keys":["{keys}"]}}}}"#
        );
        assert_eq!(printed.next(), Some(&wanted), "{what}");
    }
    if let Some(status) = row.status {
        assert_eq!(ran.status(), status, "{what}");
        printed.next();
    }
    assert_eq!(printed.next(), None, "{what}");

    let log = home.log();
    let prefix = format!("active-response/bin/{name}: ");
    assert!(
        log.iter().all(|line| line.starts_with(&prefix)),
        "{what}: {log:?}"
    );
    assert_eq!(log[0], format!("{prefix}Starting"), "{what}");
    let last = match row.last.as_str() {
        BAD_ADDRESS if name == ROUTE_NULL => BAD_ROUTE,
        last => last,
    };
    assert_eq!(log.last(), Some(&(prefix + last)), "{what}");
    let input = usize::from(!row.input.is_empty());
    let keys = usize::from(row.keys.is_some());
    assert_eq!(log.len(), 2 + input + keys, "{what}: {log:?}");

    let state = in_force();
    match row.keys.filter(|_| row.status == Some("applied")) {
        Some(keys) => assert!(state.contains(keys), "{what}: {state}"),
        None => assert_eq!(state, "", "{what}"),
    }
}

#[test]
fn every_observed_row_is_answered_as_by_4_x_or_better() {
    reexec_in_namespace(|| {
        for row in [addresses(), alerts(), answers(), lines()].iter().flatten() {
            for name in [BLOCK_IP, FIREWALL_DROP, HOST_DENY, ROUTE_NULL] {
                if name != HOST_DENY && row.what == A_NETWORK {
                    // They act on networks too; see `ar_netns`, `ar_iptables`.
                    continue;
                }
                fresh_state();
                check(name, row);
            }
            if let Some(why) = row.differs {
                println!("{}: {why}", row.what);
            }
        }
    });
}

#[test]
fn no_tool_is_needed() {
    reexec_in_namespace(|| {
        fresh_state();
        let home = Home::new();
        for (name, path) in [
            (BLOCK_IP, None),
            (FIREWALL_DROP, None),
            (HOST_DENY, Some("/nonexistent")),
            (ROUTE_NULL, None),
        ] {
            let mut command = direct(&home, name);
            command.env_clear().envs(path.map(|path| ("PATH", path)));
            let ran = feed(command, &add("192.0.2.60", "{}"));
            assert_eq!(
                (ran.code, ran.status()),
                (Some(0), "applied".into()),
                "{name}"
            );
        }
    });
}

#[test]
fn the_home_is_found_from_the_file_whatever_it_is_called_by() {
    reexec_in_namespace(|| {
        fresh_state();
        let home = Home::new();
        symlink(HOST_DENY, home.file("active-response/bin/deny-too")).unwrap();
        let mut command = Command::new(home.file("active-response/bin/deny-too"));
        command.current_dir("/");
        let ran = feed(command, &add("192.0.2.10", "{}"));
        assert!(ran.stdout[0].contains(r#""name":"deny-too""#), "{ran:?}");
        assert!(home.log()[0].starts_with("active-response/bin/deny-too: "));
    });
}

#[test]
fn outside_of_a_home_nothing_is_done_at_once() {
    reexec_in_namespace(|| {
        fresh_state();
        let place = tempfile::tempdir().unwrap();
        for (name, built) in [
            (FIREWALL_DROP, env!("CARGO_BIN_EXE_firewall-drop")),
            (HOST_DENY, env!("CARGO_BIN_EXE_host-deny")),
        ] {
            let file = place.path().join(name);
            fs::copy(built, &file).unwrap();
            let ran = feed(Command::new(&file), &add("192.0.2.10", "{}"));
            assert_eq!(ran.code, Some(255), "{ran:?}");
            assert!(ran.stderr.contains("active-response/bin"), "{ran:?}");
            assert_eq!((ran.stdout, in_force()), (Vec::new(), String::new()));
        }
    });
}

#[test]
fn a_log_that_cannot_be_written_is_said_and_stops_nothing() {
    reexec_in_namespace(|| {
        fresh_state();
        let run = |home: &Home| -> Ran {
            let ran = feed(direct(home, FIREWALL_DROP), &add("192.0.2.10", "{}"));
            assert_eq!((ran.code, ran.status()), (Some(0), "applied".into()));
            assert!(ran.stderr.contains("logs/active-responses.log"), "{ran:?}");
            ran
        };
        let home = Home::new();
        fs::remove_dir(home.file("logs")).unwrap();
        run(&home);

        // Whoever may write to logs must not choose what root appends to.
        let home = Home::new();
        let other = home.file("other");
        fs::write(&other, "").unwrap();
        symlink(&other, home.file("logs/active-responses.log")).unwrap();
        run(&home);
        assert_eq!(fs::read_to_string(&other).unwrap(), "");

        // A full disk.
        let home = Home::new();
        let logs = home.file("logs");
        tool(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=4k",
                "tmpfs",
                logs.to_str().unwrap(),
            ],
        );
        fs::write(logs.join("filler"), [b'x'; 4096]).unwrap();
        run(&home);
    });
}

#[test]
fn the_log_has_the_lines_and_the_mode_of_the_contract_and_no_forged_ones() {
    reexec_in_namespace(|| {
        fresh_state();
        let home = Home::new();
        let forged = "x\r2026/01/01 00:00:00 active-response/bin/firewall-drop: \u{1b}[2JEnded";
        let alert = format!(r#"{{"full_log":"{forged}","data":{{"srcip":"192.0.2.10"}}}}"#);
        let line = with_alert("add", &alert);
        let ran = feed(
            direct(&home, FIREWALL_DROP),
            (line.clone() + &go_on()).as_bytes(),
        );
        assert_eq!(ran.status(), "applied");

        let path = home.file("logs/active-responses.log");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        for line in text.lines() {
            let stamp: String = line[..20]
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect();
            assert_eq!(stamp, "0000/00/00 00:00:00 ");
        }
        let logged = line
            .trim_end()
            .replace('\r', "\\u000d")
            .replace('\u{1b}', "\\u001b");
        let prefix = "active-response/bin/firewall-drop: ";
        let wanted = ["Starting", &logged, &ran.stdout[0], "Ended"];
        assert_eq!(home.log(), wanted.map(|line| format!("{prefix}{line}")));
    });
}

#[test]
fn each_says_what_it_is_and_wants_nothing_for_it() {
    reexec_in_namespace(|| {
        let nowhere = tempfile::tempdir().unwrap();
        for row in BUNDLED {
            let home = Home::new();
            let ask = |word: &str| {
                let mut command =
                    Command::new(home.file(&format!("active-response/bin/{}", row.name)));
                command.arg(word).current_dir(nowhere.path());
                feed(command, b"")
            };
            let spec = ask("--spec");
            let said: serde_json::Value = serde_json::from_str(&spec.stdout.join("\n")).unwrap();
            assert_eq!(said, serde_json::to_value(row).unwrap());
            let help = ask("--help").stdout.join("\n");
            assert!(
                help.starts_with(&format!("{}: {}", row.name, row.about)),
                "{help}"
            );
            for option in row.options {
                assert!(help.contains(option.name), "{help}");
            }
            let version = ask("-V").stdout.join("\n");
            assert_eq!(
                version,
                format!("{} {}", row.name, env!("CARGO_PKG_VERSION"))
            );
            let wrong = ask("--speck");
            assert_eq!((wrong.code, wrong.stdout.len()), (Some(64), 0), "{wrong:?}");
            assert!(wrong.stderr.contains("usage"), "{wrong:?}");
            assert_eq!(home.log(), [] as [&str; 0]);
        }
    });
}
