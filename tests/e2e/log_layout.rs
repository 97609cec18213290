//! The layout of active-responses.log is that of `agent.conf`, for workers that
//! run already and for executables that are started.

use std::fs;
use std::time::Duration;

use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;

const SOON: Duration = Duration::from_secs(10);

fn lay_out(home: &Home, layout: &str) {
    let text = format!(
        "<ripost_config><global><log_layout>{layout}</log_layout></global></ripost_config>\n"
    );
    fs::write(home.file("etc/agent.conf"), text).unwrap();
}

#[track_caller]
fn reload(home: &Home) {
    let output = home.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The lines that are new since there were `known`.
fn new_lines(home: &Home, known: &mut usize) -> Vec<String> {
    let log = home.log();
    let lines: Vec<_> = log.lines().skip(*known).map(str::to_owned).collect();
    *known += lines.len();
    lines
}

#[test]
fn the_log_is_written_for_the_readers_that_agent_conf_names_at_once() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            &response("firewall-drop", "5763", "600"),
            &response("host-deny", "5712", "600"),
        ]);
        lay_out(&home, "ossec");
        let _pair = Pair::start(&net, &home);
        let mut known = 0;
        home.alert(&[Alert::sshd("203.0.113.1")]);
        net.wait_blocked("203.0.113.1", SOON);
        home.wait_state("203.0.113.1", "applied");
        let lines = new_lines(&home, &mut known);
        let bin = home
            .path()
            .canonicalize()
            .unwrap()
            .join("active-response/bin");
        let words = format!(" {}/firewall-drop.sh add - 203.0.113.1 ", bin.display());
        assert!(lines.len() == 1 && lines[0].contains(&words), "{lines:#?}");
        assert!(lines[0].ends_with(" 5763"), "{lines:#?}");

        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_record("the repeat is told", |record| record["state"] == "already");
        assert_eq!(new_lines(&home, &mut known), Vec::<String>::new());

        lay_out(&home, "wazuh");
        reload(&home);
        home.alert(&[Alert::sshd("203.0.113.2")]);
        home.wait_state("203.0.113.2", "applied");
        let lines = new_lines(&home, &mut known);
        assert!(
            lines[0].ends_with("active-response/bin/firewall-drop: Starting"),
            "{lines:#?}"
        );
        assert!(lines.last().unwrap().ends_with(": Ended"), "{lines:#?}");

        lay_out(&home, "ossec");
        reload(&home);
        let revert = home.ctl(&["revert", "--target", "203.0.113.2", "--yes"]);
        assert!(revert.status.success());
        home.wait_state("203.0.113.2", "reverted");
        let lines = new_lines(&home, &mut known);
        assert!(lines.len() == 1, "{lines:#?}");
        assert!(
            lines[0].contains("/firewall-drop.sh delete - 203.0.113.2 "),
            "{lines:#?}"
        );
    });
}
