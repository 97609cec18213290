//! One agent: it dials for ever, and does in a session what a real one does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ripost::clock;
use ripost::model::{Action, ActionId, Capabilities, ExeName, Instance, JournalId, bundled};
use ripost::transport::backoff::Backoff;
use ripost::transport::dial::{DialError, Dialled, Dialler};
use ripost::transport::pki::Credentials;
use ripost::transport::{random, session};
use ripost::wire::{AgentHello, Denial, Frame, PROTOCOL, ToAgent, ToManager};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::book::Book;
use super::fleet::{Cut, Shared};
use super::identities::chain;
use super::lies::{self, Lie};
use super::lines::{Line, now_us};

/// Messages under way to the manager, and from it. A real agent has room for
/// 256; there is only one of it in a process.
const OUTGOING: usize = 64;
const INCOMING: usize = 8;

/// Who was refused waits at least so long, and at most twice that, as a real
/// agent does.
const REFUSED: Duration = Duration::from_secs(15);

/// One agent.
#[derive(Debug)]
pub struct Agent {
    shared: Arc<Shared>,
    dialler: Dialler,
    hello: AgentHello,
    lie: Option<Lie>,
    book: Book,
    cut: watch::Receiver<Cut>,
    due: Due,
}

/// What is to be done later, by when; the number keeps two of one moment apart.
#[derive(Debug, Default)]
struct Due {
    last: u64,
    steps: BTreeMap<(Instant, u64), Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Acknowledge an action and begin with it.
    Start(ActionId),
    /// Its time is over.
    End(ActionId),
}

impl Due {
    fn add(&mut self, wait: Duration, step: Step) {
        self.last += 1;
        self.steps.insert((Instant::now() + wait, self.last), step);
    }

    /// Waits for the next step. May be dropped while it waits.
    async fn next(&mut self) -> Step {
        match self.steps.first_key_value() {
            Some(((at, _), _)) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
        let (_, step) = self.steps.pop_first().expect("it was there just now");
        step
    }
}

/// Why a session is over.
enum Over {
    /// The manager, or the network, has ended it.
    There,
    /// It was cut on this side.
    Here,
}

impl Agent {
    pub fn new(
        shared: Arc<Shared>,
        credentials: Credentials,
        lie: Option<Lie>,
        cut: watch::Receiver<Cut>,
    ) -> Result<Self, String> {
        let bytes = || random::bytes().map_err(|error| chain(&error));
        let journal = JournalId::from_bytes(bytes()?);
        let instance: [u8; 8] = random::bytes().map_err(|error| chain(&error))?;
        let boot = clock::boot_id().map_err(|error| chain(&error))?;
        let servers = vec![shared.settings.server.clone()];
        Ok(Self {
            dialler: Dialler::new(servers, &credentials).map_err(|error| chain(&error))?,
            hello: AgentHello {
                protocol: PROTOCOL,
                id: credentials.agent_id().clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                boot_id: boot.0.to_string(),
                journal,
                instance: Instance::from_bytes(instance),
                host: format!("sim-{}", credentials.agent_id()),
            },
            book: Book::new(shared.settings.answer),
            due: Due::default(),
            shared,
            lie,
            cut,
        })
    }

