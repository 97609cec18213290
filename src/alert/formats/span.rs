//! Spans of time as pipelines write them: Go's text (`3h59m58.123s`, `-5m`), or
//! a number of seconds.

use std::time::Duration;

use crate::model::span::MAX;

/// Longer names first, as `m` begins `ms`.
const UNITS: [(&str, u128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// How long it is; zero if it is over, and never longer than what a response may
/// last. `None` for any other text.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (is_over, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let span = if is_digits(rest) {
        // Of twenty digits and more only that it is very long is of interest.
        let seconds = rest.parse().unwrap_or(u64::MAX);
        Duration::from_secs(seconds)
    } else {
        sum(rest)?
    };
    Some(if is_over {
        Duration::ZERO
    } else {
        span.min(MAX)
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers, each with its unit and perhaps a fraction.
fn sum(mut rest: &str) -> Option<Duration> {
    let mut total: u128 = 0;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let (unit, each) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        total = total.saturating_add(nanoseconds(number, *each)?);
        rest = &behind[unit.len()..];
        if rest.is_empty() {
            break;
        }
    }
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    Some(Duration::from_nanos(total))
}

/// `number` of what is `each` nanoseconds long. Beyond nine digits a fraction
/// means nothing.
fn nanoseconds(number: &str, each: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |part: &str| part.is_empty() || is_digits(part);
    let has_digits = number.bytes().any(|byte| byte.is_ascii_digit());
    if !has_digits || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().unwrap_or(u128::MAX),
    };
    let fraction = &fraction[..fraction.len().min(9)];
    let parts: u128 = format!("{fraction:0<9}").parse().ok()?;
    let below = each * parts / 1_000_000_000;
    Some(whole.saturating_mul(each).saturating_add(below))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;
    use crate::model::span::MAX;

    #[test]
    fn spans_are_those_of_go_or_seconds() {
        for (text, wanted) in [
            ("4h", Duration::from_secs(14_400)),
            ("3h59m58.123s", Duration::from_millis(14_398_123)),
            (
                "3h59m49.264032632s",
                Duration::from_nanos(14_389_264_032_632),
            ),
            ("1.5h", Duration::from_secs(5_400)),
            ("+.5s", Duration::from_millis(500)),
            ("2.m", Duration::from_secs(120)),
            ("7d", Duration::from_secs(604_800)),
            ("1ms2us3µs4ns", Duration::from_nanos(1_005_004)),
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("600", Duration::from_secs(600)),
            ("-1h2m", Duration::ZERO),
            ("-7", Duration::ZERO),
            ("87600000h", MAX),
            ("99999999999999999999999999999999999999999999h", MAX),
            ("99999999999999999999999999", MAX),
            ("0.12345678901234567890s", Duration::from_nanos(123_456_789)),
        ] {
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_no_span() {
        for text in [
            "",
            "-",
            "+",
            "s",
            ".s",
            ".",
            "4 h",
            "4h ",
            "1h-2m",
            "4x",
            "1.2.3s",
            "--1h",
            "1h2",
            "∞",
            "4H",
            "1e3s",
            "2026-11-21",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
