//! `slack` and its two older names.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Home, Ran, direct, feed};
use crate::server::{Asked, Ca, Proxy, Reply, Server, says};
use crate::{keep, line};

const SLACK: &str = "slack";
const HOOK: &str = "/services/T0/B0/s3cret";
const ALERT: &str = r#"{"timestamp":"2026-11-20T10:00:00.123+0000","rule":{"level":10,"description":"Many failed logins of <!channel>.","id":"5763","groups":["sshd"]},"agent":{"id":"007","name":"web-7"},"id":"1795168800.41131","full_log":"sshd[812]: \"x\" for 'y' $(id) `id` <@U1>","location":"/var/log/auth.log"}"#;

fn post(home: &Home, words: &[&str]) -> Ran {
    feed(direct(home, SLACK), line("add", words, ALERT).as_bytes())
}

fn hook(server: &Server) -> String {
    format!("http://{}{HOOK}", server.address())
}

/// Posts to a service that answers so.
fn answered(reply: Reply) -> (Ran, Vec<Asked>) {
    let server = Server::start(move |_| reply.clone());
    let ran = post(&Home::new(), &[&hook(&server)]);
    (ran, server.asked())
}

#[track_caller]
fn assert_failed(ran: &Ran, wanted: &str) {
    assert_eq!((ran.code, ran.status().as_str()), (Some(1), "failed"));
    let detail = ran.result()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(wanted), "{ran:?}");
}

#[test]
fn a_message_about_the_alert_is_posted_under_each_of_its_names() {
    for name in [SLACK, "wazuh-slack", "ossec-slack"] {
        let server = Server::start(|_| says(200, "ok"));
        let home = Home::new();
        let input = line("add", &[&hook(&server)], ALERT);
        let ran = feed(direct(&home, name), input.as_bytes());
        assert_eq!((ran.code, ran.stdout.len()), (Some(0), 1), "{ran:?}");
        assert_eq!(ran.result()["status"], "applied");

        let [asked] = server.asked().try_into().unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", HOOK)
        );
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(
            asked.body,
            concat!(
                r#"{"attachments":[{"color":"danger","pretext":"WAZUH Alert","#,
                r#""title":"Many failed logins of &lt;!channel&gt;.","#,
                r#""text":"sshd[812]: \"x\" for 'y' $(id) `id` &lt;@U1&gt;","#,
                r#""fields":[{"title":"Agent","value":"(007) - web-7"},"#,
                r#"{"title":"Location","value":"/var/log/auth.log"},"#,
                r#"{"title":"Rule ID","value":"5763 (level 10)"}],"#,
                r#""ts":"1795168800.41131","mrkdwn_in":[]}]}"#
            )
        );
        let prefix = format!("active-response/bin/{name}: ");
        let input = input.trim_end();
        let wanted = ["Starting", input, "Ended"].map(|said| format!("{prefix}{said}"));
        assert_eq!(home.log(), wanted);
    }
}

