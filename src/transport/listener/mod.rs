//! Where agents come in: one port, one thread. Handshakes cost milliseconds
//! and come in thousands when a manager restarts, so they and the sessions have
//! a runtime of their own; the manager's task only sees who has been identified.

mod counters;
mod door;

pub use counters::{Counters, Counts};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Resource;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use self::door::Door;
use crate::transport::pki::{Authority, PkiError};
use crate::transport::session::Reception;
use crate::wire::enroll::{EnrollAnswer, EnrollRequest};

/// How many connections the kernel may hold for us to accept; it cuts this to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on {address}\n(another process may have the port: `ss -ltnp`)")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("start the listener")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// A host that wants to become an agent. Dropping `answer` closes the
/// connection without one.
#[derive(Debug)]
pub struct Enrollment {
    pub address: SocketAddr,
    pub request: EnrollRequest,
    pub answer: oneshot::Sender<EnrollAnswer>,
}

/// Who is behind the door: where arriving agents and hosts that enroll go to.
#[derive(Clone, Debug)]
pub struct Desk {
    pub reception: Reception,
    pub enrollments: mpsc::Sender<Enrollment>,
}

/// What everything before authentication is held to.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Limits {
    /// How many may be under way at once.
    pub places: usize,
    /// How long a handshake is safe from newcomers whose source has as many.
    pub grace: Duration,
    /// For handshake and first frame together.
    pub deadline: Duration,
}

const LIMITS: Limits = Limits {
    places: 512,
    grace: Duration::from_secs(1),
    deadline: Duration::from_secs(10),
};

/// A port that is ours, on which nobody is let in yet.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the port. `[::]` takes it for IPv4 too, where the system has it so
    /// (`net.ipv6.bindv6only`).
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bind = || {
            let socket = std::net::TcpListener::bind(address)?;
            rustix::net::listen(&socket, BACKLOG)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bind().map_err(|source| ListenError::Bind { address, source })
    }

    /// Where it listens; tells the port if none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets people in, on a thread of its own. The manager's certificate is
    /// read from `authority` at each handshake, so a new one counts at once.
    pub fn start(self, authority: &Authority, desk: Desk) -> Result<Running, ListenError> {
        self.start_with(authority, desk, LIMITS)
    }

    pub(in crate::transport) fn start_with(
        self,
        authority: &Authority,
        desk: Desk,
        limits: Limits,
    ) -> Result<Running, ListenError> {
        raise_descriptor_limit();
        let counters = Arc::new(Counters::default());
        let door = Arc::new(Door::new(authority, desk, limits, Arc::clone(&counters))?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ListenError::Start)?;
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = oneshot::channel::<()>();
        let Self { socket, address } = self;
        let run = move || {
            runtime.block_on(async move {
                match TcpListener::from_std(socket) {
                    Ok(listener) => listen(listener, door, stopped).await,
                    Err(error) => log::error!(error:% = error; "the listener cannot start"),
                }
            });
            drop(alive);
        };
        let thread = std::thread::Builder::new()
            .name("agents".to_owned())
            .spawn(run)
            .map_err(ListenError::Start)?;
        Ok(Running {
            address,
            counters,
            stop,
            ended,
            thread,
        })
    }
}

/// A listener at work. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Waits until the listener has ended of itself, which it never should.
    /// May be dropped while it waits.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes away with the thread.
        let _ = (&mut self.ended).await;
    }

    /// Closes the port and all sessions, and waits for the thread.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the listener panicked");
        }
    }
}

async fn listen(listener: TcpListener, door: Arc<Door>, mut stop: oneshot::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            _ = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => door.open(stream, address),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                door.out_of_resources(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Those who are in go first, or a rush would only ever be accepted.
        tokio::task::yield_now().await;
    }
}

/// Each session has a descriptor, and the usual limit of 1,024 is there for
/// programs that use select(2).
fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        log::warn!(error:% = error; "the limit of open files cannot be raised; it limits how many agents can connect");
    }
}
