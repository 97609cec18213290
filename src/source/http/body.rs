//! A body in pieces, each of which is to be an alert.
//!
//! A body that consists of JSON objects and arrays, one or several, on one line
//! or on many, is cut where these end: an object is a piece, and so is each item
//! of an array. Any other body is cut into lines; a record of OSSEC's
//! `alerts.log`, which begins with `** Alert `, goes on to the next empty line or
//! record. What a sender calls its content is not asked: webhooks do not know.
//!
//! The bytes are looked at once, whatever they are. A body of which a part is no
//! JSON is looked at a second time.

use std::ops::Range;

use memchr::memchr;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// Pieces of one body. More than a body of the usual limit has.
pub(super) const MAX_PIECES: usize = 100_000;

/// Begins a record of several lines.
const RECORD: &[u8] = b"** Alert ";

/// There are more than [`MAX_PIECES`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooMany;

/// Where the pieces of a body stand in it.
pub(super) fn cut(body: &[u8]) -> Result<Vec<Range<usize>>, TooMany> {
    let mut pieces = Pieces::default();
    if pieces.values(body)? == Whole::No {
        pieces = Pieces::default();
        pieces.lines(body)?;
    }
    Ok(pieces.found)
}

/// Whether all of a body consists of objects and arrays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whole {
    Yes,
    No,
}

#[derive(Default)]
struct Pieces {
    found: Vec<Range<usize>>,
}

impl Pieces {
    fn add(&mut self, piece: Range<usize>) -> Result<(), TooMany> {
        if self.found.len() == MAX_PIECES {
            return Err(TooMany);
        }
        self.found.push(piece);
        Ok(())
    }

    fn values(&mut self, body: &[u8]) -> Result<Whole, TooMany> {
        let mut at = if body.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        loop {
            at = skip_blanks(body, at);
            match body.get(at) {
                None => return Ok(Whole::Yes),
                Some(b'[') => match self.items(body, at + 1)? {
                    Some(end) => at = end,
                    None => return Ok(Whole::No),
                },
                Some(b'{') => match value_end(body, at) {
                    Some(end) => {
                        self.add(at..end)?;
                        at = end;
                    }
                    None => return Ok(Whole::No),
                },
                Some(_) => return Ok(Whole::No),
            }
        }
    }

    /// Takes the items of an array whose first one stands at `at`, and answers
    /// where it ends.
    fn items(&mut self, body: &[u8], mut at: usize) -> Result<Option<usize>, TooMany> {
        at = skip_blanks(body, at);
        if body.get(at) == Some(&b']') {
            return Ok(Some(at + 1));
        }
        loop {
            at = skip_blanks(body, at);
            let Some(end) = value_end(body, at) else {
                return Ok(None);
            };
            self.add(at..end)?;
            at = skip_blanks(body, end);
            match body.get(at) {
                Some(b',') => at += 1,
                Some(b']') => return Ok(Some(at + 1)),
                Some(_) | None => return Ok(None),
            }
        }
    }

    fn lines(&mut self, body: &[u8]) -> Result<(), TooMany> {
        // The record that the last line belongs to.
        let mut record: Option<Range<usize>> = None;
        let mut at = 0;
        while at < body.len() {
            let end = memchr(b'\n', &body[at..]).map_or(body.len(), |length| at + length);
            let line = trimmed(body, at..end);
            at = end + 1;
            let begins = body[line.clone()].starts_with(RECORD);
            if let Some(open) = record.take_if(|_| line.is_empty() || begins) {
                self.add(open)?;
            }
            match &mut record {
                Some(open) => open.end = line.end,
                None if begins => record = Some(line),
                None if line.is_empty() => {}
                None => self.add(line)?,
            }
        }
        match record {
            Some(open) => self.add(open),
            None => Ok(()),
        }
    }
}

/// Where the JSON value ends that begins here. Strings are not decoded: bytes
/// that are not UTF-8 are a matter of whoever reads the alert.
fn value_end(body: &[u8], at: usize) -> Option<usize> {
    let mut values = Deserializer::from_slice(&body[at..]).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(at + values.byte_offset())
}

fn skip_blanks(body: &[u8], at: usize) -> usize {
    let blanks = body[at..].iter().take_while(|byte| is_blank(**byte));
    at + blanks.count()
}

/// RFC 8259, 2.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Without the blanks around it.
fn trimmed(body: &[u8], line: Range<usize>) -> Range<usize> {
    let text = &body[line.clone()];
    let front = text.len() - text.trim_ascii_start().len();
    let start = line.start + front;
    start..start + text.trim_ascii().len()
}

