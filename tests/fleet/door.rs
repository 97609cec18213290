//! Those who are not let in, and what they cannot do to those who are.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ripost::model::{AgentId, Instance, JournalId};
use ripost::transport::pki::{AgentKey, Authority};
use ripost::wire::{AgentHello, Denial, Frame, Greeting, Hello, PROTOCOL};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, Rlimit};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::scene::{Config, Fleet, Host, LISTEN, LOCAL, SOON, WEB_1, WEB_2, drop_at, stderr};
use crate::support::alert::Alert;
use crate::support::isolation::isolated;
use crate::support::{holds_for, wait_for};

/// Connections that are opened and left alone.
const HALF_OPEN: usize = 10_000;
/// Descriptors for everything else that the test does.
const SPARE: u64 = 1_000;

/// How long the manager may take to turn somebody away: its limit for a
/// handshake, and some patience.
const TURNED_AWAY: Duration = Duration::from_secs(20);

/// What the manager may grow by, in kilobytes, whoever knocks.
const GROWTH: u64 = 48 * 1024;

/// Accepts whatever the manager shows; what is asked here is whom the manager
/// accepts.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Speaks TLS with the manager, with the key and certificate in this text if
/// there is one.
fn tls(identity: Option<&str>) -> Tls {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match identity {
        Some(pem) => {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"ripost/1".to_vec()];
    let name = ServerName::try_from("manager").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, plain())
}

fn plain() -> TcpStream {
    let stream = TcpStream::connect(LISTEN).unwrap();
    stream.set_read_timeout(Some(TURNED_AWAY)).unwrap();
    stream
}

/// Whether the other side ends the connection, having said nothing.
fn is_closed(stream: &mut impl Read) -> bool {
    let mut said = [0; 4096];
    match stream.read(&mut said) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => {
            let silent = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
            !silent.contains(&error.kind())
        }
    }
}

/// An identity of another manager's CA for agent 001.
fn of_another_ca() -> String {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(&folder.path().join("tls")).unwrap();
    let key = AgentKey::new().unwrap();
    let id = AgentId::parse("001").unwrap();
    let day = Duration::from_secs(86_400);
    let issued = authority.issue(&id, &key.public(), day).unwrap();
    let pin = authority.pin();
    let ca = authority.ca_pem();
    let made = ripost::transport::pki::Credentials::new(id, &key, &issued.pem, ca, pin).unwrap();
    made.store(folder.path()).unwrap();
    std::fs::read_to_string(folder.path().join("agent.pem")).unwrap()
}

/// A host that has enrolled, and whose agentd never runs.
fn spare(fleet: &Fleet) -> (AgentId, String) {
    let token = fleet.token(&["--name", "spare"]);
    let host: Host = fleet.prepare("spare");
    let output = host.enroll(&["--manager", LISTEN, "--token", &token]);
    assert!(output.status.success(), "{}", stderr(&output));
    let pem = std::fs::read_to_string(host.home.file("etc/tls/agent.pem")).unwrap();
    (AgentId::parse("004").unwrap(), pem)
}

fn hello(id: &AgentId) -> Vec<u8> {
    let hello = Hello::Agent(AgentHello {
        protocol: PROTOCOL,
        id: id.clone(),
        version: "0".to_owned(),
        boot_id: "x".to_owned(),
        journal: JournalId::from_bytes([7; 16]),
        instance: Instance::from_bytes([7; 8]),
        host: "spare".to_owned(),
    });
    Frame::new(&hello).unwrap().encode()
}

fn fleet() -> Fleet {
    Fleet::start(&Config::new(vec![drop_at(LOCAL, "5763", "600")]))
}

