use std::fmt;
use std::net::IpAddr;

use crate::sys::host::HostFacts;

/// What a host refuses to act against, whatever the lists say: blocking it
/// would cut the host off or mean nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Guards {
    own: Vec<IpAddr>,
    gateways: Vec<IpAddr>,
    name_servers: Vec<IpAddr>,
    manager: Vec<IpAddr>,
}

/// One kind of address that a host guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guard {
    Unspecified,
    ThisNetwork,
    Loopback,
    Multicast,
    Broadcast,
    Own,
    Gateway,
    NameServer,
    Manager,
}

impl Guards {
    /// `manager`: the addresses under which the host reaches its manager.
    pub fn new(facts: HostFacts, manager: Vec<IpAddr>) -> Self {
        let canonical = |addresses: Vec<IpAddr>| {
            let addresses = addresses.iter();
            addresses.map(IpAddr::to_canonical).collect()
        };
        Self {
            own: canonical(facts.addresses),
            gateways: canonical(facts.gateways),
            name_servers: canonical(facts.name_servers),
            manager: canonical(manager),
        }
    }

    /// The guard that `address`, in canonical form, falls under.
    pub(super) fn guarding(&self, address: IpAddr) -> Option<Guard> {
        by_kind(address).or_else(|| {
            [
                (&self.own, Guard::Own),
                (&self.gateways, Guard::Gateway),
                (&self.name_servers, Guard::NameServer),
                (&self.manager, Guard::Manager),
            ]
            .into_iter()
            .find(|(addresses, _)| addresses.contains(&address))
            .map(|(_, guard)| guard)
        })
    }
}

/// Guards that hold on every host (RFC 6890, RFC 1122 3.2.1.3).
fn by_kind(address: IpAddr) -> Option<Guard> {
    if address.is_unspecified() {
        return Some(Guard::Unspecified);
    }
    if address.is_loopback() {
        return Some(Guard::Loopback);
    }
    if address.is_multicast() {
        return Some(Guard::Multicast);
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(Guard::Broadcast),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(Guard::ThisNetwork),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "an address of \"this network\" (0.0.0.0/8)",
            Self::Loopback => "a loopback address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Own => "one of this host's own addresses",
            Self::Gateway => "a default gateway of this host",
            Self::NameServer => "a name server of this host",
            Self::Manager => "the manager of this host",
        })
    }
}
