//! Many networks, asked which of them have an address in common with another.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Networks, by where they start. Two of them are either apart or one holds the
/// other, so that of all that start up to some place the one that ends last
/// answers for the others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Networks {
    v4: Vec<Range>,
    v6: Vec<Range>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    start: u128,
    /// The last address of `reaching`.
    end: u128,
    /// Of the networks up to here the one that ends last.
    reaching: IpNetwork,
}

impl Networks {
    pub(super) fn new(networks: &[IpNetwork]) -> Self {
        let of = |is_v4: bool| {
            let own = networks.iter().filter(|network| network.is_ipv4() == is_v4);
            let mut ranges: Vec<Range> = own.map(|network| Range::of(*network)).collect();
            ranges.sort_by_key(|range| range.start);
            let mut last: Option<Range> = None;
            for range in &mut ranges {
                let before = last.filter(|before| before.end >= range.end);
                if let Some(before) = before {
                    (range.end, range.reaching) = (before.end, before.reaching);
                }
                last = Some(*range);
            }
            ranges
        };
        Self {
            v4: of(true),
            v6: of(false),
        }
    }

    /// One that has an address in common with `network`, if there is one.
    pub(super) fn meeting(&self, network: IpNetwork) -> Option<IpNetwork> {
        let asked = Range::of(network);
        let ranges = if network.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        let started = ranges.partition_point(|range| range.start <= asked.end);
        let last = ranges[..started].last()?;
        (last.end >= asked.start).then_some(last.reaching)
    }
}

impl Range {
    fn of(network: IpNetwork) -> Self {
        let number = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        };
        Self {
            start: number(network.network()),
            end: number(network.broadcast()),
            reaching: network,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnetwork::IpNetwork;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;

    use super::Networks;
    use crate::model::target::overlap;

    /// Close together, so that many meet.
    fn network() -> impl Strategy<Value = IpNetwork> {
        let v4 = (any::<u8>(), 20..=32_u8).prop_map(|(host, prefix)| {
            let address = Ipv4Addr::new(192, 0, 2 + host % 4, host);
            IpNetwork::new(address.into(), prefix).unwrap()
        });
        let v6 = (any::<u8>(), 0..=128_u8).prop_map(|(host, prefix)| {
            let address = Ipv6Addr::from(u128::from(host) << (host % 120));
            IpNetwork::new(address.into(), prefix).unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn what_meets_one_of_them_is_what_a_plain_look_finds(
            networks in prop::collection::vec(network(), 0..20),
            asked in network(),
        ) {
            let found = Networks::new(&networks).meeting(asked);
            let plain = networks.iter().any(|network| overlap(*network, asked));
            prop_assert_eq!(found.is_some(), plain);
            if let Some(found) = found {
                prop_assert!(networks.contains(&found) && overlap(found, asked));
            }
        }
    }
}
