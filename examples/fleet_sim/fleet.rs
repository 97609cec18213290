//! The agents of this process, as one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ripost::model::{Action, ServerAddress};
use ripost::transport::pki::Credentials;
use ripost::transport::random;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::agent::Agent;
use super::lies::Lie;
use super::lines::Lines;
use super::options::Answer;
use super::report::Report;
use super::tally::Tally;

/// Actions of honest agents that liars may speak of.
const HEARSAY: usize = 64;

/// What the agents are to do.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerAddress,
    pub answer: Answer,
    /// Before an action is acknowledged.
    pub delay: Duration,
    pub churn: Option<Churn>,
    /// What liars do, in turn.
    pub lies: Vec<Lie>,
    /// How many of the agents lie: the first ones.
    pub liars: u32,
    /// First dials in a second; 0: no limit.
    pub rate: f64,
    /// Dials under way at once.
    pub dials: usize,
}

/// How many connections are cut, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    pub percent: f64,
    pub every: f64,
}

impl Churn {
    /// Reads `5%/10s`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parse = || {
            let (percent, every) = text.split_once('/')?;
            let percent = percent.strip_suffix('%')?.parse().ok()?;
            let every = every.strip_suffix('s')?.parse().ok()?;
            let valid = (0.0..=100.0).contains(&percent) && every > 0.0;
            valid.then_some(Self { percent, every })
        };
        parse()
            .ok_or_else(|| "write 5%/10s: a share of the connections, and an interval".to_owned())
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%/{}s", self.percent, self.every)
    }
}

/// Which connections are cut: those whose number, drawn anew for each cut, is
/// below the share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    /// Of a hundred.
    pub percent: f64,
}

/// What all agents of a process share.
#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub tally: Tally,
    pub lines: Lines,
    pub dials: Semaphore,
    /// Actions that honest agents have got, newest last.
    hearsay: Mutex<VecDeque<Action>>,
}

impl Shared {
    /// An honest agent has got an action.
    pub fn heard(&self, action: &Action) {
        if self.settings.lies.is_empty() {
            return;
        }
        let mut hearsay = self.hearsay.lock().unwrap_or_else(PoisonError::into_inner);
        if hearsay.len() == HEARSAY {
            hearsay.pop_front();
        }
        hearsay.push_back(action.clone());
    }

    /// Some action of an honest agent.
    pub fn hearsay(&self) -> Option<Action> {
        let hearsay = self.hearsay.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(hearsay.len())
            .ok()
            .filter(|count| *count > 0)?;
        let at = usize::try_from(random::number() % count).ok()?;
        hearsay.get(at).cloned()
    }
}

/// Agents at work. They end when this is dropped.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    cut: watch::Sender<Cut>,
    agents: JoinSet<()>,
}

impl Fleet {
    /// Starts an agent for each identity. Must be called within a runtime.
    pub fn start(
        settings: Settings,
        identities: Vec<Credentials>,
        lines: Lines,
    ) -> Result<Self, String> {
        let agents = u32::try_from(identities.len()).map_err(|error| error.to_string())?;
        let (cut, on_cut) = watch::channel(Cut::default());
        let shared = Arc::new(Shared {
            tally: Tally::new(agents),
            lines,
            dials: Semaphore::new(settings.dials.max(1)),
            hearsay: Mutex::default(),
            settings,
        });
        let mut tasks = JoinSet::new();
        for (number, credentials) in (0..).zip(identities) {
            let settings = &shared.settings;
            let mut lies = settings.lies.iter().cycle().copied();
            let lie = match number < settings.liars {
                true => lies.nth(usize::try_from(number).unwrap_or_default()),
                false => None,
            };
            let wait = match settings.rate {
                rate if rate > 0.0 => Duration::from_secs_f64(f64::from(number) / rate),
                _ => Duration::ZERO,
            };
            let agent = Agent::new(Arc::clone(&shared), credentials, lie, on_cut.clone())?;
            tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                agent.run().await;
            });
        }
        if let Some(churn) = shared.settings.churn {
            tasks.spawn(keep_cutting(churn, cut.clone()));
        }
        Ok(Self {
            shared,
            cut,
            agents: tasks,
        })
    }

    /// Ends all agents, and waits until none of them says anything any more.
    pub async fn stop(self) {
        let mut agents = self.agents;
        agents.shutdown().await;
    }

    /// Cuts all connections at once.
    pub fn cut_all(&self) {
        self.cut.send_replace(Cut { percent: 100.0 });
    }

    /// How many of the agents lie: the first ones.
    pub fn liars(&self) -> u32 {
        match self.shared.settings.lies.is_empty() {
            true => 0,
            false => self.shared.settings.liars,
        }
    }

    pub fn report(&self) -> Report {
        self.shared.tally.report()
    }
}

async fn keep_cutting(churn: Churn, cut: watch::Sender<Cut>) {
    loop {
        tokio::time::sleep(Duration::from_secs_f64(churn.every)).await;
        cut.send_replace(Cut {
            percent: churn.percent,
        });
    }
}
