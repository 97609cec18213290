//! Promises of the journal, held against deaths, full disks and bad rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tempfile::TempDir;

use super::agent::{AgentReader, AgentSchema, Op};
use super::manager::{Dispatch, LiveCounts, ManagerReader, ManagerSchema, Op as ManagerOp, Rank};
use super::queue::QUEUE;
use super::{FOUND, Journal, JournalError, Schema};
use crate::clock::Boot;
use crate::clock::{self, BootId, Now, Wall};
use crate::ledger::agent::{Entry, Ledger};
use crate::ledger::end::End;
use crate::model::action::sample;
use crate::model::{Action, ActionId, ActionState, AgentId, JournalId, Record};

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
    BootId("a".to_owned())
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
    serde_json::from_str(&text).unwrap()
}

pub(super) fn update(seq: u64, number: u8, state: ActionState, at: i64) -> Op {
    let action = action(number);
    let record = Record::new(&action, state, Wall::from_millis(at));
    Op::Update {
        seq,
        action: Box::new(action),
        record: Box::new(record),
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

/// Holds the database, as far as its writer can tell a full disk.
struct Full(Connection);

impl Full {
    fn of(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "CREATE TRIGGER full BEFORE INSERT ON numbers WHEN NEW.number >= 100
                 BEGIN SELECT RAISE(ABORT, 'disk is full'); END;",
            )
            .unwrap();
        Self(connection)
    }

    fn freed(self) {
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
    let full = Full::of(&path);
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
    let full = Full::of(&path);
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
    let _full = Full::of(&path);
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

async fn agent_journal(folder: &TempDir) -> (Journal<AgentSchema>, AgentReader) {
    let path = folder.path().join("agentd.db");
    let journal = Journal::open(&path).unwrap();
    (journal, AgentReader::open(&path).unwrap())
}

#[tokio::test]
async fn an_agent_finds_again_what_it_had_and_nothing_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal(&folder).await;
    let ops = (1..=2).flat_map(|number| {
        [
            Op::Alert {
                id: action(number).id,
                body: vec![number; 3],
            },
            Op::Entry(Box::new(entry(number, false)), NOW.wall),
        ]
    });
    write(&mut journal, ops.collect()).await;
    write(
        &mut journal,
        vec![
            Op::Entry(Box::new(entry(2, true)), NOW.wall),
            update(1, 2, ActionState::Running, 5),
            update(2, 2, ActionState::Refused, 6),
            update(3, 1, ActionState::Running, 7),
            Op::Confirmed { up_to: 1 },
            Op::WhiteList("[]".to_owned()),
        ],
    )
    .await;
    let loaded = reader.load().unwrap();
    assert_eq!(loaded.live, [entry(1, false)]);
    assert!(reader.knows(action(2).id).unwrap());
    let seqs: Vec<_> = loaded.updates.iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!(loaded.white_list.as_deref(), Some("[]"));
    assert_eq!(reader.alert(action(1).id).unwrap(), Some(vec![1; 3]));
    assert_eq!(reader.alert(action(2).id).unwrap(), None);
    let (told, record) = reader.told(action(2).id).unwrap().unwrap();
    assert_eq!(
        (told.id, record.state),
        (action(2).id, ActionState::Refused)
    );
    let history: Vec<_> = reader.history(1).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].action, action(1).id);
}

