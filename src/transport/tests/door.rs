//! Who gets in, and what happens to those who do not.

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    Arc, DialError, Dialler, Duration, Home, Limits, Manager, Origin, ServerAddress, clock, dial,
    hello, journal, let_in, soon,
};
use crate::transport::{dial as dialling, tls};
use crate::wire::{
    AgentHello, Denial, Frame, FrameReader, Greeting, Hello, PROTOCOL, ToAgent, ToManager,
};

#[tokio::test]
async fn an_agent_is_let_in_with_its_fingerprint_and_its_hello() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let server = manager.server();
    let (dialled, (said, origin, _outgoing)) =
        tokio::join!(dial(server, &credentials), manager.welcome(5));
    let dialled = dialled.unwrap();
    assert_eq!(said, hello());
    let Origin::Remote {
        address,
        fingerprint,
    } = origin
    else {
        panic!("{origin:?}");
    };
    assert_eq!(fingerprint, credentials.fingerprint());
    assert!(address.ip().is_loopback());
    assert_eq!(dialled.journal, Some(journal()));
    assert_eq!(dialled.address, manager.address());
}

#[tokio::test]
async fn frames_go_both_ways_and_closing_ends_the_session_on_both_sides() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let (mut dialled, outgoing) = let_in(&mut manager, &credentials).await;
    let connection = &mut dialled.connection;
    let earliest = clock::boot().millis();
    for _ in 0..2 {
        connection.send(&ToManager::Ping).await.unwrap();
    }
    // Each is answered, or the other side could not tell which one was.
    for _ in 0..2 {
        let pong = soon(connection.reader.next()).await.unwrap().unwrap();
        let ToAgent::Pong { session_ms } = ToAgent::from_frame(pong).unwrap() else {
            panic!("it is another message");
        };
        assert!((earliest..=clock::boot().millis()).contains(&session_ms));
    }
    let body: Arc<[u8]> = vec![b'x'; 1024 * 1024].into();
    let long = Frame::with_body(&"long", body).unwrap();
    outgoing.send(long.clone()).await.unwrap();
    assert_eq!(soon(connection.reader.next()).await.unwrap(), Some(long));
    drop(outgoing);
    assert_eq!(soon(connection.reader.next()).await.unwrap(), None);
    let gone = soon(manager.reports.recv()).await;
    assert!(matches!(gone, Some(super::Report::Gone(1))), "{gone:?}");
}

#[tokio::test]
async fn an_agent_that_the_manager_denies_is_told_why() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let server = manager.server();
    let deny = async {
        let arrival = soon(manager.arrivals.recv()).await.unwrap();
        let denied = super::Admission::Denied {
            denial: Denial::Twice,
            text: "two hosts".to_owned(),
        };
        arrival.admit.send(denied).unwrap();
    };
    let (dialled, ()) = tokio::join!(dial(server, &credentials), deny);
    let Err(DialError::Denied { denial, text }) = dialled else {
        panic!("{dialled:?}");
    };
    assert_eq!((denial, text.as_str()), (Denial::Twice, "two hosts"));
}

#[tokio::test]
async fn a_hello_that_is_not_one_of_a_remote_agent_is_denied_at_the_door() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let foreign = AgentHello {
        protocol: PROTOCOL + 1,
        ..hello()
    };
    let local = AgentHello {
        id: crate::model::AgentId::MANAGER,
        ..hello()
    };
    let cases = [
        (Hello::ctl(), Denial::NotPermitted),
        (Hello::Agent(local), Denial::NotPermitted),
        (Hello::Agent(foreign), Denial::Version),
    ];
    let config = Arc::new(tls::session_client(&credentials).unwrap());
    for (hello, expected) in cases {
        let connecting = dialling::connect(manager.address(), &config);
        let mut connection = soon(connecting).await.unwrap();
        connection.send(&hello).await.unwrap();
        let greeting = soon(connection.reader.next()).await.unwrap().unwrap();
        let Ok(Greeting::Denied { denial, .. }) = greeting.message() else {
            panic!("{greeting:?}");
        };
        assert_eq!(denial, expected, "{hello:?}");
    }
    manager.assert_empty();
    manager
        .counted(|counts| counts.handshakes_refused == 3)
        .await;
}

