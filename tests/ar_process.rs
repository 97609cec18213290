//! `kill-process` with its effect: real processes, in a process namespace of
//! their own in which the test is number 1.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "addresses are for ar_netns")]
#[path = "support/run.rs"]
mod run;

use std::cell::Cell;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use netns::{reexec_in_namespace, run as tool, wait_for};
use ripost::sys::kill::{Held, Hunt, Manner};
use run::{Home, Ran, answer, direct, feed, with_alert};

const KILL_PROCESS: &str = "kill-process";

/// What is put in for the present by whoever reads the alert.
const LONG_AGO: &str = "2020-01-01T00:00:00.000+0000";

fn input(args: &[&str], alert: &str) -> Vec<u8> {
    let args = serde_json::to_string(args).unwrap();
    let line =
        with_alert("add", alert).replace(r#""extra_args":[]"#, &format!(r#""extra_args":{args}"#));
    (line + &answer("continue", "{}")).into_bytes()
}

fn kill(home: &Home, args: &[&str], alert: &str) -> Ran {
    feed(direct(home, KILL_PROCESS), &input(args, alert))
}

/// Of an event that was judged now.
fn alert(process: &str) -> String {
    let now = chrono::Utc::now().to_rfc3339();
    format!(r#"{{"timestamp":"{now}","data":{{"process":{{{process}}}}}}}"#)
}

fn by_number(home: &Home, args: &[&str], pid: u32) -> Ran {
    kill(home, args, &alert(&format!(r#""pid":{pid}"#)))
}

fn sh(script: &str) -> Child {
    Command::new("sh").args(["-c", script]).spawn().unwrap()
}

/// The fields of `/proc/PID/stat` behind the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| !["Z", "X"].contains(&fields[0].as_str()))
}

fn running() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|&pid| runs(pid)).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let parent = pid.to_string();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|fields| fields[1] == parent);
    running().into_iter().filter(is_child).collect()
}

/// Waits until that many run besides the test and these.
fn wait_for_others(what: &str, known: &[u32], count: usize) -> Vec<u32> {
    let others = || {
        let mut found = running();
        found.retain(|pid| *pid != 1 && !known.contains(pid));
        found
    };
    wait_for(what, || others().len() >= count);
    others()
}

#[track_caller]
fn applied(ran: &Ran, detail: &str) {
    let result = ran.result();
    assert_eq!(result["status"], "applied", "{ran:?}");
    assert_eq!(result["detail"], detail, "{ran:?}");
    assert_eq!(result["backend"], "signals");
    assert_eq!(ran.code, Some(0));
}

#[track_caller]
fn stopped(ran: &Ran, status: &str, words: &str) {
    let result = ran.result();
    assert_eq!(result["status"], status, "{ran:?}");
    let detail = result["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{detail}");
    if status == "failed" {
        ran.failed(ran.code.filter(|code| *code > 0).unwrap());
    }
}

#[test]
fn a_process_ends_with_all_that_descend_from_it_and_nobody_else() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let bystander = sh("sleep 900 & wait").id();
        let known = [&[bystander], &wait_for_others("a bystander", &[], 2)[..]].concat();
        let tree = "(sleep 901 & sleep 902 & wait) & setsid sleep 903 & sleep 904 & wait";
        let root = sh(tree).id();
        wait_for_others("the tree", &known, 6);
        let ran = by_number(&home, &[], root);
        applied(&ran, "ended 6 processes");
        assert!(known.iter().all(|pid| runs(*pid)));
        assert_eq!(wait_for_others("none", &known, 0), [] as [u32; 0]);
        // It is gone by now, though nobody has collected it.
        let ran = by_number(&home, &[], root);
        stopped(&ran, "already", "none was running (--by exe");
    });
}

#[test]
fn an_orphan_in_the_session_of_a_victim_does_not_get_away() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let mut leader = Command::new("setsid");
        leader.args(["sh", "-c", "(sleep 901 &); exec sleep 902"]);
        let root = leader.spawn().unwrap().id();
        let is_orphaned = || {
            let ours = children(1);
            ours.len() == 2 && children(root).is_empty()
        };
        wait_for("an orphan", is_orphaned);
        applied(&by_number(&home, &[], root), "ended 2 processes");
    });
}

#[test]
fn without_the_tree_only_the_process_itself_ends() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let root = sh("sleep 901 & sleep 902 & wait").id();
        wait_for("children", || children(root).len() == 2);
        let below = children(root);
        let ran = by_number(&home, &["--no-tree"], root);
        applied(&ran, "ended 1 process");
        assert!(below.iter().all(|pid| runs(*pid)));
        let state = |pid: &u32| stat(*pid).unwrap()[0].clone();
        assert!(below.iter().all(|pid| state(pid) != "T"));
    });
}

