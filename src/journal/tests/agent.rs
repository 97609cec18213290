//! What an agent finds again, and what it forgets.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{NOW, action, entry, update, write};
use crate::clock::Wall;
use crate::journal::Journal;
use crate::journal::agent::{AgentReader, AgentSchema, Op};
use crate::model::{ActionState, JournalId};

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
    assert_eq!(reader.load().unwrap().numbers.next, 1);
    assert_eq!(reader.load().unwrap().manager, None);
    let ops = (1..=3).map(|seq| update(seq, 1, ActionState::Running, 5));
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
    for (table, most) in [
        ("actions (id, ended_ms, entry)", 500_000),
        ("records (id, time_ms, record)", 200_000),
    ] {
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
