//! The link to the manager, kept up by a task of its own: over TLS to the
//! servers that agent.conf names, or to the manager in the same home. Nothing
//! that happens to it ends the daemon: reverts go on without.

mod remote;
mod renewal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use crate::clock::{self, BootId, Wall};
use crate::model::{AgentId, Instance, JournalId, ServerAddress};
use crate::sys::host;
use crate::transport::{Connection, local, session};
use crate::wire::enroll::PublicKey;
use crate::wire::{AgentHello, Frame, Hello, ManagerJournal, PROTOCOL, ToAgent};

pub(super) use renewal::Pace;

/// Messages under way to the manager.
const OUTGOING: usize = 256;

/// Pause between two attempts to reach a manager on the same host.
const REDIAL: Duration = Duration::from_millis(100);

/// What the link reports to the agent.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Up {
        outgoing: mpsc::Sender<Frame>,
        manager: Option<ManagerJournal>,
    },
    Told(ToAgent),
    /// A certificate for this key is wanted.
    Renew(PublicKey),
    Down,
}

/// How the link stands, to look at whenever somebody wants to know.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkState {
    /// The addresses under which the manager is reached, as far as they are known.
    pub(super) addresses: Vec<SocketAddr>,
    /// Which manager this host is connected to, and since when.
    pub(super) connected: Option<(String, Wall)>,
    /// Until when this host's certificate is valid.
    pub(super) certificate_until: Option<Wall>,
    /// Why there is no connection.
    pub(super) problem: Option<String>,
    /// What is wrong about the renewal of the certificate.
    pub(super) renewal: Option<String>,
}

/// Where a link reports to.
#[derive(Clone, Debug)]
pub struct Reports {
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) state: watch::Sender<LinkState>,
}

/// Who dials.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) boot_id: BootId,
    pub(super) journal: watch::Receiver<JournalId>,
    pub(super) instance: Instance,
}

impl Caller {
    fn hello(&self, id: AgentId) -> AgentHello {
        AgentHello {
            protocol: PROTOCOL,
            id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.0.to_string(),
            journal: *self.journal.borrow(),
            instance: self.instance,
            host: host::name(),
        }
    }
}

/// Keeps a connection to a manager up.
#[derive(Debug)]
pub struct Link {
    home: PathBuf,
    caller: Caller,
    servers: watch::Receiver<Vec<ServerAddress>>,
    reports: Reports,
    pub(super) pace: Pace,
}

impl Link {
    /// `home` may be a manager's, too; `servers` are those of agent.conf, and
    /// another value of them is taken up at once.
    pub fn new(
        home: PathBuf,
        caller: Caller,
        servers: watch::Receiver<Vec<ServerAddress>>,
        reports: Reports,
    ) -> Self {
        Self {
            home,
            caller,
            servers,
            reports,
            pace: Pace::default(),
        }
    }

    /// Dials for ever. Ends when nobody listens to it.
    pub async fn keep_up(self) {
        let mut servers = self.servers.clone();
        while !self.reports.events.is_closed() {
            let named = servers.borrow_and_update().clone();
            tokio::select! {
                () = self.dial(&named) => {}
                () = others(&mut servers, &named) => {}
            }
            self.down().await;
        }
    }

    async fn dial(&self, servers: &[ServerAddress]) {
        if !servers.is_empty() {
            remote::dial(self, servers).await;
        } else if self.home.join("etc/manager.conf").exists() {
            self.dial_local().await;
        } else {
            let problem = "this home is no manager's and etc/agent.conf names none";
            self.change(|state| {
                *state = LinkState {
                    problem: Some(problem.to_owned()),
                    ..LinkState::default()
                };
            });
            log::warn!(
                "{problem}; responses in force end in time, and no new one comes (ripost-agentd enroll names one)"
            );
            self.reports.events.closed().await;
        }
    }

    /// Dials the socket of a manager in the same home.
    async fn dial_local(&self) {
        let socket = self.home.join("queue/manager.sock");
        let hello = Hello::Agent(self.caller.hello(AgentId::MANAGER));
        // What was known of servers is not known of this one.
        self.change(|state| *state = LinkState::default());
        let mut reported = false;
        while !self.reports.events.is_closed() {
            match local::dial(&socket, &hello).await {
                Ok((connection, manager)) => {
                    reported = false;
                    let name = socket.display().to_string();
                    let (outgoing, queue) = mpsc::channel(OUTGOING);
                    self.up(name, outgoing, manager).await;
                    self.attend(connection, queue, LinkEvent::Told).await;
                    self.down().await;
                }
                Err(error) => {
                    if !reported {
                        log::warn!(error:% = error; "the manager is not reachable; dialling again every 100 ms");
                        reported = true;
                        self.change(|state| state.problem = Some(in_one_line(&error.to_string())));
                    }
                }
            }
            tokio::time::sleep(REDIAL).await;
        }
    }

    /// One session over a connection that a test has made: says hello, and
    /// attends to it once it is let in.
    #[cfg(test)]
    pub(crate) async fn carry<R, W>(
        &self,
        id: AgentId,
        mut connection: Connection<R, W>,
    ) -> Result<(), crate::wire::FrameError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        use crate::wire::Greeting;

        connection
            .send(&Hello::Agent(self.caller.hello(id)))
            .await?;
        let Some(frame) = connection.reader.next().await? else {
            return Ok(());
        };
        if let Greeting::Welcome { journal, .. } = frame.message()? {
            let (outgoing, queue) = mpsc::channel(OUTGOING);
            self.up("simulated".to_owned(), outgoing, journal).await;
            self.attend(connection, queue, LinkEvent::Told).await;
            self.down().await;
        }
        Ok(())
    }

    async fn up(
        &self,
        name: String,
        outgoing: mpsc::Sender<Frame>,
        manager: Option<ManagerJournal>,
    ) {
        log::info!(manager = name.as_str(); "connected to the manager");
        self.change(|state| {
            state.connected = Some((name, clock::wall()));
            state.problem = None;
        });
        // An agent that has ended needs no link.
        let _ = self
            .reports
            .events
            .send(LinkEvent::Up { outgoing, manager })
            .await;
    }

    /// Moves messages both ways until the session is over.
    async fn attend<R, W>(
        &self,
        connection: Connection<R, W>,
        queue: mpsc::Receiver<Frame>,
        take: impl Fn(ToAgent) -> LinkEvent,
    ) where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let ended = session::attend(connection, queue, &self.reports.events, take);
        let problem = ended.await.err().map(|error| error.to_string());
        log::warn!(problem = problem.as_deref().unwrap_or("it was closed"); "lost the connection to the manager; responses in force stay and end in time");
    }

    async fn down(&self) {
        self.change(|state| state.connected = None);
        // As above.
        let _ = self.reports.events.send(LinkEvent::Down).await;
    }

    fn change(&self, change: impl FnOnce(&mut LinkState)) {
        self.reports.state.send_modify(change);
    }
}

/// Waits until other servers are named.
async fn others(servers: &mut watch::Receiver<Vec<ServerAddress>>, named: &[ServerAddress]) {
    if servers.wait_for(|now| now != named).await.is_err() {
        // Nobody is left who could.
        std::future::pending::<()>().await;
    }
}

/// A hint stands on a line of its own; a status has one line for each problem.
fn in_one_line(text: &str) -> String {
    text.replace('\n', " ")
}
