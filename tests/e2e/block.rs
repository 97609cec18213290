//! From an alert to a dropped packet, and back.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, counter, has_key, millis, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::{holds_for, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn an_alert_blocks_its_address_until_its_timeout_to_the_second() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "3")]);
        let _pair = Pair::start(&net, &home);

        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
        let blocked = Instant::now();
        assert!(net.in_table("203.0.113.9"));
        assert!(net.arrives("203.0.113.10"), "a neighbour is left alone");

        let applied = home.wait_state("203.0.113.9", "applied");
        assert_eq!(applied["verified"], true);
        assert_eq!(applied["timeout"], 3);
        assert_eq!(applied["rule"]["id"], "5763");
        assert_eq!(applied["agent"]["id"], "000");
        // It runs from the moment the alert was read, a little before.
        let in_force = millis(&applied, "until") - millis(&applied, "since");
        assert!((1_000..=3_000).contains(&in_force), "{in_force} ms");
        let listed = home.ctl_json(&["responses"]);
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert!(has_key(&listed[0], "203.0.113.9"));

        net.wait_open("203.0.113.9", SOON);
        let lifted = Instant::now();
        assert!(
            lifted - written >= Duration::from_secs(3),
            "{:?}",
            lifted - written
        );
        assert!(
            lifted - blocked <= Duration::from_secs(4),
            "{:?}",
            lifted - blocked
        );
        home.wait_state("203.0.113.9", "reverted");
        assert!(!net.in_table("203.0.113.9"));
        assert_eq!(home.ctl_json(&["responses"]), Value::Array(vec![]));
    });
}

#[test]
fn both_families_are_blocked_and_a_mapped_address_is_its_ipv4_one() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763,31151", "600")]);
        let _pair = Pair::start(&net, &home);

        home.alert(&[
            Alert::web("2001:DB8:BAD:0:0:0:0:9"),
            Alert::sshd("::ffff:203.0.113.9"),
        ]);
        net.wait_blocked("2001:db8:bad::9", SOON);
        net.wait_blocked("203.0.113.9", SOON);
        home.wait_state("2001:db8:bad::9", "applied");
        home.wait_state("203.0.113.9", "applied");
        assert!(net.arrives("2001:db8:bad::8"));
    });
}

#[test]
fn a_repeat_prolongs_the_block_and_only_the_first_is_reverted() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "4")]);
        let _pair = Pair::start(&net, &home);

        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
        let first = home.wait_state("203.0.113.9", "applied");
        holds_for("the block", Duration::from_secs(2), || {
            !net.arrives("203.0.113.9")
        });

        let repeated = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let second = home.wait_state("203.0.113.9", "already");
        assert_ne!(first["action"], second["action"]);
        let prolonged = home.wait_record("the first is prolonged", |record| {
            record["action"] == first["action"] && record["until"] == second["until"]
        });
        assert_eq!(prolonged["state"], "applied");
        assert!(millis(&second, "until") - millis(&first, "until") >= 1_900);

        net.wait_open("203.0.113.9", SOON);
        let lasted = repeated.elapsed();
        assert!(lasted >= Duration::from_secs(4), "{lasted:?}");
        assert!(lasted <= Duration::from_secs(6), "{lasted:?}");
        home.wait_state("203.0.113.9", "reverted");
        let reverted: Vec<Value> = home
            .responses()
            .into_iter()
            .filter(|record| record["state"] == "reverted")
            .collect();
        assert_eq!(reverted.len(), 1);
        assert_eq!(reverted[0]["action"], first["action"]);
    });
}

#[test]
fn a_shorter_response_does_not_shorten_a_block() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            &response("firewall-drop", "5763", "5"),
            &response("firewall-drop", "31151", "1"),
        ]);
        let _pair = Pair::start(&net, &home);

        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let long = home.wait_state("203.0.113.9", "applied");
        home.alert(&[Alert::web("203.0.113.9")]);
        let short = home.wait_state("203.0.113.9", "already");
        let moved = millis(&short, "until") - millis(&long, "until");
        // An end is kept in boot time; shown, it may be rounded another way.
        assert!(moved.abs() <= 5, "moved by {moved} ms");
        net.wait_open("203.0.113.9", SOON);
        assert!(written.elapsed() >= Duration::from_secs(5));
    });
}

