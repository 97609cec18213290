//! What would be run, for each back end. In a word, what stands in braces is
//! put in:
//!
//! | | of 192.0.2.7 | of 2001:db8::/32 |
//! |---|---|---|
//! | `{network}` | `192.0.2.7` | `2001:db8::/32` |
//! | `{cidr}` | `192.0.2.7/32` | `2001:db8::/32` |
//! | `{address}` | `192.0.2.7` | `2001:db8::` |
//! | `{mask}` | `255.255.255.255` | `ffff:ffff::` |
//! | `{family}` | `ipv4` | `ipv6` |
//! | `{inet}` | `-inet` | `-inet6` |
//! | `{kind}` | `-host` | `-net` |
//! | `{loopback}` | `127.0.0.1` | `::1` |
//! | `{table}` | what `--table` says | the same |
//!
//! The rules and tables are those of Wazuh 4.14 (pf.c, npf.c, ipfw.c, netsh.c,
//! route-null.c, firewalld-drop.c), so that what an administrator has prepared
//! for it goes on working; the arguments are, where those do what they should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::model::bundled::{Backend, Options, System};

/// The words behind the name of a program.
pub type Line = &'static [&'static str];

/// One way to block.
#[derive(Debug)]
pub struct Row {
    pub backend: Backend,
    pub systems: &'static [System],
    pub families: Families,
    pub program: &'static str,
    /// How one gets it.
    pub hint: &'static str,
    /// What must be there before.
    pub needs: &'static [Need],
    pub add: &'static [Line],
    pub delete: &'static [Line],
    /// It is in force if each finds what it looks for.
    pub query: &'static [Line],
    pub reading: Reading,
    pub mark: Mark,
}

/// Which addresses a row is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Families {
    Both,
    V4,
    V6,
}

/// Something that must be there before anything can be blocked.
#[derive(Debug)]
pub struct Need {
    pub ask: Line,
    /// Words next to each other in a line of the answer.
    pub says: &'static str,
    /// What makes it, where that does not change what the administrator wrote.
    pub make: &'static [Line],
    /// What to do where it cannot be made.
    pub hint: &'static str,
}

/// How the answer to a query is read.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// It is there if the program ends with 0, and not if with this.
    Status { missing: i32 },
    /// It is there if all of these stand in the answer, each in a line. A
    /// program that fails saying one of the others has not found it.
    Words {
        there: &'static [&'static str],
        missing: &'static [&'static str],
    },
}

/// How an entry of ours is told from one of the administrator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// By its name.
    Name,
    /// It is not, so we remember.
    Remembered,
}

const RICH_RULE: &str = "rule family={family} source address={network} drop";

const PF_HINT: &str = "add to /etc/pf.conf and load it by `pfctl -f /etc/pf.conf`: \
    table <{table}> persist; block in quick from <{table}> to any; \
    block out quick from any to <{table}>";

const NPF_HINT: &str = "add a table <wazuh_blacklist> and a rule that blocks from it to \
    /etc/npf.conf, then `npfctl reload` and `npfctl start`";

const IPFW_HINT: &str = "is the rule number 00001 free, and ipfw enabled?";

/// Of the base system, where it belongs.
const BASE: &str = "it is a part of the system; is that complete?";

const UNIX_ROUTE: &[System] = &[
    System::FreeBsd,
    System::MacOs,
    System::NetBsd,
    System::OpenBsd,
];

