//! The sources of alerts and how far each is read.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, oneshot, watch};

use crate::alert::Shape;
use crate::clock;
use crate::config::{self, AlertSource, Location, TcpDoor, UnixSocket};
use crate::journal::JournalError;
use crate::journal::manager::{Op, Position};
use crate::matcher::Conditions;
use crate::model::AgentId;
use crate::model::glob::Glob;
use crate::model::position::Checkpoint;
use crate::source::http::Settings;
use crate::source::{
    self, Accept, Access, Counted, Door, DoorError, Event, Follow, Gather, Limits, Receive,
    Running, Sifting, StartAt, Tally, Timing, Units,
};
use crate::sys::secret::SecretError;

use super::shape::shape;
use super::{Chore, Manager, Unwritten};

/// Files that a source reads at a time.
const MAX_FILES: usize = 256;

/// Events of one source under way to the manager.
const QUEUE: usize = 2;

/// Why the sources of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("start a reader for {name}: {source}")]
    Start { name: String, source: io::Error },
    #[error(transparent)]
    Token(#[from] SecretError),
}

pub(super) fn failed(name: &str) -> impl FnOnce(io::Error) -> SourceError {
    move |source| SourceError::Start {
        name: name.to_owned(),
        source,
    }
}

fn access(socket: &UnixSocket) -> Access {
    Access {
        mode: socket.mode,
        group: socket.group.clone(),
    }
}

/// Takes in what is sent to a door, which has to be kept as long.
fn receive(
    name: &str,
    door: Door,
    (accept_tail, units): (Accept, Units),
    sender: mpsc::Sender<Event>,
) -> Result<(Running, Option<Door>), SourceError> {
    let receive = Receive {
        accept_tail,
        units,
        limits: Limits::default(),
    };
    let task = source::receive(&door, receive, sender).map_err(failed(name))?;
    Ok((Running::Task(task), Some(door)))
}

#[derive(Debug)]
pub(super) struct Sources {
    events: mpsc::Sender<(usize, Event)>,
    /// Sources that a reload has taken away stay as `None`, so that numbers
    /// keep their meaning.
    open: Vec<Option<Source>>,
    /// Positions of lines that led to no action, not stored yet.
    unstored: HashMap<Slot, Checkpoint>,
    /// What readers match by.
    conditions: watch::Sender<Arc<Conditions>>,
    /// What sources have taken in that are gone.
    gone: Counted,
}

/// What a position is of: a source, and in one that has many files also which
/// file, by device and inode.
type Slot = (usize, Option<(u64, u64)>);

#[derive(Debug)]
pub(super) struct Source {
    config: AlertSource,
    /// As it was written: part of the ids of actions.
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) max_age: Option<Duration>,
    /// Whose alerts these are where they name no agent.
    pub(super) agent: Option<AgentId>,
    pub(super) tally: Arc<Tally>,
    running: Running,
    /// Where senders connect, if they do.
    door: Option<Door>,
    progress: Progress,
}

/// How far a source has come as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// Its start position is not known yet.
    Starting,
    Ready,
    /// Nothing more comes.
    Ended,
}

impl Source {
    fn has_many_files(&self) -> bool {
        matches!(self.config.location, Location::Glob(_))
    }

    fn slot(&self, index: usize, checkpoint: &Checkpoint) -> Slot {
        let identity = &checkpoint.identity;
        let file = self
            .has_many_files()
            .then_some((identity.dev, identity.ino));
        (index, file)
    }

    /// Under which name the position of a file is stored: the names of files
    /// change with each rotation.
    fn stored_as(&self, checkpoint: &Checkpoint) -> String {
        match self.slot(0, checkpoint) {
            (_, Some((dev, ino))) => format!("{}{dev}:{ino}", of_files(&self.name)),
            (_, None) => self.name.clone(),
        }
    }
}

/// What the stored positions of the files of a source are called, up to the
/// file.
fn of_files(source: &str) -> String {
    // A control character is in no location.
    format!("{source}\n")
}

