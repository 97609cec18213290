//! OS_Regex, the pattern language of OSSEC and Wazuh, as far as `rules_group`
//! uses it (Wazuh 4.14 os_regex/os_regex_compile.c, os_regex_maps.c):
//!
//! - unanchored and case-insensitive; `|` separates alternatives, `^` and `$`
//!   anchor an alternative and stand for themselves anywhere but at its ends;
//! - every other character stands for itself, `.`, `*` and `+` included;
//! - a backslash makes a class, and only a class can be repeated with `*` or `+`:
//!   `\w` letters, digits, `-`, `@`, `_`; `\d` digits; `\s` blank; `\t` tab;
//!   `\p` punctuation; `\W`, `\D`, `\S` their opposites; `\.` any byte; and the
//!   single characters `\(`, `\)`, `\\`, `\$`, `\|`, `\<`;
//! - parentheses group one level deep for captures and match nothing.
//!
//! Wazuh remembers only four places to come back to, so that a pattern with
//! many repeated classes can miss a text it describes. Here it never does:
//! matching follows every possibility at once, in time proportional to pattern
//! and text.

use memchr::memchr2_iter;

/// Longer patterns do not compile (Wazuh 4.14 OS_PATTERN_MAXSIZE).
const MAX_BYTES: usize = 20_480;

/// Why a text is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPattern {
    /// As an empty alternative does, before or behind a stray `|`.
    #[error("matches every text")]
    MatchesEverything,
    /// In 4.x such a pattern never matches, silently.
    #[error("does not compile: {0}")]
    Syntax(BadSyntax),
}

/// What keeps a pattern from compiling.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSyntax {
    #[error(
        "`\\{0}` is no class (there are \\w \\d \\s \\t \\p \\W \\D \\S \\. \\( \\) \\\\ \\$ \\| \\<)"
    )]
    UnknownClass(char),
    #[error("it ends in a single backslash")]
    LoneBackslash,
    #[error("its parentheses do not pair within each alternative, one level deep")]
    Parentheses,
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
}

/// A compiled pattern. Two are equal if they were written alike but for the
/// case of letters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Alternative {
    start: bool,
    end: bool,
    body: Body,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Body {
    /// Lower-case bytes; nearly every pattern in use is of this kind.
    Literal(Vec<u8>),
    Atoms(Vec<Atom>),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Atom {
    class: Class,
    repeat: Repeat,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Repeat {
    Once,
    Plus,
    Star,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Class {
    /// This byte, in either case if it is a letter (stored in lower case).
    Byte(u8),
    Any,
    Digit,
    NotBlank,
    NotDigit,
    NotWord,
    Punctuation,
    Word,
}

impl Pattern {
    /// Compiles `text` as `rules_group` is compiled.
    pub fn compile(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > MAX_BYTES {
            return Err(InvalidPattern::Syntax(BadSyntax::TooLong));
        }
        let alternatives = Parser { rest: text }
            .alternatives()
            .map_err(InvalidPattern::Syntax)?;
        if alternatives.iter().any(Alternative::fits_everything) {
            return Err(InvalidPattern::MatchesEverything);
        }
        Ok(Self { alternatives })
    }

    /// Whether some part of `text` fits one of the alternatives.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.alternatives.iter().any(|one| one.is_match(text))
    }
}

/// Reads a pattern from left to right.
struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn alternatives(mut self) -> Result<Vec<Alternative>, BadSyntax> {
        let mut all = Vec::new();
        loop {
            all.push(self.alternative()?);
            if self.next().is_none() {
                return Ok(all);
            }
        }
    }

    /// Reads up to the next `|`, which stays, or to the end.
    fn alternative(&mut self) -> Result<Alternative, BadSyntax> {
        let start = self.take('^');
        let mut end = false;
        let mut open = false;
        let mut atoms = Vec::new();
        while let Some(c) = self.peek().filter(|&c| c != '|') {
            self.next();
            match c {
                '\\' => atoms.push(self.class()?),
                '(' if !open => open = true,
                ')' if open => open = false,
                '(' | ')' => return Err(BadSyntax::Parentheses),
                '$' if matches!(self.peek(), None | Some('|')) => end = true,
                c => push_literal(&mut atoms, c),
            }
        }
        if open {
            return Err(BadSyntax::Parentheses);
        }
        Ok(Alternative {
            start,
            end,
            body: Body::new(atoms),
        })
    }

    /// Reads what stands behind a backslash, and the repetition behind that.
    fn class(&mut self) -> Result<Atom, BadSyntax> {
        let class = match self.next().ok_or(BadSyntax::LoneBackslash)? {
            'w' => Class::Word,
            'd' => Class::Digit,
            's' => Class::Byte(b' '),
            't' => Class::Byte(b'\t'),
            'p' => Class::Punctuation,
            'W' => Class::NotWord,
            'D' => Class::NotDigit,
            'S' => Class::NotBlank,
            '.' => Class::Any,
            '(' => Class::Byte(b'('),
            ')' => Class::Byte(b')'),
            '\\' => Class::Byte(b'\\'),
            '$' => Class::Byte(b'$'),
            '|' => Class::Byte(b'|'),
            '<' => Class::Byte(b'<'),
            other => return Err(BadSyntax::UnknownClass(other)),
        };
        let repeat = if self.take('+') {
            Repeat::Plus
        } else if self.take('*') {
            Repeat::Star
        } else {
            Repeat::Once
        };
        Ok(Atom { class, repeat })
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }
}

/// Patterns work on bytes: only ASCII letters have a case.
fn push_literal(atoms: &mut Vec<Atom>, c: char) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        atoms.push(Atom {
            class: Class::Byte(byte.to_ascii_lowercase()),
            repeat: Repeat::Once,
        });
    }
}

