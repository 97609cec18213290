mod contracts;
mod counting;
mod host;
mod interrupted;
mod stories;

use std::time::Duration;

use super::{Ending, Finished, KERNEL_GRACE, Ledger, Step, Verdict};
use crate::clock::BootId;
use crate::contract::reply::{RunResult, Status};
use crate::model::action::sample::action;
use crate::model::{Action, ActionId, ActionState, Keys, Mode};
use host::{Host, keys};

use ActionState::{Already, Applied, Done, Expired, Failed, Reverted, Reverting, Running};

#[test]
fn a_block_is_lifted_at_its_end_and_not_before() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    host.pass(59);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
    assert_eq!(host.states(1), [Running, Applied, Reverting, Reverted]);
}

#[test]
fn a_repeat_moves_the_end_of_the_first_and_ends_as_already() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    host.pass(30);
    host.accept(action(2, "firewall-drop", Some(60)), 9);
    assert_eq!(host.states(1), [Running, Applied, Applied]);
    assert_eq!(host.states(2), [Running, Already]);
    assert_eq!(host.last(2).until, host.last(1).until);
    host.pass(59);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
    assert_eq!(host.last(1).state, Reverted);
    assert_eq!(host.last(2).state, Already);
}

#[test]
fn a_shorter_repeat_changes_nothing() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    host.accept(action(2, "firewall-drop", Some(5)), 9);
    assert_eq!(host.states(1), [Running, Applied]);
    host.pass(59);
    assert!(host.is_blocked(9));
}

#[test]
fn a_timed_repeat_of_a_ban_without_end_does_not_end_it() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", None), 9);
    host.accept(action(2, "firewall-drop", Some(5)), 9);
    assert_eq!(host.last(2).until, None);
    host.pass(1_000_000);
    assert!(host.is_blocked(9));
    assert_eq!(host.states(1), [Running, Applied]);
    let changes = host
        .ledger
        .ask_revert(ActionId::from_bytes([1; 16]), host.now);
    host.take(changes.unwrap());
    host.work();
    assert!(!host.is_blocked(9));
}

#[test]
fn a_ban_without_end_on_top_of_a_timed_block_has_no_end() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    host.accept(action(2, "firewall-drop", None), 9);
    host.pass(1_000_000);
    assert!(host.is_blocked(9));
}

#[test]
fn an_action_that_does_not_begin_in_time_expires_by_itself_also_after_a_reboot() {
    // (timeout, patience, what its end or the patience leaves)
    for (timeout, patience) in [(Some(60), None), (None, Some(60))] {
        for reboots in [false, true] {
            let mut host = Host::new();
            let waits = action(1, "firewall-drop", timeout);
            let id = waits.id;
            let left = waits.timeout;
            let changes = host.ledger.accept(waits, true, left, host.now);
            if let Some(patience) = patience {
                let patience = Duration::from_secs(patience);
                host.ledger.begin_within(id, patience, host.now);
            }
            host.take(changes);
            if reboots {
                let stored = host.ledger.entry(id).unwrap().clone();
                let text = serde_json::to_string(&stored).unwrap();
                host.ledger = Ledger::new(BootId("another".into()));
                host.ledger
                    .load(serde_json::from_str(&text).unwrap(), host.now);
                let changes = host.ledger.recover(host.now);
                host.take(changes);
            }
            host.pass(59);
            assert_eq!(host.states(1), []);
            host.pass(1);
            assert_eq!(host.states(1), [Expired], "{timeout:?} {reboots}");
            assert!(host.ledger.start(id, Mode::Add, host.now).is_none());
            assert_eq!(host.ledger.next_due(), None);
        }
    }
}

#[test]
fn an_end_that_comes_while_an_effect_is_put_back_lines_up_no_other_run_of_it() {
    let mut host = Host::new();
    let block = action(1, "firewall-drop", Some(60));
    let id = block.id;
    host.accept(block, 9);
    let stored = host.ledger.entry(id).unwrap().clone();
    host.ledger = Ledger::new(BootId("0".into()));
    host.ledger.load(stored.into(), host.now);
    let changes = host.ledger.recover(host.now);
    assert_eq!(changes.runs, [(id, Mode::Add)]);
    host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.now.boot = host.now.boot.plus(Duration::from_secs(61));
    assert_eq!(host.ledger.due(host.now).runs, []);
    let restored = Finished {
        ending: Ending::Reported(RunResult {
            status: Status::Applied,
            detail: None,
            backend: None,
            exit_code: None,
            hits: None,
            stderr: None,
        }),
        exit_code: Some(0),
        stderr: None,
        detail: None,
        duration_ms: None,
    };
    let _ = host.ledger.finish(id, Mode::Add, &restored, host.now);
    assert_eq!(host.ledger.due(host.now).runs, [(id, Mode::Delete)]);
}

