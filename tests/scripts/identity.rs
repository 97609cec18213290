//! One daemon of each kind for a home.

use std::process::{Command, Output};

use crate::scene::Scene;

/// Starts a daemon that must refuse to run.
pub fn refused(scene: &Scene, program: &str, more: &[&str]) -> Output {
    Command::new("timeout")
        .args(["-k", "1", "20", program, "--home"])
        .arg(scene.home.path())
        .args(more)
        .env_remove("NOTIFY_SOCKET")
        .output()
        .unwrap()
}

pub const PROGRAMS: [&str; 2] = [
    env!("CARGO_BIN_EXE_ripost-manager"),
    env!("CARGO_BIN_EXE_ripost-agentd"),
];

#[test]
fn a_second_daemon_of_a_home_is_told_who_has_it() {
    let mut scene = Scene::new();
    scene.start(&[]);
    let pids = [scene.manager().id(), scene.agentd().id()];
    for (program, pid) in PROGRAMS.iter().zip(pids) {
        let output = refused(&scene, program, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{program}: {said}");
        let home = scene.home.path().to_str().unwrap();
        assert!(
            said.contains(home) && said.contains(&pid.to_string()),
            "{said}"
        );
    }
    assert!(scene.manager().is_running() && scene.agentd().is_running());
    // What a killed one leaves behind is in nobody's way.
    scene.kill_manager();
    scene.kill_agentd();
    scene.start_manager();
    scene.start_agentd();
    let agents = scene.home.ctl_json(&["agents"]);
    assert_eq!(agents[0]["id"], "000");
}
