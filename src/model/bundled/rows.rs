//! The table of the bundled executables.

use super::{
    Backend, Bundled, Effect, FIELD as FIELD_OPTION, Library, OptionSpec, TargetKind, ValueKind,
};

/// libnftnl and what it needs itself.
const NFTNL: &[Library] = &[
    Library {
        file: "libnftnl.so.11",
        package: "libnftnl11",
    },
    Library {
        file: "libmnl.so.0",
        package: "libmnl0",
    },
];

/// Of everything that acts on networks.
const IPV6_PREFIX: OptionSpec = OptionSpec {
    name: "--ipv6-prefix",
    value: ValueKind::Ipv6Prefix,
    required: false,
    about: "act on the network of this length around an IPv6 address, such as 64",
};

/// Of everything that blocks what it acts on.
const KEEP_CONNECTIONS: OptionSpec = OptionSpec {
    name: "--keep-connections",
    value: ValueKind::Switch,
    required: false,
    about: "let connections that are open already hang until they time out",
};

/// Of everything that calls a service.
const PROXY: OptionSpec = OptionSpec {
    name: "--proxy",
    value: ValueKind::Proxy,
    required: false,
    about: "call the service through this HTTP proxy, such as http://proxy.example:3128",
};

/// Of everything that calls a service.
const CA_FILE: OptionSpec = OptionSpec {
    name: "--ca-file",
    value: ValueKind::EtcFile,
    required: false,
    about: "trust the CAs in this PEM file below `etc` and not the system's",
};

/// Of everything that acts on addresses or networks.
const ADDRESS_FIELD: OptionSpec = OptionSpec {
    name: FIELD_OPTION,
    value: ValueKind::Field,
    required: false,
    about: "where the alert names the address, such as data.aws.sourceIPAddress; several in order",
};

/// Of everything that acts on users.
const USER_FIELD: OptionSpec = OptionSpec {
    name: FIELD_OPTION,
    value: ValueKind::Field,
    required: false,
    about: "where the alert names the user, such as data.srcuser; several in order",
};

/// As [`USER_FIELD`].
const MIN_UID: OptionSpec = OptionSpec {
    name: "--min-uid",
    value: ValueKind::Uid,
    required: false,
    about: "where the uids of people begin, instead of UID_MIN of /etc/login.defs",
};

/// Of everything that acts on something an alert may name elsewhere.
const FIELD: OptionSpec = OptionSpec {
    name: FIELD_OPTION,
    value: ValueKind::Field,
    required: false,
    about: "where the alert names it, such as data.file.path; several in order",
};

const ALLOW_SYSTEM: OptionSpec = OptionSpec {
    name: "--allow-system",
    value: ValueKind::Switch,
    required: false,
    about: "act in /bin, /boot, /etc, /lib*, /sbin and /usr too",
};

const REQUIRE_HASH: OptionSpec = OptionSpec {
    name: "--require-hash",
    value: ValueKind::Switch,
    required: false,
    about: "act only where the alert has a hash of the file",
};

const STORE: OptionSpec = OptionSpec {
    name: "--store",
    value: ValueKind::Path,
    required: false,
    about: "the folder for what is taken away, in place of queue/quarantine",
};

const PF_TABLE: OptionSpec = OptionSpec {
    name: "--table",
    value: ValueKind::OneOf(&["wazuh_fwtable", "ossec_fwtable"]),
    required: false,
    about: "the table that pf.conf blocks (without it: wazuh_fwtable)",
};

const KILL_PROCESS: &[OptionSpec] = &[
    OptionSpec {
        name: "--by",
        value: ValueKind::OneOf(&["pid", "exe", "user"]),
        required: false,
        about: "what names the processes: a number, a file that they run, or their user",
    },
    OptionSpec {
        name: FIELD_OPTION,
        value: ValueKind::Field,
        required: false,
        about: "where the alert names them; several in order",
    },
    OptionSpec {
        name: "--no-tree",
        value: ValueKind::Switch,
        required: false,
        about: "leave alone what they have started",
    },
    OptionSpec {
        name: "--signal",
        value: ValueKind::OneOf(&["TERM", "KILL"]),
        required: false,
        about: "only SIGTERM, or SIGKILL at once; without it KILL follows TERM after 3 s",
    },
    OptionSpec {
        name: "--system",
        value: ValueKind::Switch,
        required: false,
        about: "by user: allow the users of services (never root)",
    },
];

