//! What agents report.

use std::time::Duration;

use super::scene::{Coming, Played, Scene, admitted, checkpoint, played, update};
use crate::clock::simulated::Clock;
use crate::clock::{self, Wall};
use crate::journal::manager::{ManagerReader, Op, Position};
use crate::model::action::sample;
use crate::model::{Action, ActionId, ActionState, AgentId, Record};
use crate::transport::Admission;
use crate::wire::control::{Answer, Request, Which};
use crate::wire::message::Reverted;
use crate::wire::{ToAgent, ToManager};

fn action() -> Action {
    sample::action(1, "firewall-drop", None)
}

fn confirmed(messages: &[ToAgent]) -> Vec<u64> {
    let stored = messages.iter().filter_map(|message| match message {
        ToAgent::Stored { up_to } => Some(*up_to),
        _ => None,
    });
    stored.collect()
}

#[tokio::test]
async fn an_update_is_confirmed_only_behind_its_line() {
    let mut scene = Scene::new();
    let mut first = scene.connect(Coming::agent(0)).await;
    scene.hide_logs(true);
    let told = update(700, &action(), ActionState::Applied);
    scene.tell(&mut first, told.clone()).await;
    // The same agentd comes again and tells again what was not confirmed.
    let mut second = scene.connect(Coming::agent(0)).await;
    scene.tell(&mut second, told.clone()).await;
    // Whatever was journalled too early is on the disk then.
    scene.journal_is_synced().await;
    scene.manager.delivery.confirm();
    assert_eq!(confirmed(&second.messages()), [0; 0]);

    scene.hide_logs(false);
    scene.settle().await;
    assert_eq!(scene.states(), ["000 applied"]);
    assert_eq!(confirmed(&second.messages()), [700]);
    assert_eq!(confirmed(&first.messages()), [0; 0]);
    scene.tell(&mut second, told).await;
    scene.settle().await;
    assert_eq!(scene.states(), ["000 applied"]);
}

#[tokio::test]
async fn what_was_heard_is_known_after_a_restart() {
    let mut scene = Scene::new();
    let mut agent = scene.connect(Coming::agent(0)).await;
    scene
        .update(&mut agent, &action(), ActionState::Applied)
        .await;
    scene.settle().await;
    let mut scene = scene.restarted().await;
    // Its agent is told, which knows whether it has ever told so much.
    let admission = admitted(scene.arrive(Coming::agent(0)).await).await;
    let Admission::Welcome { journal, .. } = &admission else {
        panic!("{admission:?}");
    };
    assert_eq!(journal.heard, 1);
    scene.manager.gone(played(0, admission).session).await;
    let mut agent = scene.connect(Coming::agent(0)).await;
    let again = update(1, &action(), ActionState::Applied);
    scene.tell(&mut agent, again).await;
    scene.settle().await;
    assert_eq!(scene.states(), ["000 applied"]);
    assert_eq!(confirmed(&agent.messages()), [1]);
}

#[tokio::test]
async fn an_agent_that_has_lost_its_journal_has_lost_what_it_had_taken() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    scene.alert(2, "000").await;
    scene.settle().await;
    let [action] = &agent.actions()[..] else {
        panic!("not one action");
    };
    scene.update(&mut agent, action, ActionState::Applied).await;
    scene.settle().await;
    scene.manager.gone(agent.session).await;
    let coming = Coming {
        journal: 2,
        ..Coming::agent(1)
    };
    let mut agent = scene.connect(coming).await;
    assert_eq!(
        scene.states(),
        ["000 queued", "001 sent", "001 applied", "001 failed"]
    );
    // Its numbers begin anew.
    let adopted = sample_of(&agent.id);
    scene
        .update(&mut agent, &adopted, ActionState::Applied)
        .await;
    scene.settle().await;
    assert_eq!(confirmed(&agent.messages()), [2]);
}

/// The agent comes back with this journal.
async fn back_with(scene: &mut Scene, gone: &Played, journal: u8) -> Played {
    scene.manager.gone(gone.session).await;
    let coming = Coming {
        journal,
        ..Coming::agent(1)
    };
    scene.connect(coming).await
}

