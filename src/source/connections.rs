//! Connections that bring lines. Each is a task of its own and reads only when
//! there is room for what it reads: the owner's channel gives room in the order
//! in which it was asked for, so that who sends much keeps nobody else waiting
//! for longer than one turn of everybody.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::door::is_allowed;
use super::framing::{Framing, parts};
use super::running::{Stopped, Task};
use super::{Accept, Event, Limits, Receive, Trouble, Units};

/// Bytes that one connection reads in its turn. A line that is longer than this
/// needs one of [`LONG_LINES`] places to go on.
const TURN: usize = 64 << 10;

/// Lines longer than [`TURN`] that all connections of a source hold at a time:
/// together with its turn for each connection, this bounds what is held.
const LONG_LINES: usize = 16;

/// Between two tries when accepting fails, as it does without descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a connection is silent before the system asks its peer whether it
/// is there.
const KEEP_IDLE: Duration = Duration::from_secs(60);

/// How long there is no room before the owner is told: whoever connects can
/// make it so at any time.
const CROWDED_AFTER: Duration = Duration::from_secs(1);

/// Refused connections are told of this often.
const TELL_REFUSED: Duration = Duration::from_secs(1);

pub(super) fn unix(
    socket: OwnedFd,
    receive: Receive,
    events: mpsc::Sender<Event>,
) -> io::Result<Task> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = Listener::Unix(UnixListener::from_std(listener)?);
    Ok(start(listener, Vec::new(), receive, events))
}

pub(super) fn tcp(
    socket: OwnedFd,
    allowed: Vec<IpNetwork>,
    receive: Receive,
    events: mpsc::Sender<Event>,
) -> io::Result<Task> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = Listener::Tcp(TcpListener::from_std(listener)?);
    Ok(start(listener, allowed, receive, events))
}

fn start(
    listener: Listener,
    allowed: Vec<IpNetwork>,
    receive: Receive,
    events: mpsc::Sender<Event>,
) -> Task {
    let reception = Reception {
        listener,
        allowed,
        refused: Refused::default(),
        slots: Arc::new(Semaphore::new(receive.limits.connections)),
        trouble: None,
        shared: Shared {
            events,
            accept_tail: receive.accept_tail,
            units: receive.units,
            limits: receive.limits,
            long_lines: Arc::new(Semaphore::new(LONG_LINES)),
        },
    };
    Task::spawn(async move |stopped| {
        // Nobody listens any more when this ends early.
        let _ = reception.run(stopped).await;
        Ok(())
    })
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    /// Cancel-safe.
    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A peer that has lost its power says nothing; its place is to be
                // free again. Without this the connection is as good as any.
                let _ = keep_alive(&stream);
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
        }
    }
}

fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_IDLE)
}

impl Stream {
    /// Cancel-safe.
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.readable().await,
            Self::Tcp(stream) => stream.readable().await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Tcp(stream) => stream.try_read(buffer),
        }
    }
}

/// What all connections of a source have in common.
#[derive(Clone)]
struct Shared {
    events: mpsc::Sender<Event>,
    accept_tail: Accept,
    units: Units,
    limits: Limits,
    long_lines: Arc<Semaphore>,
}

/// The owner takes no more events.
struct Gone;

impl Shared {
    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }
}

struct Reception {
    listener: Listener,
    allowed: Vec<IpNetwork>,
    refused: Refused,
    slots: Arc<Semaphore>,
    /// What the owner was told last, while it lasts.
    trouble: Option<Trouble>,
    shared: Shared,
}