#[tokio::test]
async fn the_manager_that_worked_last_is_dialled_first() {
    let (foreign, mut manager) = (Manager::start(), Manager::start());
    let credentials = manager.home.credentials();
    let servers = vec![foreign.server(), manager.server()];
    let mut dialler = Dialler::new(servers, &credentials).unwrap();
    let said = hello();
    for session in [1, 2] {
        let (dialled, _) = tokio::join!(soon(dialler.dial(&said)), manager.welcome(session));
        assert_eq!(dialled.unwrap().address, manager.address());
    }
    // What is counted before this is all there will be.
    raw(&foreign, b"the last one\r\n").await;
    foreign
        .counted(|counts| counts.handshakes_refused >= 2)
        .await;
    assert_eq!(foreign.counts().handshakes_refused, 2);
}

#[tokio::test]
async fn of_several_failures_the_most_telling_is_told() {
    let foreign = Manager::start();
    let credentials = Home::new().credentials();
    // A port that was free a moment ago and that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = ServerAddress::parse(&nobody.local_addr().unwrap().to_string()).unwrap();
    drop(nobody);
    let refused = dial(closed.clone(), &credentials).await.unwrap_err();
    assert!(
        matches!(refused, DialError::Unreachable { .. }),
        "{refused:?}"
    );
    for servers in [
        [foreign.server(), closed.clone()],
        [closed, foreign.server()],
    ] {
        let mut dialler = Dialler::new(servers.to_vec(), &credentials).unwrap();
        let refused = soon(dialler.dial(&hello())).await.unwrap_err();
        assert!(matches!(refused, DialError::Tls { .. }), "{refused:?}");
    }
}

/// Sends raw bytes, and returns all that comes back until the end.
async fn raw(manager: &Manager, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(manager.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test]
async fn garbage_in_place_of_a_handshake_is_refused_and_others_go_on() {
    let mut manager = Manager::start();
    raw(&manager, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw(&manager, &[0xff; 4096]).await;
    raw(&manager, &[0x16, 3, 1, 0xff, 0xff]).await;
    manager
        .counted(|counts| counts.handshakes_refused >= 2)
        .await;
    let credentials = manager.home.credentials();
    let_in(&mut manager, &credentials).await;
}

/// A ClientHello as RFC 5246 7.4.1.2 has it: no `supported_versions`, so TLS
/// 1.2 at most; with our ALPN, so that the version alone is at fault.
fn tls_1_2() -> Vec<u8> {
    let mut extensions = Vec::new();
    // signature_algorithms: ecdsa_secp256r1_sha256
    extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]);
    // supported_groups: secp256r1
    extensions.extend([0, 10, 0, 4, 0, 2, 0, 23]);
    // application_layer_protocol_negotiation
    extensions.extend([0, 16, 0, 11, 0, 9, 8]);
    extensions.extend(b"ripost/1");
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test]
async fn tls_1_2_is_refused_by_its_version() {
    let manager = Manager::start();
    let answer = raw(&manager, &tls_1_2()).await;
    // A fatal alert, protocol_version (RFC 8446 6).
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
    manager
        .counted(|counts| counts.handshakes_refused == 1)
        .await;
}

/// Connects with `config`, says hello and waits for the end.
async fn knock(manager: &Manager, config: ClientConfig) -> DialError {
    let address = manager.address();
    let mut connection = match soon(dialling::connect(address, &Arc::new(config))).await {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    // The refusal may be there before the hello is.
    let _ = connection.send(&Hello::Agent(hello())).await;
    match soon(connection.reader.next()).await {
        Ok(None) => DialError::Closed { address },
        Ok(Some(frame)) => panic!("{frame:?}"),
        Err(error) => DialError::frame(address, error),
    }
}

#[tokio::test]
async fn a_handshake_without_a_protocol_of_ours_is_refused() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    for protocols in [vec![], vec![b"h2".to_vec(), b"http/1.1".to_vec()]] {
        let mut config = tls::session_client(&credentials).unwrap();
        config.alpn_protocols = protocols;
        knock(&manager, config).await;
    }
    manager
        .counted(|counts| counts.handshakes_refused == 2)
        .await;
    manager.assert_empty();
}

