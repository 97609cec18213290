use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{REPORTED_EVERY, Sieve, Sifting, Tally};
use crate::alert::{NotAnAlert, Shape};
use crate::clock;
use crate::matcher::{Condition, Conditions};
use crate::model::RuleId;

fn conditions(ids: &[&str]) -> Arc<Conditions> {
    let ids = ids.iter().map(|id| RuleId::parse(id).unwrap()).collect();
    Arc::new(Conditions::new(vec![Condition {
        ids,
        ..Condition::default()
    }]))
}

fn sieve(ids: &[&str]) -> (Sieve, watch::Sender<Arc<Conditions>>, Arc<Tally>) {
    let (changes, conditions) = watch::channel(conditions(ids));
    let tally = Arc::new(Tally::default());
    let sieve = Sieve::new(Sifting {
        shape: Shape::Auto,
        conditions,
        tally: Arc::clone(&tally),
    });
    (sieve, changes, tally)
}

fn line(id: &str, fired: u32) -> Vec<u8> {
    format!(
        r#"{{"timestamp":"t","rule":{{"level":3,"description":"d{fired}","id":"{id}","firedtimes":{fired},"groups":["a"]}}}}"#
    )
    .into_bytes()
}

#[test]
fn only_lines_with_a_response_pass_and_the_others_are_counted() {
    let (mut sieve, _changes, tally) = sieve(&["5"]);
    let now = clock::boot();
    for fired in 0..3 {
        assert!(sieve.passes(&line("5", fired), now));
        assert!(!sieve.passes(&line("6", fired), now));
    }
    let other = br#"{"rule":{"id":"5","level":3}}"#;
    assert!(sieve.passes(other, now));
    sieve.tell(700);
    let counted = tally.now();
    assert_eq!((counted.bytes, counted.lines, counted.alerts), (700, 7, 3));
    assert!(counted.not_alerts.is_empty() && counted.last_line.is_some());
}

#[test]
fn of_what_is_ahead_lines_without_a_response_are_kept_back() {
    let (mut sieve, _changes, tally) = sieve(&["5"]);
    let now = clock::boot();
    let (hit, other) = (line("5", 1), line("6", 1));
    let ahead = |first: &[u8]| [first, b"\n", &hit, b"\n"].concat();
    assert_eq!(sieve.keeps_back(&ahead(&other)), None, "it is not known");
    assert!(!sieve.passes(&other, now) && sieve.passes(&hit, now));
    assert_eq!(sieve.keeps_back(&ahead(&hit)), None);
    for fired in [7, 70_000] {
        let known = line("6", fired);
        assert_eq!(sieve.keeps_back(&ahead(&known)), Some(known.len() + 1));
        assert_eq!(sieve.keeps_back(&known), None, "its end has not come");
        for end in 0..known.len() {
            let torn = [&known[..end], &hit].concat();
            assert_eq!(sieve.keeps_back(&ahead(&torn)), None, "{end}");
            // Its rule may be whole; then nothing more is asked of it.
            let cut = sieve.keeps_back(&ahead(&known[..end]));
            assert!(cut.is_none_or(|bytes| bytes == end + 1), "{end}");
        }
    }
    sieve.tell(0);
    let counted = tally.now();
    assert_eq!((counted.lines, counted.alerts), (2 + 2 + 2, 1 + 2 + 2));
}

/// Such a document is no line, but it is read all the same where it comes whole.
#[test]
fn a_rule_on_several_lines_is_not_known() {
    let (mut sieve, _changes, _) = sieve(&["5"]);
    let document = line("6", 1);
    let document = String::from_utf8(document).unwrap();
    let document = document.replace("\"groups\"", "\n\"groups\"").into_bytes();
    assert!(!sieve.passes(&document, clock::boot()));
    let ahead = [&document[..], b"\n"].concat();
    assert_eq!(sieve.keeps_back(&ahead), None);
}

