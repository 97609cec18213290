//! More actions than may run: who waits for whom.

use std::path::Path;
use std::sync::Arc;

use super::{Bench, PATIENCE, act, home, manager, runs, white_list};
use crate::agent::MAX_PENDING;
use crate::agent::backlog::MAX_LINED_UP;
use crate::executor::MAX_OF_SCRIPT;
use crate::model::action::sample;
use crate::model::{Action, ActionId, ActionState};
use crate::sys::fs;
use crate::wire::control::{Answer, Request, Status, Which};
use crate::wire::message::Reverted;
use crate::wire::{ToAgent, ToManager};

use ActionState::{Done, Refused, Suppressed};

/// Hangs until there is a file `logs/open`.
const HANGS: &str = "#!/bin/sh\nread -r line\necho \"$line\" >> logs/hung\nuntil [ -e logs/open ]; do sleep 0.1; done\n";

fn hang(home: &Path) {
    let script = home.join("active-response/bin/hangs.sh");
    fs::replace(&script, HANGS.as_bytes(), 0o750).unwrap();
}

/// What the hanging script was told.
fn hung(home: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(home.join("logs/hung")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn address(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("198.51.{high}.{low}")
}

fn id(number: u16) -> ActionId {
    let mut id = [255; 16];
    id[1..3].copy_from_slice(&number.to_be_bytes());
    ActionId::from_bytes(id)
}

/// One of many actions of the hanging script, each for an address of its own.
fn hanging(number: u16) -> ToAgent {
    let alert = format!(r#"{{"data":{{"srcip":"{}"}}}}"#, address(number));
    ToAgent::Act {
        action: Box::new(Action {
            id: id(number),
            ..sample::action(255, "hangs.sh", None)
        }),
        alert: Arc::from(alert.as_bytes()),
        remaining_ms: None,
        age_ms: 0,
        session_ms: None,
    }
}

fn counter(status: &Status, name: &str) -> u64 {
    let mut counters = status.counters.iter();
    counters.find(|c| c.name == name).unwrap().value
}

#[tokio::test]
async fn a_script_that_hangs_leaves_the_host_to_all_others_however_much_of_it_waits() {
    let home = home();
    hang(home.path());
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    let flood = u16::try_from(MAX_PENDING + 100).unwrap();
    for number in 0..flood {
        bench.tell(hanging(number)).await;
    }
    bench.tell(act(1, None)).await;
    bench.until(1, Done).await;
    assert_eq!(runs(home.path()), 1);

    let running = MAX_OF_SCRIPT as u64;
    let status = bench.status().await;
    assert_eq!(counter(&status, "running"), running);
    assert_eq!(counter(&status, "waiting"), u64::from(flood) - running);
    let tells = |text: &String| text.contains("hangs.sh");
    assert!(status.problems.iter().any(tells), "{status:?}");

    // What has ended before it began takes no place any more.
    let which = Which::All;
    let opened = async {
        bench
            .wait_for(|status| counter(status, "waiting") == 0)
            .await;
        fs::replace(&home.path().join("logs/open"), b"", 0o640).unwrap();
    };
    let (reverted, ()) = tokio::join!(bench.ask(Request::Revert { which }), opened);
    assert!(matches!(reverted, Answer::Reverted { .. }));
    let status = bench.status().await;
    assert!(!status.problems.iter().any(tells), "{status:?}");
    bench.stop().await;
    assert_eq!(hung(home.path()).len(), MAX_OF_SCRIPT);
}

#[tokio::test]
async fn what_stands_behind_others_of_its_script_runs_in_the_end_also_in_another_life() {
    let home = home();
    hang(home.path());
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    let many = u16::try_from(MAX_LINED_UP + 2 * MAX_OF_SCRIPT).unwrap();
    for number in 0..many {
        bench.tell(hanging(number)).await;
    }
    bench
        .wait_for(|status| counter(status, "waiting") == u64::from(many) - MAX_OF_SCRIPT as u64)
        .await;
    // Those that run are cut off, and are not run again.
    bench.stop().await;
    fs::replace(&home.path().join("logs/open"), b"", 0o640).unwrap();
    let bench = Bench::start(home.path());
    bench
        .wait_for(|status| counter(status, "waiting") + counter(status, "running") == 0)
        .await;
    bench.stop().await;
    let hung = hung(home.path());
    assert_eq!(hung.len(), usize::from(many));
    for number in 0..many {
        let told = format!("\"{}\"", address(number));
        let times = hung.iter().filter(|line| line.contains(&told)).count();
        assert_eq!(times, 1, "{number}");
    }
}

#[tokio::test]
async fn a_host_that_takes_no_more_actions_hears_everything_else() {
    let home = home();
    hang(home.path());
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    // They wait for a white list.
    let most = u16::try_from(MAX_PENDING).unwrap();
    let all = most + 20;
    for number in 0..all {
        bench.tell(hanging(number)).await;
    }
    // One that is held is taken back.
    let held = id(most + 5);
    bench
        .tell(ToAgent::Revert {
            id: held,
            request: 7,
        })
        .await;
    let outcome = loop {
        if let ToManager::Reverted {
            request: 7,
            outcome,
        } = bench.next().await
        {
            break outcome;
        }
    };
    let is_suppressed = matches!(
        &outcome,
        Reverted::Outcome {
            state: Suppressed,
            ..
        }
    );
    assert!(is_suppressed, "{outcome:?}");
    // Sessions come and go, and in each the same is sent again.
    for _ in 0..30 {
        bench.disconnect().await;
        bench.connect(manager()).await;
        let first = bench.next().await;
        assert!(matches!(first, ToManager::Capabilities { .. }), "{first:?}");
        for number in most..all {
            bench.tell(hanging(number)).await;
        }
    }
    bench
        .tell(ToAgent::WhiteList {
            networks: vec!["198.51.0.0/16".parse().unwrap()],
            names: Vec::new(),
            more: false,
        })
        .await;
    // All are refused, but for the one that was taken back.
    let limit = 2 * u32::from(all);
    let told = async {
        loop {
            let Answer::Records { records } = bench.ask(Request::History { limit }).await else {
                panic!("a history is records");
            };
            if records.len() == usize::from(all) {
                return records;
            }
        }
    };
    let records = tokio::time::timeout(PATIENCE, told).await.unwrap();
    for record in records {
        let wanted = if record.action == held {
            Suppressed
        } else {
            Refused
        };
        assert_eq!(record.state, wanted, "{record:?}");
    }
    bench.stop().await;
}