#[test]
fn the_wall_clock_is_asked_for_an_end_once_in_each_boot() {
    // (executable, whether it has begun, timeout, patience)
    for (executable, begins, timeout, patience) in [
        ("block.sh", true, Some(60), None),
        ("firewall-drop", true, Some(60), None),
        ("block.sh", false, Some(60), None),
        ("block.sh", false, None, Some(60)),
    ] {
        let mut host = Host::new();
        let blocks = action(1, executable, timeout);
        let id = blocks.id;
        host.targets.insert(id, 9);
        let (left, bundled) = (blocks.timeout, executable == "firewall-drop");
        let changes = host.ledger.accept(blocks, bundled, left, host.now);
        if let Some(patience) = patience {
            let patience = Duration::from_secs(patience);
            host.ledger.begin_within(id, patience, host.now);
        }
        host.take(changes);
        if begins {
            host.run(id, Mode::Add);
        }
        let start = |host: &mut Host, boot: &str| {
            let text = serde_json::to_string(&host.stored[&id]).unwrap();
            host.ledger = Ledger::new(BootId(boot.into()));
            let stored = serde_json::from_str(&text).unwrap();
            host.ledger.load(stored, host.now);
            let changes = host.ledger.recover(host.now);
            host.take(changes);
            host.work();
        };
        start(&mut host, "another");
        // Somebody sets the clock, and the daemon is restarted.
        host.now.wall = host.now.wall.plus(Duration::from_secs(86_400));
        start(&mut host, "another");
        let known = host.ledger.entry(id).unwrap();
        assert_ne!(known.step, Step::Reverting, "{executable}");
        let wakes = host.ledger.next_due().unwrap();
        let left = host.now.boot.until(wakes);
        assert_eq!(left, Duration::from_secs(60), "{executable} {begins}");
    }
}

#[test]
fn patience_ends_with_the_wait_and_not_what_is_in_force() {
    let mut host = Host::new();
    let waits = action(1, "firewall-drop", None);
    let id = waits.id;
    host.targets.insert(id, 9);
    let changes = host.ledger.accept(waits, true, None, host.now);
    host.ledger
        .begin_within(id, Duration::from_secs(60), host.now);
    host.take(changes);
    host.pass(59);
    host.run(id, Mode::Add);
    assert_eq!(host.ledger.next_due(), None);
    host.pass(1_000_000);
    assert!(host.is_blocked(9));
    assert_eq!(host.states(1), [Running, Applied]);
}

#[test]
fn a_script_that_repeats_is_told_to_abort_and_prolongs() {
    let mut host = Host::new();
    host.accept(action(1, "block.sh", Some(60)), 9);
    host.pass(30);
    host.accept(action(2, "block.sh", Some(60)), 9);
    assert_eq!(host.effects[&("block.sh".to_owned(), 9)], 1);
    assert_eq!(host.states(2), [Running, Already]);
    host.pass(59);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
}

#[test]
fn a_script_without_timeout_runs_for_every_alert_and_is_done() {
    let mut host = Host::new();
    host.accept(action(1, "notify.sh", None), 9);
    host.accept(action(2, "notify.sh", None), 9);
    assert_eq!(host.effects[&("notify.sh".to_owned(), 9)], 2);
    assert_eq!(host.states(1), [Running, Done]);
    assert_eq!(host.states(2), [Running, Done]);
}

#[test]
fn a_revert_that_is_not_confirmed_is_tried_after_1_5_30_and_then_every_300_seconds() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(10)), 9);
    host.broken = true;
    host.pass(10);
    let mut due = Vec::new();
    for _ in 0..5 {
        let at = host.ledger.next_due().unwrap();
        let pause = host.now.boot.until(at).as_secs();
        due.push(pause);
        host.pass(pause);
    }
    assert_eq!(due, [1, 5, 30, 300, 300]);
    assert_eq!(host.states(1), [Running, Applied, Reverting, Reverting]);
    host.broken = false;
    host.pass(300);
    assert!(!host.is_blocked(9));
    assert_eq!(host.last(1).state, Reverted);
}

