//! Where a reader begins.

use std::fs::{self};
use std::os::unix::fs::MetadataExt;

use ripost::source::{MAX_LINE, SkipKind, StartAt, Trouble};

use crate::scene::{SCHEMES, Scene, append, link_as_wazuh, rotate};

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
