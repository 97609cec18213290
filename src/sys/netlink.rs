//! Messages of netlink(7) as bytes, and how a list is asked for and orders are
//! given. Layouts: linux/netlink.h.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

const HEADER: usize = size_of::<libc::nlmsghdr>();
pub(super) const ATTRIBUTE_HEADER: usize = 4;

/// The upper bits of the kind of an attribute are flags (`NLA_F_NESTED`,
/// `NLA_F_NET_BYTEORDER`).
const KIND_OF_ATTRIBUTE: u16 = 0x3fff;

/// A kernel that has nothing to say answers at once; this only keeps a fault
/// from becoming a hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The kernel makes no message of a list larger than what it is offered, up to
/// this.
const BUFFER_BYTES: usize = 32 << 10;

/// How many orders are sent at once: the answers to 64 fit a receive buffer of
/// the default size (212,992 bytes) several times.
const ORDERS: usize = 64;

/// A socket of a protocol; none is NETLINK_ROUTE, which is protocol 0.
pub(super) fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
    Ok(socket)
}

/// A request with its number.
pub(super) fn request(kind: u16, flags: i32, number: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).expect("a request is far below 4 GiB");
    let flags = (libc::NLM_F_REQUEST | flags) as u16;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    // The port is the kernel's to fill in.
    message.extend([0; 4]);
    message.extend(body);
    message.resize(aligned(message.len()), 0);
    message
}

/// Appends an attribute.
pub(super) fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).expect("a few bytes");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    kind: u16,
    flags: u16,
    /// That of the request it belongs to.
    pub number: u32,
    payload: &'a [u8],
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// A list is complete, or broken off with this errno.
    Done(i32),
    /// The outcome of a request: 0, or the errno.
    Outcome(i32),
    /// Something else, of this kind.
    Item(u16, &'a [u8]),
}

impl<'a> Message<'a> {
    pub(super) fn content(&self) -> Content<'a> {
        // The negative errno stands first.
        let errno = |missing| {
            u32_at(self.payload, 0).map_or(missing, |code| code.cast_signed().wrapping_neg())
        };
        match i32::from(self.kind) {
            libc::NLMSG_DONE => Content::Done(errno(0)),
            libc::NLMSG_ERROR => Content::Outcome(errno(libc::EIO)),
            _ => Content::Item(self.kind, self.payload),
        }
    }

    /// Whether what is listed has changed meanwhile.
    fn is_interrupted(&self) -> bool {
        i32::from(self.flags) & libc::NLM_F_DUMP_INTR != 0
    }
}

/// The messages of one datagram.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            number: u32_at(datagram, 8)?,
            payload: datagram.get(HEADER..length)?,
        };
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}

