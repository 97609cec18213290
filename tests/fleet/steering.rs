//! What people do from the centre, and on a host that is cut off from it.

use std::time::Duration;

use serde_json::Value;

use crate::scene::{
    ALL, Config, DB_3, Fleet, GUARDED, LOCAL, SIEM, SOON, WEB_1, WEB_2, agent, drop_at, stderr,
};
use crate::support::alert::Alert;
use crate::support::home::{has_key, text};
use crate::support::isolation::isolated;
use crate::support::{holds_for, wait_for};

const EVERYWHERE: &[&str] = &["000", "001", "002", "003"];

fn fleet() -> Fleet {
    Fleet::start(&Config::new(vec![
        drop_at(LOCAL, "5763", "600"),
        drop_at(ALL, "31151", "600"),
    ]))
}

#[test]
fn a_revert_from_the_centre_reaches_every_host_and_one_that_is_down_later() {
    isolated(|| {
        let mut fleet = fleet();
        let (first, second, third) = ("203.0.113.1", "203.0.113.2", "203.0.113.3");
        fleet.alert(&[Alert::web(first), Alert::web(second), Alert::web(third)]);
        for attacker in [first, second, third] {
            fleet.wait_states(attacker, EVERYWHERE, "applied");
            assert_eq!(fleet.blocking(attacker), [SIEM, WEB_1, WEB_2, DB_3]);
        }

        // One action, on one host.
        let records = fleet.records(first);
        let of_web_2 = records.iter().find(|record| agent(record) == "002");
        let id = text(of_web_2.unwrap(), "action");
        let output = fleet.centre().ctl(&["revert", &id]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(fleet.blocking(first), [SIEM, WEB_1, DB_3]);

        // One target, on every host that has it; one of them is away.
        fleet.hosts[WEB_1].kill();
        fleet.wait_agent("001", "offline");
        let output = fleet
            .centre()
            .ctl(&["revert", "--target", second, "-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "one is not confirmed");
        let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
        let outcomes = outcomes.as_array().unwrap();
        let done = |row: &&Value| row["state"] == "reverted";
        assert_eq!(outcomes.iter().filter(done).count(), 3, "{outcomes:?}");
        assert_eq!(fleet.blocking(second), [WEB_1]);
        fleet.start_agentd(WEB_1);
        fleet.wait_open(WEB_1, second);
        fleet.wait_states(second, EVERYWHERE, "reverted");
        assert_eq!(fleet.blocking(third).len(), 4, "others stay");

        // All of it; a host whose manager was restarted meanwhile too.
        fleet.kill_manager();
        fleet.start_manager();
        fleet.wait_all_connected();
        let output = fleet.centre().ctl(&["revert", "--all", "--yes"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        for attacker in [first, third] {
            assert!(fleet.blocking(attacker).is_empty());
            fleet.wait_states(attacker, EVERYWHERE, "reverted");
        }
        assert_eq!(
            fleet.centre().ctl_json(&["responses"]),
            Value::Array(vec![])
        );
    });
}

#[test]
fn a_revert_of_what_waits_for_a_host_keeps_it_from_running_there() {
    isolated(|| {
        let mut fleet = fleet();
        let attacker = "203.0.113.9";
        fleet.hosts[WEB_1].stop();
        fleet.wait_agent("001", "offline");
        fleet.alert(&[Alert::sshd(attacker).agent("001")]);
        let queued = fleet.wait_states(attacker, &["001"], "queued").remove(0);
        let output = fleet.centre().ctl(&["revert", &text(&queued, "action")]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fleet.start_agentd(WEB_1);
        fleet.wait_all_connected();
        holds_for("it is not blocked", Duration::from_secs(1), || {
            fleet.arrives(WEB_1, attacker)
        });
        assert_eq!(fleet.states(attacker, "001"), ["queued", "suppressed"]);
    });
}

#[test]
fn a_revert_by_target_reaches_what_no_host_has_told_of_yet() {
    isolated(|| {
        let mut fleet = fleet();
        let (first, attacker) = ("203.0.113.8", "203.0.113.9");
        // Each has told what it can do by then.
        fleet.alert(&[Alert::web(first)]);
        fleet.wait_states(first, EVERYWHERE, "applied");
        fleet.hosts[WEB_2].stop();
        fleet.wait_agent("002", "offline");
        // The manager hands the action over and does not know that it is lost.
        fleet.hosts[WEB_1].space.cut();
        fleet.alert(&[Alert::web(attacker)]);
        fleet.wait_states(attacker, &["000", "001", "003"], "sent");
        fleet.wait_states(attacker, &["002"], "queued");
        fleet.wait_states(attacker, &["000", "003"], "applied");
        let output = fleet
            .centre()
            .ctl(&["revert", "--target", attacker, "-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "001 is not confirmed");
        let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
        let outcomes = outcomes.as_array().unwrap();
        let count = |state: &str| outcomes.iter().filter(|row| row["state"] == state).count();
        assert_eq!(outcomes.len(), 4, "{outcomes:?}");
        assert_eq!((count("reverted"), count("suppressed")), (2, 1));

        fleet.hosts[WEB_1].space.mend();
        fleet.start_agentd(WEB_2);
        fleet.wait_all_connected();
        wait_for("001 is done with it", SOON, || {
            let over = ["reverted", "suppressed"];
            let last = fleet.states(attacker, "001").pop();
            over.contains(&last?.as_str()).then_some(())
        });
        assert_eq!(fleet.states(attacker, "002"), ["queued", "suppressed"]);
        holds_for("nobody blocks it", Duration::from_secs(1), || {
            fleet.blocking(attacker).is_empty()
        });
    });
}

/// What a run by hand is refused for: the target, the hosts, whether it is the
/// manager that refuses.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "what the manager's white list protects",
        GUARDED,
        "group:web",
    ),
    ("the address of the manager", "192.0.2.1", "group:web"),
    ("the gateway of the hosts", "192.0.2.254", "003"),
    ("loopback", "127.0.0.1", "003"),
];

#[test]
fn a_run_by_hand_takes_place_where_it_says_and_respects_every_guard() {
    isolated(|| {
        let config = Config {
            global: format!("<white_list>{GUARDED}</white_list>"),
            ..Config::default()
        };
        let fleet = Fleet::start(&config);
        let attacker = "203.0.113.9";
        let run = |agents: &str, target: &str| {
            fleet.centre().ctl(&[
                "run",
                "firewall-drop",
                "--agent",
                agents,
                "--target",
                target,
                "--timeout",
                "10m",
                "-o",
                "json",
            ])
        };
        let output = run("group:web", attacker);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ids: Vec<&str> = rows.as_array().unwrap().iter().map(agent).collect();
        assert_eq!(ids, ["001", "002"]);
        assert_eq!(fleet.blocking(attacker), [WEB_1, WEB_2]);

        let own = fleet.hosts[WEB_1].space.address.to_string();
        let own = ("the host's own address", own.as_str(), "web-1");
        for (what, target, agents) in REFUSED.iter().copied().chain([own]) {
            let output = run(agents, target);
            assert_eq!(output.status.code(), Some(1), "{what}");
            let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
            let rows = rows.as_array().unwrap();
            assert!(!rows.is_empty(), "{what}");
            for row in rows {
                assert_eq!(row["state"], "refused", "{what}: {row}");
                assert!(!text(row, "detail").is_empty(), "{what}: {row}");
            }
        }
        for host in &fleet.hosts {
            let dropped = host.space.dropped();
            assert!(
                dropped.iter().all(|address| address == attacker),
                "{dropped:?}"
            );
        }
        fleet.wait_all_connected();
    });
}

#[test]
fn a_host_whose_cable_is_cut_answers_for_itself_and_tells_the_manager_later() {
    isolated(|| {
        let fleet = fleet();
        let attacker = "203.0.113.9";
        fleet.alert(&[Alert::web(attacker)]);
        fleet.wait_states(attacker, EVERYWHERE, "applied");
        let web_1 = &fleet.hosts[WEB_1];
        web_1.space.cut();

        let status = web_1.home.ctl_json(&["status"]);
        assert_eq!(status[0]["daemon"], "ripost-agentd");
        let listed = web_1.home.ctl_json(&["responses"]);
        assert!(has_key(&listed[0], attacker), "{listed}");
        let history = web_1.home.ctl_json(&["history"]);
        assert!(
            history
                .as_array()
                .unwrap()
                .iter()
                .any(|r| has_key(r, attacker))
        );
        let output = web_1.home.ctl(&["revert", "--target", attacker]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(web_1.space.dropped().is_empty());
        assert_eq!(web_1.home.ctl_json(&["responses"]), Value::Array(vec![]));
        assert_eq!(fleet.agent("001")["in_force"], 1, "nobody has told it");

        web_1.space.mend();
        fleet.wait_states(attacker, &["001"], "reverted");
        wait_for("the manager counts it no more", SOON, || {
            (fleet.agent("001")["in_force"] == 0).then_some(())
        });
        holds_for("it is not put back", Duration::from_secs(1), || {
            fleet.arrives(WEB_1, attacker)
        });
        assert_eq!(fleet.blocking(attacker), [SIEM, WEB_2, DB_3]);
    });
}
