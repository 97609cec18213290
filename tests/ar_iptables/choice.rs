//! Which back end is used, and that it does not matter which one was.

use std::fs;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::{feed, under_execd, with_alert};
use crate::seccomp::Lacks;
use crate::{
    ATTACKER, ATTACKER_6, BLOCK_IP, FIREWALL_DROP, NF_TABLES, NOTHING, ROUTE_NULL, Scene,
    assert_done, assert_failed, order, rules,
};

/// Covers a program with something that is none. It stays so in this test.
fn hide(name: &str) {
    let path = fs::canonicalize(format!("/usr/sbin/{name}")).unwrap();
    tool("mount", &["--bind", "/dev/null", path.to_str().unwrap()]);
}

#[test]
fn without_nf_tables_iptables_drops_the_packets_until_they_may_pass_again() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (name, target, attacker, bystander) in [
            (FIREWALL_DROP, ATTACKER, ATTACKER, "198.51.100.70"),
            (FIREWALL_DROP, ATTACKER_6, ATTACKER_6, "2001:db8:bad::8"),
            (BLOCK_IP, "198.51.100.9", "198.51.100.9", "198.51.100.8"),
            (
                BLOCK_IP,
                "198.51.100.9/29",
                "198.51.100.15",
                "198.51.100.16",
            ),
            (
                BLOCK_IP,
                "2001:db8:bad:1::/64",
                "2001:db8:bad:1:f::1",
                "2001:db8:bad:2::1",
            ),
        ] {
            let arrives = |from| (scene.net.tcp_arrives(from), scene.net.udp_arrives(from));
            assert_eq!(arrives(attacker), (true, true), "{target}");
            assert_done(&scene.add(name, NF_TABLES, target), "applied", "iptables");
            assert_eq!(arrives(attacker), (false, false), "{target}");
            assert_eq!(arrives(bystander), (true, true), "{target}");

            let before = rules(&scene);
            let again = scene.add(name, NF_TABLES, target);
            assert_done(&again, "applied", "iptables");
            assert_eq!(again.result()["detail"], "was in force already");
            assert_eq!(rules(&scene), before, "{target}");

            assert_done(
                &scene.delete(name, NF_TABLES, target),
                "reverted",
                "iptables",
            );
            assert_eq!(arrives(attacker), (true, true), "{target}");
            assert_eq!(scene.delete(name, NF_TABLES, target).status(), "absent");
        }
    });
}

#[test]
fn where_nf_tables_answers_iptables_is_left_alone() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (target, attacker) in [(ATTACKER, ATTACKER), ("198.51.100.16/28", "198.51.100.31")] {
            for name in [FIREWALL_DROP, BLOCK_IP] {
                let added = scene.add(name, NOTHING, target);
                assert_done(&added, "applied", "nf_tables");
                assert!(!scene.net.tcp_arrives(attacker));
                let deleted = scene.delete(name, NOTHING, target);
                assert_done(&deleted, "reverted", "nf_tables");
                assert!(scene.net.tcp_arrives(attacker));
                assert_eq!(scene.delete(name, NOTHING, target).status(), "absent");
            }
        }
        // To look at a table of it would bring it about.
        assert_eq!(scene.tool("cat /proc/self/net/ip_tables_names"), "");
        assert_eq!(scene.net.nft("list tables"), "table inet ripost\n");
    });
}

#[test]
fn without_nf_tables_and_iptables_block_ip_takes_routes_and_firewall_drop_says_why() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        hide("iptables-legacy");
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, 71, "this kernel has none");
        // What is called iptables is there, and needs nf_tables too.
        assert!(ran.stderr.contains("works through nf_tables"), "{ran:?}");
        assert!(
            ran.stderr.contains("\n(load the module nf_tables"),
            "{ran:?}"
        );

        hide("iptables-nft");
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, 69, "find iptables: it is in none of");
        assert!(ran.stderr.contains("apt install iptables"), "{ran:?}");
        assert!(scene.net.tcp_arrives(ATTACKER));

        for (target, attacker) in [
            (ATTACKER, ATTACKER),
            ("2001:db8:bad:1::/64", "2001:db8:bad:1::9"),
        ] {
            assert_done(&scene.add(BLOCK_IP, NF_TABLES, target), "applied", "routes");
            assert!(!scene.net.tcp_arrives(attacker));
            assert_done(
                &scene.delete(BLOCK_IP, NF_TABLES, target),
                "reverted",
                "routes",
            );
            assert!(scene.net.tcp_arrives(attacker));
        }
    });
}

