//! The port of a manager that goes on: moved, closed, opened again.

use std::fs;
use std::time::Duration;

use crate::scene::{Config, DB_3, Fleet, LISTEN, LOCAL, SOON, WEB_1, WEB_2, drop_at, stderr};
use crate::support::alert::Alert;
use crate::support::home::Home;
use crate::support::isolation::isolated;
use crate::support::wait_for;

const MOVED: &str = "192.0.2.1:1518";

/// Far below the time after which a silent session is given up, which is 90 s.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The longest that an agent waits between two dials is 30 s.
const REDIALLED: Duration = Duration::from_secs(60);

/// Applies a configuration that listens here, or nowhere, and else is as it was.
#[track_caller]
fn listen(fleet: &Fleet, config: &str, at: Option<&str>) {
    // What `init` wrote has one too, in a comment.
    let (before, rest) = config.rsplit_once("<agents>").unwrap();
    let (_, after) = rest.split_once("</agents>").unwrap();
    let agents = match at {
        Some(at) => format!("<agents><listen>{at}</listen></agents>"),
        None => String::new(),
    };
    let path = fleet.centre().file("etc/manager.conf");
    fs::write(path, format!("{before}{agents}{after}")).unwrap();
    reload(fleet.centre());
}

#[track_caller]
fn reload(home: &Home) {
    let output = home.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", stderr(&output));
}

#[track_caller]
fn wait_agent(fleet: &Fleet, id: &str, state: &str, deadline: Duration) {
    wait_for(&format!("{id} is {state}"), deadline, || {
        (fleet.agent(id)["state"] == state).then_some(())
    });
}

/// An attack on web-1 is answered there, and only there.
#[track_caller]
fn assert_answered(fleet: &Fleet, attacker: &str) {
    fleet.alert(&[Alert::sshd(attacker).agent("001")]);
    fleet.wait_blocked(WEB_1, attacker);
    fleet.wait_states(attacker, &["001"], "applied");
    assert_eq!(fleet.blocking(attacker), [WEB_1]);
}

#[test]
fn sessions_end_with_the_port_they_came_by_and_begin_anew_at_the_next() {
    isolated(|| {
        let fleet = Fleet::start(&Config::new(vec![drop_at(LOCAL, "5763", "600")]));
        let config = fs::read_to_string(fleet.centre().file("etc/manager.conf")).unwrap();
        // One of the hosts knows the port to come.
        let web_1 = &fleet.hosts[WEB_1].home;
        let path = web_1.file("etc/agent.conf");
        let text = fs::read_to_string(&path).unwrap();
        let (before, after) = text.rsplit_once("</client>").unwrap();
        let (address, port) = MOVED.split_once(':').unwrap();
        let server = format!("<server><address>{address}</address><port>{port}</port></server>");
        fs::write(path, format!("{before}{server}</client>{after}")).unwrap();
        reload(web_1);
        assert_answered(&fleet, "203.0.113.1");

        listen(&fleet, &config, Some(MOVED));
        for id in ["002", "003"] {
            wait_agent(&fleet, id, "offline", AT_ONCE);
        }
        fleet.wait_agent("001", "connected");
        assert_answered(&fleet, "203.0.113.2");
        fleet.alert(&[Alert::sshd("203.0.113.3").agent("002")]);
        fleet.wait_states("203.0.113.3", &["002"], "queued");

        listen(&fleet, &config, None);
        wait_agent(&fleet, "001", "offline", AT_ONCE);
        assert_eq!(fleet.agent("000")["state"], "connected");
        fleet.alert(&[Alert::sshd("203.0.113.4").agent("001")]);
        fleet.wait_states("203.0.113.4", &["001"], "queued");

        listen(&fleet, &config, Some(LISTEN));
        for (id, place, attacker) in [("001", WEB_1, "203.0.113.4"), ("002", WEB_2, "203.0.113.3")]
        {
            wait_agent(&fleet, id, "connected", REDIALLED);
            fleet.wait_blocked(place, attacker);
            fleet.wait_states(attacker, &[id], "applied");
        }
        wait_agent(&fleet, "003", "connected", REDIALLED);
        assert!(fleet.arrives(DB_3, "203.0.113.4"));
        wait_for("nothing waits", SOON, || {
            let agents = fleet.agents();
            agents
                .iter()
                .all(|agent| agent["pending"] == 0)
                .then_some(())
        });
    });
}
