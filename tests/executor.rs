//! The executor against real scripts in a home of its own. The scripts may
//! sleep; the tests wait for what happens.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may write plain files and fail by panic"
)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use ripost::contract::request::{Command, Decision, Message};
use ripost::executor::{End, Limits, Mode, Outcome, Progress, Run, RunId, run};
use ripost::model::ExeName;
use ripost::sys::exe::Home;
use ripost::sys::process::ProcessId;
use tokio::sync::{mpsc, watch};

const ALERT: &[u8] =
    br#"{"rule":{"level":10,"id":"5763"},"id":"1.1","data":{"srcip":"203.0.113.9"}}"#;

/// A home with the scripts of a test in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        for folder in ["active-response/bin", "logs", "queue"] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o750)
                .create(place.path().join(folder))
                .unwrap();
        }
        place
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn home(&self) -> Home {
        Home::open(self.dir.path()).unwrap()
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.path().join("active-response/bin").join(name)
    }

    fn install(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.bin(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        path
    }

    /// The words that a script left in a file of the home.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    fn run(&self, name: &str, mode: Mode) -> Run {
        let exe = ExeName::parse(name).unwrap();
        Run {
            id: RunId(7),
            home: self.home(),
            message: Message::new("mgr-a", &exe, &[], ALERT).unwrap(),
            exe,
            bundled: false,
            mode,
            limits: Limits {
                execution: Duration::from_secs(20),
                handshake: Duration::from_secs(10),
                kill_grace: Duration::from_millis(300),
            },
        }
    }
}

/// What the owner saw of a run.
#[derive(Debug, Default)]
struct Seen {
    process: Option<ProcessId>,
    keys: Vec<Result<String, String>>,
}

/// Runs it with an owner that answers every question with `decision`.
async fn carry_out(planned: Run, decision: Decision) -> (Outcome, Seen) {
    let (progress, mut events) = mpsc::channel(1);
    let (_cancel, cancelled) = watch::channel(false);
    let owner = async {
        let mut seen = Seen::default();
        while let Some((id, event)) = events.recv().await {
            assert_eq!(id, RunId(7));
            match event {
                Progress::Started { process, go } => {
                    seen.process = Some(process);
                    go.send(()).unwrap();
                }
                Progress::Keys { keys, decide } => {
                    seen.keys.push(keys.map(|keys| keys.to_string()));
                    // The script may be gone already.
                    let _ = decide.send(decision);
                }
            }
        }
        seen
    };
    tokio::join!(run(planned, progress, cancelled), owner)
}

const CONTINUE: Decision = Decision::Continue { expires: None };

const SH_HANDSHAKE: &str = r#"#!/bin/sh
read -r message
printf '%s\n' "$message" > logs/message
printf '%s\n' '{"version":1,"origin":{"name":"x","module":"active-response"},"command":"check_keys","parameters":{"keys":["203.0.113.9"]}}'
read -r reply
printf '%s\n' "$reply" > logs/reply
case "$reply" in
    *'"command":"continue"'*) echo acted > logs/effect; exit 3 ;;
esac
"#;

#[tokio::test]
async fn a_shell_script_names_its_keys_and_gets_the_whole_message_as_reply() {
    let place = Place::new();
    place.install("block.sh", SH_HANDSHAKE);
    let planned = place.run("block.sh", Mode::Add);
    let line = |command| String::from_utf8(planned.message.line(command)).unwrap();
    let (message, reply) = (line(Command::Add), line(Command::Continue));
    let (outcome, seen) = carry_out(planned, CONTINUE).await;
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(seen.keys, [Ok("203.0.113.9".to_owned())]);
    assert_eq!(outcome.keys.unwrap().to_string(), "203.0.113.9");
    assert_eq!(place.read("logs/message"), message);
    assert_eq!(place.read("logs/reply"), reply);
    assert_eq!(place.read("logs/effect"), "acted\n");
}

#[tokio::test]
async fn an_aborted_script_does_not_act() {
    let place = Place::new();
    place.install("block.sh", SH_HANDSHAKE);
    let planned = place.run("block.sh", Mode::Add);
    let (outcome, _) = carry_out(planned, Decision::Abort).await;
    assert_eq!(outcome.end, End::Exited(0));
    assert!(
        place
            .read("logs/reply")
            .contains(r#""command":"abort","parameters":{"extra_args""#)
    );
    assert_eq!(place.read("logs/effect"), "");
}
