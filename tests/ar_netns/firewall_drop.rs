//! `firewall-drop`: packets that no longer arrive and arrive again.

use std::time::{Duration, Instant};

use crate::netns::{Netns, reexec_in_namespace, wait_for};
use crate::run::{FIREWALL_DROP, Home, Ran, add, answer, feed, message, under_execd, with_alert};
use crate::{ATTACKER, on_server};

fn block(net: &Netns, home: &Home, address: &str, parameters: &str) -> Ran {
    feed(
        on_server(net, home, FIREWALL_DROP),
        &add(address, parameters),
    )
}

fn unblock(net: &Netns, home: &Home, address: &str) -> Ran {
    let line = message("delete", address);
    feed(on_server(net, home, FIREWALL_DROP), line.as_bytes())
}

#[test]
fn packets_of_a_blocked_address_do_not_arrive_until_it_is_unblocked() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for (address, bystander) in [
            (ATTACKER, "198.51.100.70"),
            ("2001:db8:bad::7", "2001:db8:bad::70"),
        ] {
            let arrives = |from| (net.tcp_arrives(from), net.udp_arrives(from));
            assert_eq!(arrives(address), (true, true));
            let ran = block(&net, &home, address, "{}");
            assert_eq!((ran.code, ran.status()), (Some(0), "applied".into()));
            assert_eq!(arrives(address), (false, false), "{address}");
            assert_eq!(arrives(bystander), (true, true), "{bystander}");
            let ran = unblock(&net, &home, address);
            assert_eq!((ran.code, ran.status()), (Some(0), "reverted".into()));
            assert_eq!(arrives(address), (true, true), "{address}");
            let ran = unblock(&net, &home, address);
            assert_eq!((ran.code, ran.status()), (Some(0), "absent".into()));
        }
    });
}

#[test]
fn under_a_4_x_execd_the_block_is_placed_although_stdout_is_closed() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let command = on_server(&net, &home, FIREWALL_DROP);
        let line = message("add", ATTACKER);
        let (keys, code) = under_execd(command, &line, &line.replace("\"add\"", "\"continue\""));
        assert_eq!(
            keys,
            r#"{"version":1,"origin":{"name":"firewall-drop","module":"active-response"},"command":"check_keys","parameters":{"keys":["198.51.100.7"]}}
"#
        );
        assert_eq!(code, Some(0));
        assert!(!net.tcp_arrives(ATTACKER));
        assert_eq!(
            home.log().last().unwrap(),
            "active-response/bin/firewall-drop: Ended"
        );
    });
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_host() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let ran = block(&net, &home, "::ffff:198.51.100.7", "{}");
        assert!(
            ran.stdout[0].contains(r#""keys":["198.51.100.7"]"#),
            "{ran:?}"
        );
        assert!(!net.tcp_arrives(ATTACKER));
        assert_eq!(unblock(&net, &home, ATTACKER).status(), "reverted");
        assert!(net.tcp_arrives(ATTACKER));
    });
}

#[test]
fn blocking_twice_is_blocking_once() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        block(&net, &home, "2001:db8:bad::7", "{}");
        let table = net.nft("list table inet ripost");
        let ran = block(&net, &home, "2001:0DB8:bad:0:0::0007", "{}");
        assert_eq!(ran.status(), "applied");
        assert_eq!(ran.result()["detail"], "was in force already");
        assert_eq!(net.nft("list table inet ripost"), table);
        assert!(
            table.contains("hook prerouting priority raw; policy accept;"),
            "{table}"
        );
        unblock(&net, &home, "2001:db8:bad::7");
        assert!(net.tcp_arrives("2001:db8:bad::7"));
    });
}

#[test]
fn the_kernel_ends_a_block_that_was_given_an_end() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let start = Instant::now();
        assert_eq!(
            block(&net, &home, ATTACKER, r#"{"expires_ms":0}"#).status(),
            "applied"
        );
        block(&net, &home, ATTACKER, r#"{"expires_ms":700}"#);
        assert!(!net.tcp_arrives(ATTACKER));
        wait_for("the block ends", || net.tcp_arrives(ATTACKER));
        assert!(start.elapsed() >= Duration::from_millis(690));
        assert_eq!(unblock(&net, &home, ATTACKER).status(), "absent");
    });
}

