//! `<on_stop>lift</on_stop>`: agentd takes back what it has in force when it is
//! asked to stop, and at no other time.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, counter, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

use super::offenders::DENY;

const SOON: Duration = Duration::from_secs(10);
const WHY: &str = "lifted, as agentd was asked to stop (on_stop in etc/agent.conf)";

fn lift(home: &Home) {
    let text = "<ripost_config><global><on_stop>lift</on_stop></global></ripost_config>";
    fs::write(home.file("etc/agent.conf"), text).unwrap();
}

#[test]
fn what_is_in_force_is_lifted_at_a_stop_and_the_manager_hears_why() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.script("deny.sh", DENY);
        home.configure(&[
            &command("deny.sh", "<timeout_allowed>yes</timeout_allowed>"),
            &response("firewall-drop", "5763", "600"),
            &response("deny.sh", "31151", "600"),
        ]);
        lift(&home);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9"), Alert::web("203.0.113.7")]);
        for address in ["203.0.113.7", "203.0.113.9"] {
            home.wait_state(address, "applied");
        }
        assert!(!net.arrives("203.0.113.9"));
        assert!(home.file("denied.203.0.113.7").exists());
        // A reload is no stop.
        pair.agentd.signal(Signal::HUP);
        wait_for("agentd applies its file", SOON, || {
            let said = pair.agentd.said();
            said.contains("applied the configuration").then_some(())
        });
        assert!(!net.arrives("203.0.113.9"), "reloaded");

        assert!(pair.agentd.stop().success());
        assert!(net.arrives("203.0.113.9"), "stopped");
        assert!(!home.file("denied.203.0.113.7").exists());
        // It was connected, so it knows already.
        let reverted: Vec<_> = home
            .responses()
            .into_iter()
            .filter(|record| record["state"] == "reverted")
            .collect();
        assert_eq!(reverted.len(), 2, "{reverted:?}");
        for record in reverted {
            assert!(text(&record, "detail").starts_with(WHY), "{record}");
        }
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        assert!(net.arrives("203.0.113.9"), "started again");
    });
}

#[test]
fn a_manager_that_is_away_hears_of_it_later_and_a_crash_lifts_nothing() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        lift(&home);
        let mut pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        pair.agentd.kill_now();
        assert!(!net.arrives("203.0.113.9"), "killed");
        pair.agentd = Daemon::start(&net, &home, Program::Agentd);
        pair.manager.kill();
        assert!(pair.agentd.stop().success());
        assert!(net.arrives("203.0.113.9"));
        assert_eq!(home.states("203.0.113.9").last().unwrap(), "applied");

        let _pair = Pair::start(&net, &home);
        let reverted = home.wait_state("203.0.113.9", "reverted");
        assert_eq!(text(&reverted, "detail"), WHY);
    });
}

/// Execd needs 21 s and more for as many, and is killed before it is done.
#[test]
fn five_thousand_are_lifted_within_the_time_that_a_stop_has() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        lift(&home);
        let pair = Pair::start(&net, &home);
        let address = |number: u32| format!("198.18.{}.{}", number / 250, number % 250 + 1);
        let alerts: Vec<_> = (0..5_000)
            .map(|number| Alert::sshd(&address(number)))
            .collect();
        home.alert(&alerts);
        wait_for("all are in force", Duration::from_secs(60), || {
            let status = home.ctl_json(&["status"]);
            (counter(&status, "in force") == 5_000).then_some(())
        });
        // `stop` waits for less than the 30 s.
        assert!(pair.agentd.stop().success());
        let table = net.table();
        assert!(!table.contains("198.18."), "{} bytes", table.len());
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        let reverted = wait_for("the manager knows of all", Duration::from_secs(60), || {
            let records = home.responses();
            let lifted = records.iter().filter(|record| {
                record["state"] == "reverted" && text(record, "detail").starts_with(WHY)
            });
            let actions: BTreeSet<_> = lifted.map(|record| text(record, "action")).collect();
            (actions.len() == 5_000).then_some(actions)
        });
        drop(reverted);
    });
}