#[tokio::test]
async fn a_session_without_a_certificate_is_refused() {
    let mut manager = Manager::start();
    let mut config = tls::enroll_client(manager.home.authority.pin()).unwrap();
    config.alpn_protocols = vec![tls::ALPN_SESSION.to_vec()];
    let refused = super::trouble(knock(&manager, config).await);
    assert_eq!(refused, super::Trouble::OwnRefused);
    manager
        .counted(|counts| counts.certificates_refused == 1)
        .await;
    manager.assert_empty();
}

#[tokio::test]
async fn a_length_beyond_that_of_a_hello_ends_the_connection_at_once() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let enrolling = tls::enroll_client(manager.home.authority.pin()).unwrap();
    for config in [tls::session_client(&credentials).unwrap(), enrolling] {
        let config = Arc::new(config);
        for length in [u32::MAX, 16 * 1024 + 1] {
            let connecting = dialling::connect(manager.address(), &config);
            let mut connection = soon(connecting).await.unwrap();
            connection
                .writer
                .write_all(&length.to_be_bytes())
                .await
                .unwrap();
            connection.writer.flush().await.unwrap();
            let ended = soon(connection.reader.next()).await;
            assert!(!matches!(ended, Ok(Some(_))));
        }
    }
    manager
        .counted(|counts| counts.handshakes_refused == 4)
        .await;
    manager.assert_empty();
}

const HASTY: Limits = Limits {
    deadline: Duration::from_secs(1),
    ..super::LIMITS
};

#[tokio::test]
async fn a_slow_drip_and_a_silent_peer_meet_the_one_deadline() {
    let mut manager = Manager::with_limits(HASTY);
    let start = clock::boot();
    let drip = async {
        let stream = TcpStream::connect(manager.address()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let drop_by_drop = async {
            // Never two drops at once, also not after a pause of this machine:
            // a whole hello would be refused by its version.
            for byte in tls_1_2() {
                tokio::time::sleep(Duration::from_millis(25)).await;
                if writer.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut end = [0; 64];
        tokio::select! {
            () = drop_by_drop => {}
            read = reader.read(&mut end) => assert!(matches!(read, Ok(0) | Err(_)), "{read:?}"),
        }
    };
    let silent = async {
        let config = Arc::new(tls::session_client(&manager.home.credentials()).unwrap());
        let mut connection = dialling::connect(manager.address(), &config).await.unwrap();
        // A hello that never comes to its end.
        connection.writer.write_all(&[0, 0, 1, 0]).await.unwrap();
        connection.writer.flush().await.unwrap();
        let ended = connection.reader.next().await;
        assert!(!matches!(ended, Ok(Some(_))));
    };
    soon(async { tokio::join!(drip, silent) }).await;
    assert!(start.until(clock::boot()) >= HASTY.deadline);
    manager
        .counted(|counts| counts.handshakes_dropped == 2)
        .await;
    manager.assert_empty();
}

#[tokio::test]
async fn a_session_is_not_held_to_the_deadline_of_the_door() {
    let mut manager = Manager::with_limits(HASTY);
    let credentials = manager.home.credentials();
    let (mut dialled, _outgoing) = let_in(&mut manager, &credentials).await;
    // Another one that is dropped for being late tells that the time is over.
    let late = TcpStream::connect(manager.address()).await.unwrap();
    manager
        .counted(|counts| counts.handshakes_dropped == 1)
        .await;
    drop(late);
    dialled.connection.send(&ToManager::Ping).await.unwrap();
    let pong = soon(dialled.connection.reader.next()).await.unwrap();
    assert!(pong.is_some());
}

#[tokio::test]
async fn something_that_answers_without_tls_is_no_manager() {
    let home = Home::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = ServerAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let answer = async {
        let (mut stream, _) = soon(listener.accept()).await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
        soon(FrameReader::new(stream).next()).await
    };
    let credentials = home.credentials();
    let (dialled, _) = tokio::join!(dial(server, &credentials), answer);
    let refused = super::trouble(dialled.unwrap_err());
    assert_eq!(refused, super::Trouble::OtherProtocol);
}
