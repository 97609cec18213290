//! Full and read-only disks, runs that are killed, locks that somebody keeps.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::scope;
use std::time::Duration;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::{Home, answer, direct, feed};
use crate::{
    NAME, PASSWORDS, SHADOW, disable, enable, line, memories, order, own_etc, shadow, with,
};

#[test]
fn where_nothing_can_be_written_nothing_is_done_or_remembered() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        // So that the memory of before is not lost either.
        disable(&home, "bob", &[]);
        let before = shadow();
        let check = |code: i32, wanted: &str| {
            let ran = order(&home, "alice", &[]);
            ran.failed(code);
            assert!(ran.stderr.contains(wanted), "{ran:?}");
            assert_eq!((shadow(), memories(&home).len()), (before.clone(), 1));
        };
        tool("mount", &["-o", "remount,bind,ro", "/etc"]);
        check(74, "have /etc writable");
        let ran = feed(direct(&home, NAME), line("delete", "bob", &[]).as_bytes());
        assert_eq!(ran.status(), "failed");
        tool("mount", &["-o", "remount,bind,rw", "/etc"]);
        fs::write("/etc/fill", vec![0; 1 << 20]).unwrap_err();
        check(73, "write /etc/.shadow.ripost-");
        fs::remove_file("/etc/fill").unwrap();
        tool("mount", &["--bind", SHADOW, SHADOW]);
        check(75, "no mount of its own");
        tool("umount", &[SHADOW]);
        assert_eq!(disable(&home, "alice", &[]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(enable(&home, "bob"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
        fs::remove_file(SHADOW).unwrap();
        let ran = order(&home, "alice", &[]);
        assert!(ran.stderr.contains("pwconv"), "{ran:?}");
    });
}

/// The two moments between which a killed run leaves something behind.
#[test]
fn a_run_that_was_killed_half_way_is_completed_or_undone() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        disable(&home, "alice", &[]);
        let locked = shadow();
        let memory = memories(&home).pop().unwrap();
        let next = memory.with_extension("next");
        let tag = memory.file_name().unwrap().to_str().unwrap();
        let staged = Path::new("/etc").join(format!(".shadow.ripost-{tag}"));
        // As it is while the run is about to lock the account ...
        let before_lock = || {
            fs::write(SHADOW, PASSWORDS).unwrap();
            fs::rename(&memory, &next).unwrap();
            fs::write(&staged, &locked).unwrap();
        };
        // ... and when it just has.
        let after_lock = || {
            fs::write(SHADOW, &locked).unwrap();
            fs::rename(&memory, &next).unwrap();
        };

        before_lock();
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));

        disable(&home, "alice", &[]);
        before_lock();
        tool("passwd", &["-l", "alice"]);
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow(), memories(&home).len()), (locked.clone(), 0));
        fs::write(SHADOW, PASSWORDS).unwrap();

        disable(&home, "alice", &[]);
        before_lock();
        assert_eq!(disable(&home, "alice", &[]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));

        disable(&home, "alice", &[]);
        after_lock();
        let again = order(&home, "alice", &[]).result();
        assert_eq!(again["detail"], "was in force already");
        after_lock();
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));
    });
}

/// Starts a run and kills it after a while; it takes a few milliseconds.
fn killed(home: &Home, input: &str, after: Duration) {
    let mut child = direct(home, NAME)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    use std::io::Write;
    // It may be dead before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    std::thread::sleep(after);
    // It may have ended.
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn wherever_runs_are_killed_the_next_ones_come_to_the_right_end() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        let locked = with(PASSWORDS, "alice:", "alice:!");
        let add = line("add", "alice", &[]) + &answer("continue", "{}");
        let delete = line("delete", "alice", &[]);
        for round in 0..60 {
            let after = Duration::from_micros(100 * round);
            killed(&home, &add, after);
            assert!([PASSWORDS, &locked].contains(&shadow().as_str()), "{round}");
            if shadow() == PASSWORDS && round % 2 == 0 {
                // A lock of somebody else in between is not ours for it.
                tool("passwd", &["-l", "alice"]);
                assert_eq!(enable(&home, "alice"), "absent", "{round}");
                assert_eq!(shadow(), locked, "{round}");
                tool("passwd", &["-u", "alice"]);
            }
            assert_eq!(disable(&home, "alice", &[]), "applied", "{round}");
            assert_eq!(shadow(), locked, "{round}");
            killed(&home, &delete, after);
            let was_reverted = shadow() == PASSWORDS;
            if was_reverted && round % 2 == 0 {
                tool("passwd", &["-l", "alice"]);
                assert_eq!(enable(&home, "alice"), "absent", "{round}");
                assert_eq!(shadow(), locked, "{round}");
                tool("passwd", &["-u", "alice"]);
            }
            let status = if was_reverted { "absent" } else { "reverted" };
            assert_eq!(enable(&home, "alice"), status, "{round}");
            assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));
        }
    });
}

#[test]
fn changes_at_the_same_time_lose_nothing() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        let people = ["alice", "bob", "keys", "empty", "leaver", "gone"];
        let mut wanted = PASSWORDS.to_owned();
        for user in people {
            wanted = with(&wanted, &format!("\n{user}:"), &format!("\n{user}:!"));
        }
        for _ in 0..5 {
            scope(|all| {
                for user in people {
                    all.spawn(|| assert_eq!(disable(&home, user, &[]), "applied"));
                }
                all.spawn(|| {
                    for flag in ["-l", "-u", "-l", "-u"] {
                        tool("passwd", &[flag, "early"]);
                    }
                });
            });
            assert_eq!(shadow(), wanted);
            scope(|all| {
                for user in people {
                    all.spawn(|| assert_eq!(enable(&home, user), "reverted"));
                }
            });
            assert_eq!(shadow(), PASSWORDS);
        }
    });
}

#[test]
fn a_lock_that_somebody_keeps_is_named_with_its_holder() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        let lock = fs::File::create("/etc/.pwd.lock").unwrap();
        let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::fcntl_lock(&lock, exclusive).unwrap();
        let ran = order(&home, "alice", &[]);
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        let holder = format!("process {} has held it for", std::process::id());
        assert!(detail.contains(&holder), "{detail}");
        assert_eq!(shadow(), PASSWORDS);
        drop(lock);
        assert_eq!(disable(&home, "alice", &[]), "applied");
    });
}
