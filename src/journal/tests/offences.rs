//! How often targets were blocked is found again, and forgotten in time.

use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{NOW, entry, write};
use crate::journal::Journal;
use crate::journal::agent::{AgentReader, AgentSchema, Op};
use crate::ledger::offences::{Change, Counted};

const HOUR: Duration = Duration::from_secs(3_600);

fn open(folder: &TempDir) -> (Journal<AgentSchema>, AgentReader) {
    let path = folder.path().join("agentd.db");
    let journal = Journal::open(&path).unwrap();
    (journal, AgentReader::open(&path).unwrap())
}

/// The count of a target, all of which is forgiven so many hours after `NOW`.
fn counted(number: u64, target: &str, hours: u32) -> Counted {
    let count = serde_json::json!({
        "executable": "firewall-drop",
        "keys": [target],
        "standing": {
            "offence": {"number": 2, "spans": 2, "quiet_ms": 86_400_000},
            "forgiven": {
                "boot_id": "a",
                "boot": 10_000,
                "wall": NOW.wall.plus(HOUR * hours).millis(),
                "span": 172_800_000,
            },
        },
    });
    Counted {
        number,
        ..serde_json::from_value(count).unwrap()
    }
}

fn count(number: u64, target: &str, hours: u32) -> Op {
    Op::Offence(Change::Counted(Box::new(counted(number, target, hours))))
}

fn numbers(reader: &AgentReader) -> Vec<u64> {
    let (counts, unreadable) = reader.offences().unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    counts.iter().map(|counted| counted.number).collect()
}

#[tokio::test]
async fn a_count_is_found_again_until_another_replaces_it_or_it_is_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(&folder);
    let ops = vec![count(7, "192.0.2.1", 48), count(8, "192.0.2.2", 48)];
    write(&mut journal, ops).await;
    journal.close();
    let (mut journal, _) = open(&folder);
    let (counts, _) = reader.offences().unwrap();
    let wanted = [counted(7, "192.0.2.1", 48), counted(8, "192.0.2.2", 48)];
    assert_eq!(counts, wanted);
    // The number of the action is not given again, though nothing else tells of it.
    assert_eq!(reader.load().unwrap().numbers.action, 9);
    let next = Counted {
        replaces: Some(7),
        ..counted(9, "192.0.2.1", 72)
    };
    let next = Op::Offence(Change::Counted(Box::new(next)));
    write(&mut journal, vec![next]).await;
    assert_eq!(numbers(&reader), [8, 9]);
    // The same again, as after a repeat that has moved its end.
    write(&mut journal, vec![count(9, "192.0.2.1", 80)]).await;
    assert_eq!(numbers(&reader), [8, 9]);
    write(&mut journal, vec![Op::Offence(Change::Forgiven(8))]).await;
    assert_eq!(numbers(&reader), [9]);
}

#[tokio::test]
async fn what_is_forgiven_is_forgotten_and_no_more_than_so_many_are_kept() {
    const MOST: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(&folder);
    let ops = vec![count(1, "192.0.2.1", 1), count(2, "192.0.2.2", 3)];
    write(&mut journal, ops).await;
    for (hours, left) in [(0, &[1, 2][..]), (2, &[2]), (4, &[])] {
        let now = NOW.wall.plus(HOUR * hours);
        write(&mut journal, vec![Op::Prune { now }]).await;
        assert_eq!(numbers(&reader), left, "{hours}");
    }
    let many = (1..=MOST + 2).map(|number| {
        let hours = 100 + u32::from(number > 2);
        count(number.try_into().unwrap(), &number.to_string(), hours)
    });
    write(&mut journal, many.collect()).await;
    let now = NOW.wall.plus(HOUR * 5);
    write(&mut journal, vec![Op::Prune { now }]).await;
    let left = numbers(&reader);
    assert_eq!((left.len(), left.first()), (MOST, Some(&3)));
}

#[tokio::test]
async fn a_journal_without_counts_gets_room_for_them_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(&folder);
    let live = Op::Entry(Box::new(entry(1, false)), NOW.wall);
    write(&mut journal, vec![live]).await;
    let path = journal.path().to_owned();
    journal.close();
    let connection = Connection::open(path).unwrap();
    let to_3 = "DROP TABLE offences; PRAGMA user_version = 3;";
    connection.execute_batch(to_3).unwrap();
    let (mut journal, reader) = open(&folder);
    assert_eq!(reader.load().unwrap().live, [Box::new(entry(1, false))]);
    assert_eq!(numbers(&reader), [0; 0]);
    write(&mut journal, vec![count(1, "192.0.2.1", 48)]).await;
    assert_eq!(numbers(&reader), [1]);
}

#[tokio::test]
async fn a_count_that_is_not_valid_is_named_and_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, reader) = open(&folder);
    let ops = vec![count(1, "192.0.2.1", 48), count(2, "192.0.2.2", 48)];
    write(&mut journal, ops).await;
    let connection = Connection::open(journal.path()).unwrap();
    let spoil = "UPDATE offences SET count = '{\"keys\":1}' WHERE number = 1";
    connection.execute(spoil, []).unwrap();
    let (counts, unreadable) = reader.offences().unwrap();
    assert_eq!(counts, [counted(2, "192.0.2.2", 48)]);
    assert_eq!(unreadable.len(), 1);
}