#[test]
fn a_number_that_was_given_out_again_is_left_alone() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let mut first = sh("exit");
        let number = first.id();
        first.wait().unwrap();
        let last = (number - 1).to_string();
        fs::write("/proc/sys/kernel/ns_last_pid", last).unwrap();
        let second = sh("exec sleep 900").id();
        let now = chrono::Utc::now().to_rfc3339();
        assert_eq!(second, number);
        let old =
            format!(r#"{{"timestamp":"{LONG_AGO}","data":{{"process":{{"pid":{number}}}}}}}"#);
        stopped(
            &kill(&home, &[], &old),
            "refused",
            "the number was another's",
        );
        let start = alert(&format!(r#""pid":{number},"start":"{LONG_AGO}""#));
        stopped(
            &kill(&home, &[], &start),
            "refused",
            "speaks of one that did at 2020",
        );
        let exe = alert(&format!(r#""pid":{number},"executable":"/usr/bin/env""#));
        let ran = kill(&home, &[], &exe);
        stopped(&ran, "refused", "speaks of /usr/bin/env");
        assert_eq!(ran.code, Some(65), "{ran:?}");
        assert!(runs(second));

        let path = fs::read_link(format!("/proc/{second}/exe")).unwrap();
        let right = format!(
            r#""pid":{number},"start":"{now}","executable":"{}""#,
            path.display()
        );
        applied(&kill(&home, &[], &alert(&right)), "ended 1 process");
    });
}

#[test]
fn it_is_said_when_a_number_alone_was_trusted() {
    reexec_in_namespace(|| {
        let home = Home::new();
        for (time, wanted) in [
            ("", "nor when itself was made"),
            (
                r#""timestamp":"2999-01-01T00:00:00Z","#,
                "still to come here",
            ),
        ] {
            let pid = sh("exec sleep 900").id();
            let alert = format!(r#"{{{time}"data":{{"process":{{"pid":{pid}}}}}}}"#);
            let detail = kill(&home, &[], &alert).result()["detail"].clone();
            let detail = detail.as_str().unwrap();
            let begin = "ended 1 process; its number alone was trusted: ";
            assert!(
                detail.starts_with(begin) && detail.contains(wanted),
                "{detail}"
            );
            assert!(!runs(pid));
        }
    });
}

#[test]
fn who_ignores_term_is_killed_and_who_heeds_it_may_tidy_up() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let ready = home.file("ready");
        let start = |script: &str| {
            let _ = fs::remove_file(&ready);
            let pid = sh(&script.replace("READY", ready.to_str().unwrap())).id();
            wait_for("it is ready", || ready.exists());
            pid
        };
        let tidy = "trap 'rm READY; exit' TERM; : > READY; while :; do sleep 1; done";
        let pid = start(tidy);
        by_number(&home, &[], pid);
        assert!(!ready.exists() && !runs(pid));

        let stubborn = "trap '' TERM; : > READY; while :; do sleep 1; done";
        let pid = start(stubborn);
        let ran = by_number(&home, &["--signal", "TERM"], pid);
        stopped(&ran, "failed", "outlived SIGTERM");
        assert!(runs(pid) && stat(pid).unwrap()[0] != "T");
        let begin = Instant::now();
        let ran = by_number(&home, &[], pid);
        assert_eq!(ran.status(), "applied", "{ran:?}");
        assert!(!runs(pid) && begin.elapsed() >= Duration::from_secs(3));

        let pid = start(tidy);
        by_number(&home, &["--signal=KILL"], pid);
        assert!(ready.exists() && !runs(pid));
    });
}

/// A child that does nothing keeps a process in vfork(2), in state D, until both
/// are killed.
#[test]
fn who_hangs_in_the_kernel_is_told_from_who_ignores_term() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let script = "import ctypes, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ctypes.CDLL(None).vfork()
time.sleep(900)";
        let mut python = Command::new("python3");
        let pid = python.args(["-c", script]).spawn().unwrap().id();
        wait_for("it hangs", || {
            children(pid).len() == 1 && stat(pid).unwrap()[0] == "D"
        });
        let child = children(pid);
        let ran = by_number(&home, &["--signal", "TERM"], pid);
        stopped(
            &ran,
            "failed",
            &format!("process {pid} hangs in the kernel"),
        );
        assert!(runs(pid) && child.len() == 1);
        let ran = by_number(&home, &["--signal", "KILL"], pid);
        applied(&ran, "ended 2 processes");
        assert!(!runs(pid) && !runs(child[0]));
    });
}

