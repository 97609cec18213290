//! The file of alerts, and whoever reads it for the manager.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::model::position::{Checkpoint, FileIdentity, Generation};
use crate::source::{self, Event, Follow, Line, Receipt};

use super::history::{History, Random, What};

/// Bytes from one line to the next.
const LINE: u64 = 1_000;

#[derive(Clone)]
pub(super) struct Feed(Arc<Inner>);

struct Inner {
    lines: Mutex<Vec<String>>,
    length: watch::Sender<u64>,
    history: History,
    random: Random,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Feed {
    pub(super) fn new(history: History, random: Random) -> Self {
        Self(Arc::new(Inner {
            lines: Mutex::default(),
            length: watch::Sender::new(0),
            history,
            random,
            reader: Mutex::default(),
        }))
    }

    /// The file is this one.
    pub(super) fn lie_at(&self, path: PathBuf) {
        let feed = self.clone();
        source::played::play(path, move |follow, events| feed.follow(follow, events));
    }

    /// How many alerts there have been.
    pub(super) fn length(&self) -> u32 {
        u32::try_from(*self.0.length.borrow()).unwrap()
    }

    /// Appends an alert. Its number is its line's.
    pub(super) fn append(&self, rule: u32, agent: u32, address: String) {
        let alert = self.length();
        let line = format!(
            r#"{{"timestamp":"2026-03-04T05:06:07.089+0000","rule":{{"level":10,"description":"x","id":"{rule}","groups":["sshd"]}},"agent":{{"id":"{agent:03}","name":"host"}},"manager":{{"name":"host"}},"id":"{alert}","decoder":{{"name":"sshd"}},"data":{{"srcip":"{address}"}},"location":"x"}}"#
        );
        self.0.history.note(What::Alert {
            alert,
            rule,
            agent,
            address,
        });
        self.0.lines.lock().unwrap().push(line);
        self.0.length.send_modify(|length| *length += 1);
    }

    /// The reader is gone with its manager.
    pub(super) fn stop(&self) {
        if let Some(reader) = self.0.reader.lock().unwrap().take() {
            reader.abort();
        }
    }

    fn follow(&self, follow: Follow, events: mpsc::Sender<Event>) {
        let at = follow
            .resume
            .map_or(0, |checkpoint| checkpoint.offset / LINE);
        let reader = tokio::spawn(self.clone().read(at, events));
        *self.0.reader.lock().unwrap() = Some(reader);
    }

    /// Ends when nobody listens.
    async fn read(self, mut at: u64, events: mpsc::Sender<Event>) {
        let mut length = self.0.length.subscribe();
        let mut random = self.0.random.fork(at);
        let (stored, is_stored) = oneshot::channel();
        let opened = Event::Opened {
            checkpoint: checkpoint(at),
            stored,
        };
        if events.send(opened).await.is_err() || is_stored.await.is_err() {
            return;
        }
        while let Ok(end) = length.wait_for(|length| *length > at).await.map(|end| *end) {
            let end = end.min(at + 1 + random.below(8));
            let lines = self.take(at, end);
            at = end;
            let receipt = Receipt::Position(checkpoint(at));
            let lines = Event::Lines { lines, receipt };
            if events.send(lines).await.is_err() {
                return;
            }
        }
    }

    fn take(&self, from: u64, to: u64) -> Vec<Line> {
        let lines = self.0.lines.lock().unwrap();
        let line = |number: u64| {
            self.0.history.note(What::Read {
                alert: u32::try_from(number).unwrap(),
            });
            Line {
                bytes: lines[usize::try_from(number).unwrap()].clone().into_bytes(),
                offset: number * LINE,
                generation: Generation(1),
            }
        };
        (from..to).map(line).collect()
    }
}

fn checkpoint(line: u64) -> Checkpoint {
    Checkpoint {
        generation: Generation(1),
        identity: FileIdentity {
            dev: 1,
            ino: 1,
            btime_ns: None,
        },
        offset: line * LINE,
        tail_hash: 0,
    }
}
