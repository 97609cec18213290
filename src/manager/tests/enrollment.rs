//! Certificates that agents are given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scene::{Coming, Played, Scene};
use crate::clock::Wall;
use crate::clock::simulated::Clock;
use crate::transport::pki::AgentKey;
use crate::wire::{ToAgent, ToManager};

const START: Wall = Wall::from_millis(1_795_514_400_000);

/// An agent waits a minute for its answer, and then ten more at least.
const AGAIN: u64 = 660;

/// Asks for a certificate; whether one has come.
async fn renew(scene: &mut Scene, played: &mut Played) -> bool {
    let key = AgentKey::new().unwrap().public();
    scene.tell(played, ToManager::Renew { key }).await;
    scene.settle().await;
    let renewed = |message: &ToAgent| matches!(message, ToAgent::Renewed { .. });
    played.messages().iter().any(renewed)
}

#[tokio::test]
async fn a_certificate_that_is_lost_on_its_way_is_made_anew_when_it_is_asked_for_again() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let mut lost = scene.connect(Coming::agent(1)).await;
    assert!(renew(&mut scene, &mut lost).await);
    scene.manager.gone(lost.session).await;
    // On its next session an agent asks within a minute: that is too soon, and
    // must not put it off further.
    let mut agent = scene.connect(Coming::agent(1)).await;
    SECONDS.fetch_add(30, Ordering::Relaxed);
    renew(&mut scene, &mut agent).await;
    SECONDS.fetch_add(AGAIN, Ordering::Relaxed);
    assert!(renew(&mut scene, &mut agent).await);
}

#[tokio::test]
async fn an_agent_that_asks_for_certificates_without_end_is_given_one_in_five_minutes() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let mut agent = scene.connect(Coming::agent(1)).await;
    let mut given = Vec::new();
    for minute in 0..11 {
        SECONDS.store(minute * 60, Ordering::Relaxed);
        if renew(&mut scene, &mut agent).await {
            given.push(minute);
        }
    }
    assert_eq!(given, [0, 5, 10]);
}

#[tokio::test]
async fn certificates_of_minutes_are_renewed_as_often_as_they_need() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let lifetime = Duration::from_secs(60);
    scene.manager.fleet.as_mut().unwrap().lifetime = lifetime;
    let mut agent = scene.connect(Coming::agent(1)).await;
    for _ in 0..3 {
        assert!(renew(&mut scene, &mut agent).await);
        SECONDS.fetch_add(lifetime.as_secs() * 2 / 3, Ordering::Relaxed);
    }
}
