//! What a running daemon hears from people beside its requests: signals, and a
//! configuration that changes under it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::Checked;
use crate::daemon::options::Options;
use crate::daemon::signals::{Signal, Signals};
use crate::wire::control::Answer;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What the daemon is to do.
pub(super) enum Order<C> {
    Stop,
    /// Apply this configuration, which passes, and say how that went.
    Apply(C, Reload),
}

/// A reload under way.
pub(super) struct Reload {
    /// Warnings, and what the file holds.
    text: String,
    asker: Option<oneshot::Sender<Answer>>,
}

impl Reload {
    /// Tells whoever asked, and the operator log.
    pub(super) fn done(self, outcome: Result<(), String>) {
        let (applied, text) = match outcome {
            Ok(()) => (true, self.text),
            Err(why) => (false, why),
        };
        if applied {
            log::info!(holds = text.as_str(); "applied the configuration on disk");
        } else {
            log::error!(problems = text.as_str(); "the configuration on disk cannot be applied; the one in use stays");
        }
        if let Some(asker) = self.asker {
            // Whoever asked may have gone.
            let _ = asker.send(Answer::Reloaded { applied, text });
        }
    }
}

/// Listens for orders.
pub(super) struct Orders<'a, C> {
    options: &'a Options,
    load: fn(&Options) -> Checked<C>,
    signals: Signals,
    watch: Watch,
    requests: mpsc::Receiver<oneshot::Sender<Answer>>,
}

impl<'a, C> Orders<'a, C> {
    /// Also returns where those who ask for a reload are put. Must be called
    /// within a tokio runtime.
    pub(super) fn listen(
        options: &'a Options,
        load: fn(&Options) -> Checked<C>,
    ) -> io::Result<(Self, mpsc::Sender<oneshot::Sender<Answer>>)> {
        let (sender, requests) = mpsc::channel(1);
        let orders = Self {
            options,
            load,
            signals: Signals::new()?,
            watch: Watch::new(&options.config),
            requests,
        };
        Ok((orders, sender))
    }

    /// The next order. A configuration that does not pass changes nothing: it is
    /// reported and waited on. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Order<C> {
        loop {
            let asker = tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Stop => return Order::Stop,
                    Signal::Reload => None,
                },
                Some(asker) = self.requests.recv() => Some(asker),
                () = self.watch.changed() => {
                    self.report();
                    continue;
                }
            };
            let checked = (self.load)(self.options);
            let problems = checked.problems();
            let reload = Reload {
                text: format!("{problems}{}", checked.summary),
                asker,
            };
            match checked.value {
                Some(config) => return Order::Apply(config, reload),
                None => reload.done(Err(problems)),
            }
        }
    }

    /// Says that the file is another one now, and whether it passes.
    fn report(&self) {
        let checked = (self.load)(self.options);
        if checked.value.is_some() {
            log::info!(holds = checked.summary.as_str(); "the configuration has changed and passes; ripostctl reload (or SIGHUP) applies it");
        } else {
            log::warn!(problems = checked.problems().as_str(); "the configuration has changed and has errors; the one in use stays");
        }
    }
}

type Stamp = (u64, u64, u64, i64, i64);

/// Notices that a file is another than before.
struct Watch {
    path: PathBuf,
    known: Option<Stamp>,
}

impl Watch {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: stamp(path),
        }
    }

    /// Waits until the file has changed. May be dropped while it waits.
    async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamp(&self.path);
            if now != self.known {
                self.known = now;
                return;
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    // A file that is away for the moment counts as another one.
    let meta = std::fs::metadata(path).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    ))
}
