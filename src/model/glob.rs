//! Patterns of paths, as a shell has them: `*` is any run of characters, `?`
//! one character, `[a-c]` one of those, `[!a-c]` one of the others. None of
//! them is a `/`, and none of them but a dot that is written begins a name with
//! a dot. Pure: whoever looks for files goes from part to part.

use std::fmt;

/// Longer than any path (PATH_MAX of Linux).
const MAX_BYTES: usize = 4_096;

/// Why a text is no pattern of paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidGlob {
    #[error("has a `[` without its `]`")]
    Open,
    #[error("has `**`, which is not known here")]
    AnyDepth,
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
}

/// A pattern of paths, and how it was written. Two are equal if they were
/// written alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

/// What stands between two `/` of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// This name.
    Name(String),
    /// Every name that fits.
    Names(NameGlob),
}

/// A pattern of one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameGlob(Vec<Token>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    This(char),
    One,
    Any,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Whether a text is a pattern and not the path of one file.
    pub fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        if text.len() > MAX_BYTES {
            return Err(InvalidGlob::TooLong);
        }
        let names = text.split('/').filter(|name| !name.is_empty());
        let parts = names.map(|name| {
            if Self::is_one(name) {
                NameGlob::parse(name).map(Part::Names)
            } else {
                Ok(Part::Name(name.to_owned()))
            }
        });
        Ok(Self {
            parts: parts.collect::<Result<_, _>>()?,
            text: text.to_owned(),
        })
    }

    pub fn is_absolute(&self) -> bool {
        self.text.starts_with('/')
    }

    /// From the first name to that of the file.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether a path that is written as the pattern is, from the root or from
    /// the same directory, fits it.
    pub fn fits(&self, path: &str) -> bool {
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        path.starts_with('/') == self.is_absolute()
            && names.len() == self.parts.len()
            && self.parts.iter().zip(names).all(|(part, name)| match part {
                Part::Name(wanted) => wanted == name,
                Part::Names(names) => names.fits(name),
            })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl NameGlob {
    fn parse(name: &str) -> Result<Self, InvalidGlob> {
        let mut tokens = Vec::new();
        let mut rest = name.chars();
        while let Some(char) = rest.next() {
            tokens.push(match char {
                '*' if tokens.last() == Some(&Token::Any) => return Err(InvalidGlob::AnyDepth),
                '*' => Token::Any,
                '?' => Token::One,
                '[' => {
                    let (set, behind) = set(rest.as_str()).ok_or(InvalidGlob::Open)?;
                    rest = behind.chars();
                    set
                }
                char => Token::This(char),
            });
        }
        Ok(Self(tokens))
    }

    /// Whether the name fits. Takes no longer than the product of both lengths:
    /// only the last run of any characters is ever made longer.
    pub fn fits(&self, name: &str) -> bool {
        if name.starts_with('.') && self.0.first() != Some(&Token::This('.')) {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        let mut last_any = None;
        while at < name.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    last_any = Some((token, at));
                    token += 1;
                }
                Some(one) if one.takes(name[at]) => {
                    token += 1;
                    at += 1;
                }
                Some(_) | None => {
                    let Some((any, from)) = &mut last_any else {
                        return false;
                    };
                    *from += 1;
                    (token, at) = (*any + 1, *from);
                }
            }
        }
        self.0[token..].iter().all(|left| *left == Token::Any)
    }
}

impl Token {
    fn takes(&self, char: char) -> bool {
        match self {
            Self::This(wanted) => *wanted == char,
            Self::One => true,
            Self::Any => false,
            Self::Set { negated, ranges } => {
                let holds = |(first, last): &(char, char)| (*first..=*last).contains(&char);
                ranges.iter().any(holds) != *negated
            }
        }
    }
}

/// What stands behind a `[`, up to its `]`. A `]` at its beginning is one of
/// the characters.
fn set(text: &str) -> Option<(Token, &str)> {
    let inside = text.strip_prefix(['!', '^']);
    let negated = inside.is_some();
    let inside = inside.unwrap_or(text);
    let first = inside.chars().next()?.len_utf8();
    let end = first + inside[first..].find(']')?;
    let chars: Vec<char> = inside[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut left = chars.as_slice();
    while let [first, rest @ ..] = left {
        (left, _) = match rest {
            ['-', last, rest @ ..] => (rest, ranges.push((*first, *last))),
            rest => (rest, ranges.push((*first, *first))),
        };
    }
    Some((Token::Set { negated, ranges }, &inside[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::{Glob, InvalidGlob};

    #[test]
    fn paths_fit_as_in_a_shell() {
        for (glob, path, fits) in [
            ("/var/log/*.json", "/var/log/a.json", true),
            ("/var/log/*.json", "/var/log/.json", false),
            ("/var/log/*.json", "/var/log/x/a.json", false),
            ("/var/log/*.json", "var/log/a.json", false),
            ("/var/log/*.json", "/var//log/a.json", true),
            ("/var/log/.*.json", "/var/log/.a.json", true),
            ("/srv/*/alerts.json*", "/srv/a/alerts.json.1", true),
            ("/srv/*/alerts.json*", "/srv/a/alerts.json", true),
            ("/srv/*/alerts.json*", "/srv/a/alerts.jso", false),
            ("logs/a?.json", "logs/aé.json", true),
            ("logs/a?.json", "logs/a.json", false),
            ("logs/a[0-9].json", "logs/a7.json", true),
            ("logs/a[!0-9].json", "logs/a7.json", false),
            ("logs/a[^0-9].json", "logs/ax.json", true),
            ("logs/a[]x].json", "logs/a].json", true),
            ("logs/a[x-].json", "logs/a-.json", true),
            ("logs/a[*].json", "logs/a*.json", true),
            ("logs/a[*].json", "logs/ab.json", false),
            ("logs/*a*b*c", "logs/xaxxbxxbxc", true),
            ("logs/*a*b*c", "logs/xaxxbxxbxd", false),
        ] {
            assert_eq!(Glob::parse(glob).unwrap().fits(path), fits, "{glob} {path}");
        }
    }

    #[test]
    fn a_long_name_that_almost_fits_takes_no_time() {
        let glob = Glob::parse(&format!("{}b", "*a".repeat(1_000))).unwrap();
        assert!(!glob.fits(&"a".repeat(4_000)));
    }

    #[test]
    fn what_a_shell_would_not_take_as_it_looks_is_refused() {
        assert_eq!(Glob::parse("/a/[b"), Err(InvalidGlob::Open));
        assert_eq!(Glob::parse("/a/[]"), Err(InvalidGlob::Open));
        assert_eq!(Glob::parse("/a/[b/c]"), Err(InvalidGlob::Open));
        assert_eq!(Glob::parse("/a/**/b"), Err(InvalidGlob::AnyDepth));
    }
}
