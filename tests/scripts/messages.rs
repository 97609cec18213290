//! What a script is handed: its surroundings, and alerts by whoever attacks.

use std::fs;

use serde_json::json;

use crate::scene::{Scene, bare, lines, stateful};
use crate::support::alert::Alert;
use crate::support::home::{command, response, text};

/// Keeps the message as it came.
const SAVE: &str = "IFS= read -r message; printf '%s\\n' \"$message\" >> logs/messages";

#[test]
fn a_script_finds_the_surroundings_of_the_contract_and_none_of_the_daemons() {
    let mut scene = Scene::new();
    scene.home.script(
        "looks",
        "{ pwd -P; echo \"$0\"; echo $#; umask; ps -o pid=,pgid=,sid= $$ | tr -s ' '; } > logs/place
         tr '\\0' '\\n' < /proc/$$/environ | sort > logs/environment
         ls -l /proc/$$/fd | sed -n 's/.* \\([0-9]*\\) -> \\([a-z]*\\).*/\\1 \\2/p' > logs/files
         read -r message",
    );
    scene.configure(&[command("looks", "") + &response("looks", "1001", "")]);
    scene.start_manager();
    let mut surroundings = bare();
    surroundings
        .env("SECRET_TOKEN", "x")
        .env("LD_LIBRARY_PATH", "/nowhere");
    surroundings.current_dir("/");
    scene.start_agentd_with(surroundings);
    scene.alert("1001", "203.0.113.9");
    scene.wait("looks", "done");

    let home = scene
        .home
        .path()
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    let place = lines(&scene.home.file("logs/place"));
    assert_eq!(
        place[..4],
        [&home, "active-response/bin/looks", "0", "0027"]
    );
    let ids: Vec<_> = place[4].split_whitespace().collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    assert_eq!(
        lines(&scene.home.file("logs/environment")),
        [
            "HOME=/root",
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            &format!("RIPOST_HOME={home}"),
            "TZ=UTC",
        ]
    );
    let files = lines(&scene.home.file("logs/files"));
    for pipe in ["0 pipe", "2 pipe"] {
        assert!(files.iter().any(|file| file == pipe), "{files:?}");
    }
    assert!(
        !files.iter().any(|file| file.ends_with(" socket")),
        "{files:?}"
    );
}

/// Text that would do harm in a shell, on a terminal, in a log or in JSON.
const HOSTILE: [&str; 7] = [
    "$(touch logs/pwned)",
    "`touch logs/pwned`",
    "'; touch logs/pwned; '",
    "\"},\"command\":\"delete\",\"x\":{\"",
    "line\nforged",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "%s%n \\ \\\\ \u{2028} \u{0}",
];

#[test]
fn hostile_text_reaches_a_script_byte_for_byte_and_nothing_else() {
    let mut scene = Scene::new();
    scene.home.script("save", SAVE);
    scene.start(&[command("save", "") + &response("save", "1001", "")]);
    let mut sent = Vec::new();
    for text in HOSTILE {
        let mut alert = Alert::sshd("203.0.113.9").rule("1001");
        alert.data = json!({"zuletzt": text, "srcip": text, "a": {text: text}});
        sent.push(alert.line());
    }
    // Order, blanks and repeated members are the source's own affair.
    sent.push(
        "{ \"z\":1,  \"rule\":{\"id\":\"1001\",\"level\":3}, \"agent\":{\"id\":\"000\"},\"a\":[ ],\
         \"z\":\"\\u0041\\/\",\"é\":1.50e+3 }\n"
            .to_owned(),
    );
    for (number, line) in sent.iter().enumerate() {
        scene.home.append(line.as_bytes());
        scene.wait_nth("save", "done", number + 1);
    }
    let got = lines(&scene.home.file("logs/messages"));
    assert_eq!(got.len(), sent.len());
    for (message, line) in got.iter().zip(&sent) {
        let alert = format!(
            r#""parameters":{{"extra_args":[],"alert":{},"program""#,
            line.trim_end()
        );
        assert!(message.contains(&alert), "{line} in {message}");
    }
    assert!(!scene.home.file("logs/pwned").exists());
    for shown in [
        fs::read(scene.home.file("logs/responses.json")).unwrap(),
        scene.home.ctl(&["history"]).stdout,
        scene.home.log().into_bytes(),
        scene.agentd().said().into_bytes(),
        scene.manager().said().into_bytes(),
    ] {
        assert!(
            !shown.contains(&0x1b),
            "{}",
            String::from_utf8_lossy(&shown)
        );
    }
}

