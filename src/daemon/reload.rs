//! What a running daemon hears from people beside its requests: signals, and a
//! configuration or lists that change under it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::{self, AgentConfig, Checked, List, ManagerConfig, Protected};
use crate::daemon::options::Options;
use crate::daemon::signals::{Signal, Signals};
use crate::wire::control::Answer;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How long a change must last before it is believed: who writes a file in place
/// empties it first.
const SETTLE: Duration = Duration::from_millis(250);

/// What a daemon is configured by, as far as changes of files go.
pub(super) trait Configured: Clone {
    fn white_list(&self) -> &Protected;

    fn set_white_list(&mut self, white_list: Protected);

    /// Whether a changed configuration is applied at once.
    fn reloads_itself(&self) -> bool;
}

impl Configured for ManagerConfig {
    fn white_list(&self) -> &Protected {
        &self.white_list
    }

    fn set_white_list(&mut self, white_list: Protected) {
        self.white_list = white_list;
    }

    fn reloads_itself(&self) -> bool {
        self.auto_reload
    }
}

impl Configured for AgentConfig {
    fn white_list(&self) -> &Protected {
        &self.white_list
    }

    fn set_white_list(&mut self, white_list: Protected) {
        self.white_list = white_list;
    }

    fn reloads_itself(&self) -> bool {
        self.auto_reload
    }
}

/// What the daemon is to do.
pub(super) enum Order<C> {
    Stop,
    /// Apply this configuration, which passes, and say how that went.
    Apply(Box<C>, Reload),
}

/// A reload under way.
pub(super) struct Reload {
    what: What,
    /// Warnings, and what the files hold.
    text: String,
    asker: Option<oneshot::Sender<Answer>>,
}

/// What has changed on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Configuration,
    Lists,
}

impl Reload {
    /// Tells whoever asked, and the operator log.
    fn done(self, outcome: Result<(), String>) {
        let (applied, text) = match outcome {
            Ok(()) => (true, self.text),
            Err(why) => (false, why),
        };
        match (self.what, applied) {
            (What::Configuration, true) => {
                log::info!(holds = text.as_str(); "applied the configuration on disk");
            }
            (What::Configuration, false) => {
                log::error!(problems = text.as_str(); "the configuration on disk cannot be applied; the one in use stays");
            }
            (What::Lists, true) => {
                log::info!(holds = text.as_str(); "applied the lists on disk");
            }
            (What::Lists, false) => {
                log::error!(problems = text.as_str(); "the lists on disk cannot be applied; those in use stay");
            }
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
    in_use: C,
}

impl<'a, C: Configured> Orders<'a, C> {
    /// `in_use` is what the daemon starts with. Also returns where those who ask
    /// for a reload are put. Must be called within a tokio runtime.
    pub(super) fn listen(
        options: &'a Options,
        load: fn(&Options) -> Checked<C>,
        in_use: C,
    ) -> io::Result<(Self, mpsc::Sender<oneshot::Sender<Answer>>)> {
        let (sender, requests) = mpsc::channel(1);
        let orders = Self {
            options,
            load,
            signals: Signals::new()?,
            watch: Watch::new(options, in_use.white_list()),
            requests,
            in_use,
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
                what = self.watch.changed() => match what {
                    What::Lists => match self.relist() {
                        Some(order) => return order,
                        None => continue,
                    },
                    What::Configuration if self.in_use.reloads_itself() => None,
                    What::Configuration => {
                        self.report();
                        continue;
                    }
                },
            };
            self.watch.seen();
            let checked = (self.load)(self.options);
            if let Some(order) = order(checked, What::Configuration, asker) {
                return order;
            }
        }
    }

    /// Ends a reload. What was applied is what later changes of lists are made to.
    pub(super) fn ended(&mut self, applied: C, reload: Reload, outcome: Result<(), String>) {
        if outcome.is_ok() {
            self.watch.set_lists(applied.white_list());
            self.in_use = applied;
        }
        reload.done(outcome);
    }

    /// The configuration in use with the lists as they are now, if those differ.
    fn relist(&self) -> Option<Order<C>> {
        let checked = config::relist(self.in_use.white_list(), &self.options.home);
        if checked.value.as_ref() == Some(self.in_use.white_list()) {
            return None;
        }
        let relisted = checked.map(|white_list| {
            let mut config = self.in_use.clone();
            config.set_white_list(white_list);
            config
        });
        order(relisted, What::Lists, None)
    }

    /// Says that the files are other ones now, and whether they pass.
    fn report(&self) {
        let checked = (self.load)(self.options);
        if checked.value.is_some() {
            log::info!(holds = checked.summary.as_str(); "the configuration has changed and passes; ripostctl reload (or SIGHUP) applies it");
        } else {
            log::warn!(problems = checked.problems().as_str(); "the configuration has changed and has errors; the one in use stays");
        }
    }
}

/// What passes is to be applied; anything else is reported.
fn order<C>(
    checked: Checked<C>,
    what: What,
    asker: Option<oneshot::Sender<Answer>>,
) -> Option<Order<C>> {
    let problems = checked.problems();
    let reload = Reload {
        what,
        text: format!("{problems}{}", checked.summary),
        asker,
    };
    match checked.value {
        Some(config) => Some(Order::Apply(Box::new(config), reload)),
        None => {
            reload.done(Err(problems));
            None
        }
    }
}

type Stamp = (u64, u64, u64, i64, i64);

/// The state of some files, each with its path.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// Notices that files are others than before.
struct Watch {
    config: PathBuf,
    home: PathBuf,
    lists: Vec<PathBuf>,
    known: Stamps,
    known_lists: Stamps,
}

impl Watch {
    fn new(options: &Options, white_list: &Protected) -> Self {
        let mut watch = Self {
            config: options.config.clone(),
            home: options.home.clone(),
            lists: Vec::new(),
            known: Vec::new(),
            known_lists: Vec::new(),
        };
        watch.set_lists(white_list);
        watch.seen();
        watch
    }

    /// From here on these lists count.
    fn set_lists(&mut self, white_list: &Protected) {
        let path = |list: &List| self.home.join(&list.path);
        let lists: Vec<PathBuf> = white_list.lists.iter().map(path).collect();
        if lists != self.lists {
            self.lists = lists;
            // They may have changed since they were read: the next look reads
            // them again.
            self.known_lists = Vec::new();
        }
    }

    /// The configuration is about to be read as it is now.
    fn seen(&mut self) {
        self.known = self.configuration();
    }

    fn configuration(&self) -> Stamps {
        stamps(&config::of_configuration(&self.config, &self.home))
    }

    /// Waits until something has changed, and lasts. May be dropped while it
    /// waits.
    async fn changed(&mut self) -> What {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.configuration() == self.known && stamps(&self.lists) == self.known_lists {
                continue;
            }
            let (before, lists_before) = (self.configuration(), stamps(&self.lists));
            tokio::time::sleep(SETTLE).await;
            let (now, lists_now) = (self.configuration(), stamps(&self.lists));
            if lists_now != self.known_lists && lists_now == lists_before {
                self.known_lists = lists_now;
                return What::Lists;
            }
            if now != self.known && now == before {
                self.known = now;
                return What::Configuration;
            }
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Stamps {
    let paths = paths.iter();
    paths.map(|path| (path.clone(), stamp(path))).collect()
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
