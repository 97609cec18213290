//! Targets that come again are held longer, and each block counts once.

use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use crate::ledger::agent::{Ending, Step};
use crate::model::action::sample;
use crate::model::offenders::AppliesTo;
use crate::model::{Action, ActionId, ActionState, Mode, RepeatedOffenders, Steps};

const KINDS: [&str; 2] = ["firewall-drop", "block.sh"];

fn id(number: u8) -> ActionId {
    ActionId::from_bytes([number; 16])
}

/// How long the last record of an action says that it lasts, and what it remarks.
fn told(host: &Host, number: u8) -> (Option<u64>, Option<&str>) {
    let record = host.last(number);
    (record.timeout, record.detail.as_deref())
}

#[test]
fn each_block_lasts_as_long_as_its_step_and_says_so_until_it_is_over() {
    for kind in KINDS {
        let mut host = Host::new();
        host.rule(&[60, 7_200]);
        for (number, seconds, remark) in [
            (1, 10, None),
            (2, 60, Some("offence 2: 1 min")),
            (3, 7_200, Some("offence 3: 2 h")),
            (4, 7_200, Some("offence 4: 2 h")),
        ] {
            host.accept(sample::action(number, kind, Some(10)), 9);
            let until = host.now.wall.plus(Duration::from_secs(seconds));
            assert_eq!(host.last(number).until, Some(until), "{kind}");
            assert_eq!(told(&host, number), (Some(seconds), remark), "{kind}");
            host.pass(seconds - 1);
            assert!(host.is_blocked(9), "{kind} {number}");
            host.pass(1);
            assert!(!host.is_blocked(9), "{kind} {number}");
            assert_eq!(host.last(number).state, ActionState::Reverted);
            assert_eq!(told(&host, number), (Some(seconds), remark), "{kind}");
        }
        // Another target is another matter.
        host.accept(sample::action(5, kind, Some(10)), 8);
        assert_eq!(told(&host, 5), (Some(10), None));
    }
}

#[test]
fn the_time_of_a_step_runs_from_the_alert_like_that_of_the_timeout() {
    let mut host = Host::new();
    host.rule(&[60]);
    host.accept(sample::action(1, "firewall-drop", Some(10)), 9);
    host.pass(10);
    let late = sample::action(2, "firewall-drop", Some(10));
    host.targets.insert(late.id, 9);
    let left = Some(Duration::from_secs(4));
    let changes = host.ledger.accept(late, true, left, host.now);
    host.take(changes);
    host.run(id(2), Mode::Add);
    let until = host.now.wall.plus(Duration::from_secs(54));
    assert_eq!(host.last(2).until, Some(until));
}

#[test]
fn a_repeat_of_what_is_in_force_prolongs_it_and_does_not_count() {
    for kind in KINDS {
        let mut host = Host::new();
        host.rule(&[60, 120]);
        for number in 1..=5 {
            host.accept(sample::action(number, kind, Some(10)), 9);
            host.pass(5);
        }
        assert_eq!(told(&host, 1).0, Some(10), "{kind}");
        host.pass(4);
        assert!(host.is_blocked(9), "{kind}: it was prolonged");
        host.pass(1);
        assert!(!host.is_blocked(9), "{kind}");
        host.accept(sample::action(6, kind, Some(10)), 9);
        assert_eq!(told(&host, 6), (Some(60), Some("offence 2: 1 min")));
        // Nor does a longer repeat shorten what a step has given.
        host.accept(sample::action(7, kind, Some(20)), 9);
        host.pass(59);
        assert!(host.is_blocked(9), "{kind}");
    }
}

#[test]
fn quiet_begins_at_the_end_to_which_a_block_was_prolonged() {
    const DAY: u64 = 86_400;
    let mut host = Host::new();
    host.rule(&[60]);
    host.accept(sample::action(1, "firewall-drop", Some(10)), 9);
    host.accept(sample::action(2, "firewall-drop", Some(2 * DAY)), 9);
    host.pass(3 * DAY - 60);
    host.accept(sample::action(3, "firewall-drop", Some(10)), 9);
    assert_eq!(told(&host, 3).0, Some(60));
    host.pass(60 + DAY);
    host.accept(sample::action(4, "firewall-drop", Some(10)), 9);
    // One quiet day: the step that there is has been taken back.
    assert_eq!(told(&host, 4).0, Some(10));
}

