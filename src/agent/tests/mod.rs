//! An agent with real scripts, and a test that plays its manager.

mod backlog;
mod copies;
mod disk;
mod intake;
mod link;
mod runs;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::link::LinkEvent;
use super::{Agent, Inbox, Parts, Reports, Settings, Steer};
use crate::clock::BootId;
use crate::journal::agent::AgentReader;
use crate::model::action::sample;
use crate::model::{Action, ActionId, ActionState, Instance, JournalId};
use crate::sys::exe::Home;
use crate::wire::control::{Answer, Asked, Request, Status};
use crate::wire::{Frame, ManagerJournal, ToAgent, ToManager};

const PATIENCE: Duration = Duration::from_secs(30);

/// The journal of the manager that is played.
fn manager() -> JournalId {
    JournalId::from_bytes([1; 16])
}

/// Notes that it ran, and with what.
const SCRIPT: &str = "#!/bin/sh\nread -r line\necho ran >> logs/ran\n";

fn home() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in ["active-response/bin", "etc", "logs", "queue"] {
        let mut builder = DirBuilder::new();
        let builder = builder.recursive(true).mode(0o750);
        builder.create(folder.path().join(path)).unwrap();
    }
    let script = folder.path().join("active-response/bin/x.sh");
    crate::sys::fs::replace(&script, SCRIPT.as_bytes(), 0o750).unwrap();
    folder
}

/// How often the script of a home ran.
fn runs(home: &Path) -> usize {
    std::fs::read_to_string(home.join("logs/ran")).map_or(0, |text| text.lines().count())
}

/// An action of the script.
fn action(number: u8, timeout: Option<u64>) -> Action {
    Action {
        // Also without keys it is reverted, so that it can be in force.
        revert: Some(true),
        ..sample::action(number, "x.sh", timeout)
    }
}

fn act(number: u8, timeout: Option<u64>) -> ToAgent {
    ToAgent::Act {
        action: Box::new(action(number, timeout)),
        alert: Arc::from(br#"{"data":{"srcip":"203.0.113.9"}}"#.as_slice()),
        remaining_ms: timeout.map(|seconds| seconds * 1_000),
        age_ms: 0,
        session_ms: None,
    }
}

fn white_list() -> ToAgent {
    ToAgent::WhiteList {
        networks: Vec::new(),
        names: Vec::new(),
        more: false,
    }
}

fn parts(home: &Path, reloads: mpsc::Sender<oneshot::Sender<Answer>>) -> Parts {
    Parts {
        home: Home::open(home).unwrap(),
        boot_id: BootId("a".into()),
        instance: Instance::from_bytes([1; 8]),
        settings: Settings::default(),
        hands: super::Hands::own(),
        reloads,
    }
}

struct Bench {
    reports: Reports,
    steer: mpsc::Sender<Steer>,
    asked: mpsc::Sender<Asked>,
    running: JoinHandle<()>,
    frames: Option<mpsc::Receiver<Frame>>,
    home: PathBuf,
    /// Up to which number its updates have come here.
    heard: u64,
    caller: super::Caller,
}

impl Bench {
    fn start(home: &Path) -> Self {
        let (inbox, steer, asked) = Inbox::new().unwrap();
        let (reloads, _) = mpsc::channel(1);
        let agent = Agent::open(parts(home, reloads), &inbox).unwrap();
        Self::run(agent, inbox, steer, asked)
    }

    fn run(
        agent: Agent,
        inbox: Inbox,
        steer: mpsc::Sender<Steer>,
        asked: mpsc::Sender<Asked>,
    ) -> Self {
        let (caller, home) = (agent.caller(), agent.home.path().to_owned());
        Self {
            reports: inbox.reports(),
            steer,
            asked,
            caller,
            running: tokio::spawn(agent.run(inbox)),
            frames: None,
            home,
            heard: 0,
        }
    }

    async fn send(&self, event: LinkEvent) {
        self.reports.events.send(event).await.unwrap();
    }

    /// A session begins with a manager that has this journal.
    async fn connect(&mut self, manager: JournalId) {
        let heard = self.heard.max(self.confirmed());
        self.connect_to(ManagerJournal { id: manager, heard }).await;
    }

    /// What was confirmed by whoever was played before.
    fn confirmed(&self) -> u64 {
        let journal = AgentReader::open(&self.home.join("queue/agentd.db")).unwrap();
        journal.load().unwrap().numbers.promised
    }

    /// A session begins with a manager that remembers this.
    async fn connect_to(&mut self, manager: ManagerJournal) {
        let (outgoing, frames) = mpsc::channel(64);
        self.frames = Some(frames);
        let manager = Some(manager);
        self.send(LinkEvent::Up { outgoing, manager }).await;
    }

    async fn disconnect(&mut self) {
        self.send(LinkEvent::Down).await;
        self.frames = None;
    }

    async fn tell(&self, message: ToAgent) {
        self.send(LinkEvent::Told(message)).await;
    }

    async fn next(&mut self) -> ToManager {
        let frames = self.frames.as_mut().unwrap();
        let frame = tokio::time::timeout(PATIENCE, frames.recv()).await;
        let message = ToManager::from_frame(&frame.unwrap().unwrap()).unwrap();
        if let ToManager::Update { seq, .. } = message {
            self.heard = seq;
        }
        message
    }

    async fn next_but_capabilities(&mut self) -> ToManager {
        loop {
            let message = self.next().await;
            if !matches!(message, ToManager::Capabilities { .. }) {
                return message;
            }
        }
    }

    /// The messages up to the one that says that an action has come to a state,
    /// as `taken N`, `STATE N` and `reverted`, those on capabilities left out.
    async fn until(&mut self, number: u8, state: ActionState) -> Vec<String> {
        let last = format!("{state} {number}");
        let mut heard = Vec::new();
        while heard.last() != Some(&last) {
            heard.extend(said(&self.next().await));
        }
        heard
    }

    /// The manager has stored everything; returns once the agent knows.
    async fn confirm(&self) {
        self.tell(ToAgent::Stored { up_to: u64::MAX }).await;
        self.wait_for(|status| {
            let mut counters = status.counters.iter();
            !counters.any(|c| c.name.contains("not confirmed") && c.value > 0)
        })
        .await;
    }

    /// Waits until the status is as wanted.
    async fn wait_for(&self, is_wanted: impl Fn(&Status) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_wanted(&self.status().await) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap();
    }

    async fn status(&self) -> Status {
        match self.ask(Request::Status).await {
            Answer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    async fn ask(&self, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Asked { request, answer }).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, answered).await;
        answer.unwrap().unwrap()
    }

    async fn stop(self) {
        self.steer.send(Steer::Stop).await.unwrap();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap();
    }
}

fn number(id: ActionId) -> u8 {
    id.bytes()[0]
}

fn said(message: &ToManager) -> Vec<String> {
    match message {
        ToManager::Taken { actions } => {
            let ids = actions.iter().map(|id| format!("taken {}", number(*id)));
            ids.collect()
        }
        ToManager::Update { record, .. } => {
            vec![format!("{} {}", record.state, number(record.action))]
        }
        ToManager::Reverted { .. } => vec!["reverted".to_owned()],
        ToManager::Renew { .. } => vec!["renew".to_owned()],
        ToManager::Capabilities { .. } | ToManager::Ping | ToManager::Pong => Vec::new(),
    }
}
