//! A source, and its owner as a test plays it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ripost::alert::Shape;
use ripost::source::http::{self, Counts, Limits, Running, Serve, Settings};
use ripost::source::{Event, Line, Receipt};
use ripost::sys::secret::Secret;
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::support::wait_for;

pub const TOKEN: &str = "3fTq0w+Zk/9aTq==";
const PATIENCE: Duration = Duration::from_secs(30);

/// Events under way, as the manager has it.
const QUEUE: usize = 2;

pub struct Source {
    pub running: Running,
    pub events: mpsc::Receiver<Event>,
}

pub fn secret(text: &str) -> Secret {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Secret::read(&path).unwrap()
}

pub fn settings() -> Settings {
    Settings {
        shape: Shape::Auto,
        token: secret(TOKEN),
        allowed: Vec::new(),
        max_body: 10 << 20,
    }
}

impl Source {
    pub fn new() -> Self {
        Self::with(settings(), Limits::default())
    }

    pub fn with(settings: Settings, limits: Limits) -> Self {
        let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (sender, events) = mpsc::channel(QUEUE);
        let serve = Serve {
            name: "test".to_owned(),
            listener,
            settings,
            limits,
        };
        let running = http::serve(serve, sender).unwrap();
        let mut source = Self { running, events };
        assert!(matches!(source.next(), Event::Begun { .. }));
        assert!(matches!(source.next(), Event::Listening));
        source
    }

    pub fn client(&self) -> Client {
        Client::connect(self.running.address())
    }

    pub fn counts(&self) -> Counts {
        self.running.counters().counts()
    }

    #[track_caller]
    pub fn next(&mut self) -> Event {
        wait_for("an event of the source", PATIENCE, || {
            self.events.try_recv().ok()
        })
    }

    /// The next lines, and what their sender waits for.
    #[track_caller]
    pub fn lines(&mut self) -> (Vec<Line>, oneshot::Sender<()>) {
        match self.next() {
            Event::Lines {
                lines,
                receipt: Receipt::Answer(stored),
            } => (lines, stored),
            other => panic!("lines whose sender waits, not {other:?}"),
        }
    }

    /// Takes the next lines in, and says that they are on disk.
    #[track_caller]
    pub fn store(&mut self) -> Vec<Line> {
        let (lines, stored) = self.lines();
        stored.send(()).unwrap();
        lines
    }

    /// Nothing has been handed over, and nothing is about to be.
    #[track_caller]
    pub fn is_quiet(&mut self) {
        let event = self.events.try_recv();
        assert!(event.is_err(), "{event:?}");
    }
}

/// A Wazuh alert on one line, which has an id and a time.
pub fn alert(id: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-20T10:00:00.123+0000","rule":{{"level":10,"id":"5763"}},"id":"{id}"}}"#
    )
}

/// One that has neither.
pub fn bare(rule: &str) -> String {
    format!(r#"{{"rule":{{"level":10,"id":"{rule}"}}}}"#)
}

/// What a sender sends while the test plays the owner.
pub fn sends(client: &mut Client, body: &str) {
    let bearer = format!("Bearer {TOKEN}");
    let length = body.len().to_string();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Length", &length),
    ];
    client.head("POST /alerts", &headers);
    client.say(body.as_bytes());
}
