//! The measurements: the same for the manager and for the floor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ripost::model::{Action, AgentId, AgentRef, CommandName, ExeName, Location, RuleRef, action};
use ripost::wire::ToAgent;
use rusqlite::{Connection, OpenFlags};

use crate::floor;
use crate::processes::{Agents, Floor, Heard, PATIENCE, Process};
use crate::support::alert::Alert;
use crate::support::home::Home;
use crate::support::random::Random;
use crate::support::wait_for;

/// Rules with a response on all agents, and on the one of the alert.
pub const ALL: &str = "100001";
pub const ONE: &str = "100002";

/// How much is measured.
#[derive(Debug)]
pub struct Plan {
    pub agents: u32,
    pub rounds: u32,
    pub singles: u32,
    /// Seconds.
    pub idle: u32,
}

/// What came out. Sorted where there are several.
#[derive(Debug, Default)]
pub struct Measured {
    /// KiB of memory per connected agent: idle, and after all alerts.
    pub memory: f64,
    pub memory_after: f64,
    /// Processor time of one connect, in µs, and connects in a second of the
    /// clock.
    pub connect_us: f64,
    pub connects: f64,
    /// Processor time per agent and second at rest, in µs.
    pub idle_us: f64,
    /// To all: until the last agent has it and until its acknowledgement is
    /// stored, in ms, and processor time per agent, in µs.
    pub all_received: Vec<f64>,
    pub all_acknowledged: Vec<f64>,
    pub all_us: f64,
    /// To one: until it has it, and until it has acknowledged, in ms.
    pub one_received: Vec<f64>,
    pub one_taken: Vec<f64>,
}

/// What the alerts have left on the manager's disk, in bytes.
#[derive(Debug)]
pub struct Disk {
    /// For each action, its body and its index entries included.
    pub journal: f64,
    /// For each line, one per state of an action.
    pub responses: f64,
}

impl Disk {
    /// To be called when the manager has ended and written everything down.
    pub fn of(home: &Home) -> Self {
        let size = |path: &str| std::fs::metadata(home.file(path)).unwrap().len();
        let per = |bytes: u64, count: usize| bytes as f64 / count as f64;
        let journal = Connection::open(home.file("queue/manager.db")).unwrap();
        let query = "SELECT count(*) FROM actions";
        let actions: u32 = journal.query_row(query, [], |row| row.get(0)).unwrap();
        let responses = std::fs::read(home.file("logs/responses.json")).unwrap();
        let lines = responses.iter().filter(|byte| **byte == b'\n').count();
        Self {
            journal: per(size("queue/manager.db"), usize::try_from(actions).unwrap()),
            responses: per(size("logs/responses.json"), lines),
        }
    }
}

/// How something is sent to all agents or to one: returns when it was, and when
/// the last acknowledgement had been taken in, in µs.
trait Sends {
    fn all(&mut self, agents: &Agents) -> (u64, u64);
    fn one(&mut self, agents: &Agents) -> u64;
}

pub fn manager(plan: &Plan, home: &Home, process: Process, port: u16, dir: &Path) -> Measured {
    let journal = Connection::open_with_flags(
        home.file("queue/manager.db"),
        OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let sends = Manager {
        home,
        journal,
        random: Random::new(),
        agents: plan.agents,
    };
    measure(plan, process, port, dir, sends)
}

pub fn floor(plan: &Plan, floor: Floor, dir: &Path) -> Measured {
    let (process, port) = (floor.process(), floor.port);
    let sends = Bare {
        floor,
        random: Random::new(),
        agents: plan.agents,
    };
    measure(plan, process, port, dir, sends)
}

fn measure(
    plan: &Plan,
    process: Process,
    port: u16,
    dir: &Path,
    mut sends: impl Sends,
) -> Measured {
    let count = f64::from(plan.agents);
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    process.rest();
    let (rss, cpu) = (process.rss(), process.cpu());
    let agents = Agents::start(port, plan.agents, dir, &[]);
    let report = agents.wait_connected(plan.agents);
    process.rest();
    let mut measured = Measured {
        connect_us: micros(process.cpu() - cpu) / count,
        connects: report.connects_per_second().unwrap(),
        memory: (process.rss() - rss) / count,
        ..Measured::default()
    };
    let idle = Duration::from_secs(plan.idle.into());
    let cpu = process.cpu();
    std::thread::sleep(idle);
    measured.idle_us = micros(process.cpu() - cpu) / count / idle.as_secs_f64().max(1e-9);

    let cpu = process.cpu();
    for _ in 0..plan.rounds {
        agents.forget();
        let (sent, acknowledged) = sends.all(&agents);
        let received = agents.wait("all agents have it", |heard| last_received(plan, heard));
        measured.all_received.push(millis(sent, received));
        measured.all_acknowledged.push(millis(sent, acknowledged));
    }
    process.rest();
    measured.all_us = micros(process.cpu() - cpu) / count / f64::from(plan.rounds);
    for _ in 0..plan.singles {
        agents.forget();
        let sent = sends.one(&agents);
        let (received, taken) = agents.wait("one agent has it", |heard| {
            heard.taken.values().next().copied()
        });
        measured.one_received.push(millis(sent, received));
        measured.one_taken.push(millis(sent, taken));
    }
    process.rest();
    measured.memory_after = (process.rss() - rss) / count;
    measured.sort();
    measured
}

impl Measured {
    fn sort(&mut self) {
        for samples in [
            &mut self.all_received,
            &mut self.all_acknowledged,
            &mut self.one_received,
            &mut self.one_taken,
        ] {
            samples.sort_by(f64::total_cmp);
        }
    }
}

fn last_received(plan: &Plan, heard: &Heard) -> Option<u64> {
    let is_all = heard.taken.len() == usize::try_from(plan.agents).unwrap();
    let received = heard.taken.values().map(|(received, _)| *received);
    received.max().filter(|_| is_all)
}

fn now() -> u64 {
    ripost::clock::boot_nanos() / 1_000
}

fn millis(from: u64, to: u64) -> f64 {
    Duration::from_micros(to.saturating_sub(from)).as_secs_f64() * 1e3
}

/// The real one: an alert in its file, and the journal to see when the last
/// acknowledgement is in it.
struct Manager<'a> {
    home: &'a Home,
    journal: Connection,
    random: Random,
    agents: u32,
}

