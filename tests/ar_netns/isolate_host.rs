//! `isolate-host`: a host that nobody reaches, and that reaches nobody but its
//! manager.

use std::net::TcpListener;

use crate::ATTACKER;
use crate::netns::{Netns, reexec_in_namespace};
use crate::on_server;
use crate::run::{Home, Ran, answer, feed, with_alert};

const NAME: &str = "isolate-host";
/// Where the other end of the wire listens.
const MANAGER: &str = "192.0.2.254:1517";
const ATTACKER_6: &str = "2001:db8:bad::7";

fn order(net: &Netns, home: &Home, command: &str, args: &[&str]) -> Ran {
    let args = format!(r#""extra_args":{}"#, serde_json::to_string(args).unwrap());
    let line = with_alert(command, "{}").replace(r#""extra_args":[]"#, &args);
    let input = match command {
        "add" => line + &answer("continue", "{}"),
        _ => line,
    };
    feed(on_server(net, home, NAME), input.as_bytes())
}

/// Whether the host can call this place.
fn calls(net: &Netns, place: &str) -> bool {
    let (host, port) = place.rsplit_once(':').unwrap();
    let script = format!("exec 3<>/dev/tcp/{host}/{port}");
    let mut command = net.command("timeout");
    command.args(["1", "bash", "-c", &script]);
    command.output().unwrap().status.success()
}

fn is_reached(net: &Netns) -> bool {
    net.tcp_arrives(ATTACKER) || net.tcp_arrives(ATTACKER_6) || net.udp_arrives(ATTACKER)
}

#[test]
fn a_host_that_is_cut_off_reaches_its_manager_and_itself_and_nobody_else() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let _manager = TcpListener::bind(MANAGER).unwrap();
        let _manager_6 = TcpListener::bind("[2001:db8::fe]:1517").unwrap();
        let _other = TcpListener::bind("192.0.2.254:80").unwrap();
        let args = [MANAGER, "[2001:db8::fe]:1517", "--no-dns"];
        assert!(calls(&net, MANAGER) && calls(&net, "192.0.2.254:80"));
        let ran = order(&net, &home, "add", &args);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(0), "applied".into()),
            "{ran:?}"
        );
        assert!(ran.stdout[0].contains(r#""keys":["host"]"#), "{ran:?}");
        assert!(!is_reached(&net));
        assert!(calls(&net, MANAGER) && calls(&net, "2001:db8::fe:1517"));
        assert!(!calls(&net, "192.0.2.254:80"));
        for own in ["127.0.0.1", "::1"] {
            let mut ping = net.command("bash");
            // Nobody listens, and the refusal comes through.
            ping.args(["-c", &format!("exec 3<>/dev/tcp/{own}/9")]);
            let said = String::from_utf8(ping.output().unwrap().stderr).unwrap();
            assert!(said.contains("refused"), "{said}");
        }

        // What was open before is not any more, and the other way round.
        let ran = order(
            &net,
            &home,
            "add",
            &[MANAGER, "--no-dns", "198.51.100.0/24"],
        );
        assert_eq!(ran.result()["detail"], "was in force already", "{ran:?}");
        assert!(net.tcp_arrives(ATTACKER) && net.udp_arrives(ATTACKER));
        assert!(!net.tcp_arrives(ATTACKER_6) && !calls(&net, "2001:db8::fe:1517"));

        let ran = order(&net, &home, "delete", &args);
        assert_eq!(ran.status(), "reverted", "{ran:?}");
        assert!(net.tcp_arrives(ATTACKER) && net.tcp_arrives(ATTACKER_6));
        assert!(net.udp_arrives(ATTACKER) && calls(&net, "192.0.2.254:80"));
        assert!(!net.nft("list ruleset").contains("isolate"));
        assert_eq!(order(&net, &home, "delete", &args).status(), "absent");
    });
}

#[test]
fn one_that_loses_its_manager_is_let_free_again() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let _manager = TcpListener::bind("192.0.2.254:1518").unwrap();
        // The configured port is not the one that the packets have.
        net.nft("add table ip nat");
        net.nft("add chain ip nat output { type nat hook output priority -100 ; }");
        net.nft("add rule ip nat output tcp dport 1517 dnat to 192.0.2.254:1518");
        assert!(calls(&net, MANAGER));
        let ran = order(&net, &home, "add", &[MANAGER, "--no-dns"]);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(1), "failed".into()),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("it has been undone"), "{ran:?}");
        assert!(is_reached(&net) && calls(&net, MANAGER));
        assert!(!net.nft("list ruleset").contains("isolate"));
    });
}

#[test]
fn one_whose_manager_is_away_stays_cut_off_and_so_after_a_flush() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        let args = [MANAGER, "--no-dns"];
        for _ in 0..2 {
            let ran = order(&net, &home, "add", &args);
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert_eq!(ran.result()["detail"], serde_json::Value::Null);
            assert!(!is_reached(&net));
            net.nft("flush ruleset");
            assert!(is_reached(&net));
        }
    });
}

#[test]
fn words_that_open_nothing_cut_nothing_off() {
    reexec_in_namespace(|| {
        let (net, home) = (Netns::new(), Home::new());
        for word in ["manager.example:1517", "192.0.2.0/33"] {
            let ran = order(&net, &home, "add", &[word]);
            assert_eq!(
                (ran.code, ran.status()),
                (Some(1), "failed".into()),
                "{ran:?}"
            );
            assert!(ran.stderr.contains(word), "{ran:?}");
            assert!(is_reached(&net));
        }
    });
}
