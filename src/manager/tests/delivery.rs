//! What is sent, when, and how often.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scene::{Coming, Scene, able, answered, capabilities};
use crate::clock::simulated::Clock;
use crate::clock::{self, Wall};
use crate::manager::host::WINDOW;
use crate::model::{ActionState, Capabilities, Field};
use crate::wire::control::{Answer, Request, Run, Which};
use crate::wire::{MAX_FRAME, ToAgent, ToManager};

#[tokio::test]
async fn each_place_is_meant_once() {
    let mut scene = Scene::with_agents(3);
    for (rule, origin, wanted) in [
        (1, "001", vec!["001 queued"]),
        (1, "000", vec!["000 queued"]),
        (1, "077", vec![]),
        (
            2,
            "077",
            vec!["000 queued", "001 queued", "002 queued", "003 queued"],
        ),
        (3, "003", vec!["001 queued"]),
    ] {
        let before = scene.states().len();
        scene.alert(rule, origin).await;
        assert_eq!(scene.states()[before..], wanted, "{rule} {origin}");
    }
}

#[tokio::test]
async fn what_waited_comes_in_order_and_once() {
    let mut scene = Scene::with_agents(1);
    for _ in 0..3 {
        scene.alert(1, "001").await;
    }
    let mut agent = scene.connect(Coming::agent(1)).await;
    let first: Vec<_> = agent
        .actions()
        .into_iter()
        .map(|action| action.id)
        .collect();
    assert_eq!(first.len(), 3);
    let taken = ToManager::Taken {
        actions: first[..2].to_vec(),
    };
    scene.tell(&mut agent, taken).await;
    scene.settle().await;
    assert!(agent.actions().is_empty());
    // What was not acknowledged comes again on the next session, and after a
    // restart of the manager.
    scene.manager.gone(agent.session).await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    let again: Vec<_> = agent
        .actions()
        .into_iter()
        .map(|action| action.id)
        .collect();
    assert_eq!(again, first[2..]);
    let mut scene = scene.restarted().await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    let again: Vec<_> = agent
        .actions()
        .into_iter()
        .map(|action| action.id)
        .collect();
    assert_eq!(again, first[2..]);
    let sent = scene.states();
    let sent = sent.iter().filter(|state| *state == "001 sent").count();
    assert_eq!(sent, 3);
}

#[tokio::test]
async fn no_more_is_on_its_way_than_the_window_and_all_of_it_arrives() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let count = 3 * WINDOW;
    for _ in 0..count {
        scene.alert(1, "001").await;
    }
    scene.settle().await;
    let mut arrived = Vec::new();
    loop {
        let actions: Vec<_> = agent
            .actions()
            .into_iter()
            .map(|action| action.id)
            .collect();
        assert!(actions.len() <= WINDOW);
        if actions.is_empty() {
            break;
        }
        arrived.extend(actions.iter().copied());
        scene.tell(&mut agent, ToManager::Taken { actions }).await;
        scene.settle().await;
    }
    assert_eq!(arrived.len(), count);
    assert_eq!(arrived.iter().collect::<HashSet<_>>().len(), count);
}

#[tokio::test]
async fn what_fits_no_frame_fails_and_what_is_behind_it_arrives() {
    let mut scene = Scene::with_agents(1);
    let long = "x".repeat(MAX_FRAME);
    // From the journal, and then directly.
    scene.alert_with(1, "001", &long).await;
    scene.alert(1, "001").await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    for round in 1..=2 {
        let actions = agent.actions();
        assert_eq!(actions.len(), 1, "{round}");
        let actions = actions.iter().map(|action| action.id).collect();
        scene.tell(&mut agent, ToManager::Taken { actions }).await;
        scene.settle().await;
        let states = scene.states();
        let failed = states.iter().filter(|state| *state == "001 failed");
        assert_eq!(failed.count(), round, "{states:?}");
        scene.alert_with(1, "001", &long).await;
        scene.alert(1, "001").await;
        scene.settle().await;
    }
}

