//! `host-deny`: what stands in hosts.deny.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::ATTACKER;
use crate::netns::{reexec_in_namespace, run as tool, wait_for};
use crate::run::{HOST_DENY, Home, Ran, add, direct, feed, message};

const HOSTS_DENY: &str = "/etc/hosts.deny";

/// Covers `/etc` with an empty file system that holds this many bytes.
fn own_etc(size: &str) {
    tool(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            &format!("size={size}"),
            "tmpfs",
            "/etc",
        ],
    );
}

fn deny(home: &Home, address: &str) -> Ran {
    feed(direct(home, HOST_DENY), &add(address, "{}"))
}

fn allow(home: &Home, address: &str) -> Ran {
    feed(
        direct(home, HOST_DENY),
        message("delete", address).as_bytes(),
    )
}

fn hosts_deny() -> String {
    fs::read_to_string(HOSTS_DENY).unwrap()
}

/// Nothing of a run may lie about.
fn assert_tidy(home: &Home) {
    let left = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("ripost") || name.contains("saved"))
            .collect()
    };
    assert_eq!(left("/etc"), BTreeSet::new());
    assert_eq!(left(home.file("queue").to_str().unwrap()), BTreeSet::new());
}

#[test]
fn an_address_is_denied_and_allowed_again() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let ran = deny(&home, "198.51.100.7");
        assert_eq!(
            (ran.code, ran.status()),
            (Some(0), "applied".into()),
            "{ran:?}"
        );
        assert_eq!(deny(&home, "2001:0DB8::10").status(), "applied");
        let both = "# ripost host-deny: 198.51.100.7\nALL: 198.51.100.7\n# ripost host-deny: 2001:db8::10\nALL: [2001:db8::10]\n";
        assert_eq!(hosts_deny(), both);
        assert_eq!(fs::metadata(HOSTS_DENY).unwrap().mode() & 0o777, 0o644);

        let ran = deny(&home, "::ffff:198.51.100.7");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".into()));
        assert_eq!(ran.result()["detail"], "was in force already");
        assert_eq!(hosts_deny(), both);

        assert_eq!(allow(&home, "198.51.100.7").status(), "reverted");
        assert_eq!(allow(&home, "198.51.100.7").status(), "absent");
        assert_eq!(allow(&home, "2001:db8::10").status(), "reverted");
        assert_eq!(hosts_deny(), "");
        assert_tidy(&home);
    });
}

#[test]
fn what_the_administrator_wrote_stays_byte_for_byte() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let own = b"# keep 192.0.2.1\r\nALL:192.0.2.10\nALL: 192.0.2.11\nodd \xff ::\nno newline";
        fs::write(HOSTS_DENY, own).unwrap();
        fs::set_permissions(HOSTS_DENY, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(deny(&home, "192.0.2.1").status(), "applied");
        let ran = deny(&home, "192.0.2.10");
        assert_eq!((ran.code, ran.status()), (Some(0), "already".into()));
        assert!(ran.result()["detail"].as_str().unwrap().contains("line 2"));
        assert_eq!(allow(&home, "192.0.2.10").status(), "absent");
        assert_eq!(allow(&home, "192.0.2.1").status(), "reverted");
        assert_eq!(
            fs::read(HOSTS_DENY).unwrap(),
            [own.as_slice(), b"\n"].concat()
        );
        assert_eq!(fs::metadata(HOSTS_DENY).unwrap().mode() & 0o777, 0o640);
    });
}

#[test]
fn a_mounted_file_is_rewritten_and_a_symlink_followed() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let real = home.file("real");
        fs::write(&real, "ALL: a\nALL: b\n").unwrap();
        symlink(&real, HOSTS_DENY).unwrap();
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        assert!(fs::symlink_metadata(HOSTS_DENY).unwrap().is_symlink());
        assert!(
            fs::read_to_string(&real)
                .unwrap()
                .contains("ALL: 198.51.100.7\n")
        );
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        fs::remove_file(HOSTS_DENY).unwrap();

        fs::write(HOSTS_DENY, "").unwrap();
        tool("mount", &["--bind", real.to_str().unwrap(), HOSTS_DENY]);
        let before = fs::metadata(&real).unwrap().ino();
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        assert!(
            fs::read_to_string(&real)
                .unwrap()
                .contains("ALL: 198.51.100.7\n")
        );
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        assert_eq!(fs::read_to_string(&real).unwrap(), "ALL: a\nALL: b\n");
        assert_eq!(fs::metadata(&real).unwrap().ino(), before);
        assert_tidy(&home);
    });
}

