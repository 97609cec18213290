//! Who is let in as which agent.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::{
    Config, Fleet, Host, LISTEN, LOCAL, SOON, WEB_1, WEB_2, drop_at, problems, stderr,
};
use crate::support::alert::Alert;
use crate::support::home::text;
use crate::support::isolation::{isolated, run};
use crate::support::{holds_for, wait_for};

const ATTACKER: &str = "203.0.113.9";

fn config(agents: &'static str) -> Config {
    Config {
        agents,
        blocks: vec![drop_at(LOCAL, "5763", "6")],
        ..Config::default()
    }
}

/// A second host with everything that the home of web-1 holds now.
fn copy_of_web_1(fleet: &mut Fleet) -> Host {
    let copy = fleet.prepare("copy");
    fleet.hosts[WEB_1].stop();
    let from = fleet.hosts[WEB_1].home.file(".");
    let to = copy.home.path().to_str().unwrap();
    run("cp", &["-a", from.to_str().unwrap(), to]);
    fleet.start_agentd(WEB_1);
    fleet.wait_all_connected();
    copy
}

/// Waits until `status` of a host tells of this.
#[track_caller]
fn wait_problem(host: &Host, part: &str) {
    wait_for(&format!("the host is told {part:?}"), SOON, || {
        problems(&host.home).contains(part).then_some(())
    });
}

/// An alert leads to a block on web-1, and on no copy of it.
#[track_caller]
fn works_on_web_1_alone(fleet: &Fleet, copy: &Host) {
    fleet.alert(&[Alert::sshd(ATTACKER).agent("001")]);
    fleet.wait_blocked(WEB_1, ATTACKER);
    assert!(copy.space.arrives(ATTACKER));
    let address = fleet.hosts[WEB_1].space.address.to_string();
    assert_eq!(fleet.agent("001")["address"], address);
}

#[test]
fn of_two_hosts_with_one_certificate_the_second_is_refused_and_the_first_goes_on() {
    isolated(|| {
        let mut fleet = Fleet::start(&config(""));
        let mut copy = copy_of_web_1(&mut fleet);
        copy.start();
        wait_problem(&copy, "with the same certificate");
        let told = fleet.problems();
        let from = copy.space.address.to_string();
        assert!(told.contains(&from) && told.contains("agent 001"), "{told}");
        assert_eq!(fleet.agent("001")["state"], "connected");
        works_on_web_1_alone(&fleet, &copy);
    });
}

/// What `status` of a host says of its link.
fn upstream(host: &Host) -> Value {
    host.home.ctl_json(&["status"])[0]["manager"].clone()
}

#[test]
fn a_copy_of_a_certificate_that_has_been_renewed_is_refused_and_reported() {
    isolated(|| {
        let config = config("<certificate_lifetime>24s</certificate_lifetime>");
        let mut fleet = Fleet::start(&config);
        let mut copy = copy_of_web_1(&mut fleet);
        let until = text(&upstream(&fleet.hosts[WEB_1]), "certificate_until");
        wait_for(
            "the certificate is renewed",
            Duration::from_secs(24),
            || {
                let link = upstream(&fleet.hosts[WEB_1]);
                let is_new = text(&link, "certificate_until") > until;
                (is_new && link["address"] == LISTEN).then_some(())
            },
        );
        copy.start();
        wait_problem(&copy, "its key may have been copied");
        let told = fleet.problems();
        let from = copy.space.address.to_string();
        let said = "old certificate generation of agent 001 seen from";
        assert!(told.contains(said) && told.contains(&from), "{told}");
        works_on_web_1_alone(&fleet, &copy);
    });
}

#[test]
fn an_agent_whose_certificate_has_expired_is_refused_until_it_is_enrolled_anew() {
    isolated(|| {
        let config = config("<certificate_lifetime>10s</certificate_lifetime>");
        let mut fleet = Fleet::of_one(&config);
        let host = fleet.prepare("web-1");
        let token = fleet.token(&["--name", "web-1"]);
        let output = host.enroll(&["--manager", LISTEN, "--token", &token]);
        let enrolled = Instant::now();
        assert!(output.status.success(), "{}", stderr(&output));
        fleet.hosts.push(host);
        wait_for("it has expired", SOON, || {
            (enrolled.elapsed() > Duration::from_secs(11)).then_some(())
        });
        fleet.start_agentd(WEB_1);
        wait_problem(&fleet.hosts[WEB_1], "expired");
        assert_eq!(fleet.agent("001")["state"], "offline");
        fleet.alert(&[Alert::sshd(ATTACKER).agent("001")]);
        fleet.wait_states(ATTACKER, &["001"], "queued");

        let token = fleet.token(&["--id", "001"]);
        let words = ["--manager", LISTEN, "--token", &token, "--force"];
        let output = fleet.hosts[WEB_1].enroll(&words);
        assert!(output.status.success(), "{}", stderr(&output));
        fleet.hosts[WEB_1].kill();
        fleet.start_agentd(WEB_1);
        fleet.wait_agent("001", "connected");
    });
}