/// The tables of an agent before its journal had an id.
const AGENT_1: &str = "
    CREATE TABLE actions (id TEXT PRIMARY KEY, ended_ms INTEGER, entry TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX actions_ended ON actions (ended_ms);
    CREATE TABLE alerts (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE records (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE INDEX records_time ON records (time_ms);
    CREATE TABLE updates (seq INTEGER PRIMARY KEY, action TEXT NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    INSERT INTO meta VALUES ('white_list', '[]');
    PRAGMA user_version = 1;";

#[tokio::test]
async fn each_journal_of_an_agent_has_an_id_that_stays() {
    let mut ids = BTreeSet::new();
    for old in [false, false, true] {
        let folder = tempfile::tempdir().unwrap();
        if old {
            let path = folder.path().join("agentd.db");
            let connection = Connection::open(path).unwrap();
            connection.execute_batch(AGENT_1).unwrap();
        }
        for _ in 0..2 {
            let (journal, reader) = agent_journal(&folder).await;
            let loaded = reader.load().unwrap();
            assert_eq!(loaded.white_list.is_some(), old);
            ids.insert(loaded.journal);
            journal.close();
        }
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[tokio::test]
async fn numbers_of_updates_are_not_given_again_and_the_manager_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal(&folder).await;
    let told = JournalId::from_bytes([9; 16]);
    assert_eq!(reader.load().unwrap().next_seq, 1);
    assert_eq!(reader.load().unwrap().manager, None);
    let ops = (1..=3).map(|seq| update(seq, 1, ActionState::Running, 5));
    write(&mut journal, ops.collect()).await;
    assert_eq!(reader.load().unwrap().next_seq, 4);
    let ops = vec![Op::Confirmed { up_to: 3 }, Op::Manager(told)];
    write(&mut journal, ops).await;
    let loaded = reader.load().unwrap();
    assert_eq!((loaded.next_seq, loaded.manager), (4, Some(told)));
    assert!(loaded.updates.is_empty());
}

const DAY: Duration = Duration::from_secs(86_400);

/// Has an agent's journal looked through at these hours after `NOW`.
async fn look(journal: &mut Journal<AgentSchema>, hours: impl IntoIterator<Item = u32>) {
    let looks = hours.into_iter().map(|hour| Op::Prune {
        now: NOW.wall.plus(DAY / 24 * hour),
    });
    write(journal, looks.collect()).await;
}

/// A journal of an agent with action 1, which has ended and is confirmed.
async fn agent_journal_with_an_end(folder: &TempDir) -> (Journal<AgentSchema>, AgentReader) {
    let (mut journal, reader) = agent_journal(folder).await;
    let ops = vec![
        Op::Entry(Box::new(entry(1, true)), NOW.wall),
        update(1, 1, ActionState::Refused, NOW.wall.millis()),
        Op::Confirmed { up_to: 1 },
    ];
    write(&mut journal, ops).await;
    (journal, reader)
}

#[tokio::test]
async fn an_agent_knows_an_id_for_a_week_and_tells_its_history_for_90_days() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal_with_an_end(&folder).await;
    let (id, hour) = (action(1).id, |day: u32| day * 24);
    look(&mut journal, 0..=hour(7)).await;
    assert!(reader.knows(id).unwrap());
    assert_eq!(reader.told(id).unwrap().unwrap().0, action(1));
    look(&mut journal, hour(7)..=hour(7) + 1).await;
    assert!(!reader.knows(id).unwrap());
    look(&mut journal, hour(8)..=hour(90)).await;
    assert_eq!(reader.history(9).unwrap().len(), 1);
    look(&mut journal, hour(90)..=hour(90) + 1).await;
    assert_eq!(reader.history(9).unwrap().len(), 0);
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_or_behind_for_hours_makes_an_agent_forget_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal_with_an_end(&folder).await;
    let id = action(1).id;
    let year = 365 * 24;
    look(&mut journal, year..year + 5).await;
    assert!(reader.knows(id).unwrap());
    let before = Wall::from_millis(0);
    write(&mut journal, vec![Op::Prune { now: before }]).await;
    look(&mut journal, 5..=100).await;
    assert!(reader.knows(id).unwrap());
    // It is believed in the end: a host may have been off for so long.
    look(&mut journal, (year..).take(91)).await;
    assert!(!reader.knows(id).unwrap());
    assert_eq!(reader.history(9).unwrap().len(), 0);
}

#[tokio::test]
async fn an_agent_keeps_no_more_than_so_many_of_what_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal_with_an_end(&folder).await;
    let live = vec![
        Op::Entry(Box::new(entry(2, false)), NOW.wall),
        update(2, 2, ActionState::Applied, 0),
        Op::Confirmed { up_to: 2 },
    ];
    write(&mut journal, live).await;
    let connection = Connection::open(journal.path()).unwrap();
    for (table, most) in [("actions", 500_000), ("records", 200_000)] {
        let newer = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {most})
             INSERT INTO {table} SELECT 'x' || i, {} + i, '{{}}' FROM n",
            NOW.wall.millis()
        );
        connection.execute(&newer, []).unwrap();
    }
    look(&mut journal, [1]).await;
    let count = |query: &str| -> u32 { connection.query_row(query, [], |row| row.get(0)).unwrap() };
    let ended = "SELECT count(*) FROM actions WHERE ended_ms IS NOT NULL";
    assert_eq!(count(ended), 500_000);
    assert!(!reader.knows(action(1).id).unwrap());
    // The oldest are gone, and what lives counts for nothing.
    assert_eq!(count("SELECT count(*) FROM records"), 200_001);
    assert_eq!(count("SELECT count(*) FROM records WHERE id = 'x1'"), 0);
    assert_eq!(reader.load().unwrap().live, [entry(2, false)]);
    let told = action(2).id.to_string();
    let query = format!("SELECT count(*) FROM records WHERE id = '{told}'");
    assert_eq!(count(&query), 1);
}

#[tokio::test]
async fn an_agent_never_forgets_what_lives_or_is_not_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal(&folder).await;
    let mut ops: Vec<_> = (1..=3)
        .map(|number| Op::Entry(Box::new(entry(number, number != 1)), NOW.wall))
        .collect();
    ops.extend((1..=3).map(|number| update(number.into(), number, ActionState::Refused, 5)));
    ops.push(Op::Confirmed { up_to: 2 });
    write(&mut journal, ops).await;
    look(&mut journal, 0..=91 * 24).await;
    let loaded = reader.load().unwrap();
    assert_eq!(loaded.live.len(), 1);
    assert!(reader.knows(action(3).id).unwrap());
    assert!(!reader.knows(action(2).id).unwrap());
    let kept: BTreeSet<_> = reader
        .history(10)
        .unwrap()
        .into_iter()
        .map(|record| record.action)
        .collect();
    assert_eq!(kept, BTreeSet::from([action(1).id, action(3).id]));
}

