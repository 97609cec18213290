use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::queue::{self, Entry, Exit, Job};

#[cfg(test)]
use super::simulated::{self, Disk, Moment};
use super::{JournalError, Schema, open};

/// Pause between two attempts at a group that failed.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// A group of so many jobs is followed by another at once. Then the writer waits
/// for company: each group costs a sync and the pages of every index, whatever
/// its size.
const CROWD: usize = 16;

/// The number of the write that stands for everything a journal held when it was
/// opened. It is written, but a predecessor that was killed may not have synced
/// it: that is the first thing the writer does.
pub const FOUND: u64 = 1;

/// Syncs another file, on the thread of the writer.
pub type Beside = Box<dyn Fn() -> io::Result<()> + Send>;

/// The two moments of one write.
#[derive(Clone, Debug)]
pub struct Ticket {
    number: u64,
    written: watch::Receiver<u64>,
    synced: watch::Receiver<u64>,
    #[cfg(test)]
    disk: Option<Disk>,
}

impl Ticket {
    /// Waits until the write survives the death of this process. `false` if the
    /// writer has ended, so that it never will.
    pub async fn written(&mut self) -> bool {
        let number = self.number;
        #[cfg(test)]
        if let Some(disk) = &self.disk {
            return disk.reached(Moment::Written, number).await;
        }
        self.written.wait_for(|done| *done >= number).await.is_ok()
    }

    /// Waits until the write survives a power cut. `false` as above.
    pub async fn synced(&mut self) -> bool {
        let number = self.number;
        #[cfg(test)]
        if let Some(disk) = &self.disk {
            return disk.reached(Moment::Synced, number).await;
        }
        self.synced.wait_for(|done| *done >= number).await.is_ok()
    }
}

/// Whether writes succeed at the moment.
#[derive(Clone, Debug, Default)]
pub struct Health {
    failing: Arc<AtomicBool>,
    error: Arc<Mutex<Option<String>>>,
}

impl Health {
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The last error, while writes fail.
    pub fn error(&self) -> Option<String> {
        self.error
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    pub(super) fn set(&self, error: Option<String>) {
        self.failing.store(error.is_some(), Ordering::Relaxed);
        *self.error.lock().expect("no holder of this lock panics") = error;
    }
}

/// The two moments as the tasks of one runtime hear of them. In a burst a
/// thousand runs wait for one write. Woken by the writer's thread, each would cost
/// it a system call (tokio tells a runtime of every task that another thread
/// wakes); so that wakes one task, which wakes the others.
#[derive(Debug)]
struct Relayed {
    written: watch::Receiver<u64>,
    synced: watch::Receiver<u64>,
}

fn relayed(mut there: watch::Receiver<u64>) -> watch::Receiver<u64> {
    let now = *there.borrow_and_update();
    let (here, on_here) = watch::channel(now);
    // It ends with the writer, or with the runtime.
    tokio::spawn(async move {
        while there.changed().await.is_ok() {
            here.send_replace(*there.borrow_and_update());
        }
    });
    on_here
}

/// The handle of the writer thread. Dropping it writes what is queued, syncs
/// and ends the thread; [`Journal::close`] also waits for that.
#[derive(Debug)]
pub struct Journal<S: Schema> {
    jobs: Entry<S>,
    last: u64,
    written: watch::Receiver<u64>,
    synced: watch::Receiver<u64>,
    /// None before the first ticket.
    relayed: OnceLock<Relayed>,
    /// None if a test has a task write.
    thread: Option<thread::JoinHandle<()>>,
    health: Health,
    path: PathBuf,
}

impl<S: Schema> Journal<S> {
    /// Opens or creates the database at `path` and starts its writer.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_beside(path, Box::new(|| Ok(())))
    }

    /// The same where another file is to be on the disk no later than what is
    /// journalled after it.
    pub fn open_beside(path: &Path, beside: Beside) -> Result<Self, JournalError> {
        #[cfg(test)]
        if let Some(disk) = simulated::at(path) {
            return Self::open_simulated(path, &disk);
        }
        let (connection, log) = open::<S>(path)?;
        let (jobs, queue) = queue::queue::<S>();
        let (written, on_written) = watch::channel(FOUND);
        let (synced, on_synced) = watch::channel(0);
        let health = Health::default();
        let writer = Writer::<S> {
            connection,
            log,
            beside,
            written,
            synced,
            health: health.clone(),
            schema: PhantomData,
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|source| JournalError::File {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            jobs,
            last: FOUND,
            written: on_written,
            synced: on_synced,
            relayed: OnceLock::new(),
            thread: Some(thread),
            health,
            path: path.to_owned(),
        })
    }