#[test]
fn keys_from_an_alert_are_shown_without_their_escapes_acting() {
    let mut scene = Scene::new();
    let keys = crate::scene::check_keys(r#"["\\u001b[2J\\nx"]"#);
    let body = format!("read -r message\nprintf '{keys}\\n'; read -r reply");
    scene.home.script("keyed", &body);
    scene.start(&[stateful("keyed", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    let applied = scene.wait("keyed", "applied");
    assert_eq!(applied["keys"][0], "\u{1b}[2J\nx");
    for verb in ["responses", "history"] {
        let shown = scene.home.ctl(&[verb]).stdout;
        assert!(
            !shown.contains(&0x1b),
            "{}",
            String::from_utf8_lossy(&shown)
        );
    }
}

#[test]
fn an_alert_that_is_too_long_loses_what_it_can_and_is_not_run_if_that_is_not_enough() {
    let mut scene = Scene::new();
    scene.home.script("save", SAVE);
    // One with a timeout and without keys has something else to say as well.
    scene.home.script("timed", "read -r message");
    scene.start(&[
        command("save", "") + &response("save", "1001", ""),
        stateful("timed", "1001", "600"),
    ]);
    let long = "x".repeat(70_000);
    let alert = |more: &str| {
        let line = Alert::sshd("203.0.113.9").rule("1001").line();
        format!("{{{more},{}", &line[1..])
    };
    let cases = [
        (format!(r#""previous_output":"{long}""#), "previous_output"),
        (
            format!(r#""previous_output":"short","x":1,"full_log":"{long}""#),
            "previous_output and full_log",
        ),
    ];
    for (number, (more, lost)) in (1..).zip(&cases) {
        scene.home.append(alert(more).as_bytes());
        for name in ["save", "timed"] {
            let done = scene.wait_nth(name, "done", number);
            let wanted = format!("without {lost} (message over 65535 bytes)");
            assert!(text(&done, "detail").contains(&wanted), "{name}: {done}");
        }
    }
    let messages = lines(&scene.home.file("logs/messages"));
    assert!(messages[0].contains("full_log") && !messages[0].contains("previous_output"));
    assert!(!messages[1].contains("full_log") && !messages[1].contains("previous_output"));
    for message in &messages {
        assert!(message.contains(r#""data":{"#) && message.len() < 65_535);
    }

    let cases = [
        format!(r#""x":"{long}""#),
        format!(r#""x":"{long}","full_log":"y""#),
    ];
    for (number, more) in (1..).zip(&cases) {
        scene.home.append(alert(more).as_bytes());
        let failed = scene.wait_nth("save", "failed", number);
        assert!(
            text(&failed, "detail").contains("65535 is the limit"),
            "{failed}"
        );
    }
    assert_eq!(lines(&scene.home.file("logs/messages")).len(), 2);
}

#[test]
fn extra_args_are_words_inside_the_message() {
    let mut scene = Scene::new();
    scene
        .home
        .script("save", &format!("echo $# > logs/count; {SAVE}"));
    let more = "<extra_args>-a  $(id) \"b\" 'c'</extra_args>";
    scene.start(&[command("save", more) + &response("save", "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("save", "done");
    let message = lines(&scene.home.file("logs/messages")).remove(0);
    let wanted = r#""parameters":{"extra_args":["-a","$(id)","\"b\"","'c'"],"alert":{"#;
    assert!(message.contains(wanted), "{message}");
    assert!(
        message.ends_with(r#","program":"active-response/bin/save"}}"#),
        "{message}"
    );
    assert_eq!(lines(&scene.home.file("logs/count")), ["0"]);
}
