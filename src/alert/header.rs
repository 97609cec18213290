//! The first members of an alert as analysisd of Wazuh 4.x writes them
//! (analysisd/format/to_json.c), found without reading the rest of the line.
//!
//! What is found says nothing by itself. It serves to tell that the rule of a
//! line is, byte for byte, one that was read in full before: all its members in
//! their order, but for the texts of its description and of the time and the
//! number of `firedtimes`, which decide nothing. Whatever is written in any
//! other way is not recognised, and has to be read in full.

use memchr::{memchr2, memchr3};

/// The longest rule, without its description, that is recognised.
const MAX_RULE: usize = 16 << 10;

/// The only member after the id that differs from alert to alert of one rule.
const COUNTER: &[u8] = b",\"firedtimes\":";

/// The first members of a line, up to the id of its rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opening<'a> {
    /// As written; analysisd leaves it out where it is 0.
    pub level: Option<u8>,
    /// What follows the quotation mark before the id.
    pub rest: &'a [u8],
}

/// The first members of a line with the id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header<'a> {
    pub opening: Opening<'a>,
    /// As written, and without a backslash.
    pub id: &'a [u8],
}

/// The id of a rule with the quotation mark behind it, the members that follow,
/// and the brace that ends the rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remainder<'a> {
    pub before_counter: &'a [u8],
    /// What follows the number of `firedtimes`, where it has one.
    pub after_counter: Option<&'a [u8]>,
}

impl<'a> Opening<'a> {
    /// How a line begins. Within a line these bytes begin another object: in a
    /// text the quotation marks would be escaped.
    pub const BEGINNING: &'static [u8] = b"{\"timestamp\":\"";

    /// The opening of a line that is written as analysisd does, wherever it ends:
    /// an opening has no newline.
    pub fn scan(bytes: &'a [u8]) -> Option<Self> {
        let rest = after_text(bytes.strip_prefix(Self::BEGINNING)?)?;
        let rest = rest.strip_prefix(b",\"rule\":{")?;
        let (level, rest) = match rest.strip_prefix(b"\"level\":") {
            Some(rest) => level(rest)?,
            None => (None, rest),
        };
        let rest = after_text(rest.strip_prefix(b"\"description\":\"")?)?;
        let rest = rest.strip_prefix(b",\"id\":\"")?;
        Some(Self { level, rest })
    }

    /// What follows the rule in its line, if it goes on with these bytes: up to the
    /// number of its counter and, where it has one, behind that.
    pub fn behind(&self, before: &[u8], after: Option<&[u8]>) -> Option<&'a [u8]> {
        let rest = self.rest.strip_prefix(before)?;
        let Some(after) = after else {
            return Some(rest);
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = rest[digits..].strip_prefix(after)?;
        (digits > 0).then_some(rest)
    }
}

impl<'a> Header<'a> {
    /// The header of a line that is written as analysisd does.
    pub fn scan(line: &'a [u8]) -> Option<Self> {
        let opening = Opening::scan(line)?;
        let rest = opening.rest;
        let end = memchr2(b'"', b'\\', rest).filter(|&end| rest[end] == b'"')?;
        Some(Self {
            opening,
            id: &rest[..end],
        })
    }

    /// The rest of the rule. Only of a line that is known to be JSON; of others
    /// anything may come out.
    pub fn remainder(&self) -> Option<Remainder<'a>> {
        let rest = self.opening.rest;
        let rest = &rest[..rest.len().min(MAX_RULE)];
        let (mut at, mut depth, mut counter) = (self.id.len() + 1, 1_usize, None);
        while depth > 0 {
            match *rest.get(at)? {
                b'"' => at = rest.len() - after_text(&rest[at + 1..])?.len() - 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b',' if depth == 1 && counter.is_none() => {
                    counter = counter_at(rest, at);
                    at = counter.map_or(at, |(_, end)| end - 1);
                }
                _ => {}
            }
            at += 1;
        }
        Some(match counter {
            Some((begin, end)) => Remainder {
                before_counter: &rest[..begin],
                after_counter: Some(&rest[end..at]),
            },
            None => Remainder {
                before_counter: &rest[..at],
                after_counter: None,
            },
        })
    }
}

/// What follows the quotation mark that ends a text. None has a newline: JSON
/// has it escaped.
fn after_text(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let at = memchr3(b'"', b'\\', b'\n', rest)?;
        match rest[at] {
            b'"' => return Some(&rest[at + 1..]),
            b'\\' if rest.get(at + 1) != Some(&b'\n') => rest = rest.get(at + 2..)?,
            _ => return None,
        }
    }
}

/// A level of one or two digits, and what follows the comma behind it.
fn level(rest: &[u8]) -> Option<(Option<u8>, &[u8])> {
    let digits = rest.iter().position(|&byte| byte == b',')?;
    let number = match rest[..digits] {
        [one @ b'0'..=b'9'] => one - b'0',
        [ten @ b'1'..=b'9', one @ b'0'..=b'9'] => (ten - b'0') * 10 + one - b'0',
        _ => return None,
    };
    Some((Some(number), &rest[digits + 1..]))
}

/// Where the number of `firedtimes` stands, if that is the member behind this
/// comma.
fn counter_at(rest: &[u8], comma: usize) -> Option<(usize, usize)> {
    let number = rest[comma..].strip_prefix(COUNTER)?;
    let digits = number
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let begin = comma + COUNTER.len();
    let ends = matches!(number.get(digits), Some(b',' | b'}'));
    (digits > 0 && ends).then_some((begin, begin + digits))
}

