//! Two hosts, each at a virtual wire to a third that sends: one with nothing in
//! force and one with something. Both get the same datagrams in turn, so that
//! what else the machine does befalls them alike.
//!
//! The thread that sends also receives: the kernel takes a packet that has
//! come out of a veth(4) up through the hooks before `sendmmsg` returns. So
//! the time the call takes is what the packets cost, on their whole way.

use std::fs::File;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, ipproto,
    sendmmsg, socket_with, sockopt,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::isolation::run;

const PORT: u16 = 9;

/// Datagrams in one call: 1 to 2 ms.
const AT_ONCE: u32 = 500;
/// Different calls, which come in turn: 20,000 addresses.
const CALLS: u32 = 40;
/// So many are measured on each host.
const MEASURED: usize = 500;
/// No more are begun after so long, once there are a few.
const LONG: Duration = Duration::from_secs(4);
const FEW: usize = 40;

#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// With nothing in force.
    None,
    /// With something.
    Some,
}

impl Host {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Some => "some",
        }
    }

    fn address(self) -> Ipv4Addr {
        match self {
            Self::None => Ipv4Addr::new(192, 0, 2, 1),
            Self::Some => Ipv4Addr::new(198, 51, 100, 1),
        }
    }

    fn gateway(self) -> Ipv4Addr {
        let [a, b, c, _] = self.address().octets();
        Ipv4Addr::new(a, b, c, 254)
    }

    /// Does something on the network of this host.
    pub fn within<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        within(self.name(), work)
    }

    /// Lays its wire.
    fn connect(self) {
        let (name, address, gateway) = (self.name(), self.address(), self.gateway());
        for line in [
            format!("netns add {name}"),
            format!("-n {name} link set lo up"),
            format!("-n {name} link add wire type veth peer name {name} netns sender"),
            format!("-n {name} addr add {address}/24 dev wire"),
            format!("-n {name} link set wire up"),
            format!("-n {name} route add default via {gateway}"),
            format!("-n sender addr add {gateway}/24 dev {name}"),
            format!("-n sender link set {name} up"),
        ] {
            run("ip", &line.split(' ').collect::<Vec<_>>());
        }
    }

    /// Datagrams that came as far as to a socket, taken or not.
    fn arrivals(self) -> u64 {
        let text = self.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let line = text.lines().filter(|line| line.starts_with("Udp:")).nth(1);
        let field = |at: usize| line.unwrap().split(' ').nth(at).unwrap().parse::<u64>();
        // InDatagrams and RcvbufErrors.
        field(1).unwrap() + field(5).unwrap()
    }
}

/// Runs this in a thread of its own on the network of that name. A socket that
/// is made there stays there.
fn within<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let moved = scope.spawn(|| {
            let namespace = File::open(format!("/run/netns/{name}")).unwrap();
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            work()
        });
        moved.join().unwrap()
    })
}

/// ns for each packet, of which one call in ten was cheaper: the others pay
/// for what else the machine does.
pub struct Cost {
    /// On the host with nothing in force.
    pub none: f64,
    /// And on the other.
    pub some: f64,
}

pub struct Wires {
    sender: OwnedFd,
    /// Takes what arrives. Nobody reads it: it is full at once, and from then
    /// on the kernel drops each packet there, at the end of its way.
    _receivers: [UdpSocket; 2],
}

impl Wires {
    /// Once for each namespace.
    pub fn new() -> Self {
        run("ip", &["netns", "add", "sender"]);
        let receivers = [Host::None, Host::Some].map(|host| {
            host.connect();
            host.within(|| UdpSocket::bind((host.address(), PORT)).unwrap())
        });
        let wires = Self {
            sender: within("sender", sender),
            _receivers: receivers,
        };
        // Until neighbours are known, receivers full, and caches filled.
        wires.measure(false);
        for host in [Host::None, Host::Some] {
            let before = host.arrivals();
            wires.send(&Call::new(host, false, 0));
            let arrived = host.arrivals() - before;
            assert_eq!(arrived, u64::from(AT_ONCE), "packets are lost");
        }
        wires
    }

    /// What a packet costs; with `blocked`, one from addresses that are in
    /// force on the host that has some.
    pub fn measure(&self, blocked: bool) -> Cost {
        let calls: Vec<_> = (0..CALLS)
            .map(|number| [Host::None, Host::Some].map(|host| Call::new(host, blocked, number)))
            .collect();
        let began = Instant::now();
        let pairs: Vec<[f64; 2]> = (0..MEASURED)
            .take_while(|done| *done < FEW || began.elapsed() < LONG)
            .map(|number| {
                calls[number % calls.len()]
                    .each_ref()
                    .map(|call| self.send(call))
            })
            .collect();
        let tenth = |at: usize| {
            let mut costs: Vec<f64> = pairs.iter().map(|pair| pair[at]).collect();
            costs.sort_by(f64::total_cmp);
            costs[costs.len() / 10]
        };
        Cost {
            none: tenth(0),
            some: tenth(1),
        }
    }

    /// ns for each packet of this call.
    fn send(&self, call: &Call) -> f64 {
        let bytes = call.datagrams.iter().map(|one| [IoSlice::new(one)]);
        let bytes: Vec<[IoSlice<'_>; 1]> = bytes.collect();
        let controls = bytes.iter().map(|_| SendAncillaryBuffer::default());
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = controls.collect();
        let to = call.to.as_any();
        let mut messages: Vec<MMsgHdr<'_>> = bytes
            .iter()
            .zip(&mut controls)
            .map(|(bytes, control)| MMsgHdr::new_with_addr(&to, bytes, control))
            .collect();
        let began = Instant::now();
        let sent = sendmmsg(&self.sender, &mut messages, SendFlags::empty()).unwrap();
        let took = began.elapsed();
        assert_eq!(sent, call.datagrams.len());
        took.as_secs_f64() * 1e9 / f64::from(AT_ONCE)
    }
}

fn sender() -> OwnedFd {
    // ip(7), raw(7): with this protocol the header is ours, and so the source.
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(ipproto::RAW),
    )
    .unwrap();
    sockopt::set_socket_send_buffer_size(&socket, 1 << 20).unwrap();
    socket
}

/// The datagrams of one call, each from an address of its own.
struct Call {
    to: SocketAddr,
    datagrams: Vec<Vec<u8>>,
}

impl Call {
    fn new(host: Host, blocked: bool, call: u32) -> Self {
        let datagrams = (0..AT_ONCE).map(|number| {
            let number = call * AT_ONCE + number;
            // The first 1,000 in 10.0.0.0/8 are blocked wherever some are.
            let from = match blocked {
                true => 0x0a00_0000 + number % 1_000,
                false => 0xc612_0000 + number,
            };
            datagram(Ipv4Addr::from_bits(from), host.address())
        });
        Self {
            to: SocketAddr::V4(SocketAddrV4::new(host.address(), 0)),
            datagrams: datagrams.collect(),
        }
    }
}

/// RFC 791 and RFC 768. What is zero is filled in by the kernel, or is a
/// checksum that is not asked for.
fn datagram(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(40_000_u16.to_be_bytes());
    bytes.extend(PORT.to_be_bytes());
    bytes.extend([0, 12, 0, 0]);
    bytes.extend(*b"test");
    bytes
}
