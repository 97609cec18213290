//! Scripts that do not do what they should, and what the others notice of it.

use serde_json::Value;

use crate::scene::{Gate, Scene, TIMED, check_keys, keyed, lines, lives, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, response, text};

/// What a script does after it has read its message, the state its action ends
/// in, and what the record must hold.
struct Case {
    name: &'static str,
    body: &'static str,
    state: &'static str,
    holds: fn(&Value) -> bool,
}

const CASES: &[Case] = &[
    Case {
        name: "exits-1",
        body: "echo 'no such tool' >&2; exit 1",
        state: "failed",
        holds: |record| record["exit_code"] == 1 && record["stderr"] == "no such tool",
    },
    Case {
        name: "killed",
        body: "kill -SEGV $$",
        state: "failed",
        holds: |record| has(record, "signal 11") && record.get("exit_code").is_none(),
    },
    Case {
        name: "prints-10-mb",
        body: "head -c 10000000 /dev/zero | tr '\\0' x",
        state: "done",
        holds: |record| has(record, "printed something else") && record["exit_code"] == 0,
    },
    Case {
        name: "says-10-mb",
        body: "head -c 10000000 /dev/zero | tr '\\0' x >&2",
        state: "done",
        holds: |record| {
            let said = text(record, "stderr");
            said.len() < 5_000 && said.contains("bytes more")
        },
    },
    Case {
        name: "escapes",
        body: "printf '\\033[2J\\nforged\\n' >&2",
        state: "done",
        holds: |record| text(record, "stderr") == "\\u{1b}[2J\\nforged",
    },
    Case {
        name: "reads-on",
        body: "cat > /dev/null",
        state: "done",
        holds: |record| record["exit_code"] == 0,
    },
];

fn has(record: &Value, words: &str) -> bool {
    text(record, "detail").contains(words)
}

#[test]
fn what_a_script_does_wrong_is_told_and_is_its_own_affair() {
    let mut scene = Scene::new();
    let mut blocks = Vec::new();
    for case in CASES {
        scene
            .home
            .script(case.name, &format!("read -r message\n{}", case.body));
        let more = "<handshake_timeout>1</handshake_timeout>";
        blocks.push(command(case.name, more) + &response(case.name, "1001", ""));
    }
    // One that has nothing to say ends before its message is written.
    scene.home.script("reads-nothing", "exit 0");
    blocks.push(command("reads-nothing", "") + &response("reads-nothing", "1001", ""));
    scene.start(&blocks);
    scene.alert("1001", "203.0.113.9");
    for case in CASES {
        let record = scene.wait(case.name, case.state);
        assert!((case.holds)(&record), "{}: {record}", case.name);
        assert!(record["duration_ms"].as_f64().unwrap() > 0.0, "{record}");
    }
    assert_eq!(scene.wait("reads-nothing", "done")["exit_code"], 0);
}

