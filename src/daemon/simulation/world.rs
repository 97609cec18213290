//! One run from beginning to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::Wall;
use crate::clock::simulated::Clock;
use crate::journal::Journal;
use crate::journal::roster::RosterSchema;
use crate::model::{AgentName, Record};
use crate::roster::Roster;
use crate::wire::PROTOCOL;
use crate::wire::control::{Answer, Request, TokenWish, Which};
use crate::wire::enroll::{EnrollRequest, PublicKey, Secret, TokenId};

use super::cable::Line;
use super::check;
use super::feed::Feed;
use super::history::{History, Random, What};
use super::hosts::{AgentHost, ManagerHost, fingerprint};
use super::plan::{self, AGENTS, Fall, SPARED, Step, Temper};
use super::{Run, Setting, elapsed};

/// When the wall clock of a run begins: 2026-11-20T10:00:00Z.
const EPOCH: Wall = Wall::from_millis(1_795_514_400_000);

/// How long everything is whole at the end: longer than the longest timeout,
/// the longest silence that is put up with, and two attempts at a revert.
const QUIET: Duration = Duration::from_secs(200);

/// How often `responses.json` is looked at.
const LOOK: Duration = Duration::from_millis(500);

struct World {
    random: Random,
    history: History,
    manager: ManagerHost,
    agents: Vec<AgentHost>,
    feed: Feed,
}

/// Runs a seed.
pub(super) async fn run(seed: u64) -> Run {
    let folder = folder();
    let random = Random::new(seed);
    let temper = Temper::draw(&mut random.fork(1));
    let steps = plan::draw(&mut random.fork(2), temper);
    let setting = Setting {
        random: random.fork(3),
        history: History::default(),
        faulty_runs: temper.faulty_runs,
        faulty_lines: temper.cuts,
    };
    let mut world = World::new(folder.path(), &random, &setting).await;
    let watcher = tokio::spawn(watch(
        world.manager.home.join("logs/responses.json"),
        world.history.clone(),
    ));
    for (at, step) in steps {
        tokio::time::sleep(at.saturating_sub(elapsed())).await;
        world.take(step).await;
    }
    world.heal();
    tokio::time::sleep(QUIET).await;
    world.stop_all().await;
    watcher.abort();
    let problems = check::check(&check::Outcome {
        events: &world.history.events(),
        agents: &world.agents,
        manager: &world.manager,
        records: &records(&world.manager.home),
    });
    Run {
        events: world.history.events(),
        problems,
    }
}

/// In memory where there is such a place: a run makes a thousand small files.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = made.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).unwrap();
    folder
}

impl World {
    async fn new(base: &Path, random: &Random, setting: &Setting) -> Self {
        let history = setting.history.clone();
        let feed = Feed::new(history.clone(), random.fork(4));
        let mut clocks = random.fork(5);
        let mut clock = || {
            let hours = clocks.millis(0, 36_000_000);
            Clock::new(EPOCH.plus(hours), elapsed)
        };
        let mut manager = ManagerHost::new(base, clock(), setting, feed.clone());
        let agents = (1..=AGENTS).map(|number| AgentHost::new(number, base, clock(), setting));
        let mut agents: Vec<_> = agents.collect();
        enroll(&manager).await;
        manager.start();
        for agent in &mut agents {
            agent.start(&manager.door);
        }
        Self {
            random: random.fork(6),
            history,
            manager,
            agents,
            feed,
        }
    }

