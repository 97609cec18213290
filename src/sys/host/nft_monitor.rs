//! What others take away of our table, as the kernel tells it while it happens.
//! Plain netlink: what agentd is made of does not link libnftnl.
//!
//! The kernel tells of a transaction object by object, and then, in one message
//! of its own, which process has made it (nf_tables_commit, nf_tables_gen_notify
//! of net/netfilter/nf_tables_api.c). Elements that expire are not told of.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The table all bundled executables share.
pub const TABLE: &[u8] = b"ripost";

/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h), as a bit of the mask that
/// bind(2) takes.
const GROUP: u32 = 1 << (7 - 1);

/// Room for what comes while nobody reads: some 100,000 elements. More is
/// noticed as [`Seen::Overrun`].
const RECEIVE_BUFFER: usize = 8 << 20;

/// The kernel puts several messages into one datagram, of at most so much.
const DATAGRAM: usize = 64 << 10;

/// How many datagrams are read in a row before others get their turn.
const IN_A_ROW: usize = 256;

const HEADER: usize = size_of::<libc::nlmsghdr>();
/// `struct nfgenmsg`.
const GENERAL: usize = 4;

// linux/netfilter/nf_tables.h. The table is the first attribute of each object.
const ATTRIBUTE_TABLE: u16 = 1;
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;

/// What was noticed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// A transaction has taken something of ours away.
    Taken(Taken),
    /// The kernel had more to tell than there was room for.
    Overrun,
}

/// What one transaction has taken away of our table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The name of the process that did it (comm of proc(5)), escaped.
    pub by: String,
    /// Its number in the first pid namespace.
    pub pid: u32,
    /// Whether more than elements is gone: rules, sets, a chain, the table.
    pub rules: bool,
    pub elements: usize,
}

/// A member of the group to which nf_tables tells its changes.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    so_far: SoFar,
}

/// What a transaction has taken away whose end is still to come.
#[derive(Debug, Default)]
struct SoFar {
    rules: bool,
    elements: usize,
}

impl Monitor {
    /// Joins. Must be called within a tokio runtime. Errors are those of socket(2) and bind(2): `EPERM` without
    /// CAP_NET_ADMIN on some kernels, `EPROTONOSUPPORT` without nfnetlink.
    pub fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::NETFILTER),
        )?;
        // Beyond the bound of the system where that is allowed.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        // SAFETY: the descriptor is owned by an `OwnedFd`, which always returns the
        // same number and is given away to the `AsyncFd` for as long as that lives.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self {
            socket: registered.map_err(|error| error.into_parts().1)?,
            buffer: vec![0; DATAGRAM],
            so_far: SoFar::default(),
        })
    }

    /// What has been taken away since the last call; waits for it. Transactions
    /// of processes whose name `is_ours` are passed over. Safe to drop while it
    /// waits.
    pub async fn next(&mut self, is_ours: impl Fn(&str) -> bool) -> io::Result<Vec<Seen>> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut seen = Vec::new();
            for _ in 0..IN_A_ROW {
                let socket = ready.get_inner();
                match recv(socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                    Ok((_, length)) => {
                        let length = length.min(self.buffer.len());
                        let told = messages(&self.buffer[..length]);
                        seen.extend(told.filter_map(|it| self.so_far.take_in(&it, &is_ours)));
                    }
                    Err(Errno::AGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::NOBUFS) => {
                        // Some of a transaction may be missing.
                        self.so_far = SoFar::default();
                        seen.push(Seen::Overrun);
                    }
                    Err(errno) => return Err(errno.into()),
                }
            }
            if !seen.is_empty() {
                return Ok(seen);
            }
        }
    }
}

impl SoFar {
    fn take_in(&mut self, message: &Message<'_>, is_ours: impl Fn(&str) -> bool) -> Option<Seen> {
        match i32::from(message.kind) {
            libc::NFT_MSG_DELTABLE
            | libc::NFT_MSG_DELCHAIN
            | libc::NFT_MSG_DELRULE
            | libc::NFT_MSG_DELSET => self.rules |= message.is_about_us(),
            libc::NFT_MSG_DELSETELEM => self.elements += usize::from(message.is_about_us()),
            libc::NFT_MSG_NEWGEN => {
                let Self { rules, elements } = std::mem::take(self);
                let by = message.text(NFTA_GEN_PROC_NAME);
                if (!rules && elements == 0) || is_ours(&by) {
                    return None;
                }
                return Some(Seen::Taken(Taken {
                    by: by.escape_debug().to_string(),
                    pid: message.number(NFTA_GEN_PROC_PID),
                    rules,
                    elements,
                }));
            }
            _ => {}
        }
        None
    }
}

