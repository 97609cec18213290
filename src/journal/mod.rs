//! Durable state on SQLite: one database, one writer thread, group commit.
//!
//! A write has two moments. **Written**: committed to the write-ahead log, so
//! that it survives the death of this process. **Synced**: on the disk, so that
//! it survives a power cut. Kernel state may be changed after the first, files
//! after the second, and nothing is told to another machine before the second.
//!
//! What a journal holds when it is opened counts as its first write ([`FOUND`]):
//! whoever wrote it may have died before it was synced.
//!
//! The database runs with `synchronous=NORMAL`, under which SQLite orders the
//! log correctly but does not sync it at a commit (sqlite.org/pragma.html);
//! the writer syncs the log itself, once per group. A write that fails, such as
//! on a full disk, is kept and tried again every second: nothing is dropped,
//! nobody is told that it happened, and [`Health`] says so meanwhile. No write
//! makes an actor wait: while the disk is full or does not answer, it still takes
//! effects back, answers and stops, and takes nothing new
//! ([`Journal::has_room`]).

pub mod agent;
pub mod manager;
mod queue;
mod reader;
pub mod roster;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};
use serde::Serialize;

use crate::model::ActionId;

pub use writer::{Beside, FOUND, Health, Journal, Ticket};

/// Pages of the log after which it is copied into the database: 16 MiB. Each
/// time costs two syncs and a write of every page that has changed since, most
/// of them the same as the last time.
const CHECKPOINT: i32 = 4_000;

/// Pages that a writer keeps in memory, in KiB. The index of the ids of a hundred
/// thousand actions is written all over, and has three megabytes; with the two
/// that SQLite keeps by itself, most of its pages are read again each time.
const CACHE: i32 = 8 * 1_024;

/// What a journal holds: its tables, and how one operation changes them.
pub trait Schema: Send + 'static {
    type Op: std::fmt::Debug + Send + 'static;

    /// The version of the tables, stored in `user_version`.
    const VERSION: i32;

    /// How long the writer waits for company after a large group.
    const GATHER: Duration = Duration::from_millis(2);

    /// Creates the tables of `VERSION` in an empty database.
    const CREATE: &'static str;

    /// What leads from each version to the next: the first makes version 2 of
    /// version 1. A step, once released, is never changed.
    const MIGRATE: &'static [&'static str] = &[];

    fn apply(transaction: &Transaction<'_>, op: &Self::Op) -> rusqlite::Result<()>;

    /// Applies those of one commit, in their order.
    fn apply_all(transaction: &Transaction<'_>, ops: &[&Self::Op]) -> rusqlite::Result<()> {
        ops.iter().try_for_each(|op| Self::apply(transaction, op))
    }

    /// The action whose state this operation stores as a whole, so that an
    /// earlier one about it need not be applied in the same write.
    fn sets(_op: &Self::Op) -> Option<ActionId> {
        None
    }
}

/// Why a journal cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("open journal {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("open journal {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "open journal {path}: it has version {found}, this program knows up to {known}\n(it was written by a newer Ripost; install that version again)"
    )]
    Version {
        path: PathBuf,
        found: i32,
        known: i32,
    },
    #[error("read journal {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("read journal {path}: row {row} is not valid")]
    Row {
        path: PathBuf,
        row: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Does what may take long, such as closing a journal or reading months of
/// history, on a thread of its own.
///
/// # Panics
/// If `work` does.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Another thread would make one run of a simulation differ from the next.
    #[cfg(test)]
    if crate::clock::simulated::is_entered() {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("the work neither panics nor is it aborted")
}

/// Opens or creates the database of `S`, brings it to the version of this
/// program, and opens its log for syncing.
fn open<S: Schema>(path: &Path) -> Result<(Connection, File), JournalError> {
    let failed = |source| JournalError::Open {
        path: path.to_owned(),
        source,
    };
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(failed)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(failed)?;
    connection
        .pragma_update(None, "synchronous", "NORMAL")
        .map_err(failed)?;
    connection
        .pragma_update(None, "wal_autocheckpoint", CHECKPOINT)
        .map_err(failed)?;
    // SQLite takes a number of pages if it is not negative.
    connection
        .pragma_update(None, "cache_size", -CACHE)
        .map_err(failed)?;
    let found: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    if found > S::VERSION {
        return Err(JournalError::Version {
            path: path.to_owned(),
            found,
            known: S::VERSION,
        });
    }
    bring_up::<S>(&mut connection, found).map_err(failed)?;
    let log = open_log(path).map_err(|source| JournalError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok((connection, log))
}

/// Creates the tables, or takes the steps from version `found` to that of this
/// program: all of them or none.
fn bring_up<S: Schema>(connection: &mut Connection, found: i32) -> rusqlite::Result<()> {
    const {
        assert!(
            S::VERSION == S::MIGRATE.len() as i32 + 1,
            "a step is missing"
        )
    };
    if found == S::VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    match usize::try_from(found).ok().and_then(|n| n.checked_sub(1)) {
        None => transaction.execute_batch(S::CREATE)?,
        Some(taken) => {
            for step in S::MIGRATE.iter().skip(taken) {
                transaction.execute_batch(step)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", S::VERSION)?;
    transaction.commit()
}

/// What stands in one column of a row.
fn json<T: Serialize>(value: &T) -> String {
    /// Most have so many bytes at most, and so grow into nothing.
    const USUAL: usize = 1_000;
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, value).expect("names, numbers and lists always serialise");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// The write-ahead log lives as long as the connection. SQLite's advisory locks
/// are on other files, so closing this descriptor releases none of them.
fn open_log(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = File::options().read(true).write(true).open(&name)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(log)
}