    /// Dials for ever.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.wait(random::number())).await;
            match self.dial().await {
                Ok(dialled) => {
                    let began = clock::boot();
                    let over = self.attend(dialled).await;
                    self.shared.tally.note(|report| {
                        report.connected -= 1;
                        match over {
                            Over::There => report.ended_by_manager += 1,
                            Over::Here => report.cuts += 1,
                        }
                    });
                    backoff.ended(began.until(clock::boot()));
                }
                Err(error) => {
                    self.shared.tally.failed(why(&error));
                    if is_refusal(&error) {
                        tokio::time::sleep(REFUSED.mul_f64(1.0 + share() / 100.0)).await;
                    }
                }
            }
        }
    }

    async fn dial(&mut self) -> Result<Dialled, DialError> {
        let _turn = self.shared.dials.acquire().await;
        self.shared.tally.dials();
        let began = now_us();
        let dialled = self.dialler.dial(&self.hello).await?;
        self.shared.tally.connected(now_us() - began);
        Ok(dialled)
    }

    async fn attend(&mut self, dialled: Dialled) -> Over {
        self.cut.mark_unchanged();
        if let Some(lie) = self.lie {
            let mut cut = self.cut.clone();
            let hello = &self.hello;
            let lying = lies::attend(lie, &self.shared, hello, dialled.connection);
            return tokio::select! {
                () = lying => Over::There,
                () = is_cut(&mut cut) => Over::Here,
            };
        }
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let (incoming, arriving) = mpsc::channel(INCOMING);
        let attending = session::attend(dialled.connection, queue, &incoming, |told| told);
        tokio::select! {
            _ = attending => Over::There,
            over = self.live(&outgoing, arriving) => over,
        }
    }

    /// Answers the manager until the session is over. To be dropped with it.
    async fn live(
        &mut self,
        outgoing: &mpsc::Sender<Frame>,
        mut arriving: mpsc::Receiver<ToAgent>,
    ) -> Over {
        let mut cut = self.cut.clone();
        let mut messages = vec![capabilities()];
        messages.extend(self.book.again());
        loop {
            for message in messages.drain(..) {
                let Ok(frame) = message.to_frame() else {
                    continue;
                };
                if outgoing.send(frame).await.is_err() {
                    return Over::There;
                }
            }
            // All three may be dropped while they wait.
            messages = tokio::select! {
                told = arriving.recv() => match told {
                    Some(told) => self.told(told),
                    None => return Over::There,
                },
                step = self.due.next() => self.step(step),
                () = is_cut(&mut cut) => return Over::Here,
            };
        }
    }

    fn told(&mut self, message: ToAgent) -> Vec<ToManager> {
        match message {
            ToAgent::Act {
                action,
                alert,
                remaining_ms,
                age_ms,
                ..
            } => {
                let left = remaining_ms.map(Duration::from_millis);
                self.act(*action, &alert, left, age_ms)
            }
            ToAgent::Revert { id, request } => {
                self.shared.tally.note(|report| report.reverts += 1);
                self.book.revert(id, request, clock::wall())
            }
            ToAgent::Stored { up_to } => {
                self.stored(up_to);
                Vec::new()
            }
            ToAgent::WhiteList { .. }
            | ToAgent::Renewed { .. }
            | ToAgent::Ping
            | ToAgent::Pong { .. } => Vec::new(),
        }
    }

    fn act(
        &mut self,
        action: Action,
        alert: &[u8],
        left: Option<Duration>,
        age_ms: u64,
    ) -> Vec<ToManager> {
        let (id, received) = (action.id, now_us());
        self.shared.heard(&action);
        let is_new = self.book.take(action, alert, left, received);
        self.shared.tally.note(|report| {
            if is_new {
                report.received += 1;
                report.age.add(age_ms * 1_000);
            } else {
                report.repeated += 1;
            }
        });
        match self.shared.settings.delay {
            Duration::ZERO => self.start(id, received, is_new),
            delay => {
                self.due.add(delay, Step::Start(id));
                Vec::new()
            }
        }
    }

    fn step(&mut self, step: Step) -> Vec<ToManager> {
        match step {
            Step::Start(id) => self.start(id, now_us(), true),
            Step::End(id) => self.book.end(id, clock::wall()).into_iter().collect(),
        }
    }

    /// Acknowledges an action, and says what becomes of it if that was not said
    /// before.
    fn start(&mut self, id: ActionId, received_us: u64, is_new: bool) -> Vec<ToManager> {
        let mut messages = vec![ToManager::Taken { actions: vec![id] }];
        if is_new {
            self.shared.tally.note(|report| report.acknowledged += 1);
            self.shared.lines.say(Line::Taken {
                agent: self.hello.id.clone(),
                action: id,
                received_us,
                taken_us: now_us(),
            });
            messages.extend(self.book.start(id, clock::wall()));
            if let Some(lasts) = self.book.lasts(id) {
                self.due.add(lasts, Step::End(id));
            }
        }
        messages
    }

    fn stored(&mut self, up_to: u64) {
        let now = now_us();
        let (count, firsts) = self.book.stored(up_to);
        self.shared.tally.note(|report| {
            report.confirmed += count;
            for (_, received) in &firsts {
                report.confirmation.add(now - received);
            }
        });
        for (action, _) in firsts {
            self.shared.lines.say(Line::Confirmed {
                agent: self.hello.id.clone(),
                action,
                confirmed_us: now,
            });
        }
    }
}

/// Waits until this connection is one of those that are cut.
async fn is_cut(cut: &mut watch::Receiver<Cut>) {
    while cut.changed().await.is_ok() {
        let percent = cut.borrow_and_update().percent;
        if share() < percent {
            return;
        }
    }
    // Nobody is left who could.
    std::future::pending::<()>().await;
}

/// A random number below 100.
fn share() -> f64 {
    let parts = u32::try_from(random::number() % 10_000).expect("it is below ten thousand");
    f64::from(parts) / 100.0
}

/// A host with the bundled executables, all of which work.
pub fn capabilities() -> ToManager {
    let mut capabilities = Capabilities {
        ipv6: true,
        system: "Linux (simulated)".to_owned(),
        ..Capabilities::default()
    };
    for row in bundled::BUNDLED {
        if let Ok(name) = ExeName::parse(row.name) {
            let ability = ripost::model::Ability {
                bundled: true,
                ..Default::default()
            };
            capabilities.executables.insert(name, ability);
        }
    }
    ToManager::Capabilities {
        capabilities: Box::new(capabilities),
    }
}

fn why(error: &DialError) -> String {
    let text = chain(error);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Whether the manager has said no, so that a dial soon after ends no better.
fn is_refusal(error: &DialError) -> bool {
    match error {
        DialError::Denied { denial, .. } => *denial != Denial::Busy,
        DialError::Tls { .. } | DialError::Pki(_) => true,
        DialError::NoServer
        | DialError::Lookup { .. }
        | DialError::Unreachable { .. }
        | DialError::Silent { .. }
        | DialError::Closed { .. }
        | DialError::Lost { .. } => false,
    }
}
