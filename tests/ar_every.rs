//! Every bundled executable, present and to come, with the same hostile inputs:
//! whatever it is for, it speaks the contract, ends, says how, and says so with
//! its exit status too. What each one does is shown where it is tested alone.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "shared with tests that use all of it")]
#[path = "support/isolation.rs"]
mod isolation;
#[expect(dead_code, reason = "shared with tests that use all of it")]
#[path = "support/run.rs"]
mod run;
#[path = "support/served.rs"]
mod served;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use isolation::{isolated, mount};
use ripost::model::bundled::{BUNDLED, Bundled, Options, TargetKind, ValueKind};
use run::{Home, Ran, answer, direct, feed};
use serde_json::{Value, json};
use served::Served;

/// Longer than any executable may take for an input like these.
const LIMIT: Duration = Duration::from_secs(60);

const BAD_FORMAT: &str = "Invalid input format";
const NO_LINE: &str = "Cannot read input from stdin";

/// A private `/etc` and home of root, and no host that is connected to anything.
fn prepare() {
    for folder in ["/etc", "/root", "/var/tmp"] {
        mount(&["-t", "tmpfs", "tmpfs", folder]);
    }
    fs::write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write("/etc/shadow", "root:*:1:0:99999:7:::\n").unwrap();
    fs::write("/etc/group", "root:x:0:\n").unwrap();
    isolation::run("ip", &["link", "set", "lo", "up"]);
}

/// The options that it cannot do without, with values that mean nothing, and
/// those that keep it in its home and off the machine's own folders.
fn extra_args(row: &Bundled) -> Vec<String> {
    let mut needed = row.options.iter().collect::<Vec<_>>();
    needed.retain(|option| option.required || option.value == ValueKind::Path);
    let mut args: Vec<_> = needed
        .into_iter()
        .flat_map(|option| {
            let value = match option.value {
                ValueKind::Switch => return vec![option.name.to_owned()],
                ValueKind::Ipv6Prefix => "64",
                ValueKind::OneOf(words) => words[0],
                ValueKind::Field => "data.x",
                ValueKind::Service => "no-such-service",
                ValueKind::Path => "no/such/file",
                ValueKind::Uid => "1000",
                ValueKind::Text => "x",
                ValueKind::EtcFile => "etc/no-such-file",
                ValueKind::Url => "https://127.0.0.1:9/",
                ValueKind::Proxy => "http://127.0.0.1:9",
                ValueKind::CloudflareId => "0123456789abcdef0123456789abcdef",
            };
            vec![option.name.to_owned(), value.to_owned()]
        })
        .collect();
    if row.word.is_some() {
        args.push("https://127.0.0.1:9/".to_owned());
    }
    args
}

/// An alert that names a target of its kind: one that nobody has.
fn alert(row: &Bundled) -> Value {
    let mut alert = json!({"rule": {"id": "5763"}, "data": {}});
    let options = Options::parse(row.options, &extra_args(row)).unwrap();
    if let Some(field) = row.target.places(&options).paths().first() {
        let mut place = &mut alert;
        for name in field.names() {
            place = &mut place[&*name];
        }
        *place = row.target.example().into();
    }
    alert
}

fn message(row: &Bundled, command: &str) -> String {
    let line = json!({
        "version": 1,
        "origin": {"name": "node01", "module": "wazuh-execd"},
        "command": command,
        "parameters": {
            "extra_args": extra_args(row),
            "alert": alert(row),
            "program": format!("active-response/bin/{}", row.name),
        },
    });
    format!("{line}\n")
}

fn has_keys(row: &Bundled) -> bool {
    row.target != TargetKind::Nothing
}

fn run(home: &Home, row: &Bundled, input: &[u8]) -> Ran {
    let mut command = Command::new("timeout");
    let program = format!("active-response/bin/{}", row.name);
    command
        .args(["--signal=KILL", &LIMIT.as_secs().to_string(), &program])
        .current_dir(home.path());
    let ran = feed(command, input);
    assert_ne!(ran.code, Some(137), "{} hangs", row.name);
    ran
}

/// The input is refused before anything is named or done.
fn refused(row: &Bundled, what: &str, input: &[u8], last: &str) {
    let what = format!("{}, {what}", row.name);
    let home = Home::new();
    let ran = run(&home, row, input);
    assert_eq!(
        (ran.code, ran.stdout.len()),
        (Some(255), 0),
        "{what}: {ran:?}"
    );
    assert!(!ran.stderr.is_empty(), "{what} says nothing");
    let log = home.log();
    let prefix = format!("active-response/bin/{}: ", row.name);
    assert_eq!(log[0], format!("{prefix}Starting"), "{what}");
    assert!(
        log.last().unwrap().starts_with(&(prefix + last)),
        "{what}: {log:?}"
    );
}

