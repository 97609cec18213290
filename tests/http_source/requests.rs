//! Each status, and when it is given.

use std::thread;
use std::time::Duration;

use ripost::source::http::{Limits, Settings};

use crate::owner::{Source, TOKEN, alert, secret, sends, settings};

#[test]
fn a_sender_is_answered_when_his_alert_is_stored_and_not_before() {
    let mut source = Source::new();
    let mut client = source.client();
    sends(&mut client, &alert("1"));
    let (lines, stored) = source.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].bytes, alert("1").as_bytes());
    assert_eq!(source.counts().stored, 0);
    // Were it answered before, this would be the answer to the first one.
    stored.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.accepted()), (200, 1));
    assert_eq!(answer.json().to_string(), r#"{"accepted":1}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(source.counts().stored, 1);
    // The connection is there for more.
    sends(&mut client, &alert("2"));
    source.store();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn what_is_handed_over_and_not_stored_is_not_acknowledged() {
    let limits = Limits {
        store: Duration::from_millis(200),
        ..Limits::default()
    };
    let mut source = Source::with(settings(), limits);
    let mut client = source.client();
    for _ in 0..2 {
        sends(&mut client, &alert("1"));
        let (_, stored) = source.lines();
        let answer = client.answer();
        assert_eq!((answer.status, answer.accepted()), (503, 0));
        assert_eq!(answer.header("retry-after"), Some("5"));
        // The owner comes too late.
        assert!(stored.send(()).is_err());
        assert_eq!(client.ask("GET /health", &[], b"").status, 503);
    }
    // The owner gives it up.
    sends(&mut client, &alert("1"));
    drop(source.lines());
    assert_eq!(client.answer().status, 503);
    assert_eq!(source.counts().not_stored, 3);
    sends(&mut client, &alert("1"));
    source.store();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.ask("GET /health", &[], b"").status, 200);
}

#[test]
fn without_the_token_nothing_is_taken_whatever_is_shown_in_its_place() {
    let mut source = Source::new();
    let body = alert("1");
    let good = format!("Bearer {TOKEN}");
    let longer = format!("{good}x");
    let shorter = &good[..good.len() - 1];
    let basic = format!("Basic {TOKEN}");
    let wrong: &[&[(&str, &str)]] = &[
        &[],
        &[("Authorization", "")],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", TOKEN)],
        &[("Authorization", &longer)],
        &[("Authorization", shorter)],
        &[("Authorization", &basic)],
        &[("Authorization", "Bearer x"), ("Authorization", &good)],
        &[("Authorization", &good), ("Authorization", &good)],
        &[("X-Authorization", &good)],
    ];
    for headers in wrong {
        let answer = source
            .client()
            .ask("POST /alerts", headers, body.as_bytes());
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer")
        );
        assert!(!format!("{answer:?}").contains(TOKEN));
    }
    assert_eq!(source.counts().token, wrong.len() as u64);
    let query = format!("POST /alerts?token={TOKEN}");
    let answer = source.client().ask(&query, &[], body.as_bytes());
    assert_eq!(answer.status, 401);
    source.is_quiet();
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let good = format!("{scheme} {TOKEN}");
        let mut client = source.client();
        let length = body.len().to_string();
        client.head(
            "POST /",
            &[("Authorization", &good), ("Content-Length", &length)],
        );
        client.say(body.as_bytes());
        source.store();
        assert_eq!(client.answer().status, 200, "{scheme}");
    }
}

#[test]
fn only_posts_to_the_two_paths_are_taken() {
    let mut source = Source::new();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    for (first, status) in [
        ("POST /other", 404),
        ("POST /alerts/", 404),
        ("POST //", 404),
        ("GET /metrics", 404),
        ("POST /health", 404),
        ("GET /", 405),
        ("PUT /alerts", 405),
        ("DELETE /alerts", 405),
        ("OPTIONS /alerts", 405),
        ("POST /alerts?a=b", 200),
        ("POST http://elsewhere/alerts", 200),
    ] {
        let mut client = source.client();
        let body = alert("1");
        let length = body.len().to_string();
        client.head(first, &[headers[0], ("Content-Length", &length)]);
        client.say(body.as_bytes());
        if status == 200 {
            source.store();
        }
        let answer = client.answer();
        assert_eq!(answer.status, status, "{first}");
        let allow = (status == 405).then_some("POST");
        assert_eq!(answer.header("allow"), allow, "{first}");
    }
    source.is_quiet();
    let mut client = source.client();
    let answer = client.ask("GET /health", &[], b"");
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (200, Some("ok"))
    );
}

