//! Many blocks in one run, as a worker has them.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::iptables::{Before, Iptables};
use ripost::ar::{Done, Fail};
use ripost::model::bundled::Backend;
use ripost::sys::nft::Element;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::{Home, Ran, answer, with_alert};
use crate::served::Served;
use crate::{ATTACKER, ATTACKER_6, BLOCK_IP, FIREWALL_DROP, NF_TABLES, Scene, rules};

/// How often this program was run, which a script before it counts.
fn counted(name: &str) -> impl Fn() -> usize {
    const RUNS: &str = "/run/runs";
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
    let path = format!("/usr/local/sbin/{name}");
    let script = format!("#!/bin/sh\necho run >>{RUNS}\nexec /usr/sbin/{name} \"$@\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    || fs::read_to_string(RUNS).map_or(0, |text| text.lines().count())
}

#[test]
fn many_are_blocked_and_taken_back_at_once_and_the_few_under_iptables_too() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        // The table is there, for somebody else.
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let runs = counted("iptables-legacy");
        let networks: Vec<IpNetwork> = (0..2_000_u32)
            .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()).into())
            .collect();
        let elements: Vec<_> = networks
            .iter()
            .map(|&network| Element {
                network,
                lasts: Some(Duration::from_secs(600)),
            })
            .collect();
        let mut block = Block::of(BLOCK_IP);
        let all = |done: Vec<Result<Done, Fail>>, wanted: Done| {
            assert_eq!(done.len(), networks.len());
            for one in done {
                assert_eq!(one.unwrap(), wanted);
            }
        };
        let by = |done: Done| done.by(Backend::NfTables);
        all(block.add_all(&elements), by(Done::applied()));
        let again = by(Done::in_place()).counting(Some(0));
        all(block.add_all(&elements), again);
        assert_eq!(runs(), 0);
        let reverted = |by| Done::reverted().by(by).counting(Some(0));
        all(block.delete_all(&networks), reverted(Backend::NfTables));
        // At most once for a table and second.
        assert!(runs() <= 20, "{}", runs());

        block.add_all(&elements[..1_000]);
        assert!(Iptables::of(BLOCK_IP).add(&networks[1_000..1_001])[0].is_ok());
        // Whoever has looked just now looks again a second later.
        let mut block = Block::of(BLOCK_IP);
        let done = block.delete_all(&networks[999..1_002]);
        let done: Vec<Done> = done.into_iter().map(Result::unwrap).collect();
        // Each by what did it.
        let wanted = [
            reverted(Backend::NfTables),
            reverted(Backend::Iptables),
            Done::absent(),
        ];
        assert_eq!(done, wanted);
        let rules = tool("iptables-legacy", &["-t", "raw", "-S", "RIPOST-block-ip"]);
        assert!(!rules.contains("DROP"), "{rules}");
    });
}

/// One after the other they would take minutes.
#[test]
fn a_worker_without_nf_tables_blocks_a_thousand_at_once() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let hosts = (0..1_000).map(|n| format!("10.9.{}.{}", n / 250, n % 250));
        let named = [ATTACKER, "198.51.100.64/28", ATTACKER_6].map(str::to_owned);
        let targets: Vec<_> = hosts.chain(named).collect();
        let orders = |verb: &str| -> Vec<_> {
            let order = |target: &String| {
                let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
                (with_alert(verb, &alert), answer("continue", "{}"))
            };
            targets.iter().map(order).collect()
        };
        for name in [FIREWALL_DROP, BLOCK_IP] {
            let mut worker = Served::start(scene.command(name, NF_TABLES));
            let mut all = |verb: &str, status: &str| -> Vec<Ran> {
                let ran = worker.orders(&orders(verb));
                for ran in &ran {
                    assert_eq!(ran.status(), status, "{name}: {ran:?}");
                }
                ran
            };
            all("add", "applied");
            for attacker in [ATTACKER, "198.51.100.79", ATTACKER_6] {
                assert!(!scene.net.udp_arrives(attacker), "{name}: {attacker}");
            }
            assert!(scene.net.udp_arrives("198.51.100.80"), "{name}");
            let again = all("add", "applied");
            assert_eq!(again[0].result()["detail"], "was in force already");
            let deleted = all("delete", "reverted");
            assert_eq!(deleted[0].result()["hits"], 0);
            assert_eq!(deleted[0].result()["backend"], "iptables");
            assert!(deleted[1_000].result()["hits"].as_u64() > Some(0));
            assert!(scene.net.udp_arrives(ATTACKER), "{name}");
            all("delete", "absent");
            assert!(!rules(&scene).contains("DROP"), "{name}");
        }
    });
}

#[test]
fn where_no_chain_of_ours_was_is_looked_at_again_after_an_add() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let network = ATTACKER.parse().unwrap();
        let mut iptables = Iptables::of(BLOCK_IP);
        for _ in 0..2 {
            let deleted = iptables.delete(&[network]).remove(0);
            assert_eq!(deleted.unwrap(), Before::Missing);
        }
        assert!(iptables.add(&[network])[0].is_ok());
        let deleted = iptables.delete(&[network]).remove(0);
        assert_eq!(deleted.unwrap(), Before::There { hits: 0 });
    });
}
