//! Tracked connections, over ctnetlink. Layouts:
//! linux/netfilter/nfnetlink_conntrack.h.
//!
//! Each is known by two tuples of addresses and ports, one for each direction.
//! They differ by more than their order where addresses are translated, so an
//! address may be in one of them alone.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rustix::net::{Protocol, netlink};

use super::batch::Batch;
use super::sweep::{Kind, Order, sweep};
use super::{CutError, Open};
use crate::sys::netlink::{ATTRIBUTE_HEADER, attribute, find, parts};

const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// `struct nfgenmsg` of linux/netfilter/nfnetlink.h.
const GENERAL: usize = 4;

/// How many connections this network namespace tracks.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const MODULE: &str = "/sys/module/nf_conntrack";

/// Ends the tracked connections with an address of the batch, and counts them
/// for each of its networks.
pub(super) fn end(batch: &Batch) -> Result<Vec<usize>, CutError> {
    if !may_track() {
        return Ok(vec![0; batch.len()]);
    }
    Ok(sweep(&Tracked, batch)?.ended)
}

/// Whether any connection may be tracked. Files say so; a question over netlink
/// would load the module that tracks, where it is not needed (nfnetlink.c
/// nfnetlink_rcv_msg).
fn may_track() -> bool {
    match fs::read_to_string(COUNT) {
        Ok(count) => count.trim() != "0",
        // Not every kernel shows it outside the first user namespace.
        Err(_) => Path::new(MODULE).exists(),
    }
}

struct Tracked;

impl Kind for Tracked {
    const OPEN: Open = Open::Flows;
    const PROTOCOL: Protocol = netlink::NETFILTER;
    const LIST: u16 = SUBSYSTEM | IPCTNL_MSG_CT_GET;
    const END: u16 = SUBSYSTEM | IPCTNL_MSG_CT_DELETE;
    /// Tracked, but not shown to anybody: nf_conntrack_netlink is missing, so
    /// no subsystem answers to this number.
    const NO_LIST: &[i32] = &[libc::EINVAL, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT];
    const NO_END: &[i32] = &[];

    /// Both families, all zones.
    fn question(&self) -> Vec<u8> {
        general(libc::AF_UNSPEC as u8)
    }

    /// With its tuple as it stands in the list, which holds the zone too where
    /// that is of one direction. An order without a tuple would end everything
    /// (nf_conntrack_netlink.c ctnetlink_del_conntrack).
    fn order(&self, item: &[u8], batch: &Batch) -> Option<Order> {
        let family = *item.first()?;
        let attributes = item.get(GENERAL..)?;
        let original = find(attributes, CTA_TUPLE_ORIG)?;
        let reply = find(attributes, CTA_TUPLE_REPLY)?;
        let id = find(attributes, CTA_ID)?;
        let mut involved = addresses(original).chain(addresses(reply));
        let place = involved.find_map(|address| batch.find(address))?;
        let mut body = general(family);
        attribute(&mut body, CTA_TUPLE_ORIG | NESTED, original);
        attribute(&mut body, CTA_ID, id);
        if let Some(zone) = find(attributes, CTA_ZONE) {
            attribute(&mut body, CTA_ZONE, zone);
        }
        Some(Order { place, body })
    }
}

/// Version 0, no resource.
fn general(family: u8) -> Vec<u8> {
    vec![family, 0, 0, 0]
}

/// Both addresses of a tuple: CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC and
/// CTA_IP_V6_DST are told apart by their length.
fn addresses(tuple: &[u8]) -> impl Iterator<Item = IpAddr> {
    let inside = find(tuple, CTA_TUPLE_IP).unwrap_or_default();
    parts(inside, ATTRIBUTE_HEADER).filter_map(|(_, value)| {
        let ipv4 = <[u8; 4]>::try_from(value).map(|octets| Ipv4Addr::from(octets).into());
        let ipv6 = || <[u8; 16]>::try_from(value).map(|octets| Ipv6Addr::from(octets).into());
        ipv4.or_else(|_| ipv6()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::{
        Batch, CTA_ID, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE, Kind, NESTED,
        Tracked, attribute, find, general,
    };

    fn tuple(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut addresses = Vec::new();
        attribute(&mut addresses, 1, &source);
        attribute(&mut addresses, 2, &destination);
        let mut tuple = Vec::new();
        attribute(&mut tuple, CTA_TUPLE_IP | NESTED, &addresses);
        attribute(&mut tuple, 2 | NESTED, &[5, 0, 1, 0, 17, 0, 0, 0]);
        tuple
    }

    /// From 10.0.0.1 to 10.0.0.2, which is 10.0.0.3 in truth.
    fn item() -> Vec<u8> {
        let mut item = general(2);
        let original = tuple([10, 0, 0, 1], [10, 0, 0, 2]);
        let reply = tuple([10, 0, 0, 3], [10, 0, 0, 1]);
        attribute(&mut item, CTA_TUPLE_ORIG | NESTED, &original);
        attribute(&mut item, CTA_TUPLE_REPLY | NESTED, &reply);
        attribute(&mut item, CTA_ID, &[1, 2, 3, 4]);
        attribute(&mut item, CTA_ZONE, &[0, 7]);
        item
    }

    fn batch(network: &str) -> Batch {
        Batch::of(&[network.parse().unwrap()])
    }

    #[test]
    fn each_address_of_both_directions_counts() {
        for (network, involved) in [
            ("10.0.0.1", true),
            ("10.0.0.2", true),
            ("10.0.0.3", true),
            ("10.0.0.4", false),
        ] {
            let order = Tracked.order(&item(), &batch(network));
            assert_eq!(order.is_some(), involved, "{network}");
        }
    }

    #[test]
    fn an_order_names_one_connection_whatever_was_listed() {
        let (item, batch) = (item(), batch("10.0.0.0/8"));
        let whole = Tracked.order(&item, &batch).unwrap().body;
        assert_eq!(find(&whole[4..], CTA_ZONE), Some(&[0, 7][..]));
        for length in 0..item.len() {
            let Some(order) = Tracked.order(&item[..length], &batch) else {
                continue;
            };
            let order = order.body;
            // Without them it would be an order to end everything, or another
            // connection that has got the same ports meanwhile.
            let original = tuple([10, 0, 0, 1], [10, 0, 0, 2]);
            assert_eq!(find(&order[4..], CTA_TUPLE_ORIG), Some(&original[..]));
            assert_eq!(find(&order[4..], CTA_ID), Some(&[1, 2, 3, 4][..]));
        }
    }
}
