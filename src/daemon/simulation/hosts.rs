//! The hosts: a manager and agents that are started, killed and lose power.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::agent::{self, Agent, Hands, Link};
use crate::clock::simulated::Clock;
use crate::clock::{self, BootId};
use crate::config::{self, ManagerConfig, OnStop};
use crate::journal::simulated::Disk;
use crate::manager::{self, Manager, Senders};
use crate::model::{AgentId, Fingerprint, Instance};
use crate::policy::WhiteList;
use crate::sys::exe::Home;
use crate::transport::backoff::Backoff;
use crate::transport::{Connection, Origin, random};
use crate::wire::Hello;
use crate::wire::control::{Answer, Asked, Request};

use super::cable::{Line, Way};
use super::feed::Feed;
use super::history::{History, Random, What};
use super::kernel::{self, Kernel};
use super::plan::Fall;

/// A future whose time is that of a host.
struct Inside<F> {
    clock: Clock,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.clock.enter();
        self.future.as_mut().poll(context)
    }
}

fn inside<F: Future>(clock: &Clock, future: F) -> Inside<F> {
    Inside {
        clock: clock.clone(),
        future: Box::pin(future),
    }
}

/// What a disk takes for a write or a sync: mostly a millisecond or none.
pub(super) fn pace(random: &mut u64) -> Duration {
    let mut random = Random::new(std::mem::replace(random, random.wrapping_add(1)));
    let slow = random.percent(10);
    random.millis(0, if slow { 40 } else { 2 })
}

/// A home with what is looked at in it.
fn home(path: &Path) -> PathBuf {
    for name in ["active-response/bin", "etc", "logs/alerts", "queue"] {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o750);
        builder.create(path.join(name)).unwrap();
    }
    path.to_owned()
}

fn put(path: &Path, text: &str) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
}

/// A host with agentd.
pub(super) struct AgentHost {
    pub(super) number: u32,
    pub(super) home: PathBuf,
    pub(super) clock: Clock,
    pub(super) kernel: Arc<Kernel>,
    pub(super) disk: Disk,
    pub(super) way: Way,
    history: History,
    random: Random,
    life: u32,
    boot: u32,
    running: Option<Running>,
}

/// The tasks of an agentd.
struct Running {
    steer: mpsc::Sender<agent::Steer>,
    agent: JoinHandle<()>,
    dialling: JoinHandle<()>,
}

/// The agent that takes back what is in force when it is asked to stop.
const LIFTS: u32 = 3;

/// Each agent has a white list of its own.
fn settings(number: u32) -> agent::Settings {
    let on_stop = match number {
        LIFTS => OnStop::Lift,
        _ => OnStop::Leave,
    };
    let spared = super::plan::SPARED[1].parse().unwrap();
    agent::Settings {
        white_list: WhiteList::new(vec![spared]),
        on_stop,
        ..agent::Settings::default()
    }
}