impl Body {
    fn new(atoms: Vec<Atom>) -> Self {
        let literal: Option<Vec<u8>> = atoms
            .iter()
            .map(|atom| match (atom.class, atom.repeat) {
                (Class::Byte(byte), Repeat::Once) => Some(byte),
                (_, Repeat::Once | Repeat::Plus | Repeat::Star) => None,
            })
            .collect();
        literal.map_or(Body::Atoms(atoms), Body::Literal)
    }
}

impl Alternative {
    /// Whether it asks for nothing but, at most, a certain length.
    fn fits_everything(&self) -> bool {
        let atoms = match &self.body {
            Body::Literal(bytes) => return bytes.is_empty() && !(self.start && self.end),
            Body::Atoms(atoms) => atoms,
        };
        let undemanding = |atom: &Atom| match atom.repeat {
            Repeat::Star => true,
            Repeat::Once | Repeat::Plus => atom.class == Class::Any,
        };
        let endless = |atom: &Atom| atom.class == Class::Any && atom.repeat != Repeat::Once;
        atoms.iter().all(undemanding) && (!(self.start && self.end) || atoms.iter().any(endless))
    }

    fn is_match(&self, text: &[u8]) -> bool {
        match &self.body {
            Body::Literal(wanted) => self.literal_match(wanted, text),
            Body::Atoms(atoms) => self.atoms_match(atoms, text),
        }
    }

    fn literal_match(&self, wanted: &[u8], text: &[u8]) -> bool {
        let fits_at = |at: usize| {
            text[at..]
                .get(..wanted.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(wanted))
        };
        match (self.start, self.end, wanted.first()) {
            (true, true, _) => text.eq_ignore_ascii_case(wanted),
            (true, false, _) | (false, false, None) => fits_at(0),
            (false, true, _) => text.len().checked_sub(wanted.len()).is_some_and(fits_at),
            (false, false, Some(&first)) => {
                memchr2_iter(first, first.to_ascii_uppercase(), text).any(fits_at)
            }
        }
    }

    /// Follows all ways through the atoms at once: `at[i]` tells whether the
    /// text so far can have brought us to just before atom `i`.
    fn atoms_match(&self, atoms: &[Atom], text: &[u8]) -> bool {
        let mut at = vec![false; atoms.len() + 1];
        at[0] = true;
        skip_optional(atoms, &mut at);
        for &byte in text {
            if at[atoms.len()] && !self.end {
                return true;
            }
            // From the back, so that one byte moves no way on twice.
            at[atoms.len()] = false;
            for i in (0..atoms.len()).rev() {
                if !at[i] {
                    continue;
                }
                let fits = atoms[i].class.contains(byte);
                at[i] = false;
                match atoms[i].repeat {
                    Repeat::Once => at[i + 1] |= fits,
                    Repeat::Plus | Repeat::Star => {
                        at[i] = fits;
                        at[i + 1] |= fits;
                    }
                }
            }
            at[0] |= !self.start;
            skip_optional(atoms, &mut at);
        }
        at[atoms.len()]
    }
}

/// Wherever we stand before a `*`, we may as well stand behind it.
fn skip_optional(atoms: &[Atom], at: &mut [bool]) {
    for (i, atom) in atoms.iter().enumerate() {
        if at[i] && atom.repeat == Repeat::Star {
            at[i + 1] = true;
        }
    }
}

