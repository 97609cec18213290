//! Every bundled executable as a child of 4.x's execd: what that writes, reads
//! and closes, and when (os_execd/execd.c ExecdRun), the bytes it gets to see,
//! the lines that decoders find in active-responses.log, and the effect. The
//! rows are those of Wazuh 4.14.7; where ours differs on purpose, it is said.
//! What each takes for a target stands in `ar_contract` and `ar_accounts`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "../support/netns.rs"]
mod netns;
mod readers;
mod recorded;
#[expect(dead_code, reason = "the lines are those of execd here")]
#[path = "../support/run.rs"]
mod run;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use netns::{reexec_in_namespace, run as tool};
use ripost::model::bundled::BUNDLED;
use run::{Home, direct, under_execd};

const ATTACKER: &str = "198.51.100.7";
const ADDRESS: &str = r#"{"srcip":"198.51.100.7"}"#;
const FILE: &str = "/run/victim/file";
const SLACK: &str = "127.0.0.1:8099";

/// A `systemctl` and a `firewall-cmd` that do nothing but remember.
const TOOLS: &[(&str, &str)] = &[
    (
        "systemctl",
        r#"case "$1" in
        show) printf 'Type=notify\nMainPID=%s\nResult=success\nId=%s\nLoadState=loaded\nActiveState=active\nInvocationID=%s\n' "$(cat /run/agent)" "$(cat /run/id)" "$(cat /run/asked 2>/dev/null | wc -l)";;
        *) echo "$*" >>/run/asked;;
        esac"#,
    ),
    (
        "firewall-cmd",
        r#"case $1 in
        --add-rich-rule) echo "$2" >>/run/rules;;
        --remove-rich-rule) : >/run/rules;;
        --query-rich-rule) grep -qxF -e "$2" /run/rules && { echo yes; exit 0; }; echo no; exit 1;;
        esac"#,
    ),
];

/// One executable, under one order after the other.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    /// Makes what is acted on, and says what stands under `data` of the alert.
    scene: fn() -> String,
    /// What it names in `check_keys`; `None`: it has no handshake.
    keys: Option<fn() -> String>,
    add: End,
    /// Whether its effect is there; `None` where it has none on this machine.
    is_in_force: Option<fn() -> bool>,
    delete: End,
    after_delete: After,
    /// Why 4.14.7 does something else; `None`: it does the same, or has no such
    /// executable.
    differs: Option<&'static str>,
}

