//! What concerns the whole process: the time it takes, and the watches it may
//! have. Each test runs itself once more, alone.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use ripost::source::{StartAt, Timing, Trouble};
use rustix::time::{ClockId, clock_gettime};

use crate::scene::{Scene, append};

const INSIDE: &str = "RIPOST_TEST_INSIDE";

/// Runs the test `name` once more, in a user and a mount namespace and after
/// `setup`. False when this is that run.
fn inside(name: &str, setup: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let script = format!("{setup}; exec \"$0\" --exact \"$1\" --nocapture");
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-ec", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{output:?}");
    assert!(text.contains("1 passed"), "{text}");
    true
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

#[test]
fn case_5_a_reader_that_waits_takes_no_time() {
    if inside("process::case_5_a_reader_that_waits_takes_no_time", ":") {
        return;
    }
    let mut scene = Scene::new();
    scene.timing = Timing::default();
    fs::write(&scene.path, b"{\"unterminated\":").unwrap();
    scene.start(StartAt::Beginning);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    let (began, used) = (Instant::now(), processor_time());
    // What is measured is time that passes, so here it has to.
    std::thread::sleep(Duration::from_secs(3));
    let used = processor_time() - used;
    let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.001, "{used:?} of {:?}", began.elapsed());
}

#[test]
fn a_hint_makes_the_reader_look_long_before_the_next_poll() {
    let mut scene = Scene::new();
    scene.timing.poll = Duration::from_secs(3600);
    fs::write(&scene.path, b"").unwrap();
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    for text in ["one", "two", "three"] {
        append(&scene.path, format!("{text}\n").as_bytes());
        scene.wait(text, |scene| {
            scene.texts().last().is_some_and(|last| last == text)
        });
    }
}

#[test]
fn case_32_without_watches_it_looks_four_times_a_second() {
    for limit in ["instances", "watches"] {
        let name = "process::case_32_without_watches_it_looks_four_times_a_second";
        let setup = format!("echo 0 > /proc/sys/user/max_inotify_{limit}");
        if inside(name, &setup) {
            continue;
        }
        let mut scene = Scene::following();
        append(&scene.path, b"one\n");
        scene.expect(&["one"]);
        fs::rename(&scene.path, scene.at("alerts.json.1")).unwrap();
        append(&scene.path, b"two\n");
        scene.expect(&["one", "two"]);
        let [Trouble::Unwatched(_)] = &scene.troubles[..] else {
            panic!("said not once: {:?}", scene.troubles);
        };
        return;
    }
}

#[test]
fn case_33_a_file_system_that_is_unmounted_takes_its_watches_along() {
    let name = "process::case_33_a_file_system_that_is_unmounted_takes_its_watches_along";
    if inside(name, ":") {
        return;
    }
    let mut scene = Scene::new();
    let disk = scene.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).arg(&disk).status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    mount(&["mount", "-t", "tmpfs", "tmpfs"]);
    scene.path = disk.join("alerts.json");
    fs::write(&scene.path, b"").unwrap();
    scene.start(StartAt::End);
    scene.wait("ready", |scene| scene.opened.len() == 1);
    append(&scene.path, b"one\n");
    scene.expect(&["one"]);
    // The reader still has the file open, which keeps all but the name there.
    mount(&["umount", "-l"]);
    scene.wait("the trouble", |scene| scene.troubles == [Trouble::Missing]);
    append(&scene.path, b"two\n");
    scene.expect(&["one", "two"]);
    scene.wait("the recovery", |scene| scene.recovered == 1);
    mount(&["mount", "-t", "tmpfs", "tmpfs"]);
    append(&scene.path, b"three\n");
    scene.expect(&["one", "two", "three"]);
    scene.expect_nothing_else();
}
