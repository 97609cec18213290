//! A manager in a folder of its own, whose agents are played by the test.

use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{self, BootId, Wall};
use crate::config::{self, Context};
use crate::journal::manager::Position;
use crate::manager::{Event, Fleet, Inbox, Manager, Parts, Senders};
use crate::model::position::{Checkpoint, FileIdentity, Generation};
use crate::model::{
    Ability, Action, ActionState, AgentId, Capabilities, ExeName, Fingerprint, Instance, JournalId,
    Record,
};
use crate::source::{self, Line};
use crate::sys::exe::Home;
use crate::transport::listener::Counters;
use crate::transport::pki::Authority;
use crate::transport::{Admission, Arrival, Origin, Report};
use crate::wire::control::{Answer, Asked, Request, TokenWish};
use crate::wire::enroll::{EnrollRequest, PublicKey, Secret, TokenId};
use crate::wire::{AgentHello, Denial, Frame, PROTOCOL, ToAgent, ToManager};

pub(super) const CONFIG: &str = "<ripost_config>
  <command><name>block</name><executable>firewall-drop</executable><timeout_allowed>yes</timeout_allowed></command>
  <active-response><command>block</command><location>local</location><rules_id>1</rules_id><timeout>60</timeout></active-response>
  <active-response><command>block</command><location>all</location><rules_id>2</rules_id><timeout>60</timeout></active-response>
  <active-response><command>block</command><location>defined-agent</location><agent_id>1,002</agent_id><exclude>2</exclude><rules_id>3</rules_id><timeout>60</timeout></active-response>
  <active-response><command>block</command><location>local</location><rules_id>4</rules_id><timeout>1</timeout></active-response>
  <command><name>words</name><executable>own.sh</executable><contract>argv</contract></command>
  <active-response><command>words</command><location>local</location><rules_id>5</rules_id></active-response>
  <active-response><command>block</command><location>local</location><rules_id>6</rules_id><field_map>data.src,data.srcip</field_map></active-response>
  </ripost_config>";

/// How long anything may take here before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long certificates are valid.
pub(super) const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) manager: Manager,
    inbox: Inbox,
    pub(super) senders: Senders,
    offset: u64,
    /// The number of the last update, whoever sent it.
    seq: u64,
}

/// One session of an agent that the test plays.
pub(super) struct Played {
    pub(super) id: AgentId,
    pub(super) session: u64,
    pub(super) frames: mpsc::Receiver<Frame>,
}

/// Who comes, and with what.
#[derive(Clone, Copy)]
pub(super) struct Coming {
    pub(super) id: u32,
    pub(super) journal: u8,
    pub(super) instance: u8,
    pub(super) certificate: Fingerprint,
}

