//! Bodies of every kind, and what is said of what is no alert in them.

use std::path::Path;

use serde_json::{Value, json};

use crate::owner::{Source, TOKEN, alert, bare, sends};

/// The bytes of the lines that a body leads to, and the answer.
fn taken(source: &mut Source, body: &str) -> (Vec<String>, Value) {
    let mut client = source.client();
    sends(&mut client, body);
    let lines = source.store();
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = lines
        .into_iter()
        .map(|line| String::from_utf8(line.bytes).unwrap());
    (lines.collect(), answer.json())
}

#[test]
fn one_alert_or_many_are_taken_in_any_of_the_usual_forms() {
    let mut source = Source::new();
    let (one, two) = (alert("1"), alert("2"));
    let pretty: Value = serde_json::from_str(&one).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let flat = pretty.replace('\n', " ");
    for (body, wanted) in [
        (one.clone(), vec![&one]),
        (format!("\u{feff}{one}\r\n"), vec![&one]),
        (format!("[{one},{two}]"), vec![&one, &two]),
        (format!("{one}\n{two}\n"), vec![&one, &two]),
        (format!("{one}\r\n\r\n{two}"), vec![&one, &two]),
        (pretty.clone(), vec![&flat]),
        (format!("[\n{pretty},\n{two}\n]\n"), vec![&flat, &two]),
    ] {
        let (lines, answer) = taken(&mut source, &body);
        assert_eq!(lines.iter().collect::<Vec<_>>(), wanted, "{body}");
        assert_eq!(answer, json!({"accepted": wanted.len()}), "{body}");
    }
}

#[test]
fn of_a_mixed_body_the_alerts_are_taken_and_the_rest_is_told() {
    let mut source = Source::new();
    let body = format!("{}\n{{\"torn\":\n\n7\n{}\n", alert("1"), bare("2"));
    let (lines, answer) = taken(&mut source, &body);
    assert_eq!(lines, [alert("1"), bare("2")]);
    assert_eq!(
        (&answer["accepted"], &answer["refused"]),
        (&json!(2), &json!(2))
    );
    let reasons = answer["reasons"].as_array().unwrap();
    let indexes: Vec<_> = reasons.iter().map(|told| &told["index"]).collect();
    assert_eq!(indexes, [1, 2]);
    assert_eq!(reasons[0]["why"], "is not JSON");
    assert_eq!(source.counts().not_alerts, 2);
    assert_eq!(source.counts().no_alert, 0);
}

#[test]
fn a_body_without_an_alert_is_refused_with_a_few_reasons() {
    let mut source = Source::new();
    let mut client = source.client();
    let answer = client.post(TOKEN, "x\n".repeat(50));
    assert_eq!(answer.status, 422);
    let told = answer.json();
    assert_eq!(
        (&told["accepted"], &told["refused"]),
        (&json!(0), &json!(50))
    );
    assert_eq!(told["reasons"].as_array().unwrap().len(), 10);
    for body in ["[]", "", " \r\n"] {
        let answer = client.post(TOKEN, body);
        assert_eq!((answer.status, answer.accepted()), (400, 0), "{body:?}");
    }
    for body in [
        "{}",
        "7",
        "null",
        "[[[]]]",
        "\u{0}",
        "{\"rule\":{\"level\":10}}",
    ] {
        let answer = client.post(TOKEN, body);
        assert_eq!((answer.status, answer.accepted()), (422, 0), "{body:?}");
    }
    source.is_quiet();
    let counts = source.counts();
    assert_eq!(
        (counts.no_alert, counts.not_alerts, counts.other),
        (7, 56, 3)
    );
}

/// A pipeline that sends its other events along has done nothing wrong.
#[test]
fn events_that_are_not_meant_as_alerts_are_counted_and_not_refused() {
    let mut source = Source::new();
    let flow = r#"{"event_type":"flow","src_ip":"192.0.2.7"}"#;
    let answer = source.client().post(TOKEN, format!("{flow}\n{flow}"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"accepted": 0, "ignored": 2}));
    source.is_quiet();
    let (lines, answer) = taken(&mut source, &format!("[{flow},{}]", alert("1")));
    assert_eq!(lines, [alert("1")]);
    assert_eq!(answer, json!({"accepted": 1, "ignored": 1}));
    let answer = source.client().post(TOKEN, format!("{flow}\n7"));
    assert_eq!(answer.status, 422);
    assert_eq!(
        (source.counts().ignored, source.counts().not_alerts),
        (4, 1)
    );
}