impl Class {
    fn contains(self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => byte.to_ascii_lowercase() == wanted,
            Self::Any => true,
            Self::Digit => byte.is_ascii_digit(),
            Self::NotBlank => byte != b' ',
            Self::NotDigit => !byte.is_ascii_digit(),
            Self::NotWord => !is_word(byte),
            Self::Punctuation => is_punctuation(byte),
            Self::Word => is_word(byte),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'@' | b'_')
}

/// Not `/`, `@`, `\`, `^`, `_`, `` ` `` and `~` (Wazuh 4.14 os_regex_maps.c).
fn is_punctuation(byte: u8) -> bool {
    matches!(byte, b'!'..=b'.' | b':'..=b'?' | b'[' | b']' | b'{'..=b'}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::{Just, Strategy};

    use super::{BadSyntax, InvalidPattern, Pattern};

    /// Pattern, text, whether it matches.
    const CASES: &[(&str, &str, bool)] = &[
        ("sshd", "syslog,sshd,authentication_failed,", true),
        ("ssh", "syslog,sshd,", true),
        ("SSHD", "syslog,sshd,", true),
        ("sshd", "SYSLOG,SSHD,", true),
        ("attack", "web,web_attack,", true),
        ("attack,", "attacks,", false),
        ("^syslog", "syslog,sshd,", true),
        ("^sshd", "syslog,sshd,", false),
        ("sshd,$", "syslog,sshd,", true),
        ("sshd$", "syslog,sshd,", false),
        ("^sshd,$", "sshd,", true),
        ("^sshd,$", "sshd,sshd,", false),
        ("^$", "", true),
        ("^$", "sshd,", false),
        ("sshd|web", "apache,web,", true),
        ("sshd|web", "apache,", false),
        ("blacklist, ", "blacklist,", false),
        // Anchors bind to their own alternative and are literal elsewhere.
        ("^sshd|web$", "web,sshd,", false),
        ("a^b", "a^b", true),
        ("a$b", "a$b", true),
        // No classes without a backslash, no repetition without a class.
        ("s.hd", "sshd,", false),
        ("s.hd", "s.hd,", true),
        ("s*", "sshd,", false),
        ("ss+hd", "sshd,", false),
        ("\\.hd", "sshd,", true),
        ("^\\.hd", "sshd,", false),
        ("gdpr_\\w+.\\d,", "gdpr_IV_35.7,", true),
        ("pci_dss_\\d+.\\d+.\\d+,", "pci_dss_10.2.4,", true),
        ("pci_dss_\\d+.\\d+.\\d+,", "pci_dss_10.2,", false),
        ("a\\d*b", "ab", true),
        ("a\\d+b", "ab", false),
        ("a\\d+b", "a12b", true),
        ("\\sattack", "web, attack,", true),
        ("\\sattack", "web,attack,", false),
        ("a\\tb", "a\tb", true),
        ("a\\pb", "a,b", true),
        ("a\\pb", "a/b", false),
        ("a\\pb", "a_b", false),
        ("a\\Wb", "a,b", true),
        ("a\\Wb", "a-b", false),
        ("a\\wb", "a@b", true),
        ("a\\Db", "a1b", false),
        ("a\\Sb", "a b", false),
        ("a\\Sb", "a\tb", true),
        ("a\\|b", "a|b", true),
        ("\\(x\\)\\\\\\$\\<", "(x)\\$<", true),
        ("a\\$", "a$b", true),
        ("(ssh)d", "sshd,", true),
        // More ways back than Wazuh's four remembered places.
        (
            "\\w+a\\w+b\\w+c\\w+d\\w+e\\w+f$",
            "xaaxbbxccxddxeexfxf",
            true,
        ),
    ];

    #[test]
    fn a_pattern_finds_what_4_x_documents() {
        for &(pattern, text, wanted) in CASES {
            let found = Pattern::compile(pattern).map(|p| p.is_match(text.as_bytes()));
            assert_eq!(found, Ok(wanted), "{pattern:?} in {text:?}");
        }
    }

    #[test]
    fn what_matches_every_rule_is_refused() {
        for pattern in [
            "", "|", "sshd|", "|sshd", "a||b", "^", "$", "sshd|^", "()", "\\.", "\\.*", "\\w*",
            "^\\.+$", "\\S*\\.",
        ] {
            assert_eq!(
                Pattern::compile(pattern),
                Err(InvalidPattern::MatchesEverything),
                "{pattern:?}"
            );
        }
        for pattern in ["^\\w*$", "^\\.$", "\\d", "\\w+"] {
            assert!(Pattern::compile(pattern).is_ok(), "{pattern:?}");
        }
    }

    #[test]
    fn what_4_x_would_silently_never_match_is_refused() {
        for (pattern, why) in [
            ("a\\x", BadSyntax::UnknownClass('x')),
            ("a\\", BadSyntax::LoneBackslash),
            ("a(b", BadSyntax::Parentheses),
            ("a)b", BadSyntax::Parentheses),
            ("((a))", BadSyntax::Parentheses),
            ("(a|b)", BadSyntax::Parentheses),
            (&"a".repeat(20_481), BadSyntax::TooLong),
        ] {
            assert_eq!(
                Pattern::compile(pattern),
                Err(InvalidPattern::Syntax(why)),
                "{pattern:?}"
            );
        }
    }

    /// One unit of a pattern as text, and as the naive model reads it.
    type Unit = (String, Fits, u8, char);

    /// Whether a byte fits, given the one that was written.
    type Fits = fn(u8, u8) -> bool;

    /// The classes as 4.x documents them, in other words than above.
    const CLASSES: &[(&str, Fits)] = &[
        ("\\d", |_, byte| b"0123456789".contains(&byte)),
        ("\\D", |_, byte| !b"0123456789".contains(&byte)),
        ("\\.", |_, _| true),
        ("\\s", |_, byte| byte == b' '),
        ("\\S", |_, byte| byte != b' '),
        ("\\t", |_, byte| byte == b'\t'),
        ("\\w", |_, byte| is_of_a_name(byte)),
        ("\\W", |_, byte| !is_of_a_name(byte)),
        ("\\p", |_, byte| {
            b"()*+,-.:;<=>?[]!\"'#$%&|{}".contains(&byte)
        }),
        ("\\|", |_, byte| byte == b'|'),
        ("\\$", |_, byte| byte == b'$'),
    ];

    fn is_of_a_name(byte: u8) -> bool {
        char::from(byte).is_alphanumeric() && byte.is_ascii() || b"-@_".contains(&byte)
    }

    fn unit() -> impl Strategy<Value = Unit> {
        let same: Fits = |wanted, byte| byte.eq_ignore_ascii_case(&wanted);
        let repeat = || prop_oneof![Just(' '), Just('+'), Just('*')];
        let class = prop::sample::select(CLASSES);
        prop_oneof![
            prop::sample::select(b"abAB1,".as_slice()).prop_map(move |byte| (
                char::from(byte).to_string(),
                same,
                byte,
                ' '
            )),
            (class, repeat()).prop_map(|((text, fits), repeat)| {
                (
                    format!("{text}{repeat}").trim_end().to_owned(),
                    fits,
                    0,
                    repeat,
                )
            }),
        ]
    }

    /// Whether some beginning of `text` fits, by plain backtracking.
    fn naive(units: &[Unit], text: &[u8], to_the_end: bool) -> bool {
        let Some(((_, fits, wanted, repeat), rest)) = units.split_first() else {
            return !to_the_end || text.is_empty();
        };
        let first = text.first().is_some_and(|&byte| fits(*wanted, byte));
        match repeat {
            '*' if naive(rest, text, to_the_end) => true,
            '*' => first && naive(units, &text[1..], to_the_end),
            '+' if !first => false,
            '+' => naive(rest, &text[1..], to_the_end) || naive(units, &text[1..], to_the_end),
            _ => first && naive(rest, &text[1..], to_the_end),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn matching_agrees_with_plain_backtracking(
            units in prop::collection::vec(unit(), 1..6),
            text in "[abA1, \t_@/|$é-]{0,8}",
            start in any::<bool>(),
            end in any::<bool>(),
        ) {
            let body: String = units.iter().map(|unit| unit.0.as_str()).collect();
            let pattern = format!("{}{body}{}", if start { "^" } else { "" }, if end { "$" } else { "" });
            let text = text.as_bytes();
            let last_start = if start { 0 } else { text.len() };
            let wanted = (0..=last_start).any(|at| naive(&units, &text[at..], end));
            match Pattern::compile(&pattern) {
                Ok(compiled) => prop_assert_eq!(compiled.is_match(text), wanted, "{}", pattern),
                // Everything long enough; no text is longer than the pattern asks for.
                Err(why) => {
                    prop_assert_eq!(why, InvalidPattern::MatchesEverything);
                    let enough = [text, b"abA1, abA1, "].concat();
                    let last_start = if start { 0 } else { enough.len() };
                    prop_assert_eq!(
                        (0..=last_start).any(|at| naive(&units, &enough[at..], end)),
                        true,
                        "{}", pattern
                    );
                }
            }
        }

        #[test]
        fn no_text_makes_compiling_panic(text in any::<String>(), in_text in any::<Vec<u8>>()) {
            if let Ok(pattern) = Pattern::compile(&text) {
                pattern.is_match(&in_text);
            }
        }
    }
}
