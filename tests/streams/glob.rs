//! Many files as one source. `38` is the number of its case in the list that
//! the reader was built to.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ripost::model::glob::Glob;
use ripost::model::position::{Checkpoint, Generation};
use ripost::source::{
    Accept, Event, Follower, Gather, Receipt, StartAt, Timing, Trouble, Units, gather,
};
use tokio::sync::mpsc;

use crate::scene::DEADLINE;

const QUICK: Timing = Timing {
    poll: Duration::from_millis(10),
    grace: Duration::from_millis(60),
};

/// A folder with files, and what the owner of the source has been told.
struct Many {
    folder: tempfile::TempDir,
    pattern: String,
    most: usize,
    running: Option<(Follower, mpsc::Receiver<Event>)>,
    lines: Vec<String>,
    opened: usize,
    listening: usize,
    troubles: Vec<Trouble>,
    recovered: usize,
    /// As the owner would have it on disk.
    stored: BTreeMap<(u64, u64), Checkpoint>,
    names: HashMap<(Generation, u64), String>,
}

impl Many {
    fn new(pattern: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            pattern: pattern.to_owned(),
            most: 256,
            running: None,
            lines: Vec::new(),
            opened: 0,
            listening: 0,
            troubles: Vec::new(),
            recovered: 0,
            stored: BTreeMap::new(),
            names: HashMap::new(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.at(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn start(&mut self, start: StartAt) {
        let (sender, events) = mpsc::channel(2);
        let what = Gather {
            base: self.folder.path().to_owned(),
            pattern: Glob::parse(&self.pattern).unwrap(),
            start,
            resume: self.stored.values().cloned().collect(),
            accept_tail: Accept::new(|text| text.ends_with(b"}")),
            units: Units::Lines,
            sifting: None,
            timing: QUICK,
            most: self.most,
        };
        self.running = Some((gather(what, sender).unwrap(), events));
        self.listening = 0;
        self.wait("all are open", |many| many.listening == 1);
    }

    fn stop(&mut self) {
        self.running.take().unwrap().0.stop().unwrap();
    }

    fn store(&mut self, checkpoint: Checkpoint) {
        let identity = &checkpoint.identity;
        self.stored.insert((identity.dev, identity.ino), checkpoint);
    }

    /// Takes one event, if there is one.
    fn take(&mut self) -> bool {
        let Ok(event) = self.running.as_mut().unwrap().1.try_recv() else {
            return false;
        };
        match event {
            Event::Opened { checkpoint, stored } => {
                self.opened += 1;
                self.store(checkpoint);
                stored.send(()).unwrap();
            }
            Event::Listening => self.listening += 1,
            Event::Lines { lines, receipt } => {
                let Receipt::Position(checkpoint) = receipt else {
                    panic!("{receipt:?}");
                };
                self.store(checkpoint);
                for line in lines {
                    let text = String::from_utf8(line.bytes).unwrap();
                    let name = (line.generation, line.offset);
                    let earlier = self.names.insert(name, text.clone());
                    assert_eq!(earlier, None, "{text} has the name of another line");
                    self.lines.push(text);
                }
            }
            Event::Skipped { checkpoint, .. } => self.store(checkpoint),
            Event::Trouble(trouble) => self.troubles.push(trouble),
            Event::Recovered => self.recovered += 1,
            event => panic!("{event:?}"),
        }
        true
    }

    #[track_caller]
    fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < end, "waited for: {what}; {:?}", self.lines);
            if !self.take() {
                std::thread::yield_now();
            }
        }
    }

