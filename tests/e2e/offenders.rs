//! Who comes again is held longer, and each block counts once.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, has_key, millis, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);
const ADDRESS: &str = "203.0.113.9";

/// A script of the administrator: it denies addresses in a file of its own.
pub const DENY: &str = r#"read -r line
address=$(printf '%s' "$line" | sed 's/.*"srcip":"\([^"]*\)".*/\1/')
case $line in
*'"command":"add"'*)
    printf '{"version":1,"origin":{"name":"deny.sh","module":"active-response"},"command":"check_keys","parameters":{"keys":["%s"]}}\n' "$address"
    read -r reply
    case $reply in *'"continue"'*) touch "denied.$address" ;; esac ;;
*) rm "denied.$address" ;;
esac"#;

/// A response that holds for a second, and then as its steps say.
fn stepped(command: &str, rule: &str, steps: &str) -> String {
    response(command, rule, "1").replace(
        "</active-response>",
        &format!("<repeated_offenders>{steps}</repeated_offenders></active-response>"),
    )
}

fn agent_conf(home: &Home, settings: &str) {
    let text = format!("<ripost_config>{settings}</ripost_config>");
    fs::write(home.file("etc/agent.conf"), text).unwrap();
}

/// The records with this key that say `state`.
fn all(home: &Home, state: &str) -> Vec<Value> {
    let is_meant = |record: &Value| has_key(record, ADDRESS) && record["state"] == state;
    let records = home.responses_after_crashes();
    let mut records: Vec<_> = records.into_iter().filter(is_meant).collect();
    // After a crash of the manager a line may come twice.
    records.dedup_by_key(|record| (text(record, "action"), text(record, "until")));
    records
}

/// Waits for so many records that say `state`, and returns the last.
#[track_caller]
fn wait_for_number(home: &Home, state: &str, number: usize) -> Value {
    wait_for(&format!("{number} times {state}"), SOON, || {
        let records = all(home, state);
        (records.len() >= number).then(|| records[number - 1].clone())
    })
}

/// Has the address blocked, for the `number`th time; returns the record.
fn block(home: &Home, number: usize) -> Value {
    home.alert(&[Alert::sshd(ADDRESS)]);
    wait_for_number(home, "applied", number)
}

fn said(record: &Value) -> (u64, String) {
    let timeout = record["timeout"].as_u64().unwrap();
    (timeout, text(record, "detail"))
}

#[test]
fn who_comes_again_is_held_longer_also_over_a_restart_and_a_crash() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&stepped("firewall-drop", "5763", "2s,3s,4s")]);
        let mut pair = Pair::start(&net, &home);
        for (number, seconds, detail) in [
            (1, 1, ""),
            (2, 2, "offence 2: 2 s"),
            (3, 3, "offence 3: 3 s"),
            (4, 4, "offence 4: 4 s"),
            (5, 4, "offence 5: 4 s"),
        ] {
            let written = Instant::now();
            let applied = block(&home, number);
            assert_eq!(said(&applied), (seconds, detail.to_owned()));
            let left = millis(&applied, "until") - millis(&applied, "since");
            let whole = i64::try_from(seconds * 1_000).unwrap();
            assert!((whole - 900..=whole).contains(&left), "{left} of {whole}");
            assert!(!net.arrives(ADDRESS), "{number}");
            match number {
                // While it is in force, and in the midst of a revert.
                2 => {
                    pair.agentd.kill_now();
                    pair.agentd = Daemon::start(&net, &home, Program::Agentd);
                }
                3 => {
                    let Pair { manager, agentd } = pair;
                    assert!(agentd.stop().success());
                    let agentd = Daemon::start(&net, &home, Program::Agentd);
                    pair = Pair { manager, agentd };
                }
                _ => {}
            }
            let reverted = wait_for_number(&home, "reverted", number);
            let whole = Duration::from_secs(seconds);
            assert!(written.elapsed() >= whole, "{number}");
            assert!(net.arrives(ADDRESS), "{number}");
            assert_eq!(said(&reverted), (seconds, detail.to_owned()));
        }
        // People see it where they look.
        let history = home.ctl_json(&["history"]);
        let shown = history.as_array().unwrap().iter();
        let details: Vec<_> = shown.map(|record| text(record, "detail")).collect();
        assert!(
            details.iter().any(|detail| detail == "offence 5: 4 s"),
            "{details:?}"
        );
        // Another address is another matter.
        home.alert(&[Alert::sshd("203.0.113.8")]);
        let other = home.wait_state("203.0.113.8", "applied");
        assert_eq!(said(&other).0, 1);
    });
}

#[test]
fn alerts_while_a_block_is_in_force_prolong_it_and_do_not_count() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.script("deny.sh", DENY);
        home.configure(&[
            &command("deny.sh", "<timeout_allowed>yes</timeout_allowed>"),
            &stepped("firewall-drop", "5763", "2s,600s"),
            &stepped("deny.sh", "5763", "2s,600s"),
        ]);
        let _pair = Pair::start(&net, &home);
        let burst: Vec<_> = (0..5).map(|_| Alert::sshd(ADDRESS)).collect();
        home.alert(&burst);
        wait_for_number(&home, "already", 8);
        for record in all(&home, "applied") {
            assert_eq!(said(&record), (1, String::new()));
        }
        wait_for_number(&home, "reverted", 2);
        let before = all(&home, "applied").len();
        home.alert(&[Alert::sshd(ADDRESS)]);
        for number in [1, 2] {
            let again = wait_for_number(&home, "applied", before + number);
            assert_eq!(said(&again), (2, "offence 2: 2 s".to_owned()));
        }
    });
}

#[test]
fn a_response_s_own_steps_come_before_the_host_s_and_those_before_the_manager_s() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let for_all =
            "<active-response><repeated_offenders>600s</repeated_offenders></active-response>";
        home.script("deny.sh", DENY);
        home.configure(&[
            for_all,
            &command("deny.sh", "<timeout_allowed>yes</timeout_allowed>"),
            &response("firewall-drop", "5763", "1"),
            &stepped("deny.sh", "31151", "700s"),
        ]);
        agent_conf(
            &home,
            "<active-response><repeated_offenders>2s</repeated_offenders></active-response>",
        );
        let pair = Pair::start(&net, &home);
        block(&home, 1);
        wait_for_number(&home, "reverted", 1);
        let of_host = block(&home, 2);
        assert_eq!(said(&of_host), (2, "offence 2: 2 s".to_owned()));
        wait_for_number(&home, "reverted", 2);
        home.alert(&[Alert::web(ADDRESS)]);
        wait_for_number(&home, "reverted", 3);
        home.alert(&[Alert::web(ADDRESS)]);
        let own = wait_for_number(&home, "applied", 4);
        assert_eq!(said(&own), (700, "offence 2: 700 s".to_owned()));
        // Without a word of the host's, the manager's go.
        agent_conf(&home, "");
        let reload = home.ctl(&["reload"]);
        assert!(reload.status.success(), "{reload:?}");
        wait_for("agentd applies its file", SOON, || {
            let said = pair.agentd.said();
            said.contains("applied the configuration").then_some(())
        });
        let of_manager = block(&home, 5);
        assert_eq!(said(&of_manager), (600, "offence 3: 10 min".to_owned()));
        // What a person takes back is forgiven.
        let output = home.ctl(&["revert", "--all", "--yes"]);
        assert!(output.status.success(), "{output:?}");
        let first = block(&home, 6);
        assert_eq!(said(&first), (1, String::new()));
    });
}
