//! Two hosts on one wire: a server, where the daemons run, and a network full
//! of attackers, where the test itself runs.
//!
//! Whether packets arrive is asked with TCP: nothing listens on the server, so
//! its kernel answers each connection attempt that arrives with a reset. No
//! process on the server takes part, and an answer that does not come within a
//! few milliseconds on a virtual wire does not come at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::isolation::run;
use super::wait_for;

const SERVER: &str = "/run/netns/server";

/// The server's addresses.
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The server's default gateways, on the attackers' side.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

/// Networks of which every address is an attacker's.
const ATTACKERS_V4: &[&str] = &["198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"];
const ATTACKERS_V6: &str = "2001:db8:bad::/48";

/// Long enough for an answer over the virtual wire of a busy machine.
const ANSWER: Duration = Duration::from_millis(60);

pub struct Net(());

impl Net {
    /// Lays the wire. Once for each test.
    pub fn new() -> Self {
        run("ip", &["netns", "add", "server"]);
        run("ip", &["link", "set", "lo", "up"]);
        run(
            "ip",
            &[
                "link", "add", "wire", "type", "veth", "peer", "name", "eth0", "netns", "server",
            ],
        );
        let net = Self(());
        let ours = |words: &str| drop(run("ip", &words.split(' ').collect::<Vec<_>>()));
        let server = |words: &str| drop(net.server("ip", &words.split(' ').collect::<Vec<_>>()));
        ours(&format!("addr add {GATEWAY_V4}/24 dev wire"));
        ours(&format!("addr add {GATEWAY_V6}/64 dev wire nodad"));
        ours("link set wire up");
        server("link set lo up");
        server(&format!("addr add {SERVER_V4}/24 dev eth0"));
        server(&format!("addr add {SERVER_V6}/64 dev eth0 nodad"));
        server("link set eth0 up");
        server(&format!("route add default via {GATEWAY_V4}"));
        server(&format!("-6 route add default via {GATEWAY_V6}"));
        // ip-route(8), type local: each address of these networks is ours to
        // send from, without a line for each.
        for network in ATTACKERS_V4 {
            ours(&format!("route add local {network} dev lo"));
        }
        ours(&format!("-6 route add local {ATTACKERS_V6} dev lo"));
        // Unlike IPv4, IPv6 asks for an address of ours, not a local route.
        std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        wait_for("the wire carries packets", Duration::from_secs(5), || {
            let probes = net.probe(&[GATEWAY_V4.into(), GATEWAY_V6.into()]);
            (probes == [true, true]).then_some(())
        });
        net
    }

    /// Runs a tool on the server.
    #[track_caller]
    pub fn server(&self, tool: &str, arguments: &[&str]) -> String {
        let net = format!("--net={SERVER}");
        run("nsenter", &[&[net.as_str(), tool], arguments].concat())
    }

    /// The command line that starts a program on the server, to be completed.
    pub fn on_server(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={SERVER}"));
        command
    }

    /// Whether a packet from this address arrives at the server now.
    pub fn arrives(&self, from: &str) -> bool {
        self.probe(&[address(from)]) == [true]
    }

    /// For each address whether a packet from it arrives at the server, all
    /// asked at once.
    pub fn probe(&self, from: &[IpAddr]) -> Vec<bool> {
        let waiting: Vec<Attempt> = from.iter().map(|from| Attempt::start(*from)).collect();
        let end = Instant::now() + ANSWER;
        waiting
            .iter()
            .map(|attempt| attempt.answered(end.saturating_duration_since(Instant::now())))
            .collect()
    }

    /// Waits until packets from this address no longer arrive.
    #[track_caller]
    pub fn wait_blocked(&self, from: &str, deadline: Duration) {
        wait_for(&format!("{from} is blocked"), deadline, || {
            (!self.arrives(from)).then_some(())
        });
    }

    /// Waits until packets from this address arrive.
    #[track_caller]
    pub fn wait_open(&self, from: &str, deadline: Duration) {
        wait_for(&format!("{from} is open"), deadline, || {
            self.arrives(from).then_some(())
        });
    }

    /// The server's table `inet ripost` as nft prints it; empty if there is
    /// none.
    pub fn table(&self) -> String {
        let ruleset = self.server("nft", &["list", "tables"]);
        if !ruleset.lines().any(|line| line == "table inet ripost") {
            return String::new();
        }
        self.server("nft", &["list", "table", "inet", "ripost"])
    }

    /// Whether the table of the server holds this address.
    pub fn in_table(&self, address: &str) -> bool {
        self.table()
            .split(|c: char| c.is_whitespace() || c == ',')
            .any(|word| word == address)
    }
}

#[track_caller]
pub fn address(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no address"))
}

/// One connection attempt on its way.
pub struct Attempt {
    socket: OwnedFd,
    /// Set if it was over before it had to be waited for.
    early: Option<bool>,
}

impl Attempt {
    /// Sends the first packet of a connection from this address to the server.
    pub fn start(from: IpAddr) -> Self {
        match from {
            IpAddr::V4(_) => Self::to(from, SERVER_V4.into()),
            IpAddr::V6(_) => Self::to(from, SERVER_V6.into()),
        }
    }

    /// As [`Attempt::start`], to a host of the same family.
    pub fn to(from: IpAddr, host: IpAddr) -> Self {
        let family = match from {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddr::new(from, 0)).unwrap_or_else(|error| {
            panic!("{from} is not an attacker's address: {error}");
        });
        let early = match connect(&socket, &SocketAddr::new(host, 22)) {
            Err(Errno::INPROGRESS) => None,
            Err(Errno::CONNREFUSED) | Ok(()) => Some(true),
            Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => Some(false),
            Err(error) => panic!("connect from {from}: {error}"),
        };
        Self { socket, early }
    }

    /// Whether the server answered within `wait`.
    pub fn answered(&self, wait: Duration) -> bool {
        if let Some(early) = self.early {
            return early;
        }
        let wait = Timespec::try_from(wait).unwrap();
        let mut sockets = [PollFd::new(&self.socket, PollFlags::OUT)];
        if poll(&mut sockets, Some(&wait)).unwrap() == 0 {
            return false;
        }
        match sockopt::socket_error(&self.socket).unwrap() {
            Err(Errno::CONNREFUSED) | Ok(()) => true,
            Err(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::TIMEDOUT) => false,
            Err(error) => panic!("connection attempt: {error}"),
        }
    }
}
