//! What is broken on the host: files, disks, executables.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, response, text};
use crate::support::isolation::{isolated, mount};
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

/// What is done to an executable before it is to run.
struct Spoilt {
    case: &'static str,
    spoil: fn(&Home),
    /// A word of the detail that must tell it.
    word: &'static str,
}

const SPOILT: &[Spoilt] = &[
    Spoilt {
        case: "missing",
        spoil: |home| fs::remove_file(home.file("active-response/bin/firewall-drop")).unwrap(),
        word: "active-response/bin/firewall-drop",
    },
    Spoilt {
        case: "writable by others",
        spoil: |home| mode(home, "active-response/bin/firewall-drop", 0o757),
        word: "writ",
    },
    Spoilt {
        case: "in a folder writable by the group",
        spoil: |home| mode(home, "active-response/bin", 0o770),
        word: "writ",
    },
    Spoilt {
        case: "a symbolic link",
        spoil: |home| {
            let path = home.file("active-response/bin/firewall-drop");
            let real = home.file("active-response/bin/real");
            fs::rename(&path, &real).unwrap();
            symlink(&real, &path).unwrap();
        },
        word: "link",
    },
];

fn mode(home: &Home, below: &str, mode: u32) {
    fs::set_permissions(home.file(below), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_executable_that_cannot_be_trusted_is_not_run() {
    isolated(|| {
        let net = Net::new();
        for Spoilt { case, spoil, word } in SPOILT {
            let home = Home::new();
            home.configure(&[
                &response("firewall-drop", "5763", "600"),
                &response("host-deny", "1", ""),
            ]);
            spoil(&home);
            let pair = Pair::start(&net, &home);
            home.alert(&[Alert::sshd("203.0.113.9")]);
            let failed = home.wait_record(case, |record| record["state"] == "failed");
            let detail = text(&failed, "detail");
            assert!(detail.contains(word), "{case}: {failed}");
            assert!(net.arrives("203.0.113.9"), "{case}");
            pair.kill();
        }
    });
}

/// Where the loader finds a library of a program (ldd(1)).
fn library(program: &Path, name: &str) -> String {
    let output = std::process::Command::new("ldd").arg(program).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = text.lines().find(|line| line.contains(name));
    let path = line.and_then(|line| line.split_whitespace().nth(2));
    path.expect("the executable is linked with it").to_owned()
}

#[test]
fn a_library_that_is_missing_is_named_with_its_package() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let executable = home.file("active-response/bin/firewall-drop");
        mount(&[
            "--bind",
            "/dev/null",
            &library(&executable, "libnftnl.so.11"),
        ]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let failed = home.wait_record("failed", |record| record["state"] == "failed");
        let detail = text(&failed, "detail");
        assert!(detail.contains("apt install libnftnl11"), "{failed}");
        assert!(net.arrives("203.0.113.9"));
    });
}

#[test]
fn a_command_cannot_name_a_path() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        for name in ["../../bin/sh", "/bin/sh", ".hidden", "-x"] {
            home.configure(&[&format!(
                "<command><name>x</name><executable>{name}</executable></command>"
            )]);
            let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
            assert_eq!(status.code(), Some(78), "{name}: {said}");
            assert!(said.contains("manager.conf:"), "{name}: {said}");
            assert!(!home.ctl(&["check"]).status.success(), "{name}");
        }
    });
}

#[test]
fn a_home_that_cannot_be_written_is_refused_with_its_path() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let path = home.path().to_str().unwrap();
        mount(&["--bind", path, path]);
        mount(&["-o", "remount,bind,ro", path]);
        for program in [Program::Manager, Program::Agentd] {
            let (status, said) = Daemon::refuses(&net, &home, program);
            assert!(!status.success(), "{program:?}");
            assert!(said.contains(path), "{program:?}: {said}");
            assert!(
                said.to_lowercase().contains("read-only"),
                "{program:?}: {said}"
            );
        }
    });
}

