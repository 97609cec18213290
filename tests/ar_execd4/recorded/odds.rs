//! Hosts that lack something, or have something in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::{
    DELETED, Differs, Seen, ended, none, objection, order, refused, reset, show, stopped, with_data,
};
use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::direct;
use crate::{fresh, home, nft, read};

/// What else was recorded, each in a scene of its own.
struct Odd {
    name: &'static str,
    executable: &'static str,
    args: &'static [&'static str],
    scene: fn(),
    path: Option<&'static str>,
    command: &'static str,
    address: &'static str,
    seen: Seen,
    differs: Option<Differs>,
    /// Whether the host is then as it should be, and why.
    holds: fn() -> bool,
}

const ODD: Odd = Odd {
    name: "",
    executable: "host-deny",
    args: &[],
    scene: || {},
    path: None,
    command: "add",
    address: "192.0.2.1",
    seen: ended("192.0.2.1"),
    differs: None,
    holds: || true,
};

fn hosts_deny(text: &str) {
    fs::write("/etc/hosts.deny", text).unwrap();
}

/// Whether libwrap would refuse this address: a line of its own names it.
fn denies(address: &str) -> bool {
    read("/etc/hosts.deny").lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let Some((daemons, clients)) = line.split_once(':') else {
            return false;
        };
        daemons.trim() == "ALL" && clients.trim().trim_matches(['[', ']']) == address
    })
}

fn without_firewall_cmd() {
    fs::remove_file("/usr/local/sbin/firewall-cmd").unwrap();
}