#[test]
fn whatever_blocked_is_taken_back_under_another_back_end() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (name, target) in [(FIREWALL_DROP, ATTACKER), (BLOCK_IP, ATTACKER_6)] {
            // The module is loaded after the block.
            scene.add(name, NF_TABLES, target);
            assert_done(&scene.delete(name, NOTHING, target), "reverted", "iptables");
            assert!(scene.net.tcp_arrives(target), "{name}");
            assert_eq!(scene.delete(name, NOTHING, target).status(), "absent");
            // And the block put back before it is lifted.
            scene.add(name, NF_TABLES, target);
            assert_done(&scene.add(name, NOTHING, target), "applied", "nf_tables");
            assert_eq!(scene.delete(name, NOTHING, target).status(), "reverted");
            assert!(scene.net.tcp_arrives(target), "{name}");
        }
        hide("iptables-legacy");
        hide("iptables-nft");
        assert_done(
            &scene.add(BLOCK_IP, NF_TABLES, ATTACKER),
            "applied",
            "routes",
        );
        assert_done(
            &scene.delete(BLOCK_IP, NOTHING, ATTACKER),
            "reverted",
            "routes",
        );
        assert!(scene.net.tcp_arrives(ATTACKER));
    });
}

#[test]
fn what_two_executables_block_is_kept_apart_whatever_they_use() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let apart = |lacks: &[Lacks], one: &str, other: &str, target: &str| {
            scene.add(one, lacks, target);
            let ran = scene.add(other, lacks, target);
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert!(ran.result()["detail"].is_null(), "{ran:?}");
            assert_eq!(scene.delete(one, lacks, target).status(), "reverted");
            assert!(!scene.net.tcp_arrives(target), "{one}, {other}");
            assert_eq!(scene.delete(one, lacks, target).status(), "absent");
            assert_eq!(scene.delete(other, lacks, target).status(), "reverted");
            assert!(scene.net.tcp_arrives(target), "{one}, {other}");
        };
        for lacks in [NOTHING, NF_TABLES] {
            for target in [ATTACKER, ATTACKER_6] {
                apart(lacks, FIREWALL_DROP, BLOCK_IP, target);
                apart(lacks, BLOCK_IP, FIREWALL_DROP, target);
            }
        }
        hide("iptables-legacy");
        hide("iptables-nft");
        for target in [ATTACKER, ATTACKER_6] {
            apart(NF_TABLES, BLOCK_IP, ROUTE_NULL, target);
            apart(NF_TABLES, ROUTE_NULL, BLOCK_IP, target);
        }
    });
}

#[test]
fn a_network_around_an_ipv6_address_is_blocked_on_demand() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let target = "2001:db8:bad:1::7";
        let run = |verb| {
            let lines = order(verb, target, "--ipv6-prefix 64");
            feed(scene.command(BLOCK_IP, NF_TABLES), lines.as_bytes())
        };
        let ran = run("add");
        assert!(
            ran.stdout[0].contains(r#"["2001:db8:bad:1::/64"]"#),
            "{ran:?}"
        );
        assert_done(&ran, "applied", "iptables");
        assert!(!scene.net.tcp_arrives("2001:db8:bad:1:ffff::1"));
        assert!(scene.net.tcp_arrives("2001:db8:bad:2::7"));
        assert_done(&run("delete"), "reverted", "iptables");
        assert!(scene.net.tcp_arrives("2001:db8:bad:1:ffff::1"));
    });
}

#[test]
fn under_a_4_x_execd_iptables_blocks_although_stdout_is_closed() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for name in [FIREWALL_DROP, BLOCK_IP] {
            let command = scene.command(name, NF_TABLES);
            let alert = format!(r#"{{"data":{{"srcip":"{ATTACKER}"}}}}"#);
            let line = with_alert("add", &alert);
            let (keys, code) =
                under_execd(command, &line, &line.replace("\"add\"", "\"continue\""));
            let wanted = format!(
                r#"{{"version":1,"origin":{{"name":"{name}","module":"active-response"}},"command":"check_keys","parameters":{{"keys":["{ATTACKER}"]}}}}"#
            );
            assert_eq!((keys.trim_end(), code), (wanted.as_str(), Some(0)));
            assert!(!scene.net.tcp_arrives(ATTACKER));
            scene.delete(name, NF_TABLES, ATTACKER);
            assert!(scene.net.tcp_arrives(ATTACKER));
        }
    });
}
