//! Hosts that are cut off from all but their manager.

use crate::scene::{ALL, Config, DB_3, Fleet, SIEM, WEB_1, WEB_2, respond, stderr};
use crate::support::alert::Alert;
use crate::support::home::text;
use crate::support::isolation::isolated;

const ATTACKER: &str = "203.0.113.1";
const AGENTS: &[&str] = &["001", "002", "003"];

#[test]
fn hosts_that_are_cut_off_keep_their_manager_over_restarts_and_are_let_free_by_it() {
    isolated(|| {
        let mut fleet = Fleet::start(&Config::new(vec![respond(
            "isolate-host",
            ALL,
            "5763",
            "600",
        )]));
        assert!(fleet.blocking(ATTACKER).is_empty());
        fleet.alert(&[Alert::sshd(ATTACKER)]);
        fleet.wait_states(ATTACKER, AGENTS, "applied");
        let refused = fleet.wait_states(ATTACKER, &["000"], "refused");
        let why = text(&refused[0], "detail");
        assert!(why.contains("<agent_id>000</agent_id>"), "{why}");
        assert_eq!(fleet.blocking(ATTACKER), [WEB_1, WEB_2, DB_3]);
        assert!(fleet.arrives(SIEM, ATTACKER));

        // What is new between the two ends gets through, whoever begins.
        fleet.hosts[WEB_1].kill();
        fleet.wait_agent("001", "offline");
        fleet.start_agentd(WEB_1);
        fleet.kill_manager();
        fleet.start_manager();
        fleet.wait_all_connected();
        assert_eq!(fleet.blocking(ATTACKER), [WEB_1, WEB_2, DB_3]);

        let output = fleet.centre().ctl(&["revert", "--all", "--yes"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fleet.wait_states(ATTACKER, AGENTS, "reverted");
        assert!(fleet.blocking(ATTACKER).is_empty());
    });
}

#[test]
fn the_host_of_the_manager_is_cut_off_where_a_person_names_it() {
    isolated(|| {
        let fleet = Fleet::of_one(&Config::default());
        let run = |agents: &str| {
            let words = ["run", "isolate-host", "--agent", agents, "--timeout", "600"];
            String::from_utf8(fleet.centre().ctl(&words).stdout).unwrap()
        };
        let shown = run("all");
        assert!(shown.contains("refused"), "{shown}");
        assert!(fleet.arrives(SIEM, ATTACKER));
        let shown = run("000");
        assert!(shown.contains("applied"), "{shown}");
        fleet.wait_blocked(SIEM, ATTACKER);
        let output = fleet.centre().ctl(&["revert", "--all", "--yes"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(fleet.arrives(SIEM, ATTACKER));
    });
}