    fn agent(&mut self, number: u32) -> &mut AgentHost {
        &mut self.agents[usize::try_from(number - 1).unwrap()]
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Alerts(count) => (0..count).for_each(|_| self.alert()),
            Step::Cut(agent) => self.agent(agent).way.cut(),
            Step::Hold(agent) => self.agent(agent).way.set(Line::Held),
            Step::Release(agent) => self.agent(agent).way.set(Line::Open),
            Step::Stop { host: 0, fall } => self.manager.stop(fall, &self.agents).await,
            Step::Stop { host, fall } => self.agent(host).stop(fall).await,
            Step::Start(host) => self.start(host),
            Step::SetClock { host, millis } => {
                self.history.note(What::Stepped { host, millis });
                match host {
                    0 => self.manager.clock.step(millis),
                    host => self.agent(host).clock.step(millis),
                }
            }
            Step::Stall { host, span, writes } => match host {
                0 => self.manager.disks[0].stall(span, writes),
                host => self.agent(host).disk.stall(span, writes),
            },
            Step::Fill { host: 0, span } => self.manager.disks[0].fill(span),
            Step::Fill { host, span } => self.agent(host).disk.fill(span),
            Step::Revert => self.revert(),
        }
    }

    fn start(&mut self, host: u32) {
        let door = self.manager.door.clone();
        match host {
            0 if !self.manager.is_up() => self.manager.start(),
            0 => {}
            host => {
                let agent = self.agent(host);
                if !agent.is_up() {
                    agent.start(&door);
                }
            }
        }
    }

    fn alert(&mut self) {
        let alert = self.feed.length();
        let rule = 1 + u32::try_from(self.random.below(6)).unwrap();
        let agent = 1 + u32::try_from(self.random.below(u64::from(AGENTS))).unwrap();
        // What has no end has addresses of its own, so that others do not end
        // as part of it.
        let address = match rule {
            6 => format!("198.51.100.{}", 1 + self.random.below(3)),
            _ if self.random.percent(4) => SPARED[usize::try_from(alert % 2).unwrap()].to_owned(),
            _ => format!("203.0.113.{}", 1 + self.random.below(3)),
        };
        self.feed.append(rule, agent, address);
    }

    fn revert(&mut self) {
        let seen = self.history.events().into_iter().rev();
        let actions = seen.filter_map(|event| match event.what {
            What::Seen { action, .. } => Some(action),
            _ => None,
        });
        let which = usize::try_from(self.random.below(6)).unwrap();
        let Some(action) = actions.take(which + 1).last() else {
            return;
        };
        self.history.note(What::Asked { action });
        let (door, history) = (self.manager.door.clone(), self.history.clone());
        tokio::spawn(async move {
            let which = Which::Id(action);
            if let Some(answer) = door.ask(Request::Revert { which }).await {
                let state = match answer {
                    Answer::Reverted { outcomes } => Some(outcomes[0].state),
                    Answer::Error { .. } => None,
                    other => panic!("asked for a revert, answered {other:?}"),
                };
                history.note(What::Answered { action, state });
            }
        });
    }

    /// From now on nothing breaks, and everything runs.
    fn heal(&mut self) {
        (0..=AGENTS).for_each(|host| self.start(host));
        for agent in &self.agents {
            agent.way.heal();
            agent.kernel.heal();
        }
        self.history.note(What::Healed);
    }

    async fn stop_all(&mut self) {
        for agent in &mut self.agents {
            agent.stop(Fall::Killed).await;
        }
        self.manager.stop(Fall::Killed, &self.agents).await;
    }
}

/// Puts the agents into the manager's roster.
async fn enroll(manager: &ManagerHost) {
    let mut roster = Roster::load("manager", Vec::new()).unwrap();
    let mut changes = Vec::new();
    for number in 1..=AGENTS {
        let wish = TokenWish {
            id: None,
            name: None,
            groups: Vec::new(),
            uses: 1,
            ttl: 60,
        };
        let token = TokenId::from_bytes(u64::from(number).to_be_bytes());
        let secret = Secret::from_bytes([1; 16]);
        let (_, issued) = roster.issue(&wish, (token, secret), EPOCH).unwrap();
        let request = EnrollRequest {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            token,
            secret,
            key: PublicKey::from_bytes([4; 65]),
            name: AgentName::parse(&format!("host-{number}")).unwrap(),
        };
        let (enrolled, made) = roster.enroll(&request, EPOCH).unwrap();
        let not_after = EPOCH.plus(Duration::from_secs(90 * 86_400));
        let certified = roster.certified(&enrolled.id, 1, fingerprint(number), not_after);
        changes.extend(issued);
        changes.extend(made);
        changes.extend(certified.unwrap());
    }
    let path = manager.home.join("queue/agents.db");
    let mut journal = Journal::<RosterSchema>::open(&path).unwrap();
    assert!(journal.write(changes).await.synced().await);
    journal.close();
    manager.disks[1].closed().await;
}

/// Notes each line of `responses.json` soon after it was written.
async fn watch(path: PathBuf, history: History) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let length = fs::metadata(&path).map_or(0, |meta| meta.len());
        if length == seen {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for record in parse(&text[usize::try_from(seen).unwrap()..]) {
            let alert = record.alert.unwrap().parse().unwrap();
            history.note(What::Seen {
                action: record.action,
                alert,
                agent: record.agent.id.number(),
                state: record.state,
            });
        }
        seen = length;
    }
}

fn parse(text: &str) -> Vec<Record> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn records(home: &Path) -> Vec<Record> {
    parse(&fs::read_to_string(home.join("logs/responses.json")).unwrap())
}
