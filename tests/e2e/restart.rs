//! Daemons that stop, are started again, or find that the world has changed
//! meanwhile.

use std::time::{Duration, Instant};

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::{holds_for, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn stopping_lifts_nothing_and_the_end_is_kept_over_a_restart() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "6")]);
        let pair = Pair::start(&net, &home);
        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
        let blocked = Instant::now();
        home.wait_state("203.0.113.9", "applied");

        assert!(pair.agentd.stop().success());
        assert!(!net.arrives("203.0.113.9"), "agentd stopped");
        assert!(pair.manager.stop().success());
        assert!(!net.arrives("203.0.113.9"), "both stopped");

        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        assert!(!net.arrives("203.0.113.9"), "agentd started");
        let _manager = Daemon::start(&net, &home, Program::Manager);
        net.wait_open("203.0.113.9", SOON);
        assert!(written.elapsed() >= Duration::from_secs(6));
        assert!(blocked.elapsed() <= Duration::from_secs(7));
        home.wait_state("203.0.113.9", "reverted");
    });
}

#[test]
fn an_agent_alone_lifts_on_time_and_reports_later() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "3")]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
        let blocked = Instant::now();
        home.wait_state("203.0.113.9", "applied");
        pair.manager.kill();
        net.wait_open("203.0.113.9", SOON);
        assert!(blocked.elapsed() <= Duration::from_secs(4));

        let _manager = Daemon::start(&net, &home, Program::Manager);
        home.wait_state("203.0.113.9", "reverted");
    });
}

#[test]
fn what_became_overdue_while_the_agent_was_down_is_reverted_at_its_start() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "2")]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        pair.agentd.kill();
        // The kernel ends it by itself, a little after the agent would have.
        net.wait_open("203.0.113.9", SOON);

        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        home.wait_state("203.0.113.9", "reverted");
        assert!(net.arrives("203.0.113.9"));
    });
}

#[test]
fn alerts_written_while_the_manager_was_down_are_acted_upon_once() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_state("203.0.113.1", "applied");
        pair.manager.kill();
        home.alert(&[Alert::sshd("203.0.113.2"), Alert::sshd("203.0.113.3")]);

        let _manager = Daemon::start(&net, &home, Program::Manager);
        for address in ["203.0.113.2", "203.0.113.3"] {
            net.wait_blocked(address, SOON);
            home.wait_state(address, "applied");
        }
        assert_eq!(home.ctl_json(&["responses"]).as_array().unwrap().len(), 3);
        let mut actions: Vec<_> = home
            .responses()
            .iter()
            .map(|record| record["action"].to_string())
            .collect();
        actions.sort();
        actions.dedup();
        assert_eq!(actions.len(), 3, "{actions:?}");
    });
}

/// The first start found no file, so all of it is new whenever it appears.
#[test]
fn a_file_that_appeared_while_the_manager_was_down_is_read_from_its_beginning() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let pair = Pair::start(&net, &home);
        assert!(!home.alerts().exists());
        pair.manager.kill();
        home.alert(&[Alert::sshd("203.0.113.1")]);
        let _manager = Daemon::start(&net, &home, Program::Manager);
        net.wait_blocked("203.0.113.1", SOON);
    });
}

#[test]
fn alerts_older_than_the_first_start_are_left_alone() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.2")]);
        home.wait_state("203.0.113.2", "applied");
        assert!(net.arrives("203.0.113.1"));
    });
}

#[test]
fn what_was_flushed_while_the_agent_was_down_is_put_back() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "7")]);
        let pair = Pair::start(&net, &home);
        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        let blocked = Instant::now();
        pair.agentd.kill();
        net.server("nft", &["flush", "ruleset"]);
        assert!(net.arrives("203.0.113.9"));

        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        net.wait_blocked("203.0.113.9", SOON);
        net.wait_open("203.0.113.9", SOON);
        assert!(written.elapsed() >= Duration::from_secs(7));
        assert!(blocked.elapsed() <= Duration::from_secs(8));
    });
}

/// The agent retries its manager at least every 100 ms, and takes nothing new
/// before it has the white list.
#[test]
fn an_agent_that_is_first_waits_for_its_manager() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure_global(
            "<white_list>203.0.113.0/24</white_list>",
            &[&response("firewall-drop", "5763", "600")],
        );
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        let _manager = Daemon::start(&net, &home, Program::Manager);
        home.alert(&[Alert::sshd("203.0.113.9"), Alert::sshd("198.51.100.9")]);
        net.wait_blocked("198.51.100.9", SOON);
        home.wait_state("203.0.113.9", "refused");
        assert!(net.arrives("203.0.113.9"));
    });
}

#[test]
fn a_stale_socket_of_a_killed_daemon_is_taken_over_and_a_live_one_is_not() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        Pair::start(&net, &home).kill();
        let mut pair = Pair::start(&net, &home);

        for program in [Program::Manager, Program::Agentd] {
            let (status, said) = Daemon::refuses(&net, &home, program);
            assert!(!status.success());
            let path = home.path().to_str().unwrap();
            assert!(said.contains(path), "names the home: {said}");
        }
        assert!(pair.manager.is_running() && pair.agentd.is_running());
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
    });
}

#[test]
fn a_followed_file_may_be_rotated_as_wazuh_does() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        net.wait_blocked("203.0.113.1", SOON);

        let alerts = home.alerts();
        let dated = home.file("logs/alerts/alerts-20.json");
        std::fs::hard_link(&alerts, &dated).unwrap();
        std::fs::remove_file(&alerts).unwrap();
        std::fs::write(&alerts, Alert::sshd("203.0.113.2").line()).unwrap();
        net.wait_blocked("203.0.113.2", SOON);

        std::fs::write(&alerts, Alert::sshd("203.0.113.3").line()).unwrap();
        net.wait_blocked("203.0.113.3", SOON);
        assert_eq!(home.ctl_json(&["responses"]).as_array().unwrap().len(), 3);
    });
}

#[test]
fn a_torn_line_of_responses_json_is_ended_at_the_next_start() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_state("203.0.113.1", "applied");
        pair.kill();
        let path = home.file("logs/responses.json");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"time\":\"2026-");
        std::fs::write(&path, text).unwrap();

        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.2")]);
        wait_for("the next lines are whole", SOON, || {
            let text = std::fs::read_to_string(&path).unwrap();
            let (_, rest) = text.split_once("{\"time\":\"2026-\n")?;
            rest.lines()
                .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
                .then_some(())
        });
        holds_for("the first block", Duration::from_millis(200), || {
            !net.arrives("203.0.113.1")
        });
    });
}
