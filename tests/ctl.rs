//! Drives the real `ripostctl`, against a fake daemon where it needs one.
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files of its own"
)]

#[path = "ctl/daemon.rs"]
mod daemon;
#[path = "ctl/fleet.rs"]
mod fleet;
#[path = "ctl/import.rs"]
mod import;
#[path = "ctl/init.rs"]
mod init;
#[path = "ctl/installation/mod.rs"]
mod installation;
#[path = "ctl/reading.rs"]
mod reading;
#[path = "ctl/steering.rs"]
mod steering;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ripost::clock;
use ripost::wire::control::{AlertSource, Answer, Counter, ErrorKind, NotAlerts, Status};
use ripost::wire::parts::Part;
use ripost::wire::{Daemon, Denial, Frame, Greeting, PROTOCOL};
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
        sources: vec![AlertSource {
            location: "logs/\u{1b}alerts.json".to_owned(),
            format: "auto".to_owned(),
            bytes: 26_000,
            lines: 20,
            alerts: 17,
            matched: 2,
            not_alerts: vec![NotAlerts {
                why: "is not JSON".to_owned(),
                lines: 3,
            }],
            strays: 4,
            passed_over: 1,
            last_line: None,
        }],
        manager: None,
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
        (&["explain", "x"], 64, "not in this version"),
        (&["run", "x", "--agnet", "007"], 64, "'--agent'"),
        (&["run", "--help"], 0, "75 some hosts"),
        (&["enroll"], 64, "Make a token"),
        (&["enroll", "token", "--help"], 0, "--token -"),
        (&["agents", "revok", "007"], 64, "'revoke'"),
        (&["import", "--help"], 0, "client.keys"),
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
    let keys = home.path().join("client.keys");
    std::fs::write(&keys, "001 web any abc\n").unwrap();
    for words in [
        &["agents"][..],
        &["agents", "revoke", "007"],
        &["enroll", "token"],
        &["enroll", "list"],
        &["enroll", "revoke", "--all"],
        &["run", "firewall-drop", "--agent", "007"],
        &["import", keys.to_str().unwrap()],
    ] {
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (69, ""), "{words:?}");
        let text = stderr(&output);
        assert!(text.contains("reach ripost-manager"), "{words:?}: {text}");
    }
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
        journal: None,
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
fn a_reader_that_has_seen_enough_is_no_failure_but_a_full_disk_is() {
    let home = home();
    let fake = FakeDaemon::start(
        home.path(),
        Daemon::Manager,
        &Greeting::welcome(Daemon::Manager, None),
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
