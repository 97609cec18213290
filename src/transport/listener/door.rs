//! One connection from its acceptance until it is known who is there.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Counters, Desk, Enrollment, Limits, ListenError};
use crate::clock;
use crate::diag::seldom::Seldom;
use crate::model::{AgentId, Fingerprint};
use crate::transport::pki::{self, Authority};
use crate::transport::places::{Attempts, Place, Places, Seat, Source, Try};
use crate::transport::session::{Connection, Origin};
use crate::transport::tls;
use crate::wire::enroll::{EnrollAnswer, EnrollRequest};
use crate::wire::{AgentHello, Daemon, Denial, FrameError, Greeting, Hello, PROTOCOL};

/// A peer that takes nothing for so long has gone (tcp(7), TCP_USER_TIMEOUT).
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// How many hosts may wait for the answer to their enrollment.
const ENROLLING: usize = 64;

type Peer = Connection<ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>>;

/// What all connections share until they are identified.
pub(super) struct Door {
    session: Arc<ServerConfig>,
    enroll: Arc<ServerConfig>,
    desk: Desk,
    limits: Limits,
    counters: Arc<Counters>,
    places: Mutex<Places<AbortHandle>>,
    attempts: Mutex<Attempts>,
    /// A token that was tried has an outcome.
    outcomes: Notify,
    enrolling: Semaphore,
    said: Said,
}

/// One for each kind of line that somebody outside can cause.
#[derive(Default)]
struct Said {
    resources: Seldom,
    dropped: Seldom,
    refused: Seldom,
    certificate: Seldom,
    token: Seldom,
}

