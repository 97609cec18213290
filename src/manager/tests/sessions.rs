//! Agents come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scene::{Coming, LIFETIME, Played, Scene, admitted, answered, denied, played};
use crate::clock::Wall;
use crate::clock::simulated::Clock;
use crate::manager::{Event, Steer};
use crate::model::{ActionState, AgentId};
use crate::transport::Admission;
use crate::wire::control::{Answer, Request};
use crate::wire::{Denial, ToAgent, ToManager};

fn other(id: u32) -> Coming {
    Coming {
        instance: 2,
        ..Coming::agent(id)
    }
}

fn agent(number: u32) -> AgentId {
    AgentId::from_number(number).unwrap()
}

#[tokio::test]
async fn of_two_hosts_with_one_certificate_the_first_stays() {
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    let mut second = scene.arrive(other(1)).await;
    assert!(first.messages().contains(&ToAgent::Ping));
    assert!(second.try_recv().is_err());
    scene.tell(&mut first, ToManager::Pong).await;
    let denied = second.try_recv();
    assert!(
        matches!(
            denied,
            Ok(Admission::Denied {
                denial: Denial::Twice,
                ..
            })
        ),
        "{denied:?}"
    );
    assert!(!first.is_closed());
    let answer = scene.ask(Request::Status).await;
    scene.settle().await;
    let Answer::Status(status) = answered(answer).await else {
        panic!("no status");
    };
    let problems = status.problems.join("\n");
    assert!(problems.contains("certificate of agent 001"), "{problems}");
}

#[tokio::test]
async fn a_host_that_comes_back_takes_the_place_of_its_dead_session() {
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    let second = scene.arrive(other(1)).await;
    // The first never answers.
    scene.settle().await;
    let mut second = played(1, admitted(second).await);
    assert!(first.is_closed() && !second.is_closed());
}

#[tokio::test]
async fn the_end_of_the_first_session_lets_the_second_in_at_once() {
    let mut scene = Scene::with_agents(1);
    let first = scene.connect(Coming::agent(1)).await;
    let second = scene.arrive(other(1)).await;
    scene.manager.gone(first.session).await;
    played(1, admitted(second).await);
}

#[tokio::test]
async fn sessions_that_went_with_their_port_are_over_and_others_are_not() {
    let mut scene = Scene::with_agents(2);
    let first = scene.connect(Coming::agent(1)).await;
    let mut second = scene.connect(Coming::agent(2)).await;
    drop(first);
    scene.manager.handle(Event::Steer(Steer::Closed)).await;
    let connected = |id| scene.manager.delivery.is_connected(&id);
    let agent = |number| AgentId::from_number(number).unwrap();
    assert_eq!([1, 2].map(agent).map(connected), [false, true]);
    assert!(!second.is_closed());
    scene.alert(1, "001").await;
    assert_eq!(scene.states(), ["001 queued"]);
    let mut first = scene.connect(other(1)).await;
    assert_eq!(first.actions().len(), 1);
}

#[tokio::test]
async fn the_same_agentd_replaces_its_own_session() {
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    let second = scene.arrive(Coming::agent(1)).await;
    let mut second = played(1, admitted(second).await);
    assert!(first.is_closed() && !second.is_closed());
    // The late report of the first does not end the second.
    scene.manager.gone(first.session).await;
    assert!(!second.is_closed());
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_and_what_waits_for_it_is_given_up() {
    let mut scene = Scene::with_agents(2);
    let mut first = scene.connect(Coming::agent(1)).await;
    scene.alert(1, "001").await;
    let action = first.actions().remove(0);
    scene
        .update(&mut first, &action, ActionState::Applied)
        .await;
    scene.alert(1, "002").await;
    scene.settle().await;
    for id in [1, 2] {
        let answer = scene.ask(Request::Revoke { agent: agent(id) }).await;
        scene.settle().await;
        let answer = answered(answer).await;
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }
    assert!(first.is_closed());
    assert_eq!(
        scene.states()[2..],
        ["002 queued", "001 failed", "002 failed"]
    );
    let denied = admitted(scene.arrive(Coming::agent(1)).await).await;
    assert!(
        matches!(
            denied,
            Admission::Denied {
                denial: Denial::NotPermitted,
                ..
            }
        ),
        "{denied:?}"
    );
    // It is meant by nothing any more.
    scene.alert(2, "000").await;
    scene.alert(1, "001").await;
    scene.settle().await;
    assert_eq!(scene.states()[5..], ["000 queued"]);
}

#[tokio::test]
async fn what_is_on_its_way_into_the_journal_is_written_off_with_its_agent() {
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    scene.hide_logs(true);
    for _ in 0..2 {
        scene.alert(1, "001").await;
    }
    let action = first.actions().remove(0);
    scene
        .update(&mut first, &action, ActionState::Applied)
        .await;
    let answer = scene.ask(Request::Revoke { agent: agent(1) }).await;
    scene.settle().await;
    scene.hide_logs(false);
    scene.settle().await;
    let Answer::Done { text } = answered(answer).await else {
        panic!("it is not revoked");
    };
    let counted = "waited for it: 1; in force there, and not reported any more: 1";
    assert!(text.contains(counted), "{text}");
    let failed = scene.states();
    let failed = failed.iter().filter(|state| *state == "001 failed");
    assert_eq!(failed.count(), 2);
    assert_eq!(scene.manager.reader.live().unwrap(), []);
}

#[tokio::test]
async fn what_a_revoked_agent_had_is_written_off_at_the_next_start_if_need_be() {
    let mut scene = Scene::with_agents(1);
    scene.alert(1, "001").await;
    scene.settle().await;
    // The manager is killed before it has done more than to shut it out.
    scene.manager.roster.revoke(&agent(1)).unwrap();
    let mut scene = scene.restarted().await;
    scene.settle().await;
    assert_eq!(scene.states(), ["001 queued", "001 failed"]);
    assert!(!scene.manager.has_something_waiting());
}

#[tokio::test]
async fn whoever_waits_for_the_place_of_a_revoked_agent_is_out_with_it() {
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    let mut second = scene.arrive(other(1)).await;
    scene.ask(Request::Revoke { agent: agent(1) }).await;
    assert!(first.is_closed());
    assert_eq!(denied(&mut second), Some(Denial::NotPermitted));
    assert!(scene.manager.doubtful.is_empty());
    assert!(!scene.manager.delivery.is_connected(&agent(1)));
}

#[tokio::test]
async fn whoever_waited_is_looked_at_again_before_it_is_let_in() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    let mut second = scene.arrive(other(1)).await;
    // Its certificate expires while it waits.
    clock.step(i64::try_from(LIFETIME.as_millis()).unwrap());
    SECONDS.store(4, Ordering::Relaxed);
    scene.manager.tick().await;
    assert_eq!(denied(&mut second), Some(Denial::NotPermitted));
    assert!(!first.is_closed(), "it may only be slow");
}

