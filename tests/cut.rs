//! What is open with an address ends, and nothing else does. Every test has
//! namespaces of its own; the server on the other end of their wire is the
//! host on which is cut.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test looks at the time, and fails by panicking"
)]

#[path = "support/netns.rs"]
mod netns;
#[path = "support/run.rs"]
#[expect(dead_code, reason = "what other tests ask of a run")]
mod run;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netns::{Netns, reexec_in_namespace};
use ripost::sys::cut::{Cut, CutError, Sockets, cut};
use run::{FIREWALL_DROP, Home, add, feed};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::thread::{
    CapabilitySet, LinkNameSpaceType, capabilities, move_into_link_name_space, set_capabilities,
};

const ATTACKER: &str = "198.51.100.7";
const BYSTANDER: &str = "198.51.100.70";
const ATTACKER_6: &str = "2001:db8:bad::7";
const BYSTANDER_6: &str = "2001:db8:bad::70";
const SERVER: &str = "192.0.2.1";
const SERVER_6: &str = "2001:db8::1";

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `work` on a thread whose network is the server's. Sockets that it
/// returns are the server's wherever they are used.
fn on_server<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let network = File::open("/run/netns/server").unwrap();
    let inside = || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(network.as_fd(), kind).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
}

fn cut_on_server(network: &str) -> Cut {
    on_server(|| cut(&[network.parse().unwrap()])).unwrap()[0]
}

/// A TCP connection: the side of the server, and the other one.
struct Connection {
    server: TcpStream,
    other: TcpStream,
}

impl Connection {
    /// From an address of the attackers' networks to a listener of the server.
    fn inward(listener: &TcpListener, from: &str) -> Self {
        let from: IpAddr = from.parse().unwrap();
        let port = listener.local_addr().unwrap().port();
        let (family, server) = match from {
            IpAddr::V4(_) => (AddressFamily::INET, SERVER),
            IpAddr::V6(_) => (AddressFamily::INET6, SERVER_6),
        };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddr::new(from, 0)).unwrap();
        connect(&socket, &SocketAddr::new(server.parse().unwrap(), port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self::over(server, socket.into())
    }

    /// From the server to an address of the attackers' networks.
    fn outward(to: &str) -> Self {
        let listener = TcpListener::bind((to, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let server = on_server(|| TcpStream::connect(to).unwrap());
        Self::over(server, listener.accept().unwrap().0)
    }

    #[track_caller]
    fn over(server: TcpStream, other: TcpStream) -> Self {
        for side in [&server, &other] {
            side.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let connection = Self { server, other };
        connection.assert_open();
        connection
    }

    #[track_caller]
    fn assert_open(&self) {
        let sides = [(&self.server, &self.other), (&self.other, &self.server)];
        for (mut from, mut to) in sides {
            from.write_all(b"x").unwrap();
            to.read_exact(&mut [0]).unwrap();
        }
    }

    /// The server can no longer write, and the other side was told.
    #[track_caller]
    fn assert_cut(&self) {
        let kind = |result: io::Result<usize>| result.map_err(|error| error.kind());
        let written = kind((&self.server).write(b"x"));
        assert_eq!(written, Err(ErrorKind::ConnectionAborted));
        let read = kind((&self.other).read(&mut [0]));
        assert_eq!(read, Err(ErrorKind::ConnectionReset));
    }
}

/// A listener on every address of the server, of IPv6 and IPv4 together or of
/// IPv4 alone.
fn listen(on: &str) -> TcpListener {
    on_server(|| TcpListener::bind((on, 0)).unwrap())
}

#[test]
fn connections_of_an_address_end_on_both_sides_and_those_of_others_stay() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        for (listener, attacker, bystander, batch) in [
            ("0.0.0.0", ATTACKER, BYSTANDER, ATTACKER),
            ("::", ATTACKER_6, BYSTANDER_6, ATTACKER_6),
            // The socket of the server is of IPv6, the other side is not.
            ("::", ATTACKER, BYSTANDER, ATTACKER),
            ("0.0.0.0", ATTACKER, BYSTANDER, "::ffff:198.51.100.7"),
            // Half of the network.
            ("0.0.0.0", ATTACKER, BYSTANDER, "198.51.100.0/26"),
            ("::", ATTACKER_6, BYSTANDER_6, "2001:db8:bad::/122"),
        ] {
            let listener = listen(listener);
            let of = [attacker, attacker, bystander];
            let [one, two, three] = of.map(|from| Connection::inward(&listener, from));
            let done = cut_on_server(batch);
            assert_eq!(done.sockets, Sockets::Ended(2), "{batch}");
            one.assert_cut();
            two.assert_cut();
            three.assert_open();
            // The listener is as it was.
            Connection::inward(&listener, attacker);
        }
    });
}

#[test]
fn a_connection_that_the_host_has_opened_ends_too() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        for (attacker, bystander) in [(ATTACKER, BYSTANDER), (ATTACKER_6, BYSTANDER_6)] {
            let (mean, fine) = (
                Connection::outward(attacker),
                Connection::outward(bystander),
            );
            assert_eq!(cut_on_server(attacker).sockets, Sockets::Ended(1));
            mean.assert_cut();
            fine.assert_open();
        }
    });
}

