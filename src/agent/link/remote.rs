//! Sessions with a manager on another host.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::{self, Boot};
use crate::model::{Fingerprint, ServerAddress};
use crate::transport::backoff::Backoff;
use crate::transport::dial::{DialError, Dialled, Dialler, Trouble};
use crate::transport::pki::Credentials;
use crate::transport::random;
use crate::wire::{Denial, ToAgent};

use super::renewal::Renewal;
use super::{Link, LinkEvent, OUTGOING, in_one_line};

/// How often a host without identity looks whether it has one.
const LOOK: Duration = Duration::from_secs(2);

/// How often a connected host looks whether it has another identity.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long the name servers may take for one name.
const LOOKUP: Duration = Duration::from_secs(5);

/// Who was refused is not let in the next second: it waits at least so long
/// between two dials, and at most twice that.
const REFUSED: Duration = Duration::from_secs(15);

/// Dials these servers for ever. Ends when nobody listens to it; may be dropped
/// at any time.
pub(super) async fn dial(link: &Link, servers: &[ServerAddress]) {
    let mut remote = Remote {
        link,
        servers,
        directory: link.home.join("etc/tls"),
        found: HashMap::new(),
        dialler: None,
        told: None,
        renewed: None,
    };
    let mut backoff = Backoff::default();
    while !link.reports.events.is_closed() {
        tokio::time::sleep(backoff.wait(random::number())).await;
        remote.look_up().await;
        let credentials = remote.identity().await;
        match remote.call(&credentials).await {
            Ok(dialled) => {
                let began = clock::boot();
                match remote.attend(dialled, &credentials).await {
                    Over::Lost => backoff.ended(began.until(clock::boot())),
                    Over::Renewed | Over::OtherIdentity => backoff = Backoff::default(),
                }
            }
            Err(error) => {
                remote.tell(&error);
                if is_refusal(&error) {
                    let spread = random::number() % (millis(REFUSED) + 1);
                    tokio::time::sleep(REFUSED + Duration::from_millis(spread)).await;
                }
            }
        }
    }
}

/// How a session ended.
enum Over {
    Lost,
    /// This host has been given another certificate.
    Renewed,
    /// Somebody has enrolled it anew.
    OtherIdentity,
}

/// What a problem is about: one that is told again is not another one because
/// the clock has moved or another address was tried last.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Dial(Discriminant<DialError>),
    Trust(Discriminant<Trouble>),
    Denied(Denial),
    Identity(String),
}

impl Told {
    fn of(error: &DialError) -> Self {
        if let DialError::Tls { trouble, .. } = error {
            Self::Trust(discriminant(trouble))
        } else if let DialError::Denied { denial, .. } = error {
            Self::Denied(*denial)
        } else {
            Self::Dial(discriminant(error))
        }
    }
}

struct Remote<'a> {
    link: &'a Link,
    servers: &'a [ServerAddress],
    directory: PathBuf,
    /// What each server was found at when it was last found.
    found: HashMap<ServerAddress, Vec<SocketAddr>>,
    dialler: Option<(Fingerprint, Dialler)>,
    /// The problem that was logged last.
    told: Option<Told>,
    /// When this host was given a certificate the last time.
    renewed: Option<Boot>,
}