/// A piece as it is handed over: one line, unless it is a record of several. A
/// line break in a JSON value can only stand between its parts, where a blank
/// does as well; scripts read an alert as one line.
pub(super) fn line(piece: &[u8]) -> Vec<u8> {
    let mut line = piece.to_vec();
    if !line.starts_with(RECORD) {
        for byte in &mut line {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::{MAX_PIECES, TooMany, cut, line};

    fn pieces(body: &str) -> Vec<String> {
        let found = cut(body.as_bytes()).unwrap();
        found.into_iter().map(|at| body[at].to_owned()).collect()
    }

    #[test]
    fn a_body_is_cut_where_its_values_end() {
        for (body, wanted) in [
            ("", &[] as &[&str]),
            (" \r\n ", &[]),
            ("[]", &[]),
            ("{}", &["{}"]),
            (" {\"a\":1}\r\n", &["{\"a\":1}"]),
            ("\u{feff}{}", &["{}"]),
            ("{\"a\":1}\n\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]),
            ("{}{}", &["{}", "{}"]),
            ("{\n  \"a\": [\n 1\n ]\n}", &["{\n  \"a\": [\n 1\n ]\n}"]),
            ("{\n}\n{\n}", &["{\n}", "{\n}"]),
            ("[{\"a\":\"],[\"},\n {}]", &["{\"a\":\"],[\"}", "{}"]),
            ("[{}]\n[{}, 7 ,[{}]]", &["{}", "{}", "7", "[{}]"]),
            ("[ ] {}", &["{}"]),
        ] {
            assert_eq!(pieces(body), wanted, "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_all_json_is_cut_into_lines() {
        for (body, wanted) in [
            ("x", &["x"] as &[&str]),
            ("{}\n{\"torn\n {} \r\n", &["{}", "{\"torn", "{}"]),
            ("[{},]", &["[{},]"]),
            ("[{} {}]", &["[{} {}]"]),
            ("[{}", &["[{}"]),
            ("[", &["["]),
            ("[{}]]", &["[{}]]"]),
            ("{} x\n{}", &["{} x", "{}"]),
            (
                "\n\nNov 1 10:00:00 host wazuh: {}\n",
                &["Nov 1 10:00:00 host wazuh: {}"],
            ),
            ("{\"a\":\"raw\nbreak\"}", &["{\"a\":\"raw", "break\"}"]),
        ] {
            assert_eq!(pieces(body), wanted, "{body:?}");
        }
    }

    #[test]
    fn a_record_of_ossec_is_one_piece_up_to_an_empty_line() {
        let one = "** Alert 1.2: - sshd\r\n2026 Nov 01 10:00:00 web->/var/log/auth.log\nRule: 1";
        let two = "** Alert 3.4: - sshd\nx";
        for (body, wanted) in [
            (format!("{one}\n\n{two}\n"), vec![one, two]),
            (
                format!("{one}\r\n\r\n{two}\n\nrest\n"),
                vec![one, two, "rest"],
            ),
            (format!("{one}\n{two}"), vec![one, two]),
        ] {
            assert_eq!(pieces(&body), wanted, "{body:?}");
        }
        assert_eq!(line(one.as_bytes()), one.as_bytes());
        assert_eq!(line(b"{\r\n\"a\":\n1}"), b"{  \"a\": 1}");
    }

    #[test]
    fn more_pieces_than_a_body_may_have_are_too_many() {
        for (front, piece, end) in [("", "{}", ""), ("[1", ",1", "]"), ("x", "\nx", "")] {
            let body = |count| format!("{front}{}{end}", piece.repeat(count));
            let first = usize::from(!front.is_empty());
            let most = cut(body(MAX_PIECES - first).as_bytes());
            assert_eq!(most.map(|pieces| pieces.len()), Ok(MAX_PIECES));
            assert_eq!(cut(body(MAX_PIECES + 1).as_bytes()), Err(TooMany));
        }
    }

    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let part = any::<u8>().prop_map(|byte| match byte % 16 {
            0 => b"{".to_vec(),
            1 => b"}".to_vec(),
            2 => b"[".to_vec(),
            3 => b"]".to_vec(),
            4 => b",".to_vec(),
            5 => b"\"".to_vec(),
            6 => b"\\".to_vec(),
            7 => b"\n".to_vec(),
            8 => b"{\"a\":1}".to_vec(),
            9 => b"** Alert ".to_vec(),
            10 => b" ".to_vec(),
            11 => b"\r\n".to_vec(),
            _ => vec![byte],
        });
        proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn pieces_stand_in_order_and_leave_out_nothing_but_what_joins_them(body in bodies()) {
            let mut end = 0;
            let mut between = Vec::new();
            for piece in cut(&body).unwrap() {
                prop_assert!(end <= piece.start && piece.start < piece.end);
                between.extend_from_slice(&body[end..piece.start]);
                end = piece.end;
            }
            between.extend_from_slice(&body[end..]);
            let joins = |byte: &u8| byte.is_ascii_whitespace() || b",[]\xef\xbb\xbf".contains(byte);
            prop_assert!(between.iter().all(joins), "{between:?}");
        }

        #[test]
        fn values_that_are_written_in_any_way_are_found(
            texts in proptest::collection::vec("[^\\x00-\\x1f]{0,20}", 1..6),
            way in 0..4,
        ) {
            let values: Vec<_> = texts.iter().map(|text| serde_json::json!({"a": text})).collect();
            let lines = values.iter().map(ToString::to_string);
            let body = match way {
                0 => serde_json::to_string(&values).unwrap(),
                1 => serde_json::to_string_pretty(&values).unwrap(),
                2 => lines.collect::<Vec<_>>().join("\n"),
                _ => lines.collect::<Vec<_>>().concat(),
            };
            let found = cut(body.as_bytes()).unwrap().into_iter();
            let found: Vec<serde_json::Value> = found
                .map(|at| serde_json::from_slice(&line(&body.as_bytes()[at])).unwrap())
                .collect();
            prop_assert_eq!(found, values);
        }
    }
}
