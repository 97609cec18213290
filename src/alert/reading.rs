//! What a line holds: an alert or a list of them, bare, behind a header of
//! syslog or within a hit of a search, or a torn one with the next glued on.
//! All of this is the same for every format; what an alert says is not.

use std::borrow::Cow;

use memchr::memmem::{find, find_iter};
use serde::de::IgnoredAny;

use super::lenient::as_text;
use super::signs::RECORD;
use super::{Alerts, NotAnAlert, list, syslog};

/// Reads one object, or one record of `alerts.log`.
type Parse<'a, 'f> = &'f dyn Fn(&'a [u8]) -> Alerts<'a>;

/// Reads one line, or one document of several. There is at least one answer.
pub(super) fn read<'a>(line: &'a [u8], parse: Parse<'a, '_>) -> Alerts<'a> {
    let line = bare(line);
    let piece = match line.first() {
        None => return vec![Err(NotAnAlert::Empty)],
        Some(b'{' | b'[') => line,
        Some(_) if line.starts_with(RECORD) => line,
        Some(_) => syslog::message(line).unwrap_or(line),
    };
    let mut alerts = match piece[0] {
        b'[' => read_list(piece, parse),
        _ => read_piece(piece, parse),
    };
    for alert in alerts.iter_mut().flatten() {
        put_on_one_line(&mut alert.body);
    }
    alerts
}

/// A line without what is around it: a byte order mark, blanks, and the NULs
/// that a crash leaves where a file has grown but was not written.
fn bare(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = line.iter().take_while(|byte| is_blank(byte)).count();
    let line = &line[start..];
    let end = line.iter().rev().take_while(|byte| is_blank(byte)).count();
    let line = &line[..line.len() - end];
    match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(line) => line.trim_ascii_start(),
        None => line,
    }
}

/// One answer for each item, in order. A list that is not whole is read as
/// little as an object that is not.
fn read_list<'a>(list: &'a [u8], parse: Parse<'a, '_>) -> Alerts<'a> {
    let text = as_text(list);
    if serde_json::from_str::<IgnoredAny>(&text).is_err() {
        return vec![Err(NotAnAlert::NotJson)];
    }
    let mut alerts = Vec::new();
    for item in list::parts(list) {
        match item.first() {
            Some(b'{') => alerts.extend(read_object(item, parse)),
            _ => alerts.push(Err(NotAnAlert::NotAnObject)),
        }
    }
    if alerts.is_empty() {
        alerts.push(Err(NotAnAlert::Empty));
    }
    alerts
}

fn read_piece<'a>(piece: &'a [u8], parse: Parse<'a, '_>) -> Alerts<'a> {
    let alerts = read_object(piece, parse);
    match alerts[..] {
        [Err(NotAnAlert::NotJson)] if piece.starts_with(b"{") => {
            let records = unglued(piece);
            records
                .flat_map(|record| read_object(record, parse))
                .collect()
        }
        _ => alerts,
    }
}

fn read_object<'a>(object: &'a [u8], parse: Parse<'a, '_>) -> Alerts<'a> {
    let alerts = parse(object);
    // What is no JSON is no hit either, even if the alert in it is whole.
    let is_settled = |alert: &Result<_, _>| matches!(alert, Ok(_) | Err(NotAnAlert::NotJson));
    match alerts.iter().any(is_settled) || !looks_like_hit(object) {
        true => alerts,
        false => read_hit(object, parse).unwrap_or(alerts),
    }
}

/// Whether a search in further detail is worth its time.
fn looks_like_hit(object: &[u8]) -> bool {
    find(object, b"\"_source\"")
        .or_else(|| find(object, b"\"_index\""))
        .is_some()
}

/// A hit as the indexer answers it and its dashboard exports it: the alert is
/// the member `_source`. What asks for single fields gets them in `fields`, as
/// lists under dotted names, and no alert.
fn read_hit<'a>(object: &'a [u8], parse: Parse<'a, '_>) -> Option<Alerts<'a>> {
    match list::member(object, "_source") {
        Some(source) if source.starts_with(b"{") => Some(parse(source)),
        Some(_) | None => {
            list::member(object, "_index")?;
            Some(vec![Err(NotAnAlert::NoSource)])
        }
    }
}

/// The most records that are taken apart.
const MAX_GLUED: usize = 16;

