//! Ten thousand who only knock.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::{Duration, Limits, Manager, clock, let_in, soon};

/// A connection from another address than the agents'. On loopback all of
/// 127.0.0.0/8 is there.
async fn knock(manager: &Manager, from: [u8; 4]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    // Once the manager is busy enough, the kernel may refuse.
    let mut stream = socket.connect(manager.address()).await.ok()?;
    // The start of a handshake that never goes on.
    stream.write_all(&[0x16, 3, 1, 1, 0, 1]).await.ok()?;
    Some(stream)
}

#[tokio::test]
async fn an_honest_agent_gets_in_past_three_thousand_half_open_handshakes() {
    let mut manager = Manager::start();
    let credentials = manager.home.credentials();
    let mut held = Vec::new();
    for _ in 0..3_000 {
        held.extend(knock(&manager, [127, 0, 0, 2]).await);
    }
    assert!(held.len() > 2_000, "only {} knocked", held.len());
    let start = clock::boot();
    let (_dialled, _outgoing) = let_in(&mut manager, &credentials).await;
    let took = start.until(clock::boot());
    assert!(took < Duration::from_secs(5), "{took:?}");
    manager
        .counted(|counts| counts.handshakes_dropped > 2_000)
        .await;
}

#[tokio::test]
async fn a_handshake_in_the_way_is_ended_and_a_session_is_not() {
    let mut manager = Manager::with_limits(Limits {
        places: 1,
        grace: Duration::ZERO,
        ..super::LIMITS
    });
    let credentials = manager.home.credentials();
    let (mut first, _outgoing) = let_in(&mut manager, &credentials).await;
    let held = knock(&manager, [127, 0, 0, 2]).await.unwrap();
    let (_second, _outgoing) = let_in(&mut manager, &credentials).await;
    manager
        .counted(|counts| counts.handshakes_dropped == 1)
        .await;
    let mut end = [0; 1];
    soon(held.readable()).await.unwrap();
    assert!(matches!(held.try_read(&mut end), Ok(0) | Err(_)));
    first
        .connection
        .send(&crate::wire::ToManager::Ping)
        .await
        .unwrap();
    let pong = soon(first.connection.reader.next()).await.unwrap();
    assert!(pong.is_some());
}
