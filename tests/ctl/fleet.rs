//! The verbs about agents: tokens, revocation, and commands run by hand.

use ripost::clock::Wall;
use ripost::model::{ActionState, AgentGroup, AgentId, AgentName, CommandName, Keys, Pin};
use ripost::wire::Daemon;
use ripost::wire::control::{
    Answer, ErrorKind, IssuedToken, Request, Run, TokenWish, UsableToken, WhichTokens,
};
use ripost::wire::enroll::{Secret, Token, TokenId};

use crate::daemon::FakeDaemon;
use crate::reading::record;
use crate::{code, home, run, stderr, stdout};

const TOKEN: &str = "ripost1_aa_bb_cc";

fn issued(id: Option<&str>, name: Option<&str>, uses: u32) -> IssuedToken {
    IssuedToken {
        id: id.map(|id| AgentId::parse(id).expect("an id")),
        name: name.map(|name| AgentName::parse(name).expect("a name")),
        token: TOKEN.to_owned(),
        uses,
        // 2026-11-20T10:00:00Z
        expires: Wall::from_millis(1_795_168_800_000),
    }
}

#[test]
fn a_token_stands_alone_on_stdout_and_what_it_is_good_for_is_said() {
    let (id, name) = (Some("007"), Some("web-7"));
    for (words, token, said) in [
        (&[][..], issued(None, None, 1), "one agent until"),
        (&["--uses", "9"], issued(None, None, 9), "9 agents until"),
        (&["--id", "7"], issued(id, None, 1), "agent 007 until"),
        (
            &["--id", "7", "--name", "web-7"],
            issued(id, name, 1),
            "agent 007 web-7 until",
        ),
        (
            &["--name", "web-7", "--group", "web"],
            issued(None, name, 1),
            "an agent named web-7 in the group web until",
        ),
        (
            &["--group", "web,eu"],
            issued(None, None, 1),
            "one agent in the groups web, eu until",
        ),
    ] {
        let home = home();
        let answer = Answer::Tokens {
            tokens: vec![token],
            notes: vec!["mind \x1b[2J".to_owned()],
        };
        FakeDaemon::answering(home.path(), Daemon::Manager, answer);
        let output = run(home.path(), &[&["enroll", "token"], words].concat());
        assert_eq!((code(&output), stdout(&output)), (0, "ripost1_aa_bb_cc\n"));
        let wanted = format!(
            "mind \\u{{1b}}[2J\ngood for {said} 2026/11/20 12:00:00\n\
             (on the host: ripost-agentd enroll --manager HOST:PORT --token -)\n"
        );
        assert_eq!(stderr(&output), wanted);
    }
}

#[test]
fn what_is_wished_of_a_token_is_asked_for() {
    let home = home();
    let answer = Answer::Tokens {
        tokens: vec![issued(Some("007"), None, 1)],
        notes: Vec::new(),
    };
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, answer);
    let words = [
        "enroll", "token", "-o", "json", "--id", "007", "--group", "web", "--ttl", "10m",
    ];
    let output = run(home.path(), &words);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        value,
        serde_json::json!([{
            "id": "007", "token": TOKEN, "uses": 1, "expires": "2026-11-20T10:00:00.000Z"
        }])
    );
    let wish = TokenWish {
        id: Some(AgentId::parse("007").unwrap()),
        name: None,
        groups: vec![AgentGroup::parse("web").unwrap()],
        uses: 1,
        ttl: 600,
    };
    assert_eq!(fake.request(), Some(Request::EnrollToken(wish)));
}

#[test]
fn a_manager_without_exactly_one_token_has_not_answered_the_question() {
    for tokens in [vec![], vec![issued(None, None, 1), issued(None, None, 1)]] {
        let home = home();
        let notes = Vec::new();
        let answer = Answer::Tokens { tokens, notes };
        FakeDaemon::answering(home.path(), Daemon::Manager, answer);
        let output = run(home.path(), &["enroll", "token"]);
        assert_eq!((code(&output), stdout(&output)), (70, ""));
    }
}

#[test]
fn a_token_can_be_made_void_by_what_is_said_of_it() {
    let home = home();
    let secret = Secret::from_bytes([0xfe; 16]);
    let (pin, id) = (Pin::from_bytes([7; 32]), TokenId::from_bytes([0xa1; 8]));
    let token = Token { pin, id, secret }.reveal();
    let answer = Answer::Tokens {
        tokens: vec![IssuedToken {
            token,
            ..issued(None, None, 9)
        }],
        notes: Vec::new(),
    };
    FakeDaemon::answering(home.path(), Daemon::Manager, answer);
    let output = run(home.path(), &["enroll", "token", "--uses", "9"]);
    let text = stderr(&output);
    assert!(text.contains("enroll revoke a1a1a1a1a1a1a1a1)"), "{text}");
}