/// Who it turned out to be.
enum Visitor {
    Agent(Peer, AgentHello, Fingerprint),
    Host(Peer, EnrollRequest),
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the handshake failed: {0}")]
    Tls(io::Error),
    #[error("no protocol of ours was asked for")]
    Protocol,
    #[error("there was no certificate")]
    Certificate,
    #[error("the first frame was not as expected: {0}")]
    Frame(#[from] FrameError),
    #[error("the connection was closed")]
    Closed,
    #[error("the other side speaks another protocol")]
    Version,
    #[error("only agents of other hosts connect here")]
    NotAnAgent,
}

impl Refusal {
    /// Whether the handshake failed for the sake of the peer's certificate.
    fn is_certificate(&self) -> bool {
        let Self::Tls(error) = self else {
            return matches!(self, Self::Certificate);
        };
        let inner = error.get_ref().and_then(|error| error.downcast_ref());
        matches!(
            inner,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    pub(super) fn new(
        authority: &Authority,
        desk: Desk,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Result<Self, ListenError> {
        Ok(Self {
            session: Arc::new(tls::session_server(authority)?),
            enroll: Arc::new(tls::enroll_server(authority)?),
            desk,
            limits,
            counters,
            places: Mutex::new(Places::new(limits.places, limits.grace)),
            attempts: Mutex::default(),
            outcomes: Notify::new(),
            enrolling: Semaphore::new(ENROLLING),
            said: Said::default(),
        })
    }

    /// Takes a connection in, if there is a place for it.
    pub(super) fn open(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let source = Source::from(address.ip());
        let seat = lock(&self.places).take(source, clock::boot());
        let place = match seat {
            Seat::Free(place) => place,
            Seat::Instead(place, ended) => {
                if let Some(task) = ended {
                    task.abort();
                }
                self.dropped(address);
                place
            }
            Seat::None => return self.dropped(address),
        };
        let door = Arc::clone(self);
        // Nobody waits for these tasks: each ends within its deadline, and a
        // panic ends the daemon.
        let task = tokio::spawn(async move { door.receive(stream, address, place).await });
        lock(&self.places).hold(place, task.abort_handle());
    }

    fn dropped(&self, address: SocketAddr) {
        self.counters.dropped();
        if let Some(suppressed) = self.said.dropped.pass(clock::boot()) {
            log::warn!(address:% = address, suppressed; "too many unfinished handshakes; those of the address with most of them are dropped");
        }
    }

    /// Accepting failed, mostly for want of descriptors: whoever has been in
    /// the doorway for longest gives his back.
    pub(super) fn out_of_resources(&self, error: &io::Error) {
        if let Some(task) = lock(&self.places).evict() {
            task.abort();
            self.counters.dropped();
        }
        if let Some(suppressed) = self.said.resources.pass(clock::boot()) {
            log::error!(error:% = error, suppressed; "no connection can be accepted for the moment; agents wait (raise the limit of open files, LimitNOFILE)");
        }
    }

    async fn receive(self: Arc<Self>, stream: TcpStream, address: SocketAddr, place: Place) {
        let identified = tokio::time::timeout(self.limits.deadline, self.identify(stream)).await;
        lock(&self.places).leave(place);
        match identified {
            Err(_) => self.counters.dropped(),
            Ok(Err(refusal)) => self.refused(&refusal, address),
            Ok(Ok(Visitor::Agent(peer, hello, fingerprint))) => {
                let origin = Origin::Remote {
                    address,
                    fingerprint,
                };
                let reception = self.desk.reception.clone();
                // A task of its own is much smaller than this one, and a
                // session lasts for weeks. It ends with its connection.
                tokio::spawn(async move {
                    if let Err(error) = reception.serve(peer, origin, hello).await {
                        log::debug!(address:% = address, error:% = error; "the session has ended");
                    }
                });
            }
            Ok(Ok(Visitor::Host(peer, request))) => {
                let answered = self.enroll(peer, request, address);
                if tokio::time::timeout(self.limits.deadline, answered)
                    .await
                    .is_err()
                {
                    self.counters.dropped();
                }
            }
        }
    }

    fn refused(&self, refusal: &Refusal, address: SocketAddr) {
        if refusal.is_certificate() {
            self.counters.certificate();
            if let Some(suppressed) = self.said.certificate.pass(clock::boot()) {
                log::warn!(address:% = address, reason:% = refusal, suppressed; "a certificate was refused (an agent of another manager, an expired one, or a wrong clock)");
            }
            return;
        }
        self.counters.refused();
        if let Some(suppressed) = self.said.refused.pass(clock::boot()) {
            log::info!(address:% = address, reason:% = refusal, suppressed; "a connection was refused");
        }
    }

    async fn identify(&self, stream: TcpStream) -> Result<Visitor, Refusal> {
        // Neither is more than a matter of speed.
        let _ = stream.set_nodelay(true);
        let millis = u32::try_from(USER_TIMEOUT.as_millis()).expect("a minute is short");
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, millis);
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
            .await
            .map_err(Refusal::Tls)?;
        let enrolls = match start.client_hello().alpn() {
            Some(mut offered) => offered.any(|protocol| protocol == tls::ALPN_ENROLL),
            None => return Err(Refusal::Protocol),
        };
        let config = if enrolls { &self.enroll } else { &self.session };
        let stream = start
            .into_stream(Arc::clone(config))
            .await
            .map_err(Refusal::Tls)?;
        let connection = stream.get_ref().1;
        let protocol = connection.alpn_protocol();
        if enrolls && protocol == Some(tls::ALPN_ENROLL) {
            return host(peer(stream)).await;
        }
        if protocol != Some(tls::ALPN_SESSION) {
            return Err(Refusal::Protocol);
        }
        let fingerprint = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(pki::fingerprint)
            .ok_or(Refusal::Certificate)?;
        agent(peer(stream), fingerprint).await
    }

    /// Asks the manager, and passes its answer on.
    async fn enroll(&self, mut peer: Peer, request: EnrollRequest, address: SocketAddr) {
        let source = Source::from(address.ip());
        let answer = self.decide(request, address, source).await;
        if let Some(EnrollAnswer::Denied { .. }) = &answer {
            self.counters.enrollment();
            if let Some(suppressed) = self.said.token.pass(clock::boot()) {
                log::warn!(address:% = address, suppressed; "an enrollment was denied");
            }
        }
        // The host learns from the closed connection that there is no answer.
        if let Some(answer) = answer
            && peer.send(&answer).await.is_ok()
        {
            peer.close().await;
        }
    }

    async fn decide(
        &self,
        request: EnrollRequest,
        address: SocketAddr,
        source: Source,
    ) -> Option<EnrollAnswer> {
        let busy = |text: &str| {
            Some(EnrollAnswer::Denied {
                denial: Denial::Busy,
                text: text.to_owned(),
            })
        };
        if request.protocol != PROTOCOL {
            let text = format!(
                "ripost-manager {} speaks protocol {PROTOCOL}, this host ({}) speaks {}",
                env!("CARGO_PKG_VERSION"),
                request.version,
                request.protocol
            );
            let denial = Denial::Version;
            return Some(EnrollAnswer::Denied { denial, text });
        }
        let Ok(_permit) = self.enrolling.try_acquire() else {
            return busy("too many hosts enroll at this moment; try again");
        };
        let Some(mut attempt) = self.attempt(source).await else {
            return busy("too many wrong tokens came from this address; try again in a minute");
        };
        let (answer, answered) = oneshot::channel();
        let enrollment = Enrollment {
            address,
            request,
            answer,
        };
        // A closed channel, here and below, is a manager that is stopping.
        self.desk.enrollments.send(enrollment).await.ok()?;
        let answer = answered.await.ok()?;
        attempt.is_wrong = matches!(
            answer,
            EnrollAnswer::Denied {
                denial: Denial::Token,
                ..
            }
        );
        Some(answer)
    }

    /// Waits until a source may try a token; `None` if it has sent too many
    /// wrong ones.
    async fn attempt(&self, source: Source) -> Option<Attempt<'_>> {
        loop {
            // Registered before looking, or an outcome in between is missed.
            let mut outcome = pin!(self.outcomes.notified());
            outcome.as_mut().enable();
            match lock(&self.attempts).begin(source, clock::boot()) {
                Try::Now => break,
                Try::Later => {}
                Try::No => return None,
            }
            outcome.await;
        }
        Some(Attempt {
            door: self,
            source,
            is_wrong: false,
        })
    }
}

/// A token that is being tried, until it is known whether it is wrong. One of
/// which that never is, since the manager is too slow, was not.
struct Attempt<'a> {
    door: &'a Door,
    source: Source,
    is_wrong: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        lock(&self.door.attempts).tried(self.source, self.is_wrong, clock::boot());
        self.door.outcomes.notify_waiters();
    }
}