#[test]
fn a_bomb_that_goes_off_does_not_get_away() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let bystander = sh("exec sleep 900").id();
        // Each forks for ever, and each of those for a while; those at the
        // bottom come and go.
        let bomb = "leaf() { while :; do sleep 0.01; done; }
            branch() { i=0; while [ $i -lt 4 ]; do leaf & i=$((i+1)); done; wait; }
            i=0; while [ $i -lt 40 ]; do branch & i=$((i+1)); done; wait";
        let root = sh(bomb).id();
        wait_for_others("the bomb goes off", &[bystander], 40);
        let ran = by_number(&home, &["--signal", "KILL"], root);
        assert_eq!(ran.status(), "applied", "{ran:?}");
        assert_eq!(wait_for_others("none", &[bystander], 0), [] as [u32; 0]);
        assert!(runs(bystander));
    });
}

#[test]
fn all_stand_still_before_the_look_that_finds_no_more() {
    reexec_in_namespace(|| {
        let bystander = sh("exec sleep 900").id();
        let root = sh("sleep 901 & wait").id();
        wait_for("a child", || children(root).len() == 1);
        let child = children(root)[0];
        let stops = |pid: u32| wait_for("it is stopped", || stat(pid).unwrap()[0] == "T");
        let looks = Cell::new(0);
        let belongs = |held: &Held| {
            if held.pid().cast_unsigned() == bystander {
                looks.set(looks.get() + 1);
                match looks.get() {
                    1 => stops(root),
                    2 => stops(child),
                    _ => {}
                }
            }
            false
        };
        let first = Held::open(root.cast_signed()).unwrap().unwrap();
        let hunt = Hunt::new(vec![first], Some(&belongs), &|_| false, true);
        let outcome = hunt.end(Manner::Force).unwrap();
        assert_eq!(
            (outcome.ended, outcome.left.len(), outcome.more),
            (2, 0, false)
        );
        assert!(looks.get() >= 2 && runs(bystander));
    });
}

#[test]
fn by_file_all_that_run_it_end_and_none_that_only_looks_like_it() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let [dropper, other] = ["dropper", "other"].map(|name| home.file(name));
        let path = dropper.to_str().unwrap().to_owned();
        let found = format!(r#"{{"data":{{"process":{{"executable":"{path}"}}}}}}"#);
        let end = || kill(&home, &["--by", "exe"], &found);
        let start = |file: &Path| Command::new(file).arg("900").spawn().unwrap().id();
        stopped(&end(), "already", "none was running");

        for file in [&dropper, &other] {
            fs::copy("/bin/sleep", file).unwrap();
        }
        let (a, bystander) = (start(&dropper), start(&other));
        fs::remove_file(&dropper).unwrap();
        fs::copy("/bin/sleep", &dropper).unwrap();
        let b = start(&dropper);
        applied(&end(), "ended 2 processes");
        assert_eq!([a, b, bystander].map(runs), [false, false, true]);

        // The file has gone, and another process has its name as an argument.
        let c = start(&dropper);
        fs::remove_file(&dropper).unwrap();
        let d = Command::new(&other)
            .args(["900", "900"])
            .arg0(&path)
            .spawn();
        let d = d.unwrap().id();
        applied(&end(), "ended 1 process");
        assert_eq!([c, d].map(runs), [false, true]);
    });
}

/// Whether other users than root can be had; not in a user namespace.
fn has_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_ascii_whitespace().nth(2) == Some("4294967295")
}

