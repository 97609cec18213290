//! The executables with their effect: packets that no longer arrive and arrive
//! again, and what stands in hosts.deny. Every test has namespaces of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[path = "support/netns.rs"]
mod netns;
#[path = "support/run.rs"]
mod run;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use netns::{Netns, reexec_in_namespace, run as tool, wait_for};
use ripost::sys::nft::{Element, Found, Kernel, Lists};
use run::{
    FIREWALL_DROP, HOST_DENY, Home, ROUTE_NULL, Ran, add, direct, feed, message, under_execd,
    with_alert,
};

const ATTACKER: &str = "198.51.100.7";

fn on_server(net: &Netns, home: &Home, name: &str) -> Command {
    let mut command = net.command(&format!("active-response/bin/{name}"));
    command.current_dir(home.path());
    command
}

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

const HOSTS_DENY: &str = "/etc/hosts.deny";

/// Covers `/etc` with an empty file system that holds this many bytes.
fn own_etc(size: &str) {
    tool(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            &format!("size={size}"),
            "tmpfs",
            "/etc",
        ],
    );
}

fn deny(home: &Home, address: &str) -> Ran {
    feed(direct(home, HOST_DENY), &add(address, "{}"))
}

fn allow(home: &Home, address: &str) -> Ran {
    feed(
        direct(home, HOST_DENY),
        message("delete", address).as_bytes(),
    )
}

fn hosts_deny() -> String {
    fs::read_to_string(HOSTS_DENY).unwrap()
}

/// Nothing of a run may lie about.
fn assert_tidy(home: &Home) {
    let left = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("ripost") || name.contains("saved"))
            .collect()
    };
    assert_eq!(left("/etc"), BTreeSet::new());
    assert_eq!(left(home.file("queue").to_str().unwrap()), BTreeSet::new());
}

#[test]
fn an_address_is_denied_and_allowed_again() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let ran = deny(&home, "198.51.100.7");
        assert_eq!(
            (ran.code, ran.status()),
            (Some(0), "applied".into()),
            "{ran:?}"
        );
        assert_eq!(deny(&home, "2001:0DB8::10").status(), "applied");
        let both = "# ripost host-deny: 198.51.100.7\nALL: 198.51.100.7\n# ripost host-deny: 2001:db8::10\nALL: [2001:db8::10]\n";
        assert_eq!(hosts_deny(), both);
        assert_eq!(fs::metadata(HOSTS_DENY).unwrap().mode() & 0o777, 0o644);

        let ran = deny(&home, "::ffff:198.51.100.7");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".into()));
        assert_eq!(ran.result()["detail"], "was in force already");
        assert_eq!(hosts_deny(), both);

        assert_eq!(allow(&home, "198.51.100.7").status(), "reverted");
        assert_eq!(allow(&home, "198.51.100.7").status(), "absent");
        assert_eq!(allow(&home, "2001:db8::10").status(), "reverted");
        assert_eq!(hosts_deny(), "");
        assert_tidy(&home);
    });
}

#[test]
fn what_the_administrator_wrote_stays_byte_for_byte() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let own = b"# keep 192.0.2.1\r\nALL:192.0.2.10\nALL: 192.0.2.11\nodd \xff ::\nno newline";
        fs::write(HOSTS_DENY, own).unwrap();
        fs::set_permissions(HOSTS_DENY, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(deny(&home, "192.0.2.1").status(), "applied");
        let ran = deny(&home, "192.0.2.10");
        assert_eq!((ran.code, ran.status()), (Some(0), "already".into()));
        assert!(ran.result()["detail"].as_str().unwrap().contains("line 2"));
        assert_eq!(allow(&home, "192.0.2.10").status(), "absent");
        assert_eq!(allow(&home, "192.0.2.1").status(), "reverted");
        assert_eq!(
            fs::read(HOSTS_DENY).unwrap(),
            [own.as_slice(), b"\n"].concat()
        );
        assert_eq!(fs::metadata(HOSTS_DENY).unwrap().mode() & 0o777, 0o640);
    });
}

#[test]
fn a_mounted_file_is_rewritten_and_a_symlink_followed() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let real = home.file("real");
        fs::write(&real, "ALL: a\nALL: b\n").unwrap();
        symlink(&real, HOSTS_DENY).unwrap();
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        assert!(fs::symlink_metadata(HOSTS_DENY).unwrap().is_symlink());
        assert!(
            fs::read_to_string(&real)
                .unwrap()
                .contains("ALL: 198.51.100.7\n")
        );
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        fs::remove_file(HOSTS_DENY).unwrap();

        fs::write(HOSTS_DENY, "").unwrap();
        tool("mount", &["--bind", real.to_str().unwrap(), HOSTS_DENY]);
        let before = fs::metadata(&real).unwrap().ino();
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        assert!(
            fs::read_to_string(&real)
                .unwrap()
                .contains("ALL: 198.51.100.7\n")
        );
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        assert_eq!(fs::read_to_string(&real).unwrap(), "ALL: a\nALL: b\n");
        assert_eq!(fs::metadata(&real).unwrap().ino(), before);
        assert_tidy(&home);
    });
}