#[test]
fn a_ban_without_timeout_stays_until_a_person_lifts_it() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            &response("firewall-drop", "5763", ""),
            &response("firewall-drop", "31151", "1"),
        ]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let banned = home.wait_state("203.0.113.9", "applied");
        assert!(banned.get("until").is_none(), "{banned}");
        assert!(banned.get("timeout").is_none(), "{banned}");

        // A timed response for the same target changes nothing.
        home.alert(&[Alert::web("203.0.113.9")]);
        let timed = home.wait_state("203.0.113.9", "already");
        assert_ne!(timed["action"], banned["action"]);
        holds_for("the ban", Duration::from_secs(3), || {
            !net.arrives("203.0.113.9")
        });

        pair.kill();
        assert!(!net.arrives("203.0.113.9"));
        let _pair = Pair::start(&net, &home);
        assert!(!net.arrives("203.0.113.9"));
        let listed = home.ctl_json(&["responses"]);
        assert_eq!(listed[0]["action"], banned["action"]);

        let output = home.ctl(&["revert", "--target", "203.0.113.9"]);
        assert!(output.status.success(), "{output:?}");
        net.wait_open("203.0.113.9", SOON);
        home.wait_state("203.0.113.9", "reverted");
    });
}

#[test]
fn a_person_lifts_one_block_or_all() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
        home.alert(&addresses.map(Alert::sshd));
        for address in addresses {
            home.wait_state(address, "applied");
            assert!(!net.arrives(address));
        }
        let first = text(&home.wait_state(addresses[0], "applied"), "action");
        assert!(home.ctl(&["revert", &first]).status.success());
        net.wait_open(addresses[0], SOON);
        assert!(!net.arrives(addresses[1]));

        let output = home.ctl(&["revert", "--all", "--yes"]);
        assert!(output.status.success(), "{output:?}");
        net.wait_open(addresses[1], SOON);
        net.wait_open(addresses[2], SOON);
        assert_eq!(home.ctl_json(&["responses"]), Value::Array(vec![]));
    });
}

#[test]
fn the_log_has_the_lines_of_4_x() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "1")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "reverted");

        let name = "active-response/bin/firewall-drop: ";
        let log = home.log();
        let messages: Vec<&str> = log
            .lines()
            .map(|line| {
                let (stamp, message) = line.split_at(20);
                assert!(
                    chrono::NaiveDateTime::parse_from_str(stamp, "%Y/%m/%d %H:%M:%S ").is_ok(),
                    "{line}"
                );
                message
                    .strip_prefix(name)
                    .unwrap_or_else(|| panic!("{line}"))
            })
            .collect();
        let keys = "{\"version\":1,\"origin\":{\"name\":\"firewall-drop\",\"module\":\"active-response\"},\
                    \"command\":\"check_keys\",\"parameters\":{\"keys\":[\"203.0.113.9\"]}}";
        assert_eq!(messages[0], "Starting");
        assert!(
            messages[1].contains("\"command\":\"add\""),
            "{}",
            messages[1]
        );
        assert_eq!(messages[2], keys);
        assert_eq!(messages[3], "Ended");
        assert_eq!(messages[4], "Starting");
        let delete = messages[5];
        assert!(delete.contains("\"command\":\"delete\""), "{delete}");
        assert_eq!(messages[6], "Ended");
        assert_eq!(messages.len(), 7);
    });
}

