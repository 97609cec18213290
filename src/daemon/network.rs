//! The port that a manager opens for agents on other hosts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::config::AgentsConfig;
use crate::daemon::failure::Failure;
use crate::manager::{Fleet, Senders};
use crate::transport::listener::{Desk, Listener, Running};
use crate::transport::pki::Authority;

/// How often it is looked whether the manager's own certificate is to be
/// renewed; it lasts for months.
const RENEWAL: Duration = Duration::from_secs(86_400);

/// The listener of a manager that takes agents.
#[derive(Debug)]
pub(super) struct Network {
    running: Running,
    authority: Arc<Authority>,
    config: AgentsConfig,
    renewal: Interval,
}

impl Network {
    /// Makes or reads the CA of this home, and opens the port.
    pub(super) fn open(
        config: &AgentsConfig,
        home: &Path,
        senders: &Senders,
    ) -> Result<Self, Failure> {
        let authority = Arc::new(Authority::open(&home.join("etc/tls"))?);
        let desk = Desk {
            reception: senders.reception.clone(),
            enrollments: senders.enrollments.clone(),
        };
        let running = Listener::bind(config.listen)?.start(&authority, desk)?;
        log::info!(listen:% = running.address(), pin:% = authority.pin(); "taking agents of other hosts");
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            running,
            authority,
            config: config.clone(),
            renewal,
        })
    }

    /// What the manager needs to know of it.
    pub(super) fn fleet(&self) -> Fleet {
        let authority = Arc::clone(&self.authority);
        Fleet::new(&self.config, authority, self.running.counters())
    }

    pub(super) fn config(&self) -> &AgentsConfig {
        &self.config
    }

    /// Keeps the manager's certificate fresh. Returns if the listener has
    /// ended, which it never should; may be dropped while it waits.
    pub(super) async fn ended(&mut self) {
        loop {
            tokio::select! {
                () = self.running.ended() => return,
                _ = self.renewal.tick() => match self.authority.renew_manager() {
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
        self.running.stop();
    }
}
