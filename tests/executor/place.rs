//! A home with the scripts of one test in it, and an owner for its runs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use ripost::contract::request::{Decision, Message, Told};
use ripost::contract::words::Words;
use ripost::executor::{Limits, Mode, Outcome, Progress, Run, RunId, run};
use ripost::model::action::Contract;
use ripost::model::{Action, ExeName};
use ripost::sys::exe::Home;
use ripost::sys::process::ProcessId;
use rustix::fs::{FileType, Mode as FileMode};
use tokio::sync::{mpsc, watch};

pub const ALERT: &[u8] =
    br#"{"rule":{"level":10,"id":"5763"},"id":"1.1","data":{"srcip":"203.0.113.9"}}"#;

pub const CONTINUE: Decision = Decision::Continue { expires: None };

pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
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

    /// A home with this one script in it.
    pub fn with(name: &str, text: &str) -> Self {
        let place = Self::new();
        place.install(name, text);
        place
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn home(&self) -> Home {
        Home::open(self.dir.path()).unwrap()
    }

    pub fn bin(&self, name: &str) -> PathBuf {
        self.path().join("active-response/bin").join(name)
    }

    pub fn install(&self, name: &str, text: &str) -> PathBuf {
        let path = self.bin(name);
        fs::write(&path, text).unwrap();
        self.chmod(&path, 0o750);
        path
    }

    pub fn chmod(&self, path: &PathBuf, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What a script left in a file of the home; empty if it left none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// A process whose number a script left in a file.
    pub fn process(&self, name: &str) -> Option<ProcessId> {
        ProcessId::of(self.read(name).trim().parse().unwrap())
    }

    /// A FIFO on which a script can say that it has come to some point.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        let mode = FileMode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        path
    }

    pub fn run(&self, name: &str, mode: Mode) -> Run {
        self.run_with(name, mode, ALERT)
    }

    pub fn run_with(&self, name: &str, mode: Mode, alert: &[u8]) -> Run {
        let exe = ExeName::parse(name).unwrap();
        let message = Message::new("mgr-a", &exe, &[], alert).unwrap();
        self.run_told(name, mode, Told::Lines(message))
    }

    /// A run of a script that is spoken to in another way.
    pub fn run_by(&self, contract: Contract, name: &str, mode: Mode) -> Run {
        let action = action(name, contract);
        let told = match contract {
            Contract::Json => return self.run(name, mode),
            Contract::Argv(wanted) => Told::Words(Words::new(&action, wanted, ALERT).unwrap()),
            Contract::V5 => Told::Lines(Message::v5(&action, ALERT).unwrap()),
        };
        self.run_told(name, mode, told)
    }

    fn run_told(&self, name: &str, mode: Mode, told: Told) -> Run {
        Run {
            id: RunId(7),
            home: self.home(),
            told,
            exe: ExeName::parse(name).unwrap(),
            bundled: false,
            mode,
            pointless_at: None,
            alone: false,
            foreseen: None,
            limits: Limits {
                execution: Duration::from_secs(20),
                handshake: Duration::from_secs(15),
                kill_grace: Duration::from_secs(10),
            },
        }
    }
}

/// An action of ten minutes, for rule 5763.
fn action(name: &str, contract: Contract) -> Action {
    let mut action = serde_json::json!({
        "id": "01010101010101010101010101010101",
        "command": "block",
        "executable": name,
        "location": "local",
        "agent": {"id": "007", "name": "web-7"},
        "rule": {"id": "5763", "level": 10, "groups": ["sshd"]},
        "alert": "1772600767.41231",
        "timeout": 600_000,
        "extra_args": [],
        "revert": null,
    });
    action["contract"] = serde_json::to_value(contract).unwrap();
    serde_json::from_value(action).unwrap()
}

/// What the owner saw of a run.
#[derive(Debug, Default)]
pub struct Seen {
    pub process: Option<ProcessId>,
    pub keys: Vec<Result<String, String>>,
}

/// Carries a run through with an owner that answers each question as told.
pub async fn carry_out(planned: Run, decision: Decision) -> (Outcome, Seen) {
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
                    decide.send(decision).unwrap();
                }
            }
        }
        seen
    };
    tokio::join!(run(planned, progress, cancelled), owner)
}

/// Runs `add` of the one script of a place.
pub async fn add(place: &Place, name: &str) -> Outcome {
    carry_out(place.run(name, Mode::Add), CONTINUE).await.0
}
