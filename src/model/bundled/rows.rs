//! The table of the bundled executables.

use super::{Backend, Bundled, Effect, Library, OptionSpec, TargetKind, ValueKind};

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

/// All of them, by name.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "block-ip",
        aliases: &[],
        about: "block an address or a network with the best that works on the host",
        target: TargetKind::Network,
        options: &[IPV6_PREFIX],
        word: None,
        backends: &[Backend::NfTables, Backend::Iptables, Backend::Routes],
        effect: Effect::Kernel,
        reverts: true,
        libraries: NFTNL,
    },
    Bundled {
        name: "firewall-drop",
        aliases: &[],
        about: "drop all packets from an address or a network",
        target: TargetKind::Network,
        options: &[IPV6_PREFIX, KEEP_CONNECTIONS],
        word: None,
        backends: &[Backend::NfTables, Backend::Iptables],
        effect: Effect::Kernel,
        reverts: true,
        libraries: NFTNL,
    },
    Bundled {
        name: "host-deny",
        aliases: &[],
        about: "deny an address in hosts.deny (tcp wrappers)",
        target: TargetKind::Address,
        options: &[],
        word: None,
        backends: &[Backend::HostsDeny],
        effect: Effect::File,
        reverts: true,
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
    },
    Bundled {
        name: "route-null",
        aliases: &[],
        about: "answer nothing to an address or a network: no route leads there",
        target: TargetKind::Network,
        options: &[IPV6_PREFIX],
        word: None,
        backends: &[Backend::Routes],
        effect: Effect::Kernel,
        reverts: true,
        libraries: &[],
    },
];