#[tokio::test]
async fn a_row_that_is_not_valid_is_named_and_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal(&folder).await;
    for number in [1, 2] {
        let op = Op::Entry(Box::new(entry(number, false)), NOW.wall);
        write(&mut journal, vec![op]).await;
    }
    let bad = action(1).id.to_string();
    let connection = Connection::open(journal.path()).unwrap();
    connection
        .execute(
            "UPDATE actions SET entry = '{\"step\":1}' WHERE id = ?1",
            [&bad],
        )
        .unwrap();
    let loaded = reader.load().unwrap();
    let live: Vec<_> = loaded.live.iter().map(|entry| entry.action.id).collect();
    assert_eq!(live, [action(2).id]);
    assert_eq!(loaded.unreadable.len(), 1);
    assert!(loaded.unreadable[0].to_string().contains(&bad));
}

fn dispatch(number: u8) -> ManagerOp {
    let action = action(number);
    let record = Record::new(&action, ActionState::Queued, NOW.wall);
    let whole = Duration::from_secs(600);
    ManagerOp::Dispatch {
        dispatch: Box::new(Dispatch {
            action,
            end: End::after(whole, whole, NOW, &boot_id()),
        }),
        rank: Rank::Aimed,
        number: number.into(),
        alert: number.into(),
        record: Box::new(record),
    }
}

fn alert(number: u8) -> ManagerOp {
    ManagerOp::Alert {
        number: number.into(),
        body: vec![number; 3].into(),
    }
}

fn state(number: u8, state: ActionState) -> ManagerOp {
    ManagerOp::Record {
        record: Box::new(Record::new(&action(number), state, NOW.wall)),
        heard: NOW.wall,
    }
}

