//! Promises of the journal, held against deaths, full disks and bad rows.

mod agent;
mod manager;
mod offences;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::agent::{Op, Telling};
use super::queue::QUEUE;
use super::{FOUND, Journal, JournalError, Schema};
use crate::clock::Boot;
use crate::clock::{self, BootId, Now, Wall};
use crate::ledger::agent::{Entry, Ledger};
use crate::model::action::sample;
use crate::model::{Action, ActionState, Record};

/// Numbers in the order in which they were written.
#[derive(Debug)]
struct Numbers;

impl Schema for Numbers {
    type Op = u64;

    const VERSION: i32 = 3;

    const CREATE: &'static str =
        "CREATE TABLE numbers (place INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;";

    /// Version 1 had another name for the table, version 2 for the column.
    const MIGRATE: &'static [&'static str] = &[
        "ALTER TABLE integers RENAME TO numbers;",
        "ALTER TABLE numbers RENAME COLUMN value TO number;",
    ];

    fn apply(transaction: &Transaction<'_>, op: &u64) -> rusqlite::Result<()> {
        transaction
            .prepare_cached("INSERT INTO numbers (number) VALUES (?1)")?
            .execute([i64::try_from(*op).unwrap()])
            .map(drop)
    }
}

fn numbers(path: &Path) -> Vec<u64> {
    let connection = Connection::open(path).unwrap();
    let mut query = connection
        .prepare("SELECT number FROM numbers ORDER BY place")
        .unwrap();
    let rows = query.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|row| u64::try_from(row.unwrap()).unwrap())
        .collect()
}

fn action(number: u8) -> Action {
    sample::action(number, "firewall-drop", Some(600))
}

pub(super) const NOW: Now = Now {
    wall: Wall::from_millis(1_800_000_000_000),
    boot: Boot::from_millis(10_000),
};

fn boot_id() -> BootId {
    BootId("a".into())
}

/// An entry as a journal gives it back.
pub(super) fn entry(number: u8, ended: bool) -> Entry {
    let mut ledger = Ledger::new(boot_id());
    let action = action(number);
    let id = action.id;
    drop(ledger.accept(action, true, Some(Duration::from_secs(600)), NOW));
    if ended {
        drop(ledger.refuse(id, ActionState::Refused, "no".to_owned(), NOW));
    }
    let text = serde_json::to_string(ledger.entry(id).unwrap()).unwrap();
    let mut entry: Entry = serde_json::from_str(&text).unwrap();
    entry.number = number.into();
    entry
}

pub(super) fn update(seq: u64, number: u8, state: ActionState, at: i64) -> Op {
    let action = action(number);
    let record = Record::new(&action, state, Wall::from_millis(at));
    Op::Update {
        seq,
        telling: Telling {
            number: number.into(),
            action: action.into(),
            record: record.into(),
        },
    }
}

async fn write<S: Schema>(journal: &mut Journal<S>, ops: Vec<S::Op>) {
    let mut ticket = journal.write(ops).await;
    let synced = tokio::time::timeout(Duration::from_secs(30), ticket.synced()).await;
    assert_eq!(synced, Ok(true));
}

/// Names the directory to work in, when this test runs as the one who dies.
const DIES_IN: &str = "RIPOST_TEST_JOURNAL_DIES_IN";

/// Writes, and dies without closing anything the moment 1,000 are written.
#[test]
fn what_is_written_survives_the_death_of_the_process() {
    if let Some(directory) = std::env::var_os(DIES_IN) {
        let path = Path::new(&directory).join("x.db");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut journal = Journal::<Numbers>::open(&path).unwrap();
            let mut last = None;
            for number in 0..1_000 {
                last = Some(journal.write(vec![number]).await);
            }
            assert!(last.unwrap().written().await);
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap();
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "journal::tests::what_is_written_survives_the_death_of_the_process";
    #[expect(
        clippy::disallowed_methods,
        reason = "the one who dies is this test program"
    )]
    let status = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(DIES_IN, folder.path())
        .output()
        .unwrap()
        .status;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "{status:?}");
    let path = folder.path().join("x.db");
    assert_eq!(numbers(&path), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_write_is_synced_once_the_file_beside_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let (release, held) = std::sync::mpsc::sync_channel(2);
    let beside = Box::new(move || held.recv().map_err(std::io::Error::other));
    let mut journal = Journal::<Numbers>::open_beside(&path, beside).unwrap();
    release.send(()).unwrap();
    let mut ticket = journal.write(vec![1]).await;
    assert!(ticket.written().await);
    let early = tokio::time::timeout(Duration::from_millis(100), ticket.synced()).await;
    assert!(early.is_err());
    release.send(()).unwrap();
    assert!(ticket.synced().await);
    journal.close();
}

