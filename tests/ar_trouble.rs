//! What gets in the way of the executables: each kind has an exit status of its
//! own and a sentence that says what to do. Each is brought about for real, in
//! namespaces of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "the 4.x daemon is for others")]
#[path = "support/run.rs"]
mod run;
#[expect(dead_code, reason = "not all that a kernel may lack is needed here")]
#[path = "support/seccomp.rs"]
mod seccomp;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use netns::{reexec_in_namespace, run as tool, wait_for};
use ripost::ar::Cause;
use run::{Home, Ran, answer, direct, feed, with_alert};
use seccomp::{Lacks, on_a_kernel_without};

const ATTACKER: &str = "198.51.100.7";

/// The lines of an add for the alert with this under `data`.
fn add(data: &str, args: &[&str]) -> Vec<u8> {
    let args = serde_json::to_string(args).unwrap();
    let line = with_alert("add", &format!(r#"{{"data":{data}}}"#));
    let line = line.replace(r#""extra_args":[]"#, &format!(r#""extra_args":{args}"#));
    (line + &answer("continue", "{}")).into_bytes()
}

fn block(address: &str) -> Vec<u8> {
    add(&format!(r#"{{"srcip":"{address}"}}"#), &[])
}

/// It fails for this cause and says what to do about it.
#[track_caller]
fn fails(ran: &Ran, cause: Cause, what_to_do: &str) {
    ran.failed(i32::from(cause.code()));
    let hint = ran.stderr.split_once("\n(").map(|(_, hint)| hint);
    assert!(
        hint.is_some_and(|hint| hint.contains(what_to_do)),
        "{ran:?}"
    );
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    reexec_in_namespace(|| {
        let home = Home::new();
        for folder in ["/usr/local/sbin", "/usr/local/bin"] {
            tool("mount", &["-t", "tmpfs", "tmpfs", folder]);
        }
        for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
            if fs::exists(format!("{folder}/firewall-cmd")).unwrap() {
                return eprintln!("SKIPPED: firewalld is installed here");
            }
        }
        let ran = feed(direct(&home, "firewalld-drop"), &block(ATTACKER));
        fails(&ran, Cause::NoTool, "apt install firewalld");
    });
}

/// A program that has the table for itself, as long as it runs.
fn owner_of_the_table() -> Child {
    let mut nft = Command::new("nft")
        .arg("-i")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = nft.stdin.take().unwrap();
    stdin
        .write_all(b"add table inet ripost { flags owner; }\n")
        .unwrap();
    nft.stdin = Some(stdin);
    wait_for("the table is owned", || {
        tool("nft", &["list", "ruleset"]).contains("flags owner")
    });
    nft
}

#[test]
fn a_table_of_another_program_is_busy_and_not_a_missing_privilege() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let mut owner = owner_of_the_table();
        for name in ["firewall-drop", "block-ip"] {
            let ran = feed(direct(&home, name), &block(ATTACKER));
            fails(&ran, Cause::Busy, "nft list table inet ripost");
        }
        let ran = feed(direct(&home, "isolate-host"), &add("{}", &["192.0.2.1"]));
        fails(&ran, Cause::Busy, "nft list table inet ripost");
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_for("the table has gone with its owner", || {
            tool("nft", &["list", "tables"]).is_empty()
        });
        let ran = feed(direct(&home, "firewall-drop"), &block(ATTACKER));
        assert_eq!(ran.status(), "applied");
    });
}

#[test]
fn without_the_capability_it_is_named() {
    reexec_in_namespace(|| {
        let home = Home::new();
        for (name, input) in [
            ("firewall-drop", block(ATTACKER)),
            ("block-ip", block(ATTACKER)),
            ("route-null", block(ATTACKER)),
            ("isolate-host", add("{}", &["192.0.2.1"])),
        ] {
            let program = format!("active-response/bin/{name}");
            let mut command = Command::new("setpriv");
            command
                .args(["--bounding-set", "-net_admin", &program])
                .current_dir(home.path());
            fails(&feed(command, &input), Cause::NotPermitted, "CAP_NET_ADMIN");
        }
        assert_eq!(tool("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn an_old_kernel_is_told_from_all_else() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let isolate = direct(&home, "isolate-host");
        let isolate = on_a_kernel_without(&[Lacks::NfTables], isolate);
        let ran = feed(isolate, &add("{}", &["192.0.2.1"]));
        fails(&ran, Cause::NotInKernel, "CONFIG_NF_TABLES");
        // An executable for another system altogether.
        let ran = feed(direct(&home, "pf"), &block(ATTACKER));
        fails(&ran, Cause::NotInKernel, "name another executable");
    });
}

#[test]
fn a_full_set_keeps_what_it_has_and_says_that_it_is_full() {
    reexec_in_namespace(|| {
        let home = Home::new();
        tool("nft", &["add table inet ripost"]);
        let set = "{ type ipv4_addr; flags timeout; size 1; }";
        let add_set = format!("add set inet ripost firewall_drop_4 {set}");
        tool("nft", &[&add_set]);
        let ran = feed(direct(&home, "firewall-drop"), &block(ATTACKER));
        assert_eq!(ran.status(), "applied", "{ran:?}");
        let ran = feed(direct(&home, "firewall-drop"), &block("198.51.100.8"));
        fails(&ran, Cause::Full, "nft delete table inet ripost");
        let held = tool("nft", &["list", "set", "inet", "ripost", "firewall_drop_4"]);
        assert!(
            held.contains(ATTACKER) && !held.contains("198.51.100.8"),
            "{held}"
        );
    });
}

#[test]
fn a_process_that_has_gone_is_ended_already() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let data = format!(r#"{{"process":{{"pid":{pid}}}}}"#);
        let ran = feed(direct(&home, "kill-process"), &add(&data, &[]));
        assert_eq!((ran.code, ran.status()), (Some(0), "already".to_owned()));
        let detail = ran.result()["detail"].to_string();
        assert!(detail.contains("none was running (--by exe"), "{detail}");
    });
}

/// A folder with one file that may be taken away.
fn suspect() -> &'static str {
    tool("mount", &["-t", "tmpfs", "tmpfs", "/mnt"]);
    fs::write("/mnt/file", "bytes").unwrap();
    "/mnt/file"
}

