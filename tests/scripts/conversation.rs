//! What a script says and is told, and whether it is taken back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::scene::{Scene, TIMED, check_keys, keyed, lines, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, millis, response, text};

const PYTHON: &str = include_str!("../data/scripts/handshake.py");

fn install(scene: &Scene, name: &str, file: &str) {
    let path = scene.home.file("active-response/bin").join(name);
    fs::write(&path, file).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn a_script_of_4_x_is_applied_and_reverted_at_its_end_with_the_original_message() {
    let mut scene = Scene::new();
    // `cat` ends at once: nothing comes after the reply, nor after a delete.
    let save = |what| format!("printf '%s\\n' {what} >> logs/messages; cat >> logs/messages");
    let body = keyed(&save(r#""$message" "$reply""#), &save(r#""$message""#));
    scene.home.script("keyed", &body);
    scene.start(&[stateful("keyed", "1001", "2")]);
    let alert = Alert::sshd("203.0.113.9").rule("1001").line();
    scene.home.append(alert.as_bytes());
    let reverted = scene.wait("keyed", "reverted");

    let states = ["sent", "running", "applied", "reverting", "reverted"];
    assert_eq!(scene.states("keyed"), states);
    let records = scene.records("keyed");
    let (sent, applied, reverting) = (&records[0], &records[2], &records[3]);
    assert_eq!(applied["keys"][0], "203.0.113.9");
    assert_eq!(applied["exit_code"], 0);
    assert!(
        applied.get("verified").is_none(),
        "nobody looked: {applied}"
    );
    let until = millis(applied, "until");
    let span = until - millis(sent, "time");
    assert!((1_900..=2_100).contains(&span), "{span} ms of 2 s");
    // An end is kept in boot time and shown in wall time, each in milliseconds.
    let late = millis(reverting, "time") - until;
    assert!((-2..=1_000).contains(&late), "{late} ms late");
    assert_eq!(reverted["since"], applied["since"]);

    let messages = lines(&scene.home.file("logs/messages"));
    let [add, reply, delete] = &messages[..] else {
        panic!("{messages:?}");
    };
    let of = |word: &str| add.replacen(r#""command":"add""#, &format!(r#""command":"{word}""#), 1);
    assert!(
        add.contains(&format!(r#""alert":{},"#, alert.trim_end())),
        "{add}"
    );
    assert_eq!(*reply, of("continue"));
    assert_eq!(*delete, of("delete"));
}

#[test]
fn a_python_script_of_4_x_may_even_print_after_the_reply() {
    let mut scene = Scene::new();
    install(&scene, "py", PYTHON);
    scene.start(&[stateful("py", "1001", "1")]);
    scene.alert("1001", "203.0.113.9");
    let reverted = scene.wait("py", "reverted");
    assert_eq!(reverted["exit_code"], 0, "{reverted}");
    assert_eq!(scene.wait("py", "applied")["exit_code"], 0);
    let effect = fs::read_to_string(scene.home.file("logs/effect")).unwrap();
    assert_eq!(effect, "add 203.0.113.9\ndelete 203.0.113.9\n");
}

/// The last script is reverted when the time of all of them is over, so that
/// whatever happens to the others has happened.
#[test]
fn only_a_script_that_named_keys_or_whose_command_says_so_is_reverted() {
    let mut scene = Scene::new();
    let one_shot = r#"#!/bin/bash
read -r message
[[ $message == *'"command":"add"'* ]] && word=add || word=delete
echo "${0##*/} $word" >> logs/effects
"#;
    for name in ["one-shot", "told-to"] {
        install(&scene, name, one_shot);
    }
    for name in ["told-not-to", "keyed"] {
        scene.home.script(name, &keyed("", ""));
    }
    let with = |name: &str, revert: &str, timeout: &str| {
        command(name, &format!("{TIMED}<revert>{revert}</revert>"))
            + &response(name, "1001", timeout)
    };
    scene.start(&[
        stateful("one-shot", "1001", "1"),
        with("told-to", "yes", "1"),
        with("told-not-to", "no", "1"),
        stateful("keyed", "1001", "2"),
    ]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("keyed", "reverted");
    scene.wait("told-to", "reverted");

    let once = ["sent", "running", "done"];
    assert_eq!(scene.states("one-shot"), once);
    assert_eq!(scene.states("told-not-to"), once);
    let detail = text(&scene.wait("one-shot", "done"), "detail");
    assert!(detail.contains("no check_keys"), "{detail}");
    let mut effects = scene.effects();
    effects.sort();
    assert_eq!(
        effects,
        [
            "keyed add 203.0.113.9",
            "keyed delete 203.0.113.9",
            "one-shot add",
            "told-not-to add 203.0.113.9",
            "told-to add",
            "told-to delete",
        ]
    );
}

#[test]
fn without_a_timeout_a_script_runs_for_every_alert_and_is_always_told_to_continue() {
    let mut scene = Scene::new();
    scene.home.script("keyed", &keyed("", ""));
    scene.start(&[command("keyed", "") + &response("keyed", "1001", "")]);
    let same = || Alert::sshd("203.0.113.9").rule("1001");
    scene.home.alert(&[same(), same(), same()]);
    let done = scene.wait_nth("keyed", "done", 3);
    assert_eq!(done["keys"][0], "203.0.113.9");
    assert_eq!(scene.effects(), ["keyed add 203.0.113.9"; 3]);
    assert!(
        scene
            .home
            .ctl_json(&["responses"])
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// 4.x takes the name of the script for the key then, and aborts it for every
/// other target.
#[test]
fn what_is_no_list_of_keys_does_not_keep_other_targets_from_their_turn() {
    let mut scene = Scene::new();
    let long = format!("x{}", "y".repeat(20_000));
    let printed = [
        ("garbage", "no keys".to_owned(), "done", "no keys"),
        ("long", long, "done", "printed something else"),
        (
            "no-text",
            check_keys("[7]"),
            "done",
            "check_keys line is not valid",
        ),
        ("empty", check_keys("[]"), "reverted", ""),
    ];
    let mut blocks = Vec::new();
    for (name, line, _, _) in &printed {
        fs::write(scene.home.file("logs").join(name), format!("{line}\n")).unwrap();
        let body = format!(
            "read -r message\ncase $message in *'\"command\":\"delete\"'*) exit ;; esac\n\
             cat logs/{name}; read -r reply; reply=${{reply#*\\\"command\\\":\\\"}}\n\
             echo {name} ${{reply%%\\\"*}} >> logs/effects"
        );
        scene.home.script(name, &body);
        let more = format!("{TIMED}<handshake_timeout>1</handshake_timeout>");
        blocks.push(command(name, &more) + &response(name, "1001", "3"));
    }
    scene.start(&blocks);
    let targets = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
    scene
        .home
        .alert(&targets.map(|target| Alert::sshd(target).rule("1001")));
    for (name, _, end, detail) in &printed {
        let record = scene.wait_nth(name, end, 3);
        assert!(text(&record, "detail").contains(detail), "{name}: {record}");
        assert!(text(&record, "detail").len() < 1_000, "{name}: {record}");
    }
    let mut effects = scene.effects();
    effects.sort();
    let mut wanted: Vec<_> = printed
        .iter()
        .map(|(name, ..)| format!("{name} continue"))
        .collect();
    wanted.sort();
    effects.dedup_by(|a, b| a == b);
    assert_eq!(effects, wanted);
    assert_eq!(scene.effects().len(), 12);
}

/// The code blocks of the page for authors that begin with `first`.
fn documented(first: &str) -> Vec<String> {
    let page = include_str!("../../active-response/README.md");
    let blocks = page.split("```").skip(1).step_by(2);
    let bodies = blocks.filter_map(|block| block.split_once('\n'));
    let wanted = bodies.filter(|(_, body)| body.starts_with(first));
    wanted.map(|(_, body)| body.to_owned()).collect()
}

#[test]
fn the_scripts_of_the_page_for_authors_work() {
    let mut scene = Scene::new();
    let tool = "#!/bin/sh\necho \"$*\" >> logs/effects\n";
    install(&scene, "my-tool", tool);
    let shell = documented("#!/bin/sh");
    let keyed = shell
        .iter()
        .find(|body| body.contains("check_keys"))
        .unwrap();
    let mut written = vec![("python", documented("#!/usr/bin/env python3").remove(0))];
    if fs::exists("/usr/bin/jq").unwrap() {
        written.push(("shell", keyed.clone()));
    } else {
        eprintln!("SKIPPED the one for sh: jq is not installed");
    }
    let mut blocks = Vec::new();
    for (name, body) in &written {
        install(
            &scene,
            name,
            &body.replace("my-tool", "active-response/bin/my-tool"),
        );
        blocks.push(stateful(name, "1001", "2"));
    }
    scene.start(&blocks);
    let same = || Alert::sshd("203.0.113.9").rule("1001");
    scene.home.alert(&[same(), same()]);
    for (name, _) in &written {
        let reverted = scene.wait(name, "reverted");
        assert_eq!(reverted["exit_code"], 0, "{reverted}");
        assert_eq!(scene.wait(name, "already")["exit_code"], 0);
        assert_eq!(scene.count(name, "reverted"), 1);
    }
    let effects = scene.effects();
    for word in ["block", "unblock"] {
        let is_word = |effect: &&String| effect.starts_with(&format!("{word} "));
        assert_eq!(
            effects.iter().filter(is_word).count(),
            written.len(),
            "{effects:?}"
        );
    }
    assert_eq!(effects.len(), 2 * written.len());
}
