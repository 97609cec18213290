//! `disable-account` and `end-sessions` with their effect: what stands in
//! /etc/shadow, byte for byte, and which processes run. Every test has an /etc,
//! a /run and processes of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "addresses are for ar_netns")]
#[path = "support/run.rs"]
mod run;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::scope;
use std::time::Duration;

use netns::{reexec_in_namespace, run as tool};
use run::{Home, Ran, answer, direct, feed};
use rustix::fs::XattrFlags;

const NOBODYS: &str = "nor any directory of this host has it";

const NAME: &str = "disable-account";
const SESSIONS: &str = "end-sessions";
const SHADOW: &str = "/etc/shadow";
const LABEL: &str = "security.selinux";
const SHADOW_LABEL: &[u8] = b"system_u:object_r:shadow_t:s0";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
toor:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
noone:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
early:x:501:501::/home/early:/bin/sh
alice:x:1001:1001:Alice:/home/alice:/bin/sh
bob:x:1002:1002:Bob:/home/bob:/bin/sh
keys:x:1003:1003:no password:/home/keys:/bin/sh
empty:x:1004:1004:no password at all:/home/empty:/bin/sh
a;$(id)'b:x:1005:1005::/home/x:/bin/sh
ghost:x:1006:1006:not in shadow:/home/ghost:/bin/sh
leaver:x:1007:1007:has an end:/home/leaver:/bin/sh
gone:x:1008:1008:has ended:/home/gone:/bin/sh
";

const PASSWORDS: &str = "root:*:19000:0:99999:7:::
toor:$6$r$rrr:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
nobody:*:19000:0:99999:7:::
noone:*:19000:0:99999:7:::
early:$6$e$eee:19000:0:99999:7:::
alice:$6$a$aaa:19000:0:99999:7:::
bob:$6$b$bbb:19000:1:90:7:14::
keys:*:19000::::::
empty::19000:0:99999:7:::
a;$(id)'b:$6$x$xxx:19000:0:99999:7:::
leaver:$6$l$lll:19000:0:99999:7::40000:
gone:$6$g$ggg:19000:0:99999:7::100:
";

/// Covers /etc, and fills in what is read of it.
fn own_etc() {
    tool(
        "mount",
        &["-t", "tmpfs", "-o", "mode=0755,size=1m", "tmpfs", "/etc"],
    );
    fs::write("/etc/passwd", PASSWD).unwrap();
    fs::write("/etc/login.defs", "# UID_MIN 5\nUID_MIN\t\t1000\n").unwrap();
    fs::write(SHADOW, PASSWORDS).unwrap();
    fs::set_permissions(SHADOW, PermissionsExt::from_mode(0o640)).unwrap();
    // Not where this is a user namespace.
    let _ = rustix::fs::setxattr(SHADOW, LABEL, SHADOW_LABEL, XattrFlags::empty());
}

fn shadow() -> String {
    fs::read_to_string(SHADOW).unwrap()
}

/// The file with one text in the place of another, which is there once.
fn with(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}

fn line(command: &str, user: &str, args: &[&str]) -> String {
    let program = format!("active-response/bin/{NAME}");
    let message = serde_json::json!({
        "version": 1,
        "origin": {"name": "node01", "module": "wazuh-execd"},
        "command": command,
        "parameters": {"extra_args": args, "alert": {"data": {"dstuser": user}}, "program": program},
    });
    format!("{message}\n")
}

fn order(home: &Home, user: &str, args: &[&str]) -> Ran {
    let input = line("add", user, args) + &answer("continue", "{}");
    feed(direct(home, NAME), input.as_bytes())
}

