//! Following files as their producers really treat them. The numbers in the
//! names of the cases are those of the list of cases the reader was built to.
//! Every wait is for a condition, with a deadline.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "files are written in every way a producer can, and what fails fails the test"
)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ripost::model::position::{Checkpoint, Generation};
use ripost::source::{
    Event, Follow, Follower, Line, MAX_LINE, SkipKind, StartAt, Timing, Trouble, follow,
};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(20);

const QUICK: Timing = Timing {
    poll: Duration::from_millis(10),
    grace: Duration::from_millis(60),
};

/// A skipped range: kind, generation, offset, bytes.
type Skip = (SkipKind, Generation, u64, u64);

/// A directory with a followed file, and what its owner has been told.
struct Scene {
    directory: tempfile::TempDir,
    path: PathBuf,
    timing: Timing,
    reader: Option<Reader>,
    lines: Vec<Line>,
    skips: Vec<Skip>,
    troubles: Vec<Trouble>,
    recovered: usize,
    waiting: usize,
    opened: Vec<Checkpoint>,
    /// As the owner would have it on disk.
    stored: Option<Checkpoint>,
}

struct Reader {
    follower: Follower,
    events: mpsc::Receiver<Event>,
}

fn whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("alerts.json"),
            directory,
            timing: QUICK,
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
    fn following() -> Self {
        let mut scene = Self::new();
        fs::write(&scene.path, b"").unwrap();
        scene.start(StartAt::End);
        scene.wait("ready", |scene| scene.opened.len() == 1);
        scene
    }

    fn start(&mut self, start: StartAt) {
        let (sender, events) = mpsc::channel(2);
        let what = Follow {
            path: self.path.clone(),
            start,
            resume: self.stored.clone(),
            accept_tail: whole,
            timing: self.timing,
        };
        self.reader = Some(Reader {
            follower: follow(what, sender).unwrap(),
            events,
        });
    }

    /// Stops as a daemon does that is killed: what it was not told of yet, it
    /// never learns.
    fn kill(&mut self) {
        let reader = self.reader.take().unwrap();
        reader.follower.stop().unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Takes the next event, if there is one within `patience`.
    fn take(&mut self, patience: Duration) -> bool {
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

    fn handle(&mut self, event: Event) {
        match event {
            Event::Opened { checkpoint, stored } => {
                self.opened.push(checkpoint.clone());
                self.stored = Some(checkpoint);
                stored.send(()).unwrap();
            }
            Event::Waiting => self.waiting += 1,
            Event::Lines { lines, checkpoint } => {
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
    fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
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

    fn texts(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
            .collect()
    }

    /// Waits for as many lines and requires exactly these in this order, each
    /// at a place of its own.
    #[track_caller]
    fn expect(&mut self, wanted: &[&str]) {
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
    fn expect_nothing_else(&mut self) {
        let known = self.lines.len();
        append(&self.path, b"last\n");
        self.wait("the last line", |scene| {
            scene.lines.iter().any(|line| line.bytes == b"last")
        });
        assert_eq!(self.texts()[known..], ["last"]);
    }

    /// Takes events until a life is opened, and leaves the reader waiting.
    fn hold_at_opened(&mut self) -> (Checkpoint, tokio::sync::oneshot::Sender<()>) {
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
    fn go_on(&mut self, (checkpoint, stored): (Checkpoint, tokio::sync::oneshot::Sender<()>)) {
        self.handle(Event::Opened { checkpoint, stored });
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Wazuh's rotation: a new dated file gets the name by a hard link.
fn link_as_wazuh(scene: &Scene, dated: &str) {
    let dated = scene.at(dated);
    fs::create_dir_all(dated.parent().unwrap()).unwrap();
    append(&dated, b"");
    let _ = fs::remove_file(&scene.path);
    fs::hard_link(dated, &scene.path).unwrap();
}

#[test]
fn case_1_whole_lines_come_in_order_with_their_offsets() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\ntwo\n");
    append(&scene.path, b"two\n");
    scene.expect(&["one", "two", "two"]);
    let offsets: Vec<u64> = scene.lines.iter().map(|line| line.offset).collect();
    assert_eq!(offsets, [0, 4, 8]);
    assert_eq!(scene.stored.as_ref().unwrap().offset, 12);
}

#[test]
fn cases_2_to_4_a_line_written_in_parts_is_one_line() {
    for (first, second) in [
        (&b"{\"a\":"[..], &b"1}\n"[..]),
        (b"{\"a\":\"\xc3", b"\xa9\"}\n"),
        (b"{\"a\":1}", b"\n"),
    ] {
        let mut scene = Scene::following();
        append(&scene.path, b"before\n");
        append(&scene.path, first);
        scene.expect(&["before"]);
        append(&scene.path, second);
        let whole = [first, &second[..second.len() - 1]].concat();
        scene.expect(&["before", std::str::from_utf8(&whole).unwrap()]);
        assert_eq!(scene.lines[1].offset, 7);
    }
}

#[test]
fn case_5_an_unterminated_end_is_held_and_costs_no_time() {
    let mut scene = Scene::following();
    append(&scene.path, b"whole\n{\"a\":1}");
    scene.expect(&["whole"]);
    assert_eq!(scene.stored.as_ref().unwrap().offset, 6);
    append(&scene.path, b"\n");
    scene.expect(&["whole", "{\"a\":1}"]);
}

#[test]
fn cases_6_and_7_empty_lines_and_nul_runs_are_no_lines() {
    let mut scene = Scene::following();
    append(&scene.path, b"crlf\r\n\r\n\n\0\0\0after\n\n\n");
    scene.expect(&["crlf\r", "after"]);
    let generation = scene.opened[0].generation;
    assert_eq!(scene.skips, [(SkipKind::Nul, generation, 9, 3)]);
    assert_eq!(scene.lines[1].offset, 12);
    scene.wait("the empty lines", |scene| {
        scene.stored.as_ref().unwrap().offset == 20
    });
}

#[test]
fn case_8_a_line_that_is_too_long_is_passed_over() {
    let mut scene = Scene::following();
    let mut long = vec![b'x'; MAX_LINE + 1];
    long.extend_from_slice(b"\ngood\n");
    append(&scene.path, b"before\n");
    append(&scene.path, &long);
    scene.expect(&["before", "good"]);
    let generation = scene.opened[0].generation;
    let bytes = MAX_LINE as u64 + 2;
    assert_eq!(scene.skips, [(SkipKind::OverLong, generation, 7, bytes)]);
    assert_eq!(scene.lines[1].offset, 7 + bytes);
}

#[test]
fn case_11_a_writer_that_still_has_the_renamed_file_is_heard() {
    let mut scene = Scene::following();
    let mut writer = OpenOptions::new().append(true).open(&scene.path).unwrap();
    writer.write_all(b"one\n").unwrap();
    scene.expect(&["one"]);
    fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
    append(&scene.path, b"three\n");
    writer.write_all(b"two\n").unwrap();
    scene.expect(&["one", "two", "three"]);
    assert_eq!(scene.opened.len(), 2);
    assert_ne!(scene.opened[0].generation, scene.opened[1].generation);
    assert_eq!((scene.lines[1].offset, scene.lines[2].offset), (4, 0));
    scene.expect_nothing_else();
}

#[test]
fn the_old_file_is_not_left_before_the_grace_is_over() {
    let mut scene = Scene::following();
    scene.timing.grace = Duration::from_secs(3600);
    scene.kill();
    scene.start(StartAt::End);
    let mut writer = OpenOptions::new().append(true).open(&scene.path).unwrap();
    fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
    append(&scene.path, b"new\n");
    for text in ["a", "b", "c"] {
        writer.write_all(format!("{text}\n").as_bytes()).unwrap();
        scene.wait("a late line", |scene| {
            scene.texts().contains(&text.to_owned())
        });
    }
    assert_eq!(scene.texts(), ["a", "b", "c"]);
}

#[test]
fn cases_12_and_13_the_rotation_of_wazuh_loses_nothing() {
    let mut scene = Scene::new();
    link_as_wazuh(&scene, "2026/Nov/ossec-alerts-20.json");
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    append(&scene.at("2026/Nov/ossec-alerts-20.json"), b"one\n");
    scene.expect(&["one"]);
    append(&scene.at("2026/Nov/ossec-alerts-20.json"), b"two\n");
    link_as_wazuh(&scene, "2026/Nov/ossec-alerts-20-001.json");
    append(&scene.at("2026/Nov/ossec-alerts-20-001.json"), b"three\n");
    scene.expect(&["one", "two", "three"]);

    // The window without the name, long enough for many looks.
    fs::remove_file(&scene.path).unwrap();
    append(&scene.at("2026/Nov/ossec-alerts-20-001.json"), b"four\n");
    scene.expect(&["one", "two", "three", "four"]);
    assert_eq!(
        scene.troubles,
        [],
        "a moment without the name is no trouble"
    );
    link_as_wazuh(&scene, "2026/Nov/ossec-alerts-21.json");
    append(&scene.path, b"five\n");
    scene.expect(&["one", "two", "three", "four", "five"]);
    assert_eq!(scene.opened.len(), 3);
}

#[test]
fn wazuh_starting_again_gives_the_same_file_its_name_back() {
    let mut scene = Scene::new();
    link_as_wazuh(&scene, "2026/Nov/ossec-alerts-20.json");
    scene.start(StartAt::End);
    append(&scene.path, b"one\n");
    scene.wait("ready", |scene| scene.opened.len() == 1);
    link_as_wazuh(&scene, "2026/Nov/ossec-alerts-20.json");
    append(&scene.path, b"two\n");
    scene.wait("the line", |scene| {
        scene.texts().contains(&"two".to_owned())
    });
    assert_eq!(scene.opened.len(), 1);
    scene.expect_nothing_else();
}

/// Rotates once, in one of the ways that keep the old file.
fn rotate(scene: &Scene, scheme: &str, round: usize) {
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

const SCHEMES: [&str; 3] = ["numbered", "dated", "wazuh"];

#[test]
fn cases_14_and_15_generations_that_nobody_looked_at_are_found() {
    for scheme in SCHEMES {
        let mut scene = Scene::new();
        append(&scene.path, b"");
        if scheme == "wazuh" {
            link_as_wazuh(&scene, "2026/Nov/ossec-alerts-30.json");
        }
        scene.start(StartAt::End);
        let held = scene.hold_at_opened();
        append(&scene.path, b"one\n");
        for (round, text) in ["two\n", "three\n", "four\n"].iter().enumerate() {
            rotate(&scene, scheme, round);
            append(&scene.path, text.as_bytes());
        }
        scene.go_on(held);
        scene.expect(&["one", "two", "three", "four"]);
        assert_eq!(scene.opened.len(), 4, "{scheme}");
        scene.expect_nothing_else();
    }
}

#[test]
fn case_23_after_a_restart_the_rest_of_the_old_files_comes_first() {
    for scheme in SCHEMES {
        let mut scene = Scene::new();
        append(&scene.path, b"");
        if scheme == "wazuh" {
            link_as_wazuh(&scene, "2026/Nov/ossec-alerts-30.json");
        }
        scene.start(StartAt::End);
        scene.wait("ready", |scene| scene.opened.len() == 1);
        append(&scene.path, b"one\n");
        scene.expect(&["one"]);
        scene.kill();
        append(&scene.path, b"two\n");
        for (round, text) in ["three\n", "four\n"].iter().enumerate() {
            rotate(&scene, scheme, round);
            append(&scene.path, text.as_bytes());
        }
        scene.start(StartAt::End);
        scene.expect(&["one", "two", "three", "four"]);
        assert_eq!(scene.lines[1].generation, scene.lines[0].generation);
        assert_eq!(scene.lines[1].offset, 4);
        assert_eq!(scene.troubles, [], "{scheme}");
        scene.expect_nothing_else();
    }
}

#[test]
fn cases_16_to_18_a_truncated_file_begins_anew() {
    // What is written before, and after, the truncation: to less, to as much, to
    // more than what was read, and with a line that was not finished.
    let cases: [(&str, &[&str], &str, &[&str]); 4] = [
        ("one\ntwo\n", &["one", "two"], "3\n", &["3"]),
        ("one\n", &["one"], "two\n", &["two"]),
        ("one\n", &["one"], "two\nthree\n", &["two", "three"]),
        ("one\nhalf a li", &["one"], "2\n", &["2"]),
    ];
    for (before, first, after, second) in cases {
        let mut scene = Scene::following();
        append(&scene.path, before.as_bytes());
        scene.expect(first);
        // One write makes both, as seen by a reader that looks in between.
        fs::write(&scene.path, after).unwrap();
        scene.expect(&[first, second].concat());
        assert_ne!(
            scene.lines.last().unwrap().generation,
            scene.lines[0].generation,
            "{before:?} {after:?}"
        );
        scene.expect_nothing_else();
    }
}

#[test]
fn case_17_a_file_that_outgrew_its_truncation_while_nobody_read_begins_anew() {
    let mut scene = Scene::new();
    fs::write(&scene.path, b"old one\nold two\n").unwrap();
    scene.start(StartAt::Beginning);
    scene.expect(&["old one", "old two"]);
    scene.kill();
    fs::write(&scene.path, b"new one is longer\nnew two\n").unwrap();
    scene.start(StartAt::End);
    scene.expect(&["old one", "old two", "new one is longer", "new two"]);
    assert_eq!(scene.troubles.len(), 1, "{:?}", scene.troubles);
    assert!(matches!(scene.troubles[0], Trouble::Gap { offset: 16, .. }));
}

#[test]
fn case_17_a_file_that_outgrew_its_truncation_unseen_begins_anew() {
    let text = |from: usize, to: usize| -> String {
        let lines = (from..to).map(|n| format!("{n:01023}\n"));
        lines.collect()
    };
    let mut scene = Scene::new();
    append(&scene.path, text(0, 4_000).as_bytes());
    scene.start(StartAt::Beginning);
    let held = scene.hold_at_opened();
    scene.go_on(held);
    // A reader whose owner takes nothing does not look.
    let deadline = Instant::now() + DEADLINE;
    while scene.reader.as_ref().unwrap().events.len() < 2 {
        assert!(Instant::now() < deadline, "the channel never filled");
        std::thread::yield_now();
    }
    fs::write(&scene.path, text(4_000, 9_000)).unwrap();
    scene.wait("the new life", |scene| {
        scene
            .lines
            .last()
            .is_some_and(|line| line.bytes.ends_with(b"8999"))
    });
    let taken = scene.lines.len() - 5_000;
    assert!(taken < 4_000, "{taken}");
    let numbers: Vec<usize> = scene
        .texts()
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    let wanted: Vec<usize> = (0..taken).chain(4_000..9_000).collect();
    assert!(numbers == wanted, "lines are lost, doubled or mixed");
    // What was seen to be there and is gone.
    let (offset, generation) = (taken as u64 * 1024, scene.opened[0].generation);
    let lost = (4_000 << 10) - offset;
    assert_eq!(
        scene.skips,
        [(SkipKind::Truncated, generation, offset, lost)]
    );
}

#[test]
fn case_18_what_was_held_of_a_truncated_line_is_reported() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\nhalf");
    scene.expect(&["one"]);
    // The half line has been read once a look finds nothing new; a further
    // truncation would be seen without it, too, but then nothing was held.
    File::create(&scene.path).unwrap();
    scene.wait("a new life", |scene| scene.opened.len() == 2);
    let generation = scene.opened[0].generation;
    assert_eq!(scene.skips, [(SkipKind::Truncated, generation, 4, 4)]);
    append(&scene.path, b" line\n");
    scene.expect(&["one", " line"]);
}

#[test]
fn a_writer_that_goes_on_behind_a_truncation_leaves_nul_bytes() {
    let mut scene = Scene::following();
    let writer = OpenOptions::new().write(true).open(&scene.path).unwrap();
    writer.write_all_at(b"one\n", 0).unwrap();
    scene.expect(&["one"]);
    File::create(&scene.path).unwrap();
    writer.write_all_at(b"two\n", 4).unwrap();
    scene.expect(&["one", "two"]);
    let generation = scene.lines[1].generation;
    assert_ne!(generation, scene.lines[0].generation);
    assert_eq!(scene.skips, [(SkipKind::Nul, generation, 0, 4)]);
}

#[test]
fn case_19_a_file_that_was_deleted_and_made_again_is_new() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    fs::remove_file(&scene.path).unwrap();
    append(&scene.path, b"one\n");
    scene.expect(&["one", "one"]);
    assert_ne!(scene.lines[0].generation, scene.lines[1].generation);
    scene.expect_nothing_else();
}

#[test]
fn case_19_the_same_inode_after_a_restart_does_not_make_it_the_same_file() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    scene.kill();
    fs::remove_file(&scene.path).unwrap();
    append(&scene.path, b"two, longer\n");
    // As if the new file had got the old inode, on a file system that does not
    // tell when a file was born.
    let metadata = fs::metadata(&scene.path).unwrap();
    let stored = scene.stored.as_mut().unwrap();
    stored.identity.ino = metadata.ino();
    stored.identity.btime_ns = None;
    scene.start(StartAt::End);
    scene.expect(&["one", "two, longer"]);
    assert_ne!(scene.lines[0].generation, scene.lines[1].generation);
    assert!(matches!(
        scene.troubles[..],
        [Trouble::Gap { offset: 4, .. }]
    ));
}

#[test]
fn cases_20_to_22_a_restart_goes_on_at_the_stored_position() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\ntwo\n");
    scene.expect(&["one", "two"]);
    let known = scene.stored.clone();
    append(&scene.path, b"three\nfo");
    scene.expect(&["one", "two", "three"]);
    let third = scene.lines.pop().unwrap();
    scene.kill();
    // The owner died before it stored what the third line led to.
    scene.stored = known.clone();
    append(&scene.path, b"ur\n");
    scene.start(StartAt::End);
    scene.expect(&["one", "two", "three", "four"]);
    assert_eq!(scene.opened.last(), known.as_ref());
    assert_eq!(scene.lines[2], third, "the same line has the same place");
    assert_eq!(scene.troubles, []);
}

#[test]
fn case_24_a_generation_that_is_gone_is_reported() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    let generation = scene.opened[0].generation;
    scene.kill();
    append(&scene.path, b"lost\n");
    fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
    // Compressed: another file, under a name that is not looked at.
    fs::remove_file(scene.at("alerts.json.1")).unwrap();
    append(&scene.at("alerts.json.1.gz"), b"...");
    append(&scene.path, b"two\n");
    scene.start(StartAt::End);
    scene.expect(&["one", "two"]);
    let offset = 4;
    assert_eq!(scene.troubles, [Trouble::Gap { generation, offset }]);
}

#[test]
fn case_25_a_position_behind_the_end_is_not_believed() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    scene.kill();
    scene.stored.as_mut().unwrap().offset = 4_000_000;
    scene.start(StartAt::End);
    scene.expect(&["one", "one"]);
    assert!(matches!(scene.troubles[..], [Trouble::Gap { .. }]));
}

#[test]
fn case_26_without_a_position_it_starts_where_it_is_told() {
    let text = "old\nolder\nunfini";
    for (start, offset, wanted) in [
        (StartAt::End, 10, vec!["unfinished"]),
        (StartAt::Beginning, 0, vec!["old", "older", "unfinished"]),
    ] {
        let mut scene = Scene::new();
        fs::write(&scene.path, text).unwrap();
        scene.start(start);
        scene.wait("ready", |scene| scene.opened.len() == 1);
        assert_eq!(scene.opened[0].offset, offset);
        append(&scene.path, b"shed\n");
        scene.expect(&wanted);
    }
}

#[test]
fn a_start_in_the_middle_of_an_endless_line_passes_it_over() {
    let mut scene = Scene::new();
    fs::write(&scene.path, vec![b'x'; 2 * MAX_LINE]).unwrap();
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    append(&scene.path, b"x\ngood\n");
    scene.expect(&["good"]);
    assert_eq!(scene.skips.len(), 1);
    assert_eq!(scene.skips[0].0, SkipKind::OverLong);
}

#[test]
fn cases_27_and_28_a_file_that_comes_later_is_read_from_its_beginning() {
    let mut scene = Scene::new();
    let directory = scene.at("alerts");
    scene.path = directory.join("alerts.json");
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.waiting == 1);
    scene.wait("the trouble", |scene| scene.troubles == [Trouble::Missing]);
    fs::create_dir(&directory).unwrap();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    assert_eq!(scene.opened[0].offset, 0);
    scene.wait("the recovery", |scene| scene.recovered == 1);
    assert_eq!(scene.waiting, 1);
    scene.expect_nothing_else();
}

#[test]
fn case_28_a_position_is_kept_while_the_directory_is_away() {
    let mut scene = Scene::new();
    let (here, away) = (scene.at("here"), scene.at("away"));
    fs::create_dir(&here).unwrap();
    scene.path = here.join("alerts.json");
    append(&scene.path, b"one\n");
    scene.start(StartAt::Beginning);
    scene.expect(&["one"]);
    scene.kill();
    fs::rename(&here, &away).unwrap();
    scene.start(StartAt::Beginning);
    scene.wait("ready", |scene| scene.waiting == 1);
    append(&away.join("alerts.json"), b"two\n");
    fs::rename(&away, &here).unwrap();
    scene.expect(&["one", "two"]);
    assert_eq!(scene.lines[1].generation, scene.lines[0].generation);
}

#[test]
fn case_29_a_link_that_leads_elsewhere_is_a_replaced_file() {
    let mut scene = Scene::new();
    let point = |scene: &Scene, to: &str| {
        std::os::unix::fs::symlink(to, scene.at("new-link")).unwrap();
        fs::rename(scene.at("new-link"), &scene.path).unwrap();
    };
    append(&scene.at("first"), b"");
    append(&scene.at("second"), b"two\n");
    point(&scene, "first");
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    append(&scene.at("first"), b"one\n");
    scene.expect(&["one"]);
    point(&scene, "second");
    scene.expect(&["one", "two"]);
    // And back: what was read there is not read again.
    append(&scene.at("first"), b"three\n");
    point(&scene, "first");
    scene.expect(&["one", "two", "three"]);
    assert_eq!(scene.lines[2].generation, scene.lines[0].generation);
    assert_eq!(scene.lines[2].offset, 4);
}

#[test]
fn case_30_what_is_no_regular_file_is_refused_until_it_is() {
    fn directory(path: &Path) {
        fs::create_dir(path).unwrap();
    }
    fn fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }
    fn socket(path: &Path) {
        std::os::unix::net::UnixListener::bind(path).unwrap();
    }
    fn device(path: &Path) {
        std::os::unix::fs::symlink("/dev/null", path).unwrap();
    }
    for kind in ["a directory", "a FIFO", "a socket", "a device"] {
        let mut scene = Scene::new();
        match kind {
            "a directory" => directory(&scene.path),
            "a FIFO" => fifo(&scene.path),
            "a socket" => socket(&scene.path),
            _ => device(&scene.path),
        }
        scene.start(StartAt::End);
        let trouble = Trouble::NotAFile(kind);
        scene.wait(kind, |scene| scene.troubles.contains(&trouble));
        assert_eq!((scene.waiting, scene.opened.len()), (1, 0));
        fs::rename(&scene.path, scene.at("aside")).unwrap();
        append(&scene.path, b"one\n");
        scene.expect(&["one"]);
        scene.wait("the recovery", |scene| scene.recovered == 1);
    }
}

