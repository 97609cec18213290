//! What people take back.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::oneshot;

use super::scene::{Coming, Played, Scene, answered};
use crate::clock;
use crate::manager::host::WINDOW;
use crate::manager::hosts::MAX_TO_ASK;
use crate::manager::reverts::Chosen;
use crate::model::{Action, ActionId, ActionState, Record};
use crate::wire::control::{Answer, Request, RevertOutcome, Which};
use crate::wire::message::Reverted;
use crate::wire::{ToAgent, ToManager};

const PATIENCE: Duration = Duration::from_secs(20);

/// The attacker of every alert here, in another spelling.
const ATTACKER: &str = "::ffff:203.0.113.9";

async fn revert(scene: &mut Scene, which: Which) -> Vec<RevertOutcome> {
    let answer = scene.ask(Request::Revert { which }).await;
    outcomes(scene, answer).await
}

/// What a person is told, be it that some hosts are away.
async fn outcomes(scene: &mut Scene, answer: oneshot::Receiver<Answer>) -> Vec<RevertOutcome> {
    let deadline = clock::boot().plus(PATIENCE);
    while answer.is_empty() && clock::boot() < deadline {
        scene.settle().await;
    }
    let Answer::Reverted { outcomes } = answered(answer).await else {
        panic!("nothing was found");
    };
    outcomes
}

/// The reverts that an agent is asked for.
fn reverts(played: &mut Played) -> Vec<(u64, ActionId)> {
    let asked = played.messages().into_iter();
    let asked = asked.filter_map(|message| match message {
        ToAgent::Revert { id, request } => Some((request, id)),
        ToAgent::Act { .. } => panic!("an action that was taken back was sent"),
        _ => None,
    });
    asked.collect()
}

/// An agent says of everything that it is to take back that it does not know it.
async fn unknown(scene: &mut Scene, played: &mut Played) {
    for (request, _) in reverts(played) {
        let outcome = Reverted::NotFound;
        let unknown = ToManager::Reverted { request, outcome };
        scene.tell(played, unknown).await;
    }
    scene.settle().await;
}

/// The last record of each agent's only action, in the order of the agents.
fn last(scene: &Scene) -> Vec<Record> {
    let mut records = scene.manager.reader.history(99).unwrap();
    records.sort_by(|a, b| a.agent.id.cmp(&b.agent.id));
    records
}

#[tokio::test]
async fn what_is_on_its_way_or_waits_for_its_host_is_taken_back_by_its_target() {
    for which in [Which::Target(ATTACKER.to_owned()), Which::All] {
        let mut scene = Scene::with_agents(2);
        let mut cut = scene.connect(Coming::agent(1)).await;
        scene.alert(2, "000").await;
        let action = cut.actions().remove(0);
        // It has the action, and its cable is cut before it can say so.
        scene.manager.gone(cut.session).await;
        let outcomes = revert(&mut scene, which).await;
        let mut states: Vec<_> = outcomes.iter().map(|outcome| outcome.state).collect();
        states.sort_by_key(|state| state.as_str());
        assert_eq!(
            states,
            [
                ActionState::Sent,
                ActionState::Suppressed,
                ActionState::Suppressed
            ]
        );
        assert!(outcomes.iter().all(|outcome| outcome.keys == "203.0.113.9"));

        let mut back = scene.connect(Coming::agent(1)).await;
        let asked: Vec<_> = reverts(&mut back).into_iter().map(|(_, id)| id).collect();
        assert_eq!(asked, [action.id]);
        for id in [0, 2] {
            let mut never_there = scene.connect(Coming::agent(id)).await;
            assert_eq!(reverts(&mut never_there), []);
        }
    }
}

