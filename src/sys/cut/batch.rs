//! The networks of a batch, by the length of their prefixes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::target::unmapped;

/// How many bits an address of each family has.
const BITS_V4: u8 = 32;
const BITS_V6: u8 = 128;

/// Finds the network of an address with one look-up for each length of prefix
/// in use, however many networks there are.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// By how many bits stand behind the prefix: what stands before them, and
    /// the place of that network in the batch.
    ipv4: BTreeMap<u8, HashMap<u128, usize>>,
    ipv6: BTreeMap<u8, HashMap<u128, usize>>,
    len: usize,
}

impl Batch {
    pub(super) fn of(networks: &[IpNetwork]) -> Self {
        let mut batch = Self {
            len: networks.len(),
            ..Self::default()
        };
        for (place, network) in networks.iter().enumerate() {
            let network = unmapped(*network);
            let (family, bits) = match network {
                IpNetwork::V4(_) => (&mut batch.ipv4, BITS_V4),
                IpNetwork::V6(_) => (&mut batch.ipv6, BITS_V6),
            };
            let behind = bits - network.prefix();
            let networks = family.entry(behind).or_default();
            networks.insert(before(number(network.ip()), behind), place);
        }
        batch
    }

    /// How many networks there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place of the narrowest network that holds an address, or the IPv4
    /// address that it stands for.
    pub(super) fn find(&self, address: IpAddr) -> Option<usize> {
        let address = address.to_canonical();
        let family = match address {
            IpAddr::V4(_) => &self.ipv4,
            IpAddr::V6(_) => &self.ipv6,
        };
        let address = number(address);
        let mut lengths = family.iter();
        lengths.find_map(|(behind, networks)| networks.get(&before(address, *behind)).copied())
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What stands before the last `behind` bits; of all 128 of them, nothing.
fn before(address: u128, behind: u8) -> u128 {
    address.checked_shr(behind.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Batch;

    #[test]
    fn an_address_belongs_to_the_narrowest_network_that_holds_it() {
        let networks = [
            "192.0.2.7",
            "198.51.100.0/24",
            "203.0.113.129/25",
            "2001:db8:bad::/48",
            "2001:db8::7",
            "::ffff:10.1.0.0/112",
            "198.51.100.77",
            "198.51.0.0/16",
        ];
        let batch = Batch::of(&networks.map(|network| network.parse().unwrap()));
        for (address, place) in [
            ("192.0.2.7", Some(0)),
            ("::ffff:192.0.2.7", Some(0)),
            ("192.0.2.6", None),
            ("198.51.100.0", Some(1)),
            ("198.51.100.255", Some(1)),
            ("198.51.100.77", Some(6)),
            ("198.51.101.0", Some(7)),
            ("198.52.0.0", None),
            ("203.0.113.128", Some(2)),
            ("203.0.113.127", None),
            ("2001:db8:bad:ffff::1", Some(3)),
            ("2001:db8:bae::1", None),
            ("2001:db8::7", Some(4)),
            ("2001:db8::8", None),
            ("10.1.255.255", Some(5)),
            ("10.2.0.0", None),
            // The same bits as 192.0.2.7, in the other family.
            ("::c000:207", None),
        ] {
            assert_eq!(batch.find(address.parse().unwrap()), place, "{address}");
        }
    }

    #[test]
    fn a_prefix_of_no_length_holds_its_family() {
        let batch = Batch::of(&["::/0".parse().unwrap()]);
        assert_eq!(batch.find("2001:db8::1".parse().unwrap()), Some(0));
        assert_eq!(batch.find("192.0.2.1".parse().unwrap()), None);
    }
}
