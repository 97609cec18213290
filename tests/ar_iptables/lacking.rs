//! What an iptables may lack, and what is done without it.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use ripost::ar::iptables::{Before, Iptables};

use crate::netns::{reexec_in_namespace, run as tool, wait_for};
use crate::run::{Home, feed};
use crate::seccomp::{Lacks, on_a_kernel_without};
use crate::{
    ATTACKER, ATTACKER_6, FIREWALL_DROP, NF_TABLES, Scene, assert_done, assert_failed, order,
};

#[test]
fn each_thing_that_iptables_lacks_is_said_by_its_name() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let mut command = scene.net.command("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "active-response/bin/firewall-drop",
            ])
            .current_dir(scene.home.path());
        let command = on_a_kernel_without(NF_TABLES, command);
        let ran = feed(command, order("add", ATTACKER, "").as_bytes());
        assert_failed(&ran, 77, "use iptables-legacy: operation not permitted");
        assert!(ran.stderr.contains("CAP_NET_ADMIN"), "{ran:?}");

        let lacks = [Lacks::NfTables, Lacks::Ipv6];
        let ran = scene.add(FIREWALL_DROP, &lacks, ATTACKER_6);
        assert_failed(&ran, 71, "use ip6tables-legacy: this kernel has no IPv6");
        assert_done(
            &scene.add(FIREWALL_DROP, &lacks, ATTACKER),
            "applied",
            "iptables",
        );
        scene.delete(FIREWALL_DROP, &lacks, ATTACKER);

        let mut holder = Command::new("flock")
            .args(["--close", "/run/xtables.lock", "sleep", "100"])
            .spawn()
            .unwrap();
        wait_for("the lock is held", || {
            let test = Command::new("flock")
                .args(["--nonblock", "/run/xtables.lock", "true"])
                .status();
            !test.unwrap().success()
        });
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(
            &ran,
            75,
            "another program has held the lock of iptables for 5 s",
        );
        assert!(ran.stderr.contains("fuser /run/xtables.lock"), "{ran:?}");
        // And a revert is not told as done.
        let ran = scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, 75, "another program has held the lock");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(scene.net.tcp_arrives(ATTACKER));
    });
}

/// Puts a program before the real one that knows no table raw.
fn without_raw(name: &str) {
    let real = format!("/usr/sbin/{name}");
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = raw ] && {{\n  echo \"{name} v1.8.9 (legacy): can't initialize iptables table \\`raw': Table does not exist (do you need to insmod?)\" >&2; exit 3; }}\ndone\nexec {real} \"$@\"\n"
    );
    let path = format!("/usr/local/sbin/{name}");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_the_table_raw_the_table_filter_drops_what_comes_and_what_passes() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
        without_raw("iptables-legacy");
        without_raw("ip6tables-legacy");
        for (target, family) in [(ATTACKER, "iptables"), (ATTACKER_6, "ip6tables")] {
            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, target),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(target));
            let rules = scene.tool(&format!("{family}-legacy -S"));
            for hook in ["INPUT", "FORWARD"] {
                let call = format!("-A {hook} -j RIPOST-firewall-drop");
                assert!(rules.contains(&call), "{rules}");
            }
        }
        // Then the module for raw is loaded.
        tool("umount", &["/usr/local/sbin"]);
        scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        for target in [ATTACKER, ATTACKER_6] {
            assert_eq!(
                scene.delete(FIREWALL_DROP, NF_TABLES, target).status(),
                "reverted"
            );
            assert!(scene.net.tcp_arrives(target), "{target}");
        }
    });
}

/// Whether a datagram from this address gets through this host to itself.
fn passes(from: &str) -> bool {
    let from: IpAddr = from.parse().unwrap();
    let to = if from.is_ipv4() {
        "198.51.100.1"
    } else {
        "2001:db8:bad::1"
    };
    let receiver = UdpSocket::bind((to, 0)).unwrap();
    let wait = Duration::from_millis(100);
    receiver.set_read_timeout(Some(wait)).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    sender
        .send_to(b"x", receiver.local_addr().unwrap())
        .unwrap();
    receiver.recv(&mut [0; 8]).is_ok()
}

/// Whichever kind is there works, and the executables take back what either
/// has written.
#[test]
fn both_kinds_of_iptables_drop_and_let_pass_again() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        tool(
            "ip",
            &["route", "add", "local", "198.51.100.0/24", "dev", "lo"],
        );
        tool(
            "ip",
            &[
                "-6",
                "route",
                "add",
                "local",
                "2001:db8:bad::/48",
                "dev",
                "lo",
            ],
        );
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        for (program, other) in [
            ("iptables-legacy", "iptables-nft"),
            ("iptables-nft", "iptables-legacy"),
        ] {
            let path = fs::canonicalize(format!("/usr/sbin/{other}")).unwrap();
            let path = path.to_str().unwrap();
            for (target, attacker, bystander) in [
                (ATTACKER, ATTACKER, "198.51.100.8"),
                ("198.51.100.16/28", "198.51.100.31", "198.51.100.32"),
                (
                    "2001:db8:bad:1::/64",
                    "2001:db8:bad:1::9",
                    "2001:db8:bad::7",
                ),
            ] {
                let network = target.parse().unwrap();
                tool("mount", &["--bind", "/dev/null", path]);
                let mut iptables = Iptables::of(FIREWALL_DROP);
                assert!(passes(attacker), "{program}: {target}");
                for was_there in [false, true] {
                    let before = iptables.add(&[network]).remove(0).unwrap();
                    assert_eq!(has_dropped(before), was_there, "{program}: {target}");
                    assert!(!passes(attacker), "{program}: {target}");
                    assert!(passes(bystander), "{program}: {target}");
                }
                for was_there in [true, false] {
                    let before = iptables.delete(&[network]).remove(0).unwrap();
                    assert_eq!(has_dropped(before), was_there, "{program}: {target}");
                    assert!(passes(attacker), "{program}: {target}");
                }
                assert!(iptables.add(&[network])[0].is_ok());
                tool("umount", &[path]);
                let command = crate::run::direct(&home, FIREWALL_DROP);
                let ran = feed(command, order("delete", target, "").as_bytes());
                assert_done(&ran, "reverted", "iptables");
                assert!(passes(attacker), "{program}: {target}");
            }
        }
    });
}

/// Whether the packets of a network were dropped before, and some of them were.
fn has_dropped(before: Before) -> bool {
    match before {
        Before::There { hits } => {
            assert!(hits > 0);
            true
        }
        Before::Missing => false,
    }
}
