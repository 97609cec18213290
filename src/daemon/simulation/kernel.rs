//! What executables do on a simulated host. It outlives agentd: what is in
//! force stays so, and an effect that was under way may or may not have come
//! about.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::agent::Played;
use crate::clock::simulated::Clock;
use crate::contract::reply::{IN_PLACE, RunResult, Status};
use crate::contract::request::Command;
use crate::executor::{Decision, End, Outcome, Progress, Run, RunId};
use crate::model::{Ability, Capabilities, ExeName, Keys, Mode};
use crate::sys::process::ProcessId;

use super::history::{Doing, History, Random, Took, What};

/// The executables of a simulated host: two bundled ones, a script that can be
/// reverted, and one that cannot.
pub(super) const FIREWALL: &str = "firewall-drop";
pub(super) const FILE: &str = "host-deny";
pub(super) const LOCK: &str = "lock.sh";
pub(super) const NOTE: &str = "note.sh";

/// A host's state as its executables see it.
#[derive(Debug)]
pub(super) struct Kernel {
    agent: u32,
    clock: Clock,
    history: History,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// What is in force, and until when the kernel keeps it.
    effects: BTreeMap<(String, String), Option<Duration>>,
    /// Whether executables fail now and then.
    faulty: bool,
    /// The life of agentd; what an earlier one had started is gone.
    life: u32,
}

impl Kernel {
    pub(super) fn new(
        agent: u32,
        clock: Clock,
        history: History,
        random: Random,
        faulty: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            agent,
            clock,
            history,
            state: Mutex::new(State {
                random,
                effects: BTreeMap::new(),
                faulty,
                life: 0,
            }),
        })
    }

    /// What agentd of this life works with.
    pub(super) fn hands(self: &Arc<Self>, life: u32) -> Arc<Hand> {
        self.state.lock().unwrap().life = life;
        Arc::new(Hand {
            kernel: Arc::clone(self),
            life,
        })
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().faulty = false;
    }

    /// Kernel state does not survive a power cut; files do.
    pub(super) fn lose_power(&self) {
        let mut state = self.state();
        state.effects.retain(|(exe, _), _| exe != FIREWALL);
    }

    /// What is in force: executable and address.
    pub(super) fn in_force(&self) -> Vec<(String, String)> {
        self.state().effects.keys().cloned().collect()
    }

    /// The state without what the kernel has forgotten by now.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = super::elapsed();
        let mut state = self.state.lock().unwrap();
        let over = |_: &(String, String), until: &mut Option<Duration>| {
            until.is_some_and(|until| until <= now)
        };
        let forgotten: Vec<_> = state.effects.extract_if(.., over).collect();
        for ((exe, address), until) in forgotten {
            let when = until.unwrap_or_default().as_millis();
            self.history.note(What::Forgot {
                agent: self.agent,
                exe,
                address,
                when: u64::try_from(when).unwrap(),
            });
        }
        state
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.state.lock().unwrap().random)
    }

    /// Makes or takes back an effect. Returns whether there was one.
    fn work(&self, doing: &Doing, expires: Option<Duration>) -> bool {
        let now = super::elapsed();
        let what = (doing.exe.clone(), doing.address.clone());
        let mut state = self.state();
        let until = expires.map(|span| now + span);
        let before = match doing.mode {
            Mode::Add if doing.exe == NOTE => None,
            Mode::Add => state.effects.insert(what, until),
            Mode::Delete => state.effects.remove(&what),
        };
        before.is_some()
    }
}

/// What one life of agentd works with.
#[derive(Debug)]
pub(super) struct Hand {
    kernel: Arc<Kernel>,
    life: u32,
}

/// A run that has begun. Dropped before its end it was cut off.
struct Begun {
    kernel: Arc<Kernel>,
    doing: Doing,
    expires: Option<Duration>,
    /// Whether it waits for the answer to its keys.
    asks: bool,
    over: bool,
}

impl Begun {
    fn end(&mut self, took: Took) -> bool {
        self.over = true;
        let works = match took {
            Took::Whole => true,
            Took::Failed | Took::Aborted | Took::Unheard => false,
            Took::Broke | Took::CutOff => self.kernel.random(|random| random.percent(50)),
        };
        let was = works && self.kernel.work(&self.doing, self.expires);
        let ended = What::Ended(self.doing.clone(), took);
        self.kernel.history.note(ended);
        was
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.over {
            self.end(match self.asks {
                true => Took::Unheard,
                false => Took::CutOff,
            });
        }
    }
}

impl Played for Hand {
    fn capabilities(&self) -> Capabilities {
        let names = [FIREWALL, FILE, LOCK, NOTE];
        let ability = |name: &str| (ExeName::parse(name).unwrap(), Ability::default());
        Capabilities {
            executables: names.into_iter().map(ability).collect(),
            ..Capabilities::default()
        }
    }

