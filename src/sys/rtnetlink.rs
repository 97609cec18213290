//! Messages of rtnetlink(7) about routes, as bytes. Layouts: linux/netlink.h,
//! linux/rtnetlink.h.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use crate::sys::netlink::{self, Content, attribute};

pub(super) use crate::sys::netlink::{ATTRIBUTE_HEADER, parts, u16_at};

/// `struct rtmsg`.
pub(super) const ROUTE_HEADER: usize = 12;

/// A socket of NETLINK_ROUTE.
pub(super) fn open() -> io::Result<OwnedFd> {
    netlink::open(None)
}

/// The route that a request is about; what is zero is not said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Route {
    pub family: i32,
    pub prefix: u8,
    pub table: u8,
    pub protocol: u8,
    pub kind: u8,
}

/// A request, numbered, with its attributes.
pub(super) fn request(
    verb: u16,
    flags: i32,
    number: u32,
    route: Route,
    attributes: &[(u16, &[u8])],
) -> Vec<u8> {
    let mut body = [0; ROUTE_HEADER];
    body[0] = route.family as u8;
    body[1] = route.prefix;
    body[4] = route.table;
    body[5] = route.protocol;
    body[7] = route.kind;
    let mut body = body.to_vec();
    for (kind, value) in attributes {
        attribute(&mut body, *kind, value);
    }
    netlink::request(verb, flags, number, &body)
}

/// A message of the kernel.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// A dump is complete.
    Done,
    /// From its `rtmsg` on.
    Route(&'a [u8]),
    /// The outcome of the request with this number: 0, or the errno.
    Outcome {
        number: u32,
        errno: i32,
    },
    Other,
}

/// The messages of one datagram.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    netlink::messages(datagram).map(|message| match message.content() {
        Content::Done(0) => Message::Done,
        Content::Done(errno) | Content::Outcome(errno) => Message::Outcome {
            number: message.number,
            errno,
        },
        Content::Item(libc::RTM_NEWROUTE, payload) => Message::Route(payload),
        Content::Item(_, _) => Message::Other,
    })
}

/// An address as it stands in an attribute.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn family(address: IpAddr) -> i32 {
    match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    }
}