#[cfg(test)]
mod tests {
    use super::{Header, Opening, Remainder};

    const HEAD: &str =
        r#"{"timestamp":"2026-03-04T05:06:07.891+0000","rule":{"level":10,"description":"#;

    fn line(rest: &str) -> String {
        format!(r#"{HEAD}{rest},"agent":{{"id":"001"}}}}"#)
    }

    fn behind<'a>(line: &'a str, remainder: Remainder<'_>) -> Option<&'a [u8]> {
        let opening = Opening::scan(line.as_bytes()).unwrap();
        opening.behind(remainder.before_counter, remainder.after_counter)
    }

    #[test]
    fn the_header_is_found_as_analysisd_writes_it() {
        let line = line(
            r#""a \"}\\","id":"5763","mitre":{"id":["T1110"]},"firedtimes":27,"mail":false,"groups":["sshd"]}"#,
        );
        let header = Header::scan(line.as_bytes()).unwrap();
        assert_eq!((header.opening.level, header.id), (Some(10), &b"5763"[..]));
        let remainder = header.remainder().unwrap();
        let wanted = Remainder {
            before_counter: br#"5763","mitre":{"id":["T1110"]},"firedtimes":"#,
            after_counter: Some(br#","mail":false,"groups":["sshd"]}"#),
        };
        assert_eq!(remainder, wanted);
        let again = line.replace(":27,", ":1,").replace("a \\\"", "b");
        let behind = behind(&again, remainder);
        assert_eq!(behind, Some(&br#","agent":{"id":"001"}}"#[..]));
        let without = r#"{"timestamp":"","rule":{"description":"","id":"1"}}"#;
        let header = Header::scan(without.as_bytes()).unwrap();
        assert_eq!((header.opening.level, header.id), (None, &b"1"[..]));
        assert_eq!(header.remainder().unwrap().before_counter, b"1\"}");
    }

    #[test]
    fn what_is_written_in_another_way_is_not_recognised() {
        for other in [
            r#"{"timestamp": "","rule":{"level":3,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","agent":{},"rule":{"level":3,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":"3","description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":03,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":3.0,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":103,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":3,"id":"1","description":""}}"#,
            r#"{"timestamp":"","rule":{"level":3,"description":"","id":1}}"#,
            r#"{"timestamp":"","rule":{"level":3,"description":"","id":"\u0031"}}"#,
            r#"{"timestamp":"","r\u0075le":{"level":3,"description":"","id":"1"}}"#,
            r#"{"timestamp":"","rule":{"level":3,"description":"x"#,
            r#"{"timestamp":"\"#,
            "{\"timestamp\":\"\n\",\"rule\":{\"level\":3,\"description\":\"\",\"id\":\"1\"}}",
            "{\"timestamp\":\"\",\"rule\":{\"level\":3,\"description\":\"\\\n\",\"id\":\"1\"}}",
            "",
        ] {
            assert_eq!(Header::scan(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_rule_goes_on_only_with_the_same_bytes() {
        let of = |rest: &str| line(&format!(r#""","id":"1"{rest}"#));
        let known = of(r#","firedtimes":1,"groups":["a"]}"#);
        let known = Header::scan(known.as_bytes()).unwrap();
        let remainder = known.remainder().unwrap();
        for (rest, same) in [
            (r#","firedtimes":999,"groups":["a"]}"#, true),
            (r#","firedtimes":999,"groups":["b"]}"#, false),
            (r#","firedtimes":999,"groups":["a"],"x":1}"#, false),
            (r#","firedtimes":"1","groups":["a"]}"#, false),
            (r#","firedtimes":,"groups":["a"]}"#, false),
            (r#","firedtimes":-1,"groups":["a"]}"#, false),
            (r#","mail":true,"firedtimes":1,"groups":["a"]}"#, false),
            (r#","groups":["a"]}"#, false),
            ("}", false),
        ] {
            let other = of(rest);
            assert_eq!(behind(&other, remainder).is_some(), same, "{rest}");
        }
    }

    /// Only the counter of the rule itself may differ.
    #[test]
    fn a_counter_elsewhere_is_none() {
        for rest in [
            r#","x":{"a":1,"firedtimes":7},"groups":["a"]}"#,
            r#","info":",\"firedtimes\":7","groups":["a"]}"#,
            r#","firedtimes":7.5,"groups":["a"]}"#,
            r#","groups":["a,\"firedtimes\":7"]}"#,
        ] {
            let line = line(&format!(r#""","id":"1"{rest}"#));
            let header = Header::scan(line.as_bytes()).unwrap();
            let remainder = header.remainder().unwrap();
            assert_eq!(remainder.before_counter, format!("1\"{rest}").as_bytes());
            assert_eq!(remainder.after_counter, None);
        }
        let twice = line(r#""","id":"1","firedtimes":1,"firedtimes":2}"#);
        let header = Header::scan(twice.as_bytes()).unwrap();
        let remainder = header.remainder().unwrap();
        assert_eq!(remainder.before_counter, b"1\",\"firedtimes\":");
        assert_eq!(remainder.after_counter, Some(&b",\"firedtimes\":2}"[..]));
    }
}