#[test]
fn a_file_that_cannot_be_written_is_left_whole() {
    reexec_in_namespace(|| {
        own_etc("32k");
        let home = Home::new();
        let failed = |ran: Ran, code: i32, words: &str| {
            ran.failed(code);
            assert!(ran.stderr.contains(words), "{ran:?}");
            assert!(
                home.log().last().unwrap().contains(words),
                "{:?}",
                home.log()
            );
            assert_eq!(hosts_deny(), "ALL: a\n");
            assert_tidy(&home);
        };
        fs::write(HOSTS_DENY, "ALL: a\n").unwrap();
        // A full disk.
        fs::write("/etc/filler", "").unwrap();
        while fs::OpenOptions::new()
            .append(true)
            .open("/etc/filler")
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[b'x'; 4096]))
            .is_ok()
        {}
        failed(deny(&home, ATTACKER), 73, "No space left on device");
        fs::remove_file("/etc/filler").unwrap();
        // A file mounted read-only.
        tool("mount", &["--bind", HOSTS_DENY, HOSTS_DENY]);
        tool("mount", &["-o", "remount,bind,ro", HOSTS_DENY]);
        failed(deny(&home, ATTACKER), 74, "Read-only file system");
        tool("umount", &[HOSTS_DENY]);
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        fs::remove_file(HOSTS_DENY).unwrap();
        symlink("/nowhere/else", HOSTS_DENY).unwrap();
        let ran = deny(&home, ATTACKER);
        ran.failed(1);
        let log = home.log();
        assert!(
            log.last()
                .unwrap()
                .contains("Could not open file '/etc/hosts.deny'"),
            "{log:?}"
        );
    });
}

#[test]
fn a_full_file_system_of_a_mounted_file_loses_nothing() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let disk = home.file("disk");
        fs::create_dir(&disk).unwrap();
        tool(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=8k",
                "tmpfs",
                disk.to_str().unwrap(),
            ],
        );
        // Two pages with room for a part of the entry.
        let text = format!("#{}\n", "x".repeat(8170));
        fs::write(disk.join("file"), &text).unwrap();
        fs::write(HOSTS_DENY, "").unwrap();
        tool(
            "mount",
            &["--bind", disk.join("file").to_str().unwrap(), HOSTS_DENY],
        );
        let ran = deny(&home, ATTACKER);
        ran.failed(73);
        assert_eq!(hosts_deny(), text);
        assert_tidy(&home);
    });
}

#[test]
fn parallel_denials_all_take_effect_and_a_large_file_is_no_obstacle() {
    reexec_in_namespace(|| {
        own_etc("64m");
        let home = Home::new();
        let text = "ALL: 203.0.113.1 : deny\n".repeat(100_000);
        fs::write(HOSTS_DENY, &text).unwrap();
        let addresses: Vec<String> = (1..=20).map(|n| format!("198.51.100.{n}")).collect();
        let all = |one: fn(&Home, &str) -> Ran, status: &str| {
            std::thread::scope(|scope| {
                for address in &addresses {
                    scope.spawn(|| assert_eq!(one(&home, address).status(), status));
                }
            });
        };
        all(deny, "applied");
        assert_eq!(hosts_deny().lines().count(), 100_040);
        all(allow, "reverted");
        assert_eq!(hosts_deny(), text);
        assert_tidy(&home);
    });
}

#[test]
fn a_lock_ends_with_its_holder_and_nothing_else_is_one() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        // What 4.x would wait for, 20 minutes.
        fs::create_dir(home.file("active-response/bin/host-deny-lock")).unwrap();
        fs::create_dir(home.file("active-response/bin/fw-drop")).unwrap();
        fs::create_dir(home.file("queue")).unwrap();
        let mut holder = Command::new("flock")
            .args(["--close", "queue/host-deny.lock", "sleep", "100"])
            .current_dir(home.path())
            .spawn()
            .unwrap();
        wait_for("the lock is held", || {
            let test = Command::new("flock")
                .args(["--nonblock", "queue/host-deny.lock", "true"])
                .current_dir(home.path())
                .status();
            !test.unwrap().success()
        });
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| deny(&home, ATTACKER));
            wait_for("the run has got to the lock", || {
                home.log().iter().any(|line| line.contains("check_keys"))
            });
            assert!(!fs::exists(HOSTS_DENY).unwrap());
            holder.kill().unwrap();
            holder.wait().unwrap();
            let end = Instant::now() + Duration::from_secs(2);
            assert_eq!(waiting.join().unwrap().status(), "applied");
            assert!(Instant::now() < end);
        });
        let start = Instant::now();
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        assert!(start.elapsed() < Duration::from_secs(2));
    });
}
