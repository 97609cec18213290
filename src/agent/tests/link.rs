//! The link to a manager on another host, over real TLS on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::{Bench, PATIENCE, act, home, manager, white_list};
use crate::agent::Link;
use crate::agent::link::Pace;
use crate::clock;
use crate::model::{ActionState, AgentId, Fingerprint, ServerAddress};
use crate::transport::listener::{Desk, Listener, Running};
use crate::transport::pki::{AgentKey, Authority, Credentials};
use crate::transport::{Admission, Arrival, Origin, Reception, Report};
use crate::wire::control::Status;
use crate::wire::{Denial, Frame, ManagerJournal, ToAgent, ToManager};

const DAY: Duration = Duration::from_secs(86_400);

/// Long enough to connect with, and due for renewal after four seconds.
const SHORT: Duration = Duration::from_secs(6);

/// A renewal that does not wait.
const QUICK: Pace = Pace {
    spread: Duration::from_millis(1),
    answer: PATIENCE,
    again: Duration::from_millis(1),
};

/// A manager that lets nobody in by itself.
struct Hub {
    _folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    _running: Running,
    arrivals: mpsc::Receiver<Arrival>,
    reports: mpsc::Receiver<Report>,
    sessions: u64,
}

impl Hub {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(&folder.path().join("tls")).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (arrivals, on_arrivals) = mpsc::channel(8);
        let (reports, on_reports) = mpsc::channel(64);
        let (enrollments, _) = mpsc::channel(1);
        let desk = Desk {
            reception: Reception { arrivals, reports },
            enrollments,
        };
        let address = listener.address();
        let running = listener.start(&authority, desk).unwrap();
        Self {
            _folder: folder,
            authority,
            address,
            _running: running,
            arrivals: on_arrivals,
            reports: on_reports,
            sessions: 0,
        }
    }

    fn server(&self) -> ServerAddress {
        ServerAddress::parse(&self.address.to_string()).unwrap()
    }

    /// Enrolls a home as agent 007.
    fn enroll(&self, home: &Path, lifetime: Duration) -> Fingerprint {
        let id = AgentId::parse("007").unwrap();
        let key = AgentKey::new().unwrap();
        let issued = self.authority.issue(&id, &key.public(), lifetime).unwrap();
        let ca = self.authority.ca_pem();
        let pin = self.authority.pin();
        let credentials = Credentials::new(id, &key, &issued.pem, ca, pin).unwrap();
        credentials.store(&home.join("etc/tls")).unwrap();
        issued.fingerprint
    }

    async fn arrival(&mut self) -> Arrival {
        let arrival = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
        arrival.unwrap().unwrap()
    }

    /// Lets the next agent in; returns its certificate and what it is sent by.
    async fn admit(&mut self) -> (Fingerprint, mpsc::Sender<Frame>) {
        let arrival = self.arrival().await;
        assert_eq!(arrival.hello.id.to_string(), "007");
        let Origin::Remote { fingerprint, .. } = arrival.origin else {
            panic!("it came over TLS");
        };
        self.sessions += 1;
        let (sender, outgoing) = mpsc::channel(8);
        let welcome = Admission::Welcome {
            session: self.sessions,
            began: clock::boot(),
            journal: ManagerJournal {
                id: manager(),
                heard: 0,
            },
            outgoing,
        };
        arrival.admit.send(welcome).unwrap();
        (fingerprint, sender)
    }

    /// The next thing that the agent says in the present session.
    async fn told(&mut self) -> ToManager {
        loop {
            let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
            if let Report::Told(session, message) = report.unwrap().unwrap()
                && session == self.sessions
            {
                return message;
            }
        }
    }
}

/// An agent with its link.
struct Host {
    bench: Bench,
    servers: watch::Sender<Vec<ServerAddress>>,
}

