//! Disks that a test plays. A journal on one is written by a task of the test's
//! runtime instead of a thread, in simulated time, so that the same run can be
//! had again; and a power cut takes from it what was not synced.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::queue::{Exit, Job};
use super::writer::{FOUND, Health, RETRY};
use super::{JournalError, Schema, bring_up};

thread_local! {
    static DISKS: RefCell<HashMap<PathBuf, Disk>> = RefCell::default();
}

/// One journal's disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// What somebody waits for; see [`super::Ticket`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moment {
    Written,
    Synced,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// What the journal is named, in hexadecimal digits.
    id: String,
    pace: fn(&mut u64) -> Duration,
    random: u64,
    /// Nothing is synced before this moment, and nothing written before that.
    stalled: Option<[tokio::time::Instant; 2]>,
    /// Before this moment each attempt to write fails.
    full: Option<tokio::time::Instant>,
    health: Health,
    /// The database before what is in `written`.
    found: Vec<u8>,
    /// What was written since then, in the present life and before.
    written: Vec<Written>,
    /// So many of these are on the disk.
    on_disk: usize,
    /// The numbers that the present life has come to.
    reached: [u64; 2],
    /// They are told in this order. A `watch` channel wakes in any order.
    waiters: Vec<(Moment, u64, oneshot::Sender<()>)>,
    writer: Option<JoinHandle<()>>,
}

/// Applies one write again.
type Again = Box<dyn Fn(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

struct Written(Again);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Written")
    }
}

/// The disk at this path, if it is a played one.
pub(super) fn at(path: &Path) -> Option<Disk> {
    DISKS.with_borrow(|disks| disks.get(path).cloned())
}

/// There are no played disks on this thread any more.
pub(crate) fn forget() {
    DISKS.take();
}

