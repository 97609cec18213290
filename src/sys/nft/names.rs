//! Which lists there are and what they are called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// Everything in this table is ours; `nft delete table inet ripost` undoes it.
pub(super) const TABLE: &str = "ripost";

/// One list of an executable: the networks of one family and prefix length,
/// which is also the number of bits that are compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum List {
    Ipv4(u8),
    Ipv6(u8),
}

impl List {
    pub(super) const HOSTS_4: Self = Self::Ipv4(32);
    pub(super) const HOSTS_6: Self = Self::Ipv6(128);

    /// Where `network` belongs.
    pub(super) fn of(network: IpNetwork) -> Self {
        match network {
            IpNetwork::V4(network) => Self::Ipv4(network.prefix()),
            IpNetwork::V6(network) => Self::Ipv6(network.prefix()),
        }
    }

    /// What an address is masked with before it is looked up; `None` where all
    /// bits count.
    pub(super) fn mask(self) -> Option<IpAddr> {
        match self {
            Self::HOSTS_4 | Self::HOSTS_6 => None,
            Self::Ipv4(prefix) => {
                let bits = u32::MAX.checked_shl(32 - u32::from(prefix));
                Some(Ipv4Addr::from_bits(bits.unwrap_or(0)).into())
            }
            Self::Ipv6(prefix) => {
                let bits = u128::MAX.checked_shl(128 - u32::from(prefix));
                Some(Ipv6Addr::from_bits(bits.unwrap_or(0)).into())
            }
        }
    }
}

/// The names of one executable's objects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub chain: String,
}

impl Names {
    /// For the executable `name`; nft(8) knows no `-` in names.
    pub(super) fn of(name: &str) -> Self {
        let chain = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Self { chain }
    }

    /// The set that is this list: `firewall_drop_4` for hosts,
    /// `firewall_drop_4_24` for networks of /24.
    pub(super) fn set(&self, list: List) -> String {
        let chain = &self.chain;
        match list {
            List::HOSTS_4 => format!("{chain}_4"),
            List::HOSTS_6 => format!("{chain}_6"),
            List::Ipv4(prefix) => format!("{chain}_4_{prefix}"),
            List::Ipv6(prefix) => format!("{chain}_6_{prefix}"),
        }
    }

    /// The list that this set is, if it is one of ours.
    pub(super) fn list(&self, set: &str) -> Option<List> {
        let rest = set.strip_prefix(&self.chain)?.strip_prefix('_')?;
        let (family, prefix) = match rest.split_once('_') {
            Some((family, prefix)) => (family, Some(prefix.parse().ok()?)),
            None => (rest, None),
        };
        let list = match family {
            "4" => List::Ipv4(prefix.unwrap_or(32)),
            "6" => List::Ipv6(prefix.unwrap_or(128)),
            _ => return None,
        };
        let longest = match list {
            List::Ipv4(prefix) => prefix <= 32,
            List::Ipv6(prefix) => prefix <= 128,
        };
        (longest && self.set(list) == set).then_some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::{List, Names};

    #[test]
    fn executables_keep_their_objects_apart() {
        let names = Names::of("firewall-drop");
        assert_eq!(names.chain, "firewall_drop");
        assert_ne!(
            names.set(List::HOSTS_6),
            Names::of("block-ip").set(List::HOSTS_6)
        );
    }

    #[test]
    fn a_list_is_told_by_the_name_of_its_set() {
        let names = Names::of("firewall-drop");
        for (list, set) in [
            (List::HOSTS_4, "firewall_drop_4"),
            (List::HOSTS_6, "firewall_drop_6"),
            (List::Ipv4(24), "firewall_drop_4_24"),
            (List::Ipv6(64), "firewall_drop_6_64"),
        ] {
            assert_eq!(names.set(list), set);
            assert_eq!(names.list(set), Some(list));
        }
        for other in [
            "block_ip_4",
            "firewall_drop",
            "firewall_drop_5",
            "firewall_drop_4_33",
            "firewall_drop_4_024",
            "firewall_drop_4_32",
            "firewall_drop_4_x",
        ] {
            assert_eq!(names.list(other), None, "{other}");
        }
    }

    #[test]
    fn a_mask_has_as_many_ones_as_the_prefix_is_long() {
        for (list, mask) in [
            (List::HOSTS_4, None),
            (List::HOSTS_6, None),
            (List::Ipv4(20), Some("255.255.240.0")),
            (List::Ipv4(0), Some("0.0.0.0")),
            (List::Ipv6(64), Some("ffff:ffff:ffff:ffff::")),
        ] {
            assert_eq!(list.mask(), mask.map(|mask| mask.parse().unwrap()));
        }
    }
}