#[test]
fn case_30_a_directory_in_place_of_the_file_does_not_end_reading_it() {
    let mut scene = Scene::following();
    let mut writer = OpenOptions::new().append(true).open(&scene.path).unwrap();
    fs::rename(&scene.path, scene.at("aside")).unwrap();
    fs::create_dir(&scene.path).unwrap();
    let trouble = Trouble::NotAFile("a directory");
    scene.wait("the trouble", |scene| scene.troubles.contains(&trouble));
    writer.write_all(b"one\n").unwrap();
    scene.expect(&["one"]);
    fs::remove_dir(&scene.path).unwrap();
    append(&scene.path, b"two\n");
    scene.expect(&["one", "two"]);
    scene.wait("the recovery", |scene| scene.recovered == 1);
}

#[test]
fn case_31_a_file_that_cannot_be_opened_for_a_while_keeps_its_start() {
    let mut scene = Scene::new();
    // A link to itself cannot be opened by anybody, root included.
    std::os::unix::fs::symlink("alerts.json", &scene.path).unwrap();
    scene.start(StartAt::End);
    scene.wait("the trouble", |scene| {
        matches!(scene.troubles[..], [Trouble::Unreadable(_)])
    });
    assert_eq!(scene.waiting, 1);
    append(&scene.at("made"), b"old\n");
    fs::rename(scene.at("made"), &scene.path).unwrap();
    scene.wait("ready", |scene| scene.opened.len() == 1);
    assert_eq!(
        scene.opened[0].offset, 4,
        "it may have been there all along"
    );
    append(&scene.path, b"new\n");
    scene.expect(&["new"]);
    scene.wait("the recovery", |scene| scene.recovered == 1);
}