/// One that only agent 007 may use, and one for several.
fn usable() -> Vec<UsableToken> {
    let bound = UsableToken {
        token: TokenId::from_bytes([0xa1; 8]),
        id: Some(AgentId::parse("007").expect("it is valid")),
        name: Some(AgentName::parse("web-7").expect("it is valid")),
        groups: ["web", "eu"]
            .map(|it| AgentGroup::parse(it).expect("it is valid"))
            .into(),
        uses: 1,
        expires: Wall::from_millis(1_795_168_800_000),
    };
    let shared = UsableToken {
        token: TokenId::from_bytes([0xb2; 8]),
        id: None,
        name: None,
        groups: Vec::new(),
        uses: 12,
        expires: bound.expires,
    };
    vec![bound, shared]
}

const USABLE: &str = "\
TOKEN             AGENT  NAME   GROUPS  USES LEFT  EXPIRES
a1a1a1a1a1a1a1a1  007    web-7  web,eu  1          2026/11/20 12:00:00
b2b2b2b2b2b2b2b2  any    -      -       12         2026/11/20 12:00:00
";

#[test]
fn the_tokens_that_can_be_used_are_shown_without_their_secrets() {
    let json = serde_json::json!([
        {
            "token": "a1a1a1a1a1a1a1a1", "id": "007", "name": "web-7",
            "groups": ["web", "eu"], "uses": 1, "expires": "2026-11-20T10:00:00.000Z"
        },
        {
            "token": "b2b2b2b2b2b2b2b2", "groups": [], "uses": 12,
            "expires": "2026-11-20T10:00:00.000Z"
        },
    ]);
    for words in [
        &["enroll", "list"][..],
        &["enroll", "list", "-o", "json"],
        &["enroll", "revoke", "--all"],
        &["enroll", "revoke", "--all", "-o", "json"],
    ] {
        let home = home();
        let tokens = usable();
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Usable { tokens });
        let output = run(home.path(), words);
        let said = match words {
            ["enroll", "revoke", "--all"] => "void from now on:\n",
            _ => "",
        };
        assert_eq!((code(&output), stderr(&output)), (0, said), "{words:?}");
        if words.contains(&"json") {
            let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(value, json, "{words:?}");
        } else {
            assert_eq!(stdout(&output), USABLE, "{words:?}");
        }
        let tokens = WhichTokens::All;
        let asked = match words[1] {
            "list" => Request::EnrollList,
            _ => Request::EnrollRevoke { tokens },
        };
        assert_eq!(fake.request(), Some(asked));
    }
}

#[test]
fn without_a_usable_token_there_is_nothing_to_show_or_to_make_void() {
    for (words, empty) in [
        (&["enroll", "list"][..], ""),
        (&["enroll", "revoke", "--all"], ""),
        (&["enroll", "list", "-o", "json"], "[]\n"),
    ] {
        let home = home();
        let tokens = Vec::new();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Usable { tokens });
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (0, empty), "{words:?}");
        assert_eq!(stderr(&output).is_empty(), !empty.is_empty(), "{words:?}");
    }
}

#[test]
fn a_token_that_could_not_be_made_void_is_named_and_the_others_are_void() {
    let (first, second) = ("a1a1a1a1a1a1a1a1", "cccccccccccccccc");
    for (words, wanted) in [(&[first][..], 0), (&[first, second], 1), (&[second], 1)] {
        let home = home();
        let mut tokens = usable();
        tokens.truncate(usize::from(words.contains(&first)));
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Usable { tokens });
        let output = run(home.path(), &[&["enroll", "revoke"], words].concat());
        assert_eq!(code(&output), wanted, "{words:?}");
        assert_eq!(stdout(&output).contains(first), words.contains(&first));
        assert_eq!(stderr(&output).contains(second), words.contains(&second));
        let ids = words.iter().map(|id| TokenId::parse(id).unwrap()).collect();
        let tokens = WhichTokens::Ids(ids);
        assert_eq!(fake.request(), Some(Request::EnrollRevoke { tokens }));
    }
}

#[test]
fn a_revocation_shows_what_the_manager_did() {
    for (words, wanted) in [
        (
            &["agents", "revoke", "7"][..],
            "shut out 007\nclosed \\u{1b} it\n",
        ),
        (
            &["agents", "revoke", "007", "-o", "json"],
            "[{\"id\":\"007\",\"text\":\"shut out 007\\nclosed \\u001b it\"}]\n",
        ),
    ] {
        let home = home();
        let text = "shut out 007\nclosed \x1b it".to_owned();
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Done { text });
        let output = run(home.path(), words);
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        assert_eq!(stdout(&output), wanted);
        let agent = AgentId::parse("007").unwrap();
        assert_eq!(fake.request(), Some(Request::Revoke { agent }));
    }
}