impl Host {
    fn start(home: &Path, servers: Vec<ServerAddress>) -> Self {
        let bench = Bench::start(home);
        let (servers, named) = watch::channel(servers);
        let (home, caller) = (home.to_owned(), bench.caller.clone());
        let mut link = Link::new(home, caller, named, bench.reports.clone());
        link.pace = QUICK;
        tokio::spawn(link.keep_up());
        Self { bench, servers }
    }

    /// Waits until the status is as wanted.
    async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = clock::boot().plus(PATIENCE);
        loop {
            let status = self.bench.status().await;
            if wanted(&status) {
                return status;
            }
            assert!(clock::boot() < deadline, "{status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn frame(message: ToAgent) -> Frame {
    message.into_frame().unwrap()
}

fn has_problem(status: &Status, text: &str) -> bool {
    status.problems.iter().any(|problem| problem.contains(text))
}

fn is_connected(status: &Status) -> bool {
    status
        .manager
        .as_ref()
        .is_some_and(|manager| manager.address.is_some())
}

#[tokio::test]
async fn an_enrolled_host_connects_and_carries_out_what_it_is_told() {
    let (mut hub, home) = (Hub::new(), home());
    let enrolled = hub.enroll(home.path(), 30 * DAY);
    let host = Host::start(home.path(), vec![hub.server()]);
    let (shown, sender) = hub.admit().await;
    assert_eq!(shown, enrolled);
    for message in [white_list(), act(1, None)] {
        sender.send(frame(message)).await.unwrap();
    }
    assert!(matches!(hub.told().await, ToManager::Capabilities { .. }));
    assert!(matches!(hub.told().await, ToManager::Taken { .. }));
    loop {
        if let ToManager::Update { record, .. } = hub.told().await
            && record.state == ActionState::Done
        {
            break;
        }
    }
    let status = host.until(is_connected).await;
    let upstream = status.manager.unwrap();
    assert_eq!(upstream.address, Some(hub.address.to_string()));
    assert!(upstream.certificate_until.unwrap() > clock::wall().plus(29 * DAY));
    assert!(upstream.since.unwrap() <= clock::wall());
    // It comes back by itself, at once.
    drop(sender);
    hub.admit().await;
    host.bench.stop().await;
}

#[tokio::test]
async fn a_host_that_has_not_enrolled_says_what_to_do_and_connects_once_it_has() {
    let (mut hub, home) = (Hub::new(), home());
    let host = Host::start(home.path(), vec![hub.server()]);
    let hint = format!("ripost-agentd enroll --manager {}", hub.address);
    host.until(|status| has_problem(status, &hint)).await;
    hub.enroll(home.path(), 30 * DAY);
    let _session = hub.admit().await;
    host.until(|status| is_connected(status) && !has_problem(status, "enroll"))
        .await;
    host.bench.stop().await;
}

#[tokio::test]
async fn a_refusal_is_shown_and_the_host_does_not_come_back_the_next_second() {
    let (mut hub, home) = (Hub::new(), home());
    hub.enroll(home.path(), 30 * DAY);
    let host = Host::start(home.path(), vec![hub.server()]);
    let text = "agent 007 has been revoked".to_owned();
    let denied = Admission::Denied {
        denial: Denial::NotPermitted,
        text: text.clone(),
    };
    hub.arrival().await.admit.send(denied).unwrap();
    let status = host.until(|status| has_problem(status, &text)).await;
    assert!(!is_connected(&status));
    let again = tokio::time::timeout(Duration::from_secs(3), hub.arrivals.recv()).await;
    assert!(again.is_err(), "it dialled again at once");
    host.bench.stop().await;
}

#[tokio::test]
async fn other_servers_take_effect_at_once() {
    let (mut first, mut second, home) = (Hub::new(), Hub::new(), home());
    first.enroll(home.path(), 30 * DAY);
    let host = Host::start(home.path(), vec![first.server()]);
    let (_, sender) = first.admit().await;
    host.until(is_connected).await;
    // The same ones do not end the session.
    host.servers.send_replace(vec![first.server()]);
    second.enroll(home.path(), 30 * DAY);
    sender.send(frame(white_list())).await.unwrap();
    let no_list = |status: &Status| !has_problem(status, "no white list");
    assert!(is_connected(&host.until(no_list).await));
    host.servers.send_replace(vec![second.server()]);
    let _session = second.admit().await;
    let wanted = Some(second.address.to_string());
    let is_second = |status: &Status| status.manager.as_ref().unwrap().address == wanted;
    host.until(is_second).await;
    host.bench.stop().await;
}

#[tokio::test]
async fn the_addresses_of_the_manager_are_known_before_it_answers() {
    let home = home();
    // Nobody listens there, and nobody has enrolled.
    let named = ["198.51.100.7:1", "localhost:1"].map(|text| ServerAddress::parse(text).unwrap());
    let host = Host::start(home.path(), named.to_vec());
    let mut state = host.bench.reports.state.subscribe();
    let known = state.wait_for(|state| {
        let has = |text: &str| state.addresses.contains(&text.parse().unwrap());
        has("198.51.100.7:1") && has("127.0.0.1:1")
    });
    tokio::time::timeout(PATIENCE, known)
        .await
        .unwrap()
        .unwrap();
    host.bench.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_due_is_renewed_in_the_session_and_shown_at_once() {
    let (mut hub, home) = (Hub::new(), home());
    let first = hub.enroll(home.path(), SHORT);
    let host = Host::start(home.path(), vec![hub.server()]);
    let (shown, sender) = hub.admit().await;
    assert_eq!(shown, first);
    let capabilities = hub.told().await;
    assert!(matches!(capabilities, ToManager::Capabilities { .. }));
    let ToManager::Renew { key } = hub.told().await else {
        panic!("it asks for a certificate");
    };
    let id = AgentId::parse("007").unwrap();
    let issued = hub.authority.issue(&id, &key, 30 * DAY).unwrap();
    let renewed = ToAgent::Renewed {
        certificate: issued.pem,
        ca: hub.authority.ca_pem().to_owned(),
    };
    sender.send(frame(renewed)).await.unwrap();
    let (shown, _session) = hub.admit().await;
    assert_eq!(shown, issued.fingerprint);
    let stored = Credentials::load(&home.path().join("etc/tls"));
    assert_eq!(stored.unwrap().unwrap().fingerprint(), shown);
    let far = clock::wall().plus(29 * DAY);
    host.until(|status| {
        let upstream = status.manager.as_ref().unwrap();
        upstream.certificate_until.is_some_and(|until| until > far)
    })
    .await;
    host.bench.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_stored_leaves_the_present_one_in_use() {
    let (mut hub, home) = (Hub::new(), home());
    hub.enroll(home.path(), SHORT);
    let host = Host::start(home.path(), vec![hub.server()]);
    let (_, sender) = hub.admit().await;
    // What it is to be replaced by would be written beside it.
    let pem = home.path().join("etc/tls/agent.pem");
    std::fs::remove_file(&pem).unwrap();
    std::fs::create_dir(&pem).unwrap();
    let mut keys = Vec::new();
    let id = AgentId::parse("007").unwrap();
    while keys.len() < 2 {
        if let ToManager::Renew { key } = hub.told().await {
            let issued = hub.authority.issue(&id, &key, 30 * DAY).unwrap();
            let renewed = ToAgent::Renewed {
                certificate: issued.pem,
                ca: hub.authority.ca_pem().to_owned(),
            };
            sender.send(frame(renewed)).await.unwrap();
            keys.push(key);
        }
    }
    assert_ne!(keys[0], keys[1]);
    let status = host
        .until(|status| has_problem(status, "could not be renewed"))
        .await;
    assert!(is_connected(&status));
    assert!(has_problem(&status, "agent.pem"), "{status:?}");
    host.bench.stop().await;
}