#[track_caller]
fn disable(home: &Home, user: &str, args: &[&str]) -> String {
    let ran = order(home, user, args);
    let keys = format!(r#""command":"check_keys","parameters":{{"keys":["{user}"]}}"#);
    assert!(ran.stdout[0].contains(&keys), "{ran:?}");
    ran.status()
}

#[track_caller]
fn enable(home: &Home, user: &str) -> String {
    feed(direct(home, NAME), line("delete", user, &[]).as_bytes()).status()
}

/// What the executable remembers, and nothing may lie about.
fn memories(home: &Home) -> Vec<PathBuf> {
    for entry in fs::read_dir("/etc").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("ripost"), "{name}");
    }
    let Ok(entries) = fs::read_dir(home.file("queue/disable-account")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The SELinux label that [`own_etc`] gave the file, if it is there.
fn label(path: &str) -> Option<Vec<u8>> {
    let mut label = vec![0; 64];
    let found = rustix::fs::getxattr(path, LABEL, &mut label[..]).ok()?;
    label.truncate(found);
    assert_eq!(label, SHADOW_LABEL);
    Some(label)
}

#[test]
fn an_account_is_locked_as_by_passwd_and_comes_back_byte_for_byte() {
    reexec_in_namespace(|| {
        own_etc();
        let group = if has_users() { 42 } else { 0 };
        chown(SHADOW, None, Some(group)).unwrap();
        let is_labelled = label(SHADOW).is_some();
        let home = Home::new();
        for (user, before, locked) in [
            ("alice", "alice:$6$a$", "alice:!$6$a$"),
            ("bob", "bob:$6$b$", "bob:!$6$b$"),
            ("keys", "keys:*:", "keys:!*:"),
            ("empty", "empty::", "empty:!:"),
            ("a;$(id)'b", "'b:$6$x$", "'b:!$6$x$"),
        ] {
            assert_eq!(disable(&home, user, &[]), "applied", "{user}");
            assert_eq!(shadow(), with(PASSWORDS, before, locked));
            let found = fs::metadata(SHADOW).unwrap();
            assert_eq!((found.mode() & 0o7777, found.gid()), (0o640, group));
            assert_eq!(label(SHADOW).is_some(), is_labelled);
            let memory = memories(&home);
            assert_eq!(memory.len(), 1);
            let found = fs::metadata(&memory[0]).unwrap();
            assert_eq!(found.mode() & 0o7777, 0o600);
            assert!(!fs::read_to_string(&memory[0]).unwrap().contains("$6$"));

            let again = order(&home, user, &[]).result();
            assert_eq!(again["detail"], "was in force already", "{user}");
            assert_eq!(enable(&home, user), "reverted", "{user}");
            assert_eq!(shadow(), PASSWORDS);
            assert_eq!(memories(&home).len(), 0);
            assert_eq!(enable(&home, user), "absent", "{user}");
            assert_eq!(shadow(), PASSWORDS);
        }
        // The one that the administrator would use writes the same.
        disable(&home, "alice", &[]);
        let ours = shadow();
        enable(&home, "alice");
        tool("passwd", &["-l", "alice"]);
        assert_eq!(ours, shadow());
    });
}

#[test]
fn an_account_that_is_ended_too_gets_its_old_end_back() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        for (user, before, ended) in [
            (
                "bob",
                "$6$b$bbb:19000:1:90:7:14::",
                "!$6$b$bbb:19000:1:90:7:14:1:",
            ),
            ("keys", "*:19000::::::", "!*:19000:::::1:"),
            (
                "leaver",
                "$6$l$lll:19000:0:99999:7::40000:",
                "!$6$l$lll:19000:0:99999:7::1:",
            ),
            // It has ended already, which nobody is to lengthen.
            (
                "gone",
                "$6$g$ggg:19000:0:99999:7::100:",
                "!$6$g$ggg:19000:0:99999:7::100:",
            ),
        ] {
            assert_eq!(disable(&home, user, &["--expire"]), "applied", "{user}");
            let (before, ended) = (format!("{user}:{before}"), format!("{user}:{ended}"));
            assert_eq!(shadow(), with(PASSWORDS, &before, &ended));
            assert_eq!(enable(&home, user), "reverted", "{user}");
            assert_eq!(shadow(), PASSWORDS);
        }
        // What was only locked is ended by a later response, and both come back.
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert_eq!(disable(&home, "bob", &["--expire"]), "applied");
        let ours = shadow();
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert_eq!(shadow(), ours);
        assert_eq!(enable(&home, "bob"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
        tool("usermod", &["-L", "-e", "1", "bob"]);
        assert_eq!(ours, shadow());
    });
}

#[test]
fn what_the_administrator_has_locked_stays_locked() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        tool("passwd", &["-l", "alice"]);
        let theirs = shadow();
        let ran = order(&home, "alice", &[]);
        assert_eq!((ran.code, ran.status()), (Some(0), "already".to_owned()));
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("alice is locked"), "{detail}");
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!(shadow(), theirs);

        // The end is ours then, and the lock is still theirs.
        assert_eq!(disable(&home, "alice", &["--expire"]), "applied");
        assert_ne!(shadow(), theirs);
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), theirs);
    });
}