#[tokio::test]
async fn what_a_host_cannot_do_fails_at_once() {
    let mut scene = Scene::with_agents(1);
    scene.alert(1, "001").await;
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.tell(&mut agent, able(&["host-deny"])).await;
    scene.settle().await;
    scene.alert(1, "001").await;
    scene.settle().await;
    assert_eq!(scene.states(), ["001 queued", "001 failed", "001 failed"]);
    assert!(agent.actions().is_empty());
    scene.tell(&mut agent, able(&["firewall-drop"])).await;
    scene.alert(1, "001").await;
    assert_eq!(agent.actions().len(), 1);
}

#[tokio::test]
async fn what_a_person_starts_overtakes_what_waits() {
    let mut scene = Scene::with_agents(1);
    for _ in 0..2 {
        scene.alert(2, "000").await;
    }
    let run = Run {
        command: crate::model::CommandName::parse("block").unwrap(),
        agents: vec!["host-1".to_owned()],
        target: Some("203.0.113.77".to_owned()),
        timeout: Some(60),
    };
    let mut answer = scene.ask(Request::Run(run)).await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    let actions = agent.actions();
    assert_eq!(actions.len(), 3);
    assert!(actions[0].rule.is_none() && actions[1].rule.is_some());
    assert!(answer.try_recv().is_err());
    scene
        .update(&mut agent, &actions[0], ActionState::Applied)
        .await;
    scene.settle().await;
    let Ok(Answer::Records { records }) = answer.try_recv() else {
        panic!("no answer");
    };
    assert_eq!(records[0].state, ActionState::Applied);
}