#[tokio::test]
async fn what_runs_is_taken_back_by_the_target_of_its_alert() {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    scene.alert(1, "001").await;
    let action = agent.actions().remove(0);
    // It has not named its keys.
    scene
        .update(&mut agent, &action, ActionState::Running)
        .await;
    scene.settle().await;
    let which = Which::Target(ATTACKER.to_owned());
    let answer = scene.ask(Request::Revert { which }).await;
    scene.settle().await;
    assert_eq!(reverts(&mut agent).len(), 1);
    scene
        .update(&mut agent, &action, ActionState::Reverted)
        .await;
    scene.settle().await;
    assert_eq!(outcomes(&mut scene, answer).await.len(), 1);
    // Keys that were only foreseen are not told of what is over.
    assert_eq!(last(&scene)[0].keys, None);
}

#[tokio::test]
async fn what_is_not_in_the_journal_yet_is_taken_back_too() {
    let mut scene = Scene::with_agents(2);
    let mut there = scene.connect(Coming::agent(1)).await;
    scene.hide_logs(true);
    scene.alert(2, "000").await;
    let action = there.actions().remove(0);
    scene
        .update(&mut there, &action, ActionState::Running)
        .await;
    let which = Which::Target(ATTACKER.to_owned());
    let answer = scene.ask(Request::Revert { which }).await;
    scene.settle().await;
    let asked = reverts(&mut there);
    assert_eq!(asked.len(), 1);
    scene
        .update(&mut there, &action, ActionState::Reverted)
        .await;
    scene.hide_logs(false);
    scene.settle().await;
    assert_eq!(outcomes(&mut scene, answer).await.len(), 3);
    let mut late = scene.connect(Coming::agent(2)).await;
    unknown(&mut scene, &mut late).await;
    let records = last(&scene);
    let states: Vec<_> = records.iter().map(|record| record.state).collect();
    assert_eq!(
        states[1..],
        [ActionState::Reverted, ActionState::Suppressed]
    );
}

#[tokio::test]
async fn what_was_sent_since_it_was_looked_up_is_not_taken_for_what_waits() {
    let mut scene = Scene::with_agents(1);
    scene.alert(1, "001").await;
    scene.settle().await;
    let written = *scene.manager.journal.written().borrow();
    let records = last(&scene);
    assert_eq!(records[0].state, ActionState::Queued);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let action = agent.actions().remove(0);
    let actions = vec![action.id];
    scene.tell(&mut agent, ToManager::Taken { actions }).await;
    let wanted = records.into_iter().map(Into::into).collect();
    let found = Ok(Chosen { wanted, written });
    let (asker, answer) = oneshot::channel();
    scene.manager.revert_chosen(&Which::All, found, asker).await;
    assert_eq!(reverts(&mut agent).len(), 1);
    scene
        .update(&mut agent, &action, ActionState::Reverted)
        .await;
    scene.settle().await;
    assert_eq!(outcomes(&mut scene, answer).await.len(), 1);
    assert_eq!(scene.states(), ["001 queued", "001 sent", "001 reverted"]);
}

#[tokio::test]
async fn what_a_host_does_not_know_is_ended_once_the_journal_knows_it() {
    let mut scene = Scene::with_agents(1);
    scene.hide_logs(true);
    scene.alert(1, "001").await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    let answer = scene.ask(Request::Revert { which: Which::All }).await;
    scene.settle().await;
    unknown(&mut scene, &mut agent).await;
    assert!(answer.is_empty());
    scene.hide_logs(false);
    scene.settle().await;
    unknown(&mut scene, &mut agent).await;
    assert_eq!(outcomes(&mut scene, answer).await.len(), 1);
    assert_eq!(scene.states(), ["001 queued", "001 suppressed"]);
}

/// As many as this are in force on agent 001.
async fn in_force(count: usize) -> (Scene, Played, HashMap<ActionId, Action>) {
    let mut scene = Scene::with_agents(1);
    let mut agent = scene.connect(Coming::agent(1)).await;
    let mut all = HashMap::new();
    while all.len() < count {
        scene.alert(1, "001").await;
        let actions = agent.actions();
        let taken = actions.iter().map(|action| action.id).collect();
        all.extend(actions.into_iter().map(|action| (action.id, action)));
        let taken = ToManager::Taken { actions: taken };
        scene.tell(&mut agent, taken).await;
    }
    scene.settle().await;
    (scene, agent, all)
}