#[test]
fn a_file_that_everybody_can_write_is_said_once() {
    let mut scene = Scene::new();
    append(&scene.path, b"");
    fs::set_permissions(&scene.path, fs::Permissions::from_mode(0o666)).unwrap();
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    assert_eq!(scene.troubles, [Trouble::WritableByOthers]);
    assert!(!scene.troubles[0].lasts());
}

#[test]
fn the_end_of_a_replaced_file_is_a_line_if_it_is_a_whole_one() {
    for (end, taken) in [("{\"a\":1}", true), ("{\"a\":", false)] {
        let mut scene = Scene::following();
        append(&scene.path, b"one\n");
        append(&scene.path, end.as_bytes());
        scene.expect(&["one"]);
        fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
        append(&scene.path, b"two\n");
        let generation = scene.opened[0].generation;
        if taken {
            scene.expect(&["one", end, "two"]);
            assert_eq!(
                (scene.lines[1].generation, scene.lines[1].offset),
                (generation, 4)
            );
            assert_eq!(scene.skips, []);
        } else {
            scene.expect(&["one", "two"]);
            let bytes = end.len() as u64;
            assert_eq!(scene.skips, [(SkipKind::TornTail, generation, 4, bytes)]);
        }
    }
}

#[test]
fn a_file_that_lost_its_name_and_got_it_back_is_the_same() {
    let mut scene = Scene::following();
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    fs::rename(&scene.path, scene.at("aside")).unwrap();
    append(&scene.at("aside"), b"two\n");
    scene.wait("the trouble", |scene| scene.troubles == [Trouble::Missing]);
    fs::rename(scene.at("aside"), &scene.path).unwrap();
    scene.wait("the recovery", |scene| scene.recovered == 1);
    scene.expect(&["one", "two"]);
    scene.expect_nothing_else();
    assert_eq!(scene.opened.len(), 1);
}

