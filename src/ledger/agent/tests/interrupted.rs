//! What the next start makes of what a crash or a reboot has interrupted.

use std::time::Duration;

use super::host::{Host, keys};
use super::{add_ends, taken_in};
use crate::clock::BootId;
use crate::ledger::agent::{Ending, Ledger, Verdict};
use crate::model::action::sample::action;
use crate::model::{ActionState, Mode};
use ActionState::{Already, Applied, Failed, Reverted, Running};

/// Where the process dies, and what becomes of the action at the next start.
const INTERRUPTED: &[(&str, bool, &str, &[ActionState])] = &[
    (
        "a bundled executable is run again",
        true,
        "firewall-drop",
        &[Running, Applied],
    ),
    (
        "a script that had named its keys gets delete, then add",
        true,
        "block.sh",
        &[Running, Applied],
    ),
    (
        "any other script is not run again",
        false,
        "block.sh",
        &[Running, Failed],
    ),
];

#[test]
fn an_interrupted_add_is_repeated_only_where_that_does_no_harm() {
    for (why, named_keys, executable, wanted) in INTERRUPTED {
        let mut host = Host::new();
        let id = host.begin(action(1, executable, Some(60)), 9);
        if *named_keys {
            host.name_keys(id, 9);
            host.effects.insert(((*executable).to_owned(), 9), 1);
        }
        host.restart(false);
        assert_eq!(host.states(1), *wanted, "{why}");
        let in_force = wanted.last() == Some(&Applied);
        assert_eq!(
            host.effects.get(&((*executable).to_owned(), 9)),
            in_force.then_some(&1),
            "{why}"
        );
        host.pass(60);
        assert!(!host.is_blocked(9), "{why}");
    }
}

#[test]
fn a_script_that_was_told_to_abort_does_not_undo_its_holder_after_a_crash() {
    let mut host = Host::new();
    host.accept(action(1, "block.sh", Some(60)), 9);
    let id = host.begin(action(2, "block.sh", Some(60)), 9);
    assert_eq!(host.name_keys(id, 9), Verdict::Abort);
    host.restart(false);
    assert!(host.is_blocked(9));
    assert_eq!(host.last(2).state, Already);
}

#[test]
fn a_reboot_puts_kernel_state_back_and_lifts_what_ended_meanwhile() {
    let mut host = Host::new();
    host.accept(action(1, "firewall-drop", Some(600)), 1);
    host.accept(action(2, "firewall-drop", Some(60)), 2);
    host.accept(action(3, "firewall-drop", None), 3);
    host.now.wall = host.now.wall.plus(Duration::from_secs(100));
    host.restart(true);
    assert!(host.is_blocked(1) && !host.is_blocked(2) && host.is_blocked(3));
    assert_eq!(host.last(2).state, Reverted);
    host.pass(500);
    assert!(!host.is_blocked(1) && host.is_blocked(3));
}

#[test]
fn an_interrupted_script_that_is_never_reverted_holds_its_keys_no_longer() {
    let mut host = Host::new();
    let mut notifier = action(1, "notify.sh", Some(60));
    notifier.revert = Some(false);
    let first = taken_in(&mut host, notifier, false);
    let changes = host.ledger.start(first, Mode::Add, host.now).unwrap();
    host.take(changes);
    let (_, changes) = host.ledger.keys(first, &keys(7), host.now);
    host.take(changes);

    let mut ledger = Ledger::new(BootId("0".into()));
    ledger.load(host.stored[&first].clone().into(), host.now);
    host.ledger = ledger;
    let changes = host.ledger.recover(host.now);
    host.take(changes);
    assert_eq!(host.records.last().unwrap().state, ActionState::Failed);
    host.ledger.remove_ended(first);

    let second = taken_in(&mut host, action(2, "notify.sh", Some(60)), false);
    let verdict = add_ends(&mut host, second, 7, Ending::Exited(0));
    assert!(matches!(verdict, Verdict::Continue { .. }), "{verdict:?}");
}
