//! The verbs that change something: what is asked, shown and answered.

use ripost::model::{ActionId, ActionState};
use ripost::wire::Daemon;
use ripost::wire::control::{Answer, ErrorKind, Request, RevertOutcome, Which};

use crate::daemon::FakeDaemon;
use crate::{code, home, run, stderr, stdout};

fn outcome(number: u8, state: ActionState) -> RevertOutcome {
    RevertOutcome {
        action: ActionId::from_bytes([number; 16]),
        state,
        keys: format!("203.0.113.{number}"),
        detail: None,
    }
}

#[test]
fn a_revert_is_done_only_when_every_one_is_confirmed() {
    use ActionState::{Reverted, Reverting};
    let id = ActionId::from_bytes([1; 16]);
    let target = || Which::Target("203.0.113.1".to_owned());
    for (words, which, states, wanted) in [
        (
            &["revert", "--all", "--yes"][..],
            Which::All,
            &[Reverted, Reverted][..],
            0,
        ),
        (
            &["revert", "--all", "--yes"],
            Which::All,
            &[Reverted, Reverting],
            1,
        ),
        (&["revert", "--all", "--yes"], Which::All, &[], 0),
        (
            &["revert", "--target", "203.0.113.1"],
            target(),
            &[Reverted],
            0,
        ),
        (&["revert", "--target", "203.0.113.1"], target(), &[], 1),
        (
            &["revert", "01010101010101010101010101010101"],
            Which::Id(id),
            &[Reverted],
            0,
        ),
        (
            &["revert", "01010101010101010101010101010101"],
            Which::Id(id),
            &[],
            1,
        ),
    ] {
        let home = home();
        let outcomes: Vec<_> = (1..).zip(states).map(|(n, s)| outcome(n, *s)).collect();
        let fake =
            FakeDaemon::answering(home.path(), Daemon::Manager, Answer::Reverted { outcomes });
        let output = run(home.path(), words);
        assert_eq!(code(&output), wanted, "{words:?} {states:?}");
        let lines: Vec<_> = stdout(&output).lines().skip(1).collect();
        assert_eq!(lines.len(), states.len());
        for (line, state) in lines.iter().zip(states) {
            assert!(
                line.contains("203.0.113.") && line.ends_with(state.as_str()),
                "{line}"
            );
        }
        assert_eq!(
            stderr(&output).is_empty(),
            wanted == 0 && !states.is_empty()
        );
        assert_eq!(fake.request(), Some(Request::Revert { which }));
    }
}

#[test]
fn a_daemon_that_finds_nothing_to_revert_is_no_failure_of_all() {
    for (words, wanted) in [
        (&["revert", "--all", "--yes", "-o", "json"][..], 0),
        (&["revert", "--target", "203.0.113.1", "-o", "json"], 1),
    ] {
        let home = home();
        let answer = Answer::Error {
            kind: ErrorKind::NotFound,
            text: "nothing".to_owned(),
        };
        FakeDaemon::answering(home.path(), Daemon::Manager, answer);
        let output = run(home.path(), words);
        assert_eq!((code(&output), stdout(&output)), (wanted, "[]\n"));
    }
}

#[test]
fn a_daemon_that_refuses_a_reload_does_not_hide_what_the_other_says() {
    let home = home();
    let refused = Answer::Error {
        kind: ErrorKind::Invalid,
        text: "not mine".to_owned(),
    };
    FakeDaemon::answering(home.path(), Daemon::Manager, refused);
    let applied = Answer::Reloaded {
        applied: true,
        text: String::new(),
    };
    FakeDaemon::answering(home.path(), Daemon::Agentd, applied);
    let output = run(home.path(), &["reload"]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stdout(&output),
        "ripost-manager: not applied\n  not mine\nripost-agentd: applied\n"
    );
}

#[test]
fn revert_all_where_nobody_can_be_asked_needs_yes_and_asks_no_daemon() {
    let home = home();
    let output = run(home.path(), &["revert", "--all"]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
}

#[test]
fn reload_tells_both_daemons_and_fails_if_one_does_not_apply() {
    for (applied, wanted) in [(true, 0), (false, 1)] {
        let home = home();
        let reloaded = |applied, text: &str| Answer::Reloaded {
            applied,
            text: text.to_owned(),
        };
        let manager =
            FakeDaemon::answering(home.path(), Daemon::Manager, reloaded(true, "2 responses"));
        let agentd = FakeDaemon::answering(
            home.path(),
            Daemon::Agentd,
            reloaded(applied, "one\n\x1btwo"),
        );
        let output = run(home.path(), &["reload"]);
        assert_eq!(code(&output), wanted);
        let word = if applied { "applied" } else { "not applied" };
        assert_eq!(
            stdout(&output),
            format!(
                "ripost-manager: applied\n  2 responses\nripost-agentd: {word}\n  one\n  \\u{{1b}}two\n"
            )
        );
        assert_eq!(manager.request(), Some(Request::Reload));
        assert_eq!(agentd.request(), Some(Request::Reload));
    }
}
