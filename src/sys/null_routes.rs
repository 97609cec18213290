//! Routes that lead nowhere: packets to such a network are answered by the
//! sender's own kernel with "no route to host" (ip-route(8), `unreachable`).
//!
//! Each of ours bears the protocol number of its owner, by which it is told
//! from those of others, and which `ip route show proto 165` lists. The kernel
//! holds ours beside a route of the administrator to the same network and
//! prefers ours: in IPv4 the one that was added last comes first
//! (fib_table_insert without NLM_F_APPEND), in IPv6 the one with the smaller
//! metric.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ipnetwork::IpNetwork;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sys::rtnetlink::{self, Message, Route, family, messages, octets};

/// Whose routes they are. Those of one never touch those of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    RouteNull,
    BlockIp,
}

impl Owner {
    /// Not in use by any routing daemon (linux/rtnetlink.h, rt_protos of
    /// iproute2).
    fn protocol(self) -> u8 {
        match self {
            Self::RouteNull => 165,
            Self::BlockIp => 166,
        }
    }

    /// Of IPv6 only; others have 1,024 (`IP6_RT_PRIO_USER`), or 256 of the
    /// kernel. Two with the same are one to the kernel, whatever their
    /// protocols (rt6_duplicate_nexthop).
    fn metric(self) -> u32 {
        match self {
            Self::RouteNull => 1,
            Self::BlockIp => 2,
        }
    }
}

const BUFFER_BYTES: usize = 32 << 10;

/// How many questions are sent at once: the answers to 64 fit a receive buffer
/// of the default size (212,992 bytes) several times.
const AT_ONCE: usize = 64;

/// Why a route is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("change the routes\n(run as root, or with CAP_NET_ADMIN)")]
    NotPermitted(#[source] io::Error),
    #[error("change the routes of IPv6\n(this kernel has none; is ipv6.disable=1 set?)")]
    NoFamily(#[source] io::Error),
    #[error("change the routes")]
    Kernel(#[source] io::Error),
    #[error("talk to rtnetlink")]
    Socket(#[source] io::Error),
    #[error(
        "make packets to {0} go nowhere: another route is used in place of it\n(see `ip rule` and `ip route get`)"
    )]
    Overruled(IpNetwork),
    #[error("take the route to {0} away: it is still there")]
    Stays(IpNetwork),
}

/// Whether a route of ours was there before a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Before {
    There,
    Missing,
}

/// A connection to the routing tables of the kernel. After an error of a whole
/// call it is of no more use.
#[derive(Debug)]
pub struct NullRoutes {
    owner: Owner,
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Of the next question. None comes twice, so that a late answer is never
    /// taken for that to another.
    number: u32,
}

impl NullRoutes {
    pub fn open(owner: Owner) -> Result<Self, RouteError> {
        Ok(Self {
            owner,
            socket: rtnetlink::open().map_err(RouteError::Socket)?,
            buffer: vec![0; BUFFER_BYTES],
            number: 0,
        })
    }

    /// Lets packets to networks go nowhere, and looks whether they do. The
    /// answers are in the order of `networks`. One that the kernel refuses has
    /// the reason in its place and keeps no other from being added; the error of
    /// the whole means that nothing is known of any.
    pub fn add(
        &mut self,
        networks: &[IpNetwork],
    ) -> Result<Vec<Result<Before, RouteError>>, RouteError> {
        let added = self.ask(networks.iter().copied().map(Question::Add))?;
        // The answer where a route leads nowhere (inet_rtm_getroute,
        // inet6_rtm_getroute).
        let look_ups = networks.iter().map(|network| network.network());
        let found = self.ask(look_ups.map(Question::LookUp))?;
        let mut changes = Vec::with_capacity(networks.len());
        let mut in_vain = Vec::new();
        for ((&network, added), found) in networks.iter().zip(added).zip(found) {
            let before = match added {
                0 => Ok(Before::Missing),
                libc::EEXIST => Ok(Before::There),
                errno => Err(refused(errno)),
            };
            changes.push(before.and_then(|before| match (found, before) {
                (libc::EHOSTUNREACH, before) => Ok(before),
                (_, Before::There) => Err(RouteError::Overruled(network)),
                (_, Before::Missing) => {
                    in_vain.push(network);
                    Err(RouteError::Overruled(network))
                }
            }));
        }
        self.ask(in_vain.into_iter().map(Question::Delete))?;
        Ok(changes)
    }

