//! How runs end, and what is left of them.

use std::time::Duration;

use ripost::clock;
use ripost::executor::{End, MAX_RUNNING, Mode, Outcome, Progress, run};
use tokio::sync::{mpsc, watch};

use crate::place::{CONTINUE, Place, add, carry_out};

fn script(body: &str) -> Place {
    Place::with("x.sh", &format!("#!/bin/sh\n{body}\n"))
}

async fn add_within(place: &Place, execution: u64, grace: u64) -> Outcome {
    let mut planned = place.run("x.sh", Mode::Add);
    planned.limits.execution = Duration::from_millis(execution);
    planned.limits.kill_grace = Duration::from_millis(grace);
    carry_out(planned, CONTINUE).await.0
}

#[tokio::test]
async fn the_ways_of_ending_are_told_apart() {
    for (body, end) in [
        ("exit 0", End::Exited(0)),
        ("exit 1", End::Exited(1)),
        ("exit 255", End::Exited(255)),
        ("read -r message; kill -9 $$", End::Signalled(9)),
        ("kill -TERM $$", End::Signalled(15)),
    ] {
        let outcome = add(&script(body), "x.sh").await;
        assert_eq!(outcome.end, end, "{body}");
        assert_eq!(
            (outcome.detail, outcome.stderr),
            (None, String::new()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_script_that_hangs_is_ended_with_its_children_at_the_deadline() {
    let place = script("sleep 1000 & echo $! > logs/child; echo $$ > logs/leader; sleep 1000");
    let outcome = add_within(&place, 500, 10_000).await;
    assert_eq!(outcome.end, End::TimedOut);
    // TERM was enough, so the grace was not waited for.
    assert!(
        outcome.duration < Duration::from_secs(8),
        "{:?}",
        outcome.duration
    );
    for process in ["logs/child", "logs/leader"] {
        assert!(
            place.process(process).is_none_or(|it| !it.is_running()),
            "{process}"
        );
    }
    let log = place.read("logs/active-responses.log");
    assert_eq!(log.lines().count(), 1);
    assert!(
        log.ends_with(" active-response/bin/x.sh: killed: did not end within 500ms\n"),
        "{log}"
    );
    assert!(outcome.detail.unwrap().contains("did not end within 500ms"));
}

#[tokio::test]
async fn a_script_that_ignores_the_request_to_end_is_killed_after_the_grace() {
    let place = script("trap '' TERM; sleep 1000 & echo $! > logs/child; wait; sleep 1000");
    let outcome = add_within(&place, 300, 400).await;
    assert_eq!(outcome.end, End::TimedOut);
    assert!(outcome.duration >= Duration::from_millis(700));
    assert!(
        place
            .process("logs/child")
            .is_none_or(|it| !it.is_running())
    );
}

#[tokio::test]
async fn a_script_may_clean_up_within_the_grace() {
    let place =
        script("trap 'sleep 0.3; echo clean > logs/effect; exit 0' TERM; sleep 1000 & wait");
    let outcome = add_within(&place, 300, 10_000).await;
    assert_eq!(outcome.end, End::TimedOut);
    assert_eq!(place.read("logs/effect"), "clean\n");
}

#[tokio::test]
async fn a_child_in_the_background_neither_delays_the_end_nor_is_it_hurt() {
    // It holds all three pipes.
    let place = script("sleep 1000 & echo $! > logs/child; echo printed >&2; exit 0");
    let outcome = add(&place, "x.sh").await;
    assert_eq!(
        (outcome.end, outcome.stderr.as_str()),
        (End::Exited(0), "printed")
    );
    assert!(outcome.duration < Duration::from_secs(5));
    let child = place.process("logs/child").unwrap();
    assert!(child.is_running());
    let pid = rustix::process::Pid::from_raw(child.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_child_in_the_background_that_prints_without_end_does_not_delay_it_either() {
    let place = script("yes & echo $! > logs/child; exit 0");
    let outcome = add(&place, "x.sh").await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.duration < Duration::from_secs(5));
}

#[tokio::test]
async fn ten_megabytes_of_output_are_read_and_forgotten() {
    for (body, shown) in [
        ("head -c 10485760 /dev/zero | tr '\\0' x", "xxx"),
        ("yes yes | head -c 10485760", ": yes"),
        ("head -c 10485760 /dev/urandom", "\\x"),
    ] {
        let place = script(&format!("{body}; echo done > logs/effect"));
        let outcome = add(&place, "x.sh").await;
        assert_eq!(outcome.end, End::Exited(0), "{body}");
        let note = outcome.output_note.unwrap();
        assert!(note.contains(shown) && note.len() < 4_000, "{body}: {note}");
        assert_eq!(place.read("logs/effect"), "done\n", "{body}");
    }
}

#[tokio::test]
async fn runs_go_on_side_by_side() {
    let place = script("sleep 1");
    let (progress, mut events) = mpsc::channel(4);
    let (_cancel, cancelled) = watch::channel(false);
    let runs: Vec<_> = (0..MAX_RUNNING)
        .map(|_| {
            let planned = place.run("x.sh", Mode::Add);
            tokio::spawn(run(planned, progress.clone(), cancelled.clone()))
        })
        .collect();
    drop(progress);
    while let Some((_, event)) = events.recv().await {
        match event {
            Progress::Started { go, .. } => go.send(()).unwrap(),
            Progress::Keys { .. } => panic!("it names no keys"),
        }
    }
    for run in runs {
        let outcome = run.await.unwrap();
        assert_eq!(outcome.end, End::Exited(0));
        assert!(outcome.duration < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn of_stderr_the_start_is_kept() {
    let place = script("echo 'it failed' >&2; head -c 10485760 /dev/zero >&2; exit 1");
    let outcome = add(&place, "x.sh").await;
    assert_eq!(outcome.end, End::Exited(1));
    assert!(
        outcome.stderr.starts_with("it failed\\n\\0"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stderr
            .ends_with(&format!("({} bytes more)", 10_485_760 + 10 - 4096))
    );
}

#[tokio::test]
async fn a_run_that_nobody_wants_any_more_is_killed() {
    let place = script("read -r message; : > logs/ready; sleep 1000");
    let ready = place.fifo("logs/ready");
    let (progress, mut events) = mpsc::channel(1);
    let (cancel, cancelled) = watch::channel(false);
    let owner = async {
        let Some((_, Progress::Started { process, go })) = events.recv().await else {
            panic!("the process was not reported");
        };
        go.send(()).unwrap();
        tokio::task::spawn_blocking(|| std::fs::read(ready))
            .await
            .unwrap()
            .unwrap();
        cancel.send(true).unwrap();
        process
    };
    let planned = place.run("x.sh", Mode::Add);
    let (outcome, process) = tokio::join!(run(planned, progress, cancelled), owner);
    assert_eq!(outcome.end, End::Cancelled);
    assert!(!process.is_running());
    assert!(
        place
            .read("logs/active-responses.log")
            .contains("x.sh: killed: ")
    );
}

#[tokio::test]
async fn an_owner_that_does_not_answer_abandons_the_run() {
    const KEYS: &str = r#"echo '{"command":"check_keys","parameters":{"keys":["a"]}}'"#;
    for asks in [false, true] {
        let place = script(&format!(
            "read -r m; {KEYS}; read -r reply; echo acted > logs/effect"
        ));
        let (progress, mut events) = mpsc::channel(1);
        let (_cancel, cancelled) = watch::channel(false);
        let owner = async {
            let Some((_, Progress::Started { process, go })) = events.recv().await else {
                panic!("the process was not reported");
            };
            if asks {
                go.send(()).unwrap();
                assert!(matches!(
                    events.recv().await,
                    Some((_, Progress::Keys { .. }))
                ));
            } else {
                drop(go);
            }
            process
        };
        let planned = place.run("x.sh", Mode::Add);
        let (outcome, process) = tokio::join!(run(planned, progress, cancelled), owner);
        assert_eq!(outcome.end, End::Cancelled);
        assert!(!process.is_running());
        assert_eq!(place.read("logs/effect"), "");
    }
}

/// Late already, or only when its owner lets it begin.
#[tokio::test]
async fn a_run_that_has_become_pointless_is_not_spoken_to() {
    for span in [0, 1_000] {
        let place = script("read -r message && echo acted > logs/effect");
        let (progress, mut events) = mpsc::channel(1);
        let (_cancel, cancelled) = watch::channel(false);
        let at = clock::boot().plus(Duration::from_millis(span));
        let owner = async {
            let (_, event) = events.recv().await?;
            let Progress::Started { process, go } = event else {
                panic!("it named keys");
            };
            while clock::boot() < at {
                tokio::task::yield_now().await;
            }
            go.send(()).unwrap();
            Some(process)
        };
        let mut planned = place.run("x.sh", Mode::Add);
        planned.pointless_at = Some(at);
        let (outcome, process) = tokio::join!(run(planned, progress, cancelled), owner);
        assert_eq!(outcome.end, End::TooLate);
        assert_eq!(process.is_some(), span > 0);
        assert!(process.is_none_or(|process| !process.is_running()));
        assert_eq!(place.read("logs/effect"), "");
    }
}
