//! Managers and agents over real TLS on loopback. The manager's task is played
//! by the tests; everything below it is the real thing.

mod door;
mod enrolling;
mod files;
mod flood;
mod sessions;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::dial::{DialError, Dialled, Dialler, Trouble};
use super::listener::{Counts, Desk, Enrollment, Limits, Listener, Running};
use super::pki::{AgentKey, Authority, Credentials};
use super::session::{Admission, Arrival, Origin, Reception, Report};
use crate::clock::simulated::Clock;
use crate::clock::{self, Boot, Wall};
use crate::model::{AgentId, Instance, JournalId, ServerAddress};
use crate::wire::{AgentHello, Frame, ManagerJournal, PROTOCOL};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must come soon, or the test fails rather than hang.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future);
    waited.await.expect("it does not come")
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn journal() -> ManagerJournal {
    ManagerJournal {
        id: JournalId::from_bytes([7; 16]),
        heard: 7,
    }
}

/// Whatever is made meanwhile is made by a clock that shows `wall`.
fn with_clock<T>(wall: Wall, make: impl FnOnce() -> T) -> T {
    let _there = Clock::new(wall, || Duration::ZERO).enter();
    make()
}

/// A CA in a directory of its own.
struct Home {
    directory: tempfile::TempDir,
    authority: Authority,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(&directory.path().join("tls")).unwrap();
        Self {
            directory,
            authority,
        }
    }

    /// The same CA after a restart.
    fn restarted(self) -> Self {
        let authority = Authority::open(&self.directory.path().join("tls")).unwrap();
        Self { authority, ..self }
    }

    /// Credentials of agent 007 that were given at `now` for `lifetime`.
    fn credentials_at(&self, now: Wall, lifetime: Duration) -> Credentials {
        let key = AgentKey::new().unwrap();
        let agent = AgentId::parse("007").unwrap();
        let issued = self
            .authority
            .issue_at(&agent, &key.public(), lifetime, now)
            .unwrap();
        let credentials = Credentials::new(
            agent,
            &key,
            &issued.pem,
            self.authority.ca_pem(),
            self.authority.pin(),
        )
        .unwrap();
        assert_eq!(credentials.fingerprint(), issued.fingerprint);
        credentials
    }

    fn credentials(&self) -> Credentials {
        self.credentials_at(clock::wall(), 30 * DAY)
    }
}

/// A manager that listens.
struct Manager {
    home: Home,
    running: Running,
    arrivals: mpsc::Receiver<Arrival>,
    reports: mpsc::Receiver<Report>,
    enrollments: mpsc::Receiver<Enrollment>,
}

const LIMITS: Limits = Limits {
    places: 512,
    grace: Duration::from_secs(1),
    deadline: Duration::from_secs(10),
};

impl Manager {
    fn start() -> Self {
        Self::with_limits(LIMITS)
    }

    fn with_limits(limits: Limits) -> Self {
        Self::of(Home::new(), limits)
    }

    fn of(home: Home, limits: Limits) -> Self {
        let (to_arrivals, arrivals) = mpsc::channel(16);
        let (to_reports, reports) = mpsc::channel(16);
        let (to_enrollments, enrollments) = mpsc::channel(16);
        let desk = Desk {
            reception: Reception {
                arrivals: to_arrivals,
                reports: to_reports,
            },
            enrollments: to_enrollments,
        };
        let running = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .unwrap()
            .start_with(&home.authority, desk, limits)
            .unwrap();
        Self {
            home,
            running,
            arrivals,
            reports,
            enrollments,
        }
    }

    fn address(&self) -> SocketAddr {
        self.running.address()
    }

    fn server(&self) -> ServerAddress {
        ServerAddress::parse(&self.address().to_string()).unwrap()
    }

    fn counts(&self) -> Counts {
        self.running.counters().counts()
    }

    /// Waits until the counts are as wanted.
    async fn counted(&self, wanted: impl Fn(Counts) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{:?}", self.counts());
    }

    /// Lets the next agent in; keep what is returned, or the session ends.
    async fn welcome(&mut self, session: u64) -> (AgentHello, Origin, mpsc::Sender<Frame>) {
        let arrival = soon(self.arrivals.recv()).await.unwrap();
        let (outgoing, receiver) = mpsc::channel(4);
        let welcome = Admission::Welcome {
            session,
            // As if it had begun with this machine.
            began: Boot::from_millis(0),
            journal: journal(),
            outgoing: receiver,
        };
        arrival.admit.send(welcome).unwrap();
        (arrival.hello, arrival.origin, outgoing)
    }

    /// Nobody has come in so far.
    fn assert_empty(&mut self) {
        assert!(self.arrivals.try_recv().is_err());
        assert!(self.enrollments.try_recv().is_err());
    }
}

fn hello() -> AgentHello {
    AgentHello {
        protocol: PROTOCOL,
        id: AgentId::parse("007").unwrap(),
        version: "0.1.0".to_owned(),
        boot_id: "b".to_owned(),
        journal: JournalId::from_bytes([1; 16]),
        instance: Instance::from_bytes([2; 8]),
        host: "web-7".to_owned(),
    }
}

async fn dial(server: ServerAddress, credentials: &Credentials) -> Result<Dialled, DialError> {
    let mut dialler = Dialler::new(vec![server], credentials).unwrap();
    soon(dialler.dial(&hello())).await
}

/// Dials, is let in, and hands back both ends.
async fn let_in(
    manager: &mut Manager,
    credentials: &Credentials,
) -> (Dialled, mpsc::Sender<Frame>) {
    let server = manager.server();
    let (dialled, (_, _, outgoing)) = tokio::join!(dial(server, credentials), manager.welcome(1));
    (dialled.unwrap(), outgoing)
}

fn trouble(error: DialError) -> Trouble {
    match error {
        DialError::Tls { trouble, .. } => trouble,
        other => panic!("{other:?}"),
    }
}
