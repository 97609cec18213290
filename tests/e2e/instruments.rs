//! What the other tests measure with, tried on what is known.

use std::process::Command;
use std::time::Duration;

use crate::support::alert::Alert;
use crate::support::clock::{Machine, WallClock};
use crate::support::home::Home;
use crate::support::isolation::isolated;
use crate::support::net::{Net, address};

#[test]
fn packets_arrive_until_the_kernel_drops_them() {
    isolated(|| {
        let net = Net::new();
        let attackers = ["203.0.113.9", "198.51.100.7", "2001:db8:bad::9"].map(address);
        assert_eq!(net.probe(&attackers), [true, true, true]);

        net.server("nft", &["add", "table", "inet", "ripost"]);
        net.server(
            "nft",
            &[
                "add",
                "chain",
                "inet",
                "ripost",
                "c",
                "{ type filter hook prerouting priority raw; }",
            ],
        );
        for rule in ["ip saddr 203.0.113.9", "ip6 saddr 2001:db8:bad::9"] {
            net.server(
                "nft",
                &[
                    "add",
                    "rule",
                    "inet",
                    "ripost",
                    "c",
                    &format!("{rule} drop"),
                ],
            );
        }
        assert_eq!(net.probe(&attackers), [false, true, false]);
        assert!(net.in_table("203.0.113.9"));
        assert!(!net.in_table("203.0.113.90"));

        net.server("nft", &["delete", "table", "inet", "ripost"]);
        net.wait_open("203.0.113.9", Duration::from_secs(1));
        assert_eq!(net.table(), "");
    });
}

#[test]
fn the_wall_clock_of_a_program_moves_while_it_runs() {
    isolated(|| {
        let home = Home::empty();
        let clock = WallClock::new(&home);
        let hour = || -> i64 {
            let mut date = clock.applied_to(Command::new("date"));
            let output = date.arg("+%s").output().unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        };
        let before = hour();
        clock.set(7 * 3600);
        let later = hour() - before - 7 * 3600;
        assert!((0..5).contains(&later), "{later}");
        clock.set(-7 * 3600);
        let earlier = hour() - before + 7 * 3600;
        assert!((0..5).contains(&earlier), "{earlier}");
    });
}

#[test]
fn a_reboot_changes_boot_id_boot_time_and_ruleset() {
    isolated(|| {
        let net = Net::new();
        let home = Home::empty();
        let mut machine = Machine::new();
        let see = |machine: &Machine, path: &str| -> String {
            let mut cat = machine.on_server(&net);
            let output = cat.args(["cat", path]).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let uptime = |machine: &Machine| -> f64 {
            let text = see(machine, "/proc/uptime");
            text.split(' ').next().unwrap().parse().unwrap()
        };
        let first = see(&machine, "/proc/sys/kernel/random/boot_id");
        net.server("nft", &["add", "table", "inet", "ripost"]);

        for _ in 0..2 {
            machine.reboot(&net, &home);
            assert!(uptime(&machine) < 15.0);
            assert_eq!(net.table(), "");
        }
        let second = see(&machine, "/proc/sys/kernel/random/boot_id");
        assert_ne!(first, second);
        assert_eq!(second.trim().len(), 36);
    });
}

#[test]
fn alerts_have_the_shape_of_wazuh() {
    for alert in [Alert::sshd("203.0.113.9"), Alert::web("2001:db8:bad::9")] {
        let line = alert.line();
        assert!(line.starts_with(r#"{"timestamp":"2026-"#) && line.ends_with("}\n"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["rule"]["id"], alert.rule.as_str());
        assert_eq!(read["data"]["srcip"], alert.data["srcip"]);
    }
}