fn taken(number: u8) -> ManagerOp {
    ManagerOp::Taken {
        agent: AgentId::MANAGER,
        action: action(number).id,
    }
}

fn revert(number: u8) -> ManagerOp {
    ManagerOp::Revert {
        agent: AgentId::MANAGER,
        action: action(number).id,
    }
}

#[tokio::test]
async fn a_manager_sends_again_only_what_its_agent_has_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    let ops = (1..=4).map(alert).chain((1..=4).map(dispatch)).chain([
        state(1, ActionState::Sent),
        state(2, ActionState::Applied),
        taken(2),
        state(3, ActionState::Expired),
        taken(3),
    ]);
    write(&mut journal, ops.collect()).await;
    let ids = |ids: Vec<ActionId>| ids.into_iter().collect::<BTreeSet<_>>();
    let waiting = reader.waiting(&AgentId::MANAGER, 10).unwrap();
    let waiting: Vec<_> = waiting.iter().map(|row| row.record.action).collect();
    assert_eq!(waiting, [action(1).id, action(4).id]);
    let live = reader.live().unwrap();
    assert_eq!(
        ids(live.iter().map(|record| record.action).collect()),
        BTreeSet::from([action(1).id, action(2).id, action(4).id])
    );
    assert_eq!(reader.alert(1).unwrap(), Some(vec![1; 3]));
    assert_eq!(reader.alert(2).unwrap(), None);
    assert!(reader.knows(action(3).id).unwrap());

    assert_eq!(reader.oldest().unwrap(), Some(NOW.wall));
    assert_eq!(reader.pruned().unwrap(), None);
    let before = NOW.wall.plus(Duration::from_secs(1));
    write(&mut journal, vec![ManagerOp::Prune { before }]).await;
    assert!(!reader.knows(action(3).id).unwrap());
    assert_eq!(reader.live().unwrap().len(), 3);
    assert_eq!(reader.pruned().unwrap(), Some(before));
    // A clock that is set back does not take that back.
    let earlier = ManagerOp::Prune { before: NOW.wall };
    write(&mut journal, vec![earlier]).await;
    assert_eq!(reader.pruned().unwrap(), Some(before));
}

#[tokio::test]
async fn an_alert_goes_with_the_last_action_that_has_to_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    let shared = |number| match dispatch(number) {
        ManagerOp::Dispatch {
            dispatch,
            rank,
            number,
            record,
            ..
        } => ManagerOp::Dispatch {
            dispatch,
            rank,
            number,
            alert: 1,
            record,
        },
        other => other,
    };
    write(&mut journal, vec![alert(1), shared(1), shared(2)]).await;
    // It is not agent 007's to take.
    let agent = AgentId::parse("007").unwrap();
    let id = action(2).id;
    let theirs = ManagerOp::Taken { agent, action: id };
    write(&mut journal, vec![taken(1), theirs]).await;
    assert_eq!(reader.alert(1).unwrap(), Some(vec![1; 3]));
    assert_eq!(reader.owner(id).unwrap(), Some(AgentId::MANAGER));
    // What is to be taken back need not be sent either.
    write(&mut journal, vec![revert(2)]).await;
    assert_eq!(reader.alert(1).unwrap(), None);
    let agent = AgentId::MANAGER;
    assert_eq!(reader.to_revert(&agent, 9).unwrap(), [action(2).id]);
    write(&mut journal, vec![state(2, ActionState::Reverting)]).await;
    assert_eq!(reader.to_revert(&agent, 9).unwrap(), [action(2).id]);
    write(&mut journal, vec![state(2, ActionState::Reverted)]).await;
    assert_eq!(reader.to_revert(&agent, 9).unwrap(), []);
}

