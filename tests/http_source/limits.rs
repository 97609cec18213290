//! Senders that are many, slow, or never come to an end.

use std::time::Duration;

use ripost::source::Event;
use ripost::source::http::{Limits, Settings};

use crate::client::Client;
use crate::owner::{Source, TOKEN, alert, sends, settings};
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

fn limited(limits: Limits) -> Source {
    Source::with(settings(), limits)
}

/// The head of a request with the token, and these headers.
fn head(client: &mut Client, headers: &[(&str, &str)]) {
    let bearer = format!("Bearer {TOKEN}");
    let token = [("Authorization", bearer.as_str())];
    client.head("POST /", &[&token, headers].concat());
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read_and_when_it_turns_out_to_be() {
    let small = Settings {
        max_body: 1_000,
        ..settings()
    };
    let mut source = Source::with(small, Limits::default());
    let mut client = source.client();
    head(&mut client, &[("Content-Length", "1001")]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.accepted()), (413, 0));
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("1000 bytes")
    );
    let mut client = source.client();
    head(&mut client, &[("Content-Length", "18446744073709551615")]);
    assert!(
        client
            .try_answer()
            .is_none_or(|answer| answer.status >= 400)
    );
    let mut client = source.client();
    head(&mut client, &[("Transfer-Encoding", "chunked")]);
    for _ in 0..11 {
        client.say(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes());
    }
    assert_eq!(client.answer().status, 413);
    source.is_quiet();
    let padded = format!("{}{}", " ".repeat(1_000 - alert("1").len()), alert("1"));
    let mut client = source.client();
    sends(&mut client, &padded);
    source.store();
    assert_eq!(client.answer().status, 200);
}

/// Many senders read no answer before they have sent everything.
#[test]
fn whoever_sends_all_of_it_before_he_reads_gets_his_answer_all_the_same() {
    let source = Source::new();
    let huge = vec![b' '; 12 << 20];
    for (token, status) in [(TOKEN, 413), ("wrong", 401)] {
        let mut client = source.client();
        let answer = client.post(token, &huge);
        assert_eq!(answer.status, status);
        // All of it was read, so the connection can go on.
        assert_eq!(
            client.post(token, "x").status,
            if status == 413 { 422 } else { 401 }
        );
    }
}

#[test]
fn a_body_with_more_alerts_than_it_may_have_is_refused() {
    let mut source = Source::new();
    let answer = source.client().post(TOKEN, "1\n".repeat(100_001));
    assert_eq!(answer.status, 413);
    source.is_quiet();
}

#[test]
fn half_a_body_for_ever_is_given_up_and_half_a_head_too() {
    let limits = Limits {
        stranger: SHORT,
        idle: SHORT,
        body: SHORT,
        ..Limits::default()
    };
    let mut source = limited(limits);
    let mut body = source.client();
    head(&mut body, &[("Content-Length", "100")]);
    body.say(b"{\"rule\":");
    assert_eq!(body.answer().status, 408);
    body.wait_closed();
    let mut line = source.client();
    line.say(b"POST / HT");
    line.wait_closed();
    let mut silent = source.client();
    silent.wait_closed();
    // Also between two requests of one who is known.
    let mut idle = source.client();
    sends(&mut idle, &alert("1"));
    source.store();
    assert_eq!(idle.answer().status, 200);
    idle.say(b"POST / HTTP/1.1\r\nX: ");
    idle.wait_closed();
}

#[test]
fn a_head_that_drips_is_given_up_though_it_never_stands_still() {
    let limits = Limits {
        stranger: SHORT,
        ..Limits::default()
    };
    let source = limited(limits);
    let mut drip = source.client();
    drip.say(b"POST / HTTP/1.1\r\n");
    wait_for("the connection is closed", SOON, || {
        drip.say(b"X-A: b\r\n");
        drip.is_closed().then_some(())
    });
}

