//! Connections: who is let in, how many, and for how long.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::counters::{Counters, Kind};
use super::name::Names;
use super::places::{Place, Places, Seat};
use super::{Limits, Settings};
use crate::clock;
use crate::diag::seldom::Seldom;
use crate::source::Event;
use crate::source::life::draw_generation;

/// Of one request, names and values included.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// What is read of a connection at a time.
const MAX_BUFFER: usize = 64 << 10;

/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How long answers may take to leave when the source ends.
const LEAVING: Duration = Duration::from_secs(1);

/// What a door is made of.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) settings: watch::Sender<Settings>,
    pub(super) counters: Arc<Counters>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) events: mpsc::Sender<Event>,
}

/// What all connections of a source share.
pub(super) struct Door {
    pub(super) parts: Parts,
    pub(super) names: Names,
    /// Requests that are worked on.
    pub(super) requests: Semaphore,
    /// KiB of bodies that are held.
    pub(super) bodies: Semaphore,
    /// Whether the last request that waited to be stored did so in vain.
    pub(super) is_stuck: AtomicBool,
    pub(super) said: Said,
    places: Mutex<Places>,
}

/// One for each kind of line that somebody outside can cause.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) token: Seldom,
    pub(super) busy: Seldom,
    pub(super) no_alert: Seldom,
    pub(super) too_large: Seldom,
    pub(super) not_stored: Seldom,
    address: Seldom,
    resources: Seldom,
}

/// Somebody who is connected.
pub(super) struct Visit {
    pub(super) peer: SocketAddr,
    place: Place,
    is_known: AtomicBool,
    /// When he has to have sent the next request; `None` while one of his is
    /// worked on.
    until: watch::Sender<Option<Instant>>,
}

impl Door {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let limits = parts.limits;
        Ok(Self {
            names: Names::new(draw_generation()?),
            requests: Semaphore::new(limits.requests),
            bodies: Semaphore::new(limits.bodies / 1_024),
            is_stuck: AtomicBool::new(false),
            said: Said::default(),
            places: Mutex::new(Places::new(limits.places, limits.places_per_peer)),
            parts,
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token was shown.
    pub(super) fn know(&self, visit: &Visit) {
        visit.is_known.store(true, Ordering::Relaxed);
        self.places().know(visit.place);
    }

    /// A place for a newcomer, if he gets one.
    fn seat(&self, peer: SocketAddr) -> Option<Place> {
        let name = self.parts.name.as_str();
        let address = peer.ip().to_canonical();
        if !self.parts.settings.borrow().allows(address) {
            self.parts.counters.count(Kind::Address);
            if let Some(suppressed) = self.said.address.pass(clock::boot()) {
                log::warn!(source = name, address:% = address, suppressed; "a connection from an address that is not allowed was closed");
            }
            return None;
        }
        let seat = self.places().take(address);
        match seat {
            Seat::Free(place) => Some(place),
            Seat::Instead(place, ended) => {
                self.crowded(address);
                if let Some(task) = ended {
                    task.abort();
                }
                Some(place)
            }
            Seat::None => {
                self.crowded(address);
                None
            }
        }
    }

    fn crowded(&self, address: IpAddr) {
        self.parts.counters.count(Kind::Busy);
        if let Some(suppressed) = self.said.busy.pass(clock::boot()) {
            log::warn!(source = self.parts.name.as_str(), address:% = address, suppressed; "too many connections or requests at a time; senders are told to come later");
        }
    }

    fn out_of_resources(&self, error: &io::Error) {
        if let Some(suppressed) = self.said.resources.pass(clock::boot()) {
            log::error!(source = self.parts.name.as_str(), error:% = error, suppressed; "no connection can be accepted for the moment (raise the limit of open files, LimitNOFILE)");
        }
    }

    /// How long somebody may be without a request.
    fn patience(&self, visit: &Visit) -> Duration {
        if visit.is_known.load(Ordering::Relaxed) {
            self.parts.limits.idle
        } else {
            self.parts.limits.stranger
        }
    }

    async fn visit(self: Arc<Self>, stream: TcpStream, visit: Arc<Visit>) {
        let _leaving = Leaving(Arc::clone(&self), visit.place);
        // No more than a matter of speed.
        let _ = stream.set_nodelay(true);
        let mut until = visit.until.subscribe();
        let mut stopped = self.parts.stopped.clone();
        let (door, visit) = (self.as_ref(), visit.as_ref());
        let service = service_fn(move |request| async move {
            visit.until.send_replace(None);
            let reply = door.answer(visit, request).await;
            let until = Instant::now() + door.patience(visit);
            visit.until.send_replace(Some(until));
            Ok::<_, Infallible>(reply)
        });
        let connection = http1::Builder::new()
            // A sender that has said all may close his side.
            .half_close(true)
            // `until` holds for whoever is slow with his headers, too.
            .header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // Each arm may be dropped; the connection is not.
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = outstayed(&mut until) => Ok(()),
            () = told_to_stop(&mut stopped) => {
                connection.as_mut().graceful_shutdown();
                timeout(LEAVING, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            log::debug!(address:% = visit.peer, error:% = error; "a connection has ended");
        }
    }
}

/// Waits until the source is to end, which it also is when nobody owns it.
pub(super) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Waits until somebody has not sent a request in time.
async fn outstayed(until: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let deadline = *until.borrow_and_update();
        match deadline {
            Some(deadline) => {
                if timeout_at(deadline, until.changed()).await.is_err() {
                    return;
                }
            }
            // The sender stands beside the connection and lives as long.
            None => drop(until.changed().await),
        }
    }
}

/// Gives a place back, also when the connection is ended from outside.
struct Leaving(Arc<Door>, Place);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.places().leave(self.1);
    }
}

/// Listens until it is told to stop.
pub(super) async fn listen(door: Arc<Door>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let generation = door.names.generation();
    let mut stopped = door.parts.stopped.clone();
    for event in [Event::Begun { generation }, Event::Listening] {
        // An owner that stops it takes no more events.
        let told = tokio::select! {
            () = told_to_stop(&mut stopped) => false,
            told = door.parts.events.send(event) => told.is_ok(),
        };
        if !told {
            return Ok(());
        }
    }
    let mut visits = JoinSet::new();
    loop {
        // Each arm may be dropped.
        let accepted = tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => break,
            () = door.parts.events.closed() => break,
            Some(_) = visits.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(place) = door.seat(peer) {
                    let (until, _) =
                        watch::channel(Some(Instant::now() + door.parts.limits.stranger));
                    let visit = Arc::new(Visit {
                        peer,
                        place,
                        is_known: AtomicBool::new(false),
                        until,
                    });
                    let task = visits.spawn(Arc::clone(&door).visit(stream, visit));
                    door.places().hold(place, task);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                door.out_of_resources(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    // Whoever takes longer than that to read his answer does without.
    let _ = timeout(LEAVING, async {
        while visits.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}