#[test]
fn what_only_an_own_address_names_stays() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        let connection = Connection::inward(&listen("0.0.0.0"), BYSTANDER);
        // The other side is what counts of a socket.
        assert_eq!(cut_on_server(SERVER).sockets, Sockets::Ended(0));
        connection.assert_open();
    });
}

#[test]
fn connected_datagram_sockets_end_and_others_stay() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        for (own, attacker, bystander) in [
            ("0.0.0.0:0", ATTACKER, BYSTANDER),
            ("[::]:0", ATTACKER_6, BYSTANDER_6),
            ("[::]:0", "::ffff:198.51.100.7", "::ffff:198.51.100.70"),
        ] {
            let sockets = on_server(|| [(); 3].map(|()| UdpSocket::bind(own).unwrap()));
            let [mean, fine, free] = sockets;
            mean.connect((attacker, 9)).unwrap();
            fine.connect((bystander, 9)).unwrap();
            assert_eq!(cut_on_server(attacker).sockets, Sockets::Ended(1));
            let told = mean.take_error().unwrap().map(|error| error.kind());
            assert_eq!(told, Some(ErrorKind::ConnectionAborted));
            mean.send(b"x").unwrap_err();
            fine.send(b"x").unwrap();
            free.send_to(b"x", (attacker, 9)).unwrap();
        }
    });
}

#[test]
fn nothing_open_is_nothing_cut() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        let nothing = Cut {
            flows: 0,
            sockets: Sockets::Ended(0),
        };
        for network in [ATTACKER, ATTACKER_6] {
            assert_eq!(cut_on_server(network), nothing);
        }
        assert_eq!(on_server(|| cut(&[])).unwrap(), []);
    });
}

/// The connections that the server tracks, once a rule makes it do so. `None`
/// where this kernel tracks none or does not show them.
fn tracked(net: &Netns) -> Option<Vec<String>> {
    let shown = net
        .command("cat")
        .arg("/proc/self/net/nf_conntrack")
        .output();
    let shown = shown.unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    shown
        .status
        .success()
        .then(|| text.lines().map(str::to_owned).collect())
}

/// Makes the server track connections; whether it does.
fn track(net: &Netns, test: &str) -> bool {
    net.nft("add table inet t");
    net.nft("add chain inet t in { type filter hook prerouting priority 0 ; }");
    net.nft("add chain inet t out { type filter hook output priority 0 ; }");
    net.nft("add rule inet t in ct state invalid drop");
    net.nft("add rule inet t out ct state invalid drop");
    let tracks = tracked(net).is_some();
    if !tracks {
        eprintln!("SKIPPED the half of {test} that needs tracked connections: there are none");
    }
    tracks
}

