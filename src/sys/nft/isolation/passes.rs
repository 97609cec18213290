//! What still passes on a host that is cut off.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;

/// What a host that is cut off may still talk to, beside itself and what gives
/// it an address (DHCP, neighbour discovery).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allowed {
    /// Services that this host calls over TCP: its managers.
    pub services: Vec<SocketAddr>,
    pub name_servers: Vec<IpAddr>,
    /// Whole hosts or networks, in both directions.
    pub networks: Vec<IpNetwork>,
}

/// In which directions something passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ways {
    Both,
    In,
}

/// One thing that passes; what is `None` may be anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pass {
    pub ways: Ways,
    pub what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    Loopback,
    /// All packets from and to a network.
    Network(IpNetwork),
    /// TCP or UDP.
    Ports {
        protocol: u8,
        peer: Option<IpAddr>,
        peer_port: u16,
        own_port: Option<u16>,
    },
    /// A type of message of ICMP or ICMPv6.
    Icmp {
        protocol: u8,
        kind: u8,
    },
}

// The numbers of IANA.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const DNS: u16 = 53;
/// Server and client of DHCP (RFC 2131) and DHCPv6 (RFC 8415).
const DHCP: [(u16, u16); 2] = [(67, 68), (547, 546)];
/// Neighbour and router discovery (RFC 4861), and the reports of listeners
/// without which a switch keeps it from others (RFC 2710, RFC 3810).
const DISCOVERY: [u8; 7] = [130, 131, 133, 134, 135, 136, 143];
/// "Destination unreachable", which holds "fragmentation needed" (RFC 792), and
/// "packet too big" (RFC 4443): without them a path may swallow large packets.
const TOO_BIG: [(u8, u8); 2] = [(ICMP, 3), (ICMPV6, 2)];

/// Everything that passes.
pub(super) fn passes(allowed: &Allowed) -> Vec<Pass> {
    let mut passes = Vec::new();
    let mut both = |what| {
        passes.push(Pass {
            ways: Ways::Both,
            what,
        });
    };
    both(What::Loopback);
    for service in &allowed.services {
        both(What::Ports {
            protocol: TCP,
            peer: Some(service.ip().to_canonical()),
            peer_port: service.port(),
            own_port: None,
        });
    }
    for server in &allowed.name_servers {
        for protocol in [UDP, TCP] {
            both(What::Ports {
                protocol,
                peer: Some(server.to_canonical()),
                peer_port: DNS,
                own_port: None,
            });
        }
    }
    for (peer_port, own_port) in DHCP {
        both(What::Ports {
            protocol: UDP,
            peer: None,
            peer_port,
            own_port: Some(own_port),
        });
    }
    for kind in DISCOVERY {
        both(What::Icmp {
            protocol: ICMPV6,
            kind,
        });
    }
    for network in &allowed.networks {
        both(What::Network(*network));
    }
    passes.extend(TOO_BIG.map(|(protocol, kind)| Pass {
        ways: Ways::In,
        what: What::Icmp { protocol, kind },
    }));
    passes
}
