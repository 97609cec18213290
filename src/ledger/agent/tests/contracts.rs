//! Scripts that are spoken to in other ways than that of 4.x.

use super::host::{Host, keys};
use super::{add_ends, taken_in};
use crate::ledger::agent::Ending;
use crate::model::action::sample::action;
use crate::model::action::{Contract, Wanted};
use crate::model::{Action, ActionState, Mode};

use ActionState::{Already, Applied, Done, Failed, Reverted, Reverting, Running, Suppressed};

const WORDS: Contract = Contract::Argv(Wanted::ANYTHING);

fn script(number: u8, contract: Contract, timeout: Option<u64>) -> Action {
    Action {
        contract,
        ..action(number, "block.sh", timeout)
    }
}

/// How far a run has come when the process dies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Until {
    Started,
    Keys,
}

/// A script that was cut short.
struct Interrupted {
    contract: Contract,
    timeout: Option<u64>,
    until: Until,
    /// What becomes of it.
    states: &'static [ActionState],
    /// How often it has its effect then.
    effects: u32,
}

const fn cut(
    contract: Contract,
    timeout: Option<u64>,
    until: Until,
    states: &'static [ActionState],
    effects: u32,
) -> Interrupted {
    Interrupted {
        contract,
        timeout,
        until,
        states,
        effects,
    }
}

const INTERRUPTED: &[Interrupted] = &[
    // Its keys come first, so it has not been started.
    cut(
        WORDS,
        Some(60),
        Until::Started,
        &[Running, Running, Applied],
        1,
    ),
    cut(WORDS, None, Until::Started, &[Running, Running, Done], 1),
    // It may have acted: `delete`, then `add`.
    cut(WORDS, Some(60), Until::Keys, &[Running, Applied], 1),
    cut(WORDS, None, Until::Keys, &[Running, Failed], 1),
    cut(Contract::V5, Some(60), Until::Keys, &[Running, Applied], 1),
    cut(
        Contract::V5,
        Some(60),
        Until::Started,
        &[Running, Applied],
        1,
    ),
    cut(Contract::V5, None, Until::Started, &[Running, Failed], 0),
    cut(Contract::Json, None, Until::Keys, &[Running, Failed], 1),
    cut(
        Contract::Json,
        Some(60),
        Until::Started,
        &[Running, Failed],
        0,
    ),
];

#[test]
fn what_becomes_of_an_interrupted_script_depends_on_what_it_may_have_done() {
    for case in INTERRUPTED {
        let Interrupted {
            contract,
            timeout,
            until,
            states,
            effects,
        } = case;
        let case = format!("{} {timeout:?} {until:?}", contract.name());
        let mut host = Host::new();
        let id = taken_in(&mut host, script(1, *contract, *timeout), false);
        host.targets.insert(id, 9);
        let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
        host.take(changes);
        let place = ("block.sh".to_owned(), 9);
        if *until == Until::Keys {
            let (_, changes) = host.ledger.keys(id, &keys(9), host.now);
            host.take(changes);
            host.effects.insert(place.clone(), 1);
        }
        host.restart(false);
        assert_eq!(host.states(1), *states, "{case}");
        assert_eq!(
            host.effects.get(&place).copied().unwrap_or(0),
            *effects,
            "{case}"
        );
        if timeout.is_some() && states.last() == Some(&Applied) {
            host.pass(60);
            assert!(!host.is_blocked(9), "{case}");
        }
    }
}

#[test]
fn a_script_that_had_not_been_started_lifts_nothing_of_another_after_a_crash() {
    let mut host = Host::new();
    host.accept(script(1, WORDS, Some(60)), 9);
    let second = taken_in(&mut host, script(2, WORDS, Some(90)), false);
    host.targets.insert(second, 9);
    let changes = host.ledger.start(second, Mode::Add, host.now).unwrap();
    host.take(changes);
    host.restart(false);
    assert_eq!(host.states(2), [Running, Running, Already]);
    assert_eq!(host.effects.values().copied().collect::<Vec<_>>(), [1]);
    host.pass(89);
    assert!(host.is_blocked(9));
    host.pass(1);
    assert!(!host.is_blocked(9));
}

#[test]
fn what_a_stop_would_have_lifted_begins_at_the_next_start_if_it_had_not() {
    let mut host = Host::new();
    let id = taken_in(&mut host, script(1, WORDS, Some(60)), false);
    host.targets.insert(id, 9);
    let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.take(changes);
    let changes = host.ledger.lift(id, host.now).unwrap();
    host.take(changes);
    host.restart(false);
    assert_eq!(host.states(1), [Running, Running, Applied]);
    assert!(host.is_blocked(9));
    assert_eq!(host.last(1).detail, None);
}

#[test]
fn what_a_person_took_back_before_it_was_started_is_not_started_after_a_crash() {
    let mut host = Host::new();
    let id = taken_in(&mut host, script(1, WORDS, Some(60)), false);
    host.targets.insert(id, 9);
    let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
    host.take(changes);
    let asked = host.ledger.ask_revert(id, host.now).unwrap();
    host.take(asked);
    host.restart(false);
    assert_eq!(host.states(1), [Running, Suppressed]);
    assert!(!host.is_blocked(9));
}

/// Contract, `<revert>`, whether it names its keys, and the states to its end.
const REVERTED: &[(Contract, Option<bool>, bool, &[ActionState])] = &[
    (WORDS, None, true, &[Running, Applied, Reverting, Reverted]),
    (WORDS, Some(false), true, &[Running, Done]),
    (
        Contract::V5,
        None,
        true,
        &[Running, Applied, Reverting, Reverted],
    ),
    (
        Contract::V5,
        None,
        false,
        &[Running, Applied, Reverting, Reverted],
    ),
    (Contract::V5, Some(false), false, &[Running, Done]),
    (Contract::Json, None, false, &[Running, Done]),
    (
        Contract::Json,
        Some(true),
        false,
        &[Running, Applied, Reverting, Reverted],
    ),
];

#[test]
fn only_a_script_of_4_x_must_name_its_keys_to_be_reverted() {
    for (contract, revert, named, states) in REVERTED {
        let mut host = Host::new();
        let wanted = Action {
            revert: *revert,
            ..script(1, *contract, Some(60))
        };
        let id = taken_in(&mut host, wanted, false);
        host.targets.insert(id, 9);
        let changes = host.ledger.start(id, Mode::Add, host.now).unwrap();
        host.take(changes);
        if *named {
            let (_, changes) = host.ledger.keys(id, &keys(9), host.now);
            host.take(changes);
        }
        host.finish(id, Mode::Add, Ending::Exited(0));
        host.pass(60);
        assert_eq!(
            host.states(1),
            *states,
            "{} {revert:?} {named}",
            contract.name()
        );
    }
}

#[test]
fn a_script_that_could_not_be_started_with_its_words_has_nothing_to_take_back() {
    let mut host = Host::new();
    let id = taken_in(&mut host, script(1, WORDS, Some(60)), false);
    add_ends(
        &mut host,
        id,
        9,
        Ending::NotStarted("it is gone".to_owned()),
    );
    assert_eq!(host.states(1), [Running, Failed]);
    assert!(host.runs.is_empty());
    // One that ran and failed may have.
    let id = taken_in(&mut host, script(2, WORDS, Some(60)), false);
    add_ends(&mut host, id, 9, Ending::Exited(1));
    assert_eq!(host.runs.pop_front(), Some((id, Mode::Delete)));
}