impl Coming {
    pub(super) fn agent(id: u32) -> Self {
        Self {
            id,
            journal: 1,
            instance: 1,
            certificate: fingerprint(id, 1),
        }
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["etc", "logs", "logs/alerts", "queue"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (manager, inbox, senders) = open(folder.path());
        Self {
            folder,
            manager,
            inbox,
            senders,
            offset: 0,
            seq: 0,
        }
    }

    /// A manager with agents 001, 002, … up to this one.
    pub(super) fn with_agents(last: u32) -> Self {
        let mut scene = Self::new();
        for number in 1..=last {
            scene.enroll(number);
        }
        scene
    }

    fn enroll(&mut self, number: u32) {
        let wish = TokenWish {
            id: None,
            name: None,
            groups: Vec::new(),
            uses: 1,
            ttl: 60,
        };
        let token = TokenId::from_bytes(u64::from(number).to_be_bytes());
        let secret = Secret::from_bytes([1; 16]);
        let now = clock::wall();
        let roster = &mut self.manager.roster;
        roster.issue(&wish, (token, secret), now).unwrap();
        let request = EnrollRequest {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            token,
            secret,
            key: PublicKey::from_bytes([4; 65]),
            name: crate::model::AgentName::parse(&format!("host-{number}")).unwrap(),
        };
        let (enrolled, _) = roster.enroll(&request, now).unwrap();
        let not_after = now.plus(LIFETIME);
        roster
            .certified(&enrolled.id, 1, fingerprint(number, 1), not_after)
            .unwrap();
    }

    /// Gives an agent its next certificate.
    pub(super) fn renewed(&mut self, number: u32) -> Fingerprint {
        let id = AgentId::from_number(number).unwrap();
        let roster = &mut self.manager.roster;
        let (generation, _) = roster.next_generation(&id).unwrap();
        let certificate = fingerprint(number, generation);
        let not_after = clock::wall().plus(LIFETIME);
        roster
            .certified(&id, generation, certificate, not_after)
            .unwrap();
        certificate
    }

    /// Takes agents of other hosts in from now on.
    pub(super) fn open_to_fleet(&mut self) {
        let directory = self.folder.path().join("etc/tls");
        self.manager.fleet = Some(Fleet {
            authority: Arc::new(Authority::open(&directory).unwrap()),
            lifetime: LIFETIME,
            counters: Arc::new(Counters::default()),
        });
    }

    /// The same home after the manager was killed. Agents stay enrolled.
    pub(super) async fn restarted(self) -> Self {
        let Self {
            folder,
            manager,
            offset,
            seq,
            ..
        } = self;
        let roster = manager.roster.clone();
        manager.shut_down().await;
        let (mut manager, inbox, senders) = open(folder.path());
        manager.roster = roster;
        Self {
            folder,
            manager,
            inbox,
            senders,
            offset,
            seq,
        }
    }

    /// Lets the manager handle what has come, until nothing comes for a while
    /// that is long against what the journal takes; at most for five seconds,
    /// if something waits that only the test can end.
    pub(super) async fn settle(&mut self) {
        let mut synced = self.manager.journal.synced();
        let (quiet, most) = (Duration::from_millis(150), Duration::from_secs(5));
        let deadline = clock::boot().plus(most);
        let mut last = clock::boot();
        while clock::boot() < deadline && clock::boot() < last.plus(quiet) {
            let next = self.inbox.next(&mut self.manager, &mut synced);
            let Ok(event) = tokio::time::timeout(quiet, next).await else {
                return;
            };
            let is_quiet = matches!(event, Event::Tick | Event::Sweep | Event::Prune)
                && self.manager.doubtful.is_empty();
            self.manager.handle(event).await;
            self.manager.enrolled.flush().await;
            if !is_quiet {
                last = clock::boot();
            }
        }
    }

    /// Lets the manager go on until `reached` says so.
    pub(super) async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !reached(self) {
                self.settle().await;
            }
        };
        within(what, waiting).await;
    }

    /// Lets the source say that its file is not there, before a test says
    /// something in its place.
    pub(super) async fn source_waits(&mut self) {
        let waits = |scene: &Self| scene.position() == Position::Awaited;
        self.until("the source waits for its file", waits).await;
    }

    /// What is stored of the source.
    pub(super) fn position(&self) -> Position {
        let name = "logs/alerts/alerts.json";
        self.manager.reader.position(name).unwrap()
    }

    /// An alert of this rule, from the host of this agent.
    pub(super) async fn alert(&mut self, rule: u32, agent: &str) {
        self.alert_with(rule, agent, "").await;
    }

    /// The same with a log line that is of no matter but for its length.
    pub(super) async fn alert_with(&mut self, rule: u32, agent: &str, log: &str) {
        let line = self.line_with(rule, agent, log);
        self.lines(vec![line]).await;
    }

    pub(super) fn line(&mut self, rule: u32, agent: &str) -> Line {
        self.line_with(rule, agent, "")
    }

    fn line_with(&mut self, rule: u32, agent: &str, log: &str) -> Line {
        let text = format!(
            r#"{{"full_log":"{log}","timestamp":"2026-03-04T05:06:07.089+0000","rule":{{"level":10,"description":"x","id":"{rule}","groups":["sshd"]}},"agent":{{"id":"{agent}","name":"host"}},"manager":{{"name":"host"}},"id":"1.2","decoder":{{"name":"sshd"}},"data":{{"srcip":"203.0.113.9"}},"location":"x"}}"#
        );
        let line = Line {
            offset: self.offset,
            generation: Generation(1),
            bytes: text.into_bytes(),
        };
        self.offset += 1_000;
        line
    }

    /// A batch of lines, of which a part is taken in now.
    pub(super) async fn lines(&mut self, lines: Vec<Line>) {
        let end = lines.last().map_or(0, |line| line.offset) + 1_000;
        let taken = self
            .manager
            .lines(0, lines, source::Receipt::Position(checkpoint(end)));
        within("the alerts are taken", taken).await;
    }

    pub(super) fn source_events(&self) -> mpsc::Sender<(usize, source::Event)> {
        self.inbox.source_events()
    }

    /// The next event, if there is one.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let mut synced = self.manager.journal.synced();
        synced.mark_unchanged();
        let next = self.inbox.next(&mut self.manager, &mut synced);
        tokio::time::timeout(Duration::from_millis(500), next)
            .await
            .ok()
    }

    pub(super) async fn arrive(&mut self, coming: Coming) -> oneshot::Receiver<Admission> {
        let (admit, admission) = oneshot::channel();
        let hello = AgentHello {
            protocol: PROTOCOL,
            id: AgentId::from_number(coming.id).unwrap(),
            version: "1".to_owned(),
            boot_id: "b".to_owned(),
            journal: JournalId::from_bytes([coming.journal; 16]),
            instance: Instance::from_bytes([coming.instance; 8]),
            host: "host".to_owned(),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let origin = match coming.id {
            0 => Origin::Local,
            _ => Origin::Remote {
                address,
                fingerprint: coming.certificate,
            },
        };
        let arrival = Arrival {
            origin,
            hello,
            admit,
        };
        let arrived = self.manager.arrived(arrival);
        within("the arrival is looked at", arrived).await;
        admission
    }

    /// Lets an agent in that can do what the bundled executables do.
    pub(super) async fn connect(&mut self, coming: Coming) -> Played {
        let mut played = self.connect_unready(coming).await;
        self.tell(&mut played, able(&["firewall-drop"])).await;
        self.settle().await;
        played
    }

    pub(super) async fn connect_unready(&mut self, coming: Coming) -> Played {
        let admission = self.arrive(coming).await;
        played(coming.id, admitted(admission).await)
    }

    pub(super) async fn tell(&mut self, played: &mut Played, message: ToManager) {
        let report = Report::Told(played.session, message);
        let told = self.manager.told_all(vec![report]);
        within("the message is taken", told).await;
    }

    /// The agent tells of a state of an action.
    pub(super) async fn update(
        &mut self,
        played: &mut Played,
        action: &Action,
        state: ActionState,
    ) {
        self.seq += 1;
        let message = update(self.seq, action, state);
        self.tell(played, message).await;
    }

    pub(super) async fn ask(&mut self, request: Request) -> oneshot::Receiver<Answer> {
        let (asker, answer) = oneshot::channel();
        let asked = Asked {
            request,
            answer: asker,
        };
        within("the request is taken", self.manager.answer(asked)).await;
        answer
    }

    /// Waits until whatever was given to the journal is on the disk.
    pub(super) async fn journal_is_synced(&self) {
        let last = self.manager.journal.next() - 1;
        let mut synced = self.manager.journal.synced();
        let reached = synced.wait_for(|number| *number >= last);
        let reached = within("the journal is on the disk", reached).await;
        reached.expect("the journal is open");
    }

    /// The lines of `responses.json` as `agent state`.
    pub(super) fn states(&self) -> Vec<String> {
        let path = self.folder.path().join("logs/responses.json");
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Record>(line).unwrap())
            .map(|record| format!("{} {}", record.agent.id, record.state))
            .collect()
    }

    pub(super) fn hide_logs(&self, hidden: bool) {
        let (logs, away) = (
            self.folder.path().join("logs"),
            self.folder.path().join("x"),
        );
        let (from, to) = if hidden { (logs, away) } else { (away, logs) };
        fs::rename(from, to).unwrap();
    }
}

