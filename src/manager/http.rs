//! Sources that alerts are posted to.

use tokio::sync::mpsc;

use super::Manager;
use super::shape::shape;
use super::sources::{SourceError, failed};
use crate::alert::Shape;
use crate::config::{AlertSource, HttpDoor, Location};
use crate::source::http::{self, Counts, Limits, Serve, Settings};
use crate::source::{Event, Running};
use crate::sys::secret::Secret;

/// A source that is open goes on with these settings.
pub(super) struct Change {
    pub(super) index: usize,
    config: AlertSource,
    settings: Settings,
}

impl Change {
    /// Whether this is what is to become of it.
    pub(super) fn is_to(&self, config: &AlertSource) -> bool {
        self.config == *config
    }
}

/// What to listen with. The token is read each time, so that a reload takes a
/// new one.
fn settings(manager: &Manager, door: &HttpDoor, shape: Shape) -> Result<Settings, SourceError> {
    let path = manager.home.path().join(&door.token_file);
    Ok(Settings {
        shape,
        token: Secret::read(&path)?,
        allowed: door.allowed.clone(),
        max_body: door.max_body,
    })
}

impl Manager {
    pub(super) fn serve_http(
        &self,
        name: &str,
        door: &HttpDoor,
        shape: Shape,
        events: mpsc::Sender<Event>,
    ) -> Result<Running, SourceError> {
        let settings = settings(self, door, shape)?;
        let serve = Serve {
            name: name.to_owned(),
            listener: http::bind(door.address)?,
            settings,
            limits: Limits::default(),
        };
        let running = http::serve(serve, events).map_err(failed(name))?;
        Ok(Running::Http(running))
    }

    /// What becomes of the sources of this kind that stay open, whatever else is
    /// written of them now: nobody has to connect anew.
    pub(super) fn http_changes(&self, wanted: &[AlertSource]) -> Result<Vec<Change>, SourceError> {
        let mut changes = Vec::new();
        for config in wanted {
            let Location::Http(door) = &config.location else {
                continue;
            };
            if let Some(index) = self.sources.named(&config.location.to_string()) {
                let settings = settings(self, door, shape(&config.format))?;
                let config = config.clone();
                changes.push(Change {
                    index,
                    config,
                    settings,
                });
            }
        }
        Ok(changes)
    }

    pub(super) fn change_http(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.sources
                .change(change.index, change.config, change.settings);
        }
    }

    /// What all sources of this kind have counted; `None` if there is none.
    pub(super) fn http_counts(&self) -> Option<Counts> {
        let mut counts = self.sources.running().filter_map(|running| match running {
            Running::Http(running) => Some(running.counters().counts()),
            Running::Thread(_) | Running::Task(_) => None,
        });
        let first = counts.next()?;
        Some(counts.fold(first, Counts::plus))
    }
}