impl Disk {
    /// From now on a journal that this thread opens at `path` is on a played
    /// disk, which takes as long as `pace` draws for each write and each sync.
    pub(crate) fn put(path: PathBuf, seed: u64, pace: fn(&mut u64) -> Duration) -> Self {
        let disk = Self(Arc::new(Mutex::new(State {
            path: path.clone(),
            id: format!("{seed:032x}"),
            pace,
            random: seed,
            stalled: None,
            full: None,
            health: Health::default(),
            found: Vec::new(),
            written: Vec::new(),
            on_disk: 0,
            reached: [0; 2],
            waiters: Vec::new(),
            writer: None,
        })));
        DISKS.with_borrow_mut(|disks| disks.insert(path, disk.clone()));
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Nothing is synced for so long, nor, unless it `writes`, written.
    pub(crate) fn stall(&self, span: Duration, writes: bool) {
        let now = tokio::time::Instant::now();
        let written = if writes { now } else { now + span };
        self.state().stalled = Some([now + span, written]);
    }

    /// There is no room on it for so long.
    pub(crate) fn fill(&self, span: Duration) {
        self.state().full = Some(tokio::time::Instant::now() + span);
    }

    /// Whether the journal that was opened last is written.
    pub(super) fn health(&self) -> Health {
        self.state().health.clone()
    }

    /// Waits until there is room, as the writer's thread would.
    async fn has_room(&self) {
        let (health, full) = {
            let state = self.state();
            (state.health.clone(), state.full)
        };
        while full.is_some_and(|until| until > tokio::time::Instant::now()) {
            health.set(Some("there is no room on the played disk".to_owned()));
            tokio::time::sleep(RETRY).await;
        }
        health.set(None);
    }

    /// The process is gone; what was written stays.
    pub(crate) async fn crash(&self) {
        let writer = self.state().writer.take();
        if let Some(writer) = writer {
            writer.abort();
            // Either it had ended or it has now.
            let _ = writer.await;
        }
    }

    /// Waits until a journal that was closed has ended its writer.
    pub(crate) async fn closed(&self) {
        let writer = self.state().writer.take();
        if let Some(writer) = writer {
            writer.await.unwrap();
        }
    }

    /// The power is gone, after [`Disk::crash`]: of what no life has synced at
    /// most the first `more` writes stay, as many as the disk had got to.
    pub(crate) fn cut_power(&self, more: u64) {
        let mut state = self.state();
        let stays = state.on_disk + usize::try_from(more).unwrap();
        crate::sys::fs::replace(&state.path, &state.found, 0o600).unwrap();
        let mut connection = open_file(&state.path);
        let transaction = connection.transaction().unwrap();
        for write in state.written.iter().take(stays) {
            write.0(&transaction).unwrap();
        }
        transaction.commit().unwrap();
        drop(connection);
        state.rest();
    }

    /// Opens the database and writes to it what comes in.
    pub(super) fn write_from<S: Schema>(
        &self,
        path: &Path,
        queue: Exit<S>,
        written: watch::Sender<u64>,
        synced: watch::Sender<u64>,
    ) -> Result<(), JournalError> {
        let failed = |source| JournalError::Open {
            path: path.to_owned(),
            source,
        };
        let mut connection = open_file(path);
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        let version: i32 = version.map_err(failed)?;
        bring_up::<S>(&mut connection, version).map_err(failed)?;
        if version == 0 {
            // The roster has no such table, and no name.
            let id = self.state().id.clone();
            let name = "UPDATE meta SET value = replace(value, trim(value, '\"'), ?1) WHERE name = 'journal'";
            let _ = connection.execute(name, [id]);
        }
        {
            let mut state = self.state();
            if state.on_disk == state.written.len() {
                state.rest();
            }
            state.waiters.clear();
            state.health = Health::default();
            state.reached = [FOUND, 0];
        }
        let writer = Writer::<S> {
            disk: self.clone(),
            connection,
            queue,
            written,
            synced,
        };
        self.state().writer = Some(tokio::spawn(writer.run()));
        Ok(())
    }

    /// Waits until a write is written, or synced; `false` if it never will be.
    pub(super) async fn reached(&self, moment: Moment, number: u64) -> bool {
        let told = {
            let mut state = self.state();
            if state.reached[moment as usize] >= number {
                return true;
            }
            let (tell, told) = oneshot::channel();
            state.waiters.push((moment, number, tell));
            told
        };
        told.await.is_ok()
    }

    fn tell(&self, moment: Moment, number: u64) {
        let mut state = self.state();
        state.reached[moment as usize] = number;
        if moment == Moment::Synced {
            state.on_disk = state.written.len();
        }
        let due = |waiter: &mut (Moment, u64, _)| waiter.0 == moment && waiter.1 <= number;
        let told: Vec<_> = state.waiters.extract_if(.., due).collect();
        for (_, _, tell) in told {
            // Who was dropped meanwhile need not know.
            let _ = tell.send(());
        }
    }

    async fn work(&self, moment: Moment) {
        let (span, stalled) = {
            let mut state = self.state();
            let mut random = state.random;
            let span = (state.pace)(&mut random);
            state.random = random;
            (span, state.stalled)
        };
        if let Some([synced, written]) = stalled {
            let until = match moment {
                Moment::Written => written,
                Moment::Synced => synced,
            };
            tokio::time::sleep_until(until).await;
        }
        tokio::time::sleep(span).await;
    }
}

impl State {
    /// All of the database is on the disk.
    fn rest(&mut self) {
        self.found = std::fs::read(&self.path).unwrap();
        self.written.clear();
        self.on_disk = 0;
    }
}

/// Neither log nor sync: crashes are those of the test, not of this process.
fn open_file(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .pragma_update(None, "journal_mode", "MEMORY")
        .unwrap();
    connection
        .pragma_update(None, "synchronous", "OFF")
        .unwrap();
    connection
}

/// What the writer's thread does elsewhere.
struct Writer<S: Schema> {
    disk: Disk,
    connection: Connection,
    queue: Exit<S>,
    written: watch::Sender<u64>,
    synced: watch::Sender<u64>,
}

impl<S: Schema> Writer<S> {
    async fn run(mut self) {
        self.sync(FOUND).await;
        loop {
            let Some(group) = self.queue.group() else {
                if self.queue.wait().await {
                    continue;
                }
                return;
            };
            self.disk.work(Moment::Written).await;
            self.disk.has_room().await;
            let number = group.last().map_or(0, |job| job.number);
            self.commit(group);
            self.written.send_replace(number);
            self.disk.tell(Moment::Written, number);
            self.sync(number).await;
        }
    }

    async fn sync(&mut self, number: u64) {
        self.disk.work(Moment::Synced).await;
        self.synced.send_replace(number);
        self.disk.tell(Moment::Synced, number);
    }

    fn commit(&mut self, group: Vec<Job<S::Op>>) {
        let transaction = self.connection.transaction().unwrap();
        for job in group {
            let ops = job.ops;
            let again = move |transaction: &Transaction<'_>| {
                S::apply_all(transaction, &ops.iter().collect::<Vec<_>>())
            };
            again(&transaction).unwrap();
            self.disk.state().written.push(Written(Box::new(again)));
        }
        transaction.commit().unwrap();
    }
}
