//! Daemons that are killed while scripts run.

use std::time::Duration;

use rustix::process::{Signal, getpid, set_child_subreaper};

use crate::scene::{Gate, SOON, Scene, keyed, lines, lives, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, millis, response, text};
use crate::support::wait_for;

/// Makes this process the parent of every orphan, and never asks after one: a
/// script that outlives its agent ends as a zombie, as under an init that does
/// not reap.
fn orphans_become_zombies() {
    set_child_subreaper(Some(getpid())).unwrap();
}

/// Hangs the first time a script comes here, and lets it pass from then on.
fn once(gate: &Gate, marker: &str) -> String {
    let hang = gate.wait();
    format!("if [ ! -e logs/{marker} ]; then : > logs/{marker}; {hang}; fi")
}

#[test]
fn a_script_killed_before_its_keys_is_not_run_again_and_nothing_of_it_is_left() {
    orphans_become_zombies();
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    let pids = "echo $$ >> logs/effects";
    // timeout(1) gives its child a group of its own, in the same session.
    let body = format!("read -r message\ntimeout 60 sh -c '{pids}; {hang}' &\n{pids}; {hang}");
    scene.home.script("slow", &body);
    scene.start(&[stateful("slow", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    let pids = scene.wait_effects(2);
    scene.kill_agentd();
    assert!(pids.iter().all(|pid| lives(pid)), "a crash ends nothing");

    scene.start_agentd();
    let failed = scene.wait("slow", "failed");
    assert_eq!(text(&failed, "detail"), "interrupted: outcome unknown");
    assert!(!pids.iter().any(|pid| lives(pid)), "{pids:?}");
    assert_eq!(scene.effects().len(), 2, "it ran once");
    let log = scene.home.log();
    assert!(log.contains("active-response/bin/slow: killed"), "{log}");
}

/// Its leader has ended, a child of the same session has not.
#[test]
fn a_grandchild_is_ended_although_the_script_itself_is_gone() {
    orphans_become_zombies();
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let mut leader = Gate::new(&scene.home, "leader");
    let body = format!(
        "read -r message\n(sh -c 'echo $$ >> logs/effects; {}') &\n{}\necho $$ > logs/left",
        gate.wait(),
        leader.wait()
    );
    scene.home.script("slow", &body);
    scene.start(&[command("slow", "") + &response("slow", "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    let child = scene.wait_effects(1).remove(0);
    scene.kill_agentd();
    leader.open();
    let left = scene.home.file("logs/left");
    wait_for("the script has ended", SOON, || {
        let pid = lines(&left).first().cloned()?;
        (!lives(&pid)).then_some(())
    });
    assert!(lives(&child));

    scene.start_agentd();
    scene.wait("slow", "failed");
    assert!(!lives(&child));
}

#[test]
fn a_zombie_counts_as_ended() {
    orphans_become_zombies();
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    let body = format!("read -r message\necho $$ >> logs/effects\n{}", gate.wait());
    scene.home.script("slow", &body);
    scene.start(&[command("slow", "") + &response("slow", "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    let pid = scene.wait_effects(1).remove(0);
    scene.kill_agentd();
    gate.open();
    wait_for("it is a zombie", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") Z ").then_some(())
    });

    scene.start_agentd();
    scene.wait("slow", "failed");
    let said = scene.agentd().said();
    assert!(!said.contains("ending what a killed predecessor"), "{said}");
    assert!(!scene.home.log().contains("killed"), "{}", scene.home.log());
}

#[test]
fn a_script_killed_after_its_keys_gets_delete_and_then_add() {
    orphans_become_zombies();
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    scene
        .home
        .script("keyed", &keyed(&once(&gate, "been-here"), ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    scene.kill_agentd();
    scene.start_agentd();
    let applied = scene.wait("keyed", "applied");
    let words = ["add", "delete", "add"].map(|word| format!("keyed {word} 203.0.113.9"));
    assert_eq!(scene.effects(), words);
    // One action all along, and its end is the one it had.
    assert_eq!(applied["action"], scene.records("keyed")[0]["action"]);
    assert_eq!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let span = millis(&applied, "until") - millis(&scene.wait("keyed", "sent"), "time");
    assert!((599_900..=600_100).contains(&span), "{span}");
}

#[test]
fn a_delete_that_was_killed_is_run_again() {
    orphans_become_zombies();
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    scene
        .home
        .script("keyed", &keyed("", &once(&gate, "been-here")));
    scene.start(&[stateful("keyed", "1001", "1")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(2);
    scene.kill_agentd();
    scene.start_agentd();
    scene.wait("keyed", "reverted");
    let words = ["add", "delete", "delete"].map(|word| format!("keyed {word} 203.0.113.9"));
    assert_eq!(scene.effects(), words);
    assert_eq!(scene.count("keyed", "reverted"), 1);
}

/// 4.x and OSSEC leave all of them in force for ever.
#[test]
fn what_was_in_force_is_reverted_at_its_end_whoever_was_killed() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[
        stateful("keyed", "1001", "8"),
        response("keyed", "1002", "600"),
    ]);
    let alert = |n| Alert::sshd(&format!("198.18.0.{n}")).rule("1001");
    scene.home.alert(&(0..20).map(alert).collect::<Vec<_>>());
    scene.wait_nth("keyed", "applied", 20);
    scene.kill_agentd();
    scene.kill_manager();
    scene.start_agentd();
    scene.start_manager();
    // It is still known to be in force: nothing is added a second time.
    scene.alert("1002", "198.18.0.7");
    scene.wait("keyed", "already");
    scene.wait_nth("keyed", "reverted", 19);
    let of = |word: &str| {
        let mut found: Vec<_> = scene.effects();
        found.retain(|effect| effect.contains(word));
        found.sort();
        let number = found.len();
        found.dedup();
        (number, found.len())
    };
    assert_eq!(of("add"), (20, 20));
    assert_eq!(of("delete"), (19, 19));
    let in_force = scene.home.ctl_json(&["responses"]);
    assert_eq!(in_force[0]["keys"][0], "198.18.0.7");
    assert_eq!(in_force.as_array().unwrap().len(), 1);
    for record in scene.records("keyed") {
        if record["state"] == "reverting" {
            let id = &record["action"];
            let records = scene.records("keyed");
            let applied = records
                .iter()
                .find(|r| r["action"] == *id && r["state"] == "applied");
            let late = millis(&record, "time") - millis(applied.unwrap(), "until");
            // An end is kept in boot time and shown in wall time.
            assert!(late >= -2, "{late} ms late: {record}");
        }
    }
}

#[test]
fn what_came_due_while_the_agent_was_down_is_reverted_at_its_start() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[stateful("keyed", "1001", "1")]);
    scene.alert("1001", "203.0.113.9");
    let until = millis(&scene.wait("keyed", "applied"), "until");
    // Killed and, if that was quick, waited for.
    scene.kill_agentd();
    wait_for("its end is over", SOON, || {
        (chrono::Utc::now().timestamp_millis() > until).then_some(())
    });
    scene.start_agentd();
    scene.wait("keyed", "reverted");
    assert_eq!(
        scene.effects(),
        ["keyed add 203.0.113.9", "keyed delete 203.0.113.9"]
    );
}

#[test]
fn a_manager_killed_between_alert_and_result_runs_nothing_twice() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    scene.home.script("keyed", &keyed(&gate.wait(), ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    scene.kill_manager();
    scene.start_manager();
    gate.open();
    let applied = scene.wait("keyed", "applied");
    scene.kill_manager();
    // One that arrives while it is down is for its next start.
    scene.alert("1001", "203.0.113.10");
    scene.start_manager();
    wait_for("both are in force", SOON, || {
        let in_force = scene.home.ctl_json(&["responses"]);
        (in_force.as_array().unwrap().len() == 2).then_some(())
    });
    assert_eq!(
        scene.effects(),
        ["keyed add 203.0.113.9", "keyed add 203.0.113.10"]
    );
    assert_eq!(applied["action"], scene.records("keyed")[0]["action"]);
}

/// The agent has it, but the manager dies before it hears so.
#[test]
fn an_action_that_is_sent_twice_is_carried_out_once() {
    let mut scene = Scene::new();
    scene
        .home
        .script("notify", "read -r message; echo ran >> logs/effects");
    scene
        .home
        .script("fence", "read -r message; echo fence >> logs/effects");
    scene.start(&[
        command("notify", "") + &response("notify", "1001", ""),
        command("fence", "") + &response("fence", "1002", ""),
    ]);
    // From then on it is sent what there is at once.
    scene.alert("1002", "203.0.113.9");
    scene.wait("fence", "done");
    scene.signal_agentd(Signal::STOP);
    scene.alert("1001", "203.0.113.9");
    let sent = scene.wait("notify", "sent");
    // Whatever it had to send has left it when it answers again.
    for _ in 0..2 {
        scene.home.ctl_json(&["agents"]);
    }
    scene.kill_manager();
    scene.signal_agentd(Signal::CONT);
    scene.wait_effects(2);
    scene.start_manager();
    let done = scene.wait("notify", "done");
    assert_eq!(done["action"], sent["action"]);
    scene.alert("1002", "203.0.113.9");
    scene.wait_nth("fence", "done", 2);
    assert_eq!(scene.effects(), ["fence", "ran", "fence"]);
}

/// After a restart of its execd, OSSEC loses every alert from then on.
#[test]
fn what_is_asked_of_an_agent_that_is_down_waits_for_it_until_it_is_pointless() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[
        stateful("keyed", "1001", "600"),
        stateful("keyed", "1002", "1"),
    ]);
    scene.kill_agentd();
    wait_for("the manager knows", SOON, || {
        let agents = scene.home.ctl_json(&["agents"]);
        (agents[0]["state"] == "offline").then_some(())
    });
    scene.alert("1001", "203.0.113.1");
    scene.alert("1002", "203.0.113.2");
    scene.wait_nth("keyed", "queued", 2);
    let expired = scene.wait("keyed", "expired");
    assert!(text(&expired, "detail").contains("offline"), "{expired}");
    scene.start_agentd();
    scene.wait("keyed", "applied");
    assert_eq!(scene.states("keyed")[..2], ["queued", "queued"]);
    assert_eq!(scene.effects(), ["keyed add 203.0.113.1"]);
}

/// Each daemon in turn, wherever it happens to be: whatever was begun is taken
/// back, and every action ends in one way.
#[test]
fn daemons_killed_at_any_moment_leave_no_script_half_done() {
    const ROUNDS: u64 = 12;
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("sleep 0.1", "sleep 0.1"));
    scene.start(&[stateful("keyed", "1001", "2")]);
    for round in 0..ROUNDS {
        scene.alert("1001", &format!("198.18.1.{round}"));
        std::thread::sleep(Duration::from_millis(round * 37 % 250));
        if round % 3 == 2 {
            scene.kill_manager();
            scene.start_manager();
        } else {
            scene.kill_agentd();
            scene.start_agentd();
        }
    }
    let ends = ["reverted", "failed", "expired"];
    let ends = wait_for("all of them have ended", SOON, || {
        let mut ended: Vec<_> = scene
            .records("keyed")
            .iter()
            .map(|record| (text(record, "action"), text(record, "state")))
            .filter(|(_, state)| ends.contains(&state.as_str()))
            .collect();
        ended.sort();
        ended.dedup();
        (ended.len() as u64 >= ROUNDS).then_some(ended)
    });
    let mut actions: Vec<_> = ends.iter().map(|(action, _)| action).collect();
    actions.dedup();
    assert_eq!(actions.len() as u64, ROUNDS, "{ends:?}");
    for round in 0..ROUNDS {
        let words = words(&scene, &format!("198.18.1.{round}"));
        assert_ne!(words.last().map(String::as_str), Some("add"), "{words:?}");
    }
    let in_force = scene.home.ctl_json(&["responses"]);
    assert!(in_force.as_array().unwrap().is_empty(), "{in_force}");
}

/// What was done to this address. A script whose agent dies before the reply
/// reads the end of its input in its place, and takes it for an abort.
fn words(scene: &Scene, address: &str) -> Vec<String> {
    let of = |effect: &String| {
        let (_, rest) = effect.split_once(' ')?;
        let (word, target) = rest.split_once(' ')?;
        (target == address && word != "abort").then(|| word.to_owned())
    };
    scene.effects().iter().filter_map(of).collect()
}
