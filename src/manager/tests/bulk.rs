//! Much at once.

use super::scene::{Coming, Scene, checkpoint};
use crate::journal::manager::Position;
use crate::manager::{Event, MAX_UNWRITTEN};
use crate::model::ActionId;
use crate::source;
use crate::transport::Report;
use crate::wire::ToManager;
use crate::wire::control::{Answer, Request};
use crate::wire::message::Reverted;

/// Hosts, the manager's own included, and alerts for all of them.
const HOSTS: u32 = 61;
const ALERTS: usize = 150;
const ACTIONS: usize = ALERTS * HOSTS as usize;

#[tokio::test]
async fn a_batch_for_all_is_taken_in_by_parts_and_a_person_is_heard_in_between() {
    let mut scene = Scene::with_agents(HOSTS - 1);
    scene.source_waits().await;
    let lines: Vec<_> = (0..ALERTS).map(|_| scene.line(2, "001")).collect();
    scene.lines(lines.clone()).await;
    let first = scene.states().len();
    assert!((1..ACTIONS).contains(&first), "{first}");
    let answer = scene.ask(Request::Status).await.await.unwrap();
    assert!(matches!(answer, Answer::Status(_)), "{answer:?}");
    assert_eq!(scene.states().len(), first);

    // Killed now, it reads the same lines again.
    let mut scene = scene.restarted().await;
    assert_eq!(scene.position(), Position::Awaited);
    scene.lines(lines).await;
    let end = checkpoint(1_000 * ALERTS as u64);
    let is_stored = |scene: &Scene| scene.position() == Position::At(end.clone());
    scene.until("the batch is taken in", is_stored).await;
    assert_eq!(scene.states().len(), ACTIONS);
}

#[tokio::test]
async fn neither_alerts_nor_results_are_taken_in_while_they_cannot_be_written() {
    let mut scene = Scene::with_agents(HOSTS - 1);
    scene.hide_logs(true);
    let lines: Vec<_> = (0..2 * ALERTS).map(|_| scene.line(2, "001")).collect();
    scene.lines(lines).await;
    let is_full = |scene: &Scene| !scene.manager.has_room();
    scene.until("nothing more is taken in", is_full).await;
    let waiting = scene.manager.unwritten.len();
    assert!(
        (MAX_UNWRITTEN..2 * ACTIONS).contains(&waiting),
        "{waiting} of {}",
        2 * ACTIONS
    );
    let reports = scene.senders.reception.reports.clone();
    reports.send(Report::Gone(77)).await.unwrap();
    scene.settle().await;
    assert!(reports.capacity() < reports.max_capacity());
    let answer = scene.ask(Request::Status).await.await.unwrap();
    assert!(matches!(answer, Answer::Status(_)), "{answer:?}");

    scene.hide_logs(false);
    let are_written = |scene: &Scene| scene.states().len() == 2 * ACTIONS;
    scene.until("all is written", are_written).await;
    assert_eq!(reports.capacity(), reports.max_capacity());
}

#[tokio::test]
async fn a_flood_of_results_keeps_no_alert_away() {
    let mut scene = Scene::with_agents(1);
    scene.source_waits().await;
    let line = scene.line(1, "001");
    let sources = scene.source_events();
    let lines = source::Event::Lines {
        lines: vec![line],
        receipt: source::Receipt::Position(checkpoint(1_000)),
    };
    let mut events = 0;
    let mut has_come = false;
    sources.try_send((0, lines)).unwrap();
    while !has_come {
        let reports = &scene.senders.reception.reports;
        while reports.try_send(Report::Told(77, ToManager::Pong)).is_ok() {}
        let event = scene.next().await.unwrap();
        has_come = matches!(event, Event::Source(..));
        events += 1;
        assert!(events < 2_000, "no alert among {events} events");
        scene.manager.handle(event).await;
    }
    assert_eq!(scene.states(), ["001 queued"]);
}

/// Each is nearly a frame, so that some dozens are all that may be on its way.
const LONG: usize = 1_000_000;

#[tokio::test]
async fn hosts_that_take_nothing_keep_nothing_from_others() {
    const STUCK: u32 = 20;
    let mut scene = Scene::with_agents(STUCK + 1);
    let mut stuck = Vec::new();
    for number in 1..=STUCK {
        stuck.push(scene.connect(Coming::agent(number)).await);
    }
    let mut other = scene.connect(Coming::agent(STUCK + 1)).await;
    let log = "x".repeat(LONG);
    for _ in 0..6 {
        scene.alert_with(2, "001", &log).await;
    }
    let mut arrived = 0;
    while arrived < 6 {
        scene.settle().await;
        let actions: Vec<_> = other.actions().iter().map(|action| action.id).collect();
        assert!(!actions.is_empty(), "{arrived} of 6");
        arrived += actions.len();
        scene.tell(&mut other, ToManager::Taken { actions }).await;
    }
    let held: usize = stuck.iter_mut().map(|agent| agent.actions().len()).sum();
    assert!((64..=64 + STUCK as usize).contains(&held), "{held}");
    // Nobody goes over what waits for them again and again.
    assert!(scene.manager.delivery.hungry.is_empty());
}

#[tokio::test]
async fn what_was_not_sent_is_not_acknowledged_and_what_was_not_asked_not_answered() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let before = scene.manager.journal.next();
    let invented = |number: u128| ActionId::from_bytes(number.to_be_bytes());
    for actions in [(0..50_000).map(invented).collect(), Vec::new()] {
        scene.tell(&mut agent, ToManager::Taken { actions }).await;
    }
    let outcome = Reverted::NotFound;
    let request = 7;
    scene
        .tell(&mut agent, ToManager::Reverted { request, outcome })
        .await;
    assert_eq!(scene.manager.journal.next(), before);
    // The host is still looked after.
    scene.alert(1, "001").await;
    scene.settle().await;
    assert_eq!(agent.actions().len(), 1);
    assert!(!scene.manager.delivery.is_waiting());
}
