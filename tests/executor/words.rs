//! Scripts that are given words, and those of Wazuh 5: what they find, and what
//! becomes of those that misbehave.

use std::time::Duration;

use ripost::contract::request::{Decision, Told};
use ripost::executor::{End, Mode, Outcome, Progress, run};
use ripost::model::action::Contract;
use ripost::sys::process::ProcessId;
use tokio::sync::{mpsc, watch};

use crate::kinds::SRCIP;
use crate::place::{CONTINUE, Place, Seen, carry_out};

fn script(body: &str) -> Place {
    Place::with("x.sh", &format!("#!/bin/sh\n{body}\n"))
}

async fn add(place: &Place, contract: Contract) -> (Outcome, Seen) {
    let mut planned = place.run_by(contract, "x.sh", Mode::Add);
    planned.limits.handshake = Duration::from_millis(300);
    carry_out(planned, CONTINUE).await
}

#[tokio::test]
async fn a_script_finds_its_words_and_nothing_to_read() {
    let place = script(
        "printf '%s\\n' \"$0\" \"$#\" \"$@\" > logs/words
         readlink /proc/self/fd/0 > logs/stdin; cat >> logs/stdin; pwd -P > logs/place",
    );
    let (outcome, seen) = add(&place, SRCIP).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(
        place.read("logs/words"),
        "active-response/bin/x.sh\n7\nadd\n-\n203.0.113.9\n1772600767.41231\n5763\n-\n-\n"
    );
    assert_eq!(place.read("logs/stdin"), "/dev/null\n");
    assert_eq!(
        place.read("logs/place").trim(),
        place.path().display().to_string()
    );
    assert_eq!(seen.keys, [Ok("203.0.113.9".to_owned())]);
    assert_eq!(outcome.keys.unwrap().to_string(), "203.0.113.9");
    assert_eq!(outcome.output_note, None);
    assert!(seen.process.is_some());
}

#[tokio::test]
async fn a_script_that_is_given_words_is_not_started_before_its_owner_has_decided() {
    let place = script("echo ran >> logs/effect");
    let planned = place.run_by(SRCIP, "x.sh", Mode::Add);
    let (outcome, seen) = carry_out(planned, Decision::Abort).await;
    assert_eq!((outcome.end, seen.process.is_none()), (End::Answered, true));
    assert_eq!(place.read("logs/effect"), "");

    let planned = place.run_by(SRCIP, "x.sh", Mode::Add);
    let (progress, mut events) = mpsc::channel(1);
    let (cancel, cancelled) = watch::channel(false);
    let running = tokio::spawn(run(planned, progress, cancelled));
    let Some((_, Progress::Keys { decide, .. })) = events.recv().await else {
        panic!("the owner is asked about the keys first");
    };
    cancel.send_replace(true);
    assert_eq!(running.await.unwrap().end, End::Cancelled);
    drop(decide);
    assert_eq!(place.read("logs/effect"), "");
}

#[tokio::test]
async fn a_script_that_is_not_there_or_too_late_is_not_started_with_words_either() {
    let place = script("echo ran >> logs/effect");
    let mut planned = place.run_by(SRCIP, "x.sh", Mode::Add);
    planned.pointless_at = Some(ripost::clock::boot());
    let (outcome, _) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::TooLate);
    assert_eq!(place.read("logs/effect"), "");
    let (outcome, _) = carry_out(place.run_by(SRCIP, "y.sh", Mode::Delete), CONTINUE).await;
    assert!(matches!(outcome.end, End::NotStarted(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_people_do_wrong_stalls_nobody() {
    let bodies = [
        ("reads to the end", "cat > logs/stdin", 0),
        ("never reads", "exit 0", 0),
        ("answers late", "sleep 1; exit 4", 4),
        (
            "prints before it works",
            "echo debug; read -r line; exit 0",
            0,
        ),
        (
            "closes its output",
            "exec >&- 2>&-; read -r line; exit 3",
            3,
        ),
        ("closes its input", "exec <&-; echo x; exit 0", 0),
        (
            "prints very much",
            "yes | head -c 3000000; yes >&2 | head -c 1; exit 0",
            0,
        ),
        (
            "leaves a child",
            "sleep 300 & echo $! > logs/child; exit 0",
            0,
        ),
    ];
    for contract in [SRCIP, Contract::V5, Contract::Json] {
        for (what, body, status) in bodies {
            let body = body.replace("yes >&2 | head -c 1", "head -c 3000000 /dev/zero >&2");
            let place = script(&body);
            let (outcome, _) = add(&place, contract).await;
            assert_eq!(
                outcome.end,
                End::Exited(status),
                "{what} by {}",
                contract.name()
            );
            assert!(
                outcome.duration < Duration::from_secs(15),
                "{what}: {outcome:?}"
            );
            if what == "leaves a child" {
                let child = place.process("logs/child").unwrap();
                assert!(child.is_running(), "what is left behind is left alone");
                child.end_group(&place.path(), Duration::ZERO).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_words_too() {
    let place = script("sleep 1000 & echo $! > logs/child; sleep 1000");
    let mut planned = place.run_by(SRCIP, "x.sh", Mode::Add);
    planned.limits.execution = Duration::from_millis(500);
    let (outcome, _) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::TimedOut);
    let child = place.process("logs/child");
    assert!(child.is_none_or(|child| !child.is_running()));
}

#[tokio::test]
async fn a_running_script_is_found_by_its_words_and_no_other_is() {
    let place = script("echo > logs/ready; read -r line < logs/gate");
    let (ready, gate) = (place.fifo("logs/ready"), place.fifo("logs/gate"));
    let planned = place.run_by(SRCIP, "x.sh", Mode::Add);
    let Told::Words(words) = planned.told.clone() else {
        panic!("it is given words");
    };
    let home = place.home();
    let find = move |mode| {
        let program = "active-response/bin/x.sh";
        ProcessId::of_words(&home, program, &words.arguments(mode))
    };
    let running = tokio::spawn(carry_out(planned, CONTINUE));
    let opened = tokio::task::spawn_blocking(move || std::fs::read(ready).map(drop));
    opened.await.unwrap().unwrap();
    let found = find(Mode::Add);
    assert!(found.is_some_and(ProcessId::is_running));
    assert_eq!(find(Mode::Delete), None);
    std::fs::write(gate, "\n").unwrap();
    let (_, seen) = running.await.unwrap();
    assert_eq!(seen.process, found);
    assert_eq!(find(Mode::Add), None);
}

#[tokio::test]
async fn a_script_of_wazuh_5_gets_its_reply_in_its_own_form() {
    let place = script(
        r#"IFS= read -r event; echo '{"command":"check_keys","parameters":{"keys":["k"]}}'
        IFS= read -r reply; printf '%s\n' "$event" "$reply" > logs/lines"#,
    );
    let (outcome, seen) = add(&place, Contract::V5).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert_eq!(seen.keys, [Ok("k".to_owned())]);
    let lines = place.read("logs/lines");
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let commands = [&lines[0]["command"], &lines[1]["command"]];
    assert_eq!(commands, ["enable", "continue"]);
    assert_eq!(lines[1]["source"]["ip"], "203.0.113.9");
}