impl Played {
    /// The actions that have arrived since the last look.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for message in self.messages() {
            if let ToAgent::Act { action, .. } = message {
                actions.push(*action);
            }
        }
        actions
    }

    pub(super) fn messages(&mut self) -> Vec<ToAgent> {
        let frames = std::iter::from_fn(|| self.frames.try_recv().ok());
        frames
            .map(|frame| ToAgent::from_frame(frame).unwrap())
            .collect()
    }

    pub(super) fn is_closed(&mut self) -> bool {
        self.messages();
        self.frames.is_closed()
    }
}

/// Fails if something does not come to an end.
#[track_caller]
pub(super) fn within<F: Future>(what: &str, waiting: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(output) => output,
            Err(_) => panic!("not within {PATIENCE:?}: {what}, at {at}"),
        }
    }
}

/// What an agent that wants to be let in is told.
#[track_caller]
pub(super) fn admitted(admission: oneshot::Receiver<Admission>) -> impl Future<Output = Admission> {
    let told = within("the agent is let in or not", admission);
    async { told.await.expect("nobody has decided") }
}

/// Whether somebody has been turned away by now, and why.
pub(super) fn denied(admission: &mut oneshot::Receiver<Admission>) -> Option<Denial> {
    match admission.try_recv() {
        Ok(Admission::Denied { denial, .. }) => Some(denial),
        Ok(Admission::Welcome { .. }) | Err(_) => None,
    }
}

