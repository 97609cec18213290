//! Lines and what is none.

use std::fs;

use ripost::source::{MAX_LINE, SkipKind, StartAt};

use crate::scene::{Scene, append};

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
fn a_record_is_one_line_with_newlines_in_it() {
    let mut scene = Scene::following_records();
    append(&scene.path, b"** Alert 1: - a,\nRule: 1\n");
    append(&scene.path, b"log\n\n** Alert 2: - b,\nRule: 2\n");
    scene.expect(&["** Alert 1: - a,\nRule: 1\nlog"]);
    // What is not whole is not read a second time after a restart.
    scene.wait("the position", |scene| {
        scene.stored.as_ref().unwrap().offset == 30
    });
    scene.kill();
    scene.start(StartAt::Beginning);
    append(&scene.path, b"\n{\"rule\":{\"id\":\"1\"}}\n** Alert 3");
    // In a file of records the rest of a log is no alert, whatever it looks
    // like, also for a reader that has not seen its beginning.
    append(&scene.path, b": - c,\nRule: 3\n\n");
    let records = [
        "** Alert 1: - a,\nRule: 1\nlog",
        "** Alert 2: - b,\nRule: 2",
        "** Alert 3: - c,\nRule: 3",
    ];
    scene.expect(&records);
    assert_eq!(scene.lines[1].offset, 30);
    fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
    append(&scene.path, b"{}\n** Alert 4: -\nx\n\n{}\n");
    let others = ["{}", "** Alert 4: -\nx", "{}"];
    scene.expect(&[&records[..], &others[..]].concat());
}