#[test]
fn a_block_is_placed_again_after_someone_flushed_it() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for flush in [
            "flush ruleset",
            "delete table inet ripost",
            "flush set inet ripost firewall_drop_4",
            // The address stays in its set, but nothing drops it any more.
            "flush chain inet ripost firewall_drop",
        ] {
            block(&net, &home, ATTACKER, "{}");
            net.nft(flush);
            assert!(net.tcp_arrives(ATTACKER), "{flush}");
            assert_eq!(block(&net, &home, ATTACKER, "{}").status(), "applied");
            assert!(!net.tcp_arrives(ATTACKER), "{flush}");
        }
        // One of the two rules is gone: both are written anew, once.
        let chain = net.nft("--handle list chain inet ripost firewall_drop");
        let rule = chain.lines().find(|line| line.contains("ip6 saddr"));
        let handle = rule.and_then(|rule| rule.split(' ').next_back()).unwrap();
        net.nft(&format!(
            "delete rule inet ripost firewall_drop handle {handle}"
        ));
        block(&net, &home, "2001:db8:bad::7", "{}");
        assert!(!net.tcp_arrives("2001:db8:bad::7"));
        let chain = net.nft("list chain inet ripost firewall_drop");
        assert_eq!(chain.matches(" drop").count(), 2, "{chain}");

        net.nft("flush ruleset");
        assert_eq!(unblock(&net, &home, ATTACKER).status(), "absent");
    });
}

#[test]
fn parallel_blocks_all_take_effect() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let addresses: Vec<String> = (1..=20).map(|n| format!("198.51.100.{n}")).collect();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for address in &addresses {
                scope.spawn(|| {
                    let ran = block(&net, &home, address, r#"{"expires_ms":600000}"#);
                    assert_eq!((ran.code, ran.status()), (Some(0), "applied".into()));
                });
            }
        });
        // 4.x takes 78 s on a machine of this kind.
        assert!(start.elapsed() < Duration::from_secs(10));
        for address in &addresses {
            assert!(!net.tcp_arrives(address), "{address}");
        }
        let rules = net.nft("list chain inet ripost firewall_drop");
        assert_eq!(rules.matches(" drop").count(), 2, "{rules}");
    });
}

#[test]
fn of_parallel_blocks_of_one_address_the_longest_wins() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        std::thread::scope(|scope| {
            for seconds in 1..=20 {
                let (net, home) = (&net, &home);
                scope.spawn(move || {
                    let limit = format!(r#"{{"expires_ms":{}}}"#, seconds * 60_000);
                    assert_eq!(block(net, home, ATTACKER, &limit).code, Some(0));
                });
            }
        });
        let set = net.nft("list set inet ripost firewall_drop_4");
        assert!(
            set.contains("timeout 20m") || set.contains("expires 19m"),
            "{set}"
        );
    });
}

