//! Scripts that are spoken to in other ways than that of 4.x, and OSSEC's names,
//! under the real daemons.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::scene::{Gate, SOON, Scene, TIMED, lines, lives, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, response, text};
use crate::support::wait_for;

/// An OSSEC command: what it expects makes it one.
const SRCIP: &str = "<expect>srcip</expect><timeout_allowed>yes</timeout_allowed>";

/// Writes its words to `logs/effects`, each in brackets.
const WORDS: &str =
    r#"words=$(printf '[%s]' "${0##*/}" "$@"); printf '%s\n' "$words" >> logs/effects"#;

fn block(name: &str, more: &str, rule: &str, timeout: &str) -> String {
    command(name, more) + &response(name, rule, timeout)
}

/// As [`Alert::sshd`] with these decoded fields.
fn alert(rule: &str, data: serde_json::Value) -> Alert {
    let mut alert = Alert::sshd("192.0.2.1").rule(rule);
    alert.data = data;
    alert
}

#[test]
fn an_ossec_script_gets_its_words_is_reverted_and_not_run_for_a_repeat() {
    let mut scene = Scene::new();
    scene.home.script("own.sh", WORDS);
    scene.start(&[block("own.sh", SRCIP, "1001", "4")]);
    scene.alert("1001", "203.0.113.9");
    let applied = scene.wait("own.sh", "applied");
    assert_eq!(applied["keys"], json!(["203.0.113.9"]));
    assert!(applied.get("verified").is_none(), "{applied}");
    scene.alert("1001", "203.0.113.9");
    scene.wait("own.sh", "already");
    scene.wait("own.sh", "reverted");
    let effects = scene.effects();
    assert_eq!(effects.len(), 2, "{effects:?}");
    let alert = text(&applied, "alert");
    let words = format!("[-][203.0.113.9][{alert}][1001][/var/log/app.log][-]");
    assert_eq!(
        effects,
        [
            format!("[own.sh][add]{words}"),
            format!("[own.sh][delete]{words}")
        ]
    );
}

/// Files of `tests/data/scripts`, what else their command says, and how they end.
const SET: &[(&str, &str, &str)] = &[
    ("read.bash", "", "reverted"),
    ("jq.bash", "", "reverted"),
    ("handshake.pl", "", "reverted"),
    ("chatty.sh", "", "reverted"),
    (
        "cat.bash",
        "<handshake_timeout>1</handshake_timeout>",
        "done",
    ),
    ("home.sh", "", "done"),
    ("words.sh", "<expect>srcip</expect>", "reverted"),
    ("words.pl", "<expect>srcip user</expect>", "reverted"),
    ("words.py", "<contract>argv</contract>", "reverted"),
    ("v5.bash", "<contract>v5</contract>", "reverted"),
];

