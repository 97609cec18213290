//! Files that are truncated while they are followed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use ripost::source::{SkipKind, StartAt};

use crate::scene::{DEADLINE, Scene, append};

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
