//! Where a response runs.

use crate::scene::{Config, Fleet, drop_at};
use crate::support::alert::Alert;
use crate::support::isolation::isolated;

/// What it is about; the place in XML; the agent of the alert; where it runs.
const CASES: &[(&str, &str, &str, &[&str])] = &[
    (
        "local is the host the alert came from",
        "<location>local</location>",
        "002",
        &["002"],
    ),
    (
        "local may be the manager's host",
        "<location>local</location>",
        "000",
        &["000"],
    ),
    (
        "local is nowhere for an agent that nobody knows",
        "<location>local</location>",
        "042",
        &[],
    ),
    (
        "server is the manager's host whoever sent the alert",
        "<location>server</location>",
        "001",
        &["000"],
    ),
    (
        "an id",
        "<location>defined-agent</location><agent_id>003</agent_id>",
        "001",
        &["003"],
    ),
    (
        "several ids, the manager's among them",
        "<location>defined-agent</location><agent_id>000,2</agent_id><agent_id>003</agent_id>",
        "001",
        &["000", "002", "003"],
    ),
    (
        "a range",
        "<location>defined-agent</location><agent_id>002-009</agent_id>",
        "001",
        &["002", "003"],
    ),
    (
        "a name",
        "<location>defined-agent</location><agent_id>db-3</agent_id>",
        "001",
        &["003"],
    ),
    (
        "a group",
        "<location>defined-agent</location><agent_group>web</agent_group>",
        "003",
        &["001", "002"],
    ),
    (
        "a group and an id",
        "<location>defined-agent</location><agent_group>db</agent_group><agent_id>001</agent_id>",
        "002",
        &["001", "003"],
    ),
    (
        "all hosts, the manager's among them",
        "<location>all</location>",
        "001",
        &["000", "001", "002", "003"],
    ),
    (
        "a union",
        "<location>local,server</location>",
        "003",
        &["000", "003"],
    ),
    (
        "a union with names, one of them the origin",
        "<location>local defined-agent</location><agent_id>web-1,002</agent_id>",
        "001",
        &["001", "002"],
    ),
    (
        "what is known of a union for an origin that nobody knows",
        "<location>local,server</location>",
        "042",
        &["000"],
    ),
    (
        "all less a group",
        "<location>all</location><exclude>group:web</exclude>",
        "001",
        &["000", "003"],
    ),
    (
        "all less the manager's host and a name",
        "<location>all</location><exclude>000</exclude><exclude>db-3</exclude>",
        "001",
        &["001", "002"],
    ),
    (
        "a group less one of it, which the alert came from",
        "<location>local,defined-agent</location><agent_group>web</agent_group><exclude>001</exclude>",
        "001",
        &["002"],
    ),
];

/// The rule and the attacker of a case.
fn rule(case: usize) -> (String, String) {
    (
        (100_100 + case).to_string(),
        format!("198.51.100.{}", case + 1),
    )
}

#[test]
fn every_form_of_location_runs_where_it_says_and_nowhere_else() {
    isolated(|| {
        let blocks = CASES.iter().enumerate();
        let blocks = blocks.map(|(case, (_, place, ..))| drop_at(place, &rule(case).0, "600"));
        let fleet = Fleet::start(&Config::new(blocks.collect()));

        let alerts = CASES.iter().enumerate().map(|(case, (_, _, from, _))| {
            let (rule, attacker) = rule(case);
            Alert::sshd(&attacker).rule(&rule).agent(from)
        });
        fleet.alert(&alerts.collect::<Vec<_>>());
        // Behind all of them, so that what is nowhere has been passed by.
        for (case, (what, _, _, wanted)) in CASES.iter().enumerate().rev() {
            let (_, attacker) = rule(case);
            fleet.wait_states(&attacker, wanted, "applied");
            let blocking = fleet.blocking(&attacker);
            let ids: Vec<String> = blocking.iter().map(|id| format!("{id:03}")).collect();
            assert_eq!(ids, *wanted, "{what}");
            for place in blocking {
                assert!(
                    fleet.hosts[place].space.dropped().contains(&attacker),
                    "{what}"
                );
            }
        }
        let strangers = CASES.iter().filter(|(_, _, from, _)| *from == "042");
        let strangers = u64::try_from(strangers.count()).unwrap();
        assert_eq!(fleet.counter("alerts of agents not known here"), strangers);
        let nowhere = CASES.iter().position(|case| case.3.is_empty()).unwrap();
        assert!(fleet.records(&rule(nowhere).1).is_empty());
    });
}