/// How many tracked connections have this address in one of their tuples.
#[track_caller]
fn with(net: &Netns, address: &str) -> usize {
    // As /proc spells addresses of IPv6.
    let spelt = match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let words = address.segments().map(|word| format!("{word:04x}"));
            words.join(":")
        }
    };
    let tracked = tracked(net).unwrap();
    let has = |line: &&String| line.split([' ', '=']).any(|word| word == spelt);
    tracked.iter().filter(has).count()
}

/// Lets the server send one datagram.
fn send(to: &str, port: u16) {
    on_server(|| {
        let own = if to.contains(':') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(own).unwrap();
        socket.send_to(b"x", (to, port)).unwrap();
    });
}

#[test]
fn tracked_connections_of_an_address_are_gone_in_both_directions() {
    reexec_in_namespace(|| {
        let net = Netns::new();
        if !track(
            &net,
            "tracked_connections_of_an_address_are_gone_in_both_directions",
        ) {
            return;
        }
        for (attacker, bystander) in [(ATTACKER, BYSTANDER), (ATTACKER_6, BYSTANDER_6)] {
            for address in [attacker, bystander] {
                assert!(net.udp_arrives(address));
                send(address, 9);
                assert_eq!(with(&net, address), 2, "{address}");
            }
            assert_eq!(cut_on_server(attacker).flows, 2, "{attacker}");
            assert_eq!((with(&net, attacker), with(&net, bystander)), (0, 2));
        }
    });
}

#[test]
fn an_address_behind_a_translation_is_found_too() {
    reexec_in_namespace(|| {
        let net = Netns::new();
        if !track(&net, "an_address_behind_a_translation_is_found_too") {
            return;
        }
        // Whoever asks for this address speaks with the attacker.
        let asked = "203.0.113.5";
        net.nft("add table ip n");
        net.nft("add chain ip n out { type nat hook output priority -100 ; }");
        net.nft(&format!(
            "add rule ip n out ip daddr {asked} dnat to {ATTACKER}"
        ));
        send(asked, 9);
        send(BYSTANDER, 9);
        for (address, flows) in [(ATTACKER, 1), (asked, 0)] {
            assert_eq!(cut_on_server(address).flows, flows, "{address}");
        }
        assert_eq!((with(&net, ATTACKER), with(&net, BYSTANDER)), (0, 1));
        send(asked, 9);
        assert_eq!(cut_on_server(asked).flows, 1);
        assert_eq!(with(&net, ATTACKER), 0);
    });
}

#[test]
fn tracked_connections_of_a_zone_of_their_own_are_found_in_it() {
    reexec_in_namespace(|| {
        let net = Netns::new();
        if !track(
            &net,
            "tracked_connections_of_a_zone_of_their_own_are_found_in_it",
        ) {
            return;
        }
        net.nft("add chain inet t raw { type filter hook output priority -300 ; }");
        for zone in ["ct zone set 7", "ct original zone set 8"] {
            net.nft("flush chain inet t raw");
            net.nft(&format!("add rule inet t raw {zone}"));
            send(ATTACKER, 9);
            send(BYSTANDER, 9);
            assert_eq!(cut_on_server(ATTACKER).flows, 1, "{zone}");
            assert_eq!(with(&net, ATTACKER), 0, "{zone}");
        }
        assert_eq!(with(&net, BYSTANDER), 2);
    });
}