/// Lets the process die at each commit of the second block, and looks what the
/// third one is.
#[test]
fn whatever_dies_at_whichever_commit_each_block_counts_once() {
    for kind in KINDS {
        let mut tried = 0;
        for commits in 1.. {
            let mut host = Host::new();
            host.rule(&[60, 120]);
            host.accept(sample::action(1, kind, Some(10)), 9);
            host.pass(10);
            host.dies_after = Some(commits);
            host.accept(sample::action(2, kind, Some(10)), 9);
            let died = host.dies_after == Some(0);
            host.restart(commits % 2 == 0);
            // A script whose keys nobody knew is not run again: there is no block.
            let failed = host.last(2).state == ActionState::Failed;
            assert_eq!(failed, kind == "block.sh" && commits == 2);
            if !failed {
                assert!(host.is_blocked(9), "{kind} {commits}");
                assert_eq!(told(&host, 2).0, Some(60), "{kind} {commits}");
            }
            host.pass(60);
            assert!(!host.is_blocked(9), "{kind} {commits}");
            host.accept(sample::action(3, kind, Some(10)), 9);
            let wanted = match failed {
                true => (Some(60), Some("offence 2: 1 min")),
                false => (Some(120), Some("offence 3: 2 min")),
            };
            assert_eq!(told(&host, 3), wanted, "{kind} {commits}");
            tried = commits;
            if !died {
                break;
            }
        }
        assert!(tried > 3, "{kind}: died at {tried} commits only");
    }
}

#[test]
fn what_was_interrupted_and_is_over_at_the_next_start_has_counted() {
    let mut host = Host::new();
    host.rule(&[60, 120]);
    // Accepted, started, and its keys are known: then it dies.
    host.dies_after = Some(3);
    host.accept(sample::action(1, "block.sh", Some(10)), 9);
    assert_eq!(host.stored[&id(1)].step, Step::Adding);
    host.now.boot = host.now.boot.plus(Duration::from_secs(30));
    host.now.wall = host.now.wall.plus(Duration::from_secs(30));
    host.restart(false);
    assert_eq!(host.last(1).state, ActionState::Reverted);
    host.accept(sample::action(2, "block.sh", Some(10)), 9);
    assert_eq!(told(&host, 2).0, Some(60));
}

#[test]
fn what_did_not_come_into_force_does_not_count() {
    let mut host = Host::new();
    host.rule(&[60]);
    let fails = sample::action(1, "firewall-drop", Some(10));
    host.begin(fails, 9);
    host.name_keys(id(1), 9);
    host.finish(id(1), Mode::Add, Ending::Broke("killed".to_owned()));
    host.work();
    assert_eq!(host.last(1).state, ActionState::Failed);
    host.accept(sample::action(2, "firewall-drop", Some(10)), 9);
    assert_eq!(told(&host, 2), (Some(10), None));
}

#[test]
fn what_has_no_end_or_was_asked_for_by_a_person_neither_counts_nor_lasts_longer() {
    for (timeout, by_hand) in [(None, false), (Some(10), true)] {
        let mut host = Host::new();
        host.rule(&[60]);
        host.accept(sample::action(1, "firewall-drop", Some(10)), 9);
        host.pass(10);
        for number in [2, 3] {
            let mut action = sample::action(number, "firewall-drop", timeout);
            action.rule = action.rule.filter(|_| !by_hand);
            host.accept(action, 9);
            assert_eq!(told(&host, number), (timeout, None));
            let revert = host.ledger.ask_revert(id(number), host.now);
            host.take(revert.unwrap());
            host.work();
        }
        host.accept(sample::action(4, "firewall-drop", Some(10)), 9);
        assert_eq!(told(&host, 4).0, Some(60), "{timeout:?}");
    }
}

#[test]
fn what_a_person_takes_back_is_forgiven_also_after_a_restart() {
    for kind in KINDS {
        let mut host = Host::new();
        host.rule(&[60, 120]);
        for number in [1, 2] {
            host.accept(sample::action(number, kind, Some(10)), 9);
            host.pass(if number == 1 { 10 } else { 0 });
        }
        let revert = host.ledger.ask_revert(id(2), host.now);
        host.take(revert.unwrap());
        host.work();
        assert!(!host.is_blocked(9));
        host.restart(false);
        host.accept(sample::action(3, kind, Some(10)), 9);
        assert_eq!(told(&host, 3), (Some(10), None), "{kind}");
    }
}