/// An order for a network, or with these `extra_args`.
fn order(net: &Netns, home: &Home, command: &str, target: &str, args: &str) -> Ran {
    let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
    let args = format!(r#""extra_args":[{args}]"#);
    let line = with_alert(command, &alert).replace(r#""extra_args":[]"#, &args);
    let input = match command {
        "add" => line + &answer("continue", "{}"),
        _ => line,
    };
    feed(on_server(net, home, FIREWALL_DROP), input.as_bytes())
}

#[test]
fn packets_of_a_blocked_network_do_not_arrive_until_it_is_unblocked() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for (target, args, key, inside, outside, rule) in [
            (
                "198.51.100.9/29",
                "",
                "198.51.100.8/29",
                ["198.51.100.8", "198.51.100.15"],
                ["198.51.100.7", "198.51.100.16"],
                "ip saddr & 255.255.255.248 == @firewall_drop_4_29",
            ),
            (
                "2001:db8:bad:1::7",
                r#""--ipv6-prefix","64""#,
                "2001:db8:bad:1::/64",
                ["2001:db8:bad:1::", "2001:db8:bad:1:ffff:ffff:ffff:ffff"],
                ["2001:db8:bad::7", "2001:db8:bad:2::"],
                "ip6 saddr & ffff:ffff:ffff:ffff:: == @firewall_drop_6_64",
            ),
        ] {
            let ran = order(&net, &home, "add", target, args);
            assert_eq!(
                (ran.code, ran.status()),
                (Some(0), "applied".into()),
                "{ran:?}"
            );
            assert!(ran.stdout[0].contains(&format!(r#"["{key}"]"#)), "{ran:?}");
            assert_eq!(inside.map(|from| net.tcp_arrives(from)), [false; 2]);
            assert_eq!(outside.map(|from| net.tcp_arrives(from)), [true; 2]);
            let chain = net.nft("list chain inet ripost firewall_drop");
            assert!(chain.contains(rule), "{chain}");

            let again = order(&net, &home, "add", target, args);
            assert_eq!(again.result()["detail"], "was in force already");
            for status in ["reverted", "absent"] {
                let ran = order(&net, &home, "delete", target, args);
                assert_eq!((ran.code, ran.status()), (Some(0), status.into()));
            }
            assert_eq!(inside.map(|from| net.tcp_arrives(from)), [true; 2]);
        }
    });
}

#[test]
fn a_network_a_part_of_it_and_a_host_in_it_are_three_blocks() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let targets = ["198.51.100.0/24", "198.51.100.0/28", ATTACKER];
        for target in targets {
            let ran = order(&net, &home, "add", target, "");
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert!(ran.result().get("detail").is_none(), "{ran:?}");
        }
        let (in_all, in_24) = (ATTACKER, "198.51.100.16");
        let arrive = || (net.tcp_arrives(in_all), net.tcp_arrives(in_24));
        for (target, then) in targets
            .iter()
            .zip([(false, true), (false, true), (true, true)])
        {
            assert!(!arrive().0, "{target}");
            assert_eq!(
                order(&net, &home, "delete", target, "").status(),
                "reverted"
            );
            assert_eq!(arrive(), then, "{target}");
        }
    });
}

#[test]
fn networks_are_enforced_again_with_the_first_host_after_a_flush_of_the_rules() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        order(&net, &home, "add", "198.51.100.64/26", "");
        order(&net, &home, "add", "2001:db8:bad::/64", "");
        net.nft("flush chain inet ripost firewall_drop");
        let inside = ["198.51.100.65", "2001:db8:bad::7"];
        assert_eq!(inside.map(|from| net.tcp_arrives(from)), [true; 2]);
        block(&net, &home, ATTACKER, "{}");
        assert_eq!(inside.map(|from| net.tcp_arrives(from)), [false; 2]);
        // Each rule once.
        let chain = net.nft("list chain inet ripost firewall_drop");
        assert_eq!(chain.matches(" drop").count(), 4, "{chain}");

        net.nft("flush chain inet ripost firewall_drop");
        order(&net, &home, "add", "2001:db8:bad::/64", "");
        assert_eq!(inside.map(|from| net.tcp_arrives(from)), [false; 2]);
    });
}

#[test]
fn without_the_privilege_it_fails_and_says_what_is_missing() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let mut command = net.command("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "active-response/bin/firewall-drop",
            ])
            .current_dir(home.path());
        let ran = feed(command, &add(ATTACKER, "{}"));
        ran.failed(77);
        assert!(ran.stderr.contains("CAP_NET_ADMIN"), "{ran:?}");
        assert!(
            home.log()
                .last()
                .unwrap()
                .contains("operation not permitted")
        );
        assert!(net.tcp_arrives(ATTACKER));
    });
}

#[test]
fn a_set_of_another_shape_is_said_and_left_alone() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        net.nft("add table inet ripost");
        net.nft("add set inet ripost firewall_drop_4 { type inet_service; }");
        let ran = block(&net, &home, ATTACKER, "{}");
        ran.failed(1);
        assert!(
            ran.stderr.contains("nft delete table inet ripost"),
            "{ran:?}"
        );
        let set = net.nft("list set inet ripost firewall_drop_4");
        assert!(set.contains("inet_service"), "{set}");
    });
}

#[test]
fn no_host_is_cut_off_from_itself_even_where_no_daemon_guards_it() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "::",
            "::1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            let ran = block(&net, &home, address, "{}");
            assert_eq!(
                (ran.code, ran.status()),
                (Some(255), "refused".into()),
                "{address}"
            );
            assert_eq!(net.nft("list tables"), "", "{address}");
        }
    });
}
