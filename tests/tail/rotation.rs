//! Files that are replaced while they are followed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use ripost::source::{SkipKind, StartAt, Trouble};

use crate::scene::{SCHEMES, Scene, append, link_as_wazuh, rotate};

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
    assert!(!scene.take(Duration::from_millis(200)), "it was left");
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
