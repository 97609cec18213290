//! Daemons that are asked to stop.

use rustix::process::Signal;

use crate::scene::{Gate, Scene, keyed, lives, stateful};
use crate::support::home::{command, response, text};

/// 4.x reverts everything whenever it stops.
#[test]
fn stopping_a_daemon_lifts_nothing() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    let applied = scene.wait("keyed", "applied");
    assert!(scene.stop_manager().success());
    scene.start_manager();
    assert!(scene.stop_agentd().success());
    scene.start_agentd();
    assert!(scene.stop_manager().success());
    assert!(scene.stop_agentd().success());
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9"]);

    scene.start_agentd();
    scene.start_manager();
    let in_force = scene.home.ctl_json(&["responses"]);
    assert_eq!(in_force[0]["action"], applied["action"]);
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9"]);
}

#[test]
fn a_script_that_ends_in_time_when_the_agent_stops_has_its_result_told() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    scene.home.script("keyed", &keyed(&gate.wait(), ""));
    scene
        .home
        .script("later", "read -r message; echo later >> logs/effects");
    scene.start(&[
        stateful("keyed", "1001", "600"),
        command("later", "") + &response("later", "1002", ""),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    scene.signal_agentd(Signal::TERM);
    // It knows by now, and starts nothing new.
    crate::support::wait_for("agentd is stopping", crate::scene::SOON, || {
        scene.agentd().said().contains("stopping").then_some(())
    });
    scene.alert("1002", "203.0.113.9");
    scene.wait("later", "sent");
    gate.open();
    scene.agentd_ends();
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9"]);

    scene.start_agentd();
    scene.wait("keyed", "applied");
    scene.wait("later", "done");
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9", "later"]);
}

/// It gets 5 s, and then what a crash would have meant for it.
#[test]
fn a_script_that_does_not_end_when_the_agent_stops_is_treated_as_killed() {
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    let silent = format!("read -r message; echo \"$$\" >> logs/pids; {hang}");
    scene.home.script("silent", &silent);
    let once = format!("[ -e logs/been-here ] || {{ : > logs/been-here; {hang}; }}");
    scene.home.script("keyed", &keyed(&once, ""));
    scene.start(&[
        command("silent", "") + &response("silent", "1001", ""),
        stateful("keyed", "1001", "600"),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    let pids = scene.home.file("logs/pids");
    let pid = crate::support::wait_for("silent runs", crate::scene::SOON, || {
        crate::scene::lines(&pids).first().cloned()
    });
    assert!(scene.stop_agentd().success());
    assert!(!lives(&pid));
    assert_eq!(scene.states("silent"), ["sent", "running"]);

    scene.start_agentd();
    let failed = scene.wait("silent", "failed");
    assert_eq!(text(&failed, "detail"), "interrupted: outcome unknown");
    scene.wait("keyed", "applied");
    assert_eq!(crate::scene::lines(&pids).len(), 1, "it ran once");
    let words = ["add", "delete", "add"].map(|word| format!("keyed {word} 203.0.113.9"));
    assert_eq!(scene.effects(), words);
}
