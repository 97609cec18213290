//! Names and lists of what is never acted upon, and files that change by
//! themselves: overlays, and a configuration that is applied at once.

use std::fs;

use serde_json::Value;

use crate::scene::{SOON, Scene, keyed, stateful};
use crate::support::home::text;
use crate::support::wait_for;

fn scene(global: &str) -> (Scene, String) {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    let block = stateful("keyed", "1001", "600");
    scene.start(std::slice::from_ref(&block));
    scene.home.configure_global(global, &[&block]);
    assert!(scene.home.ctl(&["reload"]).status.success());
    (scene, block)
}

fn detail(record: &Value) -> String {
    text(record, "detail")
}

/// The operator log has no other answer.
fn wait_said(scene: &mut Scene, what: &str, times: usize) {
    wait_for(what, SOON, || {
        let said = scene.manager().said();
        (said.matches(what).count() >= times).then_some(())
    });
}

fn wait_agentd_said(scene: &mut Scene, what: &str, times: usize) {
    wait_for(what, SOON, || {
        let said = scene.agentd().said();
        (said.matches(what).count() >= times).then_some(())
    });
}

#[test]
fn names_of_hosts_hold_for_scripts_on_the_manager_and_on_the_host() {
    let (scene, _) = scene("<white_list>^web-[7]</white_list><white_list>.example$</white_list>");
    scene.alert("1001", "DB-7.example");
    let refused = scene.wait("keyed", "refused");
    assert_eq!(
        detail(&refused),
        "DB-7.example is in the white list (.example$)"
    );
    let own = "<ossec_config><global><white_list>^mail-</white_list></global></ossec_config>\n";
    fs::write(scene.home.file("etc/agent.conf"), own).unwrap();
    assert!(scene.home.ctl(&["reload"]).status.success());
    scene.alert("1001", "mail-7.org");
    let refused = scene.wait_nth("keyed", "refused", 2);
    assert_eq!(
        detail(&refused),
        "mail-7.org is in the white list of this host (^mail-)"
    );
    // No class, as in OS_Match.
    scene.alert("1001", "web-7.org");
    scene.wait("keyed", "applied");
    assert_eq!(scene.effects(), ["keyed add web-7.org"]);
}

#[test]
fn a_changed_list_holds_at_once_and_a_broken_one_changes_nothing() {
    let named = "<white_list list=\"etc/lists/offices\"/>";
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    let block = stateful("keyed", "1001", "600");
    let list = scene.home.file("etc/lists/offices");
    fs::write(&list, "203.0.113.0/24\n").unwrap();
    scene.start(std::slice::from_ref(&block));
    scene.home.configure_global(named, &[&block]);
    assert!(scene.home.ctl(&["reload"]).status.success());
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "refused");

    // What waits for a reload goes on to wait.
    scene.configure(&[]);
    fs::write(&list, "198.51.100.0/24 # moved\n").unwrap();
    wait_said(&mut scene, "applied the lists on disk", 1);
    scene.alert("1001", "198.51.100.9");
    let refused = scene.wait_nth("keyed", "refused", 2);
    assert!(detail(&refused).contains("198.51.100.0/24"), "{refused}");
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "applied");

    fs::write(&list, "192.0.2.0/24\n198.51.100.0/240\n").unwrap();
    wait_said(&mut scene, "the lists on disk cannot be applied", 1);
    let said = scene.manager().said();
    assert!(said.contains("offices:2:1: error: "), "{said}");
    fs::remove_file(&list).unwrap();
    wait_said(&mut scene, "the lists on disk cannot be applied", 2);
    scene.alert("1001", "198.51.100.10");
    scene.wait_nth("keyed", "refused", 3);
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9"]);
}

#[test]
fn overlays_and_changes_are_applied_at_once_where_that_is_wanted() {
    let (mut scene, block) = scene("");
    fs::create_dir(scene.home.file("etc/manager.d")).unwrap();
    let overlay = scene.home.file("etc/manager.d/50-more.conf");
    let more = |text: &str| format!("<ossec_config>{text}</ossec_config>\n");
    let second = stateful("keyed", "1002", "500").replace("<name>keyed", "<name>other");
    let second = second.replace("<command>keyed", "<command>other");
    fs::write(&overlay, more(&second)).unwrap();
    wait_said(&mut scene, "the configuration has changed and passes", 1);
    scene.alert("1002", "203.0.113.9");

    scene
        .home
        .configure_global("<auto_reload>yes</auto_reload>", &[&block]);
    wait_said(&mut scene, "the configuration has changed and passes", 2);
    assert!(scene.home.ctl(&["reload"]).status.success());
    scene.alert("1002", "203.0.113.10");
    scene.wait("other", "applied");
    assert_eq!(scene.effects(), ["keyed add 203.0.113.10"]);

    // From here on nobody has to ask.
    fs::write(&overlay, more("<active-respones/>")).unwrap();
    wait_said(&mut scene, "applied the configuration on disk", 3);
    fs::write(&overlay, "<ossec_config>").unwrap();
    wait_said(&mut scene, "the configuration on disk cannot be applied", 1);
    let said = scene.manager().said();
    assert!(said.contains("50-more.conf:1:2: error: "), "{said}");
    fs::write(&overlay, more(&second)).unwrap();
    wait_said(&mut scene, "applied the configuration on disk", 4);
    scene.alert("1002", "203.0.113.11");
    scene.wait_nth("other", "applied", 2);
}

#[test]
fn the_file_and_the_list_of_a_host_hold_at_once_too() {
    let (mut scene, _) = scene("");
    let global = |more: &str| {
        format!(
            "<ossec_config><global><auto_reload>yes</auto_reload>{more}</global></ossec_config>"
        )
    };
    let list = scene.home.file("etc/lists/own");
    fs::write(&list, "").unwrap();
    let conf = scene.home.file("etc/agent.conf");
    fs::write(&conf, global("<white_list list=\"etc/lists/own\"/>")).unwrap();
    assert!(scene.home.ctl(&["reload"]).status.success());
    fs::write(&list, "203.0.113.9\n").unwrap();
    wait_agentd_said(&mut scene, "applied the lists on disk", 1);
    scene.alert("1001", "203.0.113.9");
    let refused = scene.wait("keyed", "refused");
    assert_eq!(
        detail(&refused),
        "203.0.113.9 is in the white list of this host (203.0.113.9/32)"
    );
    fs::write(&conf, global("")).unwrap();
    // Behind the two that were asked for.
    wait_agentd_said(&mut scene, "applied the configuration on disk", 3);
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "applied");
}
