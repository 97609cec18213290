//! `disable-account` and `end-sessions` with their effect: what stands in
//! /etc/shadow, byte for byte, and which processes run. Every test has an /etc,
//! a /run and processes of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

mod locking;
#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "../support/netns.rs"]
mod netns;
mod people;
#[expect(dead_code, reason = "addresses are for ar_netns")]
#[path = "../support/run.rs"]
mod run;
mod sessions;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use netns::run as tool;
use run::{Home, Ran, answer, direct, feed};

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

/// Puts a program where tools are looked for first.
fn fake(name: &str, script: &str) {
    let path = Path::new("/usr/local/sbin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn own_tools() {
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
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
