//! Messages of rtnetlink(7) about routes, as bytes. Layouts: linux/netlink.h,
//! linux/rtnetlink.h.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

const HEADER: usize = size_of::<libc::nlmsghdr>();
/// `struct rtmsg`.
pub(super) const ROUTE_HEADER: usize = 12;
pub(super) const ATTRIBUTE_HEADER: usize = 4;

/// A kernel that has nothing to say answers at once; this only keeps a fault
/// from becoming a hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A socket of NETLINK_ROUTE, which is protocol 0.
pub(super) fn open() -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
    Ok(socket)
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
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).expect("a few bytes");
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(*value);
        body.resize(aligned(body.len()), 0);
    }
    let length = u32::try_from(HEADER + body.len()).expect("a few bytes");
    let flags = (libc::NLM_F_REQUEST | flags) as u16;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(verb.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    // The port is the kernel's to fill in.
    message.extend([0; 4]);
    message.extend(body);
    message
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

/// The messages of one datagram (netlink(7)).
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let kind = i32::from(u16_at(datagram, 4)?);
        let number = u32_at(datagram, 8)?;
        let payload = datagram.get(HEADER..length)?;
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
        Some(match kind {
            libc::NLMSG_DONE => Message::Done,
            // The negative errno stands first.
            libc::NLMSG_ERROR => Message::Outcome {
                number,
                errno: u32_at(payload, 0).map_or(libc::EIO, |code| (code as i32).wrapping_neg()),
            },
            kind if kind == i32::from(libc::RTM_NEWROUTE) => Message::Route(payload),
            _ => Message::Other,
        })
    })
}

/// Splits bytes into parts that begin with their own length in two bytes,
/// followed by two bytes of kind, behind a header of `header` bytes.
pub(super) fn parts(mut bytes: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The upper bits are flags (NLA_F_NESTED and the like).
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(header..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
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

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