#[tokio::test]
async fn what_a_person_waits_for_goes_first_and_what_goes_to_all_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    let ranks = [Rank::Bulk, Rank::Aimed, Rank::Aimed, Rank::ByHand];
    let ops = (1..)
        .zip(ranks)
        .map(|(number, rank)| match dispatch(number) {
            ManagerOp::Dispatch {
                dispatch,
                number,
                alert,
                record,
                ..
            } => ManagerOp::Dispatch {
                dispatch,
                rank,
                number,
                alert,
                record,
            },
            other => other,
        });
    write(&mut journal, ops.collect()).await;
    let waiting = reader.waiting(&AgentId::MANAGER, 10).unwrap();
    let waiting: Vec<_> = waiting.iter().map(|row| row.record.action).collect();
    assert_eq!(waiting, [4, 2, 3, 1].map(|number| action(number).id));
    assert_eq!(reader.numbers().unwrap(), (4, 0));
    // The history is not looked through at each start.
    write(&mut journal, vec![taken(4), taken(3)]).await;
    assert_eq!(reader.numbers().unwrap(), (2, 0));
}

#[tokio::test]
async fn nobody_changes_the_action_of_another_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    write(&mut journal, vec![alert(1), dispatch(1)]).await;
    let mut foreign = Record::new(&action(1), ActionState::Reverted, NOW.wall);
    foreign.agent.id = AgentId::parse("7").unwrap();
    let ops = vec![
        ManagerOp::Record {
            record: Box::new(foreign),
            heard: NOW.wall,
        },
        ManagerOp::Taken {
            agent: AgentId::parse("7").unwrap(),
            action: action(1).id,
        },
    ];
    write(&mut journal, ops).await;
    assert_eq!(reader.waiting(&AgentId::MANAGER, 9).unwrap().len(), 1);
    let counts = reader.counts().unwrap();
    let one = LiveCounts {
        pending: 1,
        ..LiveCounts::default()
    };
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [(AgentId::MANAGER, one)]
    );
}

#[tokio::test]
async fn a_journal_of_version_1_is_brought_up_with_what_waited_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let end = End::after(
        Duration::from_secs(60),
        Duration::from_secs(60),
        NOW,
        &boot_id(),
    );
    let queued = Record::new(&action(1), ActionState::Queued, NOW.wall);
    let dispatch = serde_json::json!({"action": action(1), "end": end});
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE sources (source TEXT PRIMARY KEY, checkpoint TEXT NOT NULL) STRICT;
         CREATE TABLE actions (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, live INTEGER NOT NULL,
                               dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE INDEX actions_time ON actions (time_ms);
         CREATE INDEX actions_live ON actions (id) WHERE live = 1;
         CREATE TABLE alerts (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
         INSERT INTO sources VALUES ('x', 'null');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    let id = action(1).id.to_string();
    old.execute(
        "INSERT INTO actions VALUES (?1, 5, 1, ?2, ?3)",
        [
            &id,
            &dispatch.to_string(),
            &serde_json::to_string(&queued).unwrap(),
        ],
    )
    .unwrap();
    old.execute("INSERT INTO alerts VALUES (?1, x'616c')", [&id])
        .unwrap();
    drop(old);

    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    let waiting = reader.waiting(&AgentId::MANAGER, 10).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0].record, &waiting[0].dispatch.end),
        (&queued, &end)
    );
    assert_eq!(
        reader.alert(waiting[0].alert).unwrap(),
        Some(b"al".to_vec())
    );
    // Its end is told anew, and then found by it.
    let dispatch = reader.of_other_boots(&boot_id()).unwrap().remove(0);
    assert_eq!(dispatch.end, end);
    let late = NOW.boot.plus(Duration::from_secs(61));
    assert_eq!(reader.overdue(late).unwrap(), []);
    let retold = vec![ManagerOp::Retold(Box::new(dispatch))];
    assert!(journal.write(retold).await.written().await);
    assert_eq!(reader.overdue(late).unwrap().len(), 1);
    assert_eq!(reader.of_other_boots(&boot_id()).unwrap(), []);
    assert!(reader.id().is_ok());
}
