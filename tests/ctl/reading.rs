//! The verbs that show: tables for people, arrays for programs.

use ripost::clock::{self, Wall};
use ripost::model::action::Contract;
use ripost::model::{
    Action, ActionId, ActionState, AgentId, AgentRef, CommandName, ExeName, GroupName, Keys, Level,
    Location, Record, RuleId, RuleRef,
};
use ripost::wire::control::{Agent, Answer, Connection, Request};
use ripost::wire::{Daemon, MAX_FRAME};

use crate::daemon::FakeDaemon;
use crate::{code, home, run, status, stderr, stdout};

pub fn record(number: u8, state: ActionState) -> Record {
    let action = Action {
        id: ActionId::from_bytes([number; 16]),
        command: CommandName::parse("firewall-drop").expect("valid"),
        executable: ExeName::parse("firewall-drop").expect("valid"),
        location: Location::Local,
        agent: AgentRef {
            id: AgentId::MANAGER,
            name: "web-7".into(),
        },
        rule: Some(
            RuleRef {
                id: RuleId::parse("5763").expect("valid"),
                level: Level::parse("10").expect("valid"),
                groups: vec![GroupName::parse("sshd").expect("valid")],
            }
            .into(),
        ),
        alert: Some("1772600767.41231".into()),
        timeout: Some(std::time::Duration::from_secs(600)),
        repeated_offenders: None,
        extra_args: Vec::new(),
        fields: None,
        contract: Contract::Json,
        revert: None,
        execution_timeout: None,
        handshake_timeout: None,
    };
    // 2026-11-20T10:00:00Z
    let time = Wall::from_millis(1_795_168_800_123);
    let mut record = Record::new(&action, state, time);
    record.since = Some(time);
    record.keys = Some(Keys::new(vec![format!("203.0.113.{number}")]).expect("short"));
    record
}