impl Remote<'_> {
    /// Finds out at which addresses the managers are, so that this host does not
    /// block them. A name that cannot be looked up keeps those it had.
    async fn look_up(&mut self) {
        for server in self.servers {
            let asked = tokio::net::lookup_host((server.host.as_str(), server.port));
            // Dialling tells why a name is not found.
            if let Ok(Ok(found)) = tokio::time::timeout(LOOKUP, asked).await {
                let addresses = found.map(canonical).collect();
                self.found.insert(server.clone(), addresses);
            }
        }
        let addresses: BTreeSet<SocketAddr> = self.found.values().flatten().copied().collect();
        let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
        self.link.change(|state| {
            if state.addresses != addresses {
                state.addresses = addresses;
            }
        });
    }

    /// The identity of this host, as soon as it has one.
    async fn identity(&mut self) -> Credentials {
        loop {
            let problem = match Credentials::load(&self.directory) {
                Ok(Some(credentials)) => {
                    let until = credentials.not_after();
                    self.link
                        .change(|state| state.certificate_until = Some(until));
                    return credentials;
                }
                Ok(None) => format!(
                    "this host has not enrolled with its manager: there is no {}\n(ripost-agentd enroll --manager {} --token TOKEN, with a token of `ripostctl enroll token` on the manager)",
                    self.directory.join("agent.pem").display(),
                    self.servers
                        .first()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ),
                Err(error) => with_causes(&error),
            };
            self.link.change(|state| {
                state.certificate_until = None;
                state.problem = Some(in_one_line(&problem));
            });
            let told = Told::Identity(problem.clone());
            if self.told.replace(told.clone()) != Some(told) {
                log::error!(problem = problem.as_str(); "this host cannot connect to its manager; responses in force end in time, and no new one comes");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn call(&mut self, credentials: &Credentials) -> Result<Dialled, DialError> {
        let shown = credentials.fingerprint();
        let dialler = match &mut self.dialler {
            Some((last, dialler)) => {
                if *last != shown {
                    dialler.renew(credentials)?;
                    *last = shown;
                }
                dialler
            }
            none @ None => {
                let dialler = Dialler::new(self.servers.to_vec(), credentials)?;
                &mut none.insert((shown, dialler)).1
            }
        };
        let hello = self.link.caller.hello(credentials.agent_id().clone());
        dialler.dial(&hello).await
    }

    /// Logs a problem that is another one than the last, and keeps it for whoever
    /// asks.
    fn tell(&mut self, error: &DialError) {
        let text = with_causes(error);
        self.link
            .change(|state| state.problem = Some(in_one_line(&text)));
        let told = Told::of(error);
        if self.told.replace(told.clone()) == Some(told) {
            log::debug!(problem = text.as_str(); "the manager is still not reachable");
        } else if is_refusal(error) {
            log::error!(problem = text.as_str(); "the manager does not let this host in; responses in force end in time, and no new one comes; dialling again twice a minute");
        } else {
            log::warn!(problem = text.as_str(); "the manager is not reachable; dialling again until it is");
        }
    }

    /// One session, until it is over or this host has another identity.
    async fn attend(&mut self, dialled: Dialled, credentials: &Credentials) -> Over {
        self.told = None;
        let link = self.link;
        let address = canonical(dialled.address);
        link.change(|state| {
            if !state.addresses.contains(&address) {
                state.addresses.push(address);
            }
        });
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        link.up(dialled.address.to_string(), outgoing, dialled.journal)
            .await;
        let (renewed, answers) = watch::channel(None);
        let take = |message| {
            if let ToAgent::Renewed { certificate, ca } = &message {
                renewed.send_replace(Some((certificate.clone(), ca.clone())));
            }
            LinkEvent::Told(message)
        };
        let renewal = Renewal {
            present: credentials,
            directory: &self.directory,
            reports: &link.reports,
            pace: link.pace,
            last: self.renewed,
        };
        let over = tokio::select! {
            () = link.attend(dialled.connection, queue, take) => Over::Lost,
            () = renewal.done(answers) => Over::Renewed,
            () = replaced(credentials, &self.directory) => Over::OtherIdentity,
        };
        if let Over::Renewed = over {
            self.renewed = Some(clock::boot());
        }
        link.down().await;
        over
    }
}

/// Waits until somebody has enrolled this host anew.
async fn replaced(present: &Credentials, directory: &std::path::Path) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        // Without one the session goes on; the next one cannot begin then, and
        // says why.
        if let Ok(Some(now)) = Credentials::load(directory)
            && now.fingerprint() != present.fingerprint()
        {
            log::info!("this host has another certificate; connecting with it");
            return;
        }
    }
}

/// Whether the manager, or this host, has said no, so that a dial soon after
/// ends no better.
fn is_refusal(error: &DialError) -> bool {
    match error {
        DialError::Denied { denial, .. } => match denial {
            Denial::NotPermitted | Denial::Token | Denial::Version | Denial::Twice => true,
            Denial::Busy => false,
        },
        DialError::Tls { .. } | DialError::Pki(_) => true,
        DialError::NoServer
        | DialError::Lookup { .. }
        | DialError::Unreachable { .. }
        | DialError::Silent { .. }
        | DialError::Closed { .. }
        | DialError::Lost { .. } => false,
    }
}

/// An error with its causes before the hint.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let text = error.to_string();
    let (mut what, hint) = match text.split_once('\n') {
        Some((what, hint)) => (what.to_owned(), Some(hint)),
        None => (text.clone(), None),
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !what.contains(&text) {
            what = format!("{what}: {text}");
        }
        cause = inner.source();
    }
    match hint {
        Some(hint) => format!("{what}\n{hint}"),
        None => what,
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// As its packets bear it on the wire.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