#[tokio::test]
async fn what_cannot_be_started_by_hand_is_explained() {
    let mut scene = Scene::with_agents(1);
    let run = |command: &str, agent: &str, target: Option<&str>| Run {
        command: crate::model::CommandName::parse(command).unwrap(),
        agents: vec![agent.to_owned()],
        target: target.map(str::to_owned),
        timeout: None,
    };
    for (run, wanted) in [
        (
            run("blok", "1", Some("203.0.113.9")),
            "no <command> named blok",
        ),
        (run("block", "9", Some("203.0.113.9")), "no agent is 009"),
        (run("block", "9-1", Some("203.0.113.9")), "range"),
        (run("block", "1", Some("alice")), "alice"),
        (run("block", "1", None), "acts on an address"),
    ] {
        let answer = scene.ask(Request::Run(run)).await.await;
        let Ok(Answer::Error { text, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(scene.states(), [""; 0]);
}

#[tokio::test]
async fn a_revert_reaches_a_host_that_was_away_and_what_was_never_sent_stays_so() {
    let mut scene = Scene::with_agents(2);
    let mut agent = scene.connect(Coming::agent(1)).await;
    scene.alert(2, "000").await;
    scene.settle().await;
    let action = agent.actions().remove(0);
    scene
        .update(&mut agent, &action, ActionState::Applied)
        .await;
    scene.manager.gone(agent.session).await;
    let which = Which::Id(action.id);
    let answer = scene.ask(Request::Revert { which }).await;
    let deadline = clock::boot().plus(Duration::from_secs(20));
    while answer.is_empty() && clock::boot() < deadline {
        scene.settle().await;
    }
    let Answer::Reverted { outcomes } = answered(answer).await else {
        panic!("no answer");
    };
    let detail = outcomes[0].detail.as_deref().unwrap_or_default();
    assert!(detail.contains("offline"), "{detail}");

    let mut agent = scene.connect(Coming::agent(1)).await;
    let reverts = |messages: Vec<ToAgent>| -> Vec<_> {
        let ids = messages.into_iter().filter_map(|message| match message {
            ToAgent::Revert { id, .. } => Some(id),
            _ => None,
        });
        ids.collect()
    };
    assert_eq!(reverts(agent.messages()), [action.id]);
    scene
        .update(&mut agent, &action, ActionState::Reverted)
        .await;
    scene.settle().await;
    scene.manager.gone(agent.session).await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    assert_eq!(reverts(agent.messages()), []);

    // Agent 002 was never there: nothing is sent when it comes.
    let waiting = scene
        .manager
        .reader
        .waiting(&crate::model::AgentId::from_number(2).unwrap(), 9);
    let id = waiting.unwrap()[0].record.action;
    let answer = scene
        .ask(Request::Revert {
            which: Which::Id(id),
        })
        .await;
    scene.settle().await;
    let Answer::Reverted { outcomes } = answered(answer).await else {
        panic!("no answer");
    };
    assert_eq!(outcomes[0].state, ActionState::Suppressed);
    let mut agent = scene.connect(Coming::agent(2)).await;
    assert!(agent.actions().is_empty());
}

#[tokio::test]
async fn a_host_that_stays_away_gets_nothing_that_is_pointless_by_then() {
    let mut scene = Scene::with_agents(1);
    scene.alert(4, "001").await;
    let deadline = clock::boot().plus(Duration::from_secs(20));
    while scene.states().len() < 2 && clock::boot() < deadline {
        assert!(scene.manager.delivery.may_expire);
        scene.settle().await;
    }
    assert_eq!(scene.states(), ["001 queued", "001 expired"]);
    // With nothing left to wait for, it looks no more.
    while scene.manager.delivery.may_expire && clock::boot() < deadline {
        scene.settle().await;
    }
    assert!(!scene.manager.delivery.may_expire);
    let mut agent = scene.connect(Coming::agent(1)).await;
    assert!(agent.actions().is_empty());
}

#[tokio::test]
async fn what_waits_expires_in_its_time_though_the_wall_clock_is_set_back() {
    static ELAPSED: AtomicU64 = AtomicU64::new(0);
    let elapsed = || Duration::from_millis(ELAPSED.load(Ordering::Relaxed));
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), elapsed);
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.alert(4, "001").await;
    clock.step(-3_600_000);
    ELAPSED.store(900, Ordering::Relaxed);
    scene.settle().await;
    assert_eq!(scene.states(), ["001 queued"]);
    ELAPSED.store(1_100, Ordering::Relaxed);
    for _ in 0..40 {
        if scene.states().len() < 2 {
            scene.settle().await;
        }
    }
    assert_eq!(scene.states(), ["001 queued", "001 expired"]);
}

#[tokio::test]
async fn what_a_host_lacked_before_it_came_back_is_not_held_against_it() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.tell(&mut agent, able(&[])).await;
    scene.settle().await;
    scene.alert(1, "001").await;
    scene.manager.gone(agent.session).await;
    // It has been installed there meanwhile.
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.alert(1, "001").await;
    scene.tell(&mut agent, able(&["firewall-drop"])).await;
    scene.settle().await;
    assert_eq!(agent.actions().len(), 1);
    assert_eq!(scene.states(), ["001 failed", "001 queued", "001 sent"]);
}

#[tokio::test]
async fn what_was_sent_is_not_ended_for_what_its_host_lacks_now() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    scene.alert(1, "001").await;
    scene.settle().await;
    let action = agent.actions().remove(0);
    // The host has it in force; the cable was cut before it could say so, and an
    // upgrade is under way there.
    scene.manager.gone(agent.session).await;
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.tell(&mut agent, able(&[])).await;
    scene.settle().await;
    assert_eq!(agent.actions(), std::slice::from_ref(&action));
    scene
        .update(&mut agent, &action, ActionState::Applied)
        .await;
    scene.settle().await;
    assert_eq!(scene.states(), ["001 sent", "001 applied"]);
}

