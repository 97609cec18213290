//! What is sent a second time has the name that it had.

use std::time::Duration;

use ripost::model::position::Generation;
use ripost::source::Line;
use ripost::source::http::Limits;

use crate::owner::{Source, TOKEN, alert, bare, sends, settings};

fn names(lines: &[Line]) -> Vec<(Generation, u64)> {
    let name = |line: &Line| (line.generation, line.offset);
    lines.iter().map(name).collect()
}

fn sent(source: &mut Source, body: &str) -> Vec<(Generation, u64)> {
    let mut client = source.client();
    sends(&mut client, body);
    let lines = source.store();
    assert_eq!(client.answer().status, 200);
    names(&lines)
}

#[test]
fn an_alert_with_an_id_has_one_name_whatever_it_is_sent_with() {
    let mut one = Source::new();
    let alone = sent(&mut one, &alert("1"));
    let together = sent(&mut one, &format!("[{},{}]", alert("2"), alert("1")));
    assert_eq!(together[1], alone[0]);
    assert_ne!(together[0], alone[0]);
    // Another life of the source.
    assert_eq!(sent(&mut Source::new(), &alert("1")), alone);
    // A time does as well.
    let timed = r#"{"timestamp":"2026-11-20T10:00:00Z","rule":{"level":1,"id":"1"}}"#;
    assert_eq!(sent(&mut one, timed), sent(&mut one, timed));
}

#[test]
fn an_alert_without_id_and_time_is_another_one_each_time() {
    let mut source = Source::new();
    let first = sent(&mut source, &format!("{0}\n{0}", bare("1")));
    assert_ne!(first[0], first[1]);
    assert!(!first.contains(&sent(&mut source, &bare("1"))[0]));
    assert!(!first.contains(&sent(&mut Source::new(), &bare("1"))[0]));
}

#[test]
fn a_key_of_the_sender_names_what_has_nothing_of_its_own() {
    let mut sources = [Source::new(), Source::new()];
    let bearer = format!("Bearer {TOKEN}");
    let mut keyed = |source: usize, key: &str, body: &str| {
        let source = &mut sources[source];
        let mut client = source.client();
        let length = body.len().to_string();
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Idempotency-Key", key),
            ("Content-Length", &length),
        ];
        client.head("POST /", &headers);
        client.say(body.as_bytes());
        let lines = source.store();
        assert_eq!(client.answer().status, 200);
        names(&lines)
    };
    let two = format!("{0}\n{0}", bare("1"));
    let first = keyed(0, "a", &two);
    assert_ne!(first[0], first[1]);
    assert_eq!(keyed(1, "a", &two), first);
    assert!(!first.contains(&keyed(0, "b", &two)[0]));
    assert_ne!(keyed(0, "", &bare("1")), keyed(0, "", &bare("1")));
}

#[test]
fn what_was_not_acknowledged_keeps_its_name_for_the_next_try() {
    let limits = Limits {
        store: Duration::from_millis(200),
        ..Limits::default()
    };
    let mut source = Source::with(settings(), limits);
    let mut client = source.client();
    sends(&mut client, &bare("1"));
    let (lines, _stored) = source.lines();
    assert_eq!(client.answer().status, 503);
    // This one does not even wait for its answer.
    sends(&mut client, &bare("1"));
    let (again, _stored) = source.lines();
    assert_eq!(names(&again), names(&lines));
    assert_eq!(client.answer().status, 503);
    assert_eq!(sent(&mut source, &bare("1")), names(&lines));
    assert_ne!(sent(&mut source, &bare("1")), names(&lines));
}
