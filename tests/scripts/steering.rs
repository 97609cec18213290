//! `ripostctl` against the real daemons.

use serde_json::Value;

use crate::scene::{Gate, SOON, Scene, keyed, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, response, text};
use crate::support::wait_for;

/// Three in force, one done, one refused.
fn in_use() -> Scene {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.home.script("notify", "read -r message");
    scene.home.configure_global(
        "<white_list>203.0.113.99</white_list>",
        &[
            &stateful("keyed", "1001", "600"),
            &(command("notify", "") + &response("notify", "1002", "")),
        ],
    );
    scene.start_manager();
    scene.start_agentd();
    let keyed = |address| Alert::sshd(address).rule("1001");
    let targets = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.99"];
    scene.home.alert(&targets.map(keyed));
    scene.alert("1002", "203.0.113.5");
    scene.wait_nth("keyed", "applied", 3);
    scene.wait("keyed", "refused");
    scene.wait("notify", "done");
    scene
}

fn targets(records: &Value) -> Vec<String> {
    let records = records.as_array().unwrap();
    let mut targets: Vec<_> = records
        .iter()
        .map(|record| text(&record["keys"], "0"))
        .collect();
    for (target, record) in targets.iter_mut().zip(records) {
        record["keys"][0]
            .as_str()
            .unwrap_or_default()
            .clone_into(target);
    }
    targets.sort();
    targets
}

#[test]
fn a_person_takes_responses_back_one_by_one_by_target_and_all() {
    let scene = in_use();
    let in_force = scene.home.ctl_json(&["responses"]);
    assert_eq!(
        targets(&in_force),
        ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    );
    let first = in_force
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["keys"][0] == "203.0.113.1");
    let id = text(first.unwrap(), "action");

    let outcomes = scene.home.ctl_json(&["revert", &id]);
    assert_eq!(outcomes[0]["action"], *id);
    assert_eq!(outcomes[0]["state"], "reverted");
    assert_eq!(scene.home.ctl(&["revert", &id]).status.code(), Some(1));
    assert_eq!(
        targets(&scene.home.ctl_json(&["responses"])),
        ["203.0.113.2", "203.0.113.3"]
    );

    let outcomes = scene.home.ctl_json(&["revert", "--target", "203.0.113.2"]);
    assert_eq!(outcomes[0]["state"], "reverted", "{outcomes}");
    let nobody = scene.home.ctl(&["revert", "--target", "203.0.113.2"]);
    assert_eq!(nobody.status.code(), Some(1));

    // The one that nobody may undo unasked.
    assert_eq!(scene.home.ctl(&["revert", "--all"]).status.code(), Some(64));
    let all = scene.home.ctl(&["revert", "--all", "--yes"]);
    assert_eq!(all.status.code(), Some(0), "{all:?}");
    assert!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    let mut deletes = scene.effects();
    deletes.retain(|effect| effect.contains("delete"));
    let wanted = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    assert_eq!(
        deletes,
        wanted.map(|target| format!("keyed delete {target}"))
    );
    // The next alert is acted upon anew.
    scene.alert("1001", "203.0.113.1");
    scene.wait_nth("keyed", "applied", 4);
}

#[test]
fn what_is_and_was_can_be_read_of_both_daemons() {
    let mut scene = in_use();
    let history = scene.home.ctl_json(&["history"]);
    let states: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|r| text(r, "state"))
        .collect();
    for state in ["applied", "done", "refused"] {
        assert!(
            states.iter().any(|found| found == state),
            "{state} in {history}"
        );
    }
    assert_eq!(
        scene
            .home
            .ctl_json(&["history", "-n", "1"])
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let agents = scene.home.ctl_json(&["agents"]);
    let agent = &agents[0];
    assert_eq!(
        (
            &agent["id"],
            &agent["state"],
            &agent["in_force"],
            &agent["pending"]
        ),
        (&"000".into(), &"connected".into(), &3.into(), &0.into())
    );

    let counter = |daemon: &Value, name: &str| {
        let counters = daemon["counters"].as_array().unwrap();
        let found = counters.iter().find(|counter| counter["name"] == name);
        found.and_then(|counter| counter["value"].as_u64())
    };
    let status = scene.home.ctl_json(&["status"]);
    assert_eq!(status[0]["daemon"], "ripost-manager");
    assert_eq!(status[0]["pid"], scene.manager().id());
    assert_eq!(counter(&status[0], "alerts read"), Some(5));
    assert_eq!(counter(&status[0], "in force"), Some(3));
    assert_eq!(status[0]["problems"], Value::Array(Vec::new()), "{status}");

    // A host that is cut off from its manager is steered all the same.
    scene.kill_manager();
    let status = scene.home.ctl_json(&["status"]);
    assert_eq!(status[0]["daemon"], "ripost-agentd");
    assert_eq!(counter(&status[0], "in force"), Some(3));
    let problems = status[0]["problems"].to_string();
    assert!(problems.contains("manager"), "{problems}");
    assert_eq!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let outcomes = scene.home.ctl_json(&["revert", "--target", "203.0.113.2"]);
    assert_eq!(outcomes[0]["state"], "reverted");
    assert_eq!(scene.home.ctl(&["agents"]).status.code(), Some(69));

    // Reported later, and not put back.
    scene.start_manager();
    scene.wait("keyed", "reverted");
    assert_eq!(
        targets(&scene.home.ctl_json(&["responses"])),
        ["203.0.113.1", "203.0.113.3"]
    );
}

#[test]
fn a_revert_while_the_script_still_runs_waits_for_its_end() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    scene.home.script("keyed", &keyed(&gate.wait(), ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    let id = text(&scene.wait("keyed", "running"), "action");
    let asking = std::thread::scope(|scope| {
        let asking = scope.spawn(|| scene.home.ctl(&["revert", &id]));
        // Once it is asked it is known to be wanted back, and not before.
        wait_for("it is asked", SOON, || {
            let agentd = scene.home.ctl_json(&["status"]);
            agentd.is_array().then_some(())
        });
        gate.open();
        asking.join().unwrap()
    });
    assert_eq!(asking.status.code(), Some(0), "{asking:?}");
    assert_eq!(
        scene.effects(),
        ["keyed add 203.0.113.9", "keyed delete 203.0.113.9"]
    );
}