/// What a person is told.
#[track_caller]
pub(super) fn answered(answer: oneshot::Receiver<Answer>) -> impl Future<Output = Answer> {
    let told = within("the question is answered", answer);
    async { told.await.expect("nobody has answered") }
}

pub(super) fn played(id: u32, admission: Admission) -> Played {
    let Admission::Welcome {
        session, outgoing, ..
    } = admission
    else {
        panic!("not let in: {admission:?}");
    };
    Played {
        id: AgentId::from_number(id).unwrap(),
        session,
        frames: outgoing,
    }
}

pub(super) fn able(names: &[&str]) -> ToManager {
    ToManager::Capabilities {
        capabilities: Box::new(capabilities(names)),
    }
}

/// Those of an agent that is as old as can be.
pub(super) fn capabilities(names: &[&str]) -> Capabilities {
    let executables = names
        .iter()
        .map(|name| (ExeName::parse(name).unwrap(), Ability::default()));
    Capabilities {
        executables: executables.collect(),
        ..Capabilities::default()
    }
}

pub(super) fn update(seq: u64, action: &Action, state: ActionState) -> ToManager {
    let record = Record::new(action, state, Wall::from_millis(seq.cast_signed()));
    ToManager::Update {
        seq,
        action: action.clone().into(),
        record: record.into(),
    }
}

pub(super) fn checkpoint(offset: u64) -> Checkpoint {
    Checkpoint {
        generation: Generation(1),
        identity: FileIdentity {
            dev: 1,
            ino: 1,
            btime_ns: None,
        },
        offset,
        tail_hash: 0,
    }
}

fn fingerprint(number: u32, generation: u32) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..8].copy_from_slice(&generation.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn open(home: &Path) -> (Manager, Inbox, Senders) {
    let conf = home.join("etc/manager.conf");
    let mut file = fs::File::create(&conf).unwrap();
    file.write_all(CONFIG.as_bytes()).unwrap();
    let checked = config::load_manager(&conf, &Context { home: None });
    let problems = checked.problems();
    let (inbox, senders) = Inbox::new();
    let parts = Parts {
        home: Home::open(home).unwrap(),
        boot_id: BootId("a".into()),
        host: "host".to_owned(),
        config: checked.value.expect(&problems),
        fleet: None,
    };
    let (ready, _) = oneshot::channel();
    let (reloads, _) = mpsc::channel(1);
    let manager = Manager::open(parts, &inbox, ready, reloads).unwrap();
    (manager, inbox, senders)
}