#[test]
fn by_user_all_of_a_person_end_and_no_system_account_unasked() {
    reexec_in_namespace(|| {
        if !has_users() {
            return eprintln!("SKIPPED: a user namespace has no other users");
        }
        tool("mount", &["-t", "tmpfs", "tmpfs", "/etc"]);
        let users = "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nmallory:x:1500:1500::/:/bin/sh\n\
                     alice:x:1501:1501::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n";
        fs::write("/etc/passwd", users).unwrap();
        fs::write("/etc/login.defs", "UID_MIN 1000\n").unwrap();
        let home = Home::new();
        let start = |id: &str, effective: &str| {
            let mut command = Command::new("setpriv");
            command.args(["--ruid", id, "--euid", effective, "--clear-groups"]);
            let pid = command.args(["sleep", "900"]).spawn().unwrap().id();
            let name = format!("/proc/{pid}/comm");
            wait_for("it sleeps", || {
                fs::read_to_string(&name).unwrap() == "sleep\n"
            });
            pid
        };
        let (mallory, risen) = (start("1500", "1500"), start("1500", "0"));
        // A service that only acts for her at the moment.
        let (alice, service, www) = (start("1501", "1501"), start("0", "1500"), start("33", "33"));
        let end = |args: &[&str], name: &str| {
            let args = [&["--by", "user"], args].concat();
            kill(
                &home,
                &args,
                &format!(r#"{{"data":{{"dstuser":"{name}"}}}}"#),
            )
        };
        applied(&end(&[], "mallory"), "ended 2 processes");
        let all = [mallory, risen, alice, service, www];
        assert_eq!(all.map(runs), [false, false, true, true, true]);
        stopped(&end(&[], "mallory"), "already", "none was running");

        stopped(&end(&["--system"], "toor"), "refused", "this is root");
        stopped(&end(&[], "www"), "refused", "is a system account");
        stopped(
            &end(&[], "nobody-here"),
            "failed",
            "nor any directory of this host has it",
        );
        assert!(runs(www));
        applied(&end(&["--system"], "www"), "ended 1 process");
        assert!(runs(alice) && runs(service));
    });
}

#[test]
fn what_has_started_it_is_never_ended_nor_the_first_process() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let bystander = Command::new("sleep").arg("900").spawn().unwrap().id();
        let text = input(&[], &alert(r#""pid":PID"#));
        fs::write(home.file("input"), text).unwrap();
        let mut command = Command::new("sh");
        let script = "sed s/PID/$$/ input | active-response/bin/kill-process; exit 7";
        command.args(["-c", script]).current_dir(home.path());
        let ran = feed(command, b"");
        assert_eq!(ran.code, Some(7), "{ran:?}");
        stopped(
            &ran,
            "refused",
            "is a part of Ripost, or what has started it",
        );

        // Others that run the same file are let be as well.
        let own = std::env::current_exe().unwrap();
        let found = format!(
            r#"{{"data":{{"process":{{"executable":"{}"}}}}}}"#,
            own.display()
        );
        let ran = kill(&home, &["--by", "exe"], &found);
        stopped(&ran, "refused", "process 1 is the first one");

        // As agentd holds its workers: with nothing said yet.
        let mut worker = direct(&home, KILL_PROCESS);
        worker.stdin(std::process::Stdio::piped());
        let worker = worker.spawn().unwrap();
        let ran = by_number(&home, &[], worker.id());
        stopped(&ran, "refused", "is a bundled executable of Ripost");
        assert!(runs(worker.id()) && runs(bystander));
        drop(worker);
    });
}

#[test]
fn without_the_right_to_it_nothing_is_left_standing_still() {
    reexec_in_namespace(|| {
        if !has_users() {
            return eprintln!("SKIPPED: a user namespace has no other users");
        }
        let home = Home::new();
        let mut victim = Command::new("setpriv");
        victim.args(["--reuid", "1500", "--clear-groups", "sleep", "900"]);
        let victim = victim.spawn().unwrap().id();
        let name = format!("/proc/{victim}/comm");
        wait_for("it sleeps", || {
            fs::read_to_string(&name).unwrap() == "sleep\n"
        });
        let mut command = Command::new("setpriv");
        let program = "active-response/bin/kill-process";
        command.args(["--bounding-set", "-kill", program]);
        command.current_dir(home.path());
        let ran = feed(command, &input(&[], &alert(&format!(r#""pid":{victim}"#))));
        stopped(&ran, "failed", "takes no signal: Operation not permitted");
        assert!(ran.stderr.contains("CAP_KILL"), "{ran:?}");
        assert_eq!(stat(victim).unwrap()[0], "S");
    });
}

#[test]
fn a_thread_is_no_process_and_a_process_is_not_brought_back() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let (told, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let thread = std::thread::spawn(move || wait.recv());
        let tasks = || fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut numbers = tasks().map(|entry| entry.file_name().into_string().unwrap());
        let number = numbers.find(|number| number != "1").unwrap();
        let ran = by_number(&home, &[], number.parse().unwrap());
        stopped(&ran, "failed", "the number of a thread");
        drop(told);
        thread.join().unwrap().unwrap_err();

        let line = with_alert("delete", &alert(r#""pid":4711"#));
        let ran = feed(direct(&home, KILL_PROCESS), line.as_bytes());
        assert_eq!(ran.status(), "absent");
    });
}
