//! What a manager finds again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{NOW, action, boot_id, write};
use crate::journal::Journal;
use crate::journal::manager::{Dispatch, LiveCounts, ManagerReader, ManagerSchema, Op, Rank};
use crate::ledger::end::End;
use crate::model::{ActionId, ActionState, AgentId, Record};

fn dispatch(number: u8) -> Op {
    let action = action(number);
    let record = Record::new(&action, ActionState::Queued, NOW.wall);
    let whole = Duration::from_secs(600);
    Op::Dispatch {
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

fn alert(number: u8) -> Op {
    Op::Alert {
        number: number.into(),
        body: vec![number; 3].into(),
    }
}

fn state(number: u8, state: ActionState) -> Op {
    Op::Record {
        record: Box::new(Record::new(&action(number), state, NOW.wall)),
        heard: NOW.wall,
    }
}

fn taken(number: u8) -> Op {
    Op::Taken {
        agent: AgentId::MANAGER,
        action: action(number).id,
    }
}

fn revert(number: u8) -> Op {
    Op::Revert {
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
    write(&mut journal, vec![Op::Prune { before }]).await;
    assert!(!reader.knows(action(3).id).unwrap());
    assert_eq!(reader.live().unwrap().len(), 3);
    assert_eq!(reader.pruned().unwrap(), Some(before));
    // A clock that is set back does not take that back.
    let earlier = Op::Prune { before: NOW.wall };
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
        Op::Dispatch {
            dispatch,
            rank,
            number,
            record,
            ..
        } => Op::Dispatch {
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
    let theirs = Op::Taken { agent, action: id };
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
            Op::Dispatch {
                dispatch,
                number,
                alert,
                record,
                ..
            } => Op::Dispatch {
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
        Op::Record {
            record: Box::new(foreign),
            heard: NOW.wall,
        },
        Op::Taken {
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
    let retold = vec![Op::Retold(Box::new(dispatch))];
    assert!(journal.write(retold).await.written().await);
    assert_eq!(reader.overdue(late).unwrap().len(), 1);
    assert_eq!(reader.of_other_boots(&boot_id()).unwrap(), []);
    assert!(reader.id().is_ok());
}
