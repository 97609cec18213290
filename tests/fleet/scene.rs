//! A fleet: the manager's host, which is agent 000, and hosts that have
//! enrolled with it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Program};
use crate::support::home::{Home, text};
use crate::support::wait_for;
use crate::wire::{Space, Wire};

/// Where the manager listens.
pub const LISTEN: &str = "192.0.2.1:1517";

/// An address that some tests put on the white list.
pub const GUARDED: &str = "203.0.113.77";

/// What is expected to happen at once, on a machine that runs other tests.
pub const SOON: Duration = Duration::from_secs(15);

/// The number of each host: that of its agent, and its place in the fleet.
pub const SIEM: usize = 0;
pub const WEB_1: usize = 1;
pub const WEB_2: usize = 2;
pub const DB_3: usize = 3;

/// The hosts beside the manager's: name and group, in the order of their ids.
pub const MEMBERS: &[(&str, &str)] = &[("web-1", "web"), ("web-2", "web"), ("db-3", "db")];

/// One host with its agentd.
pub struct Host {
    // First, so that what it said is still there when it goes.
    pub agentd: Option<Daemon>,
    pub home: Home,
    pub space: Space,
}

/// A manager and its agents.
pub struct Fleet {
    pub manager: Option<Daemon>,
    pub hosts: Vec<Host>,
    pub wire: Wire,
    /// Which attacker each alert was about: an action that has not run yet has
    /// no keys.
    attackers: RefCell<HashMap<String, String>>,
    scripts: &'static [(&'static str, &'static str)],
}

/// What stands in `manager.conf` besides what `ripostctl init` wrote.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Elements of `<agents>`.
    pub agents: &'static str,
    /// Elements of `<global>`.
    pub global: String,
    /// Whole sections.
    pub blocks: Vec<String>,
    /// Names and bodies of scripts that every host has.
    pub scripts: &'static [(&'static str, &'static str)],
}

impl Config {
    pub fn new(blocks: Vec<String>) -> Self {
        Self {
            blocks,
            ..Self::default()
        }
    }
}

impl Fleet {
    /// A fleet in which everybody is connected.
    #[track_caller]
    pub fn start(config: &Config) -> Self {
        let mut fleet = Self::of_one(config);
        for (name, group) in MEMBERS {
            let token = fleet.token(&["--name", name, "--group", group]);
            fleet.join(name, &token);
        }
        fleet.wait_all_connected();
        fleet
    }

    /// The manager's host alone.
    #[track_caller]
    pub fn of_one(config: &Config) -> Self {
        let wire = Wire::new();
        let space = wire.host("siem", 1);
        let home = Home::new();
        home.append(b"");
        let mut fleet = Self {
            manager: None,
            hosts: vec![Host {
                agentd: None,
                home,
                space,
            }],
            wire,
            attackers: RefCell::default(),
            scripts: config.scripts,
        };
        fleet.configure(config);
        fleet.install(fleet.centre());
        fleet.start_manager();
        fleet.start_agentd(SIEM);
        fleet
    }

    /// Writes `manager.conf`: what `ripostctl init` makes of it, and this.
    pub fn configure(&self, config: &Config) {
        let path = self.centre().file("etc/manager.conf");
        let kept = self.centre().beside().join("manager.conf");
        if !kept.exists() {
            fs::copy(&path, &kept).unwrap();
        }
        let before = fs::read_to_string(kept).unwrap();
        let Config {
            agents,
            global,
            blocks,
            scripts: _,
        } = config;
        let blocks = blocks.join("\n  ");
        let more = format!(
            "<ripost_config>
  <global>{global}</global>
  <agents><listen>{LISTEN}</listen>{agents}</agents>
  {blocks}
</ripost_config>
"
        );
        fs::write(path, before + &more).unwrap();
    }

    fn install(&self, home: &Home) {
        for (name, body) in self.scripts {
            home.script(name, body);
        }
    }

    /// The manager's home.
    pub fn centre(&self) -> &Home {
        &self.hosts[SIEM].home
    }

