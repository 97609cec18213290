//! `firewall-drop`: packets that no longer arrive and arrive again.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use ripost::sys::nft::{Element, Found, Kernel, Lists};

use crate::netns::{Netns, reexec_in_namespace, run as tool, wait_for};
use crate::run::{FIREWALL_DROP, Home, Ran, add, feed, message, under_execd};
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

#[test]
fn what_was_decided_on_an_older_state_is_decided_anew() {
    reexec_in_namespace(|| {
        let longest = 4;
        for round in 1..=250 {
            let address = IpAddr::from([198, 51, 100, round]);
            let start = Barrier::new(longest);
            std::thread::scope(|scope| {
                for minutes in 1..=longest {
                    let start = &start;
                    scope.spawn(move || {
                        let mut lists = Lists::open("firewall-drop", Kernel::probe()).unwrap();
                        let lasts = Duration::from_secs(minutes as u64 * 60);
                        start.wait();
                        let lasts = Some(lasts);
                        lists.add(&[Element { address, lasts }]).unwrap();
                    });
                }
            });
            let mut lists = Lists::open("firewall-drop", Kernel::probe()).unwrap();
            let found = lists.look_up(&[address]).unwrap()[0];
            let right = Duration::from_secs(longest as u64 * 60 - 10);
            assert!(
                matches!(found, Found::Until(left) if left > right),
                "{found:?}"
            );
        }
    });
}

/// Every kind of kernel that the running one can stand in for: a newer one
/// does all that an older one does.
fn kernels() -> Vec<Kernel> {
    let here = Kernel::probe();
    [(false, false), (true, false), (true, true)]
        .map(|(confirms, renews)| Kernel { confirms, renews })
        .into_iter()
        .filter(|kernel| kernel.confirms <= here.confirms && kernel.renews <= here.renews)
        .collect()
}

#[test]
fn a_block_is_prolonged_and_never_shortened_whatever_the_kernel() {
    reexec_in_namespace(|| {
        let minutes = |n: u64| Some(Duration::from_secs(n * 60));
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            let address: IpAddr = ATTACKER.parse().unwrap();
            let mut lists = Lists::open("firewall-drop", kernel).unwrap();
            for (lasts, then) in [
                (minutes(10), minutes(10)),
                (minutes(1), minutes(10)),
                (minutes(20), minutes(20)),
                (None, None),
                (minutes(1), None),
            ] {
                let change = lists.add(&[Element { address, lasts }]).unwrap()[0];
                let right = match (change.after, then) {
                    (Found::Endless, None) => true,
                    (Found::Until(left), Some(then)) => {
                        left <= then && left > then - Duration::from_secs(10)
                    }
                    (Found::Missing | Found::Until(_) | Found::Endless, _) => false,
                };
                assert!(right, "{kernel:?}: {lasts:?} made it {change:?}");
                assert_eq!(lists.look_up(&[address]).unwrap().len(), 1);
            }
            // Only an element that was made anew has lost its comment.
            let other = "198.51.100.9 timeout 1m comment \"mark\"";
            let element = format!("add element inet ripost firewall_drop_4 {{ {other} }}");
            tool("nft", &[&element]);
            let change = lists
                .add(&[Element {
                    address: "198.51.100.9".parse().unwrap(),
                    lasts: minutes(10),
                }])
                .unwrap()[0];
            assert!(matches!(change.after, Found::Until(left) if Some(left) > minutes(9)));
            let set = tool("nft", &["list", "set", "inet", "ripost", "firewall_drop_4"]);
            assert_eq!(set.contains("mark"), kernel.renews, "{kernel:?}: {set}");

            let change = lists.delete(&[address]).unwrap()[0];
            assert_eq!(
                (change.before, change.after),
                (Found::Endless, Found::Missing)
            );
        }
    });
}

#[test]
fn a_block_of_the_same_length_is_renewed_whatever_the_kernel() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            let element = Element {
                address: ATTACKER.parse().unwrap(),
                lasts: Some(Duration::from_secs(600)),
            };
            let mut lists = Lists::open("firewall-drop", kernel).unwrap();
            lists.add(&[element]).unwrap();
            let spent = Duration::from_millis(200);
            wait_for("some of it is over", || {
                let left = lists.look_up(&[element.address]).unwrap()[0];
                matches!(left, Found::Until(left) if left < Duration::from_secs(600) - spent)
            });
            let change = lists.add(&[element]).unwrap()[0];
            let (Found::Until(before), Found::Until(after)) = (change.before, change.after) else {
                panic!("{kernel:?}: {change:?}");
            };
            assert!(after > before + spent / 2, "{kernel:?}: {change:?}");
        }
    });
}

#[test]
fn ten_thousand_addresses_are_one_transaction() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            // One of them twice.
            let addresses: Vec<IpAddr> = (0..10_000_u32)
                .map(|n| Ipv4Addr::from_bits(0x0a00_0000 + n % 9_999).into())
                .collect();
            let mut elements: Vec<Element> = addresses
                .iter()
                .map(|&address| Element {
                    address,
                    lasts: Some(Duration::from_secs(600)),
                })
                .collect();
            let mut lists = Lists::open("firewall-drop", kernel).unwrap();
            // A part is there already, for less.
            for element in &mut elements[1..11] {
                element.lasts = Some(Duration::from_secs(60));
            }
            lists.add(&elements[1..11]).unwrap();
            for element in &mut elements[1..11] {
                element.lasts = Some(Duration::from_secs(600));
            }
            let changes = lists.add(&elements).unwrap();
            assert!(changes.iter().all(|change| change.after != Found::Missing));
            let there = changes
                .iter()
                .filter(|change| change.before != Found::Missing);
            assert_eq!(there.count(), 10);
            let changes = lists.delete(&addresses).unwrap();
            assert!(changes.iter().all(|change| change.after == Found::Missing));
            let set = tool("nft", &["list", "set", "inet", "ripost", "firewall_drop_4"]);
            assert!(!set.contains("elements"), "{set}");
        }
    });
}

#[test]
fn the_lists_of_two_executables_do_not_touch_each_other() {
    reexec_in_namespace(|| {
        let address: IpAddr = ATTACKER.parse().unwrap();
        let element = Element {
            address,
            lasts: None,
        };
        let mut one = Lists::open("firewall-drop", Kernel::probe()).unwrap();
        let mut other = Lists::open("block-ip", Kernel::probe()).unwrap();
        one.add(&[element]).unwrap();
        other.add(&[element]).unwrap();
        one.delete(&[address]).unwrap();
        assert_eq!(one.look_up(&[address]).unwrap(), [Found::Missing]);
        assert_eq!(other.look_up(&[address]).unwrap(), [Found::Endless]);
        let chain = tool("nft", &["list", "chain", "inet", "ripost", "block_ip"]);
        assert_eq!(chain.matches(" drop").count(), 2, "{chain}");
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
        assert_eq!((ran.code, ran.status()), (Some(1), "failed".into()));
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
        assert_eq!((ran.code, ran.status()), (Some(1), "failed".into()));
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
