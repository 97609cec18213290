//! What agents report, written down before it is confirmed.

use crate::clock;
use crate::journal::manager::Op;
use crate::model::{ActionId, ActionState, Record};
use crate::wire::ToManager;
use crate::wire::message::Reverted as RevertedMessage;

use super::delivery::last_write;
use super::{Live, Manager, Unwritten};

impl Manager {
    pub(super) async fn told(&mut self, session: u64, message: ToManager) {
        if !self.agent.is_session(session) {
            return;
        }
        match message {
            ToManager::Update {
                seq,
                action: _,
                record,
            } => self.update(seq, *record).await,
            ToManager::Reverted { request, outcome } => {
                let action = self.agent.asked_for(request);
                match outcome {
                    // The states themselves come as updates.
                    RevertedMessage::Outcome { .. } => {}
                    RevertedMessage::NotFound => self.unknown_to_agent(action).await,
                    RevertedMessage::Failed { text } => {
                        log::warn!(problem = text.as_str(); "an agent could not revert");
                    }
                }
            }
            ToManager::Taken { .. }
            | ToManager::Capabilities { .. }
            | ToManager::Renew { .. }
            | ToManager::Ping
            | ToManager::Pong => {}
        }
    }

    /// Takes a state in. One that came before, as after a lost confirmation, is
    /// only confirmed again.
    async fn update(&mut self, seq: u64, record: Record) {
        if self.has(&record) {
            // Behind whatever waits: its line may be among it.
            self.unwritten.push_back(Unwritten {
                update: Some(seq),
                ..Unwritten::default()
            });
            self.write_unwritten().await;
            self.agent.confirm();
            return;
        }
        let taken = vec![Op::Taken(record.action)];
        self.record(record, taken, Some(seq)).await;
    }

    /// Ends an action that its agent has never had, or has lost with its
    /// journal: nobody else will.
    async fn unknown_to_agent(&mut self, action: Option<ActionId>) {
        let live = action.and_then(|id| self.live.get(&id));
        let Some(mut record) = live.map(|live| live.record.clone()) else {
            return;
        };
        let (state, detail) = match record.state {
            ActionState::Queued | ActionState::Sent => (
                ActionState::Suppressed,
                "taken back by a person before it reached its host",
            ),
            ActionState::Running | ActionState::Applied | ActionState::Reverting => (
                ActionState::Failed,
                "its host does not know it any more (was queue/agentd.db removed?); look whether the effect is still there",
            ),
            ActionState::Already
            | ActionState::Done
            | ActionState::Reverted
            | ActionState::Failed
            | ActionState::Refused
            | ActionState::Expired
            | ActionState::Suppressed => return,
        };
        record.state = state;
        record.time = clock::wall();
        record.detail = Some(detail.to_owned());
        record.verified = None;
        record.until = None;
        let taken = vec![Op::Taken(record.action)];
        self.record(record, taken, None).await;
    }

    fn has(&self, record: &Record) -> bool {
        match self.live.get(&record.action) {
            Some(live) => live.record == *record,
            None => match self.reader.record(record.action) {
                Ok(stored) => stored.as_ref() == Some(record),
                Err(error) => {
                    log::error!(error:% = error; "cannot look an action up");
                    false
                }
            },
        }
    }

    /// Keeps the latest state of an action in memory while it is not over.
    pub(super) fn note(&mut self, record: &Record) {
        self.reverts.heard(record);
        if record.state.is_final() {
            self.live.remove(&record.action);
            return;
        }
        let from_agent = !matches!(record.state, ActionState::Queued | ActionState::Sent);
        let live = self.live.entry(record.action).or_insert_with(|| Live {
            record: record.clone(),
            dispatch: None,
            alert: None,
        });
        live.record = record.clone();
        if from_agent {
            live.dispatch = None;
            live.alert = None;
        }
    }