fn with_broken_firewall_cmd() {
    let path = "/usr/local/sbin/firewall-cmd";
    fs::write(path, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

const MINE: &str = "# keep 192.0.2.1\nALL:192.0.2.10\nALL:192.0.2.11\nALL:192.0.2.1\n";

/// 4.x looks for iptables in PATH.
const NO_IPTABLES: Odd = Odd {
    name: "no PATH",
    executable: "firewall-drop",
    path: Some(""),
    seen: Seen {
        status: 0,
        ..stopped(
            "192.0.2.1",
            "The iptables file 'iptables' is not accessible",
        )
    },
    differs: Some(Differs {
        ours: ended("192.0.2.1"),
        why: "it needs no tool, and 4.x says 0 where nothing was done",
    }),
    holds: || nft().contains("192.0.2.1"),
    ..ODD
};

const ODDS: &[Odd] = &[
    Odd {
        name: "another address begins with it",
        scene: || hosts_deny("ALL:192.0.2.10\n"),
        seen: stopped("192.0.2.1", "IP 192.0.2.1 already exists"),
        differs: Some(Differs {
            ours: ended("192.0.2.1"),
            why: "an address is not a part of another",
        }),
        holds: || denies("192.0.2.1") && denies("192.0.2.10"),
        ..ODD
    },
    Odd {
        name: "a delete of what others contain",
        scene: || hosts_deny(MINE),
        command: "delete",
        seen: DELETED,
        // 4.x has taken every line with the text in it, comments included.
        holds: || read("/etc/hosts.deny") == MINE,
        ..ODD
    },
    Odd {
        name: "a last line without its end",
        scene: || hosts_deny("ALL:192.0.2.10"),
        // 4.x has put both on one line, so that neither was denied.
        holds: || denies("192.0.2.1") && denies("192.0.2.10"),
        ..ODD
    },
    Odd {
        name: "no hosts.deny",
        scene: || fs::remove_file("/etc/hosts.deny").unwrap(),
        seen: stopped("192.0.2.1", "Could not open file '/etc/hosts.deny'"),
        differs: Some(Differs {
            ours: ended("192.0.2.1"),
            why: "a host without the file denies nobody yet, and can from now on",
        }),
        holds: || denies("192.0.2.1"),
        ..ODD
    },
    Odd {
        name: "a delete without hosts.deny",
        scene: || fs::remove_file("/etc/hosts.deny").unwrap(),
        command: "delete",
        seen: refused("Could not open file '/etc/hosts.deny'"),
        differs: Some(Differs {
            ours: DELETED,
            why: "what is not there need not be taken back",
        }),
        holds: || !fs::exists("/etc/hosts.deny").unwrap(),
        ..ODD
    },
    Odd {
        name: "a link to it, with a mode of its own",
        scene: || {
            fs::rename("/etc/hosts.deny", "/etc/deny").unwrap();
            fs::set_permissions("/etc/deny", PermissionsExt::from_mode(0o640)).unwrap();
            symlink("deny", "/etc/hosts.deny").unwrap();
        },
        holds: || {
            let mode = fs::metadata("/etc/deny").unwrap().mode() & 0o777;
            let is_link = fs::symlink_metadata("/etc/hosts.deny")
                .unwrap()
                .is_symlink();
            denies("192.0.2.1") && mode == 0o640 && is_link
        },
        ..ODD
    },
    Odd {
        name: "no firewall-cmd",
        executable: "firewalld-drop",
        scene: without_firewall_cmd,
        seen: stopped(
            "192.0.2.1",
            "The firewall-cmd file 'firewall-cmd' is not accessible",
        ),
        differs: Some(Differs {
            ours: Seen {
                status: 69,
                ..stopped(
                    "192.0.2.1",
                    "The firewall-cmd file 'firewall-cmd' is not accessible",
                )
            },
            why: "the status says that a tool is missing",
        }),
        ..ODD
    },
    Odd {
        name: "a firewall-cmd that fails",
        executable: "firewalld-drop",
        scene: with_broken_firewall_cmd,
        differs: Some(Differs {
            ours: Seen {
                status: 1,
                ..stopped("192.0.2.1", "failed to ")
            },
            why: "what the firewall has refused is not done",
        }),
        ..ODD
    },
    NO_IPTABLES,
    Odd {
        name: "a PATH that leads nowhere",
        path: Some("/nonexistent"),
        ..NO_IPTABLES
    },
    Odd {
        name: "no PATH for a route",
        executable: "route-null",
        path: Some(""),
        // 4.x has done nothing.
        holds: || tool("ip", &["route", "show", "proto", "165"]).contains("192.0.2.1"),
        ..ODD
    },
    Odd {
        name: "pf on Linux",
        executable: "pf",
        differs: Some(Differs {
            ours: Seen {
                status: 71,
                ..stopped("192.0.2.1", "Invalid system")
            },
            why: "0 would say that it is blocked",
        }),
        ..ODD
    },
    Odd {
        name: "ipfw on Linux",
        executable: "ipfw",
        differs: Some(Differs {
            ours: Seen {
                status: 71,
                ..stopped("192.0.2.1", "Invalid system")
            },
            why: "0 would say that it is blocked",
        }),
        ..ODD
    },
    Odd {
        name: "npf on Linux",
        executable: "npf",
        seen: stopped("192.0.2.1", "The NPFCTL is not accessible"),
        differs: Some(Differs {
            ours: Seen {
                status: 71,
                ..stopped("192.0.2.1", "Invalid system")
            },
            why: "it says what is wrong, and in the status too",
        }),
        ..ODD
    },
    Odd {
        name: "a message without a hook",
        executable: "wazuh-slack",
        seen: refused("Cannot read 'extra_args' from data"),
        ..ODD
    },
];

#[test]
fn what_else_was_recorded_is_the_same_or_differs_for_a_reason() {
    reexec_in_namespace(|| {
        let mut objections = Vec::new();
        for odd in ODDS {
            fresh();
            reset();
            (odd.scene)();
            let home = home();
            let data = format!(r#"{{"srcip":"{}"}}"#, odd.address);
            let first = order(odd.command, &with_data(&data, odd.args));
            let input = [first, order("continue", "{}")].concat();
            let mut command = direct(&home, odd.executable);
            match odd.path {
                None => {}
                Some("") => drop(command.env_remove("PATH")),
                Some(path) => drop(command.env("PATH", path)),
            }
            let shown = show(&home, command, &input, odd.executable);
            let wanted = odd
                .differs
                .as_ref()
                .map_or(odd.seen, |differs| differs.ours);
            objections.extend(objection(odd.name, &shown, wanted));
            if !(odd.holds)() {
                objections.push(format!("{}: the host is not as it should be", odd.name));
            }
            assert!(
                odd.differs
                    .as_ref()
                    .is_none_or(|differs| !differs.why.is_empty())
            );
        }
        none(objections);
    });
}

/// One belongs to another product, and one is a copy that is never named.
#[test]
fn all_of_4_x_but_two_are_bundled() {
    const OF_4_X: &[&str] = &[
        "default-firewall-drop",
        "disable-account",
        "firewall-drop",
        "firewalld-drop",
        "host-deny",
        "ip-customblock",
        "ipfw",
        "kaspersky",
        "npf",
        "pf",
        "restart-wazuh",
        "route-null",
        "wazuh-slack",
    ];
    let is_here = |name: &&&str| ripost::model::bundled::find(name).is_some();
    let missing: Vec<_> = OF_4_X.iter().filter(|name| !is_here(name)).collect();
    assert_eq!(missing, [&"default-firewall-drop", &"kaspersky"]);
}