#[test]
fn keys_are_foreseen_and_kept_unless_another_action_holds_them() {
    let mut host = Host::new();
    let [first, second] = [1, 2].map(|number| {
        let block = action(number, "firewall-drop", Some(60));
        taken_in(&mut host, block, true)
    });
    let keys = Keys::new(vec!["203.0.113.9".to_owned()]).unwrap();
    let begin = |host: &mut Host, id| host.ledger.start(id, Mode::Add, host.now).is_some();
    assert!(begin(&mut host, first) && begin(&mut host, second));
    let (expires, changes) = host.ledger.foresee(first, &keys, host.now).unwrap();
    assert_eq!(expires, Some(Duration::from_secs(60) + KERNEL_GRACE));
    assert_eq!(changes.changed, [first]);
    let entry = host.ledger.entry(first).unwrap();
    assert_eq!(
        (entry.keys.as_ref(), entry.printed_keys),
        (Some(&keys), false)
    );
    // The other waits for its outcome, as if it had named them.
    assert!(host.ledger.foresee(second, &keys, host.now).is_none());
    let (verdict, _) = host.ledger.keys(second, &keys, host.now);
    assert_eq!(verdict, Verdict::Wait);
    // Known already, nothing is to be written.
    let (_, changes) = host.ledger.foresee(first, &keys, host.now).unwrap();
    assert_eq!(changes.changed, []);
    // One that was never carried out holds nothing.
    ends(
        &mut host,
        first,
        Mode::Add,
        Ending::NotStarted("why".to_owned()),
    );
    assert_eq!(host.states(1).last(), Some(&Failed));
    assert!(host.ledger.foresee(second, &keys, host.now).is_some());
    let nothing = Keys::default();
    assert!(host.ledger.foresee(second, &nothing, host.now).is_none());
}

type BreaksOff = fn(String) -> Ending;

/// Without keys: whose executable, whether its command wants it reverted, how its
/// add ends, and whether that is taken back.
const BROKEN_OFF: &[(&str, Option<bool>, BreaksOff, bool)] = &[
    ("block.sh", Some(true), Ending::Broke, true),
    ("block.sh", Some(true), |_| Ending::Exited(1), true),
    ("block.sh", Some(true), Ending::NotStarted, false),
    ("block.sh", None, Ending::Broke, false),
    ("firewall-drop", None, Ending::Broke, false),
];

#[test]
fn an_add_that_breaks_off_without_keys_is_taken_back_where_its_command_says_so() {
    for (executable, revert, ending, is_taken_back) in BROKEN_OFF {
        let mut host = Host::new();
        let broken = Action {
            revert: *revert,
            ..action(1, executable, Some(60))
        };
        host.targets.insert(broken.id, 9);
        let id = taken_in(&mut host, broken, *executable == "firewall-drop");
        let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
        host.take(changes);
        ends(&mut host, id, Mode::Add, ending("why".to_owned()));
        let runs = Vec::from_iter(host.runs.iter().copied());
        host.work();
        let (wanted, states): (&[_], &[_]) = match is_taken_back {
            true => (&[(id, Mode::Delete)], &[Running, Reverting, Failed]),
            false => (&[], &[Running, Failed]),
        };
        assert_eq!(runs, wanted, "{executable} {revert:?}");
        assert_eq!(host.states(1), states, "{executable} {revert:?}");
    }
}

#[test]
fn a_delete_of_a_script_that_could_not_be_started_is_run_later_and_then_once() {
    for (ending, state) in [
        (Ending::Exited(0), Reverted),
        (Ending::Exited(1), Failed),
        (Ending::Broke("ran into its time limit".to_owned()), Failed),
    ] {
        let mut host = Host::new();
        let block = action(1, "block.sh", Some(10));
        let id = block.id;
        host.accept(block, 9);
        host.now.boot = host.now.boot.plus(Duration::from_secs(10));
        let changes = host.ledger.due(host.now);
        host.take(changes);
        for pause in [1, 5, 30] {
            assert_eq!(host.runs.pop_front(), Some((id, Mode::Delete)));
            let changes = host.ledger.start(id, Mode::Delete, host.now).unwrap();
            host.take(changes);
            let why = "it does not exist any more".to_owned();
            ends(&mut host, id, Mode::Delete, Ending::NotStarted(why));
            assert_eq!(host.states(1).last(), Some(&Reverting));
            host.now.boot = host.now.boot.plus(Duration::from_secs(pause));
            let changes = host.ledger.due(host.now);
            host.take(changes);
        }
        assert_eq!(host.runs.pop_front(), Some((id, Mode::Delete)));
        let changes = host.ledger.start(id, Mode::Delete, host.now).unwrap();
        host.take(changes);
        ends(&mut host, id, Mode::Delete, ending);
        assert_eq!(host.last(1).state, state);
        assert_eq!(host.ledger.next_due(), None);
    }
}