#[tokio::test]
async fn what_was_taken_into_a_lost_journal_has_failed_and_nobody_took_it_back() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let heard = sample_of(&agent.id);
    scene.update(&mut agent, &heard, ActionState::Done).await;
    scene.alert(1, "001").await;
    let actions = vec![agent.actions().remove(0).id];
    scene.tell(&mut agent, ToManager::Taken { actions }).await;
    scene.settle().await;
    let mut agent = back_with(&mut scene, &agent, 2).await;
    let records = scene.manager.reader.history(1).unwrap();
    assert_eq!(records[0].state, ActionState::Failed);
    let detail = records[0].detail.as_deref().unwrap_or_default();
    assert!(detail.contains("lost its journal"), "{detail}");

    // What the new journal has is not lost when its agent comes again, though
    // nothing was told of it yet; not to the next life of the manager either.
    scene.alert(1, "001").await;
    let actions = vec![agent.actions().remove(0).id];
    scene.tell(&mut agent, ToManager::Taken { actions }).await;
    scene.settle().await;
    let agent = back_with(&mut scene, &agent, 2).await;
    drop(agent);
    let mut scene = scene.restarted().await;
    let coming = Coming {
        journal: 2,
        ..Coming::agent(1)
    };
    scene.connect(coming).await;
    assert_eq!(
        scene.states(),
        ["001 done", "001 sent", "001 failed", "001 sent"]
    );
}

#[tokio::test]
async fn what_is_known_too_late_to_be_taken_is_lost_with_the_journal_all_the_same() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let heard = sample_of(&agent.id);
    scene.update(&mut agent, &heard, ActionState::Done).await;
    scene.settle().await;
    scene.hide_logs(true);
    scene.alert(1, "001").await;
    let actions = vec![agent.actions().remove(0).id];
    scene.tell(&mut agent, ToManager::Taken { actions }).await;
    let mut agent = back_with(&mut scene, &agent, 2).await;
    scene.hide_logs(false);
    scene.settle().await;
    assert_eq!(scene.states(), ["001 done", "001 sent", "001 failed"]);
    assert_eq!(agent.actions(), []);
}

fn sample_of(agent: &AgentId) -> Action {
    let mut action = sample::action(9, "firewall-drop", None);
    action.agent.id = agent.clone();
    action
}

#[tokio::test]
async fn an_agent_that_speaks_for_another_is_cut_off_and_changes_nothing() {
    let mut scene = Scene::with_agents(2);
    let mut honest = scene.connect(Coming::agent(1)).await;
    let mut liar = scene.connect(Coming::agent(2)).await;
    scene.alert(1, "001").await;
    scene.settle().await;
    let [action] = &honest.actions()[..] else {
        panic!("not one action");
    };
    scene.update(&mut liar, action, ActionState::Done).await;
    assert!(liar.is_closed());
    scene
        .update(&mut honest, action, ActionState::Applied)
        .await;
    scene.settle().await;
    assert_eq!(scene.states(), ["001 sent", "001 applied"]);
}

#[tokio::test]
async fn an_agent_that_claims_the_action_of_another_is_cut_off_and_changes_nothing() {
    let mut scene = Scene::with_agents(2);
    let mut honest = scene.connect(Coming::agent(1)).await;
    let mut liar = scene.connect(Coming::agent(2)).await;
    scene.alert(1, "001").await;
    scene.settle().await;
    let [action] = &honest.actions()[..] else {
        panic!("not one action");
    };
    scene.manager.gone(honest.session).await;
    let actions = vec![action.id];
    scene.tell(&mut liar, ToManager::Taken { actions }).await;
    let mut claimed = action.clone();
    claimed.agent.id = liar.id.clone();
    scene.update(&mut liar, &claimed, ActionState::Done).await;
    assert!(liar.is_closed());
    scene.settle().await;
    assert_eq!(scene.states(), ["001 sent"]);
    // Its own agent still gets it.
    let mut honest = scene.connect(Coming::agent(1)).await;
    assert_eq!(honest.actions(), std::slice::from_ref(action));
}

#[tokio::test]
async fn a_revert_of_what_its_agent_has_lost_ends_it_and_answers() {
    let mut scene = Scene::new();
    let mut agent = scene.connect(Coming::agent(0)).await;
    scene
        .update(&mut agent, &action(), ActionState::Applied)
        .await;
    scene.settle().await;
    let which = Which::Id(action().id);
    let mut answer = scene.ask(Request::Revert { which }).await;
    scene.settle().await;
    let asked = agent
        .messages()
        .into_iter()
        .find_map(|message| match message {
            ToAgent::Revert { id, request } if id == action().id => Some(request),
            _ => None,
        });
    let lost = ToManager::Reverted {
        request: asked.expect("it was not asked"),
        outcome: Reverted::NotFound,
    };
    scene.tell(&mut agent, lost).await;
    scene.settle().await;
    let Ok(Answer::Reverted { outcomes }) = answer.try_recv() else {
        panic!("no answer");
    };
    assert_eq!(outcomes[0].state, ActionState::Failed);
    assert_eq!(scene.states(), ["000 applied", "000 failed"]);
}

