//! `restart-service` and `restart-wazuh`, with a systemctl(1) and a service(8)
//! of the test's own. Every test has a /run and processes of its own.
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
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use netns::{reexec_in_namespace, run as tool};
use run::{Home, Ran, answer, direct, feed};

const SERVICE: &str = "restart-service";
const AGENT: &str = "restart-wazuh";

/// `show` prints /run/unit, which `restart` replaces by /run/after, if there is
/// one; if there is /run/later, the second `show` after that prints this.
const SYSTEMCTL: &str = r#"
echo "$*" >>/run/asked
case "$1" in
show)
    cat /run/unit
    [ ! -e /run/restarted ] || [ ! -e /run/later ] || mv /run/later /run/unit ;;
restart)
    [ ! -e /run/fails ] || { echo "Job for $3 failed." >&2; exit 1; }
    touch /run/restarted
    [ ! -e /run/after ] || mv /run/after /run/unit ;;
--no-block)
    [ ! -e /run/fails ] || { echo "Connection refused" >&2; exit 1; } ;;
*) exit 1 ;;
esac"#;

fn own_tools() {
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
}

fn fake(name: &str, script: &str) {
    let path = Path::new("/usr/local/sbin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn systemd() {
    own_tools();
    fs::create_dir_all("/run/systemd/system").unwrap();
    fake("systemctl", SYSTEMCTL);
}

/// What was asked for and is no question, and forgets it.
fn asked() -> Vec<String> {
    let text = fs::read_to_string("/run/asked").unwrap_or_default();
    let _ = fs::remove_file("/run/asked");
    let lines = text.lines().filter(|line| !line.starts_with("show"));
    lines.map(str::to_owned).collect()
}

fn unit(id: &str, kind: &str, state: &str, start: u32) -> String {
    let load = if state == "masked" {
        "masked"
    } else {
        "loaded"
    };
    format!(
        "Type={kind}\nMainPID=77\nResult=success\nId={id}\nLoadState={load}\nActiveState={state}\nInvocationID={start}\n"
    )
}

fn line(command: &str, id: &str, args: &[&str]) -> String {
    let message = serde_json::json!({
        "version": 1,
        "origin": {"name": "node01", "module": "wazuh-execd"},
        "command": command,
        "parameters": {"extra_args": args, "alert": {"id": id}, "program": "active-response/bin/x"},
    });
    format!("{message}\n")
}

fn restart(home: &Home, name: &str) -> Ran {
    let input = line("add", "1", &["--service", name]) + &answer("continue", "{}");
    feed(direct(home, SERVICE), input.as_bytes())
}

#[track_caller]
fn detail(ran: &Ran) -> String {
    ran.result()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_service_is_restarted_and_runs_again() {
    reexec_in_namespace(|| {
        systemd();
        let home = Home::new();
        for (kind, before, after) in [
            ("simple", "active", "active"),
            ("notify", "failed", "active"),
            ("oneshot", "inactive", "inactive"),
        ] {
            fs::write("/run/unit", unit("web.service", kind, before, 1)).unwrap();
            fs::write("/run/after", unit("web.service", kind, after, 2)).unwrap();
            let ran = restart(&home, "www");
            assert!(ran.stdout[0].contains(r#""keys":["www"]"#), "{ran:?}");
            assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
            assert_eq!(ran.result()["backend"], "systemd");
            assert_eq!(asked(), ["restart -- web.service"]);
        }
        let delete = line("delete", "1", &["--service", "www"]);
        let ran = feed(direct(&home, SERVICE), delete.as_bytes());
        assert_eq!((ran.status(), asked().len()), ("absent".to_owned(), 0));
    });
}

#[test]
fn a_service_that_does_not_come_back_is_a_failure() {
    reexec_in_namespace(|| {
        systemd();
        let home = Home::new();
        let good = unit("web.service", "simple", "active", 1);
        let check = |wanted: &str| {
            let ran = restart(&home, "web");
            ran.failed(1);
            assert!(detail(&ran).contains(wanted), "{wanted}: {ran:?}");
            let _ = fs::remove_file("/run/restarted");
        };
        let after = |state: &str| {
            fs::write("/run/unit", &good).unwrap();
            fs::write("/run/after", unit("web.service", "simple", state, 2)).unwrap();
        };
        after("failed");
        check("restart web.service: it is failed afterwards (success)");
        after("inactive");
        check("it is inactive afterwards");
        // It says that it runs, and ends at once.
        after("active");
        fs::write("/run/later", unit("web.service", "simple", "failed", 2)).unwrap();
        check("it is failed afterwards");
        // It starts for ever.
        after("activating");
        check("it is activating afterwards");
        fs::write("/run/unit", &good).unwrap();
        check("was not started anew");
        assert_eq!(asked().len(), 5);

        fs::write("/run/fails", "").unwrap();
        check("Job for web.service failed.");
        asked();
        fs::write("/run/unit", unit("web.service", "simple", "masked", 1)).unwrap();
        check("its unit is masked");
        fs::write("/run/unit", good.replace("loaded", "not-found")).unwrap();
        check("systemd has no unit of this name");
        fake("systemctl", "echo Connection refused >&2; exit 1");
        check("exit status: 1: Connection refused");
        assert_eq!(asked().len(), 0);
    });
}

#[test]
fn neither_ours_nor_what_is_no_service_is_restarted() {
    reexec_in_namespace(|| {
        systemd();
        let home = Home::new();
        let own = unit("x.service", "simple", "active", 1);
        // Here the test is the agent.
        let own = own.replace("MainPID=77", &format!("MainPID={}", std::process::id()));
        for (name, shown, wanted) in [
            ("ripost-agentd", "", "one of Ripost's own"),
            ("ripost-manager.service", "", "one of Ripost's own"),
            (
                "alias",
                &unit("ripost-agentd.service", "notify", "active", 1),
                "one of Ripost's own",
            ),
            ("x", &own, "one of Ripost's own"),
            (
                "reboot.target",
                &unit("reboot.target", "", "inactive", 1),
                "no service",
            ),
        ] {
            fs::write("/run/unit", shown).unwrap();
            let ran = restart(&home, name);
            assert_eq!((ran.code, ran.status()), (Some(255), "refused".to_owned()));
            assert!(detail(&ran).contains(wanted), "{name}: {ran:?}");
        }
        for args in [
            &[][..],
            &["--service"],
            &["--service", "a/b"],
            &["--service=-x"],
        ] {
            let input = line("add", "1", args) + &answer("continue", "{}");
            let ran = feed(direct(&home, SERVICE), input.as_bytes());
            assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{args:?}");
        }
        assert_eq!(asked().len(), 0);
    });
}

#[test]
fn without_systemd_the_scripts_of_the_host_restart_a_service() {
    reexec_in_namespace(|| {
        own_tools();
        let home = Home::new();
        fake("service", r#"echo "$*" >>/run/asked; [ ! -e "/run/$2" ]"#);
        let ran = restart(&home, "web.service");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["backend"], "init scripts");
        assert_eq!(asked(), ["web restart", "web status"]);
        fs::write("/run/status", "").unwrap();
        let ran = restart(&home, "web");
        assert!(
            detail(&ran).contains("look whether web runs again"),
            "{ran:?}"
        );
        ran.failed(1);
        fs::write("/run/restart", "").unwrap();
        assert_eq!(restart(&home, "web").status(), "failed");
        asked();
        // OpenRC comes first.
        fake("rc-service", r#"echo "rc $*" >>/run/asked"#);
        assert_eq!(restart(&home, "web").status(), "applied");
        assert_eq!(asked(), ["rc web restart", "rc web status"]);
    });
}

/// Runs `restart-wazuh` as a child of this process, which then is the agent, or
/// of another one, which is the agent after its restart.
fn restart_agent(home: &Home, is_restarted: bool, message: &str) -> Ran {
    let mut command = direct(home, AGENT);
    if is_restarted {
        command = Command::new("sh");
        let script = format!(
            "sed -i s/^MainPID=.*/MainPID=$$/ /run/unit; active-response/bin/{AGENT}; exit $?"
        );
        command.args(["-c", &script]).current_dir(home.path());
    } else {
        let own = unit("ripost-agentd.service", "notify", "active", 1);
        let own = own.replace("MainPID=77", &format!("MainPID={}", std::process::id()));
        fs::write("/run/unit", own).unwrap();
    }
    feed(command, message.as_bytes())
}

#[test]
fn the_agent_is_restarted_once_for_an_alert() {
    reexec_in_namespace(|| {
        systemd();
        let home = Home::new();
        fs::create_dir(home.file("queue")).unwrap();
        let once = "--no-block restart -- ripost-agentd.service";
        let ran = restart_agent(&home, false, &line("add", "1", &[]));
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        // No keys, as in 4.x.
        assert_eq!((ran.stdout.len(), asked()), (1, vec![once.to_owned()]));
        let ran = restart_agent(&home, false, &line("delete", "1", &[]));
        assert_eq!((ran.status(), asked().len()), ("absent".to_owned(), 0));

        // The agent has started anew, and runs what had been interrupted again.
        for _ in 0..2 {
            let ran = restart_agent(&home, true, &line("add", "1", &[]));
            assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
            assert!(detail(&ran).contains("for this alert before"), "{ran:?}");
            assert_eq!(asked().len(), 0);
        }
        // Whatever the alerts are about, an agent has a minute between restarts.
        let ran = restart_agent(&home, true, &line("add", "2", &[]));
        assert_eq!((ran.code, ran.status()), (Some(255), "refused".to_owned()));
        assert!(detail(&ran).contains("left alone for 60 s"), "{ran:?}");
        assert_eq!(asked().len(), 0);
        // Before that it was another boot, or long ago.
        let memory = home.file("queue/restart-wazuh.json");
        let text = fs::read_to_string(&memory).unwrap();
        let (start, rest) = text.split_once(r#""boot_id":""#).unwrap();
        fs::write(&memory, format!(r#"{start}"boot_id":"x{rest}"#)).unwrap();
        let ran = restart_agent(&home, true, &line("add", "2", &[]));
        assert_eq!(
            (ran.status(), asked()),
            ("applied".to_owned(), vec![once.to_owned()])
        );
    });
}

#[test]
fn a_restart_that_could_not_be_asked_for_is_asked_for_again() {
    reexec_in_namespace(|| {
        systemd();
        let home = Home::new();
        fs::create_dir(home.file("queue")).unwrap();
        fs::write("/run/fails", "").unwrap();
        let ran = restart_agent(&home, false, &line("add", "1", &[]));
        ran.failed(1);
        assert!(detail(&ran).contains("Connection refused"), "{ran:?}");
        fs::remove_file("/run/fails").unwrap();
        asked();
        let ran = restart_agent(&home, true, &line("add", "1", &[]));
        assert_eq!((ran.status(), asked().len()), ("applied".to_owned(), 1));
        assert!(detail(&ran).contains("was asked to restart"), "{ran:?}");
    });
}

#[test]
fn an_agent_that_systemd_does_not_run_is_left_alone() {
    reexec_in_namespace(|| {
        own_tools();
        let home = Home::new();
        fs::create_dir(home.file("queue")).unwrap();
        fake("systemctl", SYSTEMCTL);
        let check = |wanted: &str| {
            let ran = feed(direct(&home, AGENT), line("add", "1", &[]).as_bytes());
            ran.failed(1);
            assert!(detail(&ran).contains(wanted), "{ran:?}");
            assert_eq!(asked().len(), 0);
        };
        check("systemd does not run this host");
        fs::create_dir_all("/run/systemd/system").unwrap();
        fs::write(
            "/run/unit",
            unit("ripost-agentd.service", "notify", "active", 1),
        )
        .unwrap();
        check("is no unit's main process");
        tool(
            "mount",
            &["--bind", "/dev/null", "/usr/local/sbin/systemctl"],
        );
        let ran = feed(direct(&home, AGENT), line("add", "1", &[]).as_bytes());
        assert_eq!(ran.status(), "failed");
    });
}