#[tokio::test]
async fn an_agentd_that_has_come_back_is_asked_before_another_host_takes_its_place() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.connect(Coming::agent(1)).await;
    let mut second = scene.arrive(other(1)).await;
    SECONDS.store(2, Ordering::Relaxed);
    let mut again = scene.connect_unready(Coming::agent(1)).await;
    assert!(again.messages().contains(&ToAgent::Ping));
    SECONDS.store(4, Ordering::Relaxed);
    scene.manager.tick().await;
    assert!(!again.is_closed());
    scene.tell(&mut again, ToManager::Pong).await;
    assert_eq!(denied(&mut second), Some(Denial::Twice));
}

#[tokio::test]
async fn a_newer_certificate_ends_the_session_of_an_older_one_without_a_question() {
    let mut scene = Scene::with_agents(1);
    let mut copy = scene.connect(Coming::agent(1)).await;
    let mut waiting = scene.arrive(other(1)).await;
    let coming = Coming {
        instance: 3,
        certificate: scene.renewed(1),
        ..Coming::agent(1)
    };
    let mut honest = scene.connect_unready(coming).await;
    assert!(copy.is_closed());
    scene.tell(&mut honest, ToManager::Pong).await;
    assert_eq!(denied(&mut waiting), Some(Denial::Twice));
    let mut again = scene.arrive(Coming::agent(1)).await;
    assert_eq!(denied(&mut again), Some(Denial::NotPermitted));
    assert!(!honest.is_closed());
}

/// The agentd that is known by its number comes, again or from a second host.
/// Whoever is asked whether it is alive says so.
async fn come_with_same_instance(
    scene: &mut Scene,
    present: &mut Played,
) -> Result<Played, Denial> {
    let admission = scene.arrive(Coming::agent(1)).await;
    if present.messages().contains(&ToAgent::Ping) {
        scene.tell(present, ToManager::Pong).await;
    }
    match admitted(admission).await {
        Admission::Denied { denial, .. } => Err(denial),
        admission => Ok(played(1, admission)),
    }
}

#[tokio::test]
async fn a_host_that_was_cloned_while_it_ran_is_told_from_the_one_that_is_there() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    let mut present = scene.connect_unready(Coming::agent(1)).await;
    // Whoever is pushed out comes back within seconds, and pushes out in turn.
    let mut pushed_out = 0;
    let refused = loop {
        SECONDS.fetch_add(5, Ordering::Relaxed);
        match come_with_same_instance(&mut scene, &mut present).await {
            Ok(played) => present = played,
            Err(denial) => break denial,
        }
        pushed_out += 1;
        assert!(pushed_out < 5, "they go on for ever");
    };
    assert_eq!(refused, Denial::Twice);
    let problems = scene.manager.roster.problems().join("\n");
    assert!(problems.contains("certificate of agent 001"), "{problems}");
    // It is not forgotten while the first stays.
    SECONDS.fetch_add(3_600, Ordering::Relaxed);
    let again = come_with_same_instance(&mut scene, &mut present).await;
    assert_eq!(again.err(), Some(Denial::Twice));
    assert!(!present.is_closed());
}

#[tokio::test]
async fn an_agentd_that_loses_its_connection_now_and_then_is_never_kept_waiting() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    let mut lost = scene.connect_unready(Coming::agent(1)).await;
    // Twice in short order, and then after more than a minute, over and over.
    for seconds in [61, 1, 1].repeat(5) {
        SECONDS.fetch_add(seconds, Ordering::Relaxed);
        let mut admission = scene.arrive(Coming::agent(1)).await;
        let admission = admission.try_recv().expect("it has to wait");
        assert!(lost.is_closed());
        lost = played(1, admission);
    }
}

#[tokio::test]
async fn a_copy_that_comes_again_and_again_is_logged_once_a_minute() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    let mut first = scene.connect(Coming::agent(1)).await;
    for _ in 0..3 {
        let mut second = scene.arrive(other(1)).await;
        scene.tell(&mut first, ToManager::Pong).await;
        assert_eq!(denied(&mut second), Some(Denial::Twice));
    }
    SECONDS.store(60, Ordering::Relaxed);
    let limiter = &mut scene.manager.limiter;
    let suppressed = limiter.pass("certificate used twice", crate::clock::boot());
    assert_eq!(suppressed, Some(2));
}
