//! A door, and what its owner is told.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ripost::source::{
    Accept, Access, Door, Event, Limits, MAX_LINE, Receive, Task, Trouble, Units, receive,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a test looks at of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Line(String),
    PassedOver(&'static str),
    Trouble(Trouble),
    Recovered,
    Refused,
    Begun,
}

pub(crate) struct Scene {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) running: Option<Task>,
    /// Not looked at yet.
    told: std::collections::VecDeque<Told>,
}

impl Scene {
    /// A Unix socket for connections.
    pub(crate) async fn unix(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.sock");
        let door = Door::unix_stream(&path, &Access::default()).unwrap();
        Self::behind(&door, folder, limits).await
    }

    pub(crate) async fn behind(door: &Door, folder: tempfile::TempDir, limits: Limits) -> Self {
        let (sender, events) = mpsc::channel(2);
        let settings = Receive {
            accept_tail: Accept::new(|text| text.ends_with(b"}")),
            units: Units::Lines,
            limits,
        };
        let running = receive(door, settings, sender).unwrap();
        let mut scene = Self {
            path: folder.path().join("alerts.sock"),
            _folder: folder,
            events,
            running: Some(running),
            told: std::collections::VecDeque::new(),
        };
        let first = scene.event().await;
        assert!(matches!(first, Event::Listening), "{first:?}");
        scene
    }

    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    pub(crate) async fn event(&mut self) -> Event {
        let event = timeout(DEADLINE, self.events.recv()).await;
        event.expect("nothing was told in time").unwrap()
    }

    /// The next thing that is told.
    pub(crate) async fn next(&mut self) -> Told {
        while self.told.is_empty() {
            match self.event().await {
                Event::Lines { lines, .. } => {
                    assert!(lines.len() <= 1_000);
                    for line in lines {
                        assert!(line.bytes.len() <= MAX_LINE);
                        let text = String::from_utf8_lossy(&line.bytes).into_owned();
                        self.told.push_back(Told::Line(text));
                    }
                }
                Event::PassedOver { kind, .. } => {
                    self.told.push_back(Told::PassedOver(kind.label()));
                }
                Event::Trouble(trouble) => self.told.push_back(Told::Trouble(trouble)),
                Event::Recovered => self.told.push_back(Told::Recovered),
                Event::Refused { .. } => self.told.push_back(Told::Refused),
                Event::Begun { .. } => self.told.push_back(Told::Begun),
                event => panic!("{event:?}"),
            }
        }
        self.told.pop_front().unwrap()
    }

    /// What is told next, without the beginnings of connections.
    pub(crate) async fn next_of_note(&mut self) -> Told {
        loop {
            match self.next().await {
                Told::Begun => {}
                told => return told,
            }
        }
    }

    pub(crate) async fn expect(&mut self, wanted: &[Told]) {
        for wanted in wanted {
            assert_eq!(self.next_of_note().await, *wanted);
        }
    }
}

pub(crate) fn line(text: &str) -> Told {
    Told::Line(text.to_owned())
}

pub(crate) fn write(stream: &mut UnixStream, text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).unwrap();
}
