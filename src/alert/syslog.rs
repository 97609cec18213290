//! What syslog daemons put before a message: the header of RFC 3164 or RFC
//! 5424, with or without its priority, as it is sent and as rsyslog and
//! syslog-ng write it to files.
//!
//! Only a header in one of these forms is passed over, and only when what
//! follows it at once is the beginning of JSON. A message of another kind that
//! somebody has written `{` into is none.

use memchr::memchr;

/// Before a message that RFC 5424 calls UTF-8 (its section 6.4).
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What rsyslog puts before JSON.
const COOKIE: &[u8] = b"@cee:";

/// Programs whose name alone is header enough: those that send alerts
/// themselves (Wazuh 4.14 os_csyslogd/alert.c).
const ALONE: [&[u8]; 2] = [b"wazuh:", b"ossec:"];

/// A program's name and process number are never longer.
const MAX_TAG: usize = 255;

/// The JSON behind the header of `line`, if that is what it is.
pub(super) fn message(line: &[u8]) -> Option<&[u8]> {
    let rest = without_priority(line);
    let behind = match without_version(rest) {
        Some(new) => behind_new_header(new),
        None => behind_old_header(rest),
    }?;
    let behind = behind
        .strip_prefix(BOM)
        .unwrap_or(behind)
        .trim_ascii_start();
    let behind = behind.strip_prefix(COOKIE).unwrap_or(behind);
    let json = behind.trim_ascii_start();
    json.starts_with(b"{").then_some(json)
}

/// `<13>`.
fn without_priority(line: &[u8]) -> &[u8] {
    let behind = line.strip_prefix(b"<").and_then(|rest| {
        let digits = digits(rest);
        let is_one = (1..=3).contains(&digits);
        rest[digits..].strip_prefix(b">").filter(|_| is_one)
    });
    behind.unwrap_or(line)
}

/// `1 `, which RFC 5424 begins with.
fn without_version(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_prefix(b"1 ")
}

/// `TIMESTAMP HOST PROGRAM PROCESS MESSAGE-ID STRUCTURED-DATA` of RFC 5424.
fn behind_new_header(rest: &[u8]) -> Option<&[u8]> {
    let (stamp, rest) = word(rest)?;
    if stamp != b"-" && !is_new_stamp(stamp) {
        return None;
    }
    let mut rest = rest;
    for _ in ["host", "program", "process", "message id"] {
        (_, rest) = word(rest)?;
    }
    if let Some(rest) = rest.strip_prefix(b"-") {
        return rest.strip_prefix(b" ");
    }
    while rest.starts_with(b"[") {
        rest = behind_element(rest)?;
    }
    rest.strip_prefix(b" ")
}

/// `[id name="value" …]`, in whose values `\` stands before `"`, `\` and `]`.
fn behind_element(rest: &[u8]) -> Option<&[u8]> {
    let mut is_value = false;
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            b'\\' if is_value => at += 1,
            b'"' => is_value = !is_value,
            b']' if !is_value => return rest.get(at + 1..),
            _ => {}
        }
        at += 1;
    }
}

/// `TIMESTAMP [HOST] PROGRAM[PROCESS]:`, where the time is that of RFC 3164 or
/// of RFC 3339, or one of the names that stand alone.
fn behind_old_header(rest: &[u8]) -> Option<&[u8]> {
    if let Some(behind) = ALONE.iter().find_map(|name| rest.strip_prefix(*name)) {
        return Some(behind);
    }
    let rest = behind_old_stamp(rest).or_else(|| {
        let (stamp, rest) = word(rest)?;
        is_new_stamp(stamp).then_some(rest)
    })?;
    let behind_tag = |rest| match tag(rest) {
        Some((tag, rest)) if tag.ends_with(b":") => Some(rest),
        _ => None,
    };
    behind_tag(rest).or_else(|| behind_tag(word(rest)?.1))
}

/// `Mmm dd hh:mm:ss ` (RFC 3164 4.1.2).
fn behind_old_stamp(rest: &[u8]) -> Option<&[u8]> {
    const PATTERN: &[u8] = b"aaa 00 00:00:00 ";
    let (stamp, rest) = rest.split_at_checked(PATTERN.len())?;
    let fits = |(at, (byte, sort)): (usize, (&u8, &u8))| match sort {
        b'a' => byte.is_ascii_alphabetic(),
        // A day below 10 has a blank before it.
        b'0' => byte.is_ascii_digit() || (at == 4 && *byte == b' '),
        _ => byte == sort,
    };
    let mut pairs = stamp.iter().zip(PATTERN).enumerate();
    pairs.all(fits).then_some(rest)
}

