//! The port that a manager opens for agents on other hosts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::config::AgentsConfig;
use crate::daemon::failure::Failure;
use crate::manager::{Fleet, Senders, Steer};
use crate::transport::listener::{Desk, Listener, Running};
use crate::transport::pki::Authority;

/// How often it is looked whether the manager's own certificate is to be
/// renewed. It lasts for months, but one that was made by a wrong clock keeps
/// all agents out until it is made anew.
const RENEWAL: Duration = Duration::from_secs(60);

/// What `<agents>` asks for, if anything.
#[derive(Debug)]
pub(super) struct Network {
    home: PathBuf,
    senders: Senders,
    door: Option<Door>,
    renewal: Interval,
}

/// A port that is open.
#[derive(Debug)]
struct Door {
    running: Running,
    authority: Arc<Authority>,
    config: AgentsConfig,
}

impl Network {
    /// Makes or reads the CA of this home, and opens the port, if there is to
    /// be one.
    pub(super) fn open(
        config: Option<&AgentsConfig>,
        home: &Path,
        senders: &Senders,
    ) -> Result<Self, Failure> {
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut network = Self {
            home: home.to_owned(),
            senders: senders.clone(),
            door: None,
            renewal,
        };
        network.door = config.map(|config| network.open_door(config)).transpose()?;
        Ok(network)
    }

    fn open_door(&self, config: &AgentsConfig) -> Result<Door, Failure> {
        let authority = Arc::new(Authority::open(&self.home.join("etc/tls"))?);
        let desk = Desk {
            reception: self.senders.reception.clone(),
            enrollments: self.senders.enrollments.clone(),
        };
        let running = Listener::bind(config.listen)?.start(&authority, desk)?;
        log::info!(listen:% = running.address(), pin:% = authority.pin(); "taking agents of other hosts");
        Ok(Door {
            running,
            authority,
            config: config.clone(),
        })
    }

    /// What the manager needs to know of it.
    pub(super) fn fleet(&self) -> Option<Fleet> {
        self.door.as_ref().map(Door::fleet)
    }

    /// Opens what another configuration asks for; the present stays open until
    /// [`Self::replace`]. Fails if the port cannot be had.
    pub(super) fn prepare(&self, config: Option<&AgentsConfig>) -> Result<Next, Failure> {
        let Some(config) = config else {
            return Ok(Next(None));
        };
        match &self.door {
            Some(door) if door.config.listen == config.listen => Ok(Next(Some(Change::Keep {
                config: config.clone(),
                fleet: Fleet::new(config, Arc::clone(&door.authority), door.running.counters()),
            }))),
            Some(door) => {
                let opened = self.open_door(config);
                let opened = opened.map_err(|failure| in_the_way(failure, door, config))?;
                Ok(Next(Some(Change::Open(opened))))
            }
            None => Ok(Next(Some(Change::Open(self.open_door(config)?)))),
        }
    }

    /// Puts what was prepared in the place of the present. Agents that are
    /// connected to another port than before dial again.
    pub(super) async fn replace(&mut self, next: Next) {
        let before = match next.0 {
            None => self.door.take(),
            Some(Change::Open(door)) => self.door.replace(door),
            Some(Change::Keep { config, .. }) => {
                if let Some(door) = &mut self.door {
                    door.config = config;
                }
                None
            }
        };
        self.close(before).await;
    }

    /// Gives up what was prepared. An agent may have found it already.
    pub(super) async fn give_up(&self, next: Next) {
        if let Some(Change::Open(door)) = next.0 {
            self.close(Some(door)).await;
        }
    }

    /// Closes a port. Its sessions end with their thread, which is over before
    /// the manager looks.
    async fn close(&self, door: Option<Door>) {
        if let Some(door) = door {
            door.running.stop();
            // A manager that has ended has no sessions.
            let _ = self.senders.steer.send(Steer::Closed).await;
        }
    }

    /// Keeps the manager's certificate fresh. Returns if the listener has
    /// ended, which it never should; may be dropped while it waits.
    pub(super) async fn ended(&mut self) {
        let Some(door) = &mut self.door else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                () = door.running.ended() => return,
                _ = self.renewal.tick() => match door.authority.renew_manager() {
                    Ok(true) => log::info!("the manager's certificate is renewed"),
                    Ok(false) => {}
                    Err(error) => {
                        log::error!(error:% = error; "the manager's certificate cannot be renewed; agents refuse it once it has expired");
                    }
                },
            }
        }
    }

    pub(super) fn stop(self) {
        if let Some(door) = self.door {
            door.running.stop();
        }
    }
}

impl Door {
    fn fleet(&self) -> Fleet {
        let authority = Arc::clone(&self.authority);
        Fleet::new(&self.config, authority, self.running.counters())
    }
}

/// Says what else may keep a port from being opened: the present one is not
/// closed before, since a reload that fails changes nothing.
fn in_the_way(failure: Failure, door: &Door, config: &AgentsConfig) -> Failure {
    let present = door.running.address();
    if present.port() != config.listen.port() {
        return failure;
    }
    let problem = failure.text.lines().next().unwrap_or_default();
    let text = format!(
        "{problem}\n(this manager listens on {present} itself: for another address of the same port restart it)"
    );
    Failure::new(failure.code, text)
}

/// What takes the place of the present door.
#[derive(Debug)]
pub(super) struct Next(Option<Change>);

#[derive(Debug)]
enum Change {
    Open(Door),
    /// The port stays; the rest of its configuration is another.
    Keep {
        config: AgentsConfig,
        fleet: Fleet,
    },
}

impl Next {
    /// What the manager will need to know of it.
    pub(super) fn fleet(&self) -> Option<Fleet> {
        self.0.as_ref().map(|change| match change {
            Change::Open(door) => door.fleet(),
            Change::Keep { fleet, .. } => fleet.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Network;
    use crate::clock;
    use crate::clock::simulated::Clock;
    use crate::config::AgentsConfig;
    use crate::manager::Inbox;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn another_address_of_the_same_port_needs_a_restart_and_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("etc")).unwrap();
        let (_inbox, senders) = Inbox::new();
        let listen = |text: String| AgentsConfig {
            listen: text.parse().unwrap(),
            ..AgentsConfig::default()
        };
        let config = listen("127.0.0.1:0".to_owned());
        let network = Network::open(Some(&config), home.path(), &senders).unwrap();
        let present = network.door.as_ref().unwrap().running.address();
        let wider = listen(format!("0.0.0.0:{}", present.port()));
        let failure = network.prepare(Some(&wider)).unwrap_err();
        assert!(failure.text.contains("restart it"), "{}", failure.text);
        std::net::TcpStream::connect(present).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_right_is_noticed_within_a_minute() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("etc")).unwrap();
        let (_inbox, senders) = Inbox::new();
        let config = AgentsConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..AgentsConfig::default()
        };
        let wrong = Clock::new(clock::wall().plus(4_000 * DAY), || Duration::ZERO).enter();
        let mut network = Network::open(Some(&config), home.path(), &senders).unwrap();
        let while_wrong = tokio::time::timeout(Duration::from_secs(1), network.ended());
        assert!(while_wrong.await.is_err());
        drop(wrong);
        let after = tokio::time::timeout(Duration::from_secs(61), network.ended());
        assert!(after.await.is_err());
        let authority = network.fleet().unwrap().authority;
        let left = clock::wall().until(authority.manager_not_after());
        assert!(left < 366 * DAY, "{left:?}");
    }
}