impl AgentHost {
    pub(super) fn new(number: u32, base: &Path, clock: Clock, setting: &super::Setting) -> Self {
        let home = home(&base.join(format!("agent-{number}")));
        let bin = home.join("active-response/bin");
        let mut record = String::new();
        for name in [kernel::FIREWALL, kernel::FILE, kernel::LOCK, kernel::NOTE] {
            put(&bin.join(name), "#!/bin/sh\n");
        }
        for name in [kernel::FIREWALL, kernel::FILE] {
            record += &format!("{SHEBANG_SHA256}  active-response/bin/{name}\n");
        }
        put(&home.join("queue/bundled.sha256"), &record);
        let random = setting.random.fork(u64::from(number));
        let faulty = setting.faulty_runs;
        Self {
            number,
            disk: Disk::put(home.join("queue/agentd.db"), u64::from(number), pace),
            kernel: Kernel::new(
                number,
                clock.clone(),
                setting.history.clone(),
                random.fork(1),
                faulty,
            ),
            way: Way::new(number, setting.history.clone(), setting.faulty_lines),
            history: setting.history.clone(),
            random,
            life: 0,
            boot: 0,
            running: None,
            home,
            clock,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn start(&mut self, door: &Door) {
        self.life += 1;
        let life = self.life;
        let up = What::Up {
            host: self.number,
            life,
        };
        self.history.note(up);
        let _entered = self.clock.enter();
        let (inbox, steer, asked) = agent::Inbox::new().unwrap();
        let (reloads, _) = mpsc::channel(1);
        let parts = agent::Parts {
            home: Home::open(&self.home).unwrap(),
            boot_id: BootId(format!("{}-{}", self.number, self.boot).into()),
            instance: Instance::from_bytes(
                (u64::from(self.number) << 32 | u64::from(life)).to_be_bytes(),
            ),
            settings: settings(self.number),
            hands: Hands::Played(self.kernel.hands(life)),
            reloads,
        };
        let agent = Agent::open(parts, &inbox).unwrap();
        let (servers, named) = watch::channel(Vec::new());
        let link = Link::new(self.home.clone(), agent.caller(), named, inbox.reports());
        let caller = Dialling {
            link,
            number: self.number,
            way: self.way.clone(),
            door: door.clone(),
            random: self.random.fork(u64::from(life) << 8),
            history: self.history.clone(),
        };
        let agent = inside(&self.clock, agent.run(inbox));
        let dialling = inside(&self.clock, caller.keep_up());
        let run = tokio::spawn(async move {
            // Dropped, they would close what the agent listens to.
            let _held = (asked, servers);
            agent.await;
        });
        self.running = Some(Running {
            steer,
            agent: run,
            dialling: tokio::spawn(dialling),
        });
    }

    pub(super) async fn stop(&mut self, fall: Fall) {
        let Some(running) = self.running.take() else {
            return;
        };
        let power = fall == Fall::Power;
        let down = What::Down {
            host: self.number,
            power,
        };
        self.history.note(down);
        if power {
            self.way.set(Line::Dead);
        }
        if fall == Fall::Told {
            if self.number == LIFTS {
                self.history.note(What::Lifts { host: LIFTS });
            }
            running.steer.send(agent::Steer::Stop).await.unwrap();
            ends(running.agent).await;
            end([running.dialling]).await;
            self.disk.closed().await;
            return;
        }
        end([running.agent, running.dialling]).await;
        self.disk.crash().await;
        if power {
            self.disk.cut_power(self.random.below(3));
            self.kernel.lose_power();
            self.clock.reboot();
            self.boot += 1;
        }
    }
}

/// SHA-256 of the executables, which are never run.
const SHEBANG_SHA256: &str = "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf";

/// A daemon that is asked to stop gives what runs 5 seconds, or 30 if it lifts what
/// is in force, and its journal may be slow.
const STOP: Duration = Duration::from_secs(33);

/// Waits until a daemon that was asked to stop has ended.
async fn ends(task: JoinHandle<()>) {
    let ended = tokio::time::timeout(STOP, task).await;
    match ended.expect("a daemon ends when it is asked to") {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        ended => ended.unwrap(),
    }
}

/// Ends tasks, and lets those go that they had started.
async fn end(running: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in running {
        task.abort();
        match task.await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            ended => assert!(ended.is_err(), "a daemon ended by itself"),
        }
    }
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

/// The link of an agent, over simulated connections.
struct Dialling {
    link: Link,
    number: u32,
    way: Way,
    door: Door,
    random: Random,
    history: History,
}

impl Dialling {
    async fn keep_up(mut self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.wait(random::number())).await;
            if self.way.is_held() {
                tokio::time::sleep(Duration::from_secs(5)).await;
                continue;
            }
            let began = clock::boot();
            let (near, far) = self.way.lay(&mut self.random);
            if !self.door.enter(self.number, far) {
                continue;
            }
            let (reader, writer) = tokio::io::split(near);
            let id = AgentId::from_number(self.number).unwrap();
            let ended = self.link.carry(id, Connection::new(reader, writer)).await;
            let how = What::Line {
                agent: self.number,
                how: format!("{ended:?}"),
            };
            self.history.note(how);
            backoff.ended(began.until(clock::boot()));
        }
    }
}

/// Where agents reach the manager, while it runs.
#[derive(Clone, Default)]
pub(super) struct Door(Arc<Mutex<Option<Open>>>);

struct Open {
    clock: Clock,
    senders: Senders,
    sessions: Vec<AbortHandle>,
}

