//! Drives the real `ripostctl`, against a fake daemon where it needs one.
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files of its own"
)]

#[path = "ctl/daemon.rs"]
mod daemon;
#[path = "ctl/home.rs"]
mod home;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ripost::clock::{self, Wall};
use ripost::model::action::Contract;
use ripost::model::{
    Action, ActionId, ActionState, AgentId, AgentRef, CommandName, ExeName, GroupName, Keys, Level,
    Location, Record, RuleId, RuleRef,
};
use ripost::service::parts::Part;
use ripost::service::{
    Agent, Answer, Connection, Counter, ErrorKind, Request, RevertOutcome, Status, Which,
};
use ripost::wire::{Daemon, Denial, Frame, Greeting, MAX_FRAME, PROTOCOL};
use tempfile::TempDir;

use crate::daemon::{FakeDaemon, bytes};

/// A home in which only sockets live.
fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(home.path().join("queue")).expect("it is empty");
    home
}

fn ctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ripostctl"));
    command.env("TZ", "XYZ-02:00").env_remove("RIPOST_HOME");
    command.stdin(Stdio::null());
    command
}

fn run(home: &Path, words: &[&str]) -> Output {
    let mut command = ctl();
    command.arg("--home").arg(home).args(words);
    command.output().expect("ripostctl starts")
}

/// Copies in another process: a descriptor of ours that is open for writing
/// could be inherited by the child of another test just then, and the program
/// could not be started (ETXTBSY, execve(2)).
fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp starts").success());
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn record(number: u8, state: ActionState) -> Record {
    let action = Action {
        id: ActionId::from_bytes([number; 16]),
        command: CommandName::parse("firewall-drop").expect("valid"),
        executable: ExeName::parse("firewall-drop").expect("valid"),
        location: Location::Local,
        agent: AgentRef {
            id: AgentId::MANAGER,
            name: "web-7".to_owned(),
        },
        rule: RuleRef {
            id: RuleId::parse("5763").expect("valid"),
            level: Level::parse("10").expect("valid"),
            groups: vec![GroupName::parse("sshd").expect("valid")],
        },
        alert: Some("1772600767.41231".to_owned()),
        timeout: Some(std::time::Duration::from_secs(600)),
        extra_args: Vec::new(),
        contract: Contract::Json,
        revert: None,
        execution_timeout: None,
        handshake_timeout: None,
    };
    // 2026-11-20T10:00:00Z
    let time = Wall::from_millis(1_795_168_800_123);
    let mut record = Record::new(&action, state, time);
    record.since = Some(time);
    record.keys = Some(Keys::new(vec![format!("203.0.113.{number}")]).expect("short"));
    record
}

fn outcome(number: u8, state: ActionState) -> RevertOutcome {
    RevertOutcome {
        action: ActionId::from_bytes([number; 16]),
        state,
        keys: format!("203.0.113.{number}"),
        detail: None,
    }
}

fn status(daemon: Daemon) -> Answer {
    Answer::Status(Status {
        daemon: daemon.to_string(),
        version: "0.1.0".to_owned(),
        pid: 4242,
        since: clock::wall(),
        counters: vec![
            Counter {
                name: "alerts read".to_owned(),
                value: 17,
            },
            Counter {
                name: "in force".to_owned(),
                value: 3,
            },
        ],
        problems: vec!["the disk is full".to_owned()],
    })
}

#[test]
fn help_and_version_go_to_stdout_and_a_wrong_word_is_a_usage_error() {
    for (words, wanted, text) in [
        (&["--help"][..], 0, "responses"),
        (&["-V"], 0, "ripostctl 0."),
        (&["revert", "--help"], 0, "--target"),
        (&["stauts"], 64, "'status'"),
        (&["status", "--jsn"], 64, "--jsn"),
        (
            &["run", "firewall-drop", "--agent", "007"],
            64,
            "not in this version",
        ),
        (&["enroll", "token"], 64, "not in this version"),
        (&[], 64, "Usage"),
    ] {
        let output = ctl().args(words).output().unwrap();
        assert_eq!(code(&output), wanted, "{words:?}");
        let (full, empty) = match wanted {
            0 => (stdout(&output), stderr(&output)),
            _ => (stderr(&output), stdout(&output)),
        };
        assert!(full.contains(text), "{words:?}: {full}");
        assert_eq!(empty, "", "{words:?}");
    }
}