#[test]
fn a_compressed_body_is_refused_and_said_to_be() {
    let mut source = Source::new();
    let mut client = source.client();
    for encoding in ["gzip", "zstd", "identity, gzip"] {
        let answer = client.post_with(TOKEN, &[("Content-Encoding", encoding)], "\x1f\x0b");
        assert_eq!(answer.status, 415, "{encoding}");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    source.is_quiet();
    let mut client = source.client();
    let bearer = format!("Bearer {TOKEN}");
    let plain = [
        ("Authorization", bearer.as_str()),
        ("Content-Encoding", "Identity"),
        ("Transfer-Encoding", "chunked"),
    ];
    client.head("POST /", &plain);
    let body = alert("1");
    let (front, back) = body.split_at(20);
    client.say(format!("{:x}\r\n{front}\r\n", front.len()).as_bytes());
    client.say(format!("{:x}\r\n{back}\r\n0\r\n\r\n", back.len()).as_bytes());
    assert_eq!(source.store()[0].bytes, body.as_bytes());
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_sender_that_asks_for_leave_gets_it_or_an_answer() {
    let mut source = Source::new();
    let body = alert("1");
    let length = body.len().to_string();
    let bearer = format!("Bearer {TOKEN}");
    let leave = [("Expect", "100-continue"), ("Content-Length", &length)];
    let mut stranger = source.client();
    stranger.head("POST /", &leave);
    assert_eq!(stranger.answer().status, 401);
    stranger.wait_closed();
    let mut client = source.client();
    client.head("POST /", &[leave[0], leave[1], ("Authorization", &bearer)]);
    assert_eq!(client.answer().status, 100);
    client.say(body.as_bytes());
    source.store();
    assert_eq!(client.answer().status, 200);
    let huge = [
        leave[0],
        ("Content-Length", "99999999"),
        ("Authorization", &bearer),
    ];
    client.head("POST /", &huge);
    assert_eq!(client.answer().status, 413);
}

#[test]
fn a_sender_may_close_his_side_once_he_has_said_everything() {
    let mut source = Source::new();
    let mut client = source.client();
    sends(&mut client, &alert("1"));
    client.finish();
    source.store();
    assert_eq!(client.answer().status, 200);
    client.wait_closed();
}

#[test]
fn a_body_that_is_cut_off_leads_to_nothing() {
    let mut source = Source::new();
    let bearer = format!("Bearer {TOKEN}");
    let body = alert("1");
    let length = (body.len() + 1).to_string();
    let mut client = source.client();
    client.head(
        "POST /",
        &[("Authorization", &bearer), ("Content-Length", &length)],
    );
    client.say(body.as_bytes());
    client.finish();
    let answer = client.try_answer();
    assert!(answer.is_none_or(|answer| answer.status == 400));
    source.is_quiet();
}

#[test]
fn garbage_in_place_of_a_request_ends_the_connection_and_others_go_on() {
    let mut source = Source::new();
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET\r\n\r\n",
    ] {
        let mut client = source.client();
        client.say(garbage);
        let answer = client.try_answer();
        assert!(
            answer.is_none_or(|answer| answer.status >= 400),
            "{garbage:?}"
        );
    }
    let many: Vec<String> = (0..100).map(|number| format!("X-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "y")).collect();
    assert_eq!(source.client().ask("POST /", &many, b"").status, 431);
    let long = "x".repeat(20_000);
    assert_eq!(
        source.client().ask("POST /", &[("X", &long)], b"").status,
        431
    );
    source.is_quiet();
    let mut client = source.client();
    sends(&mut client, &alert("1"));
    source.store();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn other_settings_hold_from_the_next_request_on_and_connections_stay() {
    let mut source = Source::new();
    let mut client = source.client();
    sends(&mut client, &alert("1"));
    source.store();
    assert_eq!(client.answer().status, 200);
    source.running.change(Settings {
        token: secret("another"),
        max_body: 100,
        ..settings()
    });
    assert_eq!(client.post(TOKEN, alert("2")).status, 401);
    assert_eq!(client.post("another", [b' '; 101]).status, 413);
    let small = r#"{"rule":{"level":10,"id":"5763"}}"#;
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| client.post("another", small));
        source.store();
        answer.join().unwrap()
    });
    assert_eq!(answer.status, 200);
}

#[test]
fn who_comes_from_elsewhere_than_allowed_is_not_heard() {
    let elsewhere = Settings {
        allowed: vec!["192.0.2.0/24".parse().unwrap()],
        ..settings()
    };
    let mut source = Source::with(elsewhere.clone(), Limits::default());
    source.client().wait_closed();
    assert_eq!(source.counts().address, 1);
    source.running.change(Settings {
        allowed: vec![
            "192.0.2.0/24".parse().unwrap(),
            "127.0.0.0/8".parse().unwrap(),
        ],
        ..elsewhere
    });
    let mut client = source.client();
    sends(&mut client, &alert("1"));
    source.store();
    assert_eq!(client.answer().status, 200);
}
