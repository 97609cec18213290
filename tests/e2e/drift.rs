//! Somebody else takes away what is in force.

use std::time::{Duration, Instant};

use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

fn blocked() -> (Net, Home, Pair) {
    let (net, home) = (Net::new(), Home::new());
    home.configure(&[&response("firewall-drop", "5763", "600")]);
    let pair = Pair::start(&net, &home);
    home.alert(&[Alert::sshd("203.0.113.9"), Alert::sshd("203.0.113.10")]);
    for address in ["203.0.113.9", "203.0.113.10"] {
        net.wait_blocked(address, SOON);
        home.wait_state(address, "applied");
    }
    (net, home, pair)
}

fn said(pair: &Pair, text: &str) {
    wait_for(text, SOON, || {
        pair.agentd.said().contains(text).then_some(())
    });
}

#[test]
fn a_flush_is_repaired_within_a_second_and_who_did_it_is_said() {
    isolated(|| {
        let (net, home, pair) = blocked();
        for (change, gone) in [
            (&["flush", "ruleset"][..], "203.0.113.9"),
            (&["delete", "table", "inet", "ripost"], "203.0.113.10"),
            (
                &["flush", "chain", "inet", "ripost", "firewall_drop"],
                "203.0.113.9",
            ),
            (
                &[
                    "delete",
                    "element",
                    "inet",
                    "ripost",
                    "firewall_drop_4",
                    "{",
                    "203.0.113.9",
                    "}",
                ],
                "203.0.113.9",
            ),
        ] {
            net.server("nft", change);
            let lost = Instant::now();
            net.wait_blocked(gone, SOON);
            let took = lost.elapsed();
            assert!(took < Duration::from_secs(1), "{change:?}: {took:?}");
        }
        said(&pair, "nft (pid ");
        said(&pair, "effects were missing and have been put back");
        for address in ["203.0.113.9", "203.0.113.10"] {
            net.wait_blocked(address, SOON);
            // Nothing has happened to the actions themselves.
            assert_eq!(home.states(address).last().unwrap(), "applied");
        }
    });
}

#[test]
fn who_takes_it_away_again_and_again_is_not_fought_for_ever() {
    isolated(|| {
        let (net, home, pair) = blocked();
        for _ in 0..5 {
            net.server("nft", &["flush", "ruleset"]);
            net.wait_blocked("203.0.113.9", SOON);
        }
        net.server("nft", &["flush", "ruleset"]);
        said(&pair, "is not put back any more");
        assert!(net.arrives("203.0.113.9"));
        let status = home.ctl(&["status"]);
        let status = String::from_utf8_lossy(&status.stdout);
        assert!(
            status.contains("what is in force is not in nf_tables: nft"),
            "{status}"
        );
        assert!(home.ctl(&["reload"]).status.success());
        net.wait_blocked("203.0.113.9", SOON);
        net.wait_blocked("203.0.113.10", SOON);
        let status = home.ctl(&["status"]);
        let status = String::from_utf8_lossy(&status.stdout);
        assert!(!status.contains("not in nf_tables"), "{status}");
    });
}