/// The agent takes this one back, as it was asked to.
async fn ends(scene: &mut Scene, agent: &mut Played, action: &Action, request: u64) {
    scene.update(agent, action, ActionState::Reverted).await;
    let outcome = Reverted::Outcome {
        state: ActionState::Reverted,
        keys: None,
        detail: None,
    };
    let told = ToManager::Reverted { request, outcome };
    scene.tell(agent, told).await;
}

/// The agent takes back what it is asked to, each once, until nothing is left.
async fn all_end(scene: &mut Scene, agent: &mut Played, mut left: HashMap<ActionId, Action>) {
    let deadline = clock::boot().plus(PATIENCE);
    while !left.is_empty() {
        assert!(clock::boot() < deadline, "{} were not asked", left.len());
        let asked = reverts(agent);
        assert!(asked.len() <= WINDOW);
        for (request, id) in asked {
            let action = left.remove(&id).expect("it is asked for once");
            ends(scene, agent, &action, request).await;
        }
        scene.settle().await;
    }
    assert_eq!(reverts(agent), []);
}

#[tokio::test]
async fn each_answer_makes_room_for_the_next_revert() {
    let (mut scene, mut agent, all) = in_force(WINDOW + 3).await;
    let _answer = scene.ask(Request::Revert { which: Which::All }).await;
    scene.settle().await;
    let mut asked = reverts(&mut agent);
    assert_eq!(asked.len(), WINDOW);
    for number in 0..3 {
        let (request, id) = asked[number];
        // Nobody has waited for the journal, which may not know of it yet.
        ends(&mut scene, &mut agent, &all[&id], request).await;
        let next = reverts(&mut agent);
        assert_eq!(next.len(), 1, "{number}");
        asked.extend(next);
    }
    let asked: BTreeSet<_> = asked.into_iter().map(|(_, id)| id).collect();
    assert_eq!(asked, all.into_keys().collect());
}

#[tokio::test]
async fn reverts_that_are_too_many_to_be_kept_are_asked_for_all_the_same() {
    let (mut scene, mut agent, all) = in_force(WINDOW + MAX_TO_ASK + 3).await;
    let _answer = scene.ask(Request::Revert { which: Which::All }).await;
    scene.settle().await;
    all_end(&mut scene, &mut agent, all).await;
}

#[tokio::test]
async fn reverts_that_were_kept_are_asked_for_in_the_next_session() {
    let (mut scene, mut agent, all) = in_force(WINDOW + 3).await;
    let _answer = scene.ask(Request::Revert { which: Which::All }).await;
    scene.settle().await;
    assert_eq!(reverts(&mut agent).len(), WINDOW);
    scene.manager.gone(agent.session).await;
    let mut agent = scene.connect(Coming::agent(1)).await;
    all_end(&mut scene, &mut agent, all).await;
}

#[tokio::test]
async fn many_reverts_are_few_journal_writes() {
    let mut scene = Scene::with_agents(2);
    let mut there = scene.connect(Coming::agent(1)).await;
    for _ in 0..WINDOW {
        for agent in ["001", "002"] {
            scene.alert(1, agent).await;
        }
    }
    scene.settle().await;
    assert_eq!(there.actions().len(), WINDOW);
    let before = scene.manager.journal.next();
    let answer = scene.ask(Request::Revert { which: Which::All }).await;
    scene.settle().await;
    assert_eq!(reverts(&mut there).len(), WINDOW);
    assert!(answer.is_empty());
    let live = scene.manager.reader.live().unwrap();
    assert_eq!(live.len(), WINDOW, "those of 002 are over");
    let writes = scene.manager.journal.next() - before;
    assert!(writes <= 4, "{writes} writes");
}