#[test]
fn status_shows_counters_and_problems() {
    let home = home();
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = run(home.path(), &["status"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let text = stdout(&output);
    assert!(
        text.starts_with("ripost-manager 0.1.0, pid 4242, up 0s"),
        "{text}"
    );
    assert!(text.contains("alerts read  17\nin force     3\n"), "{text}");
    assert!(text.contains("problem: the disk is full\n"), "{text}");
    assert_eq!(fake.request(), Some(Request::Status));
}

#[test]
fn status_as_json_is_an_array_of_one() {
    let home = home();
    FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = run(home.path(), &["status", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 1);
    assert_eq!(value[0]["counters"][0]["value"], 17);
}

fn agents() -> Vec<Agent> {
    vec![
        Agent {
            id: AgentId::MANAGER,
            name: "here".to_owned(),
            state: Connection::Connected,
            since: Some(Wall::from_millis(1_795_168_800_000)),
            version: Some("0.1.0".to_owned()),
            groups: vec!["web".to_owned(), "db".to_owned()],
            pending: 2,
            in_force: 5,
        },
        Agent {
            id: AgentId::parse("7").expect("valid"),
            name: "web-7".to_owned(),
            state: Connection::Offline,
            since: None,
            version: None,
            groups: Vec::new(),
            pending: 0,
            in_force: 0,
        },
    ]
}

#[test]
fn agents_are_a_table_or_the_documented_array() {
    let home = home();
    let fake = FakeDaemon::answering(
        home.path(),
        Daemon::Manager,
        Answer::Agents { agents: agents() },
    );
    let output = run(home.path(), &["agents"]);
    assert_eq!(
        stdout(&output),
        "\
ID   NAME   STATE      SINCE                VERSION  GROUPS  PENDING  IN FORCE
000  here   connected  2026/11/20 12:00:00  0.1.0    web,db  2        5
007  web-7  offline    -                    -        -       0        0
"
    );
    assert_eq!(fake.request(), Some(Request::Agents));

    let home = self::home();
    FakeDaemon::answering(
        home.path(),
        Daemon::Manager,
        Answer::Agents { agents: agents() },
    );
    let output = run(home.path(), &["-o", "json", "agents"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        value[0],
        serde_json::json!({
            "id": "000", "name": "here", "state": "connected",
            "since": "2026-11-20T10:00:00.000Z", "version": "0.1.0",
            "groups": ["web", "db"], "pending": 2, "in_force": 5
        })
    );
    assert!(value[1].get("since").is_none());
}

#[test]
fn responses_show_local_time_and_what_is_left() {
    let home = home();
    let mut timed = record(1, ActionState::Applied);
    timed.until = Some(clock::wall().plus(std::time::Duration::from_secs(5_430)));
    let mut overdue = record(2, ActionState::Reverting);
    overdue.until = Some(Wall::from_millis(1_000));
    let records = vec![timed, overdue, record(3, ActionState::Applied)];
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
    let output = run(home.path(), &["responses"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let lines: Vec<_> = stdout(&output).lines().collect();
    let [head, first, second, third] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(head.starts_with("ACTION ") && head.contains("  LEFT "));
    assert!(first.starts_with(&"01".repeat(16)), "{first}");
    assert!(
        first.contains("203.0.113.1  5763  2026/11/20 12:00:00  1h30m"),
        "{first}"
    );
    assert!(second.ends_with("  due"), "{second}");
    assert!(third.ends_with("  no end"), "{third}");
    assert_eq!(fake.request(), Some(Request::Responses));
}

#[test]
fn records_as_json_are_the_objects_of_responses_json() {
    for words in [&["responses", "-o", "json"][..], &["history", "-o", "json"]] {
        let home = home();
        let records = vec![
            record(1, ActionState::Applied),
            record(2, ActionState::Failed),
        ];
        FakeDaemon::answering(
            home.path(),
            Daemon::Manager,
            Answer::Records {
                records: records.clone(),
            },
        );
        let output = run(home.path(), words);
        let wanted = serde_json::to_value(&records).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value, wanted);
    }
}

#[test]
fn history_asks_for_as_many_lines_as_wanted_and_says_when_there_may_be_more() {
    for (words, limit, note) in [
        (&["history"][..], 1_000, false),
        (&["history", "-n", "1"], 1, true),
        (&["history", "-n", "2"], 2, false),
    ] {
        let home = home();
        let records = vec![record(9, ActionState::Refused)];
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        assert_eq!(stderr(&output).contains("-n N shows more"), note);
        let line = stdout(&output).lines().nth(1).unwrap();
        assert!(line.starts_with("2026/11/20 12:00:00  refused  firewall-drop  000 web-7"));
        assert_eq!(fake.request(), Some(Request::History { limit }));
    }
}

#[test]
fn nothing_to_show_leaves_stdout_empty_but_is_an_array_in_json() {
    for (words, wanted) in [
        (&["responses"][..], ""),
        (&["responses", "-o", "json"], "[]\n"),
    ] {
        let home = home();
        let records = Vec::new();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (0, wanted));
    }
}

#[test]
fn an_answer_of_several_frames_is_shown_whole() {
    let home = home();
    let records: Vec<_> = (0..6_000)
        .map(|_| record(1, ActionState::Applied))
        .collect();
    FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
    let output = run(home.path(), &["responses", "-o", "json"]);
    assert!(output.stdout.len() > MAX_FRAME);
    let value: Vec<Record> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.len(), 6_000);
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let hostile = "\x1b]0;owned\x07\u{202e}\u{9b}2J\nAPPLIED";
    for (words, shown) in [
        (
            &["responses"][..],
            "\\u{1b}]0;owned\\u{7}\\u{202e}\\u{9b}2J\\nAPPLIED",
        ),
        (
            &["history"],
            "\\u{1b}]0;owned\\u{7}\\u{202e}\\u{9b}2J\\nAPPLIED",
        ),
        (
            &["responses", "-o", "json"],
            "\\u001b]0;owned\\u0007\\u202e\\u009b2J\\nAPPLIED",
        ),
    ] {
        let home = home();
        let mut record = record(1, ActionState::Failed);
        record.keys = Some(Keys::new(vec![hostile.to_owned()]).unwrap());
        record.agent.name = hostile.to_owned();
        record.detail = Some(hostile.to_owned());
        let records = vec![record];
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        let text = stdout(&output);
        assert_eq!(text.matches(shown).count(), 3, "{text}");
        let unsafe_character =
            |c: char| c != '\n' && c.is_control() || matches!(c, '\u{202e}' | '\u{9b}');
        assert!(!text.contains(unsafe_character), "{text:?}");
    }
}

#[test]
fn an_error_of_the_daemon_has_its_text_and_code_and_its_text_is_escaped() {
    for (kind, wanted) in [
        (ErrorKind::NotPermitted, 77),
        (ErrorKind::NotFound, 1),
        (ErrorKind::Unavailable, 75),
        (ErrorKind::Invalid, 1),
    ] {
        let home = home();
        let text = "no \x1b[31mway".to_owned();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Error { kind, text });
        let output = run(home.path(), &["status"]);
        assert_eq!(code(&output), wanted, "{kind:?}");
        assert_eq!(stderr(&output), "error: no \\u{1b}[31mway\n");
    }
}

#[test]
fn without_a_daemon_the_exit_code_is_69_and_the_text_says_what_was_tried() {
    let home = home();
    let stale = home.path().join("queue/manager.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    for words in [&["status"][..], &["reload"], &["revert", "--all", "--yes"]] {
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (69, ""));
        for part in [
            "manager.sock (not running)",
            "agentd.sock (not started)",
            "start ripost-manager",
        ] {
            assert!(stderr(&output).contains(part), "{}", stderr(&output));
        }
    }
    let output = run(&home.path().join("nowhere"), &["status"]);
    assert_eq!(code(&output), 69);
    assert!(
        stderr(&output).contains("ripostctl init"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_home_may_come_from_the_environment() {
    let home = home();
    FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = ctl()
        .env("RIPOST_HOME", home.path())
        .arg("status")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn agentd_answers_where_its_manager_does_not_and_a_person_is_told() {
    for manager_home in [true, false] {
        let home = home();
        if manager_home {
            std::fs::create_dir(home.path().join("etc")).unwrap();
            std::fs::write(home.path().join("etc/manager.conf"), "").unwrap();
        }
        FakeDaemon::answering(home.path(), Daemon::Agentd, status(Daemon::Agentd));
        let output = run(home.path(), &["status"]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).starts_with("ripost-agentd"));
        let told = stderr(&output).contains("manager.sock: not started");
        assert_eq!(told, manager_home, "{}", stderr(&output));
    }
}

#[test]
fn only_the_manager_knows_the_agents() {
    let home = home();
    let _agentd = std::os::unix::net::UnixListener::bind(home.path().join("queue/agentd.sock"));
    let output = run(home.path(), &["agents"]);
    assert_eq!(code(&output), 69);
    assert!(
        stderr(&output).contains("reach ripost-manager"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_socket_that_may_not_be_opened_is_77() {
    use std::os::unix::process::CommandExt;
    let home = home();
    let program = home.path().join("ripostctl");
    copy_program(Path::new(env!("CARGO_BIN_EXE_ripostctl")), &program);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(home.path(), 0o755);
    mode(&home.path().join("queue"), 0o000);
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534);
    }
    let output = command
        .arg("--home")
        .arg(home.path())
        .arg("status")
        .output();
    let output = output.unwrap();
    mode(&home.path().join("queue"), 0o700);
    assert_eq!(code(&output), 77, "{}", stderr(&output));
    assert!(stderr(&output).contains("as root"), "{}", stderr(&output));
}

#[test]
fn an_answer_that_breaks_the_protocol_is_told_apart() {
    let whole = bytes(
        &Frame::new(&Part {
            answer: status(Daemon::Manager),
            more: false,
        })
        .unwrap(),
    );
    let unfinished = bytes(
        &Frame::new(&Part {
            answer: Answer::Records {
                records: Vec::new(),
            },
            more: true,
        })
        .unwrap(),
    );
    let wrong_kind = [unfinished.clone(), whole.clone()].concat();
    for (reply, wanted, text) in [
        (
            bytes(&Frame::new(&"garbage").unwrap()),
            70,
            "not the expected JSON",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), 70, "are allowed"),
        (vec![0, 0x20, 0, 1], 70, "are allowed"),
        (vec![0, 0, 0, 1], 70, "header"),
        (
            whole[..whole.len() - 1].to_vec(),
            70,
            "in the middle of a frame",
        ),
        (Vec::new(), 75, "the connection was closed"),
        (unfinished, 75, "the connection was closed"),
        (wrong_kind, 70, "does not belong to the question"),
        (whole, 70, "does not belong to the question"),
    ] {
        let home = home();
        FakeDaemon::replying(home.path(), Daemon::Manager, reply);
        let output = run(home.path(), &["responses"]);
        assert_eq!((code(&output), stdout(&output)), (wanted, ""), "{text}");
        assert!(
            stderr(&output).contains(text),
            "{text}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_daemon_that_lets_nobody_in_says_why() {
    let denied = |denial| Greeting::Denied {
        denial,
        text: "because".to_owned(),
    };
    let newer = Greeting::Welcome {
        daemon: Daemon::Manager,
        protocol: PROTOCOL + 1,
        version: "9.8.7".to_owned(),
    };
    for (greeting, wanted, text) in [
        (denied(Denial::NotPermitted), 77, "because"),
        (denied(Denial::Version), 69, "because"),
        (denied(Denial::Busy), 75, "because"),
        (newer, 69, "ripost-manager 9.8.7"),
    ] {
        let home = home();
        FakeDaemon::start(home.path(), Daemon::Manager, &greeting, Vec::new());
        let output = run(home.path(), &["status"]);
        assert_eq!(code(&output), wanted, "{greeting:?}");
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}

#[test]
fn a_revert_is_done_only_when_every_one_is_confirmed() {
    use ActionState::{Reverted, Reverting};
    let id = ActionId::from_bytes([1; 16]);
    let target = || Which::Target("203.0.113.1".to_owned());
    for (words, which, states, wanted) in [
        (
            &["revert", "--all", "--yes"][..],
            Which::All,
            &[Reverted, Reverted][..],
            0,
        ),
        (
            &["revert", "--all", "--yes"],
            Which::All,
            &[Reverted, Reverting],
            1,
        ),
        (&["revert", "--all", "--yes"], Which::All, &[], 0),
        (
            &["revert", "--target", "203.0.113.1"],
            target(),
            &[Reverted],
            0,
        ),
        (&["revert", "--target", "203.0.113.1"], target(), &[], 1),
        (
            &["revert", "01010101010101010101010101010101"],
            Which::Id(id),
            &[Reverted],
            0,
        ),
        (
            &["revert", "01010101010101010101010101010101"],
            Which::Id(id),
            &[],
            1,
        ),
    ] {
        let home = home();
        let outcomes: Vec<_> = (1..).zip(states).map(|(n, s)| outcome(n, *s)).collect();
        let fake =
            FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Reverted { outcomes });
        let output = run(home.path(), words);
        assert_eq!(code(&output), wanted, "{words:?} {states:?}");
        let lines: Vec<_> = stdout(&output).lines().skip(1).collect();
        assert_eq!(lines.len(), states.len());
        for (line, state) in lines.iter().zip(states) {
            assert!(
                line.contains("203.0.113.") && line.ends_with(state.as_str()),
                "{line}"
            );
        }
        assert_eq!(
            stderr(&output).is_empty(),
            wanted == 0 && !states.is_empty()
        );
        assert_eq!(fake.request(), Some(Request::Revert { which }));
    }
}

#[test]
fn revert_all_where_nobody_can_be_asked_needs_yes_and_asks_no_daemon() {
    let home = home();
    let output = run(home.path(), &["revert", "--all"]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
}

#[test]
fn reload_tells_both_daemons_and_fails_if_one_does_not_apply() {
    for (applied, wanted) in [(true, 0), (false, 1)] {
        let home = home();
        let reloaded = |applied, text: &str| Answer::Reloaded {
            applied,
            text: text.to_owned(),
        };
        let manager =
            FakeDaemon::answering(home.path(), Daemon::Manager, reloaded(true, "2 responses"));
        let agentd = FakeDaemon::answering(
            home.path(),
            Daemon::Agentd,
            reloaded(applied, "one\n\x1btwo"),
        );
        let output = run(home.path(), &["reload"]);
        assert_eq!(code(&output), wanted);
        let word = if applied { "applied" } else { "not applied" };
        assert_eq!(
            stdout(&output),
            format!(
                "ripost-manager: applied\n  2 responses\nripost-agentd: {word}\n  one\n  \\u{{1b}}two\n"
            )
        );
        assert_eq!(manager.request(), Some(Request::Reload));
        assert_eq!(agentd.request(), Some(Request::Reload));
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_but_a_full_disk_is() {
    let home = home();
    let fake = FakeDaemon::start(
        home.path(),
        Daemon::Manager,
        &Greeting::welcome(Daemon::Manager),
        bytes(
            &Frame::new(&Part {
                answer: status(Daemon::Manager),
                more: false,
            })
            .unwrap(),
        ),
    );
    let mut child = ctl()
        .arg("--home")
        .arg(home.path())
        .arg("status")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    fake.go_on();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, ""));

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let output = ctl().arg("--help").stdout(full.unwrap()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("standard output"),
        "{}",
        stderr(&output)
    );
}