fn quarantine(home: &Home, path: &str, sum: &str) -> Ran {
    let queue = home.file("queue");
    if !queue.exists() {
        fs::create_dir(&queue).unwrap();
        fs::set_permissions(&queue, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let data = format!(r#"{{"file":{{"path":"{path}"{sum}}}}}"#);
    feed(direct(home, "quarantine-file"), &add(&data, &[]))
}

#[test]
fn a_file_that_was_changed_is_no_protected_one() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let path = suspect();
        let sum = format!(r#","sha256":"{}""#, "0".repeat(64));
        let ran = quarantine(&home, path, &sum);
        let changed = i32::from(Cause::Changed.code());
        assert_eq!((ran.code, ran.status()), (Some(changed), "refused".into()));
        let detail = ran.result()["detail"].to_string();
        assert!(
            detail.contains("it has changed since the alert"),
            "{detail}"
        );

        let ran = quarantine(&home, "/etc/passwd", "");
        assert_eq!((ran.code, ran.status()), (Some(255), "refused".into()));
        let detail = ran.result()["detail"].to_string();
        assert!(detail.contains("--allow-system permits it"), "{detail}");

        let ran = quarantine(&home, "/mnt/none", "");
        fails(&ran, Cause::Gone, "deleted since the alert");
        assert_eq!(fs::read(path).unwrap(), b"bytes");
    });
}

#[test]
fn a_read_only_file_system_is_told_from_a_full_one() {
    reexec_in_namespace(|| {
        let home = Home::new();
        let path = suspect();
        tool("mount", &["-o", "remount,ro", "/mnt"]);
        let ran = quarantine(&home, path, "");
        fails(&ran, Cause::ReadOnly, "findmnt");
        tool("mount", &["-t", "tmpfs", "-o", "ro", "tmpfs", "/etc"]);
        let ran = feed(direct(&home, "host-deny"), &block(ATTACKER));
        fails(&ran, Cause::ReadOnly, "findmnt");

        tool("mount", &["-t", "tmpfs", "-o", "size=4k", "tmpfs", "/etc"]);
        fs::write("/etc/hosts.deny", "").unwrap();
        fs::write("/etc/filler", [b'x'; 4096]).unwrap();
        let ran = feed(direct(&home, "host-deny"), &block(ATTACKER));
        fails(&ran, Cause::Full, "df");
    });
}

#[test]
fn a_protected_target_is_refused_with_the_status_of_4_x() {
    reexec_in_namespace(|| {
        let home = Home::new();
        for name in ["firewall-drop", "block-ip", "route-null", "host-deny"] {
            let ran = feed(direct(&home, name), &block("127.0.0.1"));
            assert_eq!((ran.code, ran.status()), (Some(255), "refused".into()));
            let detail = ran.result()["detail"].to_string();
            assert!(detail.contains("it is a loopback address"), "{detail}");
        }
    });
}
