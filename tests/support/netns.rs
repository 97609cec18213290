//! Namespaces for tests of the executables: the test binary starts itself
//! again, for one test, under unshare(1), with network, mounts and processes
//! of its own. Works as root and, through a user namespace, as anybody else.

use std::any::type_name;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

const INSIDE: &str = "RIPOST_TEST_NETNS";
const REQUIRED: &str = "RIPOST_REQUIRE_NETNS";
const SPACES: &[&str] = &[
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// Runs `test`, the closure that a test function consists of, in namespaces of
/// its own. Where these cannot be had, the test says SKIPPED and its name, or
/// fails if `RIPOST_REQUIRE_NETNS` is 1.
pub fn reexec_in_namespace<F: FnOnce()>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        // For ip(8), which keeps its names there, and for nobody else's eyes.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
        std::fs::create_dir("/run/netns").unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        return test();
    }
    // libtest calls a test by its path without the crate; so is its closure.
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    let name = path.split_once("::").expect("a closure has a path").1;
    let Some(user) = ways_in() else {
        let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "1");
        assert!(!required, "{name} needs namespaces, and there are none");
        eprintln!("SKIPPED {name}: this system allows no namespaces");
        return;
    };
    let output = Command::new("unshare")
        .args(user)
        .args(SPACES)
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{name} in its namespaces:\n{said}");
    assert!(said.contains("1 passed"), "{name} did not run:\n{said}");
}

/// What unshare(1) needs here besides the spaces: nothing as root, a user
/// namespace otherwise.
fn ways_in() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    ways.into_iter().find(|way| {
        Command::new("unshare")
            .args(*way)
            .args(SPACES)
            .args(["ip", "link", "set", "lo", "up"])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

/// Runs a tool that must succeed, and returns what it printed.
#[track_caller]
pub fn run(tool: &str, arguments: &[&str]) -> String {
    assert!(
        std::env::var_os(INSIDE).is_some(),
        "{tool} outside a namespace"
    );
    let output = Command::new(tool).args(arguments).output();
    let output = output.unwrap_or_else(|why| panic!("start {tool}: {why}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two hosts and a wire. The test is on the side of the attackers, where every
/// address of some networks can be sent from; executables run on the other.
pub struct Netns(());

const SERVER: &str = "/run/netns/server";
const SERVER_4: &str = "192.0.2.1";
const SERVER_6: &str = "2001:db8::1";

/// How long an answer over the virtual wire of a busy machine may take.
const ANSWER: Duration = Duration::from_millis(100);

impl Netns {
    /// Lays the wire, once in a test. Attackers may have the addresses
    /// 198.51.100.0/24 and 2001:db8:bad::/48.
    pub fn new() -> Self {
        for line in [
            "netns add server",
            "link add wire type veth peer name eth0 netns server",
            "addr add 192.0.2.254/24 dev wire",
            "addr add 2001:db8::fe/64 dev wire nodad",
            "link set wire up",
            "route add local 198.51.100.0/24 dev lo",
            "-6 route add local 2001:db8:bad::/48 dev lo",
            "-n server link set lo up",
            "-n server addr add 192.0.2.1/24 dev eth0",
            "-n server addr add 2001:db8::1/64 dev eth0 nodad",
            "-n server link set eth0 up",
            "-n server route add default via 192.0.2.254",
            "-n server -6 route add default via 2001:db8::fe",
        ] {
            run("ip", &line.split(' ').collect::<Vec<_>>());
        }
        std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        let net = Self(());
        // Neighbour discovery may take a moment.
        wait_for("the wire carries packets", || {
            net.tcp_arrives("198.51.100.1") && net.tcp_arrives("2001:db8:bad::1")
        });
        net
    }

    /// The command line of a program on the server.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={SERVER}")).arg(program);
        command
    }

    /// Runs nft(8) on the server.
    #[track_caller]
    pub fn nft(&self, arguments: &str) -> String {
        let net = format!("--net={SERVER}");
        let words = arguments.split(' ');
        let line: Vec<&str> = [net.as_str(), "nft"].into_iter().chain(words).collect();
        run("nsenter", &line)
    }

    /// Whether a connection attempt from this address arrives: nothing listens,
    /// so the server's kernel answers with a reset.
    pub fn tcp_arrives(&self, from: &str) -> bool {
        let from: IpAddr = from.parse().unwrap();
        let family = match from {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &SocketAddr::new(from, 0)).unwrap();
        match connect(&socket, &server(from, 22)) {
            Err(Errno::INPROGRESS) => answered(&socket),
            Err(Errno::CONNREFUSED) => true,
            // No route to the neighbour yet.
            Err(Errno::HOSTUNREACH | Errno::NETUNREACH) => false,
            other => panic!("connect from {from}: {other:?}"),
        }
    }

    /// Whether a datagram from this address arrives: the server counts those
    /// for which nobody listens.
    pub fn udp_arrives(&self, from: &str) -> bool {
        let from: IpAddr = from.parse().unwrap();
        let before = self.stray_datagrams();
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.send_to(b"x", server(from, 9)).unwrap();
        // The wire is virtual: the packet is through when sending returns, or
        // a few softirqs later.
        let end = std::time::Instant::now() + ANSWER;
        while std::time::Instant::now() < end {
            if self.stray_datagrams() > before {
                return true;
            }
        }
        false
    }

    /// Datagrams to closed ports, of both families.
    fn stray_datagrams(&self) -> u64 {
        let output = self
            .command("cat")
            .args(["/proc/self/net/snmp", "/proc/self/net/snmp6"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let udp = text.lines().filter(|line| line.starts_with("Udp:")).nth(1);
        let v4 = udp.and_then(|line| line.split(' ').nth(2)).unwrap();
        let v6 = text
            .lines()
            .find_map(|line| line.strip_prefix("Udp6NoPorts"));
        v4.parse::<u64>().unwrap() + v6.unwrap().trim().parse::<u64>().unwrap()
    }
}

fn server(from: IpAddr, port: u16) -> SocketAddr {
    let address = if from.is_ipv4() { SERVER_4 } else { SERVER_6 };
    SocketAddr::new(address.parse().unwrap(), port)
}

fn answered(socket: &OwnedFd) -> bool {
    let wait = Timespec::try_from(ANSWER).unwrap();
    let mut sockets = [PollFd::new(socket, PollFlags::OUT)];
    if poll(&mut sockets, Some(&wait)).unwrap() == 0 {
        return false;
    }
    match sockopt::socket_error(socket).unwrap() {
        Err(Errno::CONNREFUSED) => true,
        Err(Errno::HOSTUNREACH) => false,
        other => panic!("connection attempt: {:?}", other.map_err(io::Error::from)),
    }
}

/// Waits until `holds`, and fails after ten seconds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < end, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