impl Manager<'_> {
    /// Whether an agent has something to be sent, that of the manager's own host
    /// apart, which is not there.
    fn awaits(&self) -> bool {
        let query = "SELECT 1 FROM dispatches WHERE agent > 0 LIMIT 1";
        let mut query = self.journal.prepare_cached(query).unwrap();
        query.exists([]).unwrap()
    }
}

impl Sends for Manager<'_> {
    fn all(&mut self, agents: &Agents) -> (u64, u64) {
        let sent = now();
        self.home.alert(&[Alert::sshd("203.0.113.5").rule(ALL)]);
        let count = usize::try_from(self.agents).unwrap();
        agents.wait("all have acknowledged", |heard| {
            (heard.taken.len() == count).then_some(())
        });
        wait_for("the last acknowledgement is stored", PATIENCE, || {
            (!self.awaits()).then_some(())
        });
        (sent, now())
    }

    fn one(&mut self, _: &Agents) -> u64 {
        let agent = 1 + self.random.below(u64::from(self.agents));
        let id = AgentId::from_number(u32::try_from(agent).unwrap())
            .unwrap()
            .to_string();
        let alert = Alert::sshd("203.0.113.6").rule(ONE).agent(&id);
        let sent = now();
        self.home.alert(&[alert]);
        sent
    }
}

/// The floor.
struct Bare {
    floor: Floor,
    random: Random,
    agents: u32,
}

impl Sends for Bare {
    fn all(&mut self, _: &Agents) -> (u64, u64) {
        let sent = now();
        let acknowledged = self.floor.send("all");
        (sent, acknowledged)
    }

    fn one(&mut self, _: &Agents) -> u64 {
        let one = self.random.below(u64::from(self.agents)).to_string();
        let sent = now();
        self.floor.send(&one);
        sent
    }
}

/// An action as the manager sends it to each agent.
pub fn action_bytes() -> Vec<u8> {
    let alert = Alert::sshd("203.0.113.5").rule(ALL).line();
    let action = Action {
        id: floor::action_id(),
        command: CommandName::parse("firewall-drop").unwrap(),
        executable: ExeName::parse("firewall-drop").unwrap(),
        location: Location::All,
        agent: AgentRef {
            id: AgentId::from_number(1_234).unwrap(),
            name: "sim-1233".into(),
        },
        rule: Some(
            RuleRef {
                id: ripost::model::RuleId::parse(ALL).unwrap(),
                level: ripost::model::Level::parse("10").unwrap(),
                groups: ["syslog", "sshd", "authentication_failures"]
                    .map(|group| ripost::model::GroupName::parse(group).unwrap())
                    .to_vec(),
            }
            .into(),
        ),
        alert: Some("1795168800.41000".into()),
        timeout: Some(Duration::from_secs(3_600)),
        repeated_offenders: None,
        extra_args: Vec::new(),
        fields: None,
        contract: action::Contract::Json,
        revert: None,
        execution_timeout: None,
        handshake_timeout: None,
    };
    let message = ToAgent::Act {
        action: Box::new(action),
        alert: Arc::from(alert.trim_end().as_bytes()),
        remaining_ms: Some(3_599_999),
        age_ms: 1,
        session_ms: Some(0),
    };
    message.into_frame().unwrap().encode()
}