/// All of them, by name.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "block-ip",
        aliases: &[],
        about: "block an address or a network with the best that works on the host",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::NfTables, Backend::Iptables, Backend::Routes],
        effect: Effect::Kernel,
        reverts: true,
        serves: true,
        libraries: NFTNL,
    },
    Bundled {
        name: "cloudflare-ban",
        aliases: &[],
        about: "block an address or a network at Cloudflare, in front of a zone or an account",
        target: TargetKind::Network,
        options: &[
            OptionSpec {
                name: "--token-file",
                value: ValueKind::EtcFile,
                required: true,
                about: "the file below `etc` that holds the API token, readable for root alone",
            },
            OptionSpec {
                name: "--zone",
                value: ValueKind::CloudflareId,
                required: false,
                about: "block in front of this zone; either this or an account is needed",
            },
            OptionSpec {
                name: "--account",
                value: ValueKind::CloudflareId,
                required: false,
                about: "block in front of all zones of this account",
            },
            OptionSpec {
                name: "--api",
                value: ValueKind::Url,
                required: false,
                about: "where the API is, if not at https://api.cloudflare.com/client/v4",
            },
            ADDRESS_FIELD,
            IPV6_PREFIX,
            PROXY,
            CA_FILE,
        ],
        word: None,
        backends: &[Backend::Https],
        effect: Effect::Outside,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "delete-file",
        aliases: &[],
        about: "delete a file for good",
        target: TargetKind::File,
        options: &[ALLOW_SYSTEM, FIELD, REQUIRE_HASH, STORE],
        word: None,
        backends: &[Backend::Unlink],
        effect: Effect::File,
        reverts: false,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "disable-account",
        aliases: &[],
        about: "lock the password of a person's account",
        target: TargetKind::User,
        options: &[
            USER_FIELD,
            MIN_UID,
            OptionSpec {
                name: "--expire",
                value: ValueKind::Switch,
                required: false,
                about: "end the account too, which also keeps out who logs in with a key",
            },
            OptionSpec {
                name: "--end-sessions",
                value: ValueKind::Switch,
                required: false,
                about: "then end the sessions of the user, as end-sessions does",
            },
        ],
        word: None,
        backends: &[Backend::Shadow],
        effect: Effect::File,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "end-sessions",
        aliases: &[],
        about: "end all sessions of a person",
        target: TargetKind::User,
        options: &[USER_FIELD, MIN_UID],
        word: None,
        backends: &[Backend::Logind, Backend::Signals],
        effect: Effect::Kernel,
        reverts: false,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "firewall-drop",
        aliases: &[],
        about: "drop all packets from an address or a network",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX, KEEP_CONNECTIONS],
        word: None,
        backends: &[Backend::NfTables, Backend::Iptables],
        effect: Effect::Kernel,
        reverts: true,
        libraries: NFTNL,
        serves: true,
    },
    Bundled {
        name: "firewalld-drop",
        aliases: &[],
        about: "drop all packets from an address or a network, by firewalld",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::Firewalld],
        effect: Effect::Kernel,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "host-deny",
        aliases: &[],
        about: "deny an address in hosts.deny (tcp wrappers)",
        target: TargetKind::Address,
        options: &[ADDRESS_FIELD],
        word: None,
        backends: &[Backend::HostsDeny],
        effect: Effect::File,
        reverts: true,
        libraries: &[],
        serves: false,
    },
    Bundled {
        name: "ip-customblock",
        aliases: &[],
        about: "leave a file named after an address or a network, for other programs to see; it blocks nothing",
        target: TargetKind::Network,
        options: &[
            OptionSpec {
                name: "--directory",
                value: ValueKind::Path,
                required: false,
                about: "the folder of these files, in place of /ipblock",
            },
            ADDRESS_FIELD,
            IPV6_PREFIX,
        ],
        word: None,
        backends: &[Backend::Markers],
        effect: Effect::File,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "ipfw",
        aliases: &[],
        about: "deny an address or a network in ipfw (FreeBSD)",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::Ipfw],
        effect: Effect::Kernel,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "isolate-host",
        aliases: &[],
        about: "cut the host off from all but its manager, DHCP, its name servers and itself",
        target: TargetKind::Host,
        options: &[OptionSpec {
            name: "--no-dns",
            value: ValueKind::Switch,
            required: false,
            about: "cut it off from its name servers too",
        }],
        word: Some(
            "an address or a network that stays reachable; ADDRESS:PORT names a manager. The agent adds its own",
        ),
        backends: &[Backend::NfTables],
        effect: Effect::Kernel,
        reverts: true,
        libraries: NFTNL,
        serves: false,
    },
    Bundled {
        name: "kill-process",
        aliases: &[],
        about: "end a process with all that descend from it, or all of a file or a user",
        target: TargetKind::Process,
        options: KILL_PROCESS,
        word: None,
        backends: &[Backend::Signals],
        effect: Effect::Kernel,
        reverts: false,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "netsh",
        aliases: &[],
        about: "block an address or a network in the firewall of Windows",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::Netsh],
        effect: Effect::File,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "npf",
        aliases: &[],
        about: "block an address or a network in npf (NetBSD)",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::Npf],
        effect: Effect::Kernel,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "pf",
        aliases: &[],
        about: "block an address or a network in pf (OpenBSD, FreeBSD, macOS)",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX, PF_TABLE],
        word: None,
        backends: &[Backend::Pf],
        effect: Effect::Kernel,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "quarantine-file",
        aliases: &[],
        about: "move a file to where only root can get at it, until it is given back",
        target: TargetKind::File,
        options: &[ALLOW_SYSTEM, FIELD, REQUIRE_HASH, STORE],
        word: None,
        backends: &[Backend::Quarantine],
        effect: Effect::File,
        reverts: true,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "restart-service",
        aliases: &[],
        about: "restart a service and look whether it runs again",
        target: TargetKind::Service,
        options: &[OptionSpec {
            name: "--service",
            value: ValueKind::Service,
            required: true,
            about: "the service, such as nginx; none of Ripost's own",
        }],
        word: None,
        backends: &[Backend::Systemd, Backend::InitScripts],
        effect: Effect::Kernel,
        reverts: false,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "restart-wazuh",
        aliases: &["restart-ossec"],
        about: "restart the agent that runs this",
        target: TargetKind::Nothing,
        options: &[],
        word: None,
        backends: &[Backend::Systemd],
        effect: Effect::File,
        reverts: false,
        serves: false,
        libraries: &[],
    },
    Bundled {
        name: "route-null",
        aliases: &[],
        about: "answer nothing to an address or a network: no route leads there",
        target: TargetKind::Network,
        options: &[ADDRESS_FIELD, IPV6_PREFIX],
        word: None,
        backends: &[Backend::Routes, Backend::RouteTool],
        effect: Effect::Kernel,
        reverts: true,
        libraries: &[],
        serves: true,
    },
    Bundled {
        name: "slack",
        aliases: &["ossec-slack", "wazuh-slack"],
        about: "post a message about the alert in a Slack channel",
        target: TargetKind::Nothing,
        options: &[
            OptionSpec {
                name: "--hook-url-file",
                value: ValueKind::EtcFile,
                required: false,
                about: "the file below `etc` that holds the URL of the incoming webhook, readable for root alone",
            },
            PROXY,
            CA_FILE,
        ],
        word: Some(
            "the URL of the incoming webhook, as in 4.x; it is then in the configuration and in the log",
        ),
        backends: &[Backend::Https],
        effect: Effect::Outside,
        reverts: false,
        serves: false,
        libraries: &[],
    },
];
