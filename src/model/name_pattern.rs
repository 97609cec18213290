//! OS_Match, the pattern language of host names in a white list (Wazuh 4.14
//! os_regex/os_match_compile.c): case-insensitive; `|` separates alternatives,
//! each found anywhere in a text unless `^` ties it to its start or `$` to its
//! end; a `!` before all of it turns the answer round. Every other character
//! stands for itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longer than any name of a host (RFC 1035, 2.3.4).
const MAX_BYTES: usize = 255;

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidNamePattern {
    /// As an empty alternative does.
    #[error("fits every text")]
    FitsEverything,
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("contains a control character")]
    Character,
}

/// A pattern, and how it was written. Two are equal if they were written alike.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

impl NamePattern {
    pub fn parse(text: &str) -> Result<Self, InvalidNamePattern> {
        if text.len() > MAX_BYTES {
            return Err(InvalidNamePattern::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(InvalidNamePattern::Character);
        }
        let pattern = Self(text.to_owned());
        if pattern.alternatives().any(|one| one.literal.is_empty()) {
            return Err(InvalidNamePattern::FitsEverything);
        }
        Ok(pattern)
    }

    /// Whether it says which texts are meant by those that are not.
    pub fn is_negated(&self) -> bool {
        self.0.starts_with('!')
    }

    pub fn is_match(&self, text: &str) -> bool {
        let fits = self.alternatives().any(|one| one.is_found(text.as_bytes()));
        fits != self.is_negated()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn alternatives(&self) -> impl Iterator<Item = Alternative<'_>> {
        let all = self.0.strip_prefix('!').unwrap_or(&self.0);
        all.split('|').map(|text| {
            let (start, text) = match text.strip_prefix('^') {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            let (end, text) = match text.strip_suffix('$') {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            Alternative {
                start,
                end,
                literal: text.as_bytes(),
            }
        })
    }
}

struct Alternative<'a> {
    start: bool,
    end: bool,
    literal: &'a [u8],
}

impl Alternative<'_> {
    fn is_found(&self, text: &[u8]) -> bool {
        let length = self.literal.len();
        let Some(last) = text.len().checked_sub(length) else {
            return false;
        };
        let at = |place: usize| text[place..place + length].eq_ignore_ascii_case(self.literal);
        match (self.start, self.end) {
            (true, true) => last == 0 && at(0),
            (true, false) => at(0),
            (false, true) => at(last),
            (false, false) => (0..=last).any(at),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = InvalidNamePattern;

    fn try_from(text: String) -> Result<Self, InvalidNamePattern> {
        Self::parse(&text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::{InvalidNamePattern, NamePattern};

    #[test]
    fn a_pattern_fits_what_it_fits_in_4_x() {
        for (pattern, text, fits) in [
            ("^localhost.localdomain$", "localhost.localdomain", true),
            ("^localhost.localdomain$", "LOCALHOST.LocalDomain", true),
            ("^localhost.localdomain$", "localhostxlocaldomain", false),
            (
                "^localhost.localdomain$",
                "localhost.localdomain.example",
                false,
            ),
            ("^localhost.localdomain$", "127.0.0.1", false),
            ("web-7", "web-70.example", true),
            ("web-7", "eb-7", false),
            ("^web-", "my-web-7", false),
            (".example$", "web.example", true),
            (".example$", "web.example.org", false),
            ("^a$|b|^c", "xbx", true),
            ("^a$|b|^c", "a", true),
            ("^a$|b|^c", "ac", false),
            ("!^web-", "web-7", false),
            ("!^web-", "192.0.2.1", true),
            ("^192.0.2.", "192.0.2.77", true),
            ("^192.0.2.", "1.192.0.2.7", false),
            ("a$b", "xa$b", true),
            ("longer", "long", false),
        ] {
            let pattern = NamePattern::parse(pattern).unwrap();
            assert_eq!(pattern.is_match(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_fits_everything_or_is_no_text_is_no_pattern() {
        for (text, why) in [
            ("", InvalidNamePattern::FitsEverything),
            ("!", InvalidNamePattern::FitsEverything),
            ("a|", InvalidNamePattern::FitsEverything),
            ("|a", InvalidNamePattern::FitsEverything),
            ("^", InvalidNamePattern::FitsEverything),
            ("$", InvalidNamePattern::FitsEverything),
            ("a\nb", InvalidNamePattern::Character),
            (&"a".repeat(256), InvalidNamePattern::TooLong),
        ] {
            assert_eq!(NamePattern::parse(text), Err(why), "{text:?}");
        }
    }

    /// One alternative: what it is tied to, and what stands in it.
    fn naive((start, literal, end): &(bool, String, bool), text: &str) -> bool {
        let (text, literal) = (text.to_ascii_lowercase(), literal.to_ascii_lowercase());
        match (start, end) {
            (true, true) => text == literal,
            (true, false) => text.starts_with(&literal),
            (false, true) => text.ends_with(&literal),
            (false, false) => text.contains(&literal),
        }
    }

    proptest! {
        #[test]
        fn fitting_agrees_with_the_words_for_it(
            negated in any::<bool>(),
            parts in prop::collection::vec((any::<bool>(), "[aB.é]{1,3}", any::<bool>()), 1..4),
            text in "[abB.éÉ!^$]{0,6}",
        ) {
            let written: Vec<String> = parts
                .iter()
                .map(|(start, literal, end)| {
                    let (start, end) = (if *start { "^" } else { "" }, if *end { "$" } else { "" });
                    format!("{start}{literal}{end}")
                })
                .collect();
            let sign = if negated { "!" } else { "" };
            let pattern = NamePattern::parse(&format!("{sign}{}", written.join("|"))).unwrap();
            let fits = parts.iter().any(|part| naive(part, &text));
            prop_assert_eq!(pattern.is_match(&text), fits != negated, "{}", pattern);
        }
    }
}