    /// Waits until exactly these lines were read, in whatever order, and a few
    /// searches have brought no other.
    #[track_caller]
    fn expect(&mut self, wanted: &[&str]) {
        let mut wanted: Vec<_> = wanted.iter().map(|text| (*text).to_owned()).collect();
        wanted.sort();
        self.wait("all lines", |many| many.lines.len() >= wanted.len());
        // What would be read twice is read at the next search.
        let probe = format!("probe{}.json", self.opened);
        self.write(&probe, "{probe}\n");
        self.wait("a new file", |many| {
            many.lines.iter().any(|line| line == "{probe}")
        });
        fs::remove_file(self.at(&probe)).unwrap();
        let mut found = std::mem::take(&mut self.lines);
        found.retain(|line| line != "{probe}");
        found.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn files_that_are_there_and_files_that_come_are_read() {
    let mut many = Many::new("*.json");
    many.write("old.json", "{old}\n");
    many.write("other.log", "{other}\n");
    many.write(".hidden.json", "{hidden}\n");
    fs::create_dir(many.at("folder.json")).unwrap();
    many.start(StartAt::End);
    assert_eq!(many.opened, 1);
    many.write("new.json", "{1}\n{2}\n");
    many.write("old.json", "{3}\n");
    many.expect(&["{1}", "{2}", "{3}"]);
    many.write("new.json", "{4}\n");
    many.expect(&["{4}"]);
    assert_eq!(many.troubles, []);
    many.stop();

    let mut many = Many::new("*/alerts-[0-9].json");
    fs::create_dir(many.at("a")).unwrap();
    many.write("a/alerts-1.json", "{1}\n");
    many.start(StartAt::Beginning);
    many.wait("what is there", |many| many.lines == ["{1}"]);
    fs::create_dir(many.at("b")).unwrap();
    many.write("b/alerts-2.json", "{2}\n");
    many.write("b/alerts-x.json", "{x}\n");
    many.wait("what comes", |many| many.lines == ["{1}", "{2}"]);
    many.stop();
}

#[test]
fn a_file_that_is_renamed_as_by_rotation_is_not_read_again() {
    let mut many = Many::new("*.json*");
    many.write("alerts.json", "{1}\n");
    many.start(StartAt::Beginning);
    many.wait("the first", |many| many.lines == ["{1}"]);
    for round in 0..3 {
        for number in (1..=round).rev() {
            let to = many.at(&format!("alerts.json.{}", number + 1));
            fs::rename(many.at(&format!("alerts.json.{number}")), to).unwrap();
        }
        fs::rename(many.at("alerts.json"), many.at("alerts.json.1")).unwrap();
        many.write("alerts.json", &format!("{{new {round}}}\n"));
        // Its writer still has the old one open.
        many.write("alerts.json.1", &format!("{{late {round}}}\n"));
    }
    let wanted = [
        "{1}", "{late 0}", "{late 1}", "{late 2}", "{new 0}", "{new 1}", "{new 2}",
    ];
    many.expect(&wanted);
    many.stop();

    // While nobody reads, too.
    fs::rename(many.at("alerts.json"), many.at("alerts.json.9")).unwrap();
    many.write("alerts.json", "{4}\n");
    many.write("alerts.json.9", "{5}\n");
    many.start(StartAt::Beginning);
    many.expect(&["{4}", "{5}"]);
    many.stop();
}

#[test]
fn a_restart_goes_on_where_each_file_was_left() {
    let mut many = Many::new("*.json");
    for number in 0..5 {
        many.write(
            &format!("{number}.json"),
            &format!("{{a{number}}}\n{{b{number}}}\n"),
        );
    }
    many.start(StartAt::Beginning);
    many.expect(&[
        "{a0}", "{a1}", "{a2}", "{a3}", "{a4}", "{b0}", "{b1}", "{b2}", "{b3}", "{b4}",
    ]);
    many.stop();
    let file = |many: &Many, name: &str| {
        let there = fs::metadata(many.at(name)).unwrap();
        many.stored[&(there.dev(), there.ino())].clone()
    };
    let before = file(&many, "0.json");
    many.write("0.json", "{c0}\n");
    many.write("5.json", "{a5}\n");
    many.start(StartAt::Beginning);
    many.expect(&["{c0}", "{a5}"]);
    // Its lines have the names that they would have had without the restart.
    let after = file(&many, "0.json");
    assert_eq!(after.generation, before.generation);
    assert_eq!(after.offset, before.offset + 5);
    many.stop();
}

#[test]
fn a_file_with_two_names_is_read_once_and_what_is_compressed_not_at_all() {
    let mut many = Many::new("*.json*");
    many.write("a.json", "{1}\n");
    fs::hard_link(many.at("a.json"), many.at("b.json")).unwrap();
    std::os::unix::fs::symlink("a.json", many.at("c.json")).unwrap();
    many.write("d.json.1.gz", "{2}\n");
    many.start(StartAt::Beginning);
    many.expect(&["{1}"]);
    fs::hard_link(many.at("a.json"), many.at("e.json")).unwrap();
    fs::remove_file(many.at("a.json")).unwrap();
    many.write("b.json", "{3}\n");
    many.expect(&["{3}"]);
    many.stop();
}

#[test]
fn a_file_that_is_gone_is_read_to_its_end() {
    let mut many = Many::new("*.json");
    many.write("a.json", "{1}\n");
    many.start(StartAt::Beginning);
    let mut file = OpenOptions::new()
        .append(true)
        .open(many.at("a.json"))
        .unwrap();
    fs::remove_file(many.at("a.json")).unwrap();
    file.write_all(b"{2}\n{3}").unwrap();
    many.expect(&["{1}", "{2}", "{3}"]);
    assert_eq!(
        many.troubles
            .iter()
            .filter(|t| **t != Trouble::NoFile)
            .count(),
        0
    );
    // Then there is room for another one.
    many.wait("that there is none", |many| {
        many.troubles.last() == Some(&Trouble::NoFile)
    });
    many.write("b.json", "{4}\n");
    many.expect(&["{4}"]);
    assert!(many.recovered > 0);
    many.stop();
}

#[test]
fn a_truncated_file_begins_anew() {
    let mut many = Many::new("*.json");
    many.write("a.json", "{1}\n{2}\n");
    many.start(StartAt::Beginning);
    many.wait("the first", |many| many.lines.len() == 2);
    File::create(many.at("a.json")).unwrap();
    many.write("a.json", "{3}\n");
    many.expect(&["{1}", "{2}", "{3}"]);
    many.stop();
}

#[test]
fn more_files_than_can_be_read_are_trouble_until_there_is_room() {
    let mut many = Many::new("*.json");
    many.most = 3;
    for name in ["a", "b", "c", "d"] {
        many.write(&format!("{name}.json"), &format!("{{{name}}}\n"));
    }
    many.start(StartAt::Beginning);
    many.wait("three of them, and a word", |many| {
        many.lines.len() == 3 && many.troubles == [Trouble::TooManyFiles(3)]
    });
    fs::remove_file(many.at("b.json")).unwrap();
    many.wait("the fourth", |many| {
        many.lines.len() == 4 && many.recovered == 1
    });
    many.stop();
}

#[test]
fn one_file_at_full_speed_keeps_none_of_ten_waiting_38() {
    let mut many = Many::new("*.json");
    let flood = format!("{{{}}}\n", "flood".repeat(200)).repeat(60_000);
    many.write("flood.json", "");
    for number in 0..9 {
        many.write(&format!("quiet{number}.json"), "");
    }
    many.start(StartAt::Beginning);
    many.write("flood.json", &flood);
    many.wait("the flood has begun", |many| many.lines.len() > 2_000);
    for number in 0..9 {
        many.write(
            &format!("quiet{number}.json"),
            &format!("{{quiet {number}}}\n"),
        );
    }
    let before = many.lines.len();
    many.wait("all that are quiet", |many| {
        many.lines
            .iter()
            .filter(|line| line.starts_with("{quiet"))
            .count()
            == 9
    });
    // A turn is 256 KiB of each; what was on its way comes to that.
    let between = many.lines.len() - before;
    assert!(between < 3_000, "{between} lines came first");
    assert!(many.lines.len() < 50_000, "the flood was over");
    many.stop();
}