/// `2026-11-20T10:00:00`, with a fraction and a zone behind it or not.
fn is_new_stamp(stamp: &[u8]) -> bool {
    const PATTERN: &[u8] = b"0000-00-00T00:00:00";
    let Some((date, rest)) = stamp.split_at_checked(PATTERN.len()) else {
        return false;
    };
    let fits = |(byte, sort): (&u8, &u8)| match sort {
        b'0' => byte.is_ascii_digit(),
        _ => byte == sort,
    };
    date.iter().zip(PATTERN).all(fits)
        && rest
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | b'+' | b'-' | b':' | b'Z'))
}

/// A word of printable characters, and what stands behind the blank after it.
fn word(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', rest)?;
    let word = &rest[..end];
    let is_word = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    is_word.then(|| (word, &rest[end + 1..]))
}

/// As [`word`], but `{` ends it, too: behind a program's name there may be no
/// blank.
fn tag(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'{'))?;
    let tag = &rest[..end];
    let is_tag = (1..=MAX_TAG).contains(&end) && tag.iter().all(u8::is_ascii_graphic);
    is_tag.then(|| (tag, &rest[end..]))
}

fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

#[cfg(test)]
mod tests {
    use super::message;

    const HEADERS: &[&str] = &[
        "<13>Nov 20 10:00:00 web-7 wazuh: ",
        "Nov  2 10:00:00 web-7 app[812]: ",
        "Nov 20 10:00:00 app: ",
        "Nov 20 10:00:00 2001:db8::1 app:",
        "2026-11-20T10:00:00.123456+01:00 web-7 app[1]: @cee: ",
        "2026-11-20T10:00:00Z web-7 app: @cee:",
        "<132>Nov 20 10:00:00 mgr ossec: ",
        "ossec: ",
        "<132>wazuh:",
        "<165>1 2026-11-20T10:00:00.003Z web-7 app 812 ID47 - ",
        "<165>1 - - - - - - \u{feff}",
        r#"<165>1 2026-11-20T10:00:00Z h a - - [x@1 a="]" b="\"\]\\"][y c="{"] "#,
        "1 2026-11-20T10:00:00Z h a - - [x] \u{feff}",
    ];

    #[test]
    fn json_is_found_behind_each_header() {
        for header in HEADERS {
            let line = format!("{header}{{\"rule\":1}}");
            assert_eq!(
                message(line.as_bytes()),
                Some(br#"{"rule":1}"#.as_slice()),
                "{line}"
            );
        }
    }

    #[test]
    fn json_that_a_message_only_contains_is_not_taken() {
        for header in [
            "",
            "x ",
            "Nov 20 10:00:00 web-7 sshd[1]: invalid user ",
            "Nov 20 10:00:00 web-7 sshd[1]: : ",
            "Nov 20 10:00:00 web-7 sshd[1]: wazuh: ",
            "Nov 20 10:00:00 a b c: ",
            "Nov 20 10:00:00 web-7 app ",
            "Nov 20 1:00:00 web-7 app: ",
            "nginx: ",
            "<13>nginx: ",
            "<1234>Nov 20 10:00:00 web-7 app: ",
            "wazuh: ossec: ",
            "<165>1 yesterday h a - - - ",
            "<165>1 2026-11-20T10:00:00Z h a - - ",
            "<165>1 2026-11-20T10:00:00Z h a - - - x ",
            r#"<165>1 2026-11-20T10:00:00Z h a - - [x a="\"] "#,
            r#"<165>1 2026-11-20T10:00:00Z h a - - [x a="1"]"#,
        ] {
            let line = format!("{header}{{\"rule\":1}}");
            assert_eq!(message(line.as_bytes()), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            header in proptest::sample::select(HEADERS.to_vec()),
            cut in 0_usize..80,
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..8),
        ) {
            let cut = cut.min(header.len());
            let line = [&header.as_bytes()[..cut], &junk, &header.as_bytes()[cut..], b"{}"].concat();
            for end in 0..line.len() {
                if let Some(json) = message(&line[..end]) {
                    proptest::prop_assert_eq!(json[0], b'{');
                }
            }
        }
    }
}
