//! Agents come and go.

use super::scene::{Coming, Scene, admitted, answered, played};
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
    let mut agent = scene.connect(Coming::agent(1)).await;
    scene.alert(1, "001").await;
    let action = agent.actions().remove(0);
    scene
        .update(&mut agent, &action, ActionState::Applied)
        .await;
    scene.alert(1, "002").await;
    scene.settle().await;
    for id in [1, 2] {
        let id = AgentId::from_number(id).unwrap();
        let answer = scene.ask(Request::Revoke { agent: id }).await;
        scene.settle().await;
        let answer = answered(answer).await;
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }
    assert!(agent.is_closed());
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
