//! Default gateways, asked of the kernel over rtnetlink(7).
//!
//! Not from `/proc/net/ipv6_route`: it lists the default route after all
//! others and starts over for each page that is read, so that 50,000 null
//! routes, which an active response may well make, take 4 s. A dump that is
//! restricted to unicast routes takes milliseconds, and it knows all tables
//! and all next hops.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sys::rtnetlink::{
    self, ATTRIBUTE_HEADER, Message, ROUTE_HEADER, Route, messages, parts, u16_at,
};

/// Enough for every message of a dump: the kernel makes none larger than what
/// it is offered, up to 32 KiB.
const BUFFER_BYTES: usize = 32 << 10;

/// More routes than this are not looked through.
const MAX_ROUTES: usize = 2_000_000;

/// `struct rtnexthop` of linux/rtnetlink.h.
const NEXT_HOP_HEADER: usize = 8;

/// The next hops of all default routes of both families.
pub(super) fn default_gateways() -> io::Result<Vec<IpAddr>> {
    let mut gateways = dump(libc::AF_INET)?;
    gateways.extend(dump(libc::AF_INET6)?);
    Ok(gateways)
}

fn dump(family: i32) -> io::Result<Vec<IpAddr>> {
    let socket = rtnetlink::open()?;
    ask_for_filtering(&socket);
    send(&socket, &request(family), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut gateways = Vec::new();
    let mut routes = 0;
    loop {
        let (received, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for message in messages(&buffer[..received]) {
            match message {
                Message::Done => return Ok(gateways),
                Message::Route(route) => gateways.extend(gateways_of(route)),
                // A dump has no acknowledgement.
                Message::Outcome { errno, .. } => return Err(io::Error::from_raw_os_error(errno)),
                Message::Other => {}
            }
            routes += 1;
        }
        if routes > MAX_ROUTES {
            return Err(io::Error::other(format!("more than {MAX_ROUTES} routes")));
        }
    }
}

/// Makes the kernel heed the route type of the request (Linux 4.20). Before,
/// it ignores both and lists all routes, null routes included: slower, but not
/// wrong, so a failure does not matter.
fn ask_for_filtering(socket: &OwnedFd) {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the value is an int of the length
    // that is stated.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_GET_STRICT_CHK,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
}

/// `RTM_GETROUTE` for all unicast routes of one family.
fn request(family: i32) -> Vec<u8> {
    let route = Route {
        family,
        kind: libc::RTN_UNICAST,
        ..Route::default()
    };
    // One question per socket needs no number.
    rtnetlink::request(libc::RTM_GETROUTE, libc::NLM_F_DUMP, 0, route, &[])
}

/// The next hops of `route` if it is a default route.
fn gateways_of(route: &[u8]) -> Vec<IpAddr> {
    let (Some(&family), Some(&prefix), Some(&kind), Some(attributes)) = (
        route.first(),
        route.get(1),
        route.get(7),
        route.get(ROUTE_HEADER..),
    ) else {
        return Vec::new();
    };
    if prefix != 0 || kind != libc::RTN_UNICAST {
        return Vec::new();
    }
    next_hops(i32::from(family), attributes)
}

fn next_hops(family: i32, attributes: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (kind, value) in parts(attributes, ATTRIBUTE_HEADER) {
        match kind {
            libc::RTA_GATEWAY => found.extend(address(family, value)),
            // An IPv4 route by way of an IPv6 neighbour (RFC 5549).
            libc::RTA_VIA => found.extend(
                u16_at(value, 0).and_then(|family| address(i32::from(family), &value[2..])),
            ),
            libc::RTA_MULTIPATH => {
                for (_, hop) in parts(value, NEXT_HOP_HEADER) {
                    found.extend(next_hops(family, hop));
                }
            }
            _ => {}
        }
    }
    found
}

fn address(family: i32, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Message, dump, gateways_of, messages};

    /// An attribute, padded as the kernel pads it.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn route(family: i32, prefix: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes[0] = u8::try_from(family).unwrap();
        bytes[1] = prefix;
        bytes[7] = kind;
        bytes.extend(attributes.concat());
        bytes
    }

    fn next_hop(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + attributes.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([0; 6]);
        bytes.extend(attributes);
        bytes
    }

    fn shown(gateways: &[IpAddr]) -> Vec<String> {
        gateways.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn every_next_hop_of_a_default_route_is_a_gateway() {
        let v6 = "fe80::9".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let via = [&10_u16.to_ne_bytes()[..], &v6].concat();
        let hops = [
            next_hop(&attribute(libc::RTA_GATEWAY, &[192, 0, 2, 7])),
            next_hop(&attribute(libc::RTA_GATEWAY, &[192, 0, 2, 8])),
        ]
        .concat();
        for (family, attributes, wanted) in [
            (
                libc::AF_INET,
                vec![
                    attribute(libc::RTA_TABLE, &[254]),
                    attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1]),
                ],
                vec!["192.0.2.1"],
            ),
            (
                libc::AF_INET6,
                vec![attribute(libc::RTA_GATEWAY, &v6)],
                vec!["fe80::9"],
            ),
            (
                libc::AF_INET,
                vec![attribute(libc::RTA_VIA, &via)],
                vec!["fe80::9"],
            ),
            (
                libc::AF_INET,
                vec![attribute(libc::RTA_MULTIPATH | 0x8000, &hops)],
                vec!["192.0.2.7", "192.0.2.8"],
            ),
            (
                libc::AF_INET,
                vec![attribute(libc::RTA_OIF, &[1, 0, 0, 0])],
                vec![],
            ),
        ] {
            let default = route(family, 0, libc::RTN_UNICAST, &attributes);
            assert_eq!(shown(&gateways_of(&default)), wanted);
            let other = route(family, 8, libc::RTN_UNICAST, &attributes);
            assert_eq!(gateways_of(&other), [] as [IpAddr; 0]);
            let null = route(family, 0, libc::RTN_BLACKHOLE, &attributes);
            assert_eq!(gateways_of(&null), [] as [IpAddr; 0]);
        }
    }

    #[test]
    fn a_cut_message_is_no_route_and_no_panic() {
        let whole = route(
            libc::AF_INET,
            0,
            libc::RTN_UNICAST,
            &[attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1])],
        );
        for length in 0..whole.len() {
            assert_eq!(gateways_of(&whole[..length]), [] as [IpAddr; 0]);
            assert_eq!(messages(&whole[..length]).count(), 0);
        }
        let via = route(
            libc::AF_INET,
            0,
            libc::RTN_UNICAST,
            &[
                attribute(libc::RTA_VIA, &[]),
                attribute(libc::RTA_VIA, &[2]),
            ],
        );
        assert_eq!(gateways_of(&via), [] as [IpAddr; 0]);
    }

    #[test]
    fn an_error_of_the_kernel_is_passed_on() {
        let mut datagram = 20_u32.to_ne_bytes().to_vec();
        datagram.extend(2_u16.to_ne_bytes());
        datagram.extend([0; 10]);
        datagram.extend((-libc::EPERM).to_ne_bytes());
        let answer: Vec<_> = messages(&datagram).collect();
        assert!(
            matches!(
                &answer[..],
                [Message::Outcome {
                    errno: libc::EPERM,
                    ..
                }]
            ),
            "{answer:?}"
        );
        let done = [&16_u32.to_ne_bytes()[..], &3_u16.to_ne_bytes(), &[0; 10]].concat();
        assert!(matches!(messages(&done).next(), Some(Message::Done)));
    }

    #[test]
    fn the_kernel_answers() {
        for family in [libc::AF_INET, libc::AF_INET6] {
            dump(family).unwrap();
        }
    }
}