#[test]
fn scripts_as_people_write_them_run_unchanged_under_the_daemons() {
    let mut scene = Scene::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scripts");
    let mut blocks = Vec::new();
    for (name, more, _) in SET {
        let path = scene.home.file("active-response/bin").join(name);
        std::fs::copy(format!("{folder}/{name}"), &path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        blocks.push(block(name, &format!("{TIMED}{more}"), "1001", "3"));
    }
    scene.start(&blocks);
    scene.alert("1001", "203.0.113.9");
    let mut effects = 0;
    for (name, _, end) in SET {
        scene.wait(name, end);
        assert_eq!(scene.count(name, "failed"), 0, "{name}");
        effects += if *end == "reverted" { 2 } else { 1 };
    }
    let found = lines(&scene.home.file("logs/effect"));
    assert_eq!(found.len(), effects, "{found:?}");
    let added = found.iter().filter(|line| *line == "add 203.0.113.9");
    assert_eq!(added.count(), SET.len(), "{found:?}");
}

#[test]
fn accounts_are_told_apart_where_only_a_user_is_expected() {
    let mut scene = Scene::new();
    scene.home.script("lock.sh", WORDS);
    scene.start(&[block(
        "lock.sh",
        "<expect>user</expect><timeout_allowed>yes</timeout_allowed>",
        "1001",
        "600",
    )]);
    for user in ["alice", "bob", "alice"] {
        let data = json!({"srcip": "203.0.113.9", "dstuser": user});
        scene.home.alert(&[alert("1001", data)]);
    }
    scene.wait_nth("lock.sh", "applied", 2);
    scene.wait("lock.sh", "already");
    let mut effects = scene.effects();
    effects.sort();
    assert_eq!(effects.len(), 2, "{effects:?}");
    for (effect, user) in effects.iter().zip(["alice", "bob"]) {
        assert!(
            effect.starts_with(&format!("[lock.sh][add][{user}][-]")),
            "{effect}"
        );
    }
}

#[test]
fn what_is_missing_or_not_fit_for_a_word_is_refused_with_its_reason() {
    let mut scene = Scene::new();
    scene.home.script("own.sh", WORDS);
    scene.home.script("last.sh", WORDS);
    scene.start(&[
        block("own.sh", SRCIP, "1001", ""),
        block("last.sh", "<expect></expect>", "1002", ""),
    ]);
    let cases = [
        (
            json!({"dstuser": "alice"}),
            "has no source address, which the command expects",
        ),
        (json!({"srcip": "-j"}), "data.srcip"),
        (
            json!({"srcip": "1.2.3.4; touch logs/effects"}),
            "1.2.3.4; touch",
        ),
        (json!({"srcip": "$(id)"}), "data.srcip"),
    ];
    for (number, (data, wanted)) in cases.into_iter().enumerate() {
        scene.home.alert(&[alert("1001", data)]);
        let refused = scene.wait_nth("own.sh", "refused", number + 1);
        assert!(text(&refused, "detail").contains(wanted), "{refused}");
    }
    // Nothing is expected, so nothing of it matters.
    scene
        .home
        .alert(&[alert("1002", json!({"srcip": "$(id)", "dstuser": "-l"}))]);
    scene.wait("last.sh", "done");
    let effects = scene.effects();
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert!(
        effects[0].starts_with("[last.sh][add][-][-][1795168800."),
        "{effects:?}"
    );
}

#[test]
fn a_white_list_holds_for_the_address_that_a_script_is_given() {
    let mut scene = Scene::new();
    scene.home.script("own.sh", WORDS);
    scene.home.script("lock.sh", WORDS);
    let blocks = [
        block("own.sh", SRCIP, "1001", ""),
        block("lock.sh", "<expect>user</expect>", "1001", ""),
    ];
    let listed = "<white_list>203.0.113.0/24</white_list>";
    scene
        .home
        .configure_global(listed, &[&blocks[0], &blocks[1]]);
    scene.start_manager();
    scene.start_agentd();
    scene.alert("1001", "203.0.113.9");
    let refused = scene.wait("own.sh", "refused");
    assert!(
        text(&refused, "detail").contains("203.0.113.0/24"),
        "{refused}"
    );
    // It is not told of the address, so it cannot act on it.
    scene.wait("lock.sh", "done");
    assert_eq!(scene.effects().len(), 1);
}

#[test]
fn extra_args_are_words_too_and_a_contract_may_be_written() {
    let mut scene = Scene::new();
    scene.home.script("own.sh", WORDS);
    let more = "<contract>argv</contract><extra_args>--zone  a;b</extra_args>";
    scene.start(&[block("own.sh", more, "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("own.sh", "done");
    let effects = scene.effects();
    assert!(effects[0].contains("[admin][203.0.113.9]"), "{effects:?}");
    assert!(
        effects[0].ends_with("[/var/log/app.log][-][--zone][a;b]"),
        "{effects:?}"
    );
}

#[test]
fn a_script_of_wazuh_5_is_enabled_and_disabled() {
    let mut scene = Scene::new();
    let python = include_str!("../data/scripts/v5.py");
    for name in ["v5.py", "silent.sh"] {
        let body = match name {
            "v5.py" => python.to_owned(),
            _ => "#!/bin/sh\nread -r event; echo \"$event\" >> logs/events\n".to_owned(),
        };
        let path = scene.home.file("active-response/bin").join(name);
        std::fs::write(&path, body).unwrap();
        let mode = Permissions::from_mode(0o750);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let more = format!("{TIMED}<contract>v5</contract><handshake_timeout>1</handshake_timeout>");
    scene.start(&[
        block("v5.py", &more, "1001", "2"),
        block("silent.sh", &more, "1001", "2"),
    ]);
    scene.alert("1001", "203.0.113.9");
    let applied = scene.wait("v5.py", "applied");
    assert_eq!(applied["keys"], json!(["203.0.113.9"]));
    scene.wait("v5.py", "reverted");
    // One that names no keys is reverted too.
    scene.wait("silent.sh", "reverted");
    let effect = lines(&scene.home.file("logs/effect"));
    assert_eq!(effect, ["add 203.0.113.9", "delete 203.0.113.9"]);
    let events = lines(&scene.home.file("logs/events"));
    assert!(events[0].ends_with(r#","command":"enable"}"#), "{events:?}");
    assert!(
        events[1].ends_with(r#","command":"disable"}"#),
        "{events:?}"
    );
}

#[test]
fn a_script_with_words_that_was_interrupted_gets_delete_and_then_add() {
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    scene.home.script(
        "own.sh",
        &format!("{WORDS}\nif [ ! -e logs/once ]; then : > logs/once; {hang}; fi"),
    );
    scene.start(&[block("own.sh", SRCIP, "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait_effects(1);
    scene.kill_agentd();
    scene.start_agentd();
    scene.wait("own.sh", "applied");
    let commands = scene.effects();
    let command = |effect: &String| effect.split(['[', ']']).nth(3).unwrap().to_owned();
    let commands: Vec<_> = commands.iter().map(command).collect();
    assert_eq!(commands, ["add", "delete", "add"]);
}

/// It kills its agent at once, often before that has noted its number, and so is
/// tried more than once.
#[test]
fn a_script_with_words_whose_agent_dies_at_its_start_is_ended_before_it_is_run_again() {
    const TIMES: usize = 6;
    let mut scene = Scene::new();
    let gate = Gate::new(&scene.home, "gate");
    let hang = gate.wait();
    let dies = format!("kill -9 $PPID; : > logs/once-$3; echo $$ >> logs/pids; {hang}");
    scene.home.script(
        "own.sh",
        &format!("if [ ! -e logs/once-$3 ]; then {dies}; fi\n{WORDS}"),
    );
    scene.start(&[block("own.sh", SRCIP, "1001", "600")]);
    for number in 1..=TIMES {
        scene.alert("1001", &format!("203.0.113.{number}"));
        scene.agentd_ends();
        let pid = wait_for("the script tells its number", SOON, || {
            lines(&scene.home.file("logs/pids"))
                .get(number - 1)
                .cloned()
        });
        assert!(lives(&pid));
        scene.start_agentd();
        scene.wait_nth("own.sh", "applied", number);
        assert!(!lives(&pid));
    }
    let effects = scene.effects();
    assert_eq!(effects.len(), 2 * TIMES, "{effects:?}");
    assert!(effects[0].starts_with("[own.sh][delete]"), "{effects:?}");
}

#[test]
fn a_name_of_ossec_runs_the_bundled_executable_unless_such_a_file_is_there() {
    let mut scene = Scene::new();
    // In place of /etc/hosts.deny, which is the machine's.
    scene.home.script("ip-customblock.cmd", WORDS);
    let blocked = scene.home.file("blocked");
    std::fs::create_dir(&blocked).unwrap();
    let arguments = format!("<extra_args>--directory {}</extra_args>", blocked.display());
    scene.start(&[
        block(
            "ip-customblock.sh",
            &format!("{TIMED}{arguments}"),
            "1001",
            "600",
        ),
        block(
            "ip-customblock",
            &format!("{TIMED}{arguments}"),
            "1002",
            "600",
        ),
        block("ip-customblock.cmd", SRCIP, "1003", ""),
    ]);
    scene.alert("1001", "203.0.113.9");
    let applied = scene.wait("ip-customblock.sh", "applied");
    assert_eq!(applied["executable"], "ip-customblock", "{applied}");
    assert_eq!(applied["verified"], true, "{applied}");
    assert!(blocked.join("203.0.113.9").exists());
    // By its own name it is the same.
    scene.alert("1002", "203.0.113.9");
    scene.wait("ip-customblock", "already");
    wait_for("agentd says what runs", SOON, || {
        let said = scene.agentd().said();
        said.contains("the bundled executable runs in its place")
            .then_some(())
    });
    let check = scene.home.ctl(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("ip-customblock.sh is not in "), "{said}");
    assert!(!said.contains("ip-customblock.cmd is not in"), "{said}");
    // A file of the name is a script of its own.
    scene.alert("1003", "203.0.113.9");
    let done = scene.wait("ip-customblock.cmd", "done");
    assert_eq!(done["executable"], "ip-customblock.cmd");
    assert!(scene.effects()[0].starts_with("[ip-customblock.cmd][add][-][203.0.113.9]"));
}

#[test]
fn a_person_who_runs_a_script_with_words_gives_it_a_target_and_no_rule() {
    let mut scene = Scene::new();
    scene.home.script("own.sh", WORDS);
    scene.start(&[stateful("other", "1", "9"), command("own.sh", SRCIP)]);
    let ran = scene
        .home
        .ctl(&["run", "own.sh", "--agent", "000", "--target", "203.0.113.9"]);
    assert!(ran.status.success(), "{ran:?}");
    scene.wait("own.sh", "done");
    assert_eq!(
        scene.effects(),
        ["[own.sh][add][-][203.0.113.9][(from_the_server)][(no_rule_id)][-][-]"]
    );
}
