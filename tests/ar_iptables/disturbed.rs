//! Rules that others change, runs that are killed, and many at once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::netns::{reexec_in_namespace, wait_for};
use crate::{ATTACKER, FIREWALL_DROP, NF_TABLES, Scene, assert_done, order, rules};

#[test]
fn a_block_is_placed_again_whatever_was_done_to_the_rules() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let chain = "RIPOST-firewall-drop";
        for lines in [
            &["-F RIPOST-firewall-drop"][..],
            &["-D PREROUTING -j RIPOST-firewall-drop"],
            &["-F PREROUTING"],
            &["-F", "-X RIPOST-firewall-drop"],
            // What is left by one that is killed between -N and -A.
            &["-F", "-X RIPOST-firewall-drop", "-N RIPOST-firewall-drop"],
            // The administrator's rule comes first, and lets all pass.
            &["-I PREROUTING 1 -s 198.51.100.0/24 -j ACCEPT"],
        ] {
            scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
            assert!(!scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            for line in lines {
                scene.tool(&format!("iptables-legacy -t raw {line}"));
            }
            assert!(scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            let rules = rules(&scene);
            assert_eq!(rules.matches("-j DROP").count(), 1, "{rules}");
            assert_eq!(rules.matches(&format!("-j {chain}")).count(), 1, "{rules}");
        }
        // The administrator's is there still, and goes with a flush by hand.
        assert!(rules(&scene).contains("-s 198.51.100.0/24 -j ACCEPT"));
        scene.tool("iptables-legacy -t raw -F RIPOST-firewall-drop");
        assert!(scene.net.tcp_arrives(ATTACKER));
        assert_eq!(
            scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
            "absent"
        );
    });
}

#[test]
fn rules_that_somebody_doubled_are_all_taken_back() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        let append = "iptables-legacy -t raw -A RIPOST-firewall-drop -j DROP -s";
        for other in [ATTACKER, "198.51.100.8", ATTACKER] {
            scene.tool(&format!("{append} {other}"));
        }
        assert_eq!(
            scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
            "reverted"
        );
        assert!(scene.net.tcp_arrives(ATTACKER));
        assert!(!scene.net.tcp_arrives("198.51.100.8"));
    });
}

#[test]
fn one_that_is_killed_at_any_moment_leaves_nothing_that_the_next_cannot_use() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for millis in 0..30 {
            let mut command = scene.command(FIREWALL_DROP, NF_TABLES);
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let start = Instant::now();
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let lines = order("add", ATTACKER, "");
            std::io::Write::write_all(&mut stdin, lines.as_bytes()).unwrap();
            while start.elapsed() < Duration::from_millis(millis) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            child.wait().unwrap();

            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(ATTACKER));
            // What it had started may end after it.
            wait_for("there is one rule", || {
                rules(&scene).matches("-j DROP").count() == 1
            });
            assert_eq!(
                scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
                "reverted"
            );
            assert!(scene.net.tcp_arrives(ATTACKER));
            // Each time from the start.
            for line in ["-F", "-X"] {
                scene.tool(&format!("iptables-legacy -t raw {line}"));
            }
        }
    });
}

#[test]
fn parallel_blocks_by_iptables_all_take_effect_once() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        // Each twice.
        let addresses: Vec<String> = (0..20)
            .map(|n| format!("198.51.100.{}", n / 2 + 1))
            .collect();
        std::thread::scope(|scope| {
            for address in &addresses {
                let scene = &scene;
                scope.spawn(move || {
                    let ran = scene.add(FIREWALL_DROP, NF_TABLES, address);
                    assert_done(&ran, "applied", "iptables");
                });
            }
        });
        let found = rules(&scene);
        for address in &addresses {
            assert_eq!(
                found.matches(&format!("{address}/32 -j DROP")).count(),
                1,
                "{found}"
            );
        }
        assert_eq!(
            found.matches("-j RIPOST-firewall-drop").count(),
            1,
            "{found}"
        );
    });
}
