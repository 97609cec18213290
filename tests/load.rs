//! A real manager with two hundred agents, honest ones and liars, played by
//! `examples/fleet_sim`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and looks at the time"
)]

#[expect(dead_code, reason = "the command line of the example is not used here")]
#[path = "../examples/fleet_sim/mod.rs"]
mod fleet_sim;
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use fleet_sim::fleet::Fleet;
use fleet_sim::identities;
use fleet_sim::lies::Lie;
use fleet_sim::lines::Lines;
use fleet_sim::options::Options;
use fleet_sim::report::Report;
use serde_json::Value;
use support::alert::Alert;
use support::daemon::{Daemon, Program};
use support::home::{Home, text};

const AGENTS: u32 = 200;
/// Of each kind of lie.
const LIARS: u32 = 20;

const PATIENCE: Duration = Duration::from_secs(30);

/// A manager with a response on every agent, and a fleet that it knows.
struct Scene {
    manager: Daemon,
    fleet: Fleet,
    home: Home,
}

impl Scene {
    async fn start(lies: &[Lie], liars: u32) -> Self {
        let home = Home::new();
        let port = free_port();
        let agents = format!("<agents><listen>127.0.0.1:{port}</listen></agents>");
        let response = "<active-response><command>firewall-drop</command><location>all</location>\
                        <rules_id>5763</rules_id><timeout>3600</timeout></active-response>";
        home.configure(&[&agents, response]);
        let manager = Daemon::start_with(Command::new("env"), &home, Program::Manager);
        let uses = AGENTS.to_string();
        let made = home.ctl(&["enroll", "token", "--uses", &uses]);
        let token = String::from_utf8(made.stdout).unwrap();
        let dir = home.beside().join("fleet");
        let options = Options::parse_from([
            "fleet_sim",
            "--manager",
            &format!("127.0.0.1:{port}"),
            "--token",
            token.trim(),
            "--agents",
            &uses,
            "--dir",
            dir.to_str().unwrap(),
        ]);
        let known = identities::get(&options).await.unwrap();
        let mut settings = options.settings();
        settings.lies = lies.to_vec();
        settings.liars = liars;
        let fleet = Fleet::start(settings, known, Lines::none()).unwrap();
        let scene = Self {
            manager,
            fleet,
            home,
        };
        let connected = || {
            let agents = scene.home.ctl_json(&["agents"]);
            let honest = agents.as_array()?.iter();
            let honest = honest.filter(|agent| scene.plays(agent));
            let connected = honest.filter(|agent| agent["state"] == "connected").count();
            (connected == scene.honest()).then_some(())
        };
        let how_it_is = || scene.fleet.report().in_one_line();
        wait("honest agents are connected", connected, how_it_is).await;
        scene
    }

    async fn wait(&self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        let report = || Some(self.fleet.report()).filter(&is_so);
        wait(what, report, || self.fleet.report().in_one_line()).await
    }

    /// Waits until the honest agents have their action of each of so many alerts
    /// in force, and returns the states of their actions.
    async fn in_force(&self, alerts: usize) -> BTreeMap<String, Vec<String>> {
        let states = || {
            let mut states = BTreeMap::<_, Vec<String>>::new();
            for record in self.home.responses() {
                if !self.is_honest(&record) {
                    continue;
                }
                let name = format!("{} {}", record["agent"]["id"], record["action"]);
                states.entry(name).or_default().push(text(&record, "state"));
            }
            let applied = |states: &&Vec<String>| states.last().is_some_and(|s| s == "applied");
            let all = states.values().filter(applied).count() == self.honest() * alerts;
            all.then_some(states)
        };
        let how_it_is = || self.fleet.report().in_one_line();
        wait("actions are in force", states, how_it_is).await
    }

    /// Whether a record is of an honest agent.
    fn is_honest(&self, record: &Value) -> bool {
        self.plays(&record["agent"])
    }

    /// Whether this is an honest agent. The liars are the first in the
    /// simulator; the names tell.
    fn plays(&self, agent: &Value) -> bool {
        let name = text(agent, "name");
        let number = name
            .strip_prefix("sim-")
            .and_then(|n| n.parse::<u32>().ok());
        number.is_some_and(|number| number >= self.fleet.liars())
    }

    fn honest(&self) -> usize {
        usize::try_from(AGENTS - self.fleet.liars()).unwrap()
    }
}

async fn wait<T>(
    what: &str,
    mut found: impl FnMut() -> Option<T>,
    otherwise: impl Fn() -> String,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        let late = Instant::now() >= end;
        assert!(!late, "waited {PATIENCE:?} for: {what}\n{}", otherwise());
        // The agents live in this thread.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn an_alert_reaches_each_of_two_hundred_agents_once_also_after_all_were_cut_off() {
    let scene = Scene::start(&[], 0).await;
    scene.home.alert(&[Alert::sshd("203.0.113.7")]);
    let states = scene.in_force(1).await;
    each_once(&states);

    scene.fleet.cut_all();
    let back = |report: &Report| report.cuts == u64::from(AGENTS) && report.connected == AGENTS;
    let report = scene.wait("all have come back", back).await;
    assert_eq!(report.connects, 2 * u64::from(AGENTS));

    scene.home.alert(&[Alert::sshd("203.0.113.8")]);
    scene.in_force(2).await;
    let done = |report: &Report| report.confirmed == 2 * u64::from(AGENTS);
    let report = scene.wait("all reports are confirmed", done).await;
    assert_eq!(report.received, 2 * u64::from(AGENTS));
    assert_eq!(report.acknowledged, 2 * u64::from(AGENTS));
}

#[tokio::test]
async fn liars_of_every_kind_harm_nobody_but_themselves() {
    let kinds = u32::try_from(Lie::ALL.len()).unwrap();
    let mut scene = Scene::start(&Lie::ALL, kinds * LIARS).await;
    for alerts in 1..=3 {
        scene.home.alert(&[Alert::sshd("203.0.113.9")]);
        let states = scene.in_force(alerts).await;
        each_once(&states);
    }
    let lied = "the manager has ended sessions of liars";
    scene
        .wait(lied, |report| {
            report.ended_by_manager >= 3 * u64::from(LIARS)
        })
        .await;
    let owners = owners(&scene.home.responses());
    let shared: Vec<_> = owners.values().filter(|names| names.len() > 1).collect();
    assert_eq!(
        shared,
        Vec::<&Vec<String>>::new(),
        "whose actions are these?"
    );
    let history = scene.home.ctl_json(&["history", "-n", "10000"]);
    let mut honest_ones = history.as_array().unwrap().iter();
    assert!(honest_ones.all(|record| !scene.is_honest(record) || record["state"] == "applied"));
    assert!(scene.manager.is_running());
}

/// Each action is sent and applied once. One waits before, should its agent be
/// connected and not have said yet what its host can do.
#[track_caller]
fn each_once(states: &BTreeMap<String, Vec<String>>) {
    for (action, states) in states {
        let waited = usize::from(states[0] == "queued");
        assert_eq!(
            states[waited..],
            ["sent", "applied"],
            "{action}: {states:?}"
        );
    }
}

/// The agents in whose name something was said of each action.
fn owners(records: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut owners = BTreeMap::<_, Vec<String>>::new();
    for record in records {
        let names = owners.entry(text(record, "action")).or_default();
        let name = text(&record["agent"], "id");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    owners
}
