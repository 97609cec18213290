//! A followed file and its owner.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ripost::model::position::{Checkpoint, Generation};
use ripost::source::{
    Accept, Event, Follow, Follower, Line, Receipt, SkipKind, StartAt, Timing, Trouble, Units,
    follow,
};
use tokio::sync::{mpsc, oneshot};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) const QUICK: Timing = Timing {
    poll: Duration::from_millis(10),
    grace: Duration::from_millis(60),
};

/// A skipped range: kind, generation, offset, bytes.
pub(crate) type Skip = (SkipKind, Generation, u64, u64);

/// A directory with a followed file, and what its owner has been told.
pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) timing: Timing,
    pub(crate) units: Units,
    pub(crate) reader: Option<Reader>,
    pub(crate) lines: Vec<Line>,
    pub(crate) skips: Vec<Skip>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) recovered: usize,
    pub(crate) waiting: usize,
    pub(crate) opened: Vec<Checkpoint>,
    /// As the owner would have it on disk.
    pub(crate) stored: Option<Checkpoint>,
}

pub(crate) struct Reader {
    pub(crate) follower: Follower,
    pub(crate) events: mpsc::Receiver<Event>,
}

pub(crate) fn whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("alerts.json"),
            directory,
            timing: QUICK,
            units: Units::Lines,
            reader: None,
            lines: Vec::new(),
            skips: Vec::new(),
            troubles: Vec::new(),
            recovered: 0,
            waiting: 0,
            opened: Vec::new(),
            stored: None,
        }
    }

    /// Follows a file that is there and empty, and is ready.
    pub(crate) fn following() -> Self {
        Self::following_units(Units::Lines)
    }

    /// The same of a file in which there may be records.
    pub(crate) fn following_records() -> Self {
        Self::following_units(Units::LinesAndRecords)
    }

    fn following_units(units: Units) -> Self {
        let mut scene = Self::new();
        scene.units = units;
        fs::write(&scene.path, b"").unwrap();
        scene.start(StartAt::End);
        scene.wait("ready", |scene| scene.opened.len() == 1);
        scene
    }

    pub(crate) fn start(&mut self, start: StartAt) {
        let (sender, events) = mpsc::channel(2);
        let what = Follow {
            path: self.path.clone(),
            start,
            resume: self.stored.clone(),
            accept_tail: Accept::new(whole),
            units: self.units,
            sifting: None,
            timing: self.timing,
        };
        self.reader = Some(Reader {
            follower: follow(what, sender).unwrap(),
            events,
        });
    }

    /// Stops as a daemon does that is killed: what it was not told of yet, it
    /// never learns.
    pub(crate) fn kill(&mut self) {
        let reader = self.reader.take().unwrap();
        reader.follower.stop().unwrap();
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Takes the next event, if there is one within `patience`.
    pub(crate) fn take(&mut self, patience: Duration) -> bool {
        let reader = self.reader.as_mut().unwrap();
        let deadline = Instant::now() + patience;
        let event = loop {
            match reader.events.try_recv() {
                Ok(event) => break event,
                Err(mpsc::error::TryRecvError::Disconnected) => panic!("the reader has ended"),
                Err(mpsc::error::TryRecvError::Empty) if Instant::now() >= deadline => {
                    return false;
                }
                Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
            }
        };
        self.handle(event);
        true
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Opened { checkpoint, stored } => {
                self.opened.push(checkpoint.clone());
                self.stored = Some(checkpoint);
                stored.send(()).unwrap();
            }
            Event::Waiting => self.waiting += 1,
            Event::Begun { .. }
            | Event::PassedOver { .. }
            | Event::Refused { .. }
            | Event::Ended
            | Event::Listening
            | Event::Lines {
                receipt: Receipt::Answer(_) | Receipt::None,
                ..
            } => unreachable!("of a file"),
            Event::Lines {
                lines,
                receipt: Receipt::Position(checkpoint),
            } => {
                for line in lines {
                    let generation = self.opened.last().unwrap().generation;
                    assert_eq!(line.generation, generation, "an unannounced generation");
                    assert!(line.offset < checkpoint.offset);
                    self.lines.push(line);
                }
                self.stored = Some(checkpoint);
            }
            Event::Skipped {
                kind,
                generation,
                offset,
                bytes,
                checkpoint,
            } => {
                self.skips.push((kind, generation, offset, bytes));
                self.stored = Some(checkpoint);
            }
            Event::Trouble(trouble) => self.troubles.push(trouble),
            Event::Recovered => self.recovered += 1,
        }
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "waited in vain: {what}: {:?} {:?} {:?} {:?}",
                self.texts(),
                self.skips,
                self.troubles,
                self.opened
            );
            self.take(Duration::from_millis(20));
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
            .collect()
    }

    /// Waits for as many lines and requires exactly these in this order, each
    /// at a place of its own.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: &[&str]) {
        self.wait("lines", |scene| scene.lines.len() >= wanted.len());
        assert_eq!(self.texts(), wanted);
        let mut places: Vec<_> = self
            .lines
            .iter()
            .map(|line| (line.generation.0, line.offset))
            .collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), wanted.len(), "two lines at one place");
    }

    /// Nothing but what was expected comes: the line appended now is the next.
    #[track_caller]
    pub(crate) fn expect_nothing_else(&mut self) {
        let known = self.lines.len();
        append(&self.path, b"last\n");
        self.wait("the last line", |scene| {
            scene.lines.iter().any(|line| line.bytes == b"last")
        });
        assert_eq!(self.texts()[known..], ["last"]);
    }

    /// Takes events until a life is opened, and leaves the reader waiting.
    pub(crate) fn hold_at_opened(&mut self) -> (Checkpoint, oneshot::Sender<()>) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "no life was opened");
            match self.reader.as_mut().unwrap().events.try_recv() {
                Ok(Event::Opened { checkpoint, stored }) => return (checkpoint, stored),
                Ok(event) => self.handle(event),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Lets the reader go on from [`Self::hold_at_opened`].
    pub(crate) fn go_on(&mut self, (checkpoint, stored): (Checkpoint, oneshot::Sender<()>)) {
        self.handle(Event::Opened { checkpoint, stored });
    }
}