#[test]
fn status_shows_counters_and_problems() {
    let home = home();
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = run(home.path(), &["status"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let text = stdout(&output);
    assert!(
        text.starts_with("ripost-manager 0.1.0, pid 4242, up 0s"),
        "{text}"
    );
    assert!(text.contains("alerts read  17\nin force     3\n"), "{text}");
    assert!(text.contains("problem: the disk is full\n"), "{text}");
    assert_eq!(fake.request(), Some(Request::Status));
}

#[test]
fn status_shows_what_has_come_in_from_each_source() {
    let home = home();
    FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = run(home.path(), &["status"]);
    let text = stdout(&output);
    let mut rows = text.lines().skip_while(|line| !line.starts_with("SOURCE"));
    let words: Vec<_> = rows.nth(1).unwrap().split_whitespace().skip(1).collect();
    assert_eq!(words, ["auto", "26000", "20", "17", "2", "3", "5", "-"]);
    let why = "no alert: 3 of logs/\\u{1b}alerts.json: is not JSON";
    assert_eq!(rows.next(), Some(why), "{text}");
}

#[test]
fn status_as_json_is_an_array_of_one() {
    let home = home();
    FakeDaemon::answering(home.path(), Daemon::Manager, status(Daemon::Manager));
    let output = run(home.path(), &["status", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 1);
    assert_eq!(value[0]["counters"][0]["value"], 17);
    assert_eq!(value[0]["sources"][0]["lines"], 20);
    assert_eq!(value[0]["sources"][0]["not_alerts"][0]["lines"], 3);
}

fn agents() -> Vec<Agent> {
    vec![
        Agent {
            id: AgentId::MANAGER,
            name: "here".to_owned(),
            state: Connection::Connected,
            since: Some(Wall::from_millis(1_795_168_800_000)),
            version: Some("0.1.0".to_owned()),
            groups: vec!["web".to_owned(), "db".to_owned()],
            pending: 2,
            in_force: 5,
            address: None,
            gaps: Vec::new(),
        },
        Agent {
            id: AgentId::parse("7").expect("valid"),
            name: "web-7".into(),
            state: Connection::Offline,
            since: None,
            version: None,
            groups: Vec::new(),
            pending: 0,
            in_force: 0,
            address: Some("192.0.2.7".to_owned()),
            gaps: vec![
                "firewall-drop: no nf_tables".to_owned(),
                "host-deny: \x1b[2J".to_owned(),
            ],
        },
    ]
}

#[test]
fn agents_are_a_table_or_the_documented_array() {
    let home = home();
    let fake = FakeDaemon::answering(
        home.path(),
        Daemon::Manager,
        Answer::Agents { agents: agents() },
    );
    let output = run(home.path(), &["agents"]);
    assert_eq!(
        stdout(&output),
        "\
ID   NAME   GROUPS  ADDRESS    VERSION  STATE      SINCE                PENDING  IN FORCE  GAPS
000  here   web,db  -          0.1.0    connected  2026/11/20 12:00:00  2        5         0
007  web-7  -       192.0.2.7  -        offline    -                    0        0         2
gap: 007 web-7: firewall-drop: no nf_tables
gap: 007 web-7: host-deny: \\u{1b}[2J
"
    );
    assert_eq!(fake.request(), Some(Request::Agents));

    let home = crate::home();
    FakeDaemon::answering(
        home.path(),
        Daemon::Manager,
        Answer::Agents { agents: agents() },
    );
    let output = run(home.path(), &["-o", "json", "agents"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        value[0],
        serde_json::json!({
            "id": "000", "name": "here", "state": "connected",
            "since": "2026-11-20T10:00:00.000Z", "version": "0.1.0",
            "groups": ["web", "db"], "pending": 2, "in_force": 5
        })
    );
    assert_eq!(
        value[1],
        serde_json::json!({
            "id": "007", "name": "web-7", "state": "offline", "address": "192.0.2.7",
            "groups": [], "pending": 0, "in_force": 0,
            "gaps": ["firewall-drop: no nf_tables", "host-deny: \u{1b}[2J"]
        })
    );
}

#[test]
fn responses_show_local_time_and_what_is_left() {
    let home = home();
    let mut timed = record(1, ActionState::Applied);
    timed.until = Some(clock::wall().plus(std::time::Duration::from_secs(5_430)));
    timed.hits = Some(17);
    let mut overdue = record(2, ActionState::Reverting);
    overdue.until = Some(Wall::from_millis(1_000));
    let records = vec![timed, overdue, record(3, ActionState::Applied)];
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
    let output = run(home.path(), &["responses"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let lines: Vec<_> = stdout(&output).lines().collect();
    let [head, first, second, third] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(head.starts_with("ACTION ") && head.contains("  LEFT "));
    assert!(first.starts_with(&"01".repeat(16)), "{first}");
    assert!(
        first.contains("203.0.113.1  5763  2026/11/20 12:00:00  1h30m   17"),
        "{first}"
    );
    assert!(second.ends_with("  due     -"), "{second}");
    assert!(third.ends_with("  no end  -"), "{third}");
    assert_eq!(fake.request(), Some(Request::Responses));
}

#[test]
fn records_as_json_are_the_objects_of_responses_json() {
    for words in [&["responses", "-o", "json"][..], &["history", "-o", "json"]] {
        let home = home();
        let records = vec![
            record(1, ActionState::Applied),
            record(2, ActionState::Failed),
        ];
        FakeDaemon::answering(
            home.path(),
            Daemon::Manager,
            Answer::Records {
                records: records.clone(),
            },
        );
        let output = run(home.path(), words);
        let wanted = serde_json::to_value(&records).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value, wanted);
    }
}

#[test]
fn history_asks_for_as_many_lines_as_wanted_and_says_when_there_may_be_more() {
    for (words, limit, note) in [
        (&["history"][..], 1_000, false),
        (&["history", "-n", "1"], 1, true),
        (&["history", "-n", "2"], 2, false),
    ] {
        let home = home();
        let records = vec![record(9, ActionState::Refused)];
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        assert_eq!(stderr(&output).contains("-n N shows more"), note);
        let line = stdout(&output).lines().nth(1).unwrap();
        assert!(line.starts_with("2026/11/20 12:00:00  refused  firewall-drop  000 web-7"));
        assert_eq!(fake.request(), Some(Request::History { limit }));
    }
}

#[test]
fn nothing_to_show_leaves_stdout_empty_but_is_an_array_in_json() {
    for (words, wanted) in [
        (&["responses"][..], ""),
        (&["responses", "-o", "json"], "[]\n"),
    ] {
        let home = home();
        let records = Vec::new();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (0, wanted));
    }
}

#[test]
fn an_answer_of_several_frames_is_shown_whole() {
    let home = home();
    let records: Vec<_> = (0..6_000)
        .map(|_| record(1, ActionState::Applied))
        .collect();
    FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
    let output = run(home.path(), &["responses", "-o", "json"]);
    assert!(output.stdout.len() > MAX_FRAME);
    let value: Vec<Record> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.len(), 6_000);
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let hostile = "\x1b]0;owned\x07\u{202e}\u{9b}2J\nAPPLIED";
    for (words, shown) in [
        (
            &["responses"][..],
            "\\u{1b}]0;owned\\u{7}\\u{202e}\\u{9b}2J\\nAPPLIED",
        ),
        (
            &["history"],
            "\\u{1b}]0;owned\\u{7}\\u{202e}\\u{9b}2J\\nAPPLIED",
        ),
        (
            &["responses", "-o", "json"],
            "\\u001b]0;owned\\u0007\\u202e\\u009b2J\\nAPPLIED",
        ),
    ] {
        let home = home();
        let mut record = record(1, ActionState::Failed);
        record.keys = Some(Keys::new(vec![hostile.to_owned()]).unwrap());
        record.agent.name = hostile.into();
        record.detail = Some(hostile.to_owned());
        let records = vec![record];
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), words);
        let text = stdout(&output);
        assert_eq!(text.matches(shown).count(), 3, "{text}");
        let unsafe_character =
            |c: char| c != '\n' && c.is_control() || matches!(c, '\u{202e}' | '\u{9b}');
        assert!(!text.contains(unsafe_character), "{text:?}");
    }
}

#[test]
fn a_daemon_with_more_in_force_than_a_frame_holds_is_shown_whole() {
    let home = home();
    let socket = home.path().join("queue/manager.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let output = runtime.block_on(async {
        let listener = ripost::transport::local::bind(&socket).await.unwrap();
        let (requests, mut asked) = tokio::sync::mpsc::channel(1);
        let door = ripost::service::Door {
            daemon: Daemon::Manager,
            requests,
            agents: None,
        };
        let serving = tokio::spawn(ripost::service::serve(socket.clone(), listener, door));
        let answering = tokio::spawn(async move {
            let asked: ripost::wire::control::Asked = asked.recv().await.unwrap();
            assert_eq!(asked.request, Request::Responses);
            let records = vec![record(1, ActionState::Applied); 6_000];
            asked.answer.send(Answer::Records { records }).unwrap();
        });
        let path = home.path().to_owned();
        let output =
            tokio::task::spawn_blocking(move || run(&path, &["responses", "-o", "json"])).await;
        answering.await.unwrap();
        serving.abort();
        output.unwrap()
    });
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let records: Vec<Record> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(records.len(), 6_000);
}