impl Reception {
    async fn run(mut self, mut stopped: Stopped) -> Result<(), Gone> {
        self.shared.send(Event::Listening).await?;
        let mut connections = JoinSet::new();
        loop {
            let slot = tokio::select! {
                () = stopped.told() => return Ok(()),
                slot = self.slot() => slot?,
            };
            // Each arm can be dropped: accepting, ended tasks, a timer.
            let accepted = tokio::select! {
                biased;
                () = stopped.told() => return Ok(()),
                Some(ended) = connections.join_next() => {
                    ended.expect("a connection neither panics nor is it aborted");
                    continue;
                }
                () = self.refused.is_to_be_told() => {
                    self.tell_refused().await?;
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((_, Some(peer))) if !is_allowed(peer, &self.allowed) => self.refused.add(peer),
                Ok((stream, _)) => {
                    self.tell(None).await?;
                    let connection = read(stream, self.shared.clone(), stopped.clone(), slot);
                    connections.spawn(connection);
                }
                // The peer has gone before it was its turn (accept(2)).
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.tell(Some(Trouble::NotAccepting(error.kind()))).await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Room for one more connection.
    async fn slot(&mut self) -> Result<OwnedSemaphorePermit, Gone> {
        let soon = Arc::clone(&self.slots).acquire_owned();
        if let Ok(slot) = tokio::time::timeout(CROWDED_AFTER, soon).await {
            return slot.map_err(|_| Gone);
        }
        let most = self.shared.limits.connections;
        self.tell(Some(Trouble::Crowded(most))).await?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        self.tell(None).await?;
        slot.map_err(|_| Gone)
    }

    async fn tell(&mut self, trouble: Option<Trouble>) -> Result<(), Gone> {
        if self.trouble == trouble {
            return Ok(());
        }
        self.trouble.clone_from(&trouble);
        let event = trouble.map_or(Event::Recovered, Event::Trouble);
        self.shared.send(event).await
    }

    async fn tell_refused(&mut self) -> Result<(), Gone> {
        match self.refused.take() {
            Some(event) => self.shared.send(event).await,
            None => Ok(()),
        }
    }
}

/// Connections that were refused since the owner was told of some. He is told
/// seldom: whoever may not connect can at least try as often as he likes.
#[derive(Default)]
struct Refused {
    count: u64,
    peer: Option<IpAddr>,
    told: Option<Instant>,
}

impl Refused {
    fn add(&mut self, peer: IpAddr) {
        self.count += 1;
        self.peer = Some(peer);
    }

    /// Cancel-safe.
    async fn is_to_be_told(&self) {
        match (self.peer, self.told) {
            (None, _) => std::future::pending().await,
            (Some(_), None) => {}
            (Some(_), Some(told)) => tokio::time::sleep_until(told + TELL_REFUSED).await,
        }
    }

    fn take(&mut self) -> Option<Event> {
        let peer = self.peer.take()?;
        let count = std::mem::take(&mut self.count);
        self.told = Some(Instant::now());
        Some(Event::Refused { count, peer })
    }
}

async fn read(stream: Stream, shared: Shared, stopped: Stopped, slot: OwnedSemaphorePermit) {
    let mut connection = match Framing::begin(shared.units) {
        Ok(framing) => Connection {
            stream,
            framing,
            shared,
            stopped,
            long: None,
            since: Instant::now(),
        },
        // Without random bytes a line would have no name; the peer may come again.
        Err(_) => return,
    };
    // When nobody listens any more, there is nothing left to do.
    let _ = connection.run().await;
    drop(slot);
}

struct Connection {
    stream: Stream,
    framing: Framing,
    shared: Shared,
    stopped: Stopped,
    /// The right to hold a long line.
    long: Option<OwnedSemaphorePermit>,
    /// Since when the end of the line that is held is waited for.
    since: Instant,
}

/// How a connection ends.
enum End {
    /// What was sent is complete.
    Closed,
    /// It broke, or took too long.
    Lost,
}

impl Connection {
    async fn run(&mut self) -> Result<(), Gone> {
        self.shared.send(self.framing.begun()).await?;
        let end = loop {
            if self.framing.held() >= TURN as u64 && self.long.is_none() {
                self.long = self.place_for_long_line().await;
                self.since = Instant::now();
            }
            let held = self.framing.held() > 0;
            let deadline = self.deadline();
            // Each arm can be dropped: nothing is read in them.
            let readable = tokio::select! {
                biased;
                () = self.stopped.told() => return Ok(()),
                () = tokio::time::sleep_until(deadline), if held => break End::Lost,
                readable = self.stream.readable() => readable,
            };
            if readable.is_err() {
                break End::Lost;
            }
            if let Some(end) = self.turn().await? {
                break end;
            }
        };
        let nothing = Accept::new(|_| false);
        let accept = match end {
            End::Closed => &self.shared.accept_tail,
            End::Lost => &nothing,
        };
        while let Some(event) = self.framing.end(accept) {
            self.shared.send(event).await?;
        }
        Ok(())
    }

    /// Reads once, as soon as there is room for it.
    async fn turn(&mut self) -> Result<Option<End>, Gone> {
        let events = self.shared.events.clone();
        let room = events.reserve().await.map_err(|_| Gone)?;
        let mut buffer = vec![0; TURN];
        let count = match self.stream.try_read(&mut buffer) {
            Ok(0) => return Ok(Some(End::Closed)),
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(None);
            }
            Err(_) => return Ok(Some(End::Lost)),
        };
        let held = self.framing.held();
        let mut room = Some(room);
        for event in parts(&buffer[..count]).flat_map(|part| self.framing.take(part)) {
            match room.take() {
                Some(room) => room.send(event),
                None => self.shared.send(event).await?,
            }
        }
        // Another line is held than before, or the first bytes of one.
        if held == 0 || self.framing.held() != held + count as u64 {
            self.since = Instant::now();
            if self.framing.held() < TURN as u64 {
                self.long = None;
            }
        }
        Ok(None)
    }

    async fn place_for_long_line(&mut self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.shared.long_lines);
        tokio::select! {
            () = self.stopped.told() => None,
            // It is never closed.
            place = places.acquire_owned() => place.ok(),
        }
    }

    fn deadline(&self) -> Instant {
        let limits = self.shared.limits;
        self.since
            + match self.long {
                Some(_) => limits.long_line,
                None => limits.half_line,
            }
    }
}