    /// The same on a disk that a test plays.
    #[cfg(test)]
    fn open_simulated(path: &Path, disk: &Disk) -> Result<Self, JournalError> {
        let (jobs, queue) = queue::queue::<S>();
        let (written, on_written) = watch::channel(FOUND);
        let (synced, on_synced) = watch::channel(0);
        disk.write_from::<S>(path, queue, written, synced)?;
        Ok(Self {
            jobs,
            last: FOUND,
            written: on_written,
            synced: on_synced,
            relayed: OnceLock::new(),
            thread: None,
            health: disk.health(),
            path: path.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Queues `ops` as one unit: all of them are written or none. Does not wait
    /// for the disk, whatever its state; see [`Journal::has_room`].
    pub async fn write(&mut self, ops: Vec<S::Op>) -> Ticket {
        self.last += 1;
        let job = Job {
            number: self.last,
            ops,
        };
        self.jobs.push(job);
        self.last()
    }

    /// The two moments of the last write. Must be called within a tokio runtime.
    pub fn last(&self) -> Ticket {
        let relayed = self.relayed.get_or_init(|| Relayed {
            written: relayed(self.written.clone()),
            synced: relayed(self.synced.clone()),
        });
        Ticket {
            number: self.last,
            written: relayed.written.clone(),
            synced: relayed.synced.clone(),
            #[cfg(test)]
            disk: self
                .thread
                .is_none()
                .then(|| simulated::at(&self.path))
                .flatten(),
        }
    }

    /// Whether new work is to be taken on: writes succeed, and not too many wait.
    pub fn has_room(&self) -> bool {
        !self.health.is_failing() && self.jobs.has_room()
    }

    /// The number that the next write will have.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    /// The number up to which every write survives the death of this process and
    /// can be read.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }

    /// The number up to which every write is synced, to be waited on.
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.synced.clone()
    }

    /// Writes and syncs what is queued and ends the writer.
    pub fn close(self) {
        drop(self.jobs);
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the journal writer panicked");
        }
    }
}

struct Writer<S: Schema> {
    connection: Connection,
    log: File,
    beside: Beside,
    written: watch::Sender<u64>,
    synced: watch::Sender<u64>,
    health: Health,
    schema: PhantomData<S>,
}

impl<S: Schema> Writer<S> {
    fn run(mut self, mut queue: Exit<S>) {
        self.sync();
        self.synced.send_replace(FOUND);
        loop {
            let Some(group) = queue.group() else {
                if queue.blocking_wait() {
                    continue;
                }
                return;
            };
            if !self.insist(&queue, &group) {
                return;
            }
            let number = group.last().map_or(0, |job| job.number);
            self.written.send_replace(number);
            let jobs = group.len();
            // Others take its place in memory from now on, not only after the sync.
            drop(group);
            self.sync();
            self.synced.send_replace(number);
            // In a burst there will be more in a moment, if not already: whoever
            // waits for room must not wait for company too.
            if jobs >= CROWD && queue.waiting() < CROWD && !queue.is_closed() {
                thread::sleep(S::GATHER);
            }
        }
    }

    fn commit(&mut self, group: &[Job<S::Op>]) -> Result<(), String> {
        let mut apply = || {
            let transaction = self.connection.transaction()?;
            S::apply_all(&transaction, &last_states::<S>(group))?;
            transaction.commit()
        };
        apply().map_err(|error: rusqlite::Error| error.to_string())
    }

    /// Syncs what is beside, and the log. After a failed sync the kernel may call the next one a
    /// success although the pages are lost (fsync(2), Linux), so there is no
    /// second attempt: the daemon ends, and its next start reads what the disk
    /// really holds.
    fn sync(&self) {
        if let Err(error) = (self.beside)().and_then(|()| self.log.sync_data()) {
            log::error!(error:% = error; "the journal cannot be synced; ending, so that the next start reads what is on the disk (look at the disk and its file system)");
            std::process::abort();
        }
    }

    /// Commits a group, again and again until it succeeds. A daemon that is
    /// asked to stop while its disk is full does not hang: it gives up after one
    /// more attempt, and what was not written is treated at the next start as
    /// never decided.
    fn insist(&mut self, queue: &Exit<S>, group: &[Job<S::Op>]) -> bool {
        loop {
            match self.commit(group) {
                Ok(()) => {
                    if self.health.is_failing() {
                        self.health.set(None);
                        log::info!("the journal can be written again");
                    }
                    return true;
                }
                Err(error) => {
                    if !self.health.is_failing() {
                        log::error!(error = error.as_str(); "the journal cannot be written; no new action starts until it can (free disk space or mend the file system)");
                    }
                    self.health.set(Some(error));
                    if queue.is_closed() {
                        return false;
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }
}

/// The operations of a group, without the states of an action that a later one
/// replaces.
fn last_states<S: Schema>(group: &[Job<S::Op>]) -> Vec<&S::Op> {
    let mut later = HashSet::new();
    let mut ops: Vec<_> = group.iter().flat_map(|job| &job.ops).collect();
    ops.reverse();
    ops.retain(|op| S::sets(op).is_none_or(|id| later.insert(id)));
    ops.reverse();
    ops
}
