//! What is as long as it may be, and longer than fits a message.

use std::time::Duration;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

/// A line of a mebibyte, the most that is read, which is nothing but groups.
fn of_groups_alone(alert: &Alert) -> Vec<u8> {
    let line = alert.line();
    let (before, rest) = line.split_once(r#""groups":["#).unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    let room = (1 << 20) - before.len() - after.len() - r#""groups":"x""#.len();
    let groups = "x,".repeat(room / 2);
    format!(r#"{before}"groups":"{groups}x"{after}"#).into_bytes()
}

#[test]
fn a_line_of_nothing_but_groups_holds_nobody_up() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.append(&of_groups_alone(&Alert::sshd("203.0.113.8")));
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        assert!(!net.arrives("203.0.113.9"));
        // No executable takes so long a line, and it says so.
        let ended = home.wait_record("failed", |record| record["state"] == "failed");
        assert!(text(&ended, "detail").contains("bytes long"), "{ended}");
        let groups = ended["rule"]["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 64);
    });
}

#[test]
fn what_fits_no_message_fails_with_its_reason_and_what_is_behind_it_runs() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let arguments = "x".repeat(3 << 20);
        home.script("shout", "true");
        home.configure(&[
            &command("shout", &format!("<extra_args>{arguments}</extra_args>")),
            &response("shout", "31151", ""),
            &response("firewall-drop", "5763", "600"),
        ]);
        let wait_failed = |count: usize| {
            let failed = wait_for("those that are too long have failed", SOON, || {
                let records = home.responses().into_iter();
                let failed: Vec<_> = records.filter(|r| r["state"] == "failed").collect();
                (failed.len() == count).then_some(failed)
            });
            for record in failed {
                let detail = text(&record, "detail");
                assert!(detail.contains("cannot be sent"), "{record}");
            }
        };
        // Written down for an agent that is away, and then handed to it directly.
        let manager = Daemon::start(&net, &home, Program::Manager);
        home.alert(&[Alert::web("203.0.113.1"), Alert::sshd("203.0.113.2")]);
        home.wait_record("it waits", |record| record["state"] == "queued");
        let agentd = Daemon::start(&net, &home, Program::Agentd);
        home.wait_state("203.0.113.2", "applied");
        wait_failed(1);
        home.alert(&[Alert::web("203.0.113.3"), Alert::sshd("203.0.113.4")]);
        home.wait_state("203.0.113.4", "applied");
        wait_failed(2);
        let agents = home.ctl_json(&["agents"]);
        assert_eq!(agents[0]["state"], "connected");
        assert_eq!(agents[0]["pending"], 0, "{agents}");
        agentd.kill();
        manager.kill();
    });
}