#[test]
fn what_the_administrator_does_meanwhile_is_not_undone() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        // Unlocked: there is nothing left to take back.
        disable(&home, "alice", &[]);
        tool("passwd", &["-u", "alice"]);
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));

        // Unlocked, and disabled again by us.
        disable(&home, "alice", &[]);
        tool("passwd", &["-u", "alice"]);
        assert_eq!(disable(&home, "alice", &[]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);

        // Another password, locked by them: not ours.
        disable(&home, "alice", &["--expire"]);
        let theirs = with(&shadow(), "!$6$a$aaa", "!$6$new$nnn");
        fs::write(SHADOW, &theirs).unwrap();
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(
            shadow(),
            with(&theirs, "nnn:19000:0:99999:7::1:", "nnn:19000:0:99999:7:::")
        );

        // Other accounts have changed, and ours is gone.
        fs::write(SHADOW, PASSWORDS).unwrap();
        disable(&home, "alice", &[]);
        tool("usermod", &["-L", "bob"]);
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), with(PASSWORDS, "bob:", "bob:!"));
        disable(&home, "alice", &[]);
        let without = PASSWORDS.replace("alice:$6$a$aaa:19000:0:99999:7:::\n", "");
        fs::write(SHADOW, &without).unwrap();
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow(), memories(&home).len()), (without, 0));
    });
}

/// Puts a program where tools are looked for first.
fn fake(name: &str, script: &str) {
    let path = Path::new("/usr/local/sbin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn own_tools() {
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
}

#[test]
fn only_people_are_acted_on() {
    reexec_in_namespace(|| {
        own_etc();
        own_tools();
        let home = Home::new();
        let root = "it is root by another name (uid 0)";
        let system = "an account of the system (uid";
        for (user, args, wanted) in [
            ("toor", &[][..], root),
            ("toor", &["--min-uid", "1"], root),
            ("daemon", &[], system),
            ("nobody", &["--min-uid", "1"], "stands for nobody"),
            ("noone", &[], "stands for nobody"),
            ("early", &[], system),
            ("alice", &["--min-uid", "1002"], system),
        ] {
            for name in [NAME, SESSIONS] {
                let input = line("add", user, args) + &answer("continue", "{}");
                let ran = feed(direct(&home, name), input.as_bytes());
                let result = ran.result();
                assert_eq!((ran.code, ran.status()), (Some(255), "refused".to_owned()));
                let detail = result["detail"].as_str().unwrap();
                assert!(detail.contains(wanted), "{user}: {detail}");
            }
        }
        fake(
            "getent",
            r#"case "$1 $2 $3" in "passwd -- ldap") echo ldap:x:7:7:::;; "passwd -- 0") echo root:x:0:0:::;; *) exit 2;; esac"#,
        );
        for (user, wanted) in [
            ("nosuch", NOBODYS),
            ("Root", NOBODYS),
            ("$(id)", NOBODYS),
            ("0", NOBODYS),
            ("ldap", "comes from a directory, such as LDAP"),
            ("ghost", "find ghost in /etc/shadow"),
        ] {
            let ran = order(&home, user, &[]);
            ran.failed(if wanted == NOBODYS { 66 } else { 1 });
            let detail = ran.result()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(wanted), "{user}: {detail}");
        }
        assert_eq!(shadow(), PASSWORDS);
        assert_eq!(disable(&home, "early", &["--min-uid=500"]), "applied");
        assert_eq!(enable(&home, "early"), "reverted");
        fs::write("/etc/login.defs", "UID_MIN 500\n").unwrap();
        assert_eq!(disable(&home, "early", &[]), "applied");
        assert_eq!(enable(&home, "early"), "reverted");
        fs::write("/etc/login.defs", "UID_MIN many\n").unwrap();
        assert_eq!(order(&home, "early", &[]).status(), "failed");
        fs::remove_file("/etc/login.defs").unwrap();
        assert_eq!(order(&home, "early", &[]).status(), "refused");
        assert_eq!(shadow(), PASSWORDS);
    });
}

/// Rows of Wazuh 4.14.7 that end before anything is done.
#[test]
fn what_4_x_takes_for_no_user_is_answered_in_its_words() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        let long = "x".repeat(257);
        for user in [
            "root", "", "-u", "+x", "~x", "a b", "a\tb", "a\nb", "a:b", "a,b", "a/b", "a\\b",
            "a..b", &long,
        ] {
            let ran = order(&home, user, &[]);
            assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{user:?}");
            let last = home.log().pop().unwrap();
            assert!(
                last.ends_with("Cannot read 'dstuser' from data or invalid username format"),
                "{user:?}: {last}"
            );
        }
        let input = line("add", "alice", &[]) + &answer("abort", "{}");
        let ran = feed(direct(&home, NAME), input.as_bytes());
        assert_eq!((ran.code, ran.stdout.len()), (Some(0), 1));
        assert!(home.log().pop().unwrap().ends_with(": Aborted"));
        assert_eq!(shadow(), PASSWORDS);
        let of = with(
            &line("add", "alice", &["--field", "data.who"]),
            "dstuser",
            "who",
        );
        let ran = feed(
            direct(&home, NAME),
            (of + &answer("continue", "{}")).as_bytes(),
        );
        assert_eq!(ran.status(), "applied");
        assert!(home.log().pop().unwrap().ends_with(": Ended"));
    });
}

