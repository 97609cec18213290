//! What an agent finds again, and what it forgets.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{NOW, action, entry, update, write};
use crate::clock::Wall;
use crate::journal::Journal;
use crate::journal::agent::{AgentReader, AgentSchema, Op};
use crate::model::{ActionState, JournalId, Record};

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
                number: number.into(),
                body: [number; 3].into(),
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
    assert_eq!(loaded.live, [Box::new(entry(1, false))]);
    assert_eq!(loaded.numbers.action, 3);
    assert!(reader.has_ended(action(2).id).unwrap());
    assert!(!reader.has_ended(action(1).id).unwrap());
    let updates = loaded.updates.iter();
    let told: Vec<_> = updates.map(|(seq, told)| (*seq, told.action.id)).collect();
    assert_eq!(told, [(2, action(2).id), (3, action(1).id)]);
    assert_eq!(loaded.white_list.as_deref(), Some("[]"));
    assert_eq!(reader.alert(1).unwrap(), Some(vec![1; 3]));
    assert_eq!(reader.alert(2).unwrap(), None);
    let told = reader.told(action(2).id).unwrap().unwrap();
    assert_eq!(
        (told.number, told.action.id, told.record.state),
        (2, action(2).id, ActionState::Refused)
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
    assert_eq!(reader.load().unwrap().numbers.next, 1);
    assert_eq!(reader.load().unwrap().manager, None);
    let live = Op::Entry(Box::new(entry(1, false)), NOW.wall);
    let updates = (1..=3).map(|seq| update(seq, 1, ActionState::Running, 5));
    let ops = std::iter::once(live).chain(updates);
    write(&mut journal, ops.collect()).await;
    assert_eq!(reader.load().unwrap().numbers.next, 4);
    let ops = vec![Op::Confirmed { up_to: 3 }, Op::Manager(told)];
    write(&mut journal, ops).await;
    let loaded = reader.load().unwrap();
    assert_eq!((loaded.numbers.next, loaded.manager), (4, Some(told)));
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
    assert!(reader.has_ended(id).unwrap());
    assert_eq!(*reader.told(id).unwrap().unwrap().action, action(1));
    look(&mut journal, hour(7)..=hour(7) + 1).await;
    assert!(!reader.has_ended(id).unwrap());
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
    assert!(reader.has_ended(id).unwrap());
    let before = Wall::from_millis(0);
    write(&mut journal, vec![Op::Prune { now: before }]).await;
    look(&mut journal, 5..=100).await;
    assert!(reader.has_ended(id).unwrap());
    // It is believed in the end: a host may have been off for so long.
    look(&mut journal, (year..).take(91)).await;
    assert!(!reader.has_ended(id).unwrap());
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
    for (columns, most) in [
        (
            "ended SELECT 1000 + i, randomblob(16), ms + i, '{}'",
            500_000,
        ),
        (
            "updates SELECT i - 1000000, 1000 + i, ms + i, '{}'",
            200_000,
        ),
    ] {
        let newer = format!(
            "WITH RECURSIVE n (i, ms) AS (SELECT 1, {} UNION ALL SELECT i + 1, ms FROM n WHERE i <= {most})
             INSERT INTO {columns} FROM n",
            NOW.wall.millis()
        );
        connection.execute(&newer, []).unwrap();
    }
    look(&mut journal, [1]).await;
    let count = |query: &str| -> u32 { connection.query_row(query, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM ended"), 500_000);
    assert!(!reader.has_ended(action(1).id).unwrap());
    // The oldest are gone, and what lives counts for nothing.
    assert_eq!(count("SELECT count(*) FROM updates"), 200_001);
    assert_eq!(
        count("SELECT count(*) FROM updates WHERE number IN (1, 1001)"),
        0
    );
    assert_eq!(reader.load().unwrap().live, [Box::new(entry(2, false))]);
    assert_eq!(count("SELECT count(*) FROM updates WHERE number = 2"), 1);
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
    assert!(reader.has_ended(action(3).id).unwrap());
    assert!(!reader.has_ended(action(2).id).unwrap());
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
            "UPDATE live SET entry = '{\"step\":1}' WHERE number = 1",
            [],
        )
        .unwrap();
    let loaded = reader.load().unwrap();
    let live: Vec<_> = loaded.live.iter().map(|entry| entry.action.id).collect();
    assert_eq!(live, [action(2).id]);
    let [(id, error)] = &loaded.unreadable[..] else {
        panic!("{:?}", loaded.unreadable);
    };
    assert_eq!(*id, action(1).id);
    assert!(error.to_string().contains(&bad));
}

/// The tables of version 2.
const AGENT_2: &str = "
    CREATE TABLE actions (id TEXT PRIMARY KEY, ended_ms INTEGER, entry TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX actions_ended ON actions (ended_ms);
    CREATE TABLE alerts (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE records (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, record TEXT NOT NULL,
                          seq INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE INDEX records_time ON records (time_ms);
    CREATE INDEX records_seq ON records (seq);
    CREATE TABLE updates (seq INTEGER PRIMARY KEY, action TEXT NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    INSERT INTO meta VALUES ('journal', '\"09090909090909090909090909090909\"'), ('confirmed', '8');
    PRAGMA user_version = 2;";

fn record(number: u8, state: ActionState, at: i64) -> Record {
    Record::new(&action(number), state, Wall::from_millis(at))
}

/// Action 1 is in force and 2 is over; the manager has not heard the last word
/// on either. It has on 3, which is over; of 4 only the history is left, from
/// before updates had numbers.
fn old_journal(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(AGENT_2).unwrap();
    let text = |value: serde_json::Value| value.to_string();
    let live = serde_json::to_string(&entry(1, false)).unwrap();
    let over = |number| text(serde_json::json!({ "action": action(number) }));
    for (number, ended, entry) in [
        (1, None, live),
        (2, Some(20), over(2)),
        (3, Some(10), over(3)),
    ] {
        let id = action(number).id.to_string();
        let row = rusqlite::params![id, ended, entry];
        old.execute("INSERT INTO actions VALUES (?1, ?2, ?3)", row)
            .unwrap();
    }
    let id = action(1).id.to_string();
    old.execute("INSERT INTO alerts VALUES (?1, x'616c')", [&id])
        .unwrap();
    for (number, state, at, seq) in [
        (1, ActionState::Applied, 40, 9),
        (2, ActionState::Reverted, 30, 10),
        (3, ActionState::Refused, 20, 7),
        (4, ActionState::Done, 10, 0),
    ] {
        let id = action(number).id.to_string();
        let at = NOW.wall.millis() + at;
        let text = serde_json::to_string(&record(number, state, at)).unwrap();
        let row = rusqlite::params![id, at, text, seq];
        old.execute("INSERT INTO records VALUES (?1, ?2, ?3, ?4)", row)
            .unwrap();
        if seq > 8 {
            let action = serde_json::to_string(&action(number)).unwrap();
            let row = rusqlite::params![seq, action, text];
            old.execute("INSERT INTO updates VALUES (?1, ?2, ?3)", row)
                .unwrap();
        }
    }
}

#[tokio::test]
async fn what_an_earlier_version_has_written_is_all_found_again() {
    let folder = tempfile::tempdir().unwrap();
    old_journal(&folder.path().join("agentd.db"));
    let (mut journal, reader) = agent_journal(&folder).await;
    let loaded = reader.load().unwrap();
    assert_eq!(loaded.live.len(), 1);
    let number = loaded.live[0].number;
    assert_eq!(loaded.live[0].action.id, action(1).id);
    assert_eq!(reader.alert(number).unwrap(), Some(b"al".to_vec()));
    let told: Vec<_> = loaded
        .updates
        .iter()
        .map(|(seq, told)| (*seq, told.action.id, told.record.state))
        .collect();
    assert_eq!(
        told,
        [
            (9, action(1).id, ActionState::Applied),
            (10, action(2).id, ActionState::Reverted)
        ]
    );
    assert_eq!((loaded.numbers.next, loaded.numbers.action), (11, 5));
    assert!(reader.has_ended(action(2).id).unwrap() && reader.has_ended(action(3).id).unwrap());
    let told = reader.told(action(3).id).unwrap().unwrap();
    assert_eq!(*told.action, action(3));
    let history = reader.history(9).unwrap();
    let order: Vec<_> = history.iter().map(|record| record.action).collect();
    assert_eq!(order, [1, 2, 3, 4].map(|number| action(number).id));
    // It goes on as any other.
    let mut ended = entry(1, true);
    ended.number = number;
    write(&mut journal, vec![Op::Entry(Box::new(ended), NOW.wall)]).await;
    assert!(reader.has_ended(action(1).id).unwrap());
    assert!(reader.load().unwrap().live.is_empty());
    look(&mut journal, [1]).await;
    assert_eq!(reader.history(9).unwrap().len(), 4);
}

#[tokio::test]
async fn of_what_is_confirmed_only_the_last_record_of_each_action_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = agent_journal(&folder).await;
    let states = |seq, first| {
        [
            update(seq, 1, first, 5),
            update(seq + 1, 1, ActionState::Applied, 6),
        ]
    };
    let mut ops = vec![Op::Entry(Box::new(entry(1, false)), NOW.wall)];
    ops.extend(states(1, ActionState::Running));
    write(&mut journal, ops).await;
    let connection = Connection::open(journal.path()).unwrap();
    let left = || -> Vec<i64> {
        let mut query = connection.prepare("SELECT seq FROM updates").unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(left(), [1, 2]);
    write(&mut journal, vec![Op::Confirmed { up_to: 2 }]).await;
    look(&mut journal, [1]).await;
    assert_eq!(left(), [2]);
    // What is confirmed goes with the next update, the rest with the next look.
    write(&mut journal, states(3, ActionState::Reverting).into()).await;
    assert_eq!(left(), [3, 4]);
    look(&mut journal, [2]).await;
    assert_eq!(left(), [3, 4]);
    assert_eq!(reader.history(9).unwrap().len(), 1);
    assert_eq!(reader.load().unwrap().updates.len(), 2);
}
