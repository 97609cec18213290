//! The sources of alerts and how far each is read.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::alert::{self, Format};
use crate::clock;
use crate::config::{self, AlertSource};
use crate::journal::JournalError;
use crate::journal::manager::{Op, Position};
use crate::model::position::Checkpoint;
use crate::source::{self, Event, Follow, Follower, StartAt, Timing};

use super::{Chore, Manager, Unwritten};

/// Events of one source under way to the manager.
const QUEUE: usize = 2;

/// Why the sources of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("start a reader for {path}: {source}")]
    Start {
        path: PathBuf,
        source: std::io::Error,
    },
}

#[derive(Debug)]
pub(super) struct Sources {
    events: mpsc::Sender<(usize, Event)>,
    /// Sources that a reload has taken away stay as `None`, so that numbers
    /// keep their meaning.
    open: Vec<Option<Source>>,
    /// Positions of lines that led to no action, not stored yet.
    unstored: HashMap<usize, Checkpoint>,
}

#[derive(Debug)]
pub(super) struct Source {
    config: AlertSource,
    /// As it was written: part of the ids of actions.
    pub(super) name: String,
    pub(super) format: &'static Format,
    pub(super) max_age: Option<Duration>,
    follower: Follower,
    ready: bool,
}

impl Sources {
    pub(super) fn new(events: mpsc::Sender<(usize, Event)>) -> Self {
        Self {
            events,
            open: Vec::new(),
            unstored: HashMap::new(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Source> {
        self.open.get(index).and_then(Option::as_ref)
    }

    pub(super) fn has_unstored(&self) -> bool {
        !self.unstored.is_empty()
    }

    fn all_ready(&self) -> bool {
        self.open.iter().flatten().all(|source| source.ready)
    }

    pub(super) fn stop(self) {
        for source in self.open.into_iter().flatten() {
            if let Err(error) = source.follower.stop() {
                log::error!(source = source.name.as_str(), error:% = error; "a reader had failed");
            }
        }
    }
}

impl Manager {
    /// Starts the sources that are new and stops those that are gone.
    pub(super) fn set_sources(&mut self, wanted: &[AlertSource]) -> Result<(), SourceError> {
        let mut started = Vec::new();
        for config in wanted {
            let open = self.sources.open.iter().flatten();
            if open.map(|source| &source.config).any(|open| open == config) {
                continue;
            }
            let index = self.sources.open.len() + started.len();
            match self.start_source(index, config) {
                Ok(source) => started.push(Some(source)),
                Err(error) => {
                    // Events of those that had started may be under way already;
                    // their numbers must not be given to others.
                    let numbers = started.iter().map(|_| None);
                    self.sources.open.extend(numbers);
                    return Err(error);
                }
            }
        }
        for slot in &mut self.sources.open {
            if slot
                .as_ref()
                .is_some_and(|source| !wanted.contains(&source.config))
            {
                // Dropping the reader stops it.
                *slot = None;
            }
        }
        self.sources.open.extend(started);
        Ok(())
    }

    fn start_source(&mut self, index: usize, config: &AlertSource) -> Result<Source, SourceError> {
        let name = config.location.display().to_string();
        let path = self.home.path().join(&config.location);
        let (sender, mut events) = mpsc::channel(QUEUE);
        let configured = match config.start_at {
            config::StartAt::End => StartAt::End,
            config::StartAt::Beginning => StartAt::Beginning,
        };
        let (start, resume) = match self.reader.position(&name)? {
            Position::Unknown => (configured, None),
            Position::Awaited => (StartAt::Beginning, None),
            Position::At(checkpoint) => (configured, Some(checkpoint)),
        };
        if let Some(stored) = &resume {
            self.reach.resumes(stored, &path);
        }
        let follow = Follow {
            resume,
            start,
            accept_tail: is_alert,
            timing: Timing::default(),
            path: path.clone(),
        };
        let follower =
            source::follow(follow, sender).map_err(|source| SourceError::Start { path, source })?;
        let forward = self.sources.events.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if forward.send((index, event)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Source {
            config: config.clone(),
            name,
            format: &alert::FORMATS[0],
            max_age: config.max_age,
            follower,
            ready: false,
        })
    }

    pub(super) async fn source_event(&mut self, index: usize, event: Event) {
        let Some(name) = self.sources.get(index).map(|source| source.name.clone()) else {
            return;
        };
        match event {
            Event::Opened { checkpoint, stored } => {
                self.opened(index, name, checkpoint, stored).await
            }
            Event::Waiting => {
                log::info!(source = name.as_str(); "the alert file does not exist yet; it is read from its beginning when it appears");
                // A position that is stored stays: its file may come back.
                if matches!(self.reader.position(&name), Ok(Position::Unknown)) {
                    self.journal.write(vec![Op::Awaited { source: name }]).await;
                }
                self.source_ready(index);
            }
            Event::Lines { lines, checkpoint } => self.lines(index, lines, checkpoint).await,
            Event::Skipped {
                kind,
                generation: _,
                offset,
                bytes,
                checkpoint,
            } => {
                self.counts.skipped += 1;
                if let Some(more) = self.limiter.pass(kind.label(), clock::boot()) {
                    log::warn!(source = name.as_str(), offset = offset, bytes = bytes, kind = kind.label(), more_since = more; "passed over bytes of a source");
                }
                self.sources.unstored.insert(index, checkpoint);
            }
            Event::Trouble(trouble) => {
                log::warn!(source = name.as_str(), problem:% = trouble; "a source has a problem");
                self.counts.trouble.insert(name, trouble);
            }
            Event::Recovered => {
                log::info!(source = name.as_str(); "the source is fine again");
                self.counts.trouble.remove(&name);
            }
        }
    }

    async fn opened(
        &mut self,
        index: usize,
        source: String,
        checkpoint: Checkpoint,
        stored: oneshot::Sender<()>,
    ) {
        log::info!(source = source.as_str(), generation:% = checkpoint.generation, offset = checkpoint.offset; "reading alerts");
        self.sources.unstored.remove(&index);
        self.reach.opened(checkpoint.generation);
        let op = Op::Checkpoint {
            source,
            checkpoint: Box::new(checkpoint),
        };
        // Behind the actions of the lines before it.
        self.unwritten.push_back(Unwritten {
            ops: vec![op],
            stored: Some(stored),
            ..Unwritten::default()
        });
        self.write_unwritten().await;
        let is_first = self.sources.get(index).is_some_and(|source| !source.ready);
        if is_first {
            self.source_ready(index);
        }
    }

    fn source_ready(&mut self, index: usize) {
        if let Some(Some(source)) = self.sources.open.get_mut(index) {
            source.ready = true;
        }
        self.announce_when_ready();
    }

    /// Says that the manager is ready once every source is and what it began
    /// with is on disk.
    pub(super) fn announce_when_ready(&mut self) {
        if !self.sources.all_ready() {
            return;
        }
        let Some(ready) = self.ready.take() else {
            return;
        };
        let wanted = self.journal.next() - 1;
        let mut synced = self.journal.synced();
        self.chores.spawn(async move {
            if synced.wait_for(|number| *number >= wanted).await.is_ok() {
                // A daemon that is stopping does not care.
                let _ = ready.send(());
            }
            Chore::Done
        });
    }

    /// Notes how far a source is read without having led to an action.
    pub(super) fn note_position(&mut self, index: usize, checkpoint: Checkpoint) {
        self.sources.unstored.insert(index, checkpoint);
    }

    /// The operation that stores how far a source is read.
    pub(super) fn position(&mut self, index: usize, checkpoint: Checkpoint) -> Option<Op> {
        self.sources.unstored.remove(&index);
        self.sources.get(index).map(|source| Op::Checkpoint {
            source: source.name.clone(),
            checkpoint: Box::new(checkpoint),
        })
    }

    pub(super) async fn store_positions(&mut self) {
        // Actions that are not journalled yet may stand before these positions.
        if self.journal.health().is_failing() || !self.unwritten.is_empty() {
            return;
        }
        let unstored: Vec<_> = self.sources.unstored.drain().collect();
        let ops: Vec<_> = unstored
            .into_iter()
            .filter_map(|(index, checkpoint)| self.position(index, checkpoint))
            .collect();
        if !ops.is_empty() {
            self.journal.write(ops).await;
        }
    }

    /// Whether a reader has ended, which it only does by a failure.
    pub(super) fn failed_source(&self) -> Option<&str> {
        let mut open = self.sources.open.iter().flatten();
        open.find(|source| source.follower.is_finished())
            .map(|source| source.name.as_str())
    }
}

/// Whether bytes that no newline ends are a whole alert all the same.
fn is_alert(line: &[u8]) -> bool {
    alert::parse(line, &alert::FORMATS[0]).is_ok()
}