#[test]
fn a_hook_in_a_file_is_shown_to_nobody() {
    let home = Home::new();
    let server =
        Server::start(|asked| says(if asked.body.is_empty() { 400 } else { 404 }, "no_service"));
    keep(
        &home,
        "etc/slack-url",
        &format!("{}\n", hook(&server)),
        0o600,
    );
    let ran = post(&home, &["--hook-url-file", "etc/slack-url"]);
    assert_failed(&ran, "it answered 404 no_service");
    assert_eq!(server.asked()[0].target, HOOK);
    for shown in [format!("{ran:?}"), home.log().join("\n")] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_file_that_others_can_read_or_without_a_url_is_not_used() {
    let server = Server::start(|_| says(200, "ok"));
    let url = hook(&server);
    for (text, mode, wanted) in [
        (url.as_str(), 0o640, "others can read or change it"),
        (url.as_str(), 0o602, "others can read or change it"),
        ("", 0o600, "not one line of printable"),
        ("two words", 0o600, "not one line of printable"),
        ("http://hooks.example/x", 0o600, "in the clear"),
        ("hooks.example", 0o600, "write https://HOST/PATH"),
    ] {
        let home = Home::new();
        keep(&home, "etc/slack-url", text, mode);
        let ran = post(&home, &["--hook-url-file", "etc/slack-url"]);
        assert_failed(&ran, wanted);
    }
    let ran = post(&Home::new(), &["--hook-url-file", "etc/slack-url"]);
    assert_failed(&ran, "open etc/slack-url");
    assert_eq!(server.connections(), 0);
}

/// Row T7 of what was observed of 4.x, and what it does not refuse.
#[test]
fn nobody_is_called_without_one_good_hook() {
    let server = Server::start(|_| says(200, "ok"));
    let url = hook(&server);
    for (words, wanted) in [
        (&[][..], "Cannot read 'extra_args' from data"),
        (
            &[&*url, &*url],
            "Invalid extra_args: more than one URL of a hook is given",
        ),
        (
            &[&*url, "--hook-url-file", "etc/x"],
            "Invalid extra_args: more than one URL of a hook is given",
        ),
        (
            &["http://192.0.2.1/x"],
            "Invalid extra_args: write https://, not http://, which goes over the network in the clear",
        ),
        (&["-x"], "Invalid extra_args: write https://HOST/PATH"),
        (
            &["file:///etc/passwd"],
            "Invalid extra_args: write https://HOST/PATH",
        ),
    ] {
        let home = Home::new();
        let ran = post(&home, words);
        assert_eq!((ran.code, ran.status().as_str()), (Some(255), "refused"));
        let log = home.log();
        let last = log.last().unwrap().split_once(": ").unwrap().1;
        assert_eq!(last, wanted, "{words:?}");
    }
    for words in [["--hook-url-file", "/etc/passwd"], ["--proxy", "ftp://x"]] {
        let ran = post(&Home::new(), &words);
        assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{ran:?}");
    }
    for input in ["", "{", "[]\n", "{\"version\":1}\n"] {
        let ran = feed(direct(&Home::new(), SLACK), input.as_bytes());
        assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{ran:?}");
    }
    let input = line("add", &[&url], "{}").replace(r#""alert":{},"#, "");
    let home = Home::new();
    let ran = feed(direct(&home, SLACK), input.as_bytes());
    assert_eq!(ran.code, Some(255));
    assert!(home.log()[2].ends_with("Cannot read 'alert' from data"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_delete_posts_nothing() {
    let server = Server::start(|_| says(200, "ok"));
    let input = line("delete", &[&hook(&server)], ALERT);
    let ran = feed(direct(&Home::new(), SLACK), input.as_bytes());
    assert_eq!((ran.code, ran.status().as_str()), (Some(0), "absent"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn an_answer_that_is_no_success_is_told_with_what_to_do() {
    for (status, said, detail, hint) in [
        (
            400,
            "invalid_payload",
            "it answered 400 invalid_payload",
            "an incoming webhook",
        ),
        (
            404,
            "no_service",
            "it answered 404 no_service",
            "make a new hook",
        ),
        (
            410,
            "channel_is_archived",
            "it answered 410",
            "make a new hook",
        ),
        (
            429,
            "rate_limited",
            "it answered 429 rate_limited",
            "fewer alerts",
        ),
        (
            500,
            "a\r\nb\u{1b}[2J",
            r"it answered 500 a\r\nb\u{1b}[2J",
            "status page",
        ),
    ] {
        let (ran, asked) = answered(says(status, said));
        assert_failed(&ran, detail);
        assert!(ran.stderr.contains(hint), "{status}: {ran:?}");
        assert_eq!(asked.len(), 1, "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let (ran, asked) = answered(Reply::Header(status, "Location: /elsewhere"));
        assert_failed(&ran, &format!("it answered {status}"));
        assert_eq!(asked.len(), 1, "{status}");
    }
}

#[test]
fn a_service_that_says_later_is_asked_once_more_if_there_is_time() {
    let mut calls = 0;
    let server = Server::start(move |_| {
        calls += 1;
        match calls {
            1 => Reply::Header(429, "Retry-After: 1"),
            _ => says(200, "ok"),
        }
    });
    let start = Instant::now();
    let ran = post(&Home::new(), &[&hook(&server)]);
    assert_eq!(ran.status(), "applied");
    assert!(start.elapsed() >= Duration::from_secs(1));
    let bodies: Vec<_> = server.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);

    for (header, wanted) in [
        ("Retry-After: 0", 2),
        ("Retry-After: 3600", 1),
        ("Retry-After: 99999999999999999999", 1),
        ("Retry-After: Fri, 20 Nov 2026 10:00:00 GMT", 1),
    ] {
        let (ran, asked) = answered(Reply::Header(429, header));
        assert_failed(&ran, "it answered 429");
        assert!(ran.stderr.contains("answered 429\n("), "{ran:?}");
        assert_eq!(asked.len(), wanted, "{header}");
    }
    let (_, asked) = answered(Reply::Header(503, "Retry-After: 0"));
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_connection_that_ends_early_is_no_success() {
    let (ran, asked) = answered(Reply::Closes);
    assert_failed(&ran, "reach http://127.0.0.1");
    assert_eq!(asked.len(), 1, "it may have been posted: not again");
    // What more there is to say is lost, the status is not.
    assert_failed(&answered(Reply::Breaks).0, "it answered 500");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", closed.local_addr().unwrap());
    drop(closed);
    let ran = post(&Home::new(), &[&url]);
    assert_failed(&ran, "Connection refused");
    assert!(ran.stderr.contains("--proxy"), "{ran:?}");
}

#[test]
fn an_answer_without_end_is_not_read() {
    let start = Instant::now();
    assert_eq!(answered(Reply::Endless(200)).0.status(), "applied");
    let ran = answered(Reply::Endless(500)).0;
    assert_failed(&ran, "it answered 500");
    assert!(ran.result().to_string().len() < 1_000, "{ran:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

/// The daemon kills after 30 s; by then it must have said what was wrong.
#[test]
fn a_service_that_never_answers_is_given_up_in_time() {
    let runs = [Reply::Silent, Reply::Drips].map(|reply| {
        thread::spawn(move || {
            let start = Instant::now();
            (answered(reply).0, start.elapsed())
        })
    });
    for run in runs {
        let (ran, took) = run.join().unwrap();
        assert_failed(&ran, "it took too long");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[test]
fn a_service_is_believed_only_with_a_certificate_of_a_trusted_ca() {
    let ca = Ca::new();
    let home = Home::new();
    keep(&home, "etc/ca.pem", &ca.pem, 0o644);
    keep(&home, "etc/other.pem", &Ca::new().pem, 0o644);
    keep(&home, "etc/none.pem", "no certificate\n", 0o644);
    let right = Server::start_tls(ca.server("localhost"), |_| says(200, "ok"));
    let wrong = Server::start_tls(ca.server("other.example"), |_| says(200, "ok"));
    let url = |server: &Server| format!("https://localhost:{}{HOOK}", server.port());

    let ran = post(&home, &[&url(&right), "--ca-file", "etc/ca.pem"]);
    assert_eq!(ran.status(), "applied", "{ran:?}");
    assert_eq!(right.asked().len(), 1);

    for (server, file, wanted) in [
        (&right, "etc/other.pem", "trust https://localhost"),
        (&wrong, "etc/ca.pem", "trust https://localhost"),
        (&right, "etc/none.pem", "there is no certificate in it"),
        (
            &right,
            "etc/missing.pem",
            "read the certificates in etc/missing.pem",
        ),
    ] {
        let ran = post(&home, &[&url(server), "--ca-file", file]);
        assert_failed(&ran, wanted);
    }
    // The system trusts no CA of a test.
    let ran = post(&home, &[&url(&right)]);
    assert_eq!(ran.status(), "failed");
    assert_eq!((right.asked().len(), wrong.asked().len()), (1, 0));
}

#[test]
fn what_speaks_no_tls_is_told_and_what_says_nothing_is_given_up() {
    let home = Home::new();
    keep(&home, "etc/ca.pem", &Ca::new().pem, 0o644);
    let post = |address| {
        let start = Instant::now();
        let url = format!("https://{address}{HOOK}");
        let ran = post(&home, &[&url, "--ca-file", "etc/ca.pem"]);
        assert!(start.elapsed() < Duration::from_secs(10), "{ran:?}");
        ran
    };
    assert_failed(&post(greeter()), "speak TLS with https://127.0.0.1");
    // It waits for the end of a request that is none.
    let plain = Server::start(|_| says(200, "ok"));
    assert_failed(&post(plain.address()), "it took too long");
}

/// Something that speaks first, and no TLS.
fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_10.0\r\n").unwrap();
        // Until the client has closed its end.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn a_service_is_reached_through_a_proxy() {
    let ca = Ca::new();
    let home = Home::new();
    keep(&home, "etc/ca.pem", &ca.pem, 0o644);
    let server = Server::start_tls(ca.server("localhost"), |_| says(200, "ok"));
    let url = format!("https://localhost:{}{HOOK}", server.port());
    let through = |proxy: &Proxy| {
        let words = [&*url, "--ca-file", "etc/ca.pem", "--proxy", &proxy.url()];
        post(&home, &words)
    };

    let open = Proxy::start(true);
    let ran = through(&open);
    assert_eq!(ran.status(), "applied", "{ran:?}");
    let wanted = format!("CONNECT localhost:{}", server.port());
    assert_eq!(open.wanted(), [wanted]);

    let shut = Proxy::start(false);
    assert_failed(&through(&shut), "the proxy says");
    assert_eq!(server.asked().len(), 1);

    // What the environment says is for others.
    let mut command = direct(&home, SLACK);
    command.envs(["ALL_PROXY", "HTTPS_PROXY", "https_proxy"].map(|name| (name, shut.url())));
    let input = line("add", &[&url, "--ca-file", "etc/ca.pem"], ALERT);
    assert_eq!(feed(command, input.as_bytes()).status(), "applied");
    assert_eq!(shut.wanted().len(), 1);
}

#[test]
fn an_alert_of_the_greatest_size_becomes_a_message_of_a_bounded_one() {
    let server = Server::start(|_| says(200, "ok"));
    let alert = format!(r#"{{"full_log":"{}"}}"#, "&".repeat(60_000));
    let input = line("add", &[&hook(&server)], &alert);
    let ran = feed(direct(&Home::new(), SLACK), input.as_bytes());
    assert_eq!(ran.status(), "applied");
    let [asked] = server.asked().try_into().unwrap();
    assert!(asked.body.len() < 10_000, "{}", asked.body.len());
    let text = &asked.json()["attachments"][0]["text"];
    let Value::String(text) = text else {
        panic!("{text}");
    };
    assert!(text.ends_with("&amp;..."));
}