    fn run(
        &self,
        run: Run,
        progress: mpsc::Sender<(RunId, Progress)>,
        mut cancel: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let (kernel, life) = (Arc::clone(&self.kernel), self.life);
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = cancel.wait_for(|wanted| *wanted) => outcome(End::Cancelled, None),
                outcome = carry_out(kernel, life, run, progress) => outcome,
            }
        })
    }
}

async fn carry_out(
    kernel: Arc<Kernel>,
    life: u32,
    run: Run,
    progress: mpsc::Sender<(RunId, Progress)>,
) -> Outcome {
    let doing = told(&run, kernel.agent, life);
    tokio::time::sleep(kernel.random(|random| random.millis(0, 3))).await;
    let (go, gone) = oneshot::channel();
    let process = ProcessId::played(i32::try_from(run.id.0).unwrap());
    let started = Progress::Started { process, go };
    if progress.send((run.id, started)).await.is_err() || gone.await.is_err() {
        return outcome(End::Cancelled, None);
    }
    // A task of its own is in no host, whose boot time is none of the machine's.
    let is_pointless = {
        let _entered = kernel.clock.enter();
        run.is_pointless()
    };
    if is_pointless {
        return outcome(End::TooLate, None);
    }
    let address = doing.address.clone();
    kernel.history.note(What::Begun(doing.clone()));
    let mut begun = Begun {
        kernel: Arc::clone(&kernel),
        doing,
        expires: None,
        asks: false,
        over: false,
    };
    let keys = (run.mode == Mode::Add && begun.doing.exe != NOTE)
        .then(|| Keys::new(vec![address]).unwrap());
    if let Some(keys) = keys.clone() {
        begun.asks = true;
        tokio::time::sleep(kernel.random(|random| random.millis(0, 2))).await;
        let (decide, decision) = oneshot::channel();
        let asked = Progress::Keys {
            keys: Ok(keys.clone()),
            decide,
        };
        let asked = progress.send((run.id, asked)).await;
        match (asked, decision.await) {
            (Ok(()), Ok(Decision::Continue { expires })) => {
                begun.expires = expires.filter(|_| begun.doing.exe == FIREWALL);
                begun.asks = false;
            }
            (Ok(()), Ok(Decision::Abort)) => {
                begun.end(Took::Aborted);
                return outcome(End::Exited(0), Some(keys));
            }
            (Err(_), _) | (_, Err(_)) => return outcome(End::Cancelled, Some(keys)),
        }
    }
    let slow = kernel.random(|random| random.percent(5));
    let most = if slow { 600 } else { 20 };
    tokio::time::sleep(kernel.random(|random| random.millis(0, most))).await;
    let fate = kernel.fate(begun.doing.mode);
    let was = begun.end(fate);
    ended(&run, fate, was, keys)
}

impl Kernel {
    fn fate(&self, mode: Mode) -> Took {
        let mut state = self.state.lock().unwrap();
        let dice = state.random.below(100);
        match (state.faulty, dice) {
            (true, 0..3) => Took::Failed,
            (true, 3..6) if mode == Mode::Add => Took::Broke,
            (true | false, _) => Took::Whole,
        }
    }
}

fn ended(run: &Run, fate: Took, was: bool, keys: Option<Keys>) -> Outcome {
    if fate == Took::Broke {
        return outcome(End::Signalled(9), keys);
    }
    if !run.bundled {
        let status = i32::from(fate == Took::Failed);
        return outcome(End::Exited(status), keys);
    }
    let status = match (fate, run.mode, was) {
        (Took::Failed, ..) => Status::Failed,
        (_, Mode::Add, _) => Status::Applied,
        (_, Mode::Delete, true) => Status::Reverted,
        (_, Mode::Delete, false) => Status::Absent,
    };
    let detail = match (fate, run.mode, was) {
        (Took::Failed, ..) => Some("it does not work today"),
        (_, Mode::Add, true) => Some(IN_PLACE),
        _ => None,
    };
    Outcome {
        result: Some(RunResult {
            status,
            detail: detail.map(str::to_owned),
            backend: None,
            exit_code: None,
            hits: None,
            stderr: None,
        }),
        ..outcome(End::Exited(0), keys)
    }
}

fn outcome(end: End, keys: Option<Keys>) -> Outcome {
    Outcome {
        end,
        printed_keys: keys.is_some(),
        keys,
        result: None,
        output_note: None,
        stderr: String::new(),
        duration: Duration::ZERO,
        detail: None,
    }
}

/// What the executable reads on its stdin.
fn told(run: &Run, agent: u32, life: u32) -> Doing {
    let message = run.message().unwrap();
    let line = message.line(match run.mode {
        Mode::Add => Command::Add,
        Mode::Delete => Command::Delete,
    });
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    let alert = &line["parameters"]["alert"];
    Doing {
        agent,
        life,
        mode: run.mode,
        alert: alert["id"].as_str().unwrap().parse().unwrap(),
        exe: run.exe.to_string(),
        address: alert["data"]["srcip"].as_str().unwrap().to_owned(),
    }
}