impl Sources {
    pub(super) fn new(events: mpsc::Sender<(usize, Event)>, conditions: Arc<Conditions>) -> Self {
        Self {
            events,
            open: Vec::new(),
            unstored: HashMap::new(),
            conditions: watch::Sender::new(conditions),
            gone: Counted::default(),
        }
    }

    /// From now on, what is read is matched by these.
    pub(super) fn match_by(&self, conditions: Arc<Conditions>) {
        self.conditions.send_replace(conditions);
    }

    /// Those that are open, as they are shown.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&Source, Counted)> {
        let open = self.open.iter().flatten();
        open.map(|source| (source, source.tally.now()))
    }

    /// What all have taken in since the start.
    pub(super) fn counted(&self) -> Counted {
        let mut all = self.gone.clone();
        for (_, counted) in self.shown() {
            all.add(&counted);
        }
        all
    }

    pub(super) fn get(&self, index: usize) -> Option<&Source> {
        self.open.get(index).and_then(Option::as_ref)
    }

    /// The number of the source that is open under this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        let is_it = |source: &Source| source.name == name;
        let mut open = self.open.iter();
        open.position(|slot| slot.as_ref().is_some_and(is_it))
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.open.iter().flatten().map(|source| &source.running)
    }

    /// A source goes on with other settings.
    pub(super) fn change(&mut self, index: usize, config: AlertSource, settings: Settings) {
        if let Some(Some(source)) = self.open.get_mut(index)
            && let Running::Http(running) = &source.running
        {
            source.shape = settings.shape.clone();
            source.max_age = config.max_age;
            source.agent = config.agent.clone();
            source.config = config;
            running.change(settings);
        }
    }

    pub(super) fn has_unstored(&self) -> bool {
        !self.unstored.is_empty()
    }

    fn all_ready(&self) -> bool {
        self.open
            .iter()
            .flatten()
            .all(|source| source.progress != Progress::Starting)
    }

    pub(super) fn stop(self) {
        for source in self.open.into_iter().flatten() {
            if let Err(error) = source.running.stop() {
                log::error!(source = source.name.as_str(), error:% = error; "a reader had failed");
            }
        }
    }
}

impl Manager {
    /// Starts the sources that are new and stops those that are gone.
    pub(super) fn set_sources(&mut self, wanted: &[AlertSource]) -> Result<(), SourceError> {
        let changes = self.http_changes(wanted)?;
        let mut started = Vec::new();
        for config in wanted {
            let open = self.sources.open.iter().flatten();
            if open.map(|source| &source.config).any(|open| open == config)
                || changes.iter().any(|change| change.is_to(config))
            {
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
        self.change_http(changes);
        let Sources { open, gone, .. } = &mut self.sources;
        for slot in open {
            let is_gone = |source: &mut Source| !wanted.contains(&source.config);
            if let Some(Source { tally, .. }) = slot.take_if(is_gone) {
                // Its reader was stopped with it.
                gone.add(&tally.now());
            }
        }
        self.sources.open.extend(started);
        Ok(())
    }

    fn start_source(&mut self, index: usize, config: &AlertSource) -> Result<Source, SourceError> {
        let name = config.location.to_string();
        let shape = shape(&config.format);
        let tally = Arc::new(Tally::default());
        let units = units(&shape);
        let accept = whole(&shape);
        let sifting = Sifting {
            shape: shape.clone(),
            conditions: self.sources.conditions.subscribe(),
            tally: Arc::clone(&tally),
        };
        let (sender, mut events) = mpsc::channel(QUEUE);
        let path = |path: &Path| self.home.path().join(path);
        let (running, door) = match &config.location {
            Location::File(file) => {
                let reader = self.follow(&name, path(file), config.start_at, sifting, sender)?;
                (reader, None)
            }
            Location::Glob(pattern) => {
                let reader =
                    self.gather(&name, pattern.clone(), config.start_at, sifting, sender)?;
                (reader, None)
            }
            Location::UnixStream(socket) => {
                let access = access(socket);
                let open = || Door::unix_stream(&path(&socket.path), &access);
                let door = self.door(&name, (&access, &[]), open)?;
                receive(&name, door, (accept, units), sender)?
            }
            Location::UnixDatagram(socket) => {
                let access = access(socket);
                let open = || Door::unix_datagram(&path(&socket.path), &access);
                let door = self.door(&name, (&access, &[]), open)?;
                receive(&name, door, (accept, units), sender)?
            }
            Location::Tcp(TcpDoor { address, allowed }) => {
                let open = || Door::tcp(*address, allowed.clone());
                let door = self.door(&name, (&Access::default(), allowed), open)?;
                receive(&name, door, (accept, units), sender)?
            }
            Location::StandardInput => {
                let input = std::io::stdin().as_fd().try_clone_to_owned();
                let read =
                    input.and_then(|input| source::read_input(input, (accept, units), sender));
                (Running::Thread(read.map_err(failed(&name))?), None)
            }
            Location::Http(door) => (self.serve_http(&name, door, shape.clone(), sender)?, None),
        };
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
            shape,
            max_age: config.max_age,
            agent: config.agent.clone(),
            tally,
            running,
            door,
            progress: Progress::Starting,
        })
    }

