use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::target::Special;
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

/// What a host guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guard {
    /// Addresses of this kind, as every host does.
    Special(Special),
    Own(IpAddr),
    Gateway(IpAddr),
    NameServer(IpAddr),
    Manager(IpAddr),
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

    /// The guard that `network`, in canonical form, falls under or holds.
    pub(super) fn guarding(&self, network: IpNetwork) -> Option<Guard> {
        let special = Special::in_network(network).map(Guard::Special);
        let held = |addresses: &[IpAddr]| {
            let mut addresses = addresses.iter().copied();
            addresses.find(|address| network.contains(*address))
        };
        special
            .or_else(|| held(&self.own).map(Guard::Own))
            .or_else(|| held(&self.gateways).map(Guard::Gateway))
            .or_else(|| held(&self.name_servers).map(Guard::NameServer))
            .or_else(|| held(&self.manager).map(Guard::Manager))
    }
}

impl Guard {
    /// The one address that is guarded.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Special(_) => None,
            Self::Own(address)
            | Self::Gateway(address)
            | Self::NameServer(address)
            | Self::Manager(address) => Some(address),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Special(special) => special.fmt(f),
            Self::Own(_) => f.write_str("one of this host's own addresses"),
            Self::Gateway(_) => f.write_str("a default gateway of this host"),
            Self::NameServer(_) => f.write_str("a name server of this host"),
            Self::Manager(_) => f.write_str("the manager of this host"),
        }
    }
}