#[test]
fn host_deny_writes_and_takes_back_only_its_own_entry() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let ours = "# ours\nALL: 198.51.100.200\n";
        let etc = home.beside().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let hosts = etc.join("hosts.deny");
        std::fs::write(&hosts, ours).unwrap();
        // The rest of /etc is not needed by anything that runs here.
        crate::support::isolation::mount(&["--bind", etc.to_str().unwrap(), "/etc"]);
        home.configure(&[&response("host-deny", "5763,31151", "3")]);
        let _pair = Pair::start(&net, &home);

        home.alert(&[Alert::sshd("203.0.113.9"), Alert::web("2001:db8:bad::9")]);
        let applied = home.wait_state("203.0.113.9", "applied");
        assert_eq!(applied["verified"], true);
        home.wait_state("2001:db8:bad::9", "applied");
        let denied = std::fs::read_to_string("/etc/hosts.deny").unwrap();
        assert!(denied.starts_with(ours), "{denied}");
        assert!(denied.contains("203.0.113.9"), "{denied}");
        assert!(denied.contains("[2001:db8:bad::9]"), "{denied}");

        home.wait_state("203.0.113.9", "reverted");
        home.wait_state("2001:db8:bad::9", "reverted");
        assert_eq!(std::fs::read_to_string("/etc/hosts.deny").unwrap(), ours);
    });
}

#[test]
fn two_hundred_blocks_that_end_together_are_all_reverted() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "10")]);
        let _pair = Pair::start(&net, &home);

        let addresses: Vec<String> = (0..200).map(|n| format!("198.18.0.{n}")).collect();
        let ips: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let alerts: Vec<Alert> = addresses.iter().map(|a| Alert::sshd(a)).collect();
        let written = Instant::now();
        home.alert(&alerts);
        wait_for("all 200 are blocked", SOON, || {
            net.probe(&ips).iter().all(|arrives| !arrives).then_some(())
        });
        // All timeouts run from the moment of the one write.
        wait_for("one of them is lifted", Duration::from_secs(15), || {
            net.probe(&ips).iter().any(|arrives| *arrives).then_some(())
        });
        assert!(
            written.elapsed() >= Duration::from_secs(10),
            "{:?}",
            written.elapsed()
        );
        wait_for("all 200 are lifted", SOON, || {
            net.probe(&ips).iter().all(|arrives| *arrives).then_some(())
        });
        // To delete an element, the kernel waits for a grace period of some
        // 13 ms, one transaction after the other, and here each revert is one.
        // Packets do not wait for that: the elements expire soon after the end.
        let late = written.elapsed() - Duration::from_secs(10);
        assert!(
            late <= Duration::from_millis(1_500),
            "the last was lifted {late:?} late"
        );
        wait_for("200 reverts are told", SOON, || {
            let records = home.responses();
            let reverted = records
                .iter()
                .filter(|record| record["state"] == "reverted");
            (reverted.count() == 200).then_some(())
        });
    });
}

#[test]
fn an_alert_of_another_agent_is_counted_and_not_acted_upon() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[
            Alert::sshd("203.0.113.9").agent("007"),
            Alert::sshd("203.0.113.10"),
        ]);
        // Alerts are taken in order, so the first has been judged by now.
        home.wait_state("203.0.113.10", "applied");
        assert!(net.arrives("203.0.113.9"));
        assert_eq!(home.states("203.0.113.9"), Vec::<String>::new());
        let status = home.ctl_json(&["status"]);
        let unknown = counter(&status, "alerts of agents not known here");
        assert_eq!(unknown, 1, "{status}");
    });
}

#[test]
fn a_reload_applies_what_passes_and_refuses_what_does_not() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let pair = Pair::start(&net, &home);

        home.configure(&["<active-response><command>nobody</command></active-response>"]);
        assert!(!home.ctl(&["reload"]).status.success());
        home.alert(&[Alert::sshd("203.0.113.1")]);
        net.wait_blocked("203.0.113.1", SOON);

        home.configure(&[&response("firewall-drop", "31151", "600")]);
        let output = home.ctl(&["reload"]);
        assert!(output.status.success(), "{output:?}");
        home.alert(&[Alert::sshd("203.0.113.2"), Alert::web("203.0.113.3")]);
        net.wait_blocked("203.0.113.3", SOON);
        assert!(net.arrives("203.0.113.2"));

        home.configure(&[&response("firewall-drop", "5763", "600")]);
        pair.manager.signal(rustix::process::Signal::HUP);
        wait_for("SIGHUP applies the configuration", SOON, || {
            home.alert(&[Alert::sshd("203.0.113.4")]);
            (!net.arrives("203.0.113.4")).then_some(())
        });
    });
}