/// How a run ends: what the last line in the log begins with, and the status.
type End = (&'static str, i32);

#[derive(Clone, Copy, PartialEq)]
enum After {
    Gone,
    /// There is nothing to take back.
    Stays,
}

const ENDED: End = ("Ended", 0);
const NOT_HERE: End = ("Invalid system", 71);

fn attacker() -> String {
    ATTACKER.to_owned()
}

fn address() -> String {
    ADDRESS.to_owned()
}

/// One that blocks an address here, or would on a system of its own.
const fn block(name: &'static str, is_in_force: fn() -> bool) -> Case {
    Case {
        name,
        args: &[],
        scene: address,
        keys: Some(attacker),
        add: ENDED,
        is_in_force: Some(is_in_force),
        delete: ENDED,
        after_delete: After::Gone,
        differs: None,
    }
}

const fn foreign(name: &'static str) -> Case {
    Case {
        add: NOT_HERE,
        is_in_force: None,
        delete: NOT_HERE,
        differs: Some("4.x logs `Invalid system` and `Ended`, and 0 says that it is blocked"),
        ..block(name, || false)
    }
}

const CASES: &[Case] = &[
    block("firewall-drop", || nft().contains(ATTACKER)),
    block("block-ip", || nft().contains(ATTACKER)),
    block("host-deny", || read("/etc/hosts.deny").contains(ATTACKER)),
    block("route-null", || {
        tool("ip", &["route", "show", "proto", "165"]).contains(ATTACKER)
    }),
    block("firewalld-drop", || read("/run/rules").contains(ATTACKER)),
    Case {
        args: &["--directory", "/run/ipblock"],
        differs: Some("a second delete of 4.x fails, since the file is not there"),
        ..block("ip-customblock", || {
            Path::new("/run/ipblock").join(ATTACKER).exists()
        })
    },
    foreign("pf"),
    foreign("ipfw"),
    Case {
        differs: Some("4.x says `The NPFCTL is not accessible`, with 255"),
        ..foreign("npf")
    },
    Case {
        differs: Some("4.x has it on Windows only"),
        ..foreign("netsh")
    },
    Case {
        scene: || r#"{"dstuser":"alice"}"#.to_owned(),
        keys: Some(|| "alice".to_owned()),
        differs: Some("4.x leaves it to passwd(1), and unlocks what it has not locked"),
        ..block("disable-account", || {
            read("/etc/shadow").contains("alice:!$6$")
        })
    },
    Case {
        scene: || r#"{"dstuser":"alice"}"#.to_owned(),
        keys: Some(|| "alice".to_owned()),
        // Which processes end is shown in `ar_accounts`.
        is_in_force: None,
        after_delete: After::Stays,
        ..block("end-sessions", || true)
    },
    Case {
        scene: victim,
        keys: Some(|| read("/run/victim.pid")),
        after_delete: After::Stays,
        ..block("kill-process", || {
            let stat = read(&format!("/proc/{}/stat", read("/run/victim.pid")));
            stat.contains(") Z ")
        })
    },
    Case {
        scene: file,
        keys: Some(|| FILE.to_owned()),
        ..block("quarantine-file", || !Path::new(FILE).exists())
    },
    Case {
        scene: file,
        keys: Some(|| FILE.to_owned()),
        after_delete: After::Stays,
        ..block("delete-file", || !Path::new(FILE).exists())
    },
    Case {
        args: &["192.0.2.1"],
        scene: || "{}".to_owned(),
        keys: Some(|| "host".to_owned()),
        ..block("isolate-host", || nft().contains("isolate"))
    },
    Case {
        args: &["--service", "web"],
        scene: || systemd("web.service", 77),
        keys: Some(|| "web".to_owned()),
        after_delete: After::Stays,
        ..block("restart-service", || read("/run/asked").contains("restart"))
    },
    Case {
        scene: || systemd("ripost-agentd.service", std::process::id()),
        keys: None,
        after_delete: After::Stays,
        differs: Some(
            "4.x restarts a second time for `delete`; ours prints a result line, which execd \
             does not take for keys either",
        ),
        ..block("restart-wazuh", || {
            read("/run/asked") == "--no-block restart -- ripost-agentd.service\n"
        })
    },
    Case {
        args: &["http://127.0.0.1:8099/hook"],
        scene: slack,
        keys: None,
        after_delete: After::Stays,
        differs: Some("4.x posts once more for `delete`, and says 255 where curl has failed"),
        ..block("slack", || {
            read("/run/posted").matches("POST /hook").count() == 1
        })
    },
    Case {
        args: &[
            "--token-file",
            "etc/token",
            "--zone",
            "0123456789abcdef0123456789abcdef",
            "--api",
            "http://127.0.0.1:9",
        ],
        // Nobody answers here; its effect is shown in `ar_http`.
        add: ("failed to ", 1),
        is_in_force: None,
        delete: ("failed to ", 1),
        ..block("cloudflare-ban", || false)
    },
];

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn nft() -> String {
    tool("nft", &["list", "ruleset"])
}

fn file() -> String {
    fs::create_dir_all("/run/victim").unwrap();
    fs::write(FILE, "bytes").unwrap();
    format!(r#"{{"file":{{"path":"{FILE}"}}}}"#)
}

fn victim() -> String {
    let child = Command::new("sleep").arg("900").spawn().unwrap();
    fs::write("/run/victim.pid", child.id().to_string()).unwrap();
    format!(r#"{{"process":{{"pid":{}}}}}"#, child.id())
}

/// A host that systemd runs, with a unit and the main process of that.
fn systemd(unit: &str, process: u32) -> String {
    fs::create_dir_all("/run/systemd/system").unwrap();
    fs::write("/run/id", unit).unwrap();
    fs::write("/run/agent", process.to_string()).unwrap();
    "{}".to_owned()
}

/// A service that keeps what it gets in /run/posted.
fn slack() -> String {
    let listener = TcpListener::bind(SLACK).unwrap();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else {
            return;
        };
        let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
        // The body is one JSON object.
        while !text.ends_with(b"}]}") && !text.ends_with(b"[]}]}") {
            match stream.read(&mut chunk) {
                Ok(length @ 1..) => text.extend_from_slice(&chunk[..length]),
                Ok(0) | Err(_) => break,
            }
        }
        fs::write("/run/posted", text).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        stream.write_all(answer).unwrap();
    });
    "{}".to_owned()
}

/// A host on which nothing has happened yet.
fn fresh() {
    tool("nft", &["flush ruleset"]);
    tool("ip", &["route", "flush", "proto", "165"]);
    for folder in ["/etc", "/run", "/usr/local/sbin"] {
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder],
        );
    }
    fs::write(
        "/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        "/etc/shadow",
        "root:*:19000:0:99999:7:::\nalice:$6$a$aaa:19000:0:99999:7:::\n",
    )
    .unwrap();
    for (name, script) in TOOLS {
        let path = Path::new("/usr/local/sbin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// The folders that a home of 4.x has.
fn home() -> Home {
    let home = Home::new();
    for folder in ["etc", "queue"] {
        fs::create_dir(home.file(folder)).unwrap();
        fs::set_permissions(home.file(folder), PermissionsExt::from_mode(0o750)).unwrap();
    }
    let token = home.file("etc/token");
    fs::write(&token, "secret\n").unwrap();
    fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    home
}

/// The line that execd writes; the answer is the same line again with another
/// command.
fn line(case: &Case, name: &str, command: &str, data: &str) -> String {
    let args = serde_json::to_string(case.args).unwrap();
    let alert = format!(
        r#"{{"rule":{{"level":5,"description":"test","id":"5715"}},"id":"1.1","data":{data}}}"#
    );
    format!(
        r#"{{"version":1,"origin":{{"name":"node01","module":"wazuh-execd"}},"command":"{command}","parameters":{{"extra_args":{args},"alert":{alert},"program":"active-response/bin/{name}"}}}}"#
    ) + "\n"
}

/// On `delete` execd has stdout nowhere, writes the line, and closes its end.
fn delete_under_execd(home: &Home, name: &str, line: &str) -> Option<i32> {
    let mut child = direct(home, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    child.wait().unwrap().code()
}

/// Compares what one run has logged. The last line may say more.
#[track_caller]
fn logged(home: &Home, name: &str, from: usize, middle: &[&str], last: &str) {
    let prefix = format!("active-response/bin/{name}: ");
    let log = home.log().split_off(from);
    let wanted: Vec<_> = [&["Starting"], middle].concat();
    let wanted: Vec<_> = wanted
        .iter()
        .map(|said| format!("{prefix}{said}"))
        .collect();
    let (end, begin) = log.split_last().unwrap();
    assert_eq!(begin, wanted);
    assert!(end.starts_with(&(prefix + last)), "{log:?}");
    if last == "Ended" || last == "Aborted" {
        assert!(end.ends_with(last), "{log:?}");
    }
}

fn keys_line(name: &str, key: &str) -> String {
    let key = serde_json::to_string(key).unwrap();
    format!(
        r#"{{"version":1,"origin":{{"name":"{name}","module":"active-response"}},"command":"check_keys","parameters":{{"keys":[{key}]}}}}"#
    )
}

/// What it does when execd says no: nothing. Without a handshake there is no no.
fn aborted(case: &Case, name: &str) {
    let Some(keys) = case.keys else { return };
    fresh();
    let home = home();
    let data = (case.scene)();
    let (add, abort) = (
        line(case, name, "add", &data),
        line(case, name, "abort", &data),
    );
    let (printed, code) = under_execd(direct(&home, name), &add, &abort);
    let keys = keys_line(name, &keys());
    assert_eq!((printed.trim_end(), code), (&*keys, Some(0)), "{name}");
    logged(&home, name, 0, &[add.trim_end(), &keys], "Aborted");
    assert!(!case.is_in_force.is_some_and(|is| is()), "{name}");
}

fn added_and_deleted(case: &Case, name: &str) {
    fresh();
    let home = home();
    let data = (case.scene)();
    let (add, go_on) = (
        line(case, name, "add", &data),
        line(case, name, "continue", &data),
    );
    let keys = case.keys.map(|keys| keys_line(name, &keys()));
    let (printed, code) = match &keys {
        Some(_) => under_execd(direct(&home, name), &add, &go_on),
        // It may have ended before execd answers, which ignores SIGPIPE.
        None => under_execd(direct(&home, name), &add, ""),
    };
    let (last, status) = case.add;
    assert_eq!(code, Some(status), "{name}: {:?}", home.log());
    let mut middle = vec![add.trim_end()];
    match &keys {
        Some(keys) => {
            assert_eq!(printed.trim_end(), keys, "{name}");
            middle.push(keys);
        }
        None => assert!(!printed.contains("check_keys"), "{name}: {printed}"),
    }
    logged(&home, name, 0, &middle, last);
    let is_in_force = || case.is_in_force.is_none_or(|is| is());
    assert!(is_in_force(), "{name}");

    let (last, status) = case.delete;
    for _ in 0..2 {
        let from = home.log().len();
        let delete = line(case, name, "delete", &data);
        assert_eq!(
            delete_under_execd(&home, name, &delete),
            Some(status),
            "{name}"
        );
        logged(&home, name, from, &[delete.trim_end()], last);
        if case.is_in_force.is_some() {
            assert_eq!(is_in_force(), case.after_delete == After::Stays, "{name}");
        }
    }
}

#[test]
fn a_4_x_execd_can_run_each_of_them_under_each_of_its_names() {
    reexec_in_namespace(|| {
        tool("ip", &["link", "set", "lo", "up"]);
        for row in BUNDLED {
            let case = CASES.iter().find(|case| case.name == row.name);
            let case = case.unwrap_or_else(|| panic!("{} has no row here", row.name));
            for name in row.names() {
                aborted(case, name);
                added_and_deleted(case, name);
            }
            if let Some(why) = case.differs {
                println!("{}: {why}", row.name);
            }
        }
    });
}

#[test]
fn no_row_is_for_an_executable_that_is_not_there() {
    let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
    let bundled: BTreeSet<_> = BUNDLED.iter().map(|row| row.name).collect();
    assert_eq!((names.len(), names), (CASES.len(), bundled));
}