#[test]
fn what_is_no_message_is_refused_in_the_words_of_4x() {
    isolated(|| {
        prepare();
        for row in BUNDLED {
            let good = message(row, "add");
            let wrong = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
            let many = good.replace(
                "{\"alert\"",
                &format!("{{\"x\":\"{}\",\"alert\"", "x".repeat(1 << 20)),
            );
            let cases: &[(&str, Vec<u8>, &str)] = &[
                ("nothing", Vec::new(), NO_LINE),
                ("an empty line", b"\n".to_vec(), BAD_FORMAT),
                (
                    "half a line",
                    good.as_bytes()[..good.len() / 2].to_vec(),
                    BAD_FORMAT,
                ),
                ("1 MB", many.into_bytes(), BAD_FORMAT),
                ("1 MB without newline", vec![b'x'; 1 << 20], BAD_FORMAT),
                ("no JSON", b"x\n".to_vec(), BAD_FORMAT),
                ("an array", b"[]\n".to_vec(), BAD_FORMAT),
                ("a text", b"\"add\"\n".to_vec(), BAD_FORMAT),
                ("bytes", b"\xff\xfe\x00\x01\n".to_vec(), BAD_FORMAT),
                (
                    "deep",
                    [vec![b'['; 60_000], b"\n".to_vec()].concat(),
                    BAD_FORMAT,
                ),
                (
                    "version a text",
                    wrong("\"version\":1", "\"version\":\"1\""),
                    BAD_FORMAT,
                ),
                (
                    "origin a text",
                    wrong("\"origin\":{", "\"origin\":\"\",\"o\":{"),
                    BAD_FORMAT,
                ),
                (
                    "command a number",
                    wrong("\"command\":\"add\"", "\"command\":1"),
                    BAD_FORMAT,
                ),
                (
                    "parameters a list",
                    wrong("\"parameters\":{", "\"parameters\":[],\"p\":{"),
                    BAD_FORMAT,
                ),
                (
                    "an unknown verb",
                    message(row, "stop").into_bytes(),
                    "Invalid value of 'command'",
                ),
                (
                    "a verb in capitals",
                    message(row, "ADD").into_bytes(),
                    "Invalid value of 'command'",
                ),
                (
                    "an option it does not have",
                    wrong(
                        "\"extra_args\":[",
                        "\"extra_args\":[\"--no-such=x\"],\"x\":[",
                    ),
                    "Invalid extra_args",
                ),
            ];
            for (what, input, last) in cases {
                refused(row, what, input, last);
            }
        }
    });
}

#[test]
fn what_names_no_target_is_refused() {
    isolated(|| {
        prepare();
        for row in BUNDLED {
            let options = Options::parse(row.options, &extra_args(row)).unwrap();
            let fields = row.target.places(&options).listed();
            let Some(field) = fields.first() else {
                continue;
            };
            let name = field.rsplit('.').next().unwrap();
            let example = format!("\"{name}\":\"{}\"", row.target.example());
            let good = message(row, "add") + &answer("continue", "{}");
            assert!(good.contains(&example), "{good}");
            for bad in [
                "null",
                "true",
                "[]",
                "{}",
                "\"\"",
                "\"-\"",
                "\" x y\"",
                "\"-x\"",
                "\"a\\nb\"",
                "\"..\"",
                "\"0\"",
            ] {
                // A login name may be a number.
                if row.target == TargetKind::User && bad == "\"0\"" {
                    continue;
                }
                let bad = format!("\"{name}\":{bad}");
                refused(
                    row,
                    &bad,
                    good.replace(&example, &bad).as_bytes(),
                    "Cannot read ",
                );
            }
            let long = format!("\"{name}\":\"{}\"", "a".repeat(20_000));
            refused(
                row,
                "a long one",
                good.replace(&example, &long).as_bytes(),
                "Cannot read ",
            );
        }
    });
}

#[test]
fn an_answer_other_than_continue_does_nothing() {
    isolated(|| {
        prepare();
        for row in BUNDLED.iter().filter(|row| has_keys(row)) {
            for (reply, code, last) in [
                (answer("abort", "{}"), 0, "Aborted"),
                (String::new(), 255, NO_LINE),
                ("x\n".to_owned(), 255, BAD_FORMAT),
                (answer("go", "{}"), 255, "Invalid value of 'command'"),
            ] {
                let home = Home::new();
                let ran = run(&home, row, (message(row, "add") + &reply).as_bytes());
                assert_eq!(ran.code, Some(code), "{} {reply:?}: {ran:?}", row.name);
                let [keys] = ran.stdout.as_slice() else {
                    panic!("{} {reply:?}: {ran:?}", row.name);
                };
                let keys: Value = serde_json::from_str(keys).unwrap();
                assert_eq!(keys["command"], "check_keys", "{}", row.name);
                assert_eq!(keys["origin"]["name"], row.name);
                assert!(home.log().last().unwrap().ends_with(last), "{}", row.name);
            }
        }
    });
}

