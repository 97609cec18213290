//! What is left running of a killed predecessor.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ripost::clock;
use ripost::sys::process::ProcessId;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::place::Place;

const GRACE: Duration = Duration::from_secs(20);

fn id(child: &Child) -> ProcessId {
    ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap()
}

fn kill(process: ProcessId) {
    let pid = Pid::from_raw(process.pid()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

/// Starts `body` in a session of its own whose parent is gone, as after a
/// killed daemon, and waits until it has written to the FIFO `logs/ready`. What
/// it writes there are process numbers.
fn leftovers(place: &Place, home: Option<&Path>, body: &str) -> Vec<ProcessId> {
    let ready = place.fifo("logs/ready");
    let mut command = Command::new("setsid");
    command
        .args(["--fork", "sh", "-c", body])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(home) = home {
        command.env("RIPOST_HOME", home);
    }
    assert!(command.status().unwrap().success());
    fs::read_to_string(ready)
        .unwrap()
        .split_whitespace()
        .map(|pid| {
            let pid = pid.parse().unwrap();
            ProcessId::of(pid).unwrap_or_else(|| ghost(pid))
        })
        .collect()
}

/// A process with this number that ended long ago.
fn ghost(pid: i32) -> ProcessId {
    serde_json::from_value(serde_json::json!({ "pid": pid, "start_time": 1 })).unwrap()
}

#[test]
fn what_a_dead_daemon_left_running_is_ended_with_its_group() {
    let place = Place::new();
    let body = "sleep 1000 & echo $$ $! > logs/ready; wait";
    let left = leftovers(&place, None, body);
    assert!(left.iter().all(|process| process.is_running()));
    left[0].end_group(&place.path(), GRACE).unwrap();
    assert!(left.iter().all(|process| !process.is_running()));
}

#[test]
fn what_ignores_the_request_to_end_is_killed_after_the_grace() {
    let place = Place::new();
    let body = "trap '' TERM; sleep 1000 & echo $$ $! > logs/ready; wait; sleep 1000";
    let left = leftovers(&place, None, body);
    let before = clock::boot();
    let grace = Duration::from_millis(300);
    left[0].end_group(&place.path(), grace).unwrap();
    assert!(before.until(clock::boot()) >= grace);
    assert!(left.iter().all(|process| !process.is_running()));
}

#[test]
fn a_group_without_its_leader_is_ended_if_it_is_ours() {
    let place = Place::new();
    let home = place.path();
    // The leader is gone once the member says so.
    let body = "(while kill -0 $$ 2> /dev/null; do sleep 0.01; done; sh -c 'echo $0 $PPID' $$ > logs/ready; exec sleep 1000) &";
    for (named, ended) in [(home.as_path(), true), (Path::new("/elsewhere"), false)] {
        let place = Place::new();
        let left = leftovers(&place, Some(named), body);
        assert!(!left[0].is_running() && left[1].is_running());
        left[0].end_group(&home, GRACE).unwrap();
        assert_eq!(left[1].is_running(), !ended);
        if !ended {
            kill(left[1]);
        }
    }
}

#[test]
fn whoever_bears_the_number_now_is_not_hit() {
    let place = Place::new();
    let mut stranger = Command::new("setsid")
        .args(["sleep", "1000"])
        .spawn()
        .unwrap();
    let stranger_id = id(&stranger);
    let earlier = ghost(stranger_id.pid());
    assert!(!earlier.is_running());
    earlier.end_group(&place.path(), GRACE).unwrap();
    assert!(stranger_id.is_running());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_zombie_has_ended() {
    let place = Place::new();
    let mut child = Command::new("setsid").arg("true").spawn().unwrap();
    let process = id(&child);
    let pid = Pid::from_raw(process.pid()).unwrap();
    // Waits for its end and leaves it a zombie.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pid(pid), options).unwrap();
    assert_eq!(ProcessId::of(process.pid()), Some(process));
    assert!(!process.is_running());
    let before = clock::boot();
    process.end_group(&place.path(), GRACE).unwrap();
    assert!(before.until(clock::boot()) < GRACE / 2);
    child.wait().unwrap();
}