#[test]
fn keys_behind_ten_megabytes_are_found() {
    let mut scene = Scene::new();
    let keys = check_keys(r#"["x"]"#);
    let body = format!(
        "read -r message\ncase $message in *'\"command\":\"delete\"'*) exit ;; esac\n\
         head -c 10000000 /dev/zero | tr '\\0' x; echo; echo '{keys}'; read -r reply"
    );
    scene.home.script("late", &body);
    scene.start(&[stateful("late", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    assert_eq!(scene.wait("late", "applied")["keys"][0], "x");
}

#[test]
fn an_add_that_fails_after_it_was_told_to_go_on_is_taken_back_once() {
    let mut scene = Scene::new();
    scene
        .home
        .script("half", &keyed("echo half done >&2; exit 3", ""));
    scene.start(&[stateful("half", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    let failed = scene.wait("half", "failed");
    assert_eq!(failed["exit_code"], 3);
    assert_eq!(text(&failed, "stderr"), "half done");
    assert_eq!(
        scene.states("half"),
        ["sent", "running", "reverting", "failed"]
    );
    assert_eq!(
        scene.effects(),
        ["half add 203.0.113.9", "half delete 203.0.113.9"]
    );
    // The target is free again.
    scene.alert("1001", "203.0.113.9");
    scene.wait_nth("half", "failed", 2);
    assert_eq!(scene.effects().len(), 4);
}

#[test]
fn a_delete_that_fails_is_told_and_not_repeated() {
    let mut scene = Scene::new();
    scene
        .home
        .script("stuck", &keyed("", "echo cannot >&2; exit 4"));
    scene.home.script("fence", &keyed("", ""));
    scene.start(&[
        stateful("stuck", "1001", "1"),
        stateful("fence", "1001", "3"),
    ]);
    scene.alert("1001", "203.0.113.9");
    let failed = scene.wait("stuck", "failed");
    assert_eq!(failed["exit_code"], 4);
    assert_eq!(text(&failed, "stderr"), "cannot");
    // A retry would have come a second later.
    scene.wait("fence", "reverted");
    let effects = scene.effects();
    let deletes = effects
        .iter()
        .filter(|effect| effect.starts_with("stuck delete"));
    assert_eq!(deletes.count(), 1, "{effects:?}");
}

#[test]
fn a_script_that_hangs_is_ended_with_its_children() {
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    let pids = "echo $$ >> logs/pids";
    // timeout(1) gives its child a group of its own, in the same session.
    let body = format!("timeout 60 sh -c '{pids}; {hang}' &\n{pids}\n{hang}");
    scene
        .home
        .script("silent", &format!("read -r message\n{body}"));
    scene.home.script("keyed", &keyed(&body, ""));
    let more = format!("{TIMED}<execution_timeout>1</execution_timeout>");
    scene.start(&[
        command("silent", &more) + &response("silent", "1001", ""),
        command("keyed", &more) + &response("keyed", "1001", "600"),
    ]);
    scene.alert("1001", "203.0.113.9");
    for name in ["silent", "keyed"] {
        let failed = scene.wait(name, "failed");
        assert!(has(&failed, "time limit"), "{failed}");
    }
    let pids = lines(&scene.home.file("logs/pids"));
    assert_eq!(pids.len(), 4);
    let left: Vec<_> = pids.iter().filter(|pid| lives(pid)).collect();
    assert!(left.is_empty(), "{left:?} of {pids:?}");
    // It may have done something before it hung.
    assert_eq!(
        scene.effects(),
        ["keyed add 203.0.113.9", "keyed delete 203.0.113.9"]
    );
    let log = scene.home.log();
    for name in ["silent", "keyed"] {
        let line = format!("active-response/bin/{name}: killed");
        assert!(log.contains(&line), "{line} in {log}");
    }
}

#[test]
fn a_child_in_the_background_is_left_alone_and_nobody_waits_for_its_stdout() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    let body = format!("read -r message\n({}) & echo $! > logs/child", gate.wait());
    scene.home.script("starts-one", &body);
    scene.start(&[command("starts-one", "") + &response("starts-one", "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("starts-one", "done");
    let child = lines(&scene.home.file("logs/child")).remove(0);
    assert!(lives(&child), "{child} waits at the gate");
    gate.open();
}

/// By the order of the records: all that others do is told while one hangs,
/// before its keys, after them, or in its delete.
#[test]
fn a_script_that_hangs_holds_nobody_up() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    let silent = format!("read -r message; echo silent >> logs/effects; {hang}");
    scene.home.script("silent", &silent);
    scene.home.script("in-add", &keyed(&hang, ""));
    scene.home.script("in-delete", &keyed("", &hang));
    scene.home.script("quick", &keyed("", ""));
    scene.start(&[
        command("silent", "") + &response("silent", "1001", ""),
        stateful("in-add", "1001", "600"),
        stateful("in-delete", "1001", "1"),
        stateful("quick", "1002", "1"),
    ]);
    scene.alert("1001", "203.0.113.9");
    // silent, in-add, in-delete's add and its delete.
    scene.wait_effects(4);
    let others = ["203.0.113.9", "203.0.113.10"].map(|other| Alert::sshd(other).rule("1002"));
    scene.home.alert(&others);
    scene.wait_nth("quick", "reverted", 2);
    assert_eq!(scene.states("silent"), ["sent", "running"]);
    assert_eq!(scene.states("in-add"), ["sent", "running"]);
    assert_eq!(
        scene.states("in-delete"),
        ["sent", "running", "applied", "reverting"]
    );

    gate.open();
    scene.wait("silent", "done");
    scene.wait("in-add", "applied");
    scene.wait("in-delete", "reverted");
}