#[test]
fn a_file_that_cannot_be_written_is_left_whole() {
    reexec_in_namespace(|| {
        own_etc("32k");
        let home = Home::new();
        let failed = |ran: Ran, words: &str| {
            assert_eq!(
                (ran.code, ran.status()),
                (Some(1), "failed".into()),
                "{ran:?}"
            );
            assert!(ran.stderr.contains(words), "{ran:?}");
            assert!(
                home.log().last().unwrap().contains(words),
                "{:?}",
                home.log()
            );
            assert_eq!(hosts_deny(), "ALL: a\n");
            assert_tidy(&home);
        };
        fs::write(HOSTS_DENY, "ALL: a\n").unwrap();
        // A full disk.
        fs::write("/etc/filler", "").unwrap();
        while fs::OpenOptions::new()
            .append(true)
            .open("/etc/filler")
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[b'x'; 4096]))
            .is_ok()
        {}
        failed(deny(&home, ATTACKER), "No space left on device");
        fs::remove_file("/etc/filler").unwrap();
        // A file mounted read-only.
        tool("mount", &["--bind", HOSTS_DENY, HOSTS_DENY]);
        tool("mount", &["-o", "remount,bind,ro", HOSTS_DENY]);
        failed(deny(&home, ATTACKER), "Read-only file system");
        tool("umount", &[HOSTS_DENY]);
        assert_eq!(deny(&home, ATTACKER).status(), "applied");
        fs::remove_file(HOSTS_DENY).unwrap();
        symlink("/nowhere/else", HOSTS_DENY).unwrap();
        let ran = deny(&home, ATTACKER);
        assert_eq!((ran.code, ran.status()), (Some(1), "failed".into()));
        let log = home.log();
        assert!(
            log.last()
                .unwrap()
                .contains("Could not open file '/etc/hosts.deny'"),
            "{log:?}"
        );
    });
}

#[test]
fn a_full_file_system_of_a_mounted_file_loses_nothing() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        let disk = home.file("disk");
        fs::create_dir(&disk).unwrap();
        tool(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=8k",
                "tmpfs",
                disk.to_str().unwrap(),
            ],
        );
        // Two pages with room for a part of the entry.
        let text = format!("#{}\n", "x".repeat(8170));
        fs::write(disk.join("file"), &text).unwrap();
        fs::write(HOSTS_DENY, "").unwrap();
        tool(
            "mount",
            &["--bind", disk.join("file").to_str().unwrap(), HOSTS_DENY],
        );
        let ran = deny(&home, ATTACKER);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(1), "failed".into()),
            "{ran:?}"
        );
        assert_eq!(hosts_deny(), text);
        assert_tidy(&home);
    });
}

#[test]
fn parallel_denials_all_take_effect_and_a_large_file_is_no_obstacle() {
    reexec_in_namespace(|| {
        own_etc("64m");
        let home = Home::new();
        let text = "ALL: 203.0.113.1 : deny\n".repeat(100_000);
        fs::write(HOSTS_DENY, &text).unwrap();
        let addresses: Vec<String> = (1..=20).map(|n| format!("198.51.100.{n}")).collect();
        let all = |one: fn(&Home, &str) -> Ran, status: &str| {
            std::thread::scope(|scope| {
                for address in &addresses {
                    scope.spawn(|| assert_eq!(one(&home, address).status(), status));
                }
            });
        };
        all(deny, "applied");
        assert_eq!(hosts_deny().lines().count(), 100_040);
        all(allow, "reverted");
        assert_eq!(hosts_deny(), text);
        assert_tidy(&home);
    });
}

#[test]
fn a_lock_ends_with_its_holder_and_nothing_else_is_one() {
    reexec_in_namespace(|| {
        own_etc("1m");
        let home = Home::new();
        // What 4.x would wait for, 20 minutes.
        fs::create_dir(home.file("active-response/bin/host-deny-lock")).unwrap();
        fs::create_dir(home.file("active-response/bin/fw-drop")).unwrap();
        fs::create_dir(home.file("queue")).unwrap();
        let mut holder = Command::new("flock")
            .args(["--close", "queue/host-deny.lock", "sleep", "100"])
            .current_dir(home.path())
            .spawn()
            .unwrap();
        wait_for("the lock is held", || {
            let test = Command::new("flock")
                .args(["--nonblock", "queue/host-deny.lock", "true"])
                .current_dir(home.path())
                .status();
            !test.unwrap().success()
        });
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| deny(&home, ATTACKER));
            wait_for("the run has got to the lock", || {
                home.log().iter().any(|line| line.contains("check_keys"))
            });
            assert!(!fs::exists(HOSTS_DENY).unwrap());
            holder.kill().unwrap();
            holder.wait().unwrap();
            let end = Instant::now() + Duration::from_secs(2);
            assert_eq!(waiting.join().unwrap().status(), "applied");
            assert!(Instant::now() < end);
        });
        let start = Instant::now();
        assert_eq!(allow(&home, ATTACKER).status(), "reverted");
        assert!(start.elapsed() < Duration::from_secs(2));
    });
}