/// Splits bytes into parts that begin with their own length in two bytes,
/// followed by two bytes of kind, behind a header of `header` bytes.
pub(super) fn parts(mut bytes: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & KIND_OF_ATTRIBUTE;
        let value = bytes.get(header..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(super) fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    parts(attributes, ATTRIBUTE_HEADER).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// How the reading of a list ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listed {
    Whole,
    /// Something may be missing: the list changed meanwhile, or the kernel ran
    /// out of room for it.
    Torn,
    /// The kernel lists none, for this errno; `EPROTONOSUPPORT` where it does
    /// not know the protocol.
    Refused(i32),
}

/// Asks for a list and hands on what stands in it, message by message. It takes
/// a socket of its own, as one on which a list broke off is of no more use.
pub(super) fn list(
    protocol: Option<Protocol>,
    kind: u16,
    body: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<Listed> {
    let socket = match open(protocol) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Ok(Listed::Refused(libc::EPROTONOSUPPORT));
        }
        socket => socket?,
    };
    let question = request(kind, libc::NLM_F_DUMP, 0, body);
    send(&socket, &question, SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut listed = Listed::Whole;
    loop {
        let length = match receive(&socket, &mut buffer) {
            Ok(length) => length,
            Err(Errno::NOBUFS) => return Ok(Listed::Torn),
            Err(errno) => return Err(errno.into()),
        };
        for message in messages(&buffer[..length]) {
            if message.is_interrupted() {
                listed = Listed::Torn;
            }
            match message.content() {
                Content::Done(0) => return Ok(listed),
                Content::Done(libc::EINTR | libc::ENOBUFS) => return Ok(Listed::Torn),
                Content::Done(errno) | Content::Outcome(errno) => {
                    return Ok(Listed::Refused(errno));
                }
                Content::Item(_, payload) => each(payload),
            }
        }
    }
}

/// A socket over which orders are given.
#[derive(Debug)]
pub(super) struct Orders {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Of the next order. None comes twice, so that a late answer is never
    /// taken for that to another.
    number: u32,
}

impl Orders {
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        Ok(Self {
            socket: open(protocol)?,
            buffer: vec![0; BUFFER_BYTES],
            number: 0,
        })
    }

    /// Gives orders of one kind, many at once, and returns the answer to each:
    /// 0, or the errno.
    pub(super) fn give(&mut self, kind: u16, bodies: &[Vec<u8>]) -> io::Result<Vec<i32>> {
        let mut answers = Vec::with_capacity(bodies.len());
        for some in bodies.chunks(ORDERS) {
            answers.extend(self.give_some(kind, some)?);
        }
        Ok(answers)
    }

    fn give_some(&mut self, kind: u16, bodies: &[Vec<u8>]) -> io::Result<Vec<i32>> {
        let first = self.number;
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend(request(kind, libc::NLM_F_ACK, self.number, body));
            self.number = self.number.wrapping_add(1);
        }
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answers = vec![None; bodies.len()];
        while answers.contains(&None) {
            let length = receive(&self.socket, &mut self.buffer)?;
            for message in messages(&self.buffer[..length]) {
                let place = message.number.wrapping_sub(first) as usize;
                if let Content::Outcome(errno) = message.content()
                    && let Some(answer) = answers.get_mut(place)
                {
                    *answer = Some(errno);
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

/// The length of the next datagram. A signal is no reason to give up.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::empty()))
        .map(|(length, _)| length)
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

#[cfg(test)]
mod tests {
    use super::{
        Content, HEADER, Listed, Orders, attribute, find, list, messages, parts, request, u16_at,
    };

    #[test]
    fn what_is_written_can_be_read() {
        let mut body = Vec::new();
        attribute(&mut body, 1 | 1 << 15, b"abc");
        attribute(&mut body, 2, &[]);
        let two = [request(20, 0, 7, &body), request(21, 4, 8, &[])].concat();
        let read: Vec<_> = messages(&two).collect();
        let [first, second] = read[..] else {
            panic!("{read:?}");
        };
        assert_eq!((first.number, second.number), (7, 8));
        assert_eq!(u16_at(&two, 6), Some(libc::NLM_F_REQUEST as u16));
        let Content::Item(20, payload) = first.content() else {
            panic!("{first:?}");
        };
        let kinds: Vec<_> = parts(payload, 4).map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [1, 2]);
        assert_eq!(find(payload, 1), Some(&b"abc"[..]));
        assert_eq!(find(payload, 3), None);
    }

    #[test]
    fn a_datagram_cut_anywhere_ends_the_reading_without_a_panic() {
        let whole = [request(20, 0, 7, &[1; 12]), request(3, 0, 7, &[0; 4])].concat();
        for length in 0..whole.len() {
            assert!(messages(&whole[..length]).count() < 2);
        }
        // A length that would never let it go on.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(parts(&[0; 64], 4).count(), 0);
    }

    #[test]
    fn an_answer_is_an_errno_or_an_item() {
        let of = |kind: i32, code: i32| request(kind as u16, 0, 0, &(-code).to_ne_bytes());
        for (message, wanted) in [
            (of(libc::NLMSG_DONE, 0), "Done(0)"),
            (of(libc::NLMSG_DONE, libc::EINTR), "Done(4)"),
            (of(libc::NLMSG_ERROR, libc::EPERM), "Outcome(1)"),
            (request(libc::NLMSG_ERROR as u16, 0, 0, &[]), "Outcome(5)"),
        ] {
            let content = messages(&message).next().unwrap().content();
            assert_eq!(format!("{content:?}"), wanted);
        }
    }

    /// NETLINK_ROUTE, which every kernel has.
    #[test]
    fn the_kernel_lists_and_answers_each_order() {
        let links = libc::RTM_GETLINK;
        let mut seen = 0;
        let listed = list(None, links, &[0; 16], |item| {
            assert!(item.len() >= HEADER);
            seen += 1;
        });
        assert_eq!(listed.unwrap(), Listed::Whole);
        assert!(seen > 0);
        let mut orders = Orders::open(None).unwrap();
        // No such interface, and a message so short that it is passed over.
        let mut missing = vec![0; 16];
        missing[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let asked: Vec<_> = (0..200)
            .map(|n| if n % 2 == 0 { missing.clone() } else { vec![] })
            .collect();
        let answers = orders.give(links, &asked).unwrap();
        assert_eq!(answers, [libc::ENODEV, 0].repeat(100));
    }
}