/// While the disk is full, nothing is done half; what was written meanwhile is
/// carried out when there is room again.
#[test]
fn a_full_disk_loses_nothing() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::on_tmpfs("160m"));
        let alerts = home.beside().join("alerts.json");
        fs::write(&alerts, "").unwrap();
        let append = |alert: Alert| {
            let mut file = fs::OpenOptions::new().append(true).open(&alerts).unwrap();
            file.write_all(alert.line().as_bytes()).unwrap();
        };
        let source = format!(
            "<alert_source><location>{}</location></alert_source>",
            alerts.display()
        );
        home.configure(&[&source, &response("firewall-drop", "5763", "600")]);
        let mut pair = Pair::start(&net, &home);
        append(Alert::sshd("203.0.113.1"));
        net.wait_blocked("203.0.113.1", SOON);

        let ballast = home.file("ballast");
        fill(&ballast);
        append(Alert::sshd("203.0.113.2"));
        wait_for("somebody says that the disk is full", SOON, || {
            let said = pair.manager.said() + &pair.agentd.said();
            let status = home.ctl(&["status"]).stdout;
            let all = said + &String::from_utf8_lossy(&status);
            (all.contains("space") || all.contains("full")).then_some(())
        });
        assert!(!net.arrives("203.0.113.1"), "what is in force stays");

        fs::remove_file(&ballast).unwrap();
        // A daemon that gave up is started again, as systemd would.
        if !pair.manager.is_running() {
            pair.manager = Daemon::start(&net, &home, Program::Manager);
        }
        if !pair.agentd.is_running() {
            pair.agentd = Daemon::start(&net, &home, Program::Agentd);
        }
        append(Alert::sshd("203.0.113.3"));
        for address in ["203.0.113.2", "203.0.113.3"] {
            net.wait_blocked(address, Duration::from_secs(30));
            home.wait_state(address, "applied");
        }
        assert_eq!(home.ctl_json(&["responses"]).as_array().unwrap().len(), 3);
    });
}

/// Fills the file system of `path` to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0_u8; size]).is_ok() {}
    }
}

#[test]
fn problems_of_a_configuration_come_all_at_once_and_keep_a_daemon_from_starting() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            "<active-response><command>firewall-drop</command><location>locally</location></active-response>",
            "<active-response><command>firewall-drop</command><location>local</location><timeout>soon</timeout></active-response>",
            "<active-response><command>nobody</command><location>local</location></active-response>",
            "<active-response><command>firewall-drop</command><location>local</location><repeated_offenders>30,abc</repeated_offenders></active-response>",
        ]);
        let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
        assert_eq!(status.code(), Some(78), "{said}");
        for wanted in ["locally", "soon", "nobody", "`abc`", "manager.conf:", "^"] {
            assert!(said.contains(wanted), "{wanted} in {said}");
        }
        let check = home.ctl(&["check"]);
        assert_eq!(check.status.code(), Some(1));
        let errors = said.matches("error:").count();
        assert!(errors >= 4, "{said}");
    });
}

#[test]
fn an_unreadable_configuration_is_refused() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        fs::remove_file(home.file("etc/manager.conf")).unwrap();
        let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("etc/manager.conf"), "{said}");
    });
}

#[test]
fn a_script_of_the_administrator_is_held_to_the_same_rules() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let ran = home.beside().join("ran");
        let body = format!("read -r line; echo \"$line\" >> {}", ran.display());
        home.script("mine", &body);
        mode(&home, "active-response/bin/mine", 0o777);
        home.configure(&[&command("mine", ""), &response("mine", "5763", "")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_record("it is refused", |record| record["state"] == "failed");
        assert!(!ran.exists());

        mode(&home, "active-response/bin/mine", 0o750);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_record("it runs", |record| record["state"] == "done");
        assert!(ran.exists());
    });
}