pub(crate) fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Wazuh's rotation: a new dated file gets the name by a hard link.
pub(crate) fn link_as_wazuh(scene: &Scene, dated: &str) {
    let dated = scene.at(dated);
    fs::create_dir_all(dated.parent().unwrap()).unwrap();
    append(&dated, b"");
    let _ = fs::remove_file(&scene.path);
    fs::hard_link(dated, &scene.path).unwrap();
}

/// Rotates once, in one of the ways that keep the old file.
pub(crate) fn rotate(scene: &Scene, scheme: &str, round: usize) {
    match scheme {
        "numbered" => {
            for number in (1..=round).rev() {
                let from = scene.at(&format!("alerts.json.{number}"));
                let to = scene.at(&format!("alerts.json.{}", number + 1));
                fs::rename(from, to).unwrap();
            }
            fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
            append(&scene.path, b"");
        }
        "dated" => {
            let to = format!("alerts-202611{:02}.json", round + 1);
            fs::rename(&scene.path, scene.at(&to)).unwrap();
            append(&scene.path, b"");
        }
        "wazuh" => {
            let (month, day) = [("Nov", 30), ("Dec", 1), ("Dec", 2)][round.min(2)];
            let dated = format!("2026/{month}/ossec-alerts-{day:02}-{:03}.json", round + 1);
            link_as_wazuh(scene, &dated);
        }
        other => panic!("{other} is no scheme"),
    }
}

pub(crate) const SCHEMES: [&str; 3] = ["numbered", "dated", "wazuh"];
