//! Configuration: switched off, wrong, changed under running daemons.

use std::fs;

use rustix::process::Signal;

use crate::identity::{PROGRAMS, refused};
use crate::scene::{SOON, Scene, keyed, stateful};
use crate::support::home::{command, response, text};
use crate::support::wait_for;

fn agent_conf(scene: &Scene, text: &str) {
    let text = format!("<ossec_config>{text}</ossec_config>\n");
    fs::write(scene.home.file("etc/agent.conf"), text).unwrap();
}

const DISABLED: &str = "<active-response><disabled>yes</disabled></active-response>";

#[test]
fn a_host_that_takes_no_actions_says_so_and_still_reverts_what_it_has() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[stateful("keyed", "1001", "3")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "applied");
    agent_conf(&scene, DISABLED);
    scene.signal_agentd(Signal::HUP);
    wait_applied(&mut scene, 1);
    scene.alert("1001", "203.0.113.10");
    let refused = scene.wait("keyed", "refused");
    assert!(
        text(&refused, "detail").contains("etc/agent.conf"),
        "{refused}"
    );
    scene.wait("keyed", "reverted");

    agent_conf(&scene, "");
    scene.signal_agentd(Signal::HUP);
    wait_applied(&mut scene, 2);
    scene.alert("1001", "203.0.113.10");
    scene.wait_nth("keyed", "applied", 2);
    assert_eq!(
        scene.effects(),
        [
            "keyed add 203.0.113.9",
            "keyed delete 203.0.113.9",
            "keyed add 203.0.113.10"
        ]
    );
}

/// A signal has no answer but the operator log.
fn wait_applied(scene: &mut Scene, times: usize) {
    wait_for("agentd has reloaded", SOON, || {
        let said = scene.agentd().said();
        (said.matches("applied the configuration on disk").count() == times).then_some(())
    });
}

#[test]
fn a_reload_applies_what_passes_and_changes_nothing_otherwise() {
    let mut scene = Scene::new();
    for name in ["one", "two"] {
        scene.home.script(
            name,
            &format!("read -r message; echo {name} >> logs/effects"),
        );
    }
    let blocks = ["one", "two"].map(|name| command(name, "") + &response(name, "1001", ""));
    scene.start(&blocks[..1]);

    scene.configure(&[
        blocks[1].clone(),
        "<active-respones/>".to_owned(),
        response("nobody", "1", ""),
    ]);
    let bad = scene.home.ctl(&["reload"]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    for wanted in ["manager.conf:", "error:", "nobody", "^", "not applied"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    scene.alert("1001", "203.0.113.9");
    scene.wait("one", "done");

    scene.configure(&blocks[1..]);
    let good = scene.home.ctl(&["reload"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    scene.alert("1001", "203.0.113.9");
    scene.wait("two", "done");

    scene.configure(&blocks[..1]);
    scene.manager().signal(Signal::HUP);
    wait_for("the manager has reloaded", SOON, || {
        let said = scene.manager().said();
        (said.matches("applied the configuration on disk").count() == 2).then_some(())
    });
    scene.alert("1001", "203.0.113.9");
    scene.wait_nth("one", "done", 2);
    assert_eq!(scene.effects(), ["one", "two", "one"]);

    // A bad one of the agent is told just so.
    agent_conf(
        &scene,
        "<active-response><disabled>perhaps</disabled></active-response>",
    );
    let bad = scene.home.ctl(&["reload", "-o", "json"]);
    assert_eq!(bad.status.code(), Some(1));
    let answers: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(answers[0]["applied"], true);
    assert_eq!(answers[1]["applied"], false, "{answers}");
    assert!(text(&answers[1], "text").contains("perhaps"), "{answers}");
}

#[test]
fn a_white_list_holds_for_scripts_from_the_reload_on() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    let block = stateful("keyed", "1001", "600");
    scene.start(std::slice::from_ref(&block));
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "applied");

    let listed = "<white_list>203.0.113.0/24</white_list>";
    scene.home.configure_global(listed, &[&block]);
    assert!(scene.home.ctl(&["reload"]).status.success());
    scene.alert("1001", "203.0.113.10");
    let refused = scene.wait("keyed", "refused");
    let detail = text(&refused, "detail");
    assert!(detail.contains("203.0.113.0/24"), "{refused}");
    // The host's own list, in the file of the host.
    agent_conf(
        &scene,
        "<global><white_list>198.51.100.7</white_list></global>",
    );
    assert!(scene.home.ctl(&["reload"]).status.success());
    scene.alert("1001", "198.51.100.7");
    let refused = scene.wait_nth("keyed", "refused", 2);
    assert!(
        text(&refused, "detail").contains("198.51.100.7"),
        "{refused}"
    );
    scene.alert("1001", "198.51.100.8");
    scene.wait_nth("keyed", "applied", 2);
    assert_eq!(
        scene.effects(),
        ["keyed add 203.0.113.9", "keyed add 198.51.100.8"]
    );
    assert_eq!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_wrong_configuration_keeps_a_daemon_from_starting() {
    let cases = [
        "<command><name>x</name><executable>x</executable><speed>9</speed></command>",
        "<command><name>x</name><executable>../x</executable></command>",
        "<active-response><command>x</command><location>local</location></active-response>",
        "<command><name>x</name><executable>x</executable><timeout_allowed>maybe</timeout_allowed></command>",
        "<active-response><disabled>perhaps</disabled></active-response>",
        "<global><white_list>203.0.113.0/40</white_list></global>",
        "<command><name>!x</name><executable>x</executable></command>",
        "<command><name>host-deny</name><executable>x</executable></command>",
        "<active-response><command>host-deny</command><location>local</location>\
         <repeated_offenders>1,abc</repeated_offenders></active-response>",
        "<active-response><command>host-deny</command><location>local</location>\
         <timeout>-5</timeout></active-response>",
    ];
    let scene = Scene::new();
    for case in cases {
        scene.configure(&[case.to_owned()]);
        let output = refused(&scene, PROGRAMS[0], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{case}: {said}");
        for wanted in ["manager.conf:", "error:", "^", "nothing was started"] {
            assert!(said.contains(wanted), "{case}: {wanted} in {said}");
        }
        let check = refused(&scene, PROGRAMS[0], &["-t"]);
        assert_eq!(check.status.code(), Some(1), "{case}");
    }
    agent_conf(
        &scene,
        "<active-response><disabled>perhaps</disabled></active-response>",
    );
    let output = refused(&scene, PROGRAMS[1], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("agent.conf:1:") && said.contains('^'),
        "{said}"
    );
    // Nothing was started, so nothing is there.
    let left: Vec<_> = fs::read_dir(scene.home.file("queue")).unwrap().collect();
    let names: Vec<_> = left
        .iter()
        .map(|entry| entry.as_ref().unwrap().file_name())
        .collect();
    assert_eq!(names, ["bundled.sha256"]);
}

/// wazuh-execd keeps 64 and crashes on more.
#[test]
fn a_thousand_commands_are_as_good_as_one() {
    let mut scene = Scene::new();
    scene
        .home
        .script("last", "read -r message; echo last >> logs/effects");
    let mut blocks: Vec<_> = (0..1_000)
        .map(|n| {
            let (name, rule) = (format!("c{n}"), format!("{}", 2_000 + n));
            command(&name, "") + &response(&name, &rule, "")
        })
        .collect();
    blocks.push(command("last", "") + &response("last", "1001", ""));
    scene.start(&blocks);
    scene.alert("1001", "203.0.113.9");
    scene.wait("last", "done");
    assert_eq!(scene.effects(), ["last"]);
}