/// How a record of Wazuh, and of most others, begins.
const BEGINNING: &[u8] = b"{\"timestamp\":\"";

/// The records in a line that is no JSON as a whole: a crash or a full disk has
/// torn one off, and the next was written behind it. Each but the last is
/// mostly torn.
///
/// What an attacker has written cannot be taken for a record. In a text its
/// quotes are written `\"`, so that this beginning is not in it; an object
/// within another, as decoders make them from logs that are JSON, stands behind
/// a `:`, `[` or `,`, and such a beginning is none. A record that was torn
/// right behind one of these three costs the next one, too.
fn unglued(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_beginning = |at: &usize| {
        let before = line[..*at].trim_ascii_end();
        !matches!(before.last(), None | Some(b':' | b'[' | b','))
    };
    let mut starts = vec![0];
    starts.extend(
        find_iter(line, BEGINNING)
            .filter(is_beginning)
            .take(MAX_GLUED),
    );
    if starts.len() > MAX_GLUED {
        starts.truncate(1);
    }
    let mut ends = starts.clone();
    ends.push(line.len());
    starts
        .into_iter()
        .zip(ends.into_iter().skip(1))
        .map(|(start, end)| &line[start..end])
}

/// Executables get the alert on one line. Between the tokens of JSON line ends
/// and what indents the next line mean nothing, and within texts there are none.
fn put_on_one_line(body: &mut Cow<'_, [u8]>) {
    if memchr::memchr2(b'\n', b'\r', body).is_none() {
        return;
    }
    let lines = body.split(|byte| matches!(byte, b'\n' | b'\r'));
    *body = lines.flat_map(<[u8]>::trim_ascii).copied().collect();
}

#[cfg(test)]
mod tests {
    use crate::alert::{NotAnAlert, Shape};

    /// The ids of the rules, or why not, and the bodies.
    fn answers(line: &[u8]) -> Vec<Result<(String, String), NotAnAlert>> {
        let answers = Shape::Auto.read(line).into_iter();
        answers
            .map(|answer| {
                let alert = answer?;
                let body = String::from_utf8_lossy(&alert.body).into_owned();
                Ok((alert.rule.id.as_str().to_owned(), body))
            })
            .collect()
    }

    /// The ids of the rules alone.
    fn ids(line: &str) -> Vec<Result<String, NotAnAlert>> {
        let answers = answers(line.as_bytes()).into_iter();
        answers.map(|answer| answer.map(|(id, _)| id)).collect()
    }

    fn id(id: &str) -> Result<String, NotAnAlert> {
        Ok(id.to_owned())
    }

    #[test]
    fn a_list_is_answered_item_by_item() {
        let one = r#"{"rule":{"id":"1"},"x":"],{"}"#;
        for (line, wanted) in [
            (format!("[{one}]"), vec![id("1")]),
            (
                format!("[ {one} , {{\"rule\":{{\"id\":\"2\"}}}},[{one}],7,{{}}]"),
                vec![
                    id("1"),
                    id("2"),
                    Err(NotAnAlert::NotAnObject),
                    Err(NotAnAlert::NotAnObject),
                    Err(NotAnAlert::Unrecognised),
                ],
            ),
            ("[]".to_owned(), vec![Err(NotAnAlert::Empty)]),
            (format!("[{one}"), vec![Err(NotAnAlert::NotJson)]),
            (format!("[{one},]"), vec![Err(NotAnAlert::NotJson)]),
            (format!("[{one}]]"), vec![Err(NotAnAlert::NotJson)]),
        ] {
            assert_eq!(ids(&line), wanted, "{line}");
        }
    }

    #[test]
    fn a_document_of_several_lines_is_passed_on_as_one() {
        let document =
            "[\n  {\n    \"rule\": {\"id\": \"1\"},\r\n    \"x\": \"a  \\n b\"\n  }\n]\n";
        let body = r#"{"rule": {"id": "1"},"x": "a  \n b"}"#;
        assert_eq!(
            answers(document.as_bytes()),
            [Ok(("1".to_owned(), body.to_owned()))]
        );
    }

