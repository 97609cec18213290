//! Workers that are kept, lost and replaced, played by a script that is
//! recorded as the bundled executable.

use std::fs;
use std::future::Future;
use std::time::Duration;

use ripost::contract::reply::Status;
use ripost::contract::request::Decision;
use ripost::executor::{End, Foreseen, Manner, Mode, Outcome, Progress, Run, RunId, Workers};
use ripost::model::{Keys, bundled};
use ripost::sys::process::ProcessId;
use tokio::sync::{mpsc, watch};

use crate::place::{CONTINUE, Place};

const NAME: &str = "firewall-drop";
const WORKER: &str = include_str!("../data/scripts/worker.sh");
const PATIENCE: Duration = Duration::from_secs(20);

/// A home with the played executable, recorded as the bundled one.
fn place() -> Place {
    let place = Place::new();
    install(&place, "1");
    place
}

fn install(place: &Place, version: &str) {
    place.install(NAME, &WORKER.replace("VERSION", version));
    record(place);
}

fn record(place: &Place) {
    let row = bundled::find(NAME).unwrap();
    place.home().record(&[row]).unwrap();
}

fn fault(place: &Place, what: &str) {
    fs::write(place.path().join("logs/fault"), what).unwrap();
}

fn lives(place: &Place) -> usize {
    place.read("logs/lives").lines().count()
}

fn done(place: &Place) -> usize {
    place.read("logs/done").lines().count()
}

fn run(place: &Place, id: u64, mode: Mode) -> Run {
    Run {
        id: RunId(id),
        bundled: true,
        ..place.run(NAME, mode)
    }
}

/// Carries a run through; also tells how often its owner was asked.
async fn served(workers: &Workers, run: Run, decision: Decision) -> (Outcome, usize) {
    let (progress, mut events) = mpsc::channel(1);
    let (_cancel, cancelled) = watch::channel(false);
    let owner = async {
        let mut asked = 0;
        while let Some((_, event)) = events.recv().await {
            match event {
                Progress::Started { go, .. } => go.send(()).unwrap(),
                Progress::Keys { keys, decide } => {
                    assert_eq!(keys.unwrap().to_string(), "203.0.113.9");
                    asked += 1;
                    decide.send(decision).unwrap();
                }
            }
        }
        asked
    };
    let both = async { tokio::join!(workers.run(run, progress, cancelled), owner) };
    tokio::time::timeout(PATIENCE, both).await.unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let look = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, look).await;
    assert!(seen.is_ok(), "waited for: {what}");
}

fn worker(place: &Place) -> Option<ProcessId> {
    let lives = place.read("logs/lives");
    ProcessId::of(lives.lines().last()?.trim().parse().ok()?)
}

fn applied(outcome: &Outcome) {
    assert_eq!(outcome.end, End::Answered, "{outcome:?}");
    let result = outcome.result.as_ref().unwrap();
    assert_eq!(result.status, Status::Applied);
}

async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut ended = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                ended.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        match running.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    ended
}

#[tokio::test]
async fn many_orders_share_one_worker_that_ends_with_its_daemon() {
    let (place, workers) = (place(), Workers::default());
    let runs = (1..=20).map(|id| served(&workers, run(&place, id, Mode::Add), CONTINUE));
    for (outcome, asked) in all(runs).await {
        applied(&outcome);
        assert_eq!((asked, outcome.printed_keys), (1, true));
        assert_eq!(outcome.detail, None);
    }
    let (outcome, asked) = served(&workers, run(&place, 21, Mode::Delete), CONTINUE).await;
    applied(&outcome);
    assert_eq!((asked, lives(&place), done(&place)), (0, 1, 21));
    let process = worker(&place).unwrap();
    drop(workers);
    until("the worker is gone", || !process.is_running()).await;
}

#[tokio::test]
async fn an_order_that_is_aborted_is_over_and_was_not_carried_out() {
    let (place, workers) = (place(), Workers::default());
    let (outcome, _) = served(&workers, run(&place, 1, Mode::Add), Decision::Abort).await;
    assert_eq!((outcome.end, outcome.result), (End::Answered, None));
    assert_eq!(done(&place), 0);
}

/// With what its owner has decided before it names these keys.
fn foreseen(run: Run, keys: &str) -> Run {
    let keys = Keys::new(vec![keys.to_owned()]).unwrap();
    Run {
        foreseen: Some(Foreseen::now(keys, None)),
        ..run
    }
}

#[tokio::test]
async fn nobody_is_asked_about_keys_that_were_foreseen_and_about_all_others() {
    for (keys, asked) in [("203.0.113.9", 0), ("203.0.113.10", 1)] {
        let (place, workers) = (place(), Workers::default());
        let run = foreseen(run(&place, 1, Mode::Add), keys);
        let (outcome, times) = served(&workers, run, CONTINUE).await;
        applied(&outcome);
        assert_eq!((times, outcome.printed_keys), (asked, true), "{keys}");
    }
}

#[tokio::test]
async fn what_was_foreseen_holds_for_the_next_worker_and_for_a_process() {
    for (what, times) in [
        ("dies", 0),
        ("dies-late", 0),
        ("hangs", 0),
        ("always-dies-late", 0),
        // No worker has come to name them.
        ("always-dies", 1),
    ] {
        let (place, workers) = (place(), Workers::default());
        fault(&place, what);
        let mut run = foreseen(run(&place, 1, Mode::Add), "203.0.113.9");
        run.limits.execution = Duration::from_secs(1);
        let (outcome, asked) = served(&workers, run, CONTINUE).await;
        let result = outcome.result.as_ref().unwrap();
        assert_eq!(result.status, Status::Applied, "{what}");
        assert!(outcome.printed_keys, "{what}");
        assert_eq!(asked, times, "{what}");
    }
}

