//! What an agent takes in, and what it tells its manager of it.

use std::time::Duration;

use super::{Bench, act, action, home, manager, runs, said, white_list};
use crate::model::action::sample;
use crate::model::{ActionState, JournalId};
use crate::policy;
use crate::wire::message::Reverted;
use crate::wire::{ToAgent, ToManager};

use ActionState::{Done, Expired, Failed, Suppressed};

#[tokio::test]
async fn what_the_host_can_do_comes_first_and_taken_before_any_result() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, None)).await;
    let ToManager::Capabilities { capabilities } = bench.next().await else {
        panic!("the first message tells what the host can do");
    };
    assert_eq!(capabilities.lacks(&sample::action(1, "x.sh", None)), None);
    assert_eq!(
        bench.until(1, Done).await,
        ["taken 1", "running 1", "done 1"]
    );
    bench.stop().await;
}

#[tokio::test]
async fn an_action_that_comes_again_is_acknowledged_again_and_not_carried_out() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, None)).await;
    bench.until(1, Done).await;
    bench.confirm().await;
    bench.disconnect().await;
    // Also in another life of the daemon, and with the next action behind it.
    for again in 0..2 {
        bench.connect(manager()).await;
        bench.tell(act(1, None)).await;
        assert_eq!(bench.until(1, Done).await, ["taken 1", "done 1"], "{again}");
        bench.confirm().await;
        bench.stop().await;
        bench = Bench::start(home.path());
    }
    assert_eq!(runs(home.path()), 1);
    bench.stop().await;
}

#[tokio::test]
async fn an_action_that_comes_again_while_it_waits_is_not_told_as_sent_a_second_time() {
    let home = home();
    let mut bench = Bench::start(home.path());
    for _ in 0..2 {
        bench.connect(manager()).await;
        // It waits for the white list.
        bench.tell(act(1, None)).await;
        while said(&bench.next().await) != ["taken 1"] {}
    }
    bench.tell(white_list()).await;
    assert_eq!(bench.until(1, Done).await, ["running 1", "done 1"]);
    bench.stop().await;
}

#[tokio::test]
async fn an_action_without_its_executable_is_taken_and_failed() {
    let home = home();
    let mut bench = Bench::start(home.path());
    std::fs::remove_file(home.path().join("active-response/bin/x.sh")).unwrap();
    bench.connect(manager()).await;
    bench.tell(act(1, None)).await;
    assert_eq!(bench.until(1, Failed).await, ["taken 1", "failed 1"]);
    bench.stop().await;
}

#[tokio::test]
async fn what_comes_too_late_is_expired_also_before_there_is_a_white_list() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    let hour = u64::try_from(policy::PATIENCE.as_millis()).unwrap();
    for (number, timeout, remaining, age) in [
        (1, Some(60), Some(0), 60_000),
        (2, None, None, hour),
        // These two wait for the white list, and one of them not for long.
        (3, None, None, hour - 300),
        (4, None, None, 0),
    ] {
        let mut late = act(number, timeout);
        if let ToAgent::Act {
            remaining_ms,
            age_ms,
            ..
        } = &mut late
        {
            (*remaining_ms, *age_ms) = (remaining, age);
        }
        bench.tell(late).await;
    }
    bench.until(1, Expired).await;
    bench.until(2, Expired).await;
    let heard = bench.until(3, Expired).await;
    assert!(!heard.contains(&"expired 4".to_owned()), "{heard:?}");
    bench.tell(white_list()).await;
    bench.until(4, Done).await;
    assert_eq!(runs(home.path()), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_late_action_is_in_force_only_for_what_remains_of_it() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    let mut late = act(1, Some(600));
    if let ToAgent::Act { remaining_ms, .. } = &mut late {
        *remaining_ms = Some(100_000);
    }
    bench.tell(late).await;
    let until = loop {
        if let ToManager::Update { record, .. } = bench.next().await
            && record.state == ActionState::Applied
        {
            break record.until.unwrap();
        }
    };
    let left = crate::clock::wall().until(until);
    assert!(left <= Duration::from_secs(100), "{left:?}");
    assert!(left > Duration::from_secs(60), "{left:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_revert_ends_what_has_not_begun_without_running_it() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    // Without a white list both wait; only the first is taken back.
    bench.tell(act(1, Some(600))).await;
    bench.tell(act(2, None)).await;
    let id = action(1, None).id;
    bench.tell(ToAgent::Revert { id, request: 7 }).await;
    let mut heard = Vec::new();
    let outcome = loop {
        let message = bench.next().await;
        heard.extend(said(&message));
        if let ToManager::Reverted {
            request: 7,
            outcome,
        } = message
        {
            break outcome;
        }
    };
    assert!(
        matches!(
            &outcome,
            Reverted::Outcome {
                state: Suppressed,
                ..
            }
        ),
        "{outcome:?}"
    );
    bench.tell(white_list()).await;
    bench.until(2, Done).await;
    assert_eq!(runs(home.path()), 1);
    // It is known for ever after, and what never was is not.
    bench.tell(act(1, Some(600))).await;
    let unknown = action(9, None).id;
    for (id, request, wanted) in [(id, 8, false), (unknown, 9, true)] {
        bench.tell(ToAgent::Revert { id, request }).await;
        let outcome = loop {
            if let ToManager::Reverted {
                request: of,
                outcome,
            } = bench.next().await
            {
                assert_eq!(of, request);
                break outcome;
            }
        };
        assert_eq!(outcome == Reverted::NotFound, wanted, "{outcome:?}");
    }
    assert_eq!(runs(home.path()), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_manager_with_another_journal_is_told_what_is_in_force_and_the_same_one_is_not() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, Some(600))).await;
    bench.until(1, ActionState::Applied).await;
    bench.confirm().await;
    let other = JournalId::from_bytes([2; 16]);
    for (turn, (journal, told)) in [(manager(), false), (other, true), (other, false)]
        .into_iter()
        .enumerate()
    {
        bench.stop().await;
        bench = Bench::start(home.path());
        bench.connect(journal).await;
        // What follows the standing actions is an end to wait for.
        let fence = u8::try_from(10 + turn).unwrap();
        bench.tell(act(fence, None)).await;
        let heard = bench.until(fence, Done).await;
        assert_eq!(heard.contains(&"applied 1".to_owned()), told, "{heard:?}");
        bench.confirm().await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_white_list_in_parts_lets_actions_begin_only_with_its_last_part() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    let part = |text: &str, more| ToAgent::WhiteList {
        networks: vec![text.parse().unwrap()],
        names: Vec::new(),
        more,
    };
    bench.tell(act(1, None)).await;
    bench.tell(part("203.0.113.0/24", true)).await;
    // The session breaks off: this part is of no list any more.
    bench.disconnect().await;
    bench.connect(manager()).await;
    bench.tell(part("198.51.100.0/24", true)).await;
    let status = bench.status().await;
    let no_list = |text: &String| text.contains("no white list");
    assert!(status.problems.iter().any(no_list), "{status:?}");
    assert_eq!(runs(home.path()), 0);
    bench.tell(part("192.0.2.0/24", false)).await;
    bench.until(1, Done).await;
    bench.stop().await;
}
