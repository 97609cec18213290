//! Connections that are cut, slow, gone, flooded, or send half a line for ever.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ripost::source::{Door, Event, Limits, MAX_LINE, Trouble};

use crate::scene::{DEADLINE, Scene, Told, line, write};

#[tokio::test]
async fn lines_arrive_whole_however_they_are_cut() {
    let mut scene = Scene::unix(Limits::default()).await;
    let text = "{\"a\":\"é\"}\n\r\n{2}\r\n{3}\n";
    for cut in 0..text.len() {
        let mut peer = scene.connect();
        write(&mut peer, &text.as_bytes()[..cut]);
        // The first part is read before the second is there.
        assert_eq!(scene.next().await, Told::Begun);
        write(&mut peer, &text.as_bytes()[cut..]);
        drop(peer);
        let wanted = [line("{\"a\":\"é\"}"), line("{2}\r"), line("{3}")];
        scene.expect(&wanted).await;
    }
}

#[tokio::test]
async fn the_end_of_a_connection_is_a_line_only_if_it_is_whole() {
    let mut scene = Scene::unix(Limits::default()).await;
    write(&mut scene.connect(), "{1}\n{2}");
    scene.expect(&[line("{1}"), line("{2}")]).await;
    write(&mut scene.connect(), "{1}\n{2");
    scene
        .expect(&[line("{1}"), Told::PassedOver("half a line")])
        .await;
    drop(scene.connect());
    write(&mut scene.connect(), "{3}\n");
    scene.expect(&[line("{3}")]).await;
}

#[tokio::test]
async fn an_over_long_line_is_passed_over_and_the_connection_goes_on() {
    let mut scene = Scene::unix(Limits::default()).await;
    let mut peer = scene.connect();
    let writer = std::thread::spawn(move || {
        write(&mut peer, vec![b'x'; 3 * MAX_LINE]);
        write(&mut peer, "\n{1}\n");
        peer
    });
    let wanted = [Told::PassedOver("over-long line"), line("{1}")];
    scene.expect(&wanted).await;
    drop(writer.join().unwrap());
}