    /// Appends waiting records to `responses.json`, in order, as far as it takes
    /// them. What belongs to them is journalled then, and those that came from
    /// an agent are confirmed once that is synced.
    pub(super) async fn write_unwritten(&mut self) {
        while let Some(next) = self.unwritten.front() {
            if let Some(line) = next.record.as_deref()
                && let Err(error) = self.responses.append(std::slice::from_ref(line))
            {
                self.counts.unwritable = Some(error.to_string());
                if let Some(more) = self.limiter.pass("responses.json", clock::boot()) {
                    log::error!(error:% = error, waiting = self.unwritten.len(), more_since = more; "logs/responses.json cannot be written; results are kept and not confirmed until it can (free disk space or mend the file system)");
                }
                return;
            }
            self.counts.unwritable = None;
            let Some(next) = self.unwritten.pop_front() else {
                return;
            };
            let Unwritten {
                ops,
                update,
                stored,
                ..
            } = next;
            if !ops.is_empty() {
                let mut ticket = self.journal.write(ops).await;
                if let Some(stored) = stored {
                    self.chores.spawn(async move {
                        if ticket.synced().await {
                            // A reader that was stopped meanwhile needs no answer.
                            let _ = stored.send(());
                        }
                    });
                }
            }
            if let Some(seq) = update {
                let write = last_write(&self.journal);
                self.agent.confirm_after(seq, write);
            }
        }
    }

    pub(super) fn confirm_updates(&mut self) {
        self.agent.confirm();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::sync::{mpsc, oneshot};

    use crate::clock::{BootId, Wall};
    use crate::config::{self, Context};
    use crate::journal::manager::{ManagerReader, Position};
    use crate::manager::{Inbox, Manager, Parts};
    use crate::model::action::sample;
    use crate::model::position::{Checkpoint, FileIdentity, Generation};
    use crate::model::{Action, ActionState, AgentId, Instance, JournalId, Record};
    use crate::source::Line;
    use crate::sys::exe::Home;
    use crate::transport::{Admission, Arrival, Origin};
    use crate::wire::control::{Answer, Asked, Request, Which};
    use crate::wire::message::Reverted;
    use crate::wire::{AgentHello, Frame, PROTOCOL, ToManager};

    const CONFIG: &str = "<ripost_config>
      <command><name>block</name><executable>firewall-drop</executable><timeout_allowed>yes</timeout_allowed></command>
      <active-response><command>block</command><location>local</location><level>5</level><timeout>60</timeout></active-response>
      </ripost_config>";

    struct Scene {
        folder: TempDir,
        manager: Manager,
        _inbox: Inbox,
        agents: Vec<mpsc::Receiver<Frame>>,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["etc", "logs", "logs/alerts", "queue"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let (manager, inbox) = Self::open(folder.path());
            Self {
                folder,
                manager,
                _inbox: inbox,
                agents: Vec::new(),
            }
        }

        fn open(home: &Path) -> (Manager, Inbox) {
            let conf = home.join("etc/manager.conf");
            let mut file = fs::File::create(&conf).unwrap();
            file.write_all(CONFIG.as_bytes()).unwrap();
            let checked = config::load_manager(&conf, &Context { home: None });
            let problems = checked.problems();
            let (inbox, _) = Inbox::new();
            let parts = Parts {
                home: Home::open(home).unwrap(),
                boot_id: BootId("a".to_owned()),
                host: "host".to_owned(),
                config: checked.value.expect(&problems),
            };
            let (ready, _) = oneshot::channel();
            let (reloads, _) = mpsc::channel(1);
            let manager = Manager::open(parts, &inbox, ready, reloads).unwrap();
            (manager, inbox)
        }

        fn logs(&self, there: bool) {
            let (logs, away) = (
                self.folder.path().join("logs"),
                self.folder.path().join("x"),
            );
            let (from, to) = if there { (away, logs) } else { (logs, away) };
            fs::rename(from, to).unwrap();
        }

        fn lines(&self) -> usize {
            let text = fs::read_to_string(self.folder.path().join("logs/responses.json")).unwrap();
            text.lines().count()
        }

        async fn connect(&mut self) -> u64 {
            let (admit, admission) = oneshot::channel();
            let hello = AgentHello {
                protocol: PROTOCOL,
                id: AgentId::MANAGER,
                version: "1".to_owned(),
                boot_id: "b".to_owned(),
                journal: JournalId::from_bytes([1; 16]),
                instance: Instance::from_bytes([1; 8]),
                host: "host".to_owned(),
            };
            let arrival = Arrival {
                origin: Origin::Local,
                hello,
                admit,
            };
            self.manager.agent_connected(arrival).await;
            let Ok(Admission::Welcome {
                session, outgoing, ..
            }) = admission.await
            else {
                panic!("not let in");
            };
            self.agents.push(outgoing);
            session
        }

        async fn told(&mut self, session: u64, seq: u64, state: ActionState) {
            let action = action();
            let record = Record::new(&action, state, Wall::from_millis(seq.cast_signed()));
            let message = ToManager::Update {
                seq,
                action: Box::new(action),
                record: Box::new(record),
            };
            self.manager.told(session, message).await;
        }

        async fn synced(&mut self) {
            let last = super::last_write(&self.manager.journal);
            let mut synced = self.manager.journal.synced();
            let wait = synced.wait_for(|number| *number >= last);
            let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
            waited.unwrap().unwrap();
        }
    }

    fn action() -> Action {
        sample::action(1, "firewall-drop", None)
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            generation: Generation(1),
            identity: FileIdentity {
                dev: 1,
                ino: 1,
                btime_ns: None,
            },
            offset: 500,
            tail_hash: 0,
        }
    }

