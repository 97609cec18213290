//! `ripostctl import`: which files are taken, what is asked, what is said.

use std::path::Path;

use ripost::clock::Wall;
use ripost::model::{AgentId, AgentName};
use ripost::wire::Daemon;
use ripost::wire::control::{Answer, ErrorKind, IssuedToken, KnownAgent, Request};

use crate::daemon::FakeDaemon;
use crate::{code, home, run, stderr, stdout};

const KEY: &str = "5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0aabcd";
const GOOD: &str = "001 web-7 any KEY\n002 !db any KEY\n010 mail 192.0.2.7 KEY\n";

/// A file with a key wherever the text says `KEY`.
fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
    std::fs::write(path, text.replace("KEY", KEY)).expect("room for a file");
}

fn known(id: &str, name: &str, removed: bool) -> KnownAgent {
    KnownAgent {
        id: AgentId::parse(id).expect("an id"),
        name: AgentName::parse(name).expect("a name"),
        removed,
    }
}

fn tokens() -> Answer {
    let token = |id: &str, name: &str| IssuedToken {
        id: Some(AgentId::parse(id).expect("an id")),
        name: Some(AgentName::parse(name).expect("a name")),
        token: format!("ripost1_{id}"),
        uses: 1,
        // 2026-11-20T10:00:00Z
        expires: Wall::from_millis(1_795_168_800_000),
    };
    Answer::Tokens {
        tokens: vec![token("001", "web-7"), token("010", "mail")],
        notes: vec!["002 db is\x1b removed".to_owned()],
    }
}

#[test]
fn agents_keep_their_ids_and_names_and_each_gets_a_token() {
    // As a file, as a copy of another name, and as an installation.
    for (file, named) in [
        ("client.keys", "client.keys"),
        ("copy.txt", "copy.txt"),
        ("ossec/etc/client.keys", "ossec"),
    ] {
        let home = home();
        write(&home.path().join(file), GOOD);
        let fake = FakeDaemon::answering(home.path(), Daemon::Manager, tokens());
        let path = home.path().join(named);
        let output = run(home.path(), &["import", path.to_str().unwrap()]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(
            stdout(&output),
            "\
ID   NAME   TOKEN
001  web-7  ripost1_001
010  mail   ripost1_010
"
        );
        assert_eq!(
            stderr(&output),
            "002 db is\\u{1b} removed\n\
             on each host: ripost-agentd enroll --manager HOST:PORT --token -\n"
        );
        let agents = vec![
            known("001", "web-7", false),
            known("002", "db", true),
            known("010", "mail", false),
        ];
        let asked = fake.request().unwrap();
        let json = serde_json::to_string(&asked).unwrap();
        assert!(!json.contains(&KEY[..8]), "a key was sent");
        let ttl = 86_400;
        assert_eq!(asked, Request::Import { agents, ttl });
    }
}

#[test]
fn the_tokens_as_json_are_those_of_the_manager() {
    let home = home();
    let file = home.path().join("client.keys");
    write(&file, GOOD);
    FakeDaemon::answering(home.path(), Daemon::Manager, tokens());
    let output = run(
        home.path(),
        &["import", file.to_str().unwrap(), "-o", "json"],
    );
    let Answer::Tokens { tokens, .. } = tokens() else {
        panic!("they are tokens");
    };
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value, serde_json::to_value(&tokens).unwrap());
}

#[test]
fn a_manager_that_knows_them_all_is_no_failure_and_one_that_refuses_is() {
    let home = home();
    let file = home.path().join("client.keys");
    write(&file, GOOD);
    let answer = Answer::Tokens {
        tokens: Vec::new(),
        notes: Vec::new(),
    };
    FakeDaemon::answering(home.path(), Daemon::Manager, answer);
    let output = run(home.path(), &["import", file.to_str().unwrap()]);
    assert_eq!((code(&output), stdout(&output)), (0, ""));
    assert!(stderr(&output).contains("nobody new"));

    let home = crate::home();
    let text = "the id 001 is web-8 here".to_owned();
    let kind = ErrorKind::Invalid;
    FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Error { kind, text });
    let output = run(home.path(), &["import", file.to_str().unwrap()]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    assert_eq!(stderr(&output), "error: the id 001 is web-8 here\n");
}

