//! Sources with which something is wrong.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ripost::source::{StartAt, Trouble};

use crate::scene::{Scene, append};

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
    scene.wait("the recovery", |scene| scene.recovered > 0);
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

/// The memory of a process is a regular file whose first page cannot be read.
#[test]
fn case_35_a_file_that_fails_to_be_read_is_tried_on_and_then_left() {
    let mut scene = Scene::new();
    std::os::unix::fs::symlink("/proc/self/mem", &scene.path).unwrap();
    scene.start(StartAt::Beginning);
    scene.wait("the trouble", |scene| {
        matches!(scene.troubles[..], [Trouble::Unreadable(_)])
    });
    assert_eq!(scene.opened.len(), 1);
    append(&scene.at("made"), b"one\n");
    fs::rename(scene.at("made"), &scene.path).unwrap();
    scene.expect(&["one"]);
    let generation = scene.opened[0].generation;
    let gap = Trouble::Gap {
        generation,
        offset: 0,
    };
    assert!(scene.troubles.contains(&gap), "{:?}", scene.troubles);
    scene.wait("the recovery", |scene| scene.recovered == 1);
    scene.expect_nothing_else();
}