/// An alert is carried out on web-1, and web-2 connects anew, within a few
/// seconds.
#[track_caller]
fn goes_on(fleet: &mut Fleet, attacker: &str) {
    let began = Instant::now();
    fleet.alert(&[Alert::sshd(attacker).agent("001")]);
    fleet.wait_blocked(WEB_1, attacker);
    fleet.hosts[WEB_2].kill();
    fleet.start_agentd(WEB_2);
    let since = |fleet: &Fleet| {
        let status = fleet.hosts[WEB_2].home.ctl_json(&["status"]);
        status[0]["manager"]["address"].is_string().then_some(())
    };
    wait_for("an honest agent connects", SOON, || since(fleet));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn nobody_is_let_in_without_a_certificate_of_this_manager_and_words_it_knows() {
    isolated(|| {
        let mut fleet = fleet();
        let (id, pem) = spare(&fleet);
        let refused = |what: &str, stream: &mut dyn Read| {
            let mut stream = stream;
            let began = Instant::now();
            assert!(is_closed(&mut stream), "{what}");
            assert!(began.elapsed() < TURNED_AWAY, "{what}");
        };
        let no_session = |what: &str| {
            assert_eq!(fleet.agent("004")["state"], "offline", "{what}");
        };

        let mut stream = plain();
        stream
            .write_all(&[0x16, 3, 1, 0xff, 0xff, 7, 7, 7, 7])
            .unwrap();
        stream.write_all(&[0xa5; 8192]).unwrap();
        let mut said = Vec::new();
        // Nothing but an alert of TLS.
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() <= 16, "garbage: {said:?}");
        let mut stream = plain();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        said.clear();
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() <= 16, "http: {said:?}");

        for (what, identity) in [
            ("no certificate", None),
            ("a certificate of another CA", Some(of_another_ca())),
        ] {
            let mut stream = tls(identity.as_deref());
            // With TLS 1.3 the client is done before the server has looked.
            let _ = stream.write_all(&hello(&AgentId::parse("001").unwrap()));
            refused(what, &mut stream);
        }

        for (what, first) in [
            ("a huge first frame", [0xff; 64].to_vec()),
            (
                "a first frame beyond the limit",
                [0, 0, 0x40, 1, 0, 0, 0, 4].to_vec(),
            ),
            ("a first frame that is no JSON", {
                [&[0, 0, 0, 12, 0, 0, 0, 8][..], b"{\"nope\":"].concat()
            }),
        ] {
            let mut stream = tls(Some(&pem));
            stream.write_all(&first).unwrap();
            refused(what, &mut stream);
            no_session(what);
        }

        // A certificate of its own, and the id of somebody else.
        let mut stream = tls(Some(&pem));
        stream
            .write_all(&hello(&AgentId::parse("002").unwrap()))
            .unwrap();
        let told = greeting(&mut stream);
        // Not for being the second of two, which anybody's id may lead to.
        let denial = match &told {
            Greeting::Denied { denial, .. } => Some(*denial),
            Greeting::Welcome { .. } => None,
        };
        assert_eq!(denial, Some(Denial::NotPermitted), "{told:?}");
        assert_eq!(
            fleet.agent("002")["address"],
            fleet.hosts[WEB_2].space.address.to_string()
        );

        // Let in, it is thrown out for a length that nothing may have.
        let mut stream = tls(Some(&pem));
        stream.write_all(&hello(&id)).unwrap();
        assert!(matches!(greeting(&mut stream), Greeting::Welcome { .. }));
        fleet.wait_agent("004", "connected");
        stream
            .write_all(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 4])
            .unwrap();
        fleet.wait_agent("004", "offline");

        assert_eq!(fleet.counter("certificates refused"), 2);
        assert!(fleet.counter("handshakes refused") >= 5);
        goes_on(&mut fleet, "203.0.113.9");
    });
}

/// The first frame of the manager.
fn greeting(stream: &mut Tls) -> Greeting {
    let frame = ripost::wire::frame::read(stream, 16 * 1024)
        .unwrap()
        .unwrap();
    frame.message().unwrap()
}

/// Sends a handshake a byte at a time, until that is no longer possible;
/// returns how long it was.
fn drip() -> JoinHandle<Duration> {
    std::thread::spawn(|| {
        let began = Instant::now();
        let mut stream = plain();
        // The header of a record with a ClientHello of 500 bytes.
        let header = [0x16, 3, 1, 1, 0xf8, 1, 0, 1, 0xf4, 3, 3];
        let bytes = header.into_iter().chain(std::iter::repeat_n(7, 480));
        stream
            .set_read_timeout(Some(Duration::from_millis(250)))
            .unwrap();
        for byte in bytes {
            // The pause between two bytes is a look whether it is over.
            if stream.write_all(&[byte]).is_err() || is_closed(&mut stream) {
                break;
            }
        }
        began.elapsed()
    })
}

/// Opens connections from many addresses, and says nothing on them.
fn half_open(count: usize) -> Vec<OwnedFd> {
    let manager: SocketAddr = LISTEN.parse().unwrap();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = |number: usize| {
        let (a, b) = (number / 200 % 200, number % 200);
        let from: SocketAddr = format!("198.18.{a}.{}:0", b + 1).parse().unwrap();
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&socket, &from).unwrap();
        match connect(&socket, &manager) {
            Ok(()) | Err(Errno::INPROGRESS) => socket,
            Err(error) => panic!("connect: {error}"),
        }
    };
    (0..count).map(open).collect()
}

/// Resident memory of the manager, in kilobytes.
fn resident(fleet: &Fleet) -> u64 {
    let id = fleet.manager.as_ref().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

/// As many of the half-open connections as this process may have.
fn allowed() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised).unwrap();
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(SPARE);
    let count = HALF_OPEN.min(usize::try_from(most).unwrap());
    if count < HALF_OPEN {
        eprintln!("NOTE: {count} half-open connections; ulimit -Hn allows no more");
    }
    count
}

#[test]
fn thousands_of_half_open_connections_and_slow_ones_keep_nobody_out() {
    isolated(|| {
        let mut fleet = fleet();
        let count = allowed();
        let before = resident(&fleet);
        let slow: Vec<_> = (0..20).map(|_| drip()).collect();
        let held = half_open(count);
        goes_on(&mut fleet, "203.0.113.9");
        let dropped = u64::try_from(count).unwrap() * 8 / 10;
        wait_for("those that are too many are dropped", SOON * 2, || {
            (fleet.counter("handshakes dropped") >= dropped).then_some(())
        });
        let grown = resident(&fleet).saturating_sub(before);
        assert!(grown < GROWTH, "{grown} KiB more");
        holds_for(
            "everybody stays connected",
            Duration::from_millis(300),
            || fleet.agents().iter().all(|row| row["state"] == "connected"),
        );
        for drip in slow {
            let lasted = drip.join().unwrap();
            assert!(lasted < TURNED_AWAY, "{lasted:?}");
        }
        drop(held);
        goes_on(&mut fleet, "203.0.113.10");
        let grown = resident(&fleet).saturating_sub(before);
        assert!(grown < GROWTH, "{grown} KiB more");
    });
}