/// What a worker may do wrong: it is replaced, and what it had is done by the
/// next one, for which nobody is asked twice.
#[tokio::test]
async fn the_orders_of_a_worker_that_fails_are_done_by_the_next_one() {
    for what in ["garbage", "unknown", "dies", "dies-late", "hangs"] {
        let (place, workers) = (place(), Workers::default());
        fault(&place, what);
        let runs = (1..=5).map(|id| {
            let mut run = run(&place, id, Mode::Add);
            run.limits.execution = Duration::from_secs(1);
            served(&workers, run, CONTINUE)
        });
        for (outcome, asked) in all(runs).await {
            applied(&outcome);
            assert_eq!(asked, 1, "{what}");
        }
        assert_eq!((lives(&place), done(&place)), (2, 5), "{what}");
    }
}

#[tokio::test]
async fn an_order_says_that_its_worker_was_replaced() {
    let (place, workers) = (place(), Workers::default());
    fault(&place, "dies-late");
    let (outcome, _) = served(&workers, run(&place, 1, Mode::Add), CONTINUE).await;
    applied(&outcome);
    assert_eq!(outcome.detail.as_deref(), Some("its worker was replaced"));
    let log = place.read("logs/active-responses.log");
    assert!(
        log.contains("killed: its worker was lost, it is gone"),
        "{log}"
    );
}

#[tokio::test]
async fn where_workers_die_each_order_is_a_process_of_its_own_for_a_while() {
    let place = place();
    let without = Duration::from_secs(2);
    let workers = Workers::new(Manner {
        without,
        ..Manner::default()
    });
    fault(&place, "always-dies-late");
    for id in 1..=3 {
        let (outcome, asked) = served(&workers, run(&place, id, Mode::Add), CONTINUE).await;
        assert_eq!(outcome.end, End::Exited(0), "{outcome:?}");
        assert_eq!(outcome.result.unwrap().status, Status::Applied);
        assert!(outcome.detail.unwrap().contains("run without a worker"));
        assert_eq!(asked, 1);
    }
    // Two for the first order, one for the second, none for the third.
    assert_eq!((lives(&place), done(&place)), (3, 3));
    fs::remove_file(place.path().join("logs/fault")).unwrap();
    let mut id = 3;
    loop {
        id += 1;
        let (outcome, _) = served(&workers, run(&place, id, Mode::Add), CONTINUE).await;
        if outcome.end == End::Answered {
            break;
        }
    }
    assert_eq!(lives(&place), 4);
}

#[tokio::test]
async fn a_worker_whose_file_was_replaced_is_followed_by_one_of_the_new_file() {
    let (place, workers) = (place(), Workers::default());
    let (outcome, _) = served(&workers, run(&place, 1, Mode::Add), CONTINUE).await;
    let version = |outcome: Outcome| outcome.result.unwrap().detail.unwrap();
    assert_eq!(version(outcome), "as 1");
    fs::remove_file(place.bin(NAME)).unwrap();
    install(&place, "2");
    let old = worker(&place).unwrap();
    let mut id = 1;
    loop {
        id += 1;
        let (outcome, _) = served(&workers, run(&place, id, Mode::Add), CONTINUE).await;
        applied(&outcome);
        assert_eq!(outcome.detail, None);
        if version(outcome) == "as 2" {
            break;
        }
    }
    assert!(!old.is_running());
}

#[tokio::test]
async fn a_file_that_is_no_longer_the_recorded_one_gets_no_order() {
    let (place, workers) = (place(), Workers::default());
    place.install(NAME, "#!/bin/sh\necho ran > logs/done\n");
    let (outcome, _) = served(&workers, run(&place, 1, Mode::Add), CONTINUE).await;
    match outcome.end {
        End::NotStarted(why) => assert!(why.contains("is a script now"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(place.read("logs/done"), "");
}

#[tokio::test]
async fn a_worker_that_is_idle_ends_and_another_is_started_when_it_is_needed() {
    let place = place();
    let workers = Workers::new(Manner {
        idle: Duration::from_millis(50),
        ..Manner::default()
    });
    for id in 1..=2 {
        let (outcome, _) = served(&workers, run(&place, id, Mode::Add), CONTINUE).await;
        applied(&outcome);
        until("the worker is gone", || worker(&place).is_none()).await;
    }
    assert_eq!(lives(&place), 2);
}

#[tokio::test]
async fn a_run_that_is_too_late_or_cancelled_is_not_passed_on() {
    let (place, workers) = (place(), Workers::default());
    let mut late = run(&place, 1, Mode::Add);
    late.pointless_at = Some(ripost::clock::boot());
    let (outcome, _) = served(&workers, late, CONTINUE).await;
    assert_eq!(outcome.end, End::TooLate);
    let (progress, _events) = mpsc::channel(1);
    let (cancel, cancelled) = watch::channel(true);
    let outcome = workers
        .run(run(&place, 2, Mode::Add), progress, cancelled)
        .await;
    assert_eq!(outcome.end, End::Cancelled);
    drop(cancel);
    assert_eq!((lives(&place), done(&place)), (0, 0));
}