/// All of them.
pub const TABLE: &[Row] = &[
    Row {
        backend: Backend::Firewalld,
        systems: &[System::Linux],
        families: Families::Both,
        program: "firewall-cmd",
        hint: "Debian and Ubuntu: apt install firewalld",
        needs: &[],
        add: &[&["--add-rich-rule", RICH_RULE]],
        delete: &[&["--remove-rich-rule", RICH_RULE]],
        query: &[&["--query-rich-rule", RICH_RULE]],
        // firewall-cmd(1), exit codes; 252 is that firewalld does not run.
        reading: Reading::Status { missing: 1 },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::Ipfw,
        systems: &[System::FreeBsd],
        families: Families::Both,
        program: "ipfw",
        hint: BASE,
        needs: &[
            Need {
                ask: &["list"],
                says: "deny ip from table(1) to any",
                make: &[&[
                    "-q", "add", "00001", "deny", "ip", "from", "table(1)", "to", "any",
                ]],
                hint: IPFW_HINT,
            },
            Need {
                ask: &["list"],
                says: "deny ip from any to table(1)",
                make: &[&[
                    "-q", "add", "00001", "deny", "ip", "from", "any", "to", "table(1)",
                ]],
                hint: IPFW_HINT,
            },
        ],
        add: &[&["-q", "table", "1", "add", "{network}"]],
        delete: &[&["-q", "table", "1", "delete", "{network}"]],
        // It prints the entry that it has found, which may be a wider one.
        query: &[&["table", "1", "lookup", "{network}"]],
        reading: Reading::Words {
            there: &["{cidr}"],
            missing: &["not found"],
        },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::Netsh,
        systems: &[System::Windows],
        families: Families::Both,
        program: "netsh",
        hint: BASE,
        needs: &[],
        add: &[
            &[
                "advfirewall",
                "firewall",
                "add",
                "rule",
                "name=RIPOST in {cidr}",
                "interface=any",
                "dir=in",
                "action=block",
                "remoteip={cidr}",
            ],
            &[
                "advfirewall",
                "firewall",
                "add",
                "rule",
                "name=RIPOST out {cidr}",
                "interface=any",
                "dir=out",
                "action=block",
                "remoteip={cidr}",
            ],
        ],
        delete: &[
            &[
                "advfirewall",
                "firewall",
                "delete",
                "rule",
                "name=RIPOST in {cidr}",
            ],
            &[
                "advfirewall",
                "firewall",
                "delete",
                "rule",
                "name=RIPOST out {cidr}",
            ],
        ],
        // Its words are in the language of the host, its status is not.
        query: &[
            &[
                "advfirewall",
                "firewall",
                "show",
                "rule",
                "name=RIPOST in {cidr}",
            ],
            &[
                "advfirewall",
                "firewall",
                "show",
                "rule",
                "name=RIPOST out {cidr}",
            ],
        ],
        reading: Reading::Status { missing: 1 },
        mark: Mark::Name,
    },
    Row {
        backend: Backend::Npf,
        systems: &[System::NetBsd],
        families: Families::Both,
        program: "npfctl",
        hint: BASE,
        needs: &[
            Need {
                ask: &["show"],
                says: "filtering: active",
                make: &[],
                hint: NPF_HINT,
            },
            Need {
                ask: &["show"],
                says: "table <wazuh_blacklist>",
                make: &[],
                hint: NPF_HINT,
            },
        ],
        add: &[&["table", "wazuh_blacklist", "add", "{network}"]],
        delete: &[&["table", "wazuh_blacklist", "del", "{network}"]],
        query: &[&["table", "wazuh_blacklist", "test", "{network}"]],
        reading: Reading::Words {
            there: &[],
            missing: &["not found"],
        },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::Pf,
        systems: &[System::FreeBsd, System::MacOs, System::OpenBsd],
        families: Families::Both,
        program: "pfctl",
        hint: BASE,
        needs: &[
            Need {
                ask: &["-s", "info"],
                says: "Status: Enabled",
                make: &[],
                hint: "enable it by `pfctl -e`",
            },
            Need {
                ask: &["-s", "rules"],
                says: "from <{table}> to any",
                make: &[],
                hint: PF_HINT,
            },
        ],
        // The second ends what is open already.
        add: &[
            &["-t", "{table}", "-T", "add", "{network}"],
            &["-k", "{network}"],
        ],
        delete: &[&["-t", "{table}", "-T", "delete", "{network}"]],
        query: &[&["-t", "{table}", "-T", "test", "{network}"]],
        // pfctl_table.c: 2 if not all of them match.
        reading: Reading::Status { missing: 2 },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::RouteTool,
        systems: UNIX_ROUTE,
        families: Families::Both,
        program: "route",
        hint: BASE,
        needs: &[],
        add: &[&[
            "-q",
            "add",
            "{inet}",
            "{kind}",
            "{network}",
            "{loopback}",
            "-blackhole",
        ]],
        delete: &[&[
            "-q",
            "delete",
            "{inet}",
            "{kind}",
            "{network}",
            "{loopback}",
            "-blackhole",
        ]],
        query: &[&["-n", "get", "{inet}", "{kind}", "{network}"]],
        reading: Reading::Words {
            there: &["destination: {address}", "BLACKHOLE"],
            missing: &["not in table", "has not been found", "No such process"],
        },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::RouteTool,
        systems: &[System::Windows],
        families: Families::V4,
        program: "route",
        hint: BASE,
        needs: &[],
        // Interface 1 is the loopback; by way of the gateway, as 4.x does it,
        // packets would go out as before.
        add: &[&[
            "-p",
            "ADD",
            "{address}",
            "MASK",
            "{mask}",
            "0.0.0.0",
            "IF",
            "1",
        ]],
        delete: &[&["DELETE", "{address}", "MASK", "{mask}", "0.0.0.0"]],
        query: &[&["PRINT", "-4", "{address}"]],
        reading: Reading::Words {
            there: &["{address} {mask}"],
            missing: &[],
        },
        mark: Mark::Remembered,
    },
    Row {
        backend: Backend::RouteTool,
        systems: &[System::Windows],
        families: Families::V6,
        program: "route",
        hint: BASE,
        needs: &[],
        add: &[&["-p", "ADD", "{cidr}", "::", "IF", "1"]],
        delete: &[&["DELETE", "{cidr}", "::"]],
        query: &[&["PRINT", "-6", "{address}"]],
        reading: Reading::Words {
            there: &["{cidr}"],
            missing: &[],
        },
        mark: Mark::Remembered,
    },
];