#[test]
fn every_bad_line_is_told_at_once_and_no_manager_is_asked() {
    let home = home();
    let file = home.path().join("client.keys");
    write(
        &file,
        "001 web any KEY\n002 7web any KEY\n003 a\x1b[2J any KEY\n001 KEY any KEY\n004 KEY\n",
    );
    // Nobody listens: an attempt to ask would end with 69.
    let output = run(home.path(), &["import", file.to_str().unwrap()]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    let text = stderr(&output);
    let file = file.display();
    for part in [
        format!("{file}:2: error: the name of agent 002 starts with '7'\n  ("),
        "with `host-` in front".to_owned(),
        format!("{file}:3: error: the name of agent 003 contains '\\u{{1b}}'\n"),
        format!("{file}:4: error: the name of agent 001 starts with '5'\n"),
        format!("{file}:5: error: this is not ID NAME IP KEY"),
        format!(
            "error: cannot import {file}: 4 of its lines cannot be read, nothing was imported\n"
        ),
    ] {
        assert!(text.contains(&part), "{part:?} in {text}");
    }
    assert!(
        !text.contains('\x1b') && !text.contains(&KEY[..8]),
        "{text}"
    );
}

#[test]
fn more_bad_lines_than_anybody_reads_are_counted() {
    let home = home();
    let file = home.path().join("client.keys");
    write(&file, &"x\n".repeat(250));
    let output = run(home.path(), &["import", file.to_str().unwrap()]);
    let text = stderr(&output);
    assert_eq!(text.matches(": error: ").count(), 200);
    assert!(text.contains("and 50 more\n"), "{text}");
    assert!(text.contains("250 of its lines"), "{text}");
}

#[test]
fn what_is_no_client_keys_is_refused_with_what_to_name_instead() {
    let home = home();
    let place = |name: &str| home.path().join(name);
    write(&place("notes.txt"), "web any\n");
    write(&place("empty/client.keys"), "# nobody\n\n");
    write(&place("bare/etc/ossec.conf"), "<ossec_config>\n");
    std::fs::create_dir_all(place("odd/etc/client.keys")).unwrap();
    for (name, text) in [
        ("notes.txt", "neither a configuration nor a client.keys"),
        ("empty/client.keys", "names no agents"),
        ("bare", "it is not empty"),
        ("nowhere", "there is no such file"),
        ("odd", "no regular file"),
    ] {
        let path = place(name);
        let output = run(home.path(), &["import", path.to_str().unwrap()]);
        assert_eq!((code(&output), stdout(&output)), (1, ""), "{name}");
        assert!(
            stderr(&output).contains(text),
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn tokens_that_were_made_are_shown_even_if_the_manager_then_refuses() {
    use ripost::wire::control::Asked;
    let home = home();
    let file = home.path().join("client.keys");
    let lines: String = (1..=5_001)
        .map(|id| format!("{id:03} a{id} any KEY\n"))
        .collect();
    write(&file, &lines);
    let socket = home.path().join("queue/manager.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (output, sizes) = runtime.block_on(async {
        let listener = ripost::transport::local::bind(&socket).await.unwrap();
        let (requests, mut asked) = tokio::sync::mpsc::channel(1);
        let door = ripost::service::Door {
            daemon: Daemon::Manager,
            requests,
            agents: None,
        };
        let serving = tokio::spawn(ripost::service::serve(socket.clone(), listener, door));
        let answering = tokio::spawn(async move {
            let text = "the disk is full".to_owned();
            let kind = ErrorKind::Unavailable;
            let mut sizes = Vec::new();
            for answer in [tokens(), Answer::Error { kind, text }] {
                let next: Asked = asked.recv().await.unwrap();
                let Request::Import { agents, .. } = next.request else {
                    panic!("{:?}", next.request);
                };
                sizes.push(agents.len());
                next.answer.send(answer).unwrap();
            }
            sizes
        });
        let path = home.path().to_owned();
        let output =
            tokio::task::spawn_blocking(move || run(&path, &["import", file.to_str().unwrap()]));
        let output = output.await.unwrap();
        let sizes = answering.await.unwrap();
        serving.abort();
        (output, sizes)
    });
    assert_eq!(sizes, [5_000, 1]);
    assert_eq!(code(&output), 75);
    assert!(
        stdout(&output).contains("ripost1_010"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("the disk is full"));
}