/// A message about nf_tables.
struct Message<'a> {
    /// Without the number of the subsystem.
    kind: u8,
    family: u8,
    attributes: &'a [u8],
}

impl Message<'_> {
    fn is_about_us(&self) -> bool {
        i32::from(self.family) == libc::NFPROTO_INET && self.bytes(ATTRIBUTE_TABLE) == TABLE
    }

    fn bytes(&self, wanted: u16) -> &[u8] {
        let mut found = attributes(self.attributes);
        let value = found.find(|(kind, _)| *kind == wanted);
        let value = value.map_or(&[][..], |(_, value)| value);
        value.strip_suffix(b"\0").unwrap_or(value)
    }

    fn text(&self, wanted: u16) -> String {
        String::from_utf8_lossy(self.bytes(wanted)).into_owned()
    }

    fn number(&self, wanted: u16) -> u32 {
        let mut found = attributes(self.attributes);
        let value = found.find(|(kind, _)| *kind == wanted);
        let bytes = value.and_then(|(_, value)| value.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }
}

/// The messages of nf_tables in one datagram.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        loop {
            let length = datagram.get(..4)?.try_into().ok()?;
            let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
            let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
            let body = datagram.get(HEADER..length)?;
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
            let [message, subsystem] = kind.to_le_bytes();
            if i32::from(subsystem) == libc::NFNL_SUBSYS_NFTABLES {
                return Some(Message {
                    kind: message,
                    family: *body.first()?,
                    attributes: body.get(GENERAL..)?,
                });
            }
        }
    })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        // The upper two bits are flags.
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::{Seen, SoFar, Taken, messages};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: i32, family: i32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = attributes.concat();
        let length = u32::try_from(20 + body.len()).unwrap();
        let kind = u16::try_from(libc::NFNL_SUBSYS_NFTABLES << 8 | kind).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend([u8::try_from(family).unwrap(), 0, 0, 0]);
        bytes.extend(body);
        bytes
    }

    fn about(kind: i32, table: &str) -> Vec<u8> {
        let name = [table.as_bytes(), b"\0"].concat();
        message(kind, libc::NFPROTO_INET, &[attribute(1, &name)])
    }

    fn by(name: &str) -> Vec<u8> {
        let number = attribute(2, &77_u32.to_be_bytes());
        let name = attribute(3, &[name.as_bytes(), b"\0"].concat());
        message(
            libc::NFT_MSG_NEWGEN,
            0,
            &[attribute(1, &[0; 4]), number, name],
        )
    }

    fn told(datagrams: &[Vec<u8>]) -> Vec<Seen> {
        let mut so_far = SoFar::default();
        let bytes = datagrams.concat();
        let is_ours = |name: &str| name == "firewall-drop";
        messages(&bytes)
            .filter_map(|message| so_far.take_in(&message, is_ours))
            .collect()
    }

    #[test]
    fn who_takes_what_away_of_our_table_is_told_once_a_transaction() {
        use libc::{
            NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSETELEM, NFT_MSG_DELTABLE,
            NFT_MSG_NEWSETELEM,
        };
        let taken = |by: &str, rules, elements| {
            vec![Seen::Taken(Taken {
                by: by.to_owned(),
                pid: 77,
                rules,
                elements,
            })]
        };
        let flush = [
            about(NFT_MSG_DELRULE, "ripost"),
            about(NFT_MSG_DELCHAIN, "ripost"),
            about(NFT_MSG_DELTABLE, "ripost"),
            about(NFT_MSG_DELTABLE, "other"),
            by("nft"),
            // Another one, of others only.
            about(NFT_MSG_DELTABLE, "other"),
            by("docker"),
        ];
        assert_eq!(told(&flush), taken("nft", true, 0));
        let two = about(NFT_MSG_DELSETELEM, "ripost").repeat(2);
        assert_eq!(
            told(&[two.clone(), by("n\u{1b}[2J")]),
            taken("n\\u{1b}[2J", false, 2)
        );
        assert_eq!(told(&[two, by("firewall-drop")]), []);
        assert_eq!(told(&[about(NFT_MSG_NEWSETELEM, "ripost"), by("nft")]), []);
        let bridge = message(NFT_MSG_DELTABLE, 7, &[attribute(1, b"ripost\0")]);
        assert_eq!(told(&[bridge, by("nft")]), []);
    }

    #[test]
    fn bytes_that_are_cut_anywhere_are_no_trouble() {
        let whole = [about(libc::NFT_MSG_DELTABLE, "ripost"), by("nft")].concat();
        for length in 0..whole.len() {
            assert!(told(&[whole[..length].to_vec()]).len() <= 1);
        }
    }
}