#[test]
fn counts_and_steps_survive_what_was_loaded_by_an_older_version() {
    let mut host = Host::new();
    host.rule(&[60]);
    host.accept(sample::action(1, "firewall-drop", Some(10)), 9);
    let entry = host.stored.get_mut(&id(1)).unwrap();
    let mut value = serde_json::to_value(&*entry).unwrap();
    // An older version writes none of it.
    assert!(value.as_object_mut().unwrap().remove("offence").is_some());
    assert!(value.get("lifted").is_none());
    let number = entry.number;
    *entry = serde_json::from_value(value).unwrap();
    entry.number = number;
    // Looking up what is in force is no new block.
    host.restart(true);
    assert!(host.is_blocked(9));
    assert_eq!(host.ledger.entry(id(1)).unwrap().offence, None);
}

#[test]
fn the_steps_of_a_response_travel_with_its_actions() {
    let mut host = Host::new();
    host.rule(&[60]);
    let told_to = |number| Action {
        repeated_offenders: Some(Arc::new(RepeatedOffenders {
            scope: AppliesTo::Response,
            steps: Steps::try_from(vec![30]).unwrap(),
        })),
        ..sample::action(number, "firewall-drop", Some(10))
    };
    host.accept(told_to(1), 9);
    host.pass(10);
    host.accept(told_to(2), 9);
    assert_eq!(told(&host, 2), (Some(30), Some("offence 2: 30 s")));
}

#[test]
fn a_stop_that_lifts_takes_back_what_is_in_force_and_says_why() {
    const WHY: &str = "lifted, as agentd was asked to stop (on_stop in etc/agent.conf)";
    for restarts in [false, true] {
        let mut host = Host::new();
        host.rule(&[60]);
        host.accept(sample::action(1, "firewall-drop", Some(100)), 8);
        host.accept(sample::action(2, "block.sh", Some(100)), 9);
        for number in [1, 2] {
            let changes = host.ledger.lift(id(number), host.now);
            host.take(changes.unwrap());
        }
        if restarts {
            // What could not be taken back in time is so at the next start.
            host.restart(false);
        } else {
            host.work();
        }
        for number in [1, 2] {
            let record = host.last(number);
            assert_eq!(record.state, ActionState::Reverted, "{restarts}");
            assert_eq!(record.detail.as_deref(), Some(WHY), "{restarts}");
        }
        assert!(!host.is_blocked(8) && !host.is_blocked(9));
        // It was a block all the same.
        host.accept(sample::action(3, "firewall-drop", Some(10)), 8);
        assert_eq!(told(&host, 3), (Some(60), Some("offence 2: 1 min")));
    }
}

#[test]
fn what_runs_when_a_stop_lifts_is_taken_back_once_it_has_ended() {
    let mut host = Host::new();
    let runs = sample::action(1, "block.sh", Some(100));
    host.begin(runs, 9);
    host.name_keys(id(1), 9);
    let changes = host.ledger.lift(id(1), host.now);
    host.take(changes.unwrap());
    assert!(host.runs.is_empty());
    host.finish(id(1), Mode::Add, Ending::Exited(0));
    assert_eq!(host.runs, [(id(1), Mode::Delete)]);
    // What has not begun is left to the next start.
    host.line_up(sample::action(2, "block.sh", Some(100)), 9);
    assert!(host.ledger.lift(id(2), host.now).is_none());
}

#[test]
fn what_begins_while_a_stop_lifts_counts_and_what_a_person_takes_back_does_not() {
    for lifts in [true, false] {
        let mut host = Host::new();
        host.rule(&[60]);
        let runs = sample::action(1, "block.sh", Some(100));
        host.begin(runs, 9);
        let taken_back = match lifts {
            true => host.ledger.lift(id(1), host.now),
            false => host.ledger.ask_revert(id(1), host.now),
        };
        host.take(taken_back.unwrap());
        host.name_keys(id(1), 9);
        host.finish(id(1), Mode::Add, Ending::Exited(0));
        host.work();
        assert_eq!(host.last(1).state, ActionState::Reverted);
        host.accept(sample::action(2, "block.sh", Some(10)), 9);
        let wanted = if lifts { 60 } else { 10 };
        assert_eq!(told(&host, 2).0, Some(wanted), "{lifts}");
    }
}
