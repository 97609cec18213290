//! A disk that is full, and what it does not hold up.

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{Bench, PATIENCE, SCRIPT, act, action, home, manager, white_list};
use crate::agent::{Agent, Inbox};
use crate::journal::agent::Op;
use crate::model::ActionState;
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

    let full = Connection::open(home.path().join("queue/agentd.db")).unwrap();
    full.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'disk is full'); END;",
    )
    .unwrap();
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
