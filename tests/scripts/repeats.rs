//! The same target again, by the same or another way.

use crate::scene::{Gate, Scene, TIMED, keyed, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, millis, response, text};

/// Between two ends that are one: each is shown by the clock of its moment.
const SAME: i64 = 20;

#[test]
fn a_repeat_is_aborted_and_prolongs_but_never_shortens() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[
        stateful("keyed", "1001", "4"),
        response("keyed", "1002", "2"),
        response("keyed", "1003", "6"),
    ]);
    scene.alert("1001", "203.0.113.9");
    let first = scene.wait("keyed", "applied");
    let until = millis(&first, "until");

    scene.alert("1002", "203.0.113.9");
    let shorter = scene.wait("keyed", "already");
    assert!(
        (millis(&shorter, "until") - until).abs() <= SAME,
        "{shorter}"
    );
    let holder = text(&first, "action");
    assert!(text(&shorter, "detail").contains(&holder), "{shorter}");
    assert_eq!(scene.count("keyed", "applied"), 1);

    scene.alert("1003", "203.0.113.9");
    let longer = scene.wait_nth("keyed", "already", 2);
    let moved = scene.wait_nth("keyed", "applied", 2);
    assert_eq!(text(&moved, "action"), holder);
    let later = millis(&moved, "until");
    assert!((millis(&longer, "until") - later).abs() <= SAME, "{longer}");
    assert!(later - until >= 1_900, "{later} after {until}");

    let reverted = scene.wait("keyed", "reverted");
    assert_eq!(text(&reverted, "action"), holder);
    let reverting = scene.wait("keyed", "reverting");
    let late = millis(&reverting, "time") - later;
    assert!((-SAME..=1_000).contains(&late), "{late} ms late");
    assert_eq!(scene.count("keyed", "reverting"), 1);
    let words = ["add", "abort", "abort", "delete"].map(|word| format!("keyed {word} 203.0.113.9"));
    assert_eq!(scene.effects(), words);
}

#[test]
fn two_alerts_at_once_are_one_in_force() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    let same = || Alert::sshd("203.0.113.9").rule("1001");
    scene.home.alert(&[same(), same(), same(), same()]);
    scene.wait_nth("keyed", "already", 3);
    let mut effects = scene.effects();
    effects.sort();
    assert_eq!(
        effects
            .iter()
            .filter(|effect| effect.contains("add"))
            .count(),
        1
    );
    assert_eq!(effects.len(), 4, "{effects:?}");
    assert_eq!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// The same line twice in the file is two alerts.
#[test]
fn an_alert_that_stands_twice_in_the_file_is_acted_upon_twice() {
    let mut scene = Scene::new();
    scene
        .home
        .script("notify", "read -r message; echo ran >> logs/effects");
    scene.start(&[command("notify", "") + &response("notify", "1001", "")]);
    let line = Alert::sshd("203.0.113.9").rule("1001").line();
    scene.home.append(line.repeat(2).as_bytes());
    scene.wait_nth("notify", "done", 2);
    let done: Vec<_> = scene.records("notify");
    let mut actions: Vec<_> = done.iter().map(|record| text(record, "action")).collect();
    actions.sort();
    actions.dedup();
    assert_eq!(actions.len(), 2);
    assert_eq!(scene.effects().len(), 2);
}

#[test]
fn a_response_that_stands_twice_runs_once_and_two_that_differ_are_two() {
    let mut scene = Scene::new();
    for name in ["twice", "fence"] {
        scene.home.script(
            name,
            &format!("read -r message; echo {name} >> logs/effects"),
        );
    }
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[
        command("twice", ""),
        response("twice", "1001", ""),
        response("twice", "1001", ""),
        command("keyed", TIMED),
        response("keyed", "1001", "600"),
        response("keyed", "1001", "700"),
        // Runs after whatever the first alert led to was taken in.
        command("fence", "") + &response("fence", "1002", ""),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.alert("1002", "203.0.113.9");
    scene.wait("fence", "done");
    scene.wait("twice", "done");
    let repeat = scene.wait("keyed", "already");
    let sent: Vec<_> = scene.states("twice");
    assert_eq!(sent, ["sent", "running", "done"]);
    let check = scene.home.ctl(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("warning"), "{said}");
    // Whichever came first, the later end counts.
    let left = millis(&repeat, "until") - millis(&repeat, "time");
    assert!(left > 690_000, "{repeat}");
}

#[test]
fn two_commands_of_one_executable_are_one_in_force() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    let other = format!(
        "<command><name>other</name><executable>keyed</executable>\
         <extra_args>-x  two</extra_args>{TIMED}</command>"
    );
    scene.start(&[
        stateful("keyed", "1001", "600"),
        other + &response("other", "1002", "600"),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "applied");
    scene.alert("1002", "203.0.113.9");
    let repeat = scene.wait("other", "already");
    assert_eq!(repeat["executable"], "keyed");
    scene.alert("1002", "203.0.113.10");
    scene.wait("other", "applied");
    assert_eq!(
        scene.effects(),
        [
            "keyed add 203.0.113.9",
            "keyed abort 203.0.113.9",
            "keyed add 203.0.113.10"
        ]
    );
}

/// OSSEC takes `-` for an address like any other, and runs the first only.
#[test]
fn alerts_without_an_address_are_each_acted_upon() {
    let mut scene = Scene::new();
    let body = keyed("", "").replace("srcip", "dstuser");
    scene.home.script("keyed", &body);
    scene.start(&[stateful("keyed", "1001", "600")]);
    for user in ["alice", "bob", "carol"] {
        let mut alert = Alert::sshd("-").rule("1001");
        alert.data = serde_json::json!({"srcip": "-", "dstuser": user});
        scene.home.alert(&[alert]);
        scene.wait_effects(1);
    }
    scene.wait_nth("keyed", "applied", 3);
    let mut effects = scene.effects();
    effects.sort();
    let users = ["alice", "bob", "carol"].map(|user| format!("keyed add {user}"));
    assert_eq!(effects, users);
}

#[test]
fn an_alert_during_the_delete_is_acted_upon_after_it() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    scene.home.script("keyed", &keyed("", &gate.wait()));
    scene.start(&[
        stateful("keyed", "1001", "1"),
        response("keyed", "1002", "600"),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(2);
    scene.alert("1002", "203.0.113.9");
    // Another target does not wait for it.
    scene.alert("1002", "203.0.113.10");
    scene.wait_nth("keyed", "applied", 2);
    gate.open();
    scene.wait_nth("keyed", "applied", 3);
    let words = ["add", "delete"].map(|word| format!("keyed {word} 203.0.113.9"));
    let [first, second] = &words;
    let other = "keyed add 203.0.113.10";
    assert_eq!(scene.effects(), [first, second, other, first]);
    assert_eq!(scene.count("keyed", "already"), 0);
}

#[test]
fn a_repeat_takes_the_place_of_an_add_that_failed() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    let fail = format!(
        "if [ ! -e logs/been-here ]; then : > logs/been-here; {}; exit 1; fi",
        gate.wait()
    );
    scene.home.script("keyed", &keyed(&fail, ""));
    scene.start(&[stateful("keyed", "1001", "600")]);
    let same = || Alert::sshd("203.0.113.9").rule("1001");
    scene.home.alert(&[same(), same()]);
    scene.wait_effects(1);
    gate.open();
    let applied = scene.wait("keyed", "applied");
    let failed = scene.wait("keyed", "failed");
    assert_ne!(applied["action"], failed["action"]);
    let words = ["add", "delete", "add"].map(|word| format!("keyed {word} 203.0.113.9"));
    assert_eq!(scene.effects(), words);
}
