//! Alerts that wait for a host that is busy.

use std::cell::Cell;
use std::time::Duration;

use super::scene::{Coming, Played, Scene, checkpoint};
use crate::clock::Wall;
use crate::clock::simulated::Clock;
use crate::manager::Event;
use crate::manager::backlog::MAX_ACTIONS;
use crate::manager::host::WINDOW;
use crate::source;
use crate::wire::ToManager;

thread_local! {
    /// How long a test has lasted, for the clocks of its host.
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn pass(span: Duration) {
    ELAPSED.set(ELAPSED.get() + span);
}

fn clocks() -> Clock {
    Clock::new(Wall::from_millis(1_795_514_400_000), || ELAPSED.get())
}

/// A manager with two agents, of which the first has its hands full. Time stands
/// still.
async fn busy() -> (Scene, Played, Played) {
    let mut scene = Scene::with_agents(2);
    scene.source_waits().await;
    let first = scene.connect(Coming::agent(1)).await;
    let second = scene.connect(Coming::agent(2)).await;
    for _ in 0..WINDOW + MAX_ACTIONS - 1 {
        scene.alert(1, "001").await;
    }
    (scene, first, second)
}

/// An alert of the host of agent 002 comes from the file.
async fn alert_of_second(scene: &mut Scene) {
    let line = scene.line(1, "002");
    let end = line.offset + 1_000;
    let lines = source::Event::Lines {
        lines: vec![line],
        receipt: source::Receipt::Position(checkpoint(end)),
    };
    scene.source_events().send((0, lines)).await.unwrap();
}

/// Lets the manager handle what comes, as far as it is no alert. Returns whether
/// one is among the next `events`.
async fn takes_alert(scene: &mut Scene, events: usize) -> bool {
    for _ in 0..events {
        let Some(event) = scene.next().await else {
            return false;
        };
        let is_alert = matches!(event, Event::Source(..));
        scene.manager.handle(event).await;
        if is_alert {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn alerts_wait_for_a_host_that_is_quick() {
    let _clocks = clocks().enter();
    let (mut scene, mut first, mut second) = busy().await;
    alert_of_second(&mut scene).await;
    assert!(!takes_alert(&mut scene, 10).await);
    // All that is on its way has arrived, and the backlog follows it.
    let actions: Vec<_> = first.actions().iter().map(|action| action.id).collect();
    assert_eq!(actions.len(), WINDOW);
    scene.tell(&mut first, ToManager::Taken { actions }).await;
    assert!(takes_alert(&mut scene, 10).await);
    assert_eq!(second.actions().len(), 1);
    // None of it had to be read from the journal.
    assert_eq!(first.actions().len(), MAX_ACTIONS - 1);
}

#[tokio::test]
async fn a_connected_host_that_takes_nothing_holds_up_no_alert_of_another() {
    let _clocks = clocks().enter();
    let (mut scene, _first, mut second) = busy().await;
    alert_of_second(&mut scene).await;
    assert!(!takes_alert(&mut scene, 10).await);
    pass(Duration::from_millis(100));
    assert!(takes_alert(&mut scene, 10).await);
    assert_eq!(second.actions().len(), 1);
    // Nor is it waited for again, or looked at for nothing.
    alert_of_second(&mut scene).await;
    assert!(takes_alert(&mut scene, 10).await);
    assert!(!scene.manager.delivery.pacing.is_on());
}