#[test]
fn case_39_a_reader_whose_owner_does_not_take_waits_and_can_be_stopped() {
    let mut scene = Scene::following();
    let line = [vec![b'x'; 1023], vec![b'\n']].concat();
    append(&scene.path, &line.repeat(64 << 10));
    // Two events wait in the channel; each holds no more than one read and what
    // was held before it.
    let reader = scene.reader.as_ref().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while reader.events.len() < 2 {
        assert!(Instant::now() < deadline, "the channel never filled");
        std::thread::yield_now();
    }
    assert!(!reader.follower.is_finished());
    scene.take(DEADLINE);
    assert!(scene.lines.len() <= 1_000);
    let bytes: usize = scene.lines.iter().map(|line| line.bytes.len() + 1).sum();
    assert!(bytes <= 256 << 10, "{bytes}");
    scene.kill();
}

#[test]
fn a_reader_waits_until_the_first_position_is_stored() {
    let mut scene = Scene::new();
    fs::write(&scene.path, b"one\n").unwrap();
    scene.start(StartAt::Beginning);
    let (_, stored) = scene.hold_at_opened();
    assert!(!scene.take(Duration::from_millis(100)), "it did not wait");
    drop(stored);
    let Reader {
        follower,
        mut events,
    } = scene.reader.take().unwrap();
    assert!(events.blocking_recv().is_none(), "it did not end");
    follower.stop().unwrap();
}

#[test]
fn a_reader_that_waits_for_the_first_position_can_be_stopped() {
    let mut scene = Scene::new();
    fs::write(&scene.path, b"one\n").unwrap();
    scene.start(StartAt::Beginning);
    let held = scene.hold_at_opened();
    scene.kill();
    drop(held);
}

#[test]
fn a_reader_ends_when_nobody_listens() {
    let mut scene = Scene::following();
    let Reader { follower, events } = scene.reader.take().unwrap();
    drop(events);
    let deadline = Instant::now() + DEADLINE;
    while !follower.is_finished() {
        assert!(Instant::now() < deadline, "it goes on for nobody");
        std::thread::yield_now();
    }
}