/// What the webhooks of other pipelines send, as the fixtures of the formats
/// have it: one object, a list, a document over many lines.
#[test]
fn what_webhooks_of_other_pipelines_send_is_taken() {
    let mut source = Source::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/alerts");
    for (fixture, alerts) in [
        ("falco/sidekick", 1),
        ("falco/typical", 1),
        ("crowdsec/plugin", 1),
        ("crowdsec/decision", 1),
        ("crowdsec/several", 2),
        ("suricata/typical", 1),
        ("wazuh/typical", 1),
    ] {
        let body = std::fs::read_to_string(fixtures.join(format!("{fixture}.in.json"))).unwrap();
        let value: Value = serde_json::from_str(&body).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let list = format!("[{body},\n{body}]");
        for (body, times) in [(body, 1), (pretty, 1), (list, 2)] {
            let (lines, answer) = taken(&mut source, &body);
            assert_eq!(answer["accepted"], alerts * times, "{fixture}: {answer}");
            assert!(lines.iter().all(|line| !line.contains('\n')), "{fixture}");
        }
    }
}

#[test]
fn bytes_that_are_not_utf_8_stay_as_they_are() {
    let mut source = Source::new();
    let (front, back) = (
        br#"[{"full_log":""#,
        br#"","rule":{"level":1,"id":"1"}},7]"#,
    );
    let body = [front.as_slice(), b"\xff\xc3(", back].concat();
    let mut client = source.client();
    let bearer = format!("Bearer {TOKEN}");
    let length = body.len().to_string();
    client.head(
        "POST /",
        &[("Authorization", &bearer), ("Content-Length", &length)],
    );
    client.say(&body);
    assert_eq!(source.store()[0].bytes, body[1..body.len() - 3]);
    assert_eq!(client.answer().accepted(), 1);
}

#[test]
fn many_alerts_come_in_batches_and_are_answered_when_the_last_is_stored() {
    let mut source = Source::new();
    let mut client = source.client();
    let alerts: Vec<String> = (0..2_500).map(|number| bare(&number.to_string())).collect();
    sends(&mut client, &alerts.join("\n"));
    let mut lines = Vec::new();
    let mut waiting = Vec::new();
    while lines.len() < alerts.len() {
        let (more, stored) = source.lines();
        assert!(more.len() <= 1_000);
        lines.extend(more);
        waiting.push(stored);
    }
    assert!(waiting.len() >= 3);
    let bytes: Vec<String> = lines
        .into_iter()
        .map(|line| String::from_utf8(line.bytes).unwrap())
        .collect();
    assert_eq!(bytes, alerts);
    // The order in which they are stored is no matter.
    while let Some(stored) = waiting.pop() {
        assert_eq!(source.counts().stored, 0);
        stored.send(()).unwrap();
    }
    assert_eq!(client.answer().accepted(), 2_500);
    // Large ones make small batches.
    let large: Vec<String> = (0..3)
        .map(|number| {
            format!(
                r#"{{"rule":{{"level":1,"id":"{number}"}},"x":"{}"}}"#,
                "y".repeat(200_000)
            )
        })
        .collect();
    sends(&mut client, &large.join("\n"));
    assert_eq!(source.store().len(), 2);
    assert_eq!(source.store().len(), 1);
    assert_eq!(client.answer().accepted(), 3);
}

#[test]
fn an_alert_that_is_too_long_is_not_taken_and_others_beside_it_are() {
    let mut source = Source::new();
    let long = |bytes: usize| {
        let front = r#"{"rule":{"level":1,"id":"1"},"x":""#;
        let filler = "y".repeat(bytes - front.len() - 2);
        format!("{front}{filler}\"}}")
    };
    let (lines, _) = taken(&mut source, &long(1 << 20));
    assert_eq!(lines[0].len(), 1 << 20);
    let longer = long((1 << 20) + 1);
    let answer = source.client().post(TOKEN, &longer);
    assert_eq!((answer.status, answer.accepted()), (413, 0));
    source.is_quiet();
    let (lines, answer) = taken(&mut source, &format!("[{longer},{}]", alert("1")));
    assert_eq!(lines, [alert("1")]);
    assert_eq!(answer["reasons"][0]["index"], 0);
}