/// Whatever it did or could not do here, it says so in one word, and its exit
/// status and its log say the same.
fn consistent(row: &Bundled, what: &str, home: &Home, ran: &Ran) -> String {
    let status = ran.status();
    let what = format!("{}, {what}: {ran:?}", row.name);
    let code = match status.as_str() {
        "applied" | "already" | "reverted" | "absent" => 0,
        "refused" => 255,
        "failed" => match ran.code {
            Some(code @ (1 | 65..=77)) => code,
            other => panic!("{other:?}: {what}"),
        },
        other => panic!("{other}: {what}"),
    };
    assert_eq!(ran.code, Some(code), "{what}");
    let result = ran.result();
    assert!(result["backend"].is_string(), "{what}");
    let last = home.log().pop().unwrap();
    if code == 0 {
        assert!(last.ends_with(": Ended"), "{what}: {last}");
    } else {
        let why = result["detail"].as_str().unwrap();
        assert!(why.len() > 10 && last.ends_with(why), "{what}: {last}");
        assert!(!why.contains(['\n', '\u{1b}']), "{what}");
    }
    status
}

fn add(row: &Bundled) -> String {
    let reply = if has_keys(row) {
        answer("continue", r#"{"expires_ms":600000}"#)
    } else {
        String::new()
    };
    message(row, "add") + &reply
}

#[test]
fn adds_and_deletes_in_any_order_are_answered_and_twice_is_once() {
    isolated(|| {
        prepare();
        for row in BUNDLED {
            let home = Home::new();
            let order = |what: &str, input: &str| {
                let ran = run(&home, row, input.as_bytes());
                consistent(row, what, &home, &ran)
            };
            let (add, delete) = (add(row), message(row, "delete"));
            let unknown = order("delete of nothing", &delete);
            assert!(
                ["absent", "failed"].contains(&unknown.as_str()),
                "{} {unknown}",
                row.name
            );
            let first = order("add", &add);
            let second = order("add again", &add);
            assert_eq!(first, second, "{}", row.name);
            let deleted = order("delete", &delete);
            let again = order("delete again", &delete);
            match (first.as_str(), row.reverts) {
                ("applied", true) => assert_eq!(
                    (deleted.as_str(), again.as_str()),
                    ("reverted", "absent"),
                    "{}",
                    row.name
                ),
                _ => assert_eq!((&deleted, &again), (&unknown, &unknown), "{}", row.name),
            }
        }
    });
}

#[test]
fn a_closed_stdout_is_no_error() {
    isolated(|| {
        prepare();
        for row in BUNDLED {
            let home = Home::new();
            let listened = run(&home, row, add(row).as_bytes());
            let home = Home::new();
            let script = "exec active-response/bin/\"$0\" >&-";
            let mut command = Command::new("sh");
            command
                .args(["-c", script, row.name])
                .current_dir(home.path());
            let ran = feed(command, add(row).as_bytes());
            assert_eq!(ran.code, listened.code, "{}: {ran:?}", row.name);
            run_delete(row);
        }
    });
}

fn serving() -> impl Iterator<Item = &'static Bundled> {
    BUNDLED.iter().filter(|row| row.serves)
}

