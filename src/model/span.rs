//! Spans of time as people write them in configuration and on the command line.

use std::time::Duration;

/// Why a text is no span of time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSpan {
    #[error("is empty")]
    Empty,
    #[error("is not a number of seconds, nor a number with one of the units s, m, h, d")]
    Syntax,
    #[error("is longer than {} days", MAX.as_secs() / 86_400)]
    TooLong,
}

/// Ten years: longer than any block is meant to last, and far from the limits
/// of every clock it is added to.
pub const MAX: Duration = Duration::from_secs(3650 * 86_400);

/// A span as it was written: the value, and whether a unit stood with it (Wazuh
/// 4.x reads `10m` as ten seconds, so configuration warns about units).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    pub span: Duration,
    pub with_unit: bool,
}

/// Parses `600`, `600s`, `10m`, `2h` or `1d`.
pub fn parse(text: &str) -> Result<Written, InvalidSpan> {
    if text.is_empty() {
        return Err(InvalidSpan::Empty);
    }
    let (digits, seconds_each) = match text.as_bytes()[text.len() - 1] {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3_600),
        b'd' => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidSpan::Syntax);
    }
    let seconds = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds_each))
        .ok_or(InvalidSpan::TooLong)?;
    let span = Duration::from_secs(seconds);
    if span > MAX {
        return Err(InvalidSpan::TooLong);
    }
    Ok(Written {
        span,
        with_unit: digits.len() != text.len(),
    })
}

/// A span as people read it, in the largest unit that it is whole in: `90 s`,
/// `30 min`, `2 h`, `7 d`. What is below a second is left out.
pub fn shown(span: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let seconds = span.as_secs();
    let whole = |(each, _): &&(u64, &str)| seconds > 0 && seconds.is_multiple_of(*each);
    match UNITS.iter().find(whole) {
        Some((each, unit)) => format!("{} {unit}", seconds / each),
        None => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InvalidSpan, parse, shown};

    #[test]
    fn a_span_is_shown_in_the_largest_unit_that_it_is_whole_in() {
        for (seconds, text) in [
            (0, "0 s"),
            (90, "90 s"),
            (1_800, "30 min"),
            (7_200, "2 h"),
            (5_400, "90 min"),
            (604_800, "7 d"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn seconds_are_the_unit_unless_another_is_written() {
        for (text, seconds) in [
            ("600", 600),
            ("0", 0),
            ("30s", 30),
            ("10m", 600),
            ("2h", 7_200),
            ("1d", 86_400),
        ] {
            assert_eq!(
                parse(text).map(|w| w.span),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert!(!parse("600").unwrap().with_unit);
        assert!(parse("10m").unwrap().with_unit);
    }

    #[test]
    fn anything_else_is_refused_rather_than_guessed() {
        for bad in [
            "abc", "-5", "1.5h", "m", "10 m", "10min", "1h30m", "+5", "é",
        ] {
            assert_eq!(parse(bad), Err(InvalidSpan::Syntax), "{bad}");
        }
        assert_eq!(parse(""), Err(InvalidSpan::Empty));
        assert_eq!(parse("99999999999999999999"), Err(InvalidSpan::TooLong));
        assert_eq!(parse("3651d"), Err(InvalidSpan::TooLong));
    }
}