#[test]
fn ten_thousand_networks_are_one_batch() {
    reexec_in_namespace(|| {
        let net = Netns::new();
        let tracks = track(&net, "ten_thousand_networks_are_one_batch");
        let listener = listen("0.0.0.0");
        let of = |last: u8| Connection::inward(&listener, &format!("198.51.100.{last}"));
        let attackers: Vec<_> = (1..=60).map(of).collect();
        let bystander = of(70);
        // One for each attacker, and ten thousand others.
        let mut networks: Vec<IpNetwork> = (1..=60)
            .map(|last| IpNetwork::from(IpAddr::from([198, 51, 100, last])))
            .collect();
        networks.extend((0..10_000_u32).map(|n| {
            let address = IpAddr::from((0x0a00_0000 + (n << 8)).to_be_bytes());
            IpNetwork::new(address, 24 + (n % 9) as u8).unwrap()
        }));
        let start = Instant::now();
        let done = on_server(|| cut(&networks)).unwrap();
        // One by one it would be as many lists.
        assert!(start.elapsed() < Duration::from_secs(2));
        for (n, cut) in done.iter().enumerate() {
            let one = usize::from(n < 60);
            assert_eq!(cut.sockets, Sockets::Ended(one), "{}", networks[n]);
            assert_eq!(cut.flows, if tracks { one } else { 0 }, "{}", networks[n]);
        }
        for attacker in &attackers {
            attacker.assert_cut();
        }
        bystander.assert_open();
        if tracks {
            assert_eq!(with(&net, BYSTANDER), 1);
        }
    });
}

#[test]
fn more_than_are_ended_with_one_list_end_all_the_same() {
    const MANY: usize = 33_000;
    reexec_in_namespace(|| {
        let net = Netns::new();
        if !track(&net, "more_than_are_ended_with_one_list_end_all_the_same") {
            return;
        }
        on_server(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for n in 0..MANY {
                let to = [198, 51, 100, (n % 200) as u8 + 1];
                socket
                    .send_to(b"x", (IpAddr::from(to), (n / 200) as u16 + 1))
                    .unwrap();
            }
        });
        send("192.0.2.254", 9);
        assert_eq!(cut_on_server("198.51.100.0/24").flows, MANY);
        assert_eq!(tracked(&net).unwrap().len(), 1);
    });
}

#[test]
fn without_the_privilege_it_says_what_is_missing() {
    reexec_in_namespace(|| {
        let _net = Netns::new();
        let connection = Connection::inward(&listen("0.0.0.0"), ATTACKER);
        let error = on_server(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::NET_ADMIN);
            set_capabilities(None, sets).unwrap();
            cut(&[ATTACKER.parse().unwrap()]).unwrap_err()
        });
        assert!(matches!(error, CutError::NotPermitted(..)), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        connection.assert_open();
    });
}

/// Lets firewall-drop block an address on the server, with these
/// `extra_args`, and returns the detail of its result.
fn blocked(net: &Netns, home: &Home, address: &str, extra_args: &str) -> Option<String> {
    let mut command = net.command(&format!("active-response/bin/{FIREWALL_DROP}"));
    command.current_dir(home.path());
    let input = String::from_utf8(add(address, "{}")).unwrap();
    let input = input.replace(
        r#""extra_args":[]"#,
        &format!(r#""extra_args":[{extra_args}]"#),
    );
    let ran = feed(command, input.as_bytes());
    assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
    let detail = &ran.result()["detail"];
    detail.as_str().map(str::to_owned)
}

#[test]
fn firewall_drop_cuts_what_is_open_unless_told_to_keep_it() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let listener = listen("0.0.0.0");
        let mean = Connection::inward(&listener, ATTACKER);
        let fine = Connection::inward(&listener, BYSTANDER);
        let detail = blocked(&net, &home, ATTACKER, r#""--keep-connections""#);
        assert_eq!(detail, None);
        assert!(!net.tcp_arrives(ATTACKER));
        // It hangs, as 4.x leaves it.
        (&mean.server).write_all(b"x").unwrap();
        (&mean.other).read_exact(&mut [0]).unwrap();

        // Also when the block is there already: whoever wrote it may have been
        // killed before it could cut.
        let detail = blocked(&net, &home, ATTACKER, "");
        assert_eq!(
            detail.as_deref(),
            Some("was in force already; cut 1 socket")
        );
        mean.assert_cut();
        fine.assert_open();
        let detail = blocked(&net, &home, BYSTANDER, "");
        assert_eq!(detail.as_deref(), Some("cut 1 socket"));
        fine.assert_cut();
        let detail = blocked(&net, &home, "198.51.100.71", "");
        assert_eq!(detail, None);
    });
}