#[tokio::test]
async fn writes_keep_their_order_and_are_committed_in_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut journal = Journal::<Numbers>::open(&path).unwrap();
    let mut written = journal.synced();
    let mut groups = BTreeSet::new();
    for number in 0..2_000 {
        journal.write(vec![number * 2, number * 2 + 1]).await;
    }
    while *written.borrow_and_update() < 2_000 {
        groups.insert(*written.borrow());
        written.changed().await.unwrap();
    }
    assert!(groups.len() < 1_000, "{} groups", groups.len());
    journal.close();
    assert_eq!(numbers(&path), (0..4_000).collect::<Vec<_>>());
}

/// Holds a database, as far as its writer can tell a full disk.
pub(crate) struct Full(Connection);

impl Full {
    /// What is inserted `into` a table finds no room, such as `x` or
    /// `x WHEN NEW.y > 0`.
    pub(crate) fn of(path: &Path, into: &str) -> Self {
        let connection = Connection::open(path).unwrap();
        let trigger = format!(
            "CREATE TRIGGER full BEFORE INSERT ON {into} BEGIN SELECT RAISE(ABORT, 'disk is full'); END;"
        );
        connection.execute_batch(&trigger).unwrap();
        Self(connection)
    }

    pub(crate) fn freed(self) {
        self.0.execute_batch("DROP TRIGGER full;").unwrap();
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = clock::boot().plus(Duration::from_secs(20));
    while !condition() {
        assert!(clock::boot() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_write_that_fails_is_told_and_tried_again_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut journal = Journal::<Numbers>::open(&path).unwrap();
    write(&mut journal, vec![1]).await;
    let full = Full::of(&path, "numbers WHEN NEW.number >= 100");
    // One unit: the part that could be written is not written alone.
    let mut ticket = journal.write(vec![2, 100]).await;
    let mut later = journal.write(vec![3]).await;
    let health = journal.health().clone();
    until("the journal fails", || health.is_failing()).await;
    assert!(health.error().unwrap().contains("disk is full"));
    assert_eq!(numbers(&path), [1]);
    assert_eq!(*journal.synced().borrow(), FOUND + 1);
    full.freed();
    assert!(ticket.synced().await && later.synced().await);
    assert!(!health.is_failing() && health.error().is_none());
    assert_eq!(numbers(&path), [1, 2, 100, 3]);
}

#[tokio::test]
async fn a_write_waits_for_no_disk_and_keeps_its_order_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut journal = Journal::<Numbers>::open(&path).unwrap();
    let full = Full::of(&path, "numbers WHEN NEW.number >= 100");
    let many = 100..100 + 3 * u64::try_from(QUEUE).unwrap();
    let queued = tokio::time::timeout(Duration::from_secs(30), async {
        let mut last = journal.write(vec![1]).await;
        for number in many.clone() {
            last = journal.write(vec![number]).await;
        }
        last
    });
    let mut last = queued.await.unwrap();
    let health = journal.health().clone();
    until("the journal fails", || health.is_failing()).await;
    assert!(!journal.has_room());
    full.freed();
    let synced = tokio::time::timeout(Duration::from_secs(60), last.synced());
    assert_eq!(synced.await, Ok(true));
    assert!(journal.has_room());
    assert_eq!(
        numbers(&path),
        [1].into_iter().chain(many).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_can_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut journal = Journal::<Numbers>::open(&path).unwrap();
    write(&mut journal, vec![1]).await;
    let _full = Full::of(&path, "numbers WHEN NEW.number >= 100");
    let mut ticket = journal.write(vec![100]).await;
    tokio::task::spawn_blocking(move || journal.close())
        .await
        .unwrap();
    assert!(!ticket.written().await);
    assert_eq!(numbers(&path), [1]);
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    Journal::<Numbers>::open(&path).unwrap().close();
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 4).unwrap();
    drop(connection);
    let refused = Journal::<Numbers>::open(&path).unwrap_err();
    assert!(matches!(
        refused,
        JournalError::Version {
            found: 4,
            known: 3,
            ..
        }
    ));
}

#[tokio::test]
async fn a_journal_of_any_older_version_is_brought_up_with_what_it_holds() {
    for (version, table, column) in [(1, "integers", "value"), (2, "numbers", "value")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "CREATE TABLE {table} (place INTEGER PRIMARY KEY, {column} INTEGER NOT NULL) STRICT;
                 INSERT INTO {table} ({column}) VALUES (7);
                 PRAGMA user_version = {version};"
            ))
            .unwrap();
        drop(connection);
        for number in [8, 9] {
            let mut journal = Journal::<Numbers>::open(&path).unwrap();
            write(&mut journal, vec![number]).await;
            journal.close();
        }
        assert_eq!(numbers(&path), [7, 8, 9], "version {version}");
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_brought_up_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let connection = Connection::open(&path).unwrap();
    // The first step can be taken, the second one cannot.
    let old = "CREATE TABLE integers (other INTEGER) STRICT; PRAGMA user_version = 1;";
    connection.execute_batch(old).unwrap();
    drop(connection);
    for _ in 0..2 {
        let refused = Journal::<Numbers>::open(&path).unwrap_err();
        assert!(matches!(refused, JournalError::Open { .. }));
    }
    let connection = Connection::open(&path).unwrap();
    connection.prepare("SELECT other FROM integers").unwrap();
}