    /// Opens a door, or takes that of a source that is open there already, with
    /// those who may use it now.
    fn door(
        &self,
        name: &str,
        (access, allowed): (&Access, &[IpNetwork]),
        open: impl FnOnce() -> Result<Door, DoorError>,
    ) -> Result<Door, DoorError> {
        let mut sources = self.sources.open.iter().flatten();
        let there = sources
            .find(|source| source.name == name)
            .and_then(|source| source.door.as_ref());
        there.map_or_else(open, |there| there.with(access, allowed))
    }

    /// Follows a file from where it was read to.
    fn follow(
        &mut self,
        name: &str,
        path: PathBuf,
        start: config::StartAt,
        sifting: Sifting,
        sender: mpsc::Sender<Event>,
    ) -> Result<Running, SourceError> {
        let configured = match start {
            config::StartAt::End => StartAt::End,
            config::StartAt::Beginning => StartAt::Beginning,
        };
        let (start, resume) = match self.reader.position(name)? {
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
            accept_tail: whole(&sifting.shape),
            units: units(&sifting.shape),
            sifting: Some(sifting),
            timing: Timing::default(),
            path,
        };
        let follower = source::follow(follow, sender).map_err(failed(name))?;
        Ok(Running::Thread(follower))
    }

    /// Reads all files that fit a pattern, each from where it was read to.
    fn gather(
        &mut self,
        name: &str,
        pattern: Glob,
        start: config::StartAt,
        sifting: Sifting,
        sender: mpsc::Sender<Event>,
    ) -> Result<Running, SourceError> {
        let start = match (self.reader.position(name)?, start) {
            (Position::Unknown, config::StartAt::End) => StartAt::End,
            // What was not there when it was last looked is new.
            (Position::Unknown, config::StartAt::Beginning)
            | (Position::Awaited | Position::At(_), _) => StartAt::Beginning,
        };
        let resume = self.reader.positions_in(&of_files(name))?;
        for stored in &resume {
            self.reach.may_be_read(stored.generation);
        }
        let gather = Gather {
            base: self.home.path().to_owned(),
            pattern,
            start,
            resume,
            accept_tail: whole(&sifting.shape),
            units: units(&sifting.shape),
            sifting: Some(sifting),
            timing: Timing::default(),
            most: MAX_FILES,
        };
        let gathered = source::gather(gather, sender).map_err(failed(name))?;
        Ok(Running::Thread(gathered))
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
            Event::Begun { generation } => self.reach.opened(generation),
            Event::Listening => {
                log::info!(source = name.as_str(); "waiting for alerts");
                self.begin_gathering(index, name).await;
                self.source_ready(index);
            }
            Event::Lines { lines, receipt } => self.lines(index, lines, receipt).await,
            Event::Skipped {
                kind,
                generation: _,
                offset,
                bytes,
                checkpoint,
            } => {
                if let Some(source) = self.sources.get(index) {
                    source.tally.count(|counted| counted.passed_over += 1);
                }
                if let Some(more) = self.limiter.pass(kind.label(), clock::boot()) {
                    log::warn!(source = name.as_str(), offset = offset, bytes = bytes, kind = kind.label(), more_since = more; "passed over bytes of a source");
                }
                self.note_position(index, checkpoint);
            }
            Event::PassedOver { kind, bytes } => {
                if let Some(source) = self.sources.get(index) {
                    source.tally.count(|counted| counted.passed_over += 1);
                }
                if let Some(more) = self.limiter.pass(kind.label(), clock::boot()) {
                    log::warn!(source = name.as_str(), bytes = bytes, kind = kind.label(), more_since = more; "passed over what was sent to a source");
                }
            }
            Event::Refused { count, peer } => {
                self.counts.refused_peers += count;
                if let Some(more) = self.limiter.pass("refused peer", clock::boot()) {
                    log::warn!(source = name.as_str(), peer:% = peer, count = count, more_since = more; "closed connections of who may not send alerts (allowed-ips)");
                }
            }
            Event::Ended => {
                log::info!(source = name.as_str(); "the source has come to its end; nothing more is read from it");
                self.source_ready(index);
                self.source_is(index, Progress::Ended);
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
        self.reach.opened(checkpoint.generation);
        let Some(op) = self.position(index, checkpoint) else {
            return;
        };
        // Behind the actions of the lines before it.
        self.unwritten.push_back(Unwritten {
            ops: vec![op],
            stored: Some(stored),
            ..Unwritten::default()
        });
        self.write_unwritten().await;
        // One file of many says little: see `Listening`.
        let begins =
            |source: &Source| source.progress == Progress::Starting && !source.has_many_files();
        if self.sources.get(index).is_some_and(begins) {
            self.source_ready(index);
        }
    }

    /// All files that were there are open: from now on, what appears is new, also
    /// after a restart.
    async fn begin_gathering(&mut self, index: usize, source: String) {
        let is_one = self.sources.get(index).is_some_and(Source::has_many_files);
        if is_one && matches!(self.reader.position(&source), Ok(Position::Unknown)) {
            self.journal.write(vec![Op::Awaited { source }]).await;
        }
    }

    fn source_ready(&mut self, index: usize) {
        self.source_is(index, Progress::Ready);
        self.announce_when_ready();
    }

    fn source_is(&mut self, index: usize, progress: Progress) {
        if let Some(Some(source)) = self.sources.open.get_mut(index) {
            source.progress = progress;
        }
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
        if let Some(source) = self.sources.get(index) {
            let slot = source.slot(index, &checkpoint);
            self.sources.unstored.insert(slot, checkpoint);
        }
    }

    /// The operation that stores how far a source is read.
    pub(super) fn position(&mut self, index: usize, checkpoint: Checkpoint) -> Option<Op> {
        let source = self.sources.get(index)?;
        let (slot, name) = (
            source.slot(index, &checkpoint),
            source.stored_as(&checkpoint),
        );
        self.sources.unstored.remove(&slot);
        Some(Op::Checkpoint {
            source: name,
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
            .filter_map(|((index, _), checkpoint)| self.position(index, checkpoint))
            .collect();
        if !ops.is_empty() {
            self.journal.write(ops).await;
        }
    }

    /// A source whose reader has ended, and that has not come to its end.
    pub(super) fn failed_source(&self) -> Option<&str> {
        let mut open = self.sources.open.iter().flatten();
        open.find(|source| source.progress != Progress::Ended && source.running.is_finished())
            .map(|source| source.name.as_str())
    }
}

/// An `alerts.log` has records of several lines; what is JSON has none.
fn units(shape: &Shape) -> Units {
    match shape.name() {
        "auto" | "ossec" => Units::LinesAndRecords,
        _ => Units::Lines,
    }
}

/// Whether what no newline ends is an alert.
fn whole(shape: &Shape) -> Accept {
    let shape = shape.clone();
    Accept::new(move |line| shape.is_whole(line))
}
