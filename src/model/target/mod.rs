//! What executables act on, in one canonical spelling each.

mod names;
mod special;

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::Keys;

pub use names::{FilePath, HostName, Process, UserName};
pub use special::{Special, overlap};

/// Shorter prefixes are no attacker's network, and `/0` is everybody.
const MIN_PREFIX_V4: u8 = 8;
const MIN_PREFIX_V6: u8 = 16;

/// How many bits of `::ffff:0:0/96` an IPv4-mapped address begins with.
const MAPPED_BITS: u8 = 96;

/// A text that is no target an executable could act on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("is not a numeric IPv4 or IPv6 address")]
    NoAddress,
    #[error("is not a numeric IPv4 or IPv6 address or network")]
    NoNetwork,
    #[error("is a network of more addresses than may be acted on at once (at least /8, IPv6 /16)")]
    TooWide,
    #[error("is no login name that may be acted on")]
    NoUser,
    #[error("is no number of a process (from 2 on)")]
    NoProcess,
    #[error("is no absolute path of a file, or has `..` in it")]
    NoFile,
    #[error("is not needed: it has no target that could be named")]
    Needless,
    #[error("is not UTF-8")]
    NotText,
}

/// What an executable acts on, in its one canonical spelling.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// A host. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4
    /// host: on the wire its packets are IPv4 (RFC 4291, 2.5.5.2).
    Address(IpAddr),
    /// More than one host; without bits behind the prefix.
    Network(IpNetwork),
    /// A host by its name, which is never looked up. Only scripts act on it.
    Name(HostName),
    User(UserName),
    Process(Process),
    File(FilePath),
    /// The name of a unit.
    Service(String),
    /// The host that the agent runs on.
    Host,
}

impl Target {
    /// Parses one address in the forms of `inet_pton(3)`. The short, octal and
    /// hexadecimal forms that `getaddrinfo` takes and scoped addresses
    /// (`fe80::1%eth0`) are refused: tools disagree on what they mean.
    pub fn parse_address(text: &str) -> Result<Self, InvalidTarget> {
        text.parse::<IpAddr>()
            .map(|address| Self::Address(address.to_canonical()))
            .map_err(|_| InvalidTarget::NoAddress)
    }

    /// Parses an address, or a network as `ADDRESS/PREFIX`.
    pub fn parse_network(text: &str) -> Result<Self, InvalidTarget> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Self::parse_address(text).map_err(|_| InvalidTarget::NoNetwork);
        };
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let network = address
            .parse()
            .ok()
            .zip(prefix.parse().ok().filter(|_| is_number))
            .and_then(|(address, prefix)| IpNetwork::new(address, prefix).ok());
        Self::of_network(network.ok_or(InvalidTarget::NoNetwork)?)
    }

    /// A network in its one spelling; of a single host, the host.
    pub fn of_network(network: IpNetwork) -> Result<Self, InvalidTarget> {
        let network = unmapped(network);
        let (least, most) = match network {
            IpNetwork::V4(_) => (MIN_PREFIX_V4, 32),
            IpNetwork::V6(_) => (MIN_PREFIX_V6, 128),
        };
        match network.prefix() {
            prefix if prefix == most => Ok(Self::Address(network.ip())),
            prefix if prefix < least => Err(InvalidTarget::TooWide),
            prefix => IpNetwork::new(network.network(), prefix)
                .map(Self::Network)
                .map_err(|_| InvalidTarget::NoNetwork),
        }
    }

    /// Of an IPv6 host the network with this prefix around it; anything else as
    /// it is.
    pub fn widened(self, prefix: u8) -> Result<Self, InvalidTarget> {
        match self {
            Self::Address(address @ IpAddr::V6(_)) => {
                let network = IpNetwork::new(address, prefix);
                Self::of_network(network.map_err(|_| InvalidTarget::NoNetwork)?)
            }
            Self::Address(_)
            | Self::Network(_)
            | Self::Name(_)
            | Self::User(_)
            | Self::Process(_)
            | Self::File(_)
            | Self::Service(_)
            | Self::Host => Ok(self),
        }
    }

    /// All its addresses, if that is what it is.
    pub fn network(&self) -> Option<IpNetwork> {
        match self {
            Self::Address(address) => Some(IpNetwork::from(*address)),
            Self::Network(network) => Some(*network),
            Self::Name(_)
            | Self::User(_)
            | Self::Process(_)
            | Self::File(_)
            | Self::Service(_)
            | Self::Host => None,
        }
    }

    pub fn keys(&self) -> Keys {
        Keys::new(vec![self.to_string()]).expect("every kind of target is shorter than the limit")
    }
}