/// The row for a target on a system, if there is one.
pub(super) fn row(backend: Backend, system: System, target: IpNetwork) -> Option<&'static Row> {
    TABLE.iter().find(|row| {
        let is_for = match row.families {
            Families::Both => true,
            Families::V4 => target.is_ipv4(),
            Families::V6 => target.is_ipv6(),
        };
        row.backend == backend && row.systems.contains(&system) && is_for
    })
}

/// Puts in what stands in braces.
pub(super) fn fill(word: &str, target: IpNetwork, options: &Options) -> String {
    if !word.contains('{') {
        return word.to_owned();
    }
    let is_host = usize::from(target.prefix()) == 8 * octets(target.ip());
    let address = target.network();
    let cidr = format!("{address}/{}", target.prefix());
    let (family, inet, loopback): (_, _, IpAddr) = match target {
        IpNetwork::V4(_) => ("ipv4", "-inet", Ipv4Addr::LOCALHOST.into()),
        IpNetwork::V6(_) => ("ipv6", "-inet6", Ipv6Addr::LOCALHOST.into()),
    };
    let network = if is_host {
        address.to_string()
    } else {
        cidr.clone()
    };
    let kind = if is_host { "-host" } else { "-net" };
    [
        ("{network}", network.as_str()),
        ("{cidr}", &cidr),
        ("{address}", &address.to_string()),
        ("{mask}", &target.mask().to_string()),
        ("{family}", family),
        ("{inet}", inet),
        ("{kind}", kind),
        ("{loopback}", &loopback.to_string()),
        ("{table}", options.get("--table").unwrap_or(PF_TABLE)),
    ]
    .iter()
    .fold(word.to_owned(), |word, (name, value)| {
        word.replace(name, value)
    })
}

/// Where `--table` does not say another.
const PF_TABLE: &str = "wazuh_fwtable";

fn octets(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}