#[tokio::test]
async fn no_position_and_no_action_is_journalled_before_its_line() {
    let mut scene = Scene::new();
    scene.hide_logs(true);
    scene.alert(1, "000").await;
    scene.manager.store_positions().await;
    scene
        .manager
        .lines(
            0,
            Vec::new(),
            crate::source::Receipt::Position(checkpoint(900)),
        )
        .await;
    scene.manager.store_positions().await;
    let path = scene.folder.path().join("queue/manager.db");
    let reader = ManagerReader::open(&path).unwrap();
    let source = "logs/alerts/alerts.json";
    let agent = AgentId::MANAGER;
    assert_eq!(reader.waiting(&agent, 9).unwrap(), []);
    assert_eq!(reader.position(source).unwrap(), Position::Unknown);

    scene.hide_logs(false);
    scene.settle().await;
    assert_eq!(scene.states(), ["000 queued"]);
    assert_eq!(reader.waiting(&agent, 9).unwrap().len(), 1);
    let position = reader.position(source).unwrap();
    assert!(matches!(position, Position::At(_)), "{position:?}");
}

#[tokio::test]
async fn what_an_agent_tells_of_is_not_decided_on_again_when_its_line_is_read_again() {
    // A manager that hands an action out and is killed before it is journalled.
    let mut killed = Scene::with_agents(1);
    let mut agent = killed.connect(Coming::agent(1)).await;
    killed.alert(1, "001").await;
    let action = agent.actions().remove(0);

    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    // What the agent tells is not in the journal when the line comes.
    scene.hide_logs(true);
    scene
        .update(&mut agent, &action, ActionState::Applied)
        .await;
    scene.alert(1, "001").await;
    scene.hide_logs(false);
    scene.settle().await;
    assert_eq!(scene.states(), ["001 applied"]);
    assert_eq!(agent.actions(), []);
}

#[tokio::test]
async fn whatever_a_hosts_clock_shows_history_goes_by_when_it_was_heard_of() {
    let mut scene = Scene::new();
    let mut agent = scene.connect(Coming::agent(0)).await;
    let last = i64::MAX;
    let moments = [0, last, i64::MIN, clock::wall().millis(), last, -1];
    for (number, millis) in (1..).zip(moments) {
        let action = sample::action(number, "firewall-drop", None);
        let time = Wall::from_millis(millis);
        let mut record = Record::new(&action, ActionState::Failed, time);
        (record.since, record.until) = (Some(time), Some(time));
        let message = ToManager::Update {
            seq: number.into(),
            action: action.into(),
            record: record.into(),
        };
        let frame = message.to_frame().unwrap();
        let told = ToManager::from_frame(&frame).unwrap();
        scene.tell(&mut agent, told).await;
        scene.settle().await;
    }
    assert_eq!(scene.states(), ["000 failed"; 6]);
    let mut scene = scene.restarted().await;
    let newest = async |scene: &mut Scene, limit| {
        let answer = scene.ask(Request::History { limit }).await;
        let Answer::Records { records } = answer.await.unwrap() else {
            panic!("no records");
        };
        let ids = records.iter().map(|record| record.action.to_string());
        ids.collect::<Vec<_>>()
    };
    let wanted = [6, 5, 4].map(|number| ActionId::from_bytes([number; 16]).to_string());
    assert_eq!(newest(&mut scene, 3).await, wanted);

    let day = Duration::from_secs(86_400);
    for (before, left) in [(clock::wall().minus(day), 6), (clock::wall().plus(day), 0)] {
        scene
            .manager
            .journal
            .write(vec![Op::Prune { before }])
            .await;
        scene.settle().await;
        assert_eq!(newest(&mut scene, 9).await.len(), left);
    }
}

#[tokio::test]
async fn a_start_with_a_clock_that_is_years_ahead_forgets_nothing() {
    let clock = Clock::new(Wall::from_millis(1_795_514_400_000), || Duration::ZERO);
    let _entered = clock.enter();
    let mut scene = Scene::new();
    let mut agent = scene.connect(Coming::agent(0)).await;
    scene.update(&mut agent, &action(), ActionState::Done).await;
    scene.settle().await;
    clock.step(4_000 * 86_400_000);
    let mut scene = scene.restarted().await;
    scene.settle().await;
    assert_eq!(scene.manager.reader.pruned().unwrap(), None);
    scene.manager.prune().await;
    scene.journal_is_synced().await;
    assert!(scene.manager.reader.pruned().unwrap().is_some());
    assert!(scene.manager.reader.knows(action().id).unwrap());
}