    /// Writes alerts where the manager reads them.
    pub fn alert(&self, alerts: &[Alert]) {
        let mut lines = String::new();
        for alert in alerts {
            let line = alert.line();
            let written: Value = serde_json::from_str(&line).unwrap();
            let attacker = text(&written["data"], "srcip");
            let mut attackers = self.attackers.borrow_mut();
            attackers.insert(text(&written, "id"), attacker);
            lines += &line;
        }
        self.centre().append(lines.as_bytes());
    }

    #[track_caller]
    pub fn start_manager(&mut self) {
        let host = &self.hosts[SIEM];
        let command = host.space.command();
        self.manager = Some(Daemon::start_with(command, &host.home, Program::Manager));
    }

    pub fn kill_manager(&mut self) {
        self.manager.take().unwrap().kill();
    }

    #[track_caller]
    pub fn start_agentd(&mut self, host: usize) {
        self.hosts[host].start();
    }

    /// Makes a token on the manager.
    #[track_caller]
    pub fn token(&self, wish: &[&str]) -> String {
        let output = self.centre().ctl(&[&["enroll", "token"], wish].concat());
        assert!(output.status.success(), "{wish:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes a host an agent and starts it. Its address ends with 10 and its
    /// place in the fleet.
    #[track_caller]
    pub fn join(&mut self, name: &str, token: &str) {
        let host = self.prepare(name);
        self.install(&host.home);
        let output = host.enroll(&["--manager", LISTEN, "--token", token]);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let place = self.hosts.len();
        self.hosts.push(host);
        self.start_agentd(place);
    }

    /// A host that is nothing yet, on the switch but not in the fleet.
    pub fn prepare(&self, name: &str) -> Host {
        static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(11);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Host {
            agentd: None,
            home: agent_home(),
            space: self.wire.host(name, number),
        }
    }

    /// The rows of `ripostctl agents`.
    #[track_caller]
    pub fn agents(&self) -> Vec<Value> {
        let agents = self.centre().ctl_json(&["agents"]);
        agents.as_array().unwrap().clone()
    }

    #[track_caller]
    pub fn agent(&self, id: &str) -> Value {
        let agents = self.agents();
        let found = agents.iter().find(|agent| agent["id"] == id);
        found
            .unwrap_or_else(|| panic!("{id} in {agents:?}"))
            .clone()
    }

    /// Waits until an agent is `connected` or `offline`.
    #[track_caller]
    pub fn wait_agent(&self, id: &str, state: &str) {
        wait_for(&format!("{id} is {state}"), SOON * 2, || {
            (self.agent(id)["state"] == state).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_all_connected(&self) {
        wait_for("all agents are connected", SOON * 2, || {
            let agents = self.agents();
            let all = agents.iter().all(|agent| agent["state"] == "connected");
            (all && agents.len() == self.hosts.len()).then_some(())
        });
    }

    /// What `status` of the manager tells people to look at.
    #[track_caller]
    pub fn problems(&self) -> String {
        problems(self.centre())
    }

    /// Waits until these agents, and only these, have reached one of these
    /// states against this attacker. Returns the last record of each of them.
    #[track_caller]
    pub fn wait_states(&self, attacker: &str, ids: &[&str], state: &str) -> Vec<Value> {
        let wanted: BTreeSet<&str> = ids.iter().copied().collect();
        wait_for(
            &format!("{attacker} is {state} on {ids:?}"),
            SOON * 2,
            || {
                let records = self.records(attacker);
                let found: Vec<Value> = records
                    .into_iter()
                    .filter(|record| record["state"] == state)
                    .collect();
                let agents: BTreeSet<&str> = found.iter().map(agent).collect();
                (agents == wanted).then_some(found)
            },
        )
    }

    /// What `responses.json` tells of the actions against this attacker.
    pub fn records(&self, attacker: &str) -> Vec<Value> {
        let records = self.centre().responses_after_crashes().into_iter();
        let about = records.filter(|record| self.attacker(record) == attacker);
        about.collect()
    }

    /// Whom an action is against: the attacker of its alert, or its key if it
    /// has none.
    pub fn attacker(&self, record: &Value) -> String {
        let attackers = self.attackers.borrow();
        let known = attackers.get(&text(record, "alert"));
        let key = || record["keys"][0].as_str().unwrap_or_default().to_owned();
        known.cloned().unwrap_or_else(key)
    }

    /// The states of the actions against this attacker on one agent.
    pub fn states(&self, attacker: &str, id: &str) -> Vec<String> {
        let records = self.records(attacker);
        let of_agent = records.iter().filter(|record| agent(record) == id);
        of_agent.map(|record| text(record, "state")).collect()
    }

    /// The places of the hosts at which packets from this address are dropped.
    pub fn blocking(&self, address: &str) -> Vec<usize> {
        let places = 0..self.hosts.len();
        places
            .filter(|place| !self.hosts[*place].space.arrives(address))
            .collect()
    }

    /// Whether packets from this address arrive at a host.
    pub fn arrives(&self, host: usize, address: &str) -> bool {
        self.hosts[host].space.arrives(address)
    }

    #[track_caller]
    pub fn wait_blocked(&self, host: usize, address: &str) {
        wait_for(&format!("{address} is blocked on {host}"), SOON, || {
            (!self.arrives(host, address)).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_open(&self, host: usize, address: &str) {
        wait_for(&format!("{address} is open on {host}"), SOON, || {
            self.arrives(host, address).then_some(())
        });
    }

    /// A counter of the manager's `status`.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        crate::support::home::counter(&status(self.centre(), "ripost-manager"), name)
    }
}

impl Host {
    #[track_caller]
    pub fn start(&mut self) {
        let command = self.space.command();
        self.agentd = Some(Daemon::start_with(command, &self.home, Program::Agentd));
    }

    /// SIGTERM, and wait until it has ended.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.agentd.take().unwrap().stop();
        assert!(status.success(), "{status}");
    }

    pub fn kill(&mut self) {
        self.agentd.take().unwrap().kill();
    }

    /// Runs `ripost-agentd enroll` here.
    pub fn enroll(&self, words: &[&str]) -> Output {
        let mut command = self.space.command();
        command
            .arg(env!("CARGO_BIN_EXE_ripost-agentd"))
            .arg("--home")
            .arg(self.home.path())
            .arg("enroll")
            .args(words);
        command.output().unwrap()
    }
}

/// A home that `ripostctl init --agent` has made.
pub fn agent_home() -> Home {
    let home = Home::empty();
    let output = Command::new(env!("CARGO_BIN_EXE_ripostctl"))
        .args(["init", "--agent"])
        .arg(home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    home
}

/// What `status` of a home tells of one daemon, as an array of one.
#[track_caller]
fn status(home: &Home, daemon: &str) -> Value {
    let status = home.ctl_json(&["status"]);
    let daemons = status.as_array().unwrap();
    let found = daemons.iter().find(|one| one["daemon"] == daemon);
    let found = found.unwrap_or_else(|| panic!("{daemon} in {status}"));
    Value::Array(vec![found.clone()])
}

/// What the daemons of a home tell people to look at, one sentence a line.
#[track_caller]
pub fn problems(home: &Home) -> String {
    let status = home.ctl_json(&["status"]);
    let daemons = status.as_array().unwrap();
    let sentences = daemons
        .iter()
        .flat_map(|daemon| daemon["problems"].as_array().unwrap())
        .map(|sentence| sentence.as_str().unwrap());
    sentences.collect::<Vec<_>>().join("\n")
}

/// The id of the agent of a record.
pub fn agent(record: &Value) -> &str {
    record["agent"]["id"].as_str().unwrap_or_default()
}

/// A response that drops packets for `rule`, at a place in XML.
pub fn drop_at(place: &str, rule: &str, timeout: &str) -> String {
    respond("firewall-drop", place, rule, timeout)
}

/// As [`drop_at`], for another command; without a timeout if that is empty.
pub fn respond(command: &str, place: &str, rule: &str, timeout: &str) -> String {
    let timeout = match timeout {
        "" => String::new(),
        timeout => format!("<timeout>{timeout}</timeout>"),
    };
    format!(
        "<active-response><command>{command}</command>{place}\
         <rules_id>{rule}</rules_id>{timeout}</active-response>"
    )
}

pub const LOCAL: &str = "<location>local</location>";
pub const ALL: &str = "<location>all</location>";

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
