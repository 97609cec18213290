//! `route-null`: answers that go nowhere.

use crate::netns::{Netns, reexec_in_namespace};
use crate::run::{Home, ROUTE_NULL, Ran, answer, feed, with_alert};
use crate::{ATTACKER, on_server};

/// An order for route-null, with these `extra_args`.
fn null(net: &Netns, home: &Home, command: &str, target: &str, args: &str) -> Ran {
    let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
    let line = with_alert(command, &alert).replace(r#""extra_args":[]"#, args);
    let input = match command {
        "add" => line + &answer("continue", "{}"),
        _ => line,
    };
    feed(on_server(net, home, ROUTE_NULL), input.as_bytes())
}

const NO_ARGS: &str = r#""extra_args":[]"#;
const BY_64: &str = r#""extra_args":["--ipv6-prefix","64"]"#;

#[test]
fn answers_to_a_null_route_go_nowhere_until_it_is_taken_away() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for (target, args, key, attacker, bystander) in [
            (ATTACKER, NO_ARGS, ATTACKER, ATTACKER, "198.51.100.8"),
            (
                "198.51.100.9/29",
                NO_ARGS,
                "198.51.100.8/29",
                "198.51.100.15",
                "198.51.100.16",
            ),
            (
                "2001:db8:bad::7",
                NO_ARGS,
                "2001:db8:bad::7",
                "2001:db8:bad::7",
                "2001:db8:bad::8",
            ),
            (
                "2001:db8:bad:1::7",
                BY_64,
                "2001:db8:bad:1::/64",
                "2001:db8:bad:1:ffff::1",
                "2001:db8:bad:2::1",
            ),
        ] {
            assert!(net.tcp_arrives(attacker), "{target}");
            let ran = null(&net, &home, "add", target, args);
            assert_eq!(
                (ran.code, ran.status()),
                (Some(0), "applied".into()),
                "{ran:?}"
            );
            assert!(ran.stdout[0].contains(&format!(r#"["{key}"]"#)), "{ran:?}");
            assert_eq!(ran.result()["backend"], "routes");
            assert!(!net.tcp_arrives(attacker), "{target}");
            assert!(net.tcp_arrives(bystander), "{target}");
            // It stops answers only.
            assert!(net.udp_arrives(attacker), "{target}");

            let again = null(&net, &home, "add", target, args);
            assert_eq!(again.result()["detail"], "was in force already");
            for status in ["reverted", "absent"] {
                let ran = null(&net, &home, "delete", target, args);
                assert_eq!(
                    (ran.code, ran.status()),
                    (Some(0), status.into()),
                    "{target}"
                );
            }
            assert!(net.tcp_arrives(attacker), "{target}");
        }
    });
}

#[test]
fn a_route_of_the_administrator_gives_way_and_comes_back() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let routes = |family: &str| {
            let mut command = net.command("ip");
            command.args([family, "route", "show"]);
            feed(command, b"").stdout
        };
        for (family, target, via) in [
            ("-4", ATTACKER, "192.0.2.254"),
            ("-6", "2001:db8:bad::7", "2001:db8::fe"),
        ] {
            let mut command = net.command("ip");
            command.args([family, "route", "add", target, "via", via]);
            assert_eq!(feed(command, b"").code, Some(0));
            let before = routes(family);
            assert!(
                before.iter().any(|route| route.starts_with(target)),
                "{before:?}"
            );
            let ran = null(&net, &home, "add", target, NO_ARGS);
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert!(!net.tcp_arrives(target));
            assert_eq!(
                null(&net, &home, "delete", target, NO_ARGS).status(),
                "reverted"
            );
            assert_eq!(routes(family), before);
            assert!(net.tcp_arrives(target));
            // What is not ours is not taken away.
            assert_eq!(
                null(&net, &home, "delete", target, NO_ARGS).status(),
                "absent"
            );
            assert_eq!(routes(family), before);
        }
    });
}

#[test]
fn a_null_route_that_another_one_overrules_is_no_success() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for line in [
            "route add default via 192.0.2.254 table 99",
            "rule add pref 5 table 99",
        ] {
            let mut command = net.command("ip");
            command.args(line.split(' '));
            assert_eq!(feed(command, b"").code, Some(0));
        }
        let ran = null(&net, &home, "add", ATTACKER, NO_ARGS);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(1), "failed".into()),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("ip rule"), "{ran:?}");
        let mut command = net.command("ip");
        command.args(["route", "show", "proto", "165"]);
        assert_eq!(feed(command, b"").stdout, [] as [&str; 0]);
    });
}