#[test]
fn an_alert_during_a_failing_revert_takes_the_block_over() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(10)), 9);
    host.broken = true;
    host.pass(10);
    host.broken = false;
    host.accept(action(2, "firewall-drop", Some(60)), 9);
    host.pass(59);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
    assert_eq!(host.last(1).state, Reverted);
}

#[test]
fn an_add_that_breaks_off_is_taken_back_and_then_failed() {
    let mut host = Host::new();
    let broken = action(1, "block.sh", Some(60));
    let id = broken.id;
    host.targets.insert(id, 9);
    let changes = host
        .ledger
        .accept(broken, false, Some(Duration::from_secs(60)), host.now);
    host.take(changes);
    let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.take(changes);
    let (_, changes) = host.ledger.keys(id, &keys(9), host.now);
    host.take(changes);
    host.effects.insert(("block.sh".to_owned(), 9), 1);
    host.finish(
        id,
        Mode::Add,
        Ending::Broke("ran into its time limit".to_owned()),
    );
    host.work();
    assert!(!host.is_blocked(9));
    assert_eq!(host.states(1), [Running, Reverting, Failed]);
    assert_eq!(
        host.last(1).detail.as_deref(),
        Some("ran into its time limit")
    );
}

#[test]
fn a_failed_repeat_leaves_the_block_of_the_first_alone() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    let repeat = action(2, "firewall-drop", Some(600));
    let id = repeat.id;
    let changes = host
        .ledger
        .accept(repeat, true, Some(Duration::from_secs(600)), host.now);
    host.take(changes);
    let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.take(changes);
    let (_, changes) = host.ledger.keys(id, &keys(9), host.now);
    host.take(changes);
    host.finish(
        id,
        Mode::Add,
        Ending::Broke("was ended by signal 9".to_owned()),
    );
    host.work();
    assert_eq!(host.states(2), [Running, Failed]);
    host.pass(59);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
}

#[test]
fn what_a_repeat_has_in_force_that_is_to_be_taken_back_is_taken_back() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(60)), 9);
    let holder = action(1, "firewall-drop", None).id;
    let repeat = taken_in(&mut host, action(2, "firewall-drop", Some(600)), true);
    let changes = host.ledger.start(repeat, Mode::Add, host.now).unwrap();
    host.take(changes);
    // Both are to be taken back, and the repeat names its keys only then.
    for id in [holder, repeat] {
        let changes = host.ledger.lift(id, host.now).unwrap();
        host.take(changes);
    }
    let (_, changes) = host.ledger.keys(repeat, &keys(9), host.now);
    host.take(changes);
    host.finish(repeat, Mode::Add, reported(Status::Applied));
    host.work();
    assert!(!host.is_blocked(9));
    assert_eq!(host.last(1).state, ActionState::Reverted);
}

/// Keys are decided on, and the run ends as told.
fn add_ends(host: &mut Host, id: ActionId, target: u8, ending: Ending) -> Verdict {
    let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.take(changes);
    let (verdict, changes) = host.ledger.keys(id, &keys(target), host.now);
    host.take(changes);
    if verdict != Verdict::Wait {
        ends(host, id, Mode::Add, ending);
    }
    verdict
}

fn ends(host: &mut Host, id: ActionId, kind: Mode, ending: Ending) {
    let finished = Finished {
        ending,
        exit_code: None,
        stderr: None,
        detail: None,
        duration_ms: None,
    };
    let changes = host.ledger.finish(id, kind, &finished, host.now);
    host.take(changes);
}

fn taken_in(host: &mut Host, action: Action, bundled: bool) -> ActionId {
    let (id, left) = (action.id, action.timeout);
    let changes = host.ledger.accept(action, bundled, left, host.now);
    host.take(changes);
    id
}

fn reported(status: Status) -> Ending {
    Ending::Reported(RunResult {
        status,
        detail: None,
        backend: None,
        exit_code: None,
        hits: None,
        stderr: None,
    })
}