#[test]
fn what_the_manager_refuses_is_an_error_with_its_code() {
    for words in [
        &["agents", "revoke", "007"][..],
        &["enroll", "token"],
        &["enroll", "list"],
        &["enroll", "revoke", "--all"],
        &["run", "firewall-drop", "--agent", "007"],
    ] {
        for (kind, wanted) in [
            (ErrorKind::NotFound, 1),
            (ErrorKind::Unavailable, 75),
            (ErrorKind::NotPermitted, 77),
        ] {
            let home = home();
            let text = "no agent 007".to_owned();
            FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Error { kind, text });
            let output = run(home.path(), words);
            assert_eq!((code(&output), stdout(&output)), (wanted, ""), "{words:?}");
            assert_eq!(stderr(&output), "error: no agent 007\n");
        }
        let home = home();
        let outcomes = Vec::new();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Reverted { outcomes });
        assert_eq!(code(&run(home.path(), words)), 70, "{words:?}");
    }
}

#[test]
fn a_run_is_done_only_when_every_host_has_done_it() {
    use ActionState::{
        Already, Applied, Done, Expired, Failed, Queued, Refused, Reverted, Running, Sent,
        Suppressed,
    };
    for (states, wanted, said) in [
        (&[Applied, Already, Done][..], 0, &[][..]),
        (&[Applied, Queued], 75, &["1 of 2 still open"]),
        (&[Sent, Running], 75, &["2 of 2 still open", "history"]),
        (&[Applied, Failed], 1, &["1 of 2 did not happen"]),
        (
            &[Queued, Failed, Done],
            1,
            &["1 of 3 still open", "1 of 3 did not happen"],
        ),
        (&[Refused], 1, &["1 of 1 did"]),
        (&[Expired], 1, &["1 of 1 did"]),
        (&[Suppressed], 1, &["1 of 1 did"]),
        (&[Reverted], 1, &["1 of 1 did"]),
        (&[], 1, &["no host was selected"]),
    ] {
        let home = home();
        let records = (1..).zip(states).map(|(n, state)| record(n, *state));
        let records = records.collect();
        FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Records { records });
        let output = run(home.path(), &["run", "firewall-drop", "--agent", "all"]);
        assert_eq!(code(&output), wanted, "{states:?}");
        assert_eq!(stderr(&output).is_empty(), said.is_empty(), "{states:?}");
        for part in said {
            assert!(stderr(&output).contains(part), "{}", stderr(&output));
        }
        let rows: Vec<_> = stdout(&output).lines().skip(1).collect();
        assert_eq!(rows.len(), states.len());
        for (row, state) in rows.iter().zip(states) {
            assert!(row.contains(state.as_str()), "{row}");
        }
    }
}

#[test]
fn a_run_shows_one_row_for_each_host_or_the_records() {
    let mut first = record(1, ActionState::Applied);
    first.until = first.since;
    let mut second = record(2, ActionState::Failed);
    second.keys = Some(Keys::new(vec!["\x1b[2J".to_owned()]).unwrap());
    second.detail = Some("no \u{202e}such".to_owned());
    let records = vec![first, second];
    let words = [
        "run",
        "firewall-drop",
        "--agent",
        "7,group:web",
        "--agent",
        "all",
        "--target",
        "203.0.113.1",
        "--timeout",
        "1h",
    ];
    let home = home();
    let answer = Answer::Records {
        records: records.clone(),
    };
    let fake = FakeDaemon::answering(home.path(), Daemon::Manager, answer);
    let output = run(home.path(), &words);
    let one = "01".repeat(16);
    let two = "02".repeat(16);
    assert_eq!(
        stdout(&output),
        format!(
            "\
AGENT      STATE    TARGET       UNTIL                ACTION                            DETAIL
000 web-7  applied  203.0.113.1  2026/11/20 12:00:00  {one}
000 web-7  failed   \\u{{1b}}[2J    -                    {two}  no \\u{{202e}}such
"
        )
    );
    let wanted = Run {
        command: CommandName::parse("firewall-drop").unwrap(),
        agents: ["007", "group:web", "all"].map(str::to_owned).to_vec(),
        target: Some("203.0.113.1".to_owned()),
        timeout: Some(3_600),
    };
    assert_eq!(fake.request(), Some(Request::Run(wanted)));

    let home = crate::home();
    let answer = Answer::Records {
        records: records.clone(),
    };
    FakeDaemon::answering(home.path(), Daemon::Manager, answer);
    let output = run(home.path(), &[&words[..], &["-o", "json"]].concat());
    assert_eq!(code(&output), 1);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value, serde_json::to_value(&records).unwrap());
}
