//! What hosts can do, and whom none of them may touch.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::scene::{
    ALL, Config, DB_3, Fleet, GUARDED, LOCAL, SOON, WEB_1, drop_at, respond, stderr,
};
use crate::support::alert::Alert;
use crate::support::home::{command, text};
use crate::support::isolation::isolated;
use crate::support::{holds_for, wait_for};

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

        let (first, second) = ("203.0.113.1", "203.0.113.2");
        settled(&fleet, first, "note");
        fleet.alert(&[Alert::web(second)]);
        let failed = fleet.wait_states(second, &["003"], "failed").remove(0);
        assert!(
            text(&failed, "detail").contains("firewall-drop"),
            "{failed}"
        );
        fleet.wait_states(second, &["000", "001", "002"], "applied");
        assert!(!noted(DB_3) && noted(WEB_1));
        assert_eq!(fleet.agent("003")["state"], "connected");

        mode(0o750);
        fleet.hosts[DB_3].home.script("note", body);
        wait_for("the gap is closed", SOON, || {
            fleet.agent("003")["gaps"].is_null().then_some(())
        });
        let third = "203.0.113.3";
        fleet.alert(&[Alert::web(third)]);
        fleet.wait_states(third, EVERYWHERE, "applied");
        wait_for("the script works there too", SOON, || {
            fleet.alert(&[Alert::sshd("203.0.113.4")]);
            holds_for("a moment", Duration::from_millis(300), || true);
            noted(DB_3).then_some(())
        });
    });
}

/// Writes alerts until a script that was just installed has run where it is,
/// and has failed where it is not.
fn settled(fleet: &Fleet, attacker: &str, executable: &str) {
    wait_for("the new script is known", SOON, || {
        fleet.alert(&[Alert::sshd(attacker)]);
        let records = wait_for("an outcome on every host", SOON, || {
            let records = fleet.records(attacker);
            let last = text(records.last()?, "alert");
            let open = |state: &str| ["queued", "sent", "running"].contains(&state);
            let ended: Vec<_> = records
                .into_iter()
                .filter(|r| text(r, "alert") == last && !open(&text(r, "state")))
                .collect();
            (ended.len() == 4).then_some(ended)
        });
        let on = |id: &str| records.iter().find(|r| r["agent"]["id"] == id).unwrap();
        let failed = on("003");
        assert_eq!(failed["state"], "failed", "{failed}");
        assert!(text(failed, "detail").contains(executable), "{failed}");
        let rest = ["000", "001", "002"]
            .iter()
            .all(|id| on(id)["state"] == "done");
        rest.then_some(())
    });
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