impl Door {
    /// `false` if nobody is there.
    fn enter(&self, agent: u32, stream: DuplexStream) -> bool {
        let mut door = self.0.lock().unwrap();
        let Some(open) = door.as_mut() else {
            return false;
        };
        let reception = open.senders.reception.clone();
        let session = async move {
            let (reader, writer) = tokio::io::split(stream);
            let mut connection = Connection::new(reader, writer);
            let Ok(Some(frame)) = connection.reader.next().await else {
                return;
            };
            let Ok(Hello::Agent(hello)) = frame.message() else {
                return;
            };
            let origin = Origin::Remote {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
                fingerprint: fingerprint(agent),
            };
            // Why it ended does not matter; the agent notes it.
            let _ = reception.serve(connection, origin, hello).await;
        };
        let session = tokio::spawn(inside(&open.clock, session));
        open.sessions.push(session.abort_handle());
        true
    }

    /// Asks the manager something; none if it is not there.
    pub(super) async fn ask(&self, request: Request) -> Option<Answer> {
        let asked = self.0.lock().unwrap().as_ref()?.senders.asked.clone();
        let (answer, answered) = oneshot::channel();
        asked.send(Asked { request, answer }).await.ok()?;
        answered.await.ok()
    }
}

pub(super) fn fingerprint(number: u32) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

/// The manager's host.
pub(super) struct ManagerHost {
    pub(super) home: PathBuf,
    pub(super) clock: Clock,
    pub(super) door: Door,
    pub(super) disks: [Disk; 2],
    feed: Feed,
    config: ManagerConfig,
    history: History,
    random: Random,
    life: u32,
    boot: u32,
    running: Option<(mpsc::Sender<manager::Steer>, JoinHandle<()>)>,
}

impl ManagerHost {
    pub(super) fn new(base: &Path, clock: Clock, setting: &super::Setting, feed: Feed) -> Self {
        let home = home(&base.join("manager"));
        let file = home.join("etc/manager.conf");
        let text = super::plan::CONFIG.as_bytes();
        let checked = config::manager(text, &file, &config::Context { home: None });
        let problems = checked.problems();
        let disk = |name: &str, seed| Disk::put(home.join("queue").join(name), seed, pace);
        feed.lie_at(home.join("logs/alerts/alerts.json"));
        Self {
            disks: [disk("manager.db", 100), disk("agents.db", 101)],
            config: checked.value.expect(&problems),
            door: Door::default(),
            history: setting.history.clone(),
            random: setting.random.fork(0),
            life: 0,
            boot: 0,
            running: None,
            home,
            clock,
            feed,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn start(&mut self) {
        self.life += 1;
        let up = What::Up {
            host: 0,
            life: self.life,
        };
        self.history.note(up);
        let _entered = self.clock.enter();
        let (inbox, senders) = manager::Inbox::new();
        let (ready, _) = oneshot::channel();
        let (reloads, _) = mpsc::channel(1);
        let parts = manager::Parts {
            home: Home::open(&self.home).unwrap(),
            boot_id: BootId(format!("0-{}", self.boot).into()),
            host: "manager".to_owned(),
            config: self.config.clone(),
            fleet: None,
        };
        let manager = Manager::open(parts, &inbox, ready, reloads).unwrap();
        let steer = senders.steer.clone();
        let open = Open {
            clock: self.clock.clone(),
            senders,
            sessions: Vec::new(),
        };
        *self.door.0.lock().unwrap() = Some(open);
        let running = tokio::spawn(inside(&self.clock, manager.run(inbox)));
        self.running = Some((steer, running));
    }

    /// If its host loses its power, agents are not told.
    pub(super) async fn stop(&mut self, fall: Fall, agents: &[AgentHost]) {
        let Some((steer, running)) = self.running.take() else {
            return;
        };
        let power = fall == Fall::Power;
        self.history.note(What::Down { host: 0, power });
        if power {
            agents.iter().for_each(|agent| agent.way.set(Line::Dead));
        }
        let open = self.door.0.lock().unwrap().take();
        if fall == Fall::Told {
            steer.send(manager::Steer::Stop).await.unwrap();
            ends(running).await;
            self.leave(open);
            for disk in &self.disks {
                disk.closed().await;
            }
            return;
        }
        self.leave(open);
        end([running]).await;
        for disk in &self.disks {
            disk.crash().await;
            if power {
                disk.cut_power(self.random.below(3));
            }
        }
        if power {
            self.clock.reboot();
            self.boot += 1;
        }
    }

    /// What it had opened goes with it.
    fn leave(&self, open: Option<Open>) {
        for session in open.iter().flat_map(|open| &open.sessions) {
            session.abort();
        }
        self.feed.stop();
    }
}