#[test]
fn no_tool_is_needed() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        for program in ["/usr/bin/passwd", "/usr/sbin/usermod", "/usr/bin/chage"] {
            tool("mount", &["--bind", "/dev/null", program]);
        }
        assert_eq!(disable(&home, "alice", &["--expire"]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
    });
}

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

/// A process of this user that runs a script after having said so.
fn process(uid: u32, script: &str) -> Child {
    use std::io::Read;
    let mut child = Command::new("sh")
        .args(["-c", &format!("{script} echo; sleep 600 & wait; sleep 600")])
        .uid(uid)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

fn sessions(home: &Home, user: &str) -> Ran {
    let input = line("add", user, &[]) + &answer("continue", "{}");
    feed(direct(home, SESSIONS), input.as_bytes())
}

/// Users other than root are there only where no user namespace is needed.
fn has_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    if !all {
        eprintln!("SKIPPED in part: there are no other users in this namespace");
    }
    all
}

#[test]
fn all_processes_of_a_user_end_and_nobody_elses() {
    reexec_in_namespace(|| {
        if !has_users() {
            return;
        }
        own_etc();
        let home = Home::new();
        let mut bystander = process(1002, "");
        let mut polite = process(1001, "");
        let mut stubborn = process(1001, "trap '' TERM;");
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        // Each of the two had a child.
        assert_eq!(ran.result()["detail"], "ended processes: 4");
        assert_eq!(ran.result()["backend"], "signals");
        polite.try_wait().unwrap().expect("it has ended");
        stubborn.try_wait().unwrap().expect("it has ended");
        assert!(bystander.try_wait().unwrap().is_none());

        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "found no process of this user");
        let delete = line("delete", "bob", &[]);
        let ran = feed(direct(&home, SESSIONS), delete.as_bytes());
        assert_eq!(ran.status(), "absent");
        assert!(bystander.try_wait().unwrap().is_none());

        // With the lock, in one go, only where that was asked for.
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert!(bystander.try_wait().unwrap().is_none());
        let ran = order(&home, "bob", &["--end-sessions"]);
        let detail = "was in force already; ended processes: 2";
        assert_eq!(ran.result()["detail"], detail);
        bystander.try_wait().unwrap().expect("it has ended");
        let ran = order(&home, "bob", &["--end-sessions"]);
        assert_eq!(ran.result()["detail"], "was in force already");
    });
}

/// The login manager: a table in /run/sessions, of which `terminate-user` takes
/// away the rows that do not resist, and `kill-user` all.
const LOGINCTL: &str = r#"
echo "$*" >>/run/asked
case "$1" in
list-sessions) cat /run/sessions ;;
list-users) while read -r _ uid user _; do echo "$uid $user"; done </run/sessions ;;
terminate-user) sed -i "/ $2 .*polite/d" /run/sessions ;;
kill-user) sed -i "/ $3 .*stubborn/d" /run/sessions ;;
*) exit 1 ;;
esac"#;

#[test]
fn where_there_is_a_login_manager_it_ends_the_sessions() {
    reexec_in_namespace(|| {
        own_etc();
        own_tools();
        let home = Home::new();
        fs::create_dir_all("/run/systemd/system").unwrap();
        let ran = sessions(&home, "alice");
        assert_eq!(ran.status(), "failed", "no login manager answers here");
        let hangs = |text: &str| fs::write("/run/sessions", text).unwrap();
        let asked = || fs::read_to_string("/run/asked").unwrap_or_default();
        fake("loginctl", LOGINCTL);

        hangs(" 3 1002 bob seat0 tty1 polite\n");
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "found no session of this user");
        assert_eq!(ran.result()["backend"], "logind");
        assert!(!asked().contains("terminate-user"), "{}", asked());

        hangs(
            " 1 1001 alice - pts/0 polite\n 2 1001 alice - pts/1 stubborn\n 3 1002 bob seat0 tty1 polite\n",
        );
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "ended sessions: 2");
        let left = fs::read_to_string("/run/sessions").unwrap();
        assert_eq!(left, " 3 1002 bob seat0 tty1 polite\n");

        hangs(" 4 1001 alice - pts/0 immortal\n");
        let ran = sessions(&home, "alice");
        ran.failed(1);
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("1 of them are still there"), "{detail}");
        // An account is disabled all the same, and says what is left.
        let ran = order(&home, "alice", &["--end-sessions"]);
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("its sessions go on: "), "{detail}");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
    });
}
