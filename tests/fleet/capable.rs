//! What hosts can do, and whom none of them may touch.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::scene::{
    ALL, Config, DB_3, Fleet, GUARDED, LOCAL, SOON, WEB_1, agent, drop_at, respond, stderr,
};
use crate::support::alert::Alert;
use crate::support::home::{command, text};
use crate::support::isolation::isolated;
use crate::support::wait_for;

const EVERYWHERE: &[&str] = &["000", "001", "002", "003"];

#[test]
fn a_host_without_the_executable_fails_at_once_and_works_once_it_is_there() {
    isolated(|| {
        let stateful = "<timeout_allowed>yes</timeout_allowed>";
        let fleet = Fleet::start(&Config::new(vec![
            command("note", stateful),
            respond("note", ALL, "5763", ""),
            drop_at(ALL, "31151", "600"),
        ]));
        let body = "read -r line || exit 1\nprintf '%s\\n' \"$line\" >> logs/noted";
        for host in &fleet.hosts {
            if host.space.address != fleet.hosts[DB_3].space.address {
                host.home.script("note", body);
            }
        }
        let drop = fleet.hosts[DB_3]
            .home
            .file("active-response/bin/firewall-drop");
        let mode = |mode| fs::set_permissions(&drop, fs::Permissions::from_mode(mode)).unwrap();
        // Group-writable, it is not to be trusted.
        mode(0o770);
        wait_for("the gap is told", SOON, || {
            let gaps = fleet.agent("003")["gaps"].to_string();
            gaps.contains("firewall-drop").then_some(())
        });
        let noted = |place: usize| fleet.hosts[place].home.file("logs/noted").exists();

        let mut attackers = (1..250).map(|number| format!("198.18.0.{number}"));
        let mut outcomes = || outcomes(&fleet, &attackers.next().unwrap());
        // A script that was just installed is known a little later.
        let records = wait_for("the new script is known where it is", SOON, || {
            let records = outcomes();
            let done = |id: &&&str| on(&records, id)["state"] == "done";
            (EVERYWHERE.iter().filter(done).count() == 3).then_some(records)
        });
        let failed = on(&records, "003");
        assert_eq!(failed["state"], "failed", "{failed}");
        assert!(text(failed, "detail").contains("note"), "{failed}");

        let attacker = "203.0.113.1";
        fleet.alert(&[Alert::web(attacker)]);
        let failed = fleet.wait_states(attacker, &["003"], "failed").remove(0);
        assert!(
            text(&failed, "detail").contains("firewall-drop"),
            "{failed}"
        );
        // Not sent there to be refused.
        assert_eq!(fleet.states(attacker, "003"), ["failed"]);
        fleet.wait_states(attacker, &["000", "001", "002"], "applied");
        assert!(!noted(DB_3) && noted(WEB_1));
        assert_eq!(fleet.agent("003")["state"], "connected");

        mode(0o750);
        fleet.hosts[DB_3].home.script("note", body);
        wait_for("the gap is closed", SOON, || {
            fleet.agent("003")["gaps"].is_null().then_some(())
        });
        let attacker = "203.0.113.2";
        fleet.alert(&[Alert::web(attacker)]);
        fleet.wait_states(attacker, EVERYWHERE, "applied");
        wait_for("the script works there too", SOON, || {
            (on(&outcomes(), "003")["state"] == "done").then_some(())
        });
        assert!(noted(DB_3));
    });
}

/// Writes an alert, and waits until every host has told what became of it; the
/// attacker is a new one.
#[track_caller]
fn outcomes(fleet: &Fleet, attacker: &str) -> Vec<Value> {
    fleet.alert(&[Alert::sshd(attacker)]);
    wait_for("an outcome on every host", SOON, || {
        let open = ["queued", "sent", "running"];
        let mut records = fleet.records(attacker);
        records.retain(|record| !open.contains(&text(record, "state").as_str()));
        (records.len() == EVERYWHERE.len()).then_some(records)
    })
}

/// What a host has told.
#[track_caller]
fn on<'a>(records: &'a [Value], id: &str) -> &'a Value {
    let mut of_host = records.iter().filter(|record| agent(record) == id);
    of_host.next().unwrap()
}

#[test]
fn the_list_of_agents_tells_who_and_where_they_are() {
    isolated(|| {
        let mut fleet = Fleet::start(&Config::new(vec![drop_at(LOCAL, "5763", "600")]));
        fleet.alert(&[Alert::sshd("203.0.113.1").agent("001")]);
        fleet.wait_states("203.0.113.1", &["001"], "applied");
        let row = fleet.agent("001");
        assert_eq!(row["name"], "web-1");
        assert_eq!(row["groups"], serde_json::json!(["web"]));
        assert_eq!(row["address"], fleet.hosts[WEB_1].space.address.to_string());
        assert_eq!(row["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(row["state"], "connected");
        assert_eq!(row["in_force"], 1);
        assert_eq!(row["pending"], 0);
        let since = text(&row, "since");
        assert!(!since.is_empty());

        fleet.hosts[WEB_1].stop();
        fleet.wait_agent("001", "offline");
        fleet.alert(&[Alert::sshd("203.0.113.2").agent("001")]);
        fleet.wait_states("203.0.113.2", &["001"], "queued");
        let row = fleet.agent("001");
        assert_eq!((&row["in_force"], &row["pending"]), (&1.into(), &1.into()));
        assert!(text(&row, "since") > since, "{row}");
        let table = fleet.centre().ctl(&["agents"]);
        let table = String::from_utf8(table.stdout).unwrap();
        assert_eq!(table.lines().count(), 5, "{table}");
    });
}

#[test]
fn what_is_on_the_white_list_is_blocked_nowhere_also_after_a_reload() {
    isolated(|| {
        let guard = |address: &str| format!("<white_list>{address}</white_list>");
        let blocks = vec![drop_at(ALL, "5763", "600"), drop_at(ALL, "31151", "600")];
        let mut config = Config {
            global: guard(GUARDED),
            blocks,
            ..Config::default()
        };
        let fleet = Fleet::start(&config);
        let late = "203.0.113.70";
        fleet.alert(&[Alert::sshd(GUARDED), Alert::sshd("203.0.113.1")]);
        fleet.wait_states("203.0.113.1", EVERYWHERE, "applied");
        fleet.wait_states(GUARDED, EVERYWHERE, "refused");
        assert!(fleet.blocking(GUARDED).is_empty());

        config.global = guard(late);
        fleet.configure(&config);
        let output = fleet.centre().ctl(&["reload"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        // The manager would refuse by itself; what the hosts have been told is
        // shown by an address that was protected before, and is not any more.
        fleet.alert(&[Alert::web(GUARDED), Alert::web(late)]);
        wait_for("it is blocked everywhere", SOON, || {
            (fleet.blocking(GUARDED).len() == 4).then_some(())
        });
        fleet.wait_states(late, EVERYWHERE, "refused");
        assert!(fleet.blocking(late).is_empty());
    });
}