    /// Takes our routes to networks away, and looks whether they are gone. The
    /// answers are as those of [`NullRoutes::add`].
    pub fn delete(
        &mut self,
        networks: &[IpNetwork],
    ) -> Result<Vec<Result<Before, RouteError>>, RouteError> {
        let delete = || networks.iter().copied().map(Question::Delete);
        let deleted = self.ask(delete())?;
        // What is gone cannot be taken away again.
        let again = self.ask(delete())?;
        let outcomes = networks.iter().zip(deleted.into_iter().zip(again));
        Ok(outcomes
            .map(|(&network, outcome)| match outcome {
                (libc::ESRCH, _) => Ok(Before::Missing),
                (0, libc::ESRCH) => Ok(Before::There),
                (0, _) => Err(RouteError::Stays(network)),
                (errno, _) => Err(refused(errno)),
            })
            .collect())
    }

    /// Sends questions, many at once, and returns the answers: 0, or the errno.
    fn ask(&mut self, questions: impl Iterator<Item = Question>) -> Result<Vec<i32>, RouteError> {
        let questions: Vec<_> = questions.collect();
        let mut answers = Vec::with_capacity(questions.len());
        for some in questions.chunks(AT_ONCE) {
            answers.extend(self.ask_some(some)?);
        }
        Ok(answers)
    }

    fn ask_some(&mut self, questions: &[Question]) -> Result<Vec<i32>, RouteError> {
        let first = self.number;
        let mut requests = Vec::new();
        for question in questions {
            requests.extend(question.request(self.number, self.owner));
            self.number = self.number.wrapping_add(1);
        }
        let send_all = || send(&self.socket, &requests, SendFlags::empty());
        retry_on_intr(send_all).map_err(broken)?;
        let mut answers = vec![None; questions.len()];
        while answers.contains(&None) {
            let receive = || recv(&self.socket, &mut self.buffer[..], RecvFlags::empty());
            let (length, _) = retry_on_intr(receive).map_err(broken)?;
            for message in messages(&self.buffer[..length]) {
                if let Message::Outcome { number, errno } = message
                    && let Some(answer) = answers.get_mut(number.wrapping_sub(first) as usize)
                {
                    *answer = Some(errno);
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Add(IpNetwork),
    Delete(IpNetwork),
    /// Whether packets to an address could be sent.
    LookUp(IpAddr),
}

impl Question {
    fn request(self, number: u32, owner: Owner) -> Vec<u8> {
        let (verb, flags, address, prefix) = match self {
            // Without NLM_F_EXCL: ours goes beside that of another.
            Self::Add(network) => (
                libc::RTM_NEWROUTE,
                libc::NLM_F_CREATE,
                network.network(),
                network.prefix(),
            ),
            Self::Delete(network) => (libc::RTM_DELROUTE, 0, network.network(), network.prefix()),
            Self::LookUp(address) => (
                libc::RTM_GETROUTE,
                0,
                address,
                IpNetwork::from(address).prefix(),
            ),
        };
        let is_look_up = matches!(self, Self::LookUp(_));
        let ours = Route {
            table: libc::RT_TABLE_MAIN,
            protocol: owner.protocol(),
            kind: libc::RTN_UNREACHABLE,
            ..Route::default()
        };
        let route = Route {
            family: family(address),
            prefix,
            ..if is_look_up { Route::default() } else { ours }
        };
        let destination = octets(address);
        let metric = owner.metric().to_ne_bytes();
        let mut attributes: Vec<(u16, &[u8])> = vec![(libc::RTA_DST, &destination)];
        if address.is_ipv6() && !is_look_up {
            attributes.push((libc::RTA_PRIORITY, &metric));
        }
        // Each question gets its answer, whatever it is.
        let flags = flags | libc::NLM_F_ACK;
        rtnetlink::request(verb, flags, number, route, &attributes)
    }
}

fn refused(errno: i32) -> RouteError {
    let error = io::Error::from_raw_os_error(errno);
    match errno {
        libc::EPERM | libc::EACCES => RouteError::NotPermitted(error),
        libc::EAFNOSUPPORT | libc::EOPNOTSUPP => RouteError::NoFamily(error),
        _ => RouteError::Kernel(error),
    }
}

fn broken(errno: Errno) -> RouteError {
    RouteError::Socket(io::Error::from(errno))
}