#[tokio::test]
async fn an_older_agent_is_sent_nothing_that_it_could_not_read() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.tell(&mut agent, able(&["own.sh"])).await;
    scene.settle().await;
    scene.alert(5, "001").await;
    scene.settle().await;
    assert!(agent.actions().is_empty());
    assert_eq!(scene.states(), ["001 failed"]);
    let record = &scene.manager.reader.history(9).unwrap()[0];
    let detail = record.detail.as_deref().unwrap();
    assert!(detail.contains("contract argv"), "{detail}");
}

#[tokio::test]
async fn an_older_agent_is_not_left_to_look_for_a_target_elsewhere() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect_unready(Coming::agent(1)).await;
    scene.tell(&mut agent, able(&["firewall-drop"])).await;
    scene.settle().await;
    for rule in [6, 1] {
        scene.alert(rule, "001").await;
    }
    scene.settle().await;
    let [action] = &agent.actions()[..] else {
        panic!("the one that it can read");
    };
    assert_eq!(
        (action.rule.as_ref().unwrap().id.as_str(), &action.fields),
        ("1", &None)
    );
    let history = scene.manager.reader.history(9).unwrap();
    let failed = history
        .iter()
        .find(|record| record.state == ActionState::Failed);
    let detail = failed.unwrap().detail.as_deref().unwrap();
    assert!(detail.contains("looks for targets nowhere but"), "{detail}");

    // A newer one is told where, and what is found there is known before.
    let capabilities = Capabilities {
        fields: true,
        ..capabilities(&["firewall-drop"])
    };
    let capabilities = Box::new(capabilities);
    scene
        .tell(&mut agent, ToManager::Capabilities { capabilities })
        .await;
    scene.settle().await;
    scene.alert(6, "001").await;
    let [action] = &agent.actions()[..] else {
        panic!("it can read this one too");
    };
    let paths = action.fields.as_ref().unwrap().paths(Field::Srcip).unwrap();
    assert_eq!(paths.len(), 2);
    scene.settle().await;
    let history = scene.manager.reader.history(1).unwrap();
    let keys = history[0].keys.as_ref().map(ToString::to_string);
    assert_eq!(
        (history[0].state, keys.as_deref()),
        (ActionState::Sent, Some("203.0.113.9"))
    );
}

/// More than are on their way to an agent, and fewer than are kept for it beside
/// them.
const SOME: usize = 15;

#[tokio::test]
async fn what_is_taken_back_while_it_waits_for_room_is_not_sent_any_more() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    for _ in 0..SOME {
        scene.alert(1, "001").await;
    }
    let sent = agent.actions();
    assert!(sent.len() < SOME, "{}", sent.len());
    scene.settle().await;
    let which = Which::All;
    let _answer = scene.ask(Request::Revert { which }).await;
    scene.settle().await;
    let actions = sent.iter().map(|action| action.id).collect();
    scene.tell(&mut agent, ToManager::Taken { actions }).await;
    scene.settle().await;
    assert!(agent.actions().is_empty());
}

#[tokio::test]
async fn what_waits_for_room_comes_in_its_order_and_once() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    // Some of it is kept, and the rest is read from the journal.
    for _ in 0..3 * SOME {
        scene.alert(1, "001").await;
    }
    let mut came = Vec::new();
    while came.len() < 3 * SOME {
        let actions: Vec<_> = agent.actions().iter().map(|action| action.id).collect();
        assert!(!actions.is_empty(), "{} came", came.len());
        came.extend(actions.clone());
        // One after the other, so that there is room for few at a time.
        for action in actions {
            let actions = vec![action];
            scene.tell(&mut agent, ToManager::Taken { actions }).await;
        }
        scene.settle().await;
    }
    assert!(agent.actions().is_empty());
    let history = scene.manager.reader.history(99).unwrap();
    let mut decided: Vec<_> = history.iter().map(|record| record.action).collect();
    decided.reverse();
    assert_eq!(came, decided);
}
