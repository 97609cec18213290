//! A disk that is full, and what it does not hold up; and one that is slow.

use std::time::Duration;

use super::scene::{Coming, Scene, update};
use crate::journal::manager::Op;
use crate::journal::simulated::Disk;
use crate::journal::tests::Full;
use crate::model::action::sample;
use crate::model::{Action, ActionState};
use crate::wire::ToAgent;
use crate::wire::control::{Answer, Request, Which};

const PATIENCE: Duration = Duration::from_secs(30);

/// More writes than may wait before no new work is taken on.
const MANY: usize = 50_000;

fn action() -> Action {
    sample::action(1, "firewall-drop", None)
}

#[tokio::test]
async fn a_full_disk_holds_up_alerts_alone() {
    let mut scene = Scene::new();
    let mut agent = scene.connect(Coming::agent(0)).await;
    let applied = ActionState::Applied;
    scene.update(&mut agent, &action(), applied).await;
    scene.settle().await;
    let _full = Full::of(scene.manager.journal.path(), "sources");
    let filled = tokio::time::timeout(PATIENCE, async {
        for _ in 0..MANY {
            let source = "x".to_owned();
            scene
                .manager
                .journal
                .write(vec![Op::Awaited { source }])
                .await;
        }
    });
    filled.await.unwrap();
    assert!(!scene.manager.has_room());

    // What people ask is answered, what an agent tells is written down, and a
    // revert is passed on.
    let status = scene.ask(Request::Status).await.await.unwrap();
    assert!(matches!(status, Answer::Status(status) if !status.problems.is_empty()));
    let which = Which::Id(action().id);
    let answer = scene.ask(Request::Revert { which }).await;
    let asked = |message: &ToAgent| matches!(message, ToAgent::Revert { .. });
    let waited = tokio::time::timeout(PATIENCE, async {
        while !agent.messages().iter().any(asked) {
            scene.settle().await;
        }
    });
    waited.await.unwrap();
    let reverted = ActionState::Reverted;
    scene.update(&mut agent, &action(), reverted).await;
    scene.settle().await;
    assert_eq!(scene.states(), ["000 applied", "000 reverted"]);
    assert!(matches!(answer.await, Ok(Answer::Reverted { .. })));
    let stopped = tokio::time::timeout(PATIENCE, scene.manager.shut_down());
    stopped.await.unwrap();
}

#[tokio::test]
async fn what_a_killed_manager_had_not_synced_is_not_confirmed_before_it_is() {
    let scene = Scene::new();
    let path = scene.manager.journal.path().to_owned();
    let disk = Disk::put(path, 1, |_| Duration::ZERO);
    let mut scene = scene.restarted().await;
    let mut agent = scene.connect(Coming::agent(0)).await;
    let stalled = Duration::from_secs(3_600);
    disk.stall(stalled, true);
    let told = update(1, &action(), ActionState::Applied);
    scene.tell(&mut agent, told.clone()).await;
    let mut written = scene.manager.journal.written();
    let last = scene.manager.journal.next() - 1;
    written.wait_for(|number| *number >= last).await.unwrap();
    let confirmed = |message: &ToAgent| matches!(message, ToAgent::Stored { .. });
    // It is killed: nothing of it reaches its disk any more.
    disk.crash().await;
    let mut scene = scene.restarted().await;
    // It has not written anything itself yet.
    let mut agent = scene.connect_unready(Coming::agent(0)).await;
    scene.tell(&mut agent, told).await;
    assert!(!agent.messages().iter().any(confirmed));
    scene.settle().await;
    assert!(!agent.messages().iter().any(confirmed));
    tokio::time::pause();
    tokio::time::advance(2 * stalled).await;
    tokio::time::resume();
    scene.settle().await;
    assert!(agent.messages().iter().any(confirmed));
    assert_eq!(scene.states(), ["000 applied"]);
}