#[tokio::test]
async fn half_a_line_is_not_waited_for_for_ever_but_silence_is() {
    let span = Duration::from_millis(300);
    let limits = Limits {
        half_line: span,
        ..Limits::default()
    };
    let mut scene = Scene::unix(limits).await;
    let mut quiet = scene.connect();
    write(&mut quiet, "{1}\n");
    scene.expect(&[line("{1}")]).await;
    let began = Instant::now();
    let mut half = scene.connect();
    write(&mut half, "{2");
    // A byte now and then is no end of the line.
    let mut dripping = half.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        let end = Instant::now() + DEADLINE;
        while dripping.write_all(b" ").is_ok() {
            assert!(Instant::now() < end, "the connection is still open");
            // So many bytes at once would be a long line, which has a time of
            // its own.
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    scene.expect(&[Told::PassedOver("half a line")]).await;
    assert!(began.elapsed() >= span);
    let ended = tokio::task::spawn_blocking(move || drip.join());
    ended.await.unwrap().unwrap();
    // It was closed, or reset for what came after that.
    half.set_read_timeout(Some(DEADLINE)).unwrap();
    match half.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
    write(&mut quiet, "{3}\n");
    scene.expect(&[line("{3}")]).await;
}

#[tokio::test]
async fn many_long_half_lines_hold_up_one_another_and_none_is_lost() {
    const PEERS: usize = 40;
    let mut scene = Scene::unix(Limits::default()).await;
    let long = "x".repeat(300 << 10);
    let peers: Vec<_> = (0..PEERS)
        .map(|number| {
            let mut peer = scene.connect();
            let text = format!("{number} {long}");
            std::thread::spawn(move || {
                write(&mut peer, text);
                write(&mut peer, "\n");
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < PEERS {
        match scene.next_of_note().await {
            Told::Line(text) => {
                let (number, rest) = text.split_once(' ').unwrap();
                assert_eq!(rest, long);
                seen.push(number.parse::<usize>().unwrap());
            }
            told => panic!("{told:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..PEERS).collect::<Vec<_>>());
    for peer in peers {
        peer.join().unwrap();
    }
}

#[tokio::test]
async fn one_who_floods_keeps_nobody_else_waiting() {
    let mut scene = Scene::unix(Limits::default()).await;
    let floods: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = scene.connect();
            std::thread::spawn(move || {
                let block = format!("{{{}}}\n", "flood".repeat(20)).repeat(1_000);
                while peer.write_all(block.as_bytes()).is_ok() {}
            })
        })
        .collect();
    // It runs at full speed when the others come.
    for _ in 0..100 {
        scene.event().await;
    }
    let mut quiet = scene.connect();
    let lines: Vec<String> = (0..20)
        .map(|number| format!("{{quiet {number}}}"))
        .collect();
    for wanted in &lines {
        write(&mut quiet, format!("{wanted}\n"));
        let mut events = 0;
        loop {
            match scene.event().await {
                Event::Lines { lines, .. } => {
                    if lines.iter().any(|line| line.bytes == wanted.as_bytes()) {
                        break;
                    }
                }
                Event::Begun { .. } => {}
                event => panic!("{event:?}"),
            }
            events += 1;
            // What was on its way already, and a turn of each of the others.
            assert!(events < 100, "{wanted} waits for {events} events");
        }
    }
    drop(scene);
    for flood in floods {
        let ended = tokio::task::spawn_blocking(move || flood.join());
        ended.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn without_room_nothing_is_read_and_nothing_is_lost() {
    const PEERS: usize = 20;
    let mut scene = Scene::unix(Limits::default()).await;
    let block = format!("{{{}}}\n", "y".repeat(1_021)).repeat(16);
    let mut written = 0;
    let mut peers: Vec<_> = (0..PEERS).map(|_| scene.connect()).collect();
    for peer in &peers {
        peer.set_nonblocking(true).unwrap();
    }
    // Nobody takes what is told: soon no peer can write any more.
    let mut full = 0;
    while full < 1_000 {
        let before = written;
        for peer in &mut peers {
            match peer.write(block.as_bytes()) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        full = if written == before { full + 1 } else { 0 };
        tokio::task::yield_now().await;
    }
    // Two events of 64 KiB, and what the kernel keeps for each.
    assert!(written < PEERS * (300 << 10), "{written}");
    drop(peers);
    let mut whole = 0;
    let mut torn = 0;
    while whole + torn < written / 1_024 {
        match scene.next_of_note().await {
            Told::Line(_) => whole += 1,
            Told::PassedOver("half a line") => torn += 1,
            told => panic!("{told:?}"),
        }
    }
    assert!(torn <= PEERS, "{torn}");
}

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut scene = Scene::unix(limits).await;
    let (mut first, mut second) = (scene.connect(), scene.connect());
    write(&mut first, "{1}\n");
    write(&mut second, "{2}\n");
    let mut third = scene.connect();
    write(&mut third, "{3}\n");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(scene.next_of_note().await);
    }
    for wanted in [line("{1}"), line("{2}"), Told::Trouble(Trouble::Crowded(2))] {
        assert!(told.contains(&wanted), "{told:?}");
    }
    drop(first);
    assert_eq!(scene.next_of_note().await, Told::Recovered);
    // With the third, it is full again.
    while scene.next_of_note().await != line("{3}") {}
}

#[tokio::test]
async fn connections_of_strangers_are_closed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = vec!["192.0.2.0/24".parse().unwrap()];
    let (door, address) = tcp(allowed);
    let mut scene = Scene::behind(&door, folder, Limits::default()).await;
    let peers = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            let mut peer = TcpStream::connect(address).unwrap();
            // It may be closed already.
            drop(peer.write_all(b"{1}\n"));
            peer.set_read_timeout(Some(DEADLINE)).unwrap();
            match peer.read(&mut [0; 1]) {
                Ok(0) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                other => panic!("{other:?}"),
            }
        }
    });
    peers.await.unwrap();
    let mut refused = 0;
    while refused < 3 {
        match scene.event().await {
            Event::Refused { count, peer } => {
                refused += count;
                assert!(peer.is_loopback());
            }
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_port_takes_lines_from_those_who_may_send() {
    let folder = tempfile::tempdir().unwrap();
    let (door, address) = tcp(vec!["127.0.0.0/8".parse().unwrap()]);
    let mut scene = Scene::behind(&door, folder, Limits::default()).await;
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(b"{1}\n{2}\n").unwrap();
    scene.expect(&[line("{1}"), line("{2}")]).await;
}

/// Listens at a port of loopback that is free.
fn tcp(allowed: Vec<ipnetwork::IpNetwork>) -> (Door, SocketAddr) {
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        // Somebody else may have taken it meanwhile.
        if let Ok(door) = Door::tcp(address, allowed.clone()) {
            return (door, address);
        }
    }
}

#[tokio::test]
async fn a_source_that_is_told_to_stop_closes_its_connections() {
    let mut scene = Scene::unix(Limits::default()).await;
    let mut peer = scene.connect();
    write(&mut peer, "{1}\n");
    scene.expect(&[line("{1}")]).await;
    drop(scene.running.take());
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let read = tokio::task::spawn_blocking(move || peer.read(&mut [0; 1]));
    assert_eq!(read.await.unwrap().unwrap(), 0);
    assert!(scene.events.recv().await.is_none());
}