#[test]
fn a_revoked_agent_is_out_at_once_and_what_is_in_force_there_ends_in_time() {
    isolated(|| {
        let mut fleet = Fleet::start(&config(""));
        let written = Instant::now();
        fleet.alert(&[Alert::sshd(ATTACKER).agent("001")]);
        fleet.wait_blocked(WEB_1, ATTACKER);
        let output = fleet.centre().ctl(&["agents", "revoke", "001"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let ids: Vec<String> = fleet.agents().iter().map(|row| text(row, "id")).collect();
        assert_eq!(ids, ["000", "002", "003"]);
        wait_problem(&fleet.hosts[WEB_1], "revoked");
        // Started anew it is not let in either.
        fleet.hosts[WEB_1].kill();
        fleet.start_agentd(WEB_1);
        wait_problem(&fleet.hosts[WEB_1], "revoked");
        let timeout = Duration::from_secs(6);
        if written.elapsed() < timeout - Duration::from_secs(1) {
            assert!(!fleet.arrives(WEB_1, ATTACKER));
        }
        fleet.wait_open(WEB_1, ATTACKER);
        let lasted = written.elapsed();
        assert!(
            lasted >= timeout && lasted < timeout + Duration::from_secs(2),
            "{lasted:?}"
        );

        // It is nobody now; the others go on.
        fleet.alert(&[
            Alert::sshd("203.0.113.10").agent("001"),
            Alert::sshd("203.0.113.11").agent("002"),
        ]);
        fleet.wait_blocked(WEB_2, "203.0.113.11");
        assert_eq!(fleet.counter("alerts of agents not known here"), 1);
        holds_for("nothing happens there", Duration::from_millis(500), || {
            fleet.arrives(WEB_1, "203.0.113.10")
        });
    });
}

const KEY: &str = "5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0aabcd";

#[test]
fn imported_agents_keep_ids_and_names_and_no_id_is_ever_given_again() {
    isolated(|| {
        let mut fleet = Fleet::of_one(&config(""));
        let keys = fleet.centre().beside().join("client.keys");
        let lines = [
            "001 web-1 any",
            "003 web-2 192.0.2.12",
            "004 !gone any",
            "007 db-3 any",
        ];
        let lines = lines.map(|line| format!("{line} {KEY}\n"));
        fs::write(&keys, lines.concat()).unwrap();
        let tokens = fleet.centre().ctl_json(&["import", keys.to_str().unwrap()]);
        let tokens = tokens.as_array().unwrap();
        assert_eq!(tokens.len(), 3, "{tokens:?}");
        for token in tokens {
            fleet.join(&text(token, "name"), &text(token, "token"));
        }
        fleet.wait_all_connected();
        let known = |fleet: &Fleet| -> Vec<(String, String)> {
            let agents = fleet.agents();
            let row = |row: &Value| (text(row, "id"), text(row, "name"));
            agents.iter().map(row).skip(1).collect()
        };
        let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        let imported = [
            pair("001", "web-1"),
            pair("003", "web-2"),
            pair("007", "db-3"),
        ];
        assert_eq!(known(&fleet), imported);
        for (place, (_, name)) in imported.iter().enumerate() {
            let host = &fleet.hosts[place + 1];
            assert!(host.home.file("etc/tls/agent.pem").exists(), "{name}");
        }
        fleet.alert(&[Alert::sshd(ATTACKER).agent("007")]);
        fleet.wait_blocked(3, ATTACKER);

        // Neither the removed id nor one that was revoked comes again.
        let output = fleet.centre().ctl(&["agents", "revoke", "007"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let mut given = BTreeSet::new();
        for name in ["a", "b", "c", "d", "e"] {
            let token = fleet.token(&["--name", name]);
            fleet.join(name, &token);
            let ids = known(&fleet).into_iter().filter(|row| row.1 == name);
            given.extend(ids.map(|row| row.0));
        }
        assert_eq!(given.len(), 5, "{given:?}");
        for taken in ["001", "003", "004", "007"] {
            assert!(!given.contains(taken), "{given:?}");
        }
    });
}