/// A network of IPv4-mapped addresses is the IPv4 network they stand for.
pub fn unmapped(network: IpNetwork) -> IpNetwork {
    let IpNetwork::V6(v6) = network else {
        return network;
    };
    let mapped = v6.prefix().checked_sub(MAPPED_BITS).and_then(|prefix| {
        let address = v6.ip().to_ipv4_mapped()?;
        IpNetwork::new(address.into(), prefix).ok()
    });
    mapped.unwrap_or(network)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::User(user) => user.fmt(f),
            Self::Process(process) => process.fmt(f),
            Self::File(path) => path.fmt(f),
            Self::Service(name) => name.fmt(f),
            Self::Host => f.write_str("host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidTarget, Special, Target};

    #[test]
    fn an_address_has_one_spelling() {
        for (text, canonical) in [
            ("192.0.2.10", "192.0.2.10"),
            ("::ffff:192.0.2.11", "192.0.2.11"),
            ("2001:0DB8:0:0:0:0:0:0011", "2001:db8::11"),
        ] {
            let target = Target::parse_address(text).map(|t| t.to_string());
            assert_eq!(target.as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn text_that_tools_read_differently_is_no_address() {
        for text in [
            "",
            "-",
            "127.1",
            "3221226012",
            "0xc0000214",
            "0300.0.2.21",
            "fe80::1%lo",
            "192.0.2.0/24",
            " 192.0.2.1",
            "192.0.2.1\n",
            "192.0.2.1;id",
            "evil.example",
            "-h",
        ] {
            assert!(Target::parse_address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_network_has_one_spelling_and_a_host_is_no_network() {
        for (text, canonical) in [
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8:1:2::3/64", "2001:db8:1:2::/64"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("::ffff:192.0.2.1/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1/128", "192.0.2.1"),
        ] {
            let target = Target::parse_network(text).map(|t| t.to_string());
            assert_eq!(target.as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_or_half_the_world_is_refused() {
        for text in [
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/+24",
            "192.0.2.0/ 24",
            "192.0.2.0/255.255.255.0",
            "192.0.2/24",
            "/24",
            "2001:db8::/129",
        ] {
            let target = Target::parse_network(text);
            assert_eq!(target, Err(InvalidTarget::NoNetwork), "{text}");
        }
        for text in [
            "0.0.0.0/0",
            "128.0.0.0/1",
            "10.0.0.0/7",
            "::/0",
            "2000::/15",
            "::ffff:0:0/96",
        ] {
            let target = Target::parse_network(text);
            assert_eq!(target, Err(InvalidTarget::TooWide), "{text}");
        }
    }

    #[test]
    fn only_a_host_of_ipv6_is_widened() {
        for (text, wanted) in [
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("2001:db8:1::/48", "2001:db8:1::/48"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let widened = Target::parse_network(text).unwrap().widened(64);
            assert_eq!(widened.unwrap().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn a_network_is_special_if_a_part_of_it_is() {
        for (text, special) in [
            ("224.0.0.0/8", Some(Special::Multicast)),
            ("127.1.2.0/24", Some(Special::Loopback)),
            ("255.255.255.0/24", Some(Special::Broadcast)),
            ("0.1.0.0/16", Some(Special::ThisNetwork)),
            ("0.0.0.0", Some(Special::Unspecified)),
            ("::/16", Some(Special::Unspecified)),
            ("ff02::/16", Some(Special::Multicast)),
            ("198.51.100.0/24", None),
            ("2001:db8::/32", None),
        ] {
            let target = Target::parse_network(text).unwrap();
            assert_eq!(
                Special::in_network(target.network().unwrap()),
                special,
                "{text}"
            );
        }
    }
}
