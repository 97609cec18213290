//! A disk that is full, and what it does not hold up; and one that is slow.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Bench, PATIENCE, SCRIPT, act, action, home, manager, white_list};
use crate::agent::{Agent, Inbox};
use crate::journal::agent::{AgentReader, Op};
use crate::journal::simulated::Disk;
use crate::journal::tests::Full;
use crate::model::ActionState;
use crate::wire::message::Reverted;
use crate::wire::{ToAgent, ToManager};

/// More writes than may wait before no new work is taken on.
const MANY: usize = 50_000;

#[tokio::test]
async fn a_full_disk_holds_up_no_end_no_answer_and_no_stop() {
    let home = home();
    let note = SCRIPT.replace("echo ran", "echo \"$line\"");
    let script = home.path().join("active-response/bin/x.sh");
    crate::sys::fs::replace(&script, note.as_bytes(), 0o750).unwrap();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, Some(600))).await;
    bench.until(1, ActionState::Applied).await;
    bench.stop().await;

    let _full = Full::of(&home.path().join("queue/agentd.db"), "meta");
    let (inbox, steer, asked) = Inbox::new().unwrap();
    let (reloads, _) = mpsc::channel(1);
    let mut agent = Agent::open(super::parts(home.path(), reloads), &inbox).unwrap();
    let filled = tokio::time::timeout(PATIENCE, async {
        for _ in 0..MANY {
            let op = Op::WhiteList("[]".to_owned());
            agent.journal.write(vec![op]).await;
        }
    });
    filled.await.unwrap();
    let mut bench = Bench::run(agent, inbox, steer, asked);
    let status = bench.status().await;
    assert!(status.problems.iter().any(|p| p.contains("disk is full")));
    bench.connect(manager()).await;
    let id = action(1, None).id;
    bench.tell(ToAgent::Revert { id, request: 7 }).await;
    loop {
        if let ToManager::Reverted { request: 7, .. } = bench.next().await {
            break;
        }
    }
    let ran = std::fs::read_to_string(home.path().join("logs/ran")).unwrap();
    assert_eq!(ran.matches("\"command\":\"delete\"").count(), 1, "{ran}");
    bench.stop().await;
}

/// Waits until action 1 is in the journal.
async fn written(home: &Path) {
    let reader = AgentReader::open(&home.join("queue/agentd.db")).unwrap();
    let known = tokio::time::timeout(PATIENCE, async {
        let id = action(1, None).id;
        while !reader.has_ended(id).unwrap() && reader.load().unwrap().live.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    known.await.unwrap();
}

#[tokio::test]
async fn what_a_killed_agent_had_not_synced_is_not_told_before_it_is() {
    let home = home();
    let path = home.path().join("queue/agentd.db");
    let disk = Disk::put(path, 1, |_| Duration::ZERO);
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.confirm().await;
    let stalled = Duration::from_secs(3_600);
    disk.stall(stalled, true);
    // Its executable is not there: it is taken, and its update says that it failed.
    let gone = home.path().join("active-response/bin/x.sh");
    std::fs::remove_file(gone).unwrap();
    bench.tell(act(1, None)).await;
    written(home.path()).await;
    bench.kill().await;
    disk.crash().await;
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    // What may leave does so before the second answer.
    let id = action(9, None).id;
    for request in 0..2 {
        bench.tell(ToAgent::Revert { id, request }).await;
        let told = bench.next_but_capabilities().await;
        let outcome = Reverted::NotFound;
        assert_eq!(told, ToManager::Reverted { request, outcome });
    }
    tokio::time::pause();
    tokio::time::advance(2 * stalled).await;
    tokio::time::resume();
    bench.until(1, ActionState::Failed).await;
    bench.stop().await;
}
