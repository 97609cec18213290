//! Alerts that others send by HTTP: `POST` of one or many to `/` or `/alerts`.
//!
//! [`serve`] starts one thread, with a runtime of its own, for one address: to
//! read what strangers send must not hold up the manager. A sender shows a
//! token, and is answered with a 2xx status only once all that his alerts led to
//! is on disk. Any other status means that nothing was acknowledged: he sends
//! again, and an alert that was handed over all the same has the name it had
//! before (see `name`), so that it is not acted upon twice.
//!
//! # Limits
//! Whoever has not shown the token is read no further than to the end of the
//! headers, and gives up his place to the next one where there is none left.
//! Of those who have, so many may wait at a time, with so many bytes; more are
//! told to come later (429). See [`Limits`].
//!
//! # What is not spoken
//! TLS, compression, HTTP/2. A proxy in front of it does that better.

mod answer;
mod body;
mod counters;
mod deliver;
mod door;
mod name;
mod places;
mod request;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, watch};

use self::door::Door;
use super::door::is_allowed;
use super::{DoorError, Event};
use crate::alert::Shape;
use crate::sys::secret::Secret;

pub use counters::{Counters, Counts};

/// The most that the limit of one body can be set to, in bytes.
pub const MAX_BODY: usize = 64 << 20;

/// What can change while it listens.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shape: Shape,
    /// What every sender has to show.
    pub token: Secret,
    /// From where somebody may come; from anywhere if it is empty.
    pub allowed: Vec<IpNetwork>,
    /// Of one request, in bytes; at most [`MAX_BODY`].
    pub max_body: usize,
}

impl Settings {
    fn allows(&self, peer: IpAddr) -> bool {
        is_allowed(peer, &self.allowed)
    }
}

/// What everybody who comes is held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time, and of those of one address.
    pub places: usize,
    pub places_per_peer: usize,
    /// From when a connection stands, or its last request is answered, until the
    /// next one has come, for those that have not shown the token.
    pub stranger: Duration,
    /// The same for those that have.
    pub idle: Duration,
    /// For the body of one request.
    pub body: Duration,
    /// Until what a request led to is on disk.
    pub store: Duration,
    /// Requests that are worked on at a time.
    pub requests: usize,
    /// Of all their bodies, in bytes.
    pub bodies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places: 256,
            places_per_peer: 128,
            stranger: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            store: Duration::from_secs(10),
            requests: 64,
            bodies: MAX_BODY,
        }
    }
}

/// What is to be served.
#[derive(Debug)]
pub struct Serve {
    /// For the log.
    pub name: String,
    pub listener: TcpListener,
    pub settings: Settings,
    pub limits: Limits,
}

/// Takes an address.
///
/// # Errors
/// See [`DoorError`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, DoorError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| DoorError::at(address, error))
}

/// Listens on a thread of its own.
///
/// `events` bounds what is under way to the owner: when it is full, senders
/// wait, and those that wait for too long are told to come later.
///
/// # Errors
/// The thread cannot be started, or the system gives no random number.
pub fn serve(serve: Serve, events: mpsc::Sender<Event>) -> io::Result<Running> {
    let address = serve.listener.local_addr()?;
    let (settings, _) = watch::channel(serve.settings);
    let (stop, stopped) = watch::channel(false);
    let counters = Arc::new(Counters::default());
    let door = Arc::new(Door::new(door::Parts {
        name: serve.name,
        limits: serve.limits,
        settings: settings.clone(),
        counters: Arc::clone(&counters),
        stopped,
        events,
    })?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = serve.listener;
    let thread = std::thread::Builder::new()
        .name("http source".to_owned())
        .spawn(move || runtime.block_on(door::listen(door, listener)))?;
    Ok(Running {
        address,
        settings,
        counters,
        stop,
        thread: Some(thread),
    })
}

/// A source at work. Dropping it ends it, too.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    settings: watch::Sender<Settings>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Where it listens; tells the port if none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Holds requests that come from now on to other settings. Connections stay.
    pub fn change(&self, settings: Settings) {
        self.settings.send_replace(settings);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Closes the port, tells those who wait that it was in vain, and waits for
    /// the thread.
    ///
    /// # Errors
    /// Why it had ended of itself.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the thread of an HTTP source panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever drops it without `stop` does not ask why it ended.
        drop(self.end());
    }
}