/// An order for route-null, with these `extra_args`.
fn null(net: &Netns, home: &Home, command: &str, target: &str, args: &str) -> Ran {
    let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
    let line = with_alert(command, &alert).replace(r#""extra_args":[]"#, args);
    let input = match command {
        "add" => line + &run::answer("continue", "{}"),
        _ => line,
    };
    feed(on_server(net, home, ROUTE_NULL), input.as_bytes())
}

const NO_ARGS: &str = r#""extra_args":[]"#;
const BY_64: &str = r#""extra_args":["--ipv6-prefix","64"]"#;

#[test]
fn answers_to_a_null_route_go_nowhere_until_it_is_taken_away() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for (target, args, key, attacker, bystander) in [
            (ATTACKER, NO_ARGS, ATTACKER, ATTACKER, "198.51.100.8"),
            (
                "198.51.100.9/29",
                NO_ARGS,
                "198.51.100.8/29",
                "198.51.100.15",
                "198.51.100.16",
            ),
            (
                "2001:db8:bad::7",
                NO_ARGS,
                "2001:db8:bad::7",
                "2001:db8:bad::7",
                "2001:db8:bad::8",
            ),
            (
                "2001:db8:bad:1::7",
                BY_64,
                "2001:db8:bad:1::/64",
                "2001:db8:bad:1:ffff::1",
                "2001:db8:bad:2::1",
            ),
        ] {
            assert!(net.tcp_arrives(attacker), "{target}");
            let ran = null(&net, &home, "add", target, args);
            assert_eq!(
                (ran.code, ran.status()),
                (Some(0), "applied".into()),
                "{ran:?}"
            );
            assert!(ran.stdout[0].contains(&format!(r#"["{key}"]"#)), "{ran:?}");
            assert_eq!(ran.result()["backend"], "routes");
            assert!(!net.tcp_arrives(attacker), "{target}");
            assert!(net.tcp_arrives(bystander), "{target}");
            // It stops answers only.
            assert!(net.udp_arrives(attacker), "{target}");

            let again = null(&net, &home, "add", target, args);
            assert_eq!(again.result()["detail"], "was in force already");
            for status in ["reverted", "absent"] {
                let ran = null(&net, &home, "delete", target, args);
                assert_eq!(
                    (ran.code, ran.status()),
                    (Some(0), status.into()),
                    "{target}"
                );
            }
            assert!(net.tcp_arrives(attacker), "{target}");
        }
    });
}

#[test]
fn a_route_of_the_administrator_gives_way_and_comes_back() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let routes = |family: &str| {
            let mut command = net.command("ip");
            command.args([family, "route", "show"]);
            feed(command, b"").stdout
        };
        for (family, target, via) in [
            ("-4", ATTACKER, "192.0.2.254"),
            ("-6", "2001:db8:bad::7", "2001:db8::fe"),
        ] {
            let mut command = net.command("ip");
            command.args([family, "route", "add", target, "via", via]);
            assert_eq!(feed(command, b"").code, Some(0));
            let before = routes(family);
            assert!(
                before.iter().any(|route| route.starts_with(target)),
                "{before:?}"
            );
            let ran = null(&net, &home, "add", target, NO_ARGS);
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert!(!net.tcp_arrives(target));
            assert_eq!(
                null(&net, &home, "delete", target, NO_ARGS).status(),
                "reverted"
            );
            assert_eq!(routes(family), before);
            assert!(net.tcp_arrives(target));
            // What is not ours is not taken away.
            assert_eq!(
                null(&net, &home, "delete", target, NO_ARGS).status(),
                "absent"
            );
            assert_eq!(routes(family), before);
        }
    });
}

#[test]
fn a_null_route_that_another_one_overrules_is_no_success() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for line in [
            "route add default via 192.0.2.254 table 99",
            "rule add pref 5 table 99",
        ] {
            let mut command = net.command("ip");
            command.args(line.split(' '));
            assert_eq!(feed(command, b"").code, Some(0));
        }
        let ran = null(&net, &home, "add", ATTACKER, NO_ARGS);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(1), "failed".into()),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("ip rule"), "{ran:?}");
        let mut command = net.command("ip");
        command.args(["route", "show", "proto", "165"]);
        assert_eq!(feed(command, b"").stdout, [] as [&str; 0]);
    });
}
