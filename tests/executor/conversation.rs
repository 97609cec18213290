//! What is said on stdin and stdout, and in which order.

use std::time::Duration;

use ripost::contract::reply::Status;
use ripost::contract::request::{Command, Decision};
use ripost::executor::{End, Mode, Progress, RunId, run};
use ripost::model::bundled;
use tokio::sync::{mpsc, watch};

use crate::place::{CONTINUE, Place, add, carry_out};

const SH: &str = include_str!("../data/scripts/handshake.sh");
const PYTHON: &str = include_str!("../data/scripts/handshake.py");

/// The `check_keys` line, as a shell command.
const PRINT_KEYS: &str =
    r#"echo '{"version":1,"command":"check_keys","parameters":{"keys":["203.0.113.9"]}}'"#;

fn script(body: &str) -> Place {
    let body = body.replace("PRINT_KEYS", PRINT_KEYS);
    Place::with("x.sh", &format!("#!/bin/sh\n{body}\n"))
}

#[tokio::test]
async fn a_shell_script_names_its_keys_and_gets_the_whole_message_as_reply() {
    let place = Place::with("handshake.sh", SH);
    let planned = place.run("handshake.sh", Mode::Add);
    let line = |command| String::from_utf8(planned.message().unwrap().line(command)).unwrap();
    let (message, reply) = (line(Command::Add), line(Command::Continue));
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(seen.keys, [Ok("203.0.113.9".to_owned())]);
    assert_eq!(outcome.keys.unwrap().to_string(), "203.0.113.9");
    assert!(outcome.printed_keys);
    assert_eq!(outcome.output_note, None);
    assert_eq!(place.read("logs/message"), message);
    assert_eq!(place.read("logs/reply"), reply);
    assert_eq!(place.read("logs/effect"), "acted\n");
}

