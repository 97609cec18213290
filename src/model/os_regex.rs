//! OS_Regex, the pattern language of OSSEC and Wazuh, as far as `rules_group`
//! uses it.

/// Why a text is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("matches every text")]
    MatchesEverything,
}

/// A compiled pattern: unanchored and case-insensitive, `|` separates
/// alternatives, `^` and `$` anchor.
#[derive(Clone, Debug)]
pub struct Pattern {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug)]
struct Alternative {
    start: bool,
    end: bool,
    text: Vec<u8>,
}

impl Pattern {
    pub fn compile(text: &str) -> Result<Self, InvalidPattern> {
        let mut alternatives = Vec::new();
        for part in text.split('|') {
            let start = part.starts_with('^');
            let part = part.strip_prefix('^').unwrap_or(part);
            let end = part.ends_with('$');
            let part = part.strip_suffix('$').unwrap_or(part);
            if part.is_empty() {
                return Err(InvalidPattern::MatchesEverything);
            }
            alternatives.push(Alternative {
                start,
                end,
                text: part.to_ascii_lowercase().into_bytes(),
            });
        }
        Ok(Self { alternatives })
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        let text = text.to_ascii_lowercase();
        self.alternatives.iter().any(|wanted| {
            let len = wanted.text.len();
            (0..=text.len().saturating_sub(len)).any(|at| {
                text[at..].starts_with(&wanted.text)
                    && (!wanted.start || at == 0)
                    && (!wanted.end || at + len == text.len())
            })
        })
    }
}
