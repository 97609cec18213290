//! What an agent's executables are run by: processes of this host, or, in a
//! simulation, a test that plays them. The two meet at the seam of
//! `executor`, a run and its outcome.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use crate::executor::{self, By, Outcome, Progress, Run, RunId, Workers};
use crate::model::bundled::Bundled;
use crate::model::{Capabilities, ExeName, Record, bundled};
use crate::sys::exe::Home;
use crate::sys::host::Seen;

use super::{capabilities, drift, hits};

/// What executables are run by.
#[derive(Clone, Debug)]
pub enum Hands {
    /// Processes of this host, and the workers among them.
    Own(Workers),
    #[cfg(test)]
    Played(Arc<dyn Played>),
}

/// A test that plays the executables of a host.
#[cfg(test)]
pub trait Played: std::fmt::Debug + Send + Sync {
    fn capabilities(&self) -> Capabilities;

    /// As [`executor::run`].
    fn run(
        &self,
        run: Run,
        progress: mpsc::Sender<(RunId, Progress)>,
        cancel: watch::Receiver<bool>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;
}

impl Hands {
    /// Those of this host, with no worker yet.
    pub fn own() -> Self {
        Self::Own(Workers::default())
    }

    /// Carries one executable through to its end; see [`executor::run`].
    pub(super) async fn run(
        self,
        run: Run,
        progress: mpsc::Sender<(RunId, Progress)>,
        cancel: watch::Receiver<bool>,
    ) -> Outcome {
        match self {
            Self::Own(workers) if serves(&run) => workers.run(run, progress, cancel).await,
            // On the heap, for the many runs of workers to be small.
            Self::Own(_) => Box::pin(executor::run(run, progress, cancel)).await,
            #[cfg(test)]
            Self::Played(played) => played.run(run, progress, cancel).await,
        }
    }

    /// With what the blocks among them have dropped by now; see
    /// [`hits::look_up`].
    pub(super) async fn counted(&self, records: Vec<Record>) -> Vec<Record> {
        match self {
            Self::Own(_) => tokio::task::spawn_blocking(move || hits::look_up(records))
                .await
                .expect("looking up neither panics nor is it aborted"),
            // Nothing is counted in a simulation.
            #[cfg(test)]
            Self::Played(_) => records,
        }
    }

    /// Whether what a killed predecessor had started may still run.
    pub(super) fn leave_processes(&self) -> bool {
        match self {
            Self::Own(_) => true,
            #[cfg(test)]
            Self::Played(_) => false,
        }
    }

    /// Tells what others take away of what is in force.
    pub(super) fn watch(&self, told: mpsc::Sender<Seen>) -> impl Future<Output = ()> + use<> {
        let hands = self.clone();
        async move {
            match hands {
                Self::Own(_) => drift::watch(told).await,
                // Nobody else is in a simulation.
                #[cfg(test)]
                Self::Played(_) => {}
            }
        }
    }

    /// By what an executable is run, which has this row if it is a bundled one.
    pub(super) fn run_by(&self, exe: &ExeName, row: Option<&Bundled>) -> By {
        match (self, row) {
            (_, None) => By::Script(exe.clone()),
            (Self::Own(_), Some(row)) if row.serves => By::Worker,
            (_, Some(_)) => By::Process,
        }
    }

    /// Tells what this host can do, now and whenever that changes; see
    /// [`capabilities::watch`].
    pub(super) fn look(
        &self,
        home: Home,
        hints: Arc<Notify>,
        told: mpsc::Sender<Box<Capabilities>>,
    ) -> impl Future<Output = ()> + use<> {
        let hands = self.clone();
        async move {
            match hands {
                Self::Own(_) => capabilities::watch(home, hints, told).await,
                #[cfg(test)]
                Self::Played(played) => {
                    // An agent that has ended need not know.
                    let _ = told.send(Box::new(played.capabilities())).await;
                }
            }
        }
    }
}

fn serves(run: &Run) -> bool {
    run.bundled && bundled::find(run.exe.as_str()).is_some_and(|row| row.serves)
}