#[tokio::test]
async fn an_aborted_script_does_not_act() {
    let place = Place::with("handshake.sh", SH);
    let planned = place.run("handshake.sh", Mode::Add);
    let (outcome, _) = carry_out(planned, Decision::Abort).await;
    assert_eq!(outcome.end, End::Exited(0));
    let reply = place.read("logs/reply");
    assert!(reply.contains(r#""command":"abort","parameters":{"extra_args""#));
    assert_eq!(place.read("logs/effect"), "");
}

#[tokio::test]
async fn a_python_script_of_4_x_acts_and_reverts_unchanged() {
    let place = Place::with("handshake.py", PYTHON);
    for (mode, keys) in [(Mode::Add, 1), (Mode::Delete, 0)] {
        let (outcome, seen) = carry_out(place.run("handshake.py", mode), CONTINUE).await;
        assert_eq!((outcome.end, outcome.stderr.as_str()), (End::Exited(0), ""));
        assert_eq!(seen.keys.len(), keys);
    }
    let done = place.read("logs/effect");
    assert_eq!(done, "add 203.0.113.9\ndelete 203.0.113.9\n");
}

#[tokio::test]
async fn a_revert_is_one_line_and_the_end_of_stdin() {
    let place = script("cat > logs/stdin; PRINT_KEYS");
    let planned = place.run("x.sh", Mode::Delete);
    let line = String::from_utf8(planned.message().unwrap().line(Command::Delete)).unwrap();
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(seen.keys.is_empty() && !outcome.printed_keys);
    assert_eq!(place.read("logs/stdin"), line);
}

#[tokio::test]
async fn a_script_that_reads_to_the_end_goes_on_when_the_handshake_time_is_over() {
    let place = script("cat > logs/stdin");
    let mut planned = place.run("x.sh", Mode::Add);
    planned.limits.handshake = Duration::from_millis(200);
    let line = String::from_utf8(planned.message().unwrap().line(Command::Add)).unwrap();
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.duration >= Duration::from_millis(200));
    assert!(seen.keys.is_empty() && !outcome.printed_keys);
    assert_eq!(outcome.output_note, None);
    assert_eq!(place.read("logs/stdin"), line);
}

#[tokio::test]
async fn a_script_that_prints_something_else_still_gets_its_reply() {
    let place = script("read -r message; echo 'debug: on'; cat > logs/reply");
    let mut planned = place.run("x.sh", Mode::Add);
    planned.limits.handshake = Duration::from_millis(200);
    let reply = String::from_utf8(planned.message().unwrap().line(Command::Continue)).unwrap();
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(seen.keys.is_empty() && !outcome.printed_keys);
    assert!(outcome.output_note.unwrap().ends_with(": debug: on"));
    assert_eq!(place.read("logs/reply"), reply);
}

#[tokio::test]
async fn debug_output_before_the_keys_does_not_spoil_them() {
    let place = script(
        "read -r message; echo debug; PRINT_KEYS; read -r reply && echo \"$reply\" > logs/reply",
    );
    let outcome = add(&place, "x.sh").await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.keys.is_some() && outcome.output_note.is_some());
    assert!(place.read("logs/reply").contains(r#""command":"continue""#));
}

#[tokio::test]
async fn keys_that_come_after_the_end_of_stdin_count_but_get_no_reply() {
    let place = script("cat > /dev/null; PRINT_KEYS; cat > logs/reply");
    let mut planned = place.run("x.sh", Mode::Add);
    planned.limits.handshake = Duration::from_millis(200);
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(seen.keys.len(), 1);
    assert!(outcome.keys.is_some());
    assert!(
        outcome
            .detail
            .unwrap()
            .contains("after its stdin had ended")
    );
    assert_eq!(place.read("logs/reply"), "");
}

#[tokio::test]
async fn a_script_that_names_its_keys_and_is_gone_has_named_them() {
    // Also without the newline at the end. Again and again, because either the
    // end or the line may be noticed first.
    let place = script("printf %s \"$(PRINT_KEYS)\"");
    for _ in 0..60 {
        let (outcome, seen) = carry_out(place.run("x.sh", Mode::Add), CONTINUE).await;
        assert_eq!(outcome.end, End::Exited(0));
        assert_eq!(seen.keys, [Ok("203.0.113.9".to_owned())]);
        assert_eq!(outcome.detail, None);
    }
}

#[tokio::test]
async fn keys_that_are_not_valid_are_put_to_the_owner_as_such() {
    let place = script(
        r#"echo '{"version":1,"command":"check_keys","parameters":{"keys":"203.0.113.9"}}'; read -r m; read -r reply; echo "$reply" > logs/reply"#,
    );
    let (outcome, seen) = carry_out(place.run("x.sh", Mode::Add), Decision::Abort).await;
    assert!(matches!(&seen.keys[..], [Err(_)]), "{seen:?}");
    assert!(outcome.printed_keys && outcome.keys.is_none());
    assert!(place.read("logs/reply").contains(r#""command":"abort""#));
}

#[tokio::test]
async fn a_script_that_never_reads_does_not_block_on_a_message_larger_than_the_pipe() {
    let place = script("PRINT_KEYS");
    let alert = format!(r#"{{"data":{{"x":"{}"}}}}"#, "x".repeat(65_000));
    let planned = place.run_with("x.sh", Mode::Add, alert.as_bytes());
    // Message and reply together are twice what a pipe holds.
    let (outcome, _) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.keys.is_some());
}

#[tokio::test]
async fn a_message_that_was_cut_says_so_in_the_outcome() {
    let place = script("PRINT_KEYS; cat > logs/stdin");
    let alert = format!(r#"{{"full_log":"{}","id":"1"}}"#, "x".repeat(70_000));
    let planned = place.run_with("x.sh", Mode::Add, alert.as_bytes());
    let (outcome, _) = carry_out(planned, CONTINUE).await;
    assert!(outcome.detail.unwrap().contains("without full_log"));
    assert!(
        place
            .read("logs/stdin")
            .contains(r#""alert":{"id":"1"},"program":"#)
    );
}

#[tokio::test]
async fn nothing_is_written_before_the_owner_says_go() {
    let place = Place::with(
        "x.py",
        "#!/usr/bin/env python3\n\
         import select, sys\n\
         early = select.select([0], [], [], 0.3)[0]\n\
         open('logs/early', 'w').write(repr(early))\n\
         open('logs/ready', 'w').close()\n\
         sys.stdin.readline()\n",
    );
    let ready = place.fifo("logs/ready");
    let (progress, mut events) = mpsc::channel(1);
    let (_cancel, cancelled) = watch::channel(false);
    let owner = async {
        let Some((_, Progress::Started { go, .. })) = events.recv().await else {
            panic!("the process was not reported");
        };
        tokio::task::spawn_blocking(|| std::fs::read(ready))
            .await
            .unwrap()
            .unwrap();
        go.send(()).unwrap();
    };
    let planned = place.run("x.py", Mode::Add);
    let (outcome, ()) = tokio::join!(run(planned, progress, cancelled), owner);
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(place.read("logs/early"), "[]");
}

#[tokio::test]
async fn the_time_the_owner_takes_does_not_count_against_the_deadline() {
    let place = script("read -r m; PRINT_KEYS; (sleep 1; : > logs/late) & read -r reply");
    let late = place.fifo("logs/late");
    let (progress, mut events) = mpsc::channel(1);
    let (_cancel, cancelled) = watch::channel(false);
    let owner = async {
        while let Some((_, event)) = events.recv().await {
            match event {
                Progress::Started { go, .. } => go.send(()).unwrap(),
                Progress::Keys { decide, .. } => {
                    let late = late.clone();
                    tokio::task::spawn_blocking(|| std::fs::read(late))
                        .await
                        .unwrap()
                        .unwrap();
                    decide.send(CONTINUE).unwrap();
                }
            }
        }
    };
    let mut planned = place.run("x.sh", Mode::Add);
    planned.limits.execution = Duration::from_millis(600);
    let (outcome, ()) = tokio::join!(run(planned, progress, cancelled), owner);
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.duration > Duration::from_millis(900));
}

#[tokio::test]
async fn a_bundled_executable_gets_the_short_reply_and_its_result_is_heard() {
    let place = Place::with(
        "host-deny",
        &format!(
            "#!/bin/sh\nread -r m; {PRINT_KEYS}; read -r reply; echo \"$reply\" > logs/reply\n\
             echo '{{\"version\":1,\"command\":\"result\",\"parameters\":{{\"status\":\"applied\",\"backend\":\"test\"}}}}'\n"
        ),
    );
    let row = bundled::find("host-deny").unwrap();
    place.home().record(&[row]).unwrap();
    let mut planned = place.run("host-deny", Mode::Add);
    planned.bundled = true;
    let expires = Some(Duration::from_secs(60));
    let (outcome, _) = carry_out(planned, Decision::Continue { expires }).await;
    assert_eq!(outcome.end, End::Exited(0));
    let result = outcome.result.unwrap();
    assert_eq!(
        (result.status, result.backend.as_deref()),
        (Status::Applied, Some("test"))
    );
    assert_eq!(
        place.read("logs/reply"),
        "{\"version\":1,\"origin\":{\"name\":\"mgr-a\",\"module\":\"wazuh-execd\"},\"command\":\"continue\",\"parameters\":{\"expires_ms\":60000}}\n"
    );
}

#[tokio::test]
async fn an_executable_that_changed_its_kind_since_it_was_planned_is_not_started() {
    let place = Place::with("host-deny", "#!/bin/sh\necho ran > logs/effect\n");
    let mut planned = place.run("host-deny", Mode::Add);
    planned.bundled = true;
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert!(matches!(&outcome.end, End::NotStarted(why) if why.contains("is a script now")));
    assert!(seen.process.is_none());
    assert_eq!(place.read("logs/effect"), "");
}

#[tokio::test]
async fn an_outcome_can_be_sent_elsewhere() {
    let place = Place::with("handshake.sh", SH);
    let outcome = add(&place, "handshake.sh").await;
    let text = serde_json::to_string(&outcome).unwrap();
    assert_eq!(
        serde_json::from_str::<ripost::executor::Outcome>(&text).unwrap(),
        outcome
    );
    assert_eq!(serde_json::to_string(&RunId(7)).unwrap(), "7");
}
