//! Addresses that are nobody's, or everybody's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// What kind of address no host may ever act against, whoever asks (RFC 6890,
/// RFC 1122 3.2.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Special {
    Unspecified,
    ThisNetwork,
    Loopback,
    Multicast,
    Broadcast,
}

/// The first that fits names it.
const NETWORKS: &[(IpAddr, u8, Special)] = &[
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32, Special::Unspecified),
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8, Special::ThisNetwork),
    (
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        8,
        Special::Loopback,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)),
        4,
        Special::Multicast,
    ),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32, Special::Broadcast),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, Special::Unspecified),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, Special::Loopback),
    (
        IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)),
        8,
        Special::Multicast,
    ),
];

impl Special {
    /// Of which kind a network is, or a part of it.
    pub fn in_network(network: IpNetwork) -> Option<Self> {
        let mut kinds = NETWORKS.iter();
        let found = kinds.find(|(address, prefix, _)| {
            IpNetwork::new(*address, *prefix).is_ok_and(|special| overlap(special, network))
        });
        found.map(|(_, _, special)| *special)
    }
}

/// Whether two networks have an address in common: one holds the other.
pub fn overlap(one: IpNetwork, other: IpNetwork) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "an address of \"this network\" (0.0.0.0/8)",
            Self::Loopback => "a loopback address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
        })
    }
}
