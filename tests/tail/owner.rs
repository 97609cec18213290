//! A reader and the one it tells.

use std::fs::{self};
use std::time::{Duration, Instant};

use ripost::source::StartAt;

use crate::scene::{DEADLINE, Reader, Scene, append};

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