    #[test]
    fn what_is_around_a_line_is_passed_over() {
        let one = r#"{"rule":{"id":"1"}}"#;
        for line in [
            format!("\0\0\0{one}\r\n"),
            format!(" \u{feff} {one}\0\n"),
            format!("<13>Nov 20 10:00:00 web-7 app: {one}\n"),
        ] {
            assert_eq!(
                answers(line.as_bytes()),
                [Ok(("1".to_owned(), one.to_owned()))],
                "{line:?}"
            );
        }
        assert_eq!(ids("\0\0\n"), [Err(NotAnAlert::Empty)]);
        assert_eq!(ids("\u{feff}"), [Err(NotAnAlert::Empty)]);
    }

    #[test]
    fn the_alert_of_a_hit_is_its_source() {
        let inner = r#"{"x":{"_source":{"rule":{"id":"9"}}},"rule":{"id":"1"}}"#;
        for (line, wanted) in [
            (format!(r#"{{"_index":"i","_source":{inner}}}"#), id("1")),
            (format!(r#"{{"_source" : {inner} ,"_id":"x"}}"#), id("1")),
            (
                format!(r#"{{"_index":"i","fields":{inner}}}"#),
                Err(NotAnAlert::NoSource),
            ),
            (
                format!(r#"{{"_index":"i","_source":[{inner}]}}"#),
                Err(NotAnAlert::NoSource),
            ),
            (
                format!(r#"{{"_index":"i","_source":{inner}"#),
                Err(NotAnAlert::NotJson),
            ),
            (
                format!(r#"{{"_source":7,"x":{inner}}}"#),
                Err(NotAnAlert::Unrecognised),
            ),
            (
                r#"{"rule":{"id":"1"},"_source":{"rule":{"id":"2"}}}"#.to_owned(),
                id("1"),
            ),
            (
                format!(r#"{{"a":{{"_source":{inner}}}}}"#),
                Err(NotAnAlert::Unrecognised),
            ),
        ] {
            assert_eq!(ids(&line), std::slice::from_ref(&wanted), "{line}");
            assert_eq!(ids(&format!("[{line}]")), [wanted], "[{line}]");
        }
    }

    #[test]
    fn a_record_behind_a_torn_one_is_read() {
        let whole = r#"{"timestamp":"t","rule":{"id":"2"}}"#;
        let torn = || Err(NotAnAlert::NotJson);
        for (line, wanted) in [
            (
                format!(r#"{{"timestamp":"t","rule":{{"id":"1"}},"full_log":"a {{ b{whole}"#),
                vec![torn(), id("2")],
            ),
            (
                format!(r#"{{"timestamp":"t","rule":{{"id":"1"}},"full_log":"a\{whole}"#),
                vec![torn(), id("2")],
            ),
            (
                format!(r#"{{"timestamp":"t","rule":{{"id":"1"}}{whole}"#),
                vec![torn(), id("2")],
            ),
            (
                format!(r#"{{"time{{"timesta{whole}"#),
                vec![torn(), id("2")],
            ),
            (format!("{whole}{whole}"), vec![id("2"), id("2")]),
            (
                format!("{}{whole}", "{\"timestamp\":\"t".repeat(4)),
                vec![torn(), torn(), torn(), torn(), id("2")],
            ),
        ] {
            assert_eq!(ids(&line), wanted, "{line}");
        }
    }

    #[test]
    fn an_object_within_a_torn_record_is_no_record() {
        let forged = r#"{"timestamp":"t","rule":{"id":"2"}}"#;
        for line in [
            // What a decoder has made of a log line that is JSON, in a record
            // that was cut at the worst place.
            format!(r#"{{"timestamp":"t","rule":{{"id":"1"}},"data":{{"x":{forged}"#),
            format!(r#"{{"timestamp":"t","data":{{"x": {forged}"#),
            format!(r#"{{"timestamp":"t","data":{{"x":[{forged}"#),
            format!(r#"{{"timestamp":"t","data":{{"x":[{{}},{forged}"#),
            // A text stays one.
            format!(
                r#"{{"timestamp":"t","full_log":"x{}"#,
                forged.replace('"', "\\\"")
            ),
            // The line of another writer.
            format!("x {forged}"),
            format!("x{}", forged.repeat(2)),
            // Too much of it.
            format!("{{{}", forged.repeat(17)),
        ] {
            assert_eq!(ids(&line), [Err(NotAnAlert::NotJson)], "{line}");
        }
    }
}