/// A worker goes on whatever it is sent, and each order is answered by itself.
#[test]
fn a_worker_refuses_what_is_no_message_and_does_what_is_one() {
    isolated(|| {
        prepare();
        for row in serving() {
            let good = message(row, "add");
            let go_on = answer("continue", "{}");
            let cases = [
                (String::new(), go_on.clone(), BAD_FORMAT),
                (good[..good.len() / 2].to_owned(), go_on.clone(), BAD_FORMAT),
                ("[".repeat(60_000), go_on.clone(), BAD_FORMAT),
                ("[]".to_owned(), go_on.clone(), BAD_FORMAT),
                (message(row, "stop"), go_on.clone(), "Invalid value of"),
                (
                    good.replace(
                        "\"extra_args\":[",
                        "\"extra_args\":[\"--no-such=x\"],\"x\":[",
                    ),
                    go_on.clone(),
                    "Invalid extra_args",
                ),
                (
                    good.replace(row.target.example(), "-x"),
                    go_on.clone(),
                    "Cannot read ",
                ),
                (
                    good.replace(row.target.example(), "127.0.0.1"),
                    go_on.clone(),
                    "refused 127.0.0.1: it is",
                ),
                (good.clone(), "x".to_owned(), BAD_FORMAT),
                (good.clone(), answer("go", "{}"), "Invalid value of"),
            ];
            let home = Home::new();
            let mut worker = Served::start(direct(&home, row.name));
            let (bad, good) = (
                cases.clone().map(|(line, reply, _)| (line, reply)),
                [(good.clone(), answer("abort", "{}")), (good, go_on)],
            );
            let ran = worker.orders(&[&bad[..], &good].concat());
            for ((line, reply, why), ran) in cases.iter().zip(&ran) {
                let what = format!(
                    "{}: {reply} to {}: {ran:?}",
                    row.name,
                    &line[..line.len().min(200)]
                );
                assert!(["failed", "refused"].contains(&&*ran.status()), "{what}");
                let detail = ran.result()["detail"].to_string();
                assert!(detail.contains(why), "{what}");
            }
            let [.., aborted, done] = &ran[..] else {
                panic!("{ran:?}");
            };
            assert_eq!(aborted.stdout.len(), 1, "{}: {aborted:?}", row.name);
            assert_eq!(done.status(), "applied", "{}: {done:?}", row.name);
            let log = home.log();
            let starts = log.iter().filter(|line| line.ends_with(": Starting"));
            assert_eq!(starts.count(), ran.len());
            assert!(
                log.iter().any(|line| line.ends_with(": Aborted")),
                "{log:?}"
            );
            assert!(log.last().unwrap().ends_with(": Ended"), "{log:?}");
        }
    });
}

/// What becomes of an order does not depend on who carries it out, nor on how
/// many come with it.
#[test]
fn a_worker_does_what_a_process_does() {
    isolated(|| {
        prepare();
        for row in serving() {
            let home = Home::new();
            let alone = |verb: &str| {
                let input = match verb {
                    "add" => add(row),
                    _ => message(row, "delete"),
                };
                let ran = run(&home, row, input.as_bytes());
                (ran.status(), ran.result()["backend"].clone())
            };
            let verbs = ["delete", "add", "add", "delete", "delete"];
            let one_by_one = verbs.map(alone);
            let order = |verb: &str| {
                let go_on = answer("continue", r#"{"expires_ms":600000}"#);
                (message(row, verb), go_on)
            };
            let mut worker = Served::start(direct(&home, row.name));
            for together in [1, verbs.len()] {
                let mut served = Vec::new();
                for some in verbs.chunks(together) {
                    let orders: Vec<_> = some.iter().map(|verb| order(verb)).collect();
                    served.extend(worker.orders(&orders));
                }
                if together == 1 {
                    for (ran, alone) in served.iter().zip(&one_by_one) {
                        let result = ran.result();
                        assert_eq!(ran.status(), alone.0, "{}: {ran:?}", row.name);
                        assert_eq!(result["backend"], alone.1, "{}: {ran:?}", row.name);
                    }
                } else {
                    // Whose time is over goes first, and the adds wait for
                    // their keys to be agreed to.
                    let statuses: Vec<_> = served.iter().map(Ran::status).collect();
                    let wanted = ["absent", "applied", "applied", "absent", "absent"];
                    assert_eq!(statuses, wanted, "{}", row.name);
                }
            }
        }
    });
}

fn run_delete(row: &Bundled) {
    run(&Home::new(), row, message(row, "delete").as_bytes());
}

/// Killed when it has named its keys, and at moments after that, it leaves
/// nothing that the next run does not complete.
#[test]
fn one_that_was_killed_is_completed_by_the_next() {
    isolated(|| {
        prepare();
        for row in BUNDLED.iter().filter(|row| has_keys(row)) {
            let home = Home::new();
            let whole = run(&home, row, add(row).as_bytes()).status();
            run(&home, row, message(row, "delete").as_bytes());
            for moment in [0, 1, 2, 5, 10] {
                let home = Home::new();
                let mut command = direct(&home, row.name);
                let mut child = command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let mut stdin = child.stdin.take().unwrap();
                stdin.write_all(message(row, "add").as_bytes()).unwrap();
                let mut stdout = BufReader::new(child.stdout.take().unwrap());
                stdout.read_line(&mut String::new()).unwrap();
                stdin
                    .write_all(answer("continue", "{}").as_bytes())
                    .unwrap();
                // Any moment is as good as another one.
                std::thread::sleep(Duration::from_micros(moment * 100));
                child.kill().unwrap();
                child.wait().unwrap();
                let ran = run(&home, row, add(row).as_bytes());
                let status = consistent(row, "add after a kill", &home, &ran);
                assert_eq!(status, whole, "{}", row.name);
                let ran = run(&home, row, message(row, "delete").as_bytes());
                let status = consistent(row, "delete after a kill", &home, &ran);
                if whole == "applied" && row.reverts {
                    assert_eq!(status, "reverted", "{}", row.name);
                }
            }
        }
    });
}