#[test]
fn requests_beyond_those_that_may_wait_are_told_to_come_later() {
    let limits = Limits {
        requests: 3,
        ..Limits::default()
    };
    let mut source = limited(limits);
    let mut waiting: Vec<Client> = (0..3).map(|_| source.client()).collect();
    let mut stored = Vec::new();
    for (number, client) in waiting.iter_mut().enumerate() {
        sends(client, &alert(&number.to_string()));
        stored.push(source.lines().1);
    }
    let mut late = source.client();
    let answer = late.post(TOKEN, alert("late"));
    assert_eq!((answer.status, answer.accepted()), (429, 0));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(source.counts().busy, 1);
    source.is_quiet();
    stored.remove(0).send(()).unwrap();
    assert_eq!(waiting[0].answer().status, 200);
    sends(&mut late, &alert("late"));
    source.store();
    assert_eq!(late.answer().status, 200);
    drop(stored);
    for client in &mut waiting[1..] {
        assert_eq!(client.answer().status, 503);
    }
}

#[test]
fn bodies_beyond_what_all_may_take_are_told_to_come_later() {
    let limits = Limits {
        bodies: 100 << 10,
        ..Limits::default()
    };
    let mut source = limited(limits);
    let large = format!("{}{}", alert("1"), " ".repeat(60 << 10));
    let mut first = source.client();
    sends(&mut first, &large);
    let (_, stored) = source.lines();
    // One says beforehand how much it is, the other does not.
    let mut second = source.client();
    assert_eq!(second.post(TOKEN, &large).status, 429);
    let mut third = source.client();
    head(&mut third, &[("Transfer-Encoding", "chunked")]);
    third.say(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len()).as_bytes());
    assert_eq!(third.answer().status, 429);
    stored.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    sends(&mut second, &large);
    source.store();
    assert_eq!(second.answer().status, 200);
}

#[test]
fn connections_that_say_nothing_make_room_for_those_that_do() {
    let limits = Limits {
        places: 8,
        places_per_peer: 8,
        ..Limits::default()
    };
    let mut source = limited(limits);
    let mut honest = source.client();
    sends(&mut honest, &alert("1"));
    source.store();
    assert_eq!(honest.answer().status, 200);
    let mut silent: Vec<Client> = (0..40).map(|_| source.client()).collect();
    for client in &mut silent[..30] {
        client.wait_closed();
    }
    // Neither is one that is known in the way, nor is he kept out.
    sends(&mut honest, &alert("2"));
    source.store();
    assert_eq!(honest.answer().status, 200);
    let mut newcomer = source.client();
    sends(&mut newcomer, &alert("3"));
    source.store();
    assert_eq!(newcomer.answer().status, 200);
    assert!(source.counts().busy >= 30);
}

#[test]
fn an_owner_that_takes_nothing_is_waited_for_and_then_told_of() {
    let limits = Limits {
        store: SHORT,
        ..Limits::default()
    };
    let mut source = limited(limits);
    let mut clients: Vec<Client> = (0..6).map(|_| source.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        sends(client, &alert(&number.to_string()));
    }
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!((answer.status, answer.accepted()), (503, 0));
    }
    // No more than the channel holds was handed over.
    let mut taken = 0;
    while let Ok(Event::Lines { lines, .. }) = source.events.try_recv() {
        taken += lines.len();
    }
    assert_eq!(taken, 2);
}

#[test]
fn whoever_waits_when_the_source_ends_is_told_to_come_back() {
    let mut source = Source::new();
    let mut waits = source.client();
    sends(&mut waits, &alert("1"));
    let (_, _stored) = source.lines();
    let mut sending = source.client();
    head(&mut sending, &[("Content-Length", "100")]);
    let mut idle = source.client();
    assert_eq!(idle.ask("GET /health", &[], b"").status, 200);
    let address = source.running.address();
    source.running.stop().unwrap();
    for client in [&mut waits, &mut sending] {
        let answer = client.answer();
        assert_eq!((answer.status, answer.accepted()), (503, 0));
        assert!(answer.header("retry-after").is_some());
        client.wait_closed();
    }
    idle.wait_closed();
    assert!(std::net::TcpStream::connect(address).is_err());
}
