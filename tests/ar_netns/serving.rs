//! The executables that serve, through their workers: thousands of orders at
//! once, with their effect.

use std::process::Command;

use crate::netns::{Netns, reexec_in_namespace};
use crate::run::{FIREWALL_DROP, Home, ROUTE_NULL, Ran, answer, feed, with_alert};
use crate::served::Served;
use crate::{ATTACKER, on_server};

const BLOCK_IP: &str = "block-ip";
const ATTACKER_6: &str = "2001:db8:bad::7";
const NETWORK: &str = "198.51.100.64/28";
const IN_NETWORK: &str = "198.51.100.79";
const BYSTANDER: &str = "198.51.100.80";

/// What one of the executables cannot have.
const NOT_LISTED: &str = "203.0.113.128/25";
const OVERRULED: &str = "198.51.100.200";

fn orders(verb: &str, targets: &[String]) -> Vec<(String, String)> {
    let order = |target: &String| {
        let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
        let go_on = answer("continue", r#"{"expires_ms":600000}"#);
        (with_alert(verb, &alert), go_on)
    };
    targets.iter().map(order).collect()
}

/// More than one round of questions, of both families, and the attackers.
fn targets() -> Vec<String> {
    let hosts = (0..1_500).map(|n| format!("10.9.{}.{}", n / 250, n % 250));
    let hosts_6 = (0..500).map(|n| format!("2001:db8:9::{n:x}"));
    let named = [ATTACKER, ATTACKER_6, NETWORK].map(str::to_owned);
    hosts.chain(hosts_6).chain(named).collect()
}

#[track_caller]
fn all(ran: &[Ran], status: &str, detail: Option<&str>) {
    for ran in ran {
        assert_eq!(ran.status(), status, "{ran:?}");
        assert_eq!(ran.result()["detail"].as_str(), detail, "{ran:?}");
    }
}

fn ip(net: &Netns, line: &str) -> Vec<String> {
    let mut command: Command = net.command("ip");
    command.args(line.split(' '));
    let ran = feed(command, b"");
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    ran.stdout
}

#[test]
fn thousands_of_orders_take_effect_and_are_taken_back_at_once() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let targets = targets();
        let attackers = [ATTACKER, ATTACKER_6, IN_NETWORK];
        for (name, backend, counts) in [
            (FIREWALL_DROP, "nf_tables", true),
            (BLOCK_IP, "nf_tables", true),
            (ROUTE_NULL, "routes", false),
        ] {
            let mut worker = Served::start(on_server(&net, &home, name));
            let added = worker.orders(&orders("add", &targets));
            all(&added, "applied", None);
            for attacker in attackers {
                assert!(!net.tcp_arrives(attacker), "{name}: {attacker}");
            }
            assert!(net.tcp_arrives(BYSTANDER), "{name}");
            let again = worker.orders(&orders("add", &targets));
            all(&again, "applied", Some("was in force already"));
            let deleted = worker.orders(&orders("delete", &targets));
            all(&deleted, "reverted", None);
            let gone = worker.orders(&orders("delete", &targets));
            all(&gone, "absent", None);
            for attacker in attackers {
                assert!(net.tcp_arrives(attacker), "{name}: {attacker}");
            }
            for ran in &deleted {
                assert_eq!(ran.result()["backend"], backend, "{ran:?}");
                assert_eq!(ran.result()["hits"].is_u64(), counts, "{ran:?}");
            }
            // Those of the hosts that nobody is, and those of the attackers.
            let hits = |at: usize| deleted[at].result()["hits"].as_u64().unwrap_or(0);
            assert_eq!(hits(0), 0, "{name}");
            let attacked = (targets.len() - 3..targets.len()).map(hits);
            assert!(
                attacked.into_iter().all(|hits| (hits > 0) == counts),
                "{name}"
            );
        }
        let left = ["-4", "-6"].map(|family| ip(&net, &format!("{family} route show proto 165")));
        assert_eq!(left.concat(), [] as [&str; 0]);
    });
}

#[test]
fn one_that_the_kernel_does_not_take_fails_alone_with_its_reason() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        net.nft("add table inet ripost");
        for set in ["firewall_drop", "block_ip"] {
            net.nft(&format!(
                "add set inet ripost {set}_4_25 {{ type inet_service; }}"
            ));
        }
        ip(&net, "route add default via 192.0.2.254 table 99");
        let rule = format!("rule add pref 5 to {OVERRULED} table 99");
        ip(&net, &rule);
        for (name, wrong, why) in [
            (FIREWALL_DROP, NOT_LISTED, "nft delete table inet ripost"),
            (BLOCK_IP, NOT_LISTED, "nft delete table inet ripost"),
            (ROUTE_NULL, OVERRULED, "ip rule"),
        ] {
            let mut targets = targets();
            targets.insert(700, wrong.to_owned());
            let mut worker = Served::start(on_server(&net, &home, name));
            let mut added = worker.orders(&orders("add", &targets));
            let failed = added.remove(700);
            assert_eq!(failed.status(), "failed", "{name}: {failed:?}");
            assert!(failed.stderr.contains(why), "{name}: {failed:?}");
            all(&added, "applied", None);
            assert!(!net.tcp_arrives(ATTACKER), "{name}");
            let mut deleted = worker.orders(&orders("delete", &targets));
            let deleted_wrong = deleted.remove(700).status();
            assert_ne!(deleted_wrong, "reverted", "{name}");
            all(&deleted, "reverted", None);
            assert!(net.tcp_arrives(ATTACKER), "{name}");
        }
        assert_eq!(ip(&net, "route show proto 165"), [] as [&str; 0]);
    });
}