#[test]
fn what_a_block_has_dropped_is_told_with_its_end() {
    let mut host = Host::new();
    let first = taken_in(&mut host, action(1, "firewall-drop", Some(60)), true);
    let hits = |status, hits| {
        let Ending::Reported(result) = reported(status) else {
            unreachable!("it is reported");
        };
        Ending::Reported(RunResult { hits, ..result })
    };
    add_ends(&mut host, first, 7, hits(Status::Applied, None));
    assert_eq!(host.records.last().unwrap().hits, None);
    let second = taken_in(&mut host, action(2, "firewall-drop", Some(60)), true);
    add_ends(&mut host, second, 7, hits(Status::Applied, Some(3)));
    let already = host.records.iter().rfind(|record| record.action == second);
    let already = already.unwrap();
    assert_eq!(
        (already.state, already.hits),
        (ActionState::Already, Some(3))
    );
    let changes = host.ledger.ask_revert(first, host.now).unwrap();
    host.take(changes);
    let changes = host.ledger.start(first, Mode::Delete, host.now).unwrap();
    host.take(changes);
    ends(
        &mut host,
        first,
        Mode::Delete,
        hits(Status::Reverted, Some(17)),
    );
    let last = host.records.last().unwrap();
    assert_eq!((last.state, last.hits), (ActionState::Reverted, Some(17)));
}

#[test]
fn a_bundled_repeat_does_not_wait_for_the_retries_of_an_undoing() {
    let mut host = Host::new();
    let first = taken_in(&mut host, action(1, "firewall-drop", Some(60)), true);
    add_ends(&mut host, first, 7, Ending::Broke("killed".to_owned()));
    let changes = host.ledger.start(first, Mode::Delete, host.now).unwrap();
    host.take(changes);
    ends(&mut host, first, Mode::Delete, reported(Status::Failed));
    assert_eq!(host.ledger.entry(first).unwrap().step, Step::Undoing);

    let second = taken_in(&mut host, action(2, "firewall-drop", Some(600)), true);
    let verdict = add_ends(&mut host, second, 7, reported(Status::Applied));
    assert!(matches!(verdict, Verdict::Continue { .. }), "{verdict:?}");
    let held = host.ledger.entry(first).unwrap();
    assert_eq!((held.step, &held.failure), (Step::InForce, &None));
    assert_eq!(
        held.left(host.now, &BootId("0".into())),
        Some(Duration::from_secs(600))
    );
}

#[test]
fn a_wish_to_revert_does_not_outlive_the_revert_it_began() {
    let mut host = Host::new();
    let first = taken_in(&mut host, action(1, "firewall-drop", Some(60)), true);
    let changes = host.ledger.start(first, Mode::Add, host.now).unwrap();
    host.take(changes);
    let (_, changes) = host.ledger.keys(first, &keys(7), host.now);
    host.take(changes);
    let changes = host.ledger.ask_revert(first, host.now).unwrap();
    host.take(changes);
    ends(&mut host, first, Mode::Add, reported(Status::Applied));
    let changes = host.ledger.start(first, Mode::Delete, host.now).unwrap();
    host.take(changes);
    ends(&mut host, first, Mode::Delete, reported(Status::Failed));

    let second = taken_in(&mut host, action(2, "firewall-drop", Some(600)), true);
    add_ends(&mut host, second, 7, reported(Status::Applied));
    assert_eq!(host.ledger.entry(first).unwrap().step, Step::InForce);
}

#[test]
fn only_what_is_in_force_is_told_as_verified_and_with_an_end() {
    let mut host = Host::new();
    let id = taken_in(&mut host, action(1, "firewall-drop", Some(60)), true);
    let boot_id = BootId("0".into());
    let told = |host: &Host| {
        host.ledger
            .entry(id)
            .unwrap()
            .in_force_record(host.now, &boot_id)
    };
    assert_eq!((told(&host).verified, told(&host).until), (None, None));
    add_ends(&mut host, id, 7, reported(Status::Applied));
    let applied = told(&host);
    assert_eq!(
        (applied.state, applied.verified),
        (ActionState::Applied, Some(true))
    );
    assert!(applied.until.is_some());
    let changes = host.ledger.ask_revert(id, host.now).unwrap();
    host.take(changes);
    let reverting = told(&host);
    assert_eq!(
        (reverting.state, reverting.verified),
        (ActionState::Reverting, None)
    );
    assert_eq!(reverting.until, None);
}
