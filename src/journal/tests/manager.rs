//! What a manager finds again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{NOW, action, boot_id, write};
use crate::clock::Wall;
use crate::journal::manager::{Dispatch, LiveCounts, ManagerReader, ManagerSchema, Op, Rank};
use crate::journal::{Journal, Schema};
use crate::ledger::end::End;
use crate::model::{ActionId, ActionState, AgentId, Record};

fn dispatch(number: u8) -> Op {
    let action = action(number);
    let record = Record::new(&action, ActionState::Queued, NOW.wall);
    let whole = Duration::from_secs(600);
    Op::Dispatch {
        dispatch: Arc::new(Dispatch {
            action,
            end: End::after(whole, whole, NOW, &boot_id()),
        }),
        rank: Rank::Aimed,
        number: number.into(),
        alert: number.into(),
        record: record.into(),
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
        record: Record::new(&action(number), state, NOW.wall).into(),
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
            record: foreign.into(),
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

#[tokio::test]
async fn a_journal_of_version_2_is_brought_up_with_what_waited_and_what_was_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE sources (source TEXT PRIMARY KEY, checkpoint TEXT NOT NULL) STRICT;
         CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         INSERT INTO meta VALUES ('journal', lower(hex(randomblob(16)))), ('pruned', '7');
         CREATE TABLE actions (id TEXT PRIMARY KEY, agent INTEGER NOT NULL, place INTEGER NOT NULL,
                               time_ms INTEGER NOT NULL, live INTEGER NOT NULL, queued INTEGER NOT NULL,
                               until_ms INTEGER NOT NULL, revert INTEGER NOT NULL, alert INTEGER,
                               dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE INDEX actions_time ON actions (time_ms);
         CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
         CREATE INDEX actions_waiting ON actions (agent, place) WHERE dispatch IS NOT NULL;
         CREATE INDEX actions_alert ON actions (alert) WHERE dispatch IS NOT NULL;
         CREATE INDEX actions_queued ON actions (until_ms) WHERE queued = 1;
         CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;
         CREATE TABLE alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
         CREATE TABLE heard (agent INTEGER PRIMARY KEY, journal TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
         INSERT INTO sources VALUES ('x', 'null');
         INSERT INTO alerts VALUES (9, x'616c');
         INSERT INTO heard VALUES (7, 'abababababababababababababababab', 12);
         PRAGMA user_version = 2;",
    )
    .unwrap();
    let Op::Dispatch {
        dispatch, record, ..
    } = dispatch(1)
    else {
        panic!("it is a dispatch");
    };
    let text = |record: &Record| serde_json::to_string(record).unwrap();
    let mut failing = Record::new(&action(2), ActionState::Reverting, NOW.wall);
    failing.detail = Some("no answer".to_owned());
    let over = Record::new(&action(3), ActionState::Reverted, NOW.wall);
    let add = |id: u8, live: bool, revert: bool, dispatch: Option<String>, record: &Record| {
        let waits = dispatch.is_some();
        old.execute(
            "INSERT INTO actions VALUES (?1, 0, ?2, 5, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            rusqlite::params![
                action(id).id.to_string(),
                (1i64 << 60) | i64::from(id),
                live,
                waits,
                i64::try_from(NOW.boot.millis()).unwrap(),
                revert,
                waits.then_some(9),
                dispatch,
                text(record)
            ],
        )
        .unwrap();
    };
    add(
        1,
        true,
        false,
        Some(serde_json::to_string(&*dispatch).unwrap()),
        &record,
    );
    add(2, true, true, None, &failing);
    add(3, false, false, None, &over);
    drop(old);

    let mut journal = Journal::<ManagerSchema>::open(&path).unwrap();
    let reader = ManagerReader::open(&path).unwrap();
    let waiting = reader.waiting(&AgentId::MANAGER, 10).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((&waiting[0].record, waiting[0].alert), (&*record, 9));
    assert_eq!(waiting[0].dispatch, *dispatch);
    assert_eq!(reader.numbers().unwrap(), (1, 9));
    assert_eq!(reader.overdue(NOW.boot).unwrap().len(), 1);
    assert_eq!(
        reader.to_revert(&AgentId::MANAGER, 9).unwrap(),
        [action(2).id]
    );
    assert_eq!(reader.taken(&AgentId::MANAGER).unwrap(), [failing]);
    assert_eq!(reader.record(action(3).id).unwrap(), Some(over));
    let counts = LiveCounts {
        pending: 1,
        in_force: 1,
        failing: 1,
    };
    assert_eq!(reader.counts().unwrap()[&AgentId::MANAGER], counts);
    assert_eq!(reader.heard().unwrap()[0].seq, 12);
    assert_eq!(reader.pruned().unwrap(), Some(Wall::from_millis(7)));
    // What is journalled from now on finds them.
    write(
        &mut journal,
        vec![taken(1), state(2, ActionState::Reverted)],
    )
    .await;
    assert_eq!(reader.waiting(&AgentId::MANAGER, 10).unwrap(), []);
    assert_eq!(reader.alert(9).unwrap(), None);
    assert_eq!(reader.to_revert(&AgentId::MANAGER, 9).unwrap(), []);
    assert!(reader.oldest().unwrap() < Some(NOW.wall));
}

/// Everything that is read of a journal, in an order that does not depend on how
/// it was written.
fn all_of(reader: &ManagerReader) -> String {
    let agents = [AgentId::MANAGER, AgentId::parse("7").unwrap()];
    let mut text = String::new();
    for agent in &agents {
        let waiting = reader.waiting(agent, 99).unwrap();
        let mut reverts = reader.to_revert(agent, 99).unwrap();
        reverts.sort();
        let mut taken = reader.taken(agent).unwrap();
        taken.sort_by_key(|record| record.action);
        text += &format!("{agent}: {waiting:?}\n{reverts:?}\n{taken:?}\n");
    }
    let mut history = reader.history(99).unwrap();
    history.sort_by_key(|record| record.action);
    let mut counts: Vec<_> = reader.counts().unwrap().into_iter().collect();
    counts.sort_by_key(|(agent, _)| agent.number());
    let alerts: Vec<_> = (0..40).map(|n| reader.alert(n).unwrap()).collect();
    let overdue = reader.overdue(NOW.boot.plus(Duration::from_secs(9_999)));
    text += &format!(
        "{history:?}\n{counts:?}\n{alerts:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        overdue.unwrap().len(),
        reader.heard().unwrap(),
        reader.oldest().unwrap(),
        reader.position("x").unwrap()
    );
    text
}

/// One of the operations that a manager makes, and some that it would not.
fn any_op(at: usize, (kind, number, more): (u8, u8, u8)) -> Vec<Op> {
    use ActionState::{Applied, Expired, Queued, Reverted, Reverting, Running, Sent};
    let agent = if more == 9 { "7" } else { "0" };
    let agent = AgentId::parse(agent).unwrap();
    let id = action(number).id;
    match kind {
        0..=2 => {
            let new = i64::try_from(at).unwrap();
            let mut dispatch = dispatch(number);
            if let Op::Dispatch { alert, number, .. } = &mut dispatch {
                (*alert, *number) = (new, new);
            }
            let body = vec![number; 3].into();
            vec![Op::Alert { number: new, body }, dispatch]
        }
        3..=6 => vec![Op::Taken { agent, action: id }],
        7..=12 => {
            let states = [
                Sent, Running, Running, Applied, Reverting, Reverted, Expired,
            ];
            let state = states[usize::from(more) % states.len()];
            let mut record = Record::new(&action(number), state, NOW.wall);
            record.agent.id = agent;
            if more % 2 == 0 {
                record.keys = crate::model::Keys::new(vec![format!("203.0.113.{more}")]).ok();
            }
            let heard = NOW.wall.plus(Duration::from_millis(more.into()));
            let record = Box::new(record);
            let record = record.into();
            vec![Op::Record { record, heard }]
        }
        13 => vec![Op::Revert { agent, action: id }],
        14 => vec![Op::Heard {
            agent,
            journal: crate::model::JournalId::from_bytes([more; 16]),
            seq: number.into(),
        }],
        15 => match dispatch(number) {
            Op::Dispatch { dispatch, .. } => {
                let span = Duration::from_secs(more.into());
                vec![Op::Retold(Box::new(Dispatch {
                    action: dispatch.action.clone(),
                    end: End::after(span, span, NOW, &boot_id()),
                }))]
            }
            _ => Vec::new(),
        },
        16 => vec![Op::Prune {
            before: NOW.wall.plus(Duration::from_millis(more.into())),
        }],
        _ => vec![state(number, Queued)],
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]
    #[test]
    fn what_is_committed_together_leads_to_the_same_as_one_by_one(
        ops in proptest::collection::vec((0u8..18, 1u8..5, 0u8..10), 1..40),
        cut in 0usize..40,
    ) {
        let writes = ops.into_iter().enumerate().map(|(at, op)| any_op(at, op));
        let writes: Vec<Vec<Op>> = writes.collect();
        let (first, second) = writes.split_at(cut.min(writes.len()));
        let groups = [writes.concat(), first.concat(), second.concat()];
        let after = |groups: Vec<&[Op]>| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("manager.db");
            let (mut connection, _) = crate::journal::open::<ManagerSchema>(&path).unwrap();
            for group in groups {
                let transaction = connection.transaction().unwrap();
                ManagerSchema::apply_all(&transaction, &group.iter().collect::<Vec<_>>()).unwrap();
                transaction.commit().unwrap();
            }
            all_of(&ManagerReader::open(&path).unwrap())
        };
        let one_by_one = after(groups[0].chunks(1).collect());
        proptest::prop_assert_eq!(&one_by_one, &after(vec![&groups[0]]));
        proptest::prop_assert_eq!(&one_by_one, &after(vec![&groups[1], &groups[2]]));
    }
}