    fn alert() -> Line {
        let text = r#"{"timestamp":"2026-03-04T05:06:07.089+0000","rule":{"level":10,"description":"x","id":"5763","groups":["sshd"]},"agent":{"id":"000","name":"host"},"manager":{"name":"host"},"id":"1.2","decoder":{"name":"sshd"},"data":{"srcip":"203.0.113.9"},"location":"x"}"#;
        Line {
            bytes: text.as_bytes().to_vec(),
            offset: 0,
            generation: Generation(1),
        }
    }

    #[tokio::test]
    async fn an_update_told_again_is_confirmed_only_behind_its_line() {
        let mut scene = Scene::new();
        let first = scene.connect().await;
        scene.logs(false);
        scene.told(first, 700, ActionState::Applied).await;
        // The agent has been started anew and numbers from the beginning.
        let second = scene.connect().await;
        scene.told(second, 700, ActionState::Applied).await;
        scene.synced().await;
        assert_eq!(scene.manager.unwritten.len(), 2);
        assert_eq!(scene.manager.agent.to_confirm(), []);

        scene.logs(true);
        scene.manager.write_unwritten().await;
        assert_eq!(scene.lines(), 1);
        let [(700, write)] = scene.manager.agent.to_confirm()[..] else {
            panic!("{:?}", scene.manager.agent.to_confirm());
        };
        scene.synced().await;
        assert!(write > 0 && write <= super::last_write(&scene.manager.journal));
        assert!(scene.manager.reader.record(action().id).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_number_of_an_earlier_session_confirms_nothing() {
        let mut scene = Scene::new();
        let first = scene.connect().await;
        scene.logs(false);
        scene.told(first, 700, ActionState::Applied).await;
        scene.connect().await;
        scene.logs(true);
        scene.manager.write_unwritten().await;
        assert_eq!(scene.lines(), 1);
        assert_eq!(scene.manager.agent.to_confirm(), []);
    }

    #[tokio::test]
    async fn a_revert_of_what_its_agent_has_lost_ends_it_and_answers() {
        let mut scene = Scene::new();
        let session = scene.connect().await;
        scene.told(session, 1, ActionState::Applied).await;
        let (asker, mut answer) = oneshot::channel();
        let which = Which::Id(action().id);
        let request = Request::Revert { which };
        let asked = Asked {
            request,
            answer: asker,
        };
        scene.manager.answer(asked).await;
        let lost = ToManager::Reverted {
            request: 1,
            outcome: Reverted::NotFound,
        };
        scene.manager.told(session, lost).await;
        scene.manager.tick().await;
        let Ok(Answer::Reverted { outcomes }) = answer.try_recv() else {
            panic!("no answer");
        };
        assert_eq!(outcomes[0].state, ActionState::Failed);
        assert!(scene.manager.live.is_empty());
        assert_eq!(scene.lines(), 2);
    }

    #[tokio::test]
    async fn no_position_and_no_action_is_journalled_before_its_line() {
        let mut scene = Scene::new();
        scene.logs(false);
        let checkpoint = checkpoint();
        scene.manager.lines(0, &[alert()], checkpoint.clone()).await;
        scene.manager.store_positions().await;
        scene.manager.lines(0, &[], checkpoint).await;
        scene.manager.store_positions().await;
        scene.synced().await;
        let path = scene.folder.path().join("queue/manager.db");
        let reader = ManagerReader::open(&path).unwrap();
        let source = "logs/alerts/alerts.json";
        assert_eq!(reader.undelivered().unwrap(), []);
        assert_eq!(reader.position(source).unwrap(), Position::Unknown);

        scene.logs(true);
        scene.manager.write_unwritten().await;
        scene.manager.store_positions().await;
        scene.synced().await;
        assert_eq!(scene.lines(), 1);
        assert_eq!(reader.undelivered().unwrap().len(), 1);
        let position = reader.position(source).unwrap();
        assert!(matches!(position, Position::At(_)), "{position:?}");
    }
}