#[test]
fn a_known_rule_is_not_read_again() {
    let (mut sieve, _changes, _) = sieve(&["5"]);
    let now = clock::boot();
    assert!(!sieve.passes(&line("6", 1), now));
    // What follows the rule is not JSON: nobody looks at it.
    let mut cut = line("6", 2);
    cut.truncate(cut.len() - 1);
    assert!(!sieve.passes(&cut, now));
    assert_eq!(sieve.counted.not_alerts.len(), 0);
    // Of a rule that is not known, all is read.
    let mut cut = line("7", 2);
    cut.truncate(cut.len() - 1);
    assert!(sieve.passes(&cut, now), "it is to be reported");
}

#[test]
fn other_conditions_hold_from_the_next_reading_on() {
    let (mut sieve, changes, _) = sieve(&["5"]);
    let now = clock::boot();
    assert!(!sieve.passes(&line("6", 1), now));
    changes.send_replace(conditions(&["6"]));
    sieve.renew();
    assert!(sieve.passes(&line("6", 1), now));
    assert!(!sieve.passes(&line("5", 1), now));
    drop(changes);
    sieve.renew();
    assert!(sieve.passes(&line("6", 1), now));
}

#[test]
fn of_lines_that_are_no_alert_one_of_each_kind_a_second_is_reported() {
    let (mut sieve, _changes, tally) = sieve(&[]);
    let now = clock::boot();
    assert!(sieve.passes(b"{", now));
    for _ in 0..9 {
        assert!(!sieve.passes(b"{", now));
    }
    assert!(sieve.passes(b"{}", now), "of another kind");
    let later = now.plus(REPORTED_EVERY.saturating_sub(Duration::from_millis(1)));
    assert!(!sieve.passes(b"{", later));
    assert!(sieve.passes(b"{", now.plus(REPORTED_EVERY)));
    sieve.tell(0);
    // Those that pass are counted by whoever reads them then.
    let counted = tally.now();
    assert_eq!(counted.not_alerts.get(&NotAnAlert::NotJson), Some(&10));
    assert_eq!(counted.lines, 13);
}

#[test]
fn a_record_that_follows_a_torn_one_is_looked_for() {
    let (mut sieve, _changes, _) = sieve(&["5"]);
    let now = clock::boot();
    assert!(!sieve.passes(&line("6", 1), now));
    let whole = line("6", 1);
    let second = line("5", 1);
    let torn = [&whole[..whole.len() - 1], b",\"full_log\":\"", &second].concat();
    assert!(sieve.passes(&torn, now), "the second one has a response");
    for end in 1..whole.len() {
        let line = [&whole[..end], &second].concat();
        let alerts = Shape::Auto.read(&line);
        let mut ids = alerts.iter().flatten().map(|alert| &alert.rule.id);
        let has_response = ids.any(|id| id.as_str() == "5");
        assert!(sieve.passes(&line, now) || !has_response, "{end}");
    }
}

#[test]
fn ever_new_rules_do_not_fill_the_memory() {
    let (mut sieve, _changes, _) = sieve(&["none"]);
    let now = clock::boot();
    for number in 0..20_000 {
        sieve.passes(&line(&number.to_string(), 1), now);
        assert!(sieve.known.rules() <= 16_384);
    }
    let long = "x".repeat(10_000);
    for number in 0..2_000 {
        let line = format!(
            r#"{{"timestamp":"t","rule":{{"level":3,"description":"","id":"1","x":"{long}{number}"}}}}"#
        );
        assert!(!sieve.passes(line.as_bytes(), now));
        assert!(sieve.known.bytes() <= 8 << 20);
    }
}

#[test]
fn what_two_alerts_in_one_line_lead_to_is_not_said_of_the_first() {
    let (mut sieve, _changes, _) = sieve(&["5"]);
    let now = clock::boot();
    let both = [line("6", 1), line("5", 1)].concat();
    assert!(sieve.passes(&both, now));
    assert!(!sieve.passes(&line("6", 2), now));
}