fn peer(stream: TlsStream<TcpStream>) -> Peer {
    let (reader, writer) = tokio::io::split(stream);
    Connection::new(reader, writer)
}

async fn host(mut peer: Peer) -> Result<Visitor, Refusal> {
    let frame = peer.reader.next().await?.ok_or(Refusal::Closed)?;
    let request = frame.message()?;
    Ok(Visitor::Host(peer, request))
}

async fn agent(mut peer: Peer, fingerprint: Fingerprint) -> Result<Visitor, Refusal> {
    let frame = peer.reader.next().await?.ok_or(Refusal::Closed)?;
    let hello: Hello = frame.message()?;
    if let Some(denial) = hello.mismatch(Daemon::Manager) {
        peer.send(&denial).await?;
        peer.close().await;
        return Err(Refusal::Version);
    }
    match hello {
        Hello::Agent(hello) if hello.id != AgentId::MANAGER => {
            Ok(Visitor::Agent(peer, hello, fingerprint))
        }
        Hello::Agent(_) | Hello::Ctl { .. } => {
            let text = "only agents of other hosts connect here".to_owned();
            let denial = Denial::NotPermitted;
            peer.send(&Greeting::Denied { denial, text }).await?;
            peer.close().await;
            Err(Refusal::NotAnAgent)
        }
    }
}
