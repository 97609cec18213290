use std::sync::Arc;

use ripost::alert::{FORMATS, Shape};
use ripost::clock;
use ripost::matcher::{Condition, Conditions, Matcher};
use ripost::model::os_regex::Pattern;
use ripost::model::{Level, Logic, RuleId};
use ripost::source::{Sieve, Sifting, Tally};
use tokio::sync::watch;

/// The sieve of a reader beside reading every line in full, with one set of
/// responses.
pub struct Both {
    shape: Shape,
    matcher: Matcher,
    sieve: Sieve,
}

/// How many sets of responses there are.
pub const SETS: u8 = 5;

impl Both {
    pub fn new(shape: Shape, set: u8) -> Self {
        let conditions = Arc::new(Conditions::new(responses(set)));
        let (_, receiver) = watch::channel(Arc::clone(&conditions));
        Self {
            matcher: Matcher::sharing(conditions, 1 << 20),
            sieve: Sieve::new(Sifting {
                shape: shape.clone(),
                conditions: receiver,
                tally: Arc::new(Tally::default()),
            }),
            shape,
        }
    }

    /// Judges a line both ways, which must agree, and says whether it is handed
    /// over.
    pub fn judge(&mut self, line: &[u8]) -> bool {
        let ahead = [line, b"\n", line, b"\n"].concat();
        let kept = self.sieve.keeps_back(&ahead);
        let passes = self.sieve.passes(line, clock::boot());
        let alerts = self.shape.read(line);
        let are_alerts = alerts.iter().all(Result::is_ok);
        let mut rules = alerts.iter().flatten().map(|alert| &alert.rule);
        let matched = rules.any(|rule| !self.matcher.matches(rule).is_empty());
        let shown = || String::from_utf8_lossy(line);
        assert!(passes || !matched, "kept back: {}", shown());
        let is_line = !line.contains(&b'\n');
        let whole = kept.is_none_or(|bytes| bytes == line.len() + 1 && !passes);
        assert!(whole || !is_line, "kept back from a file: {}", shown());
        assert!(matched || !are_alerts || !passes, "let pass: {}", shown());
        passes
    }
}

/// Responses by nothing, by ids, by a level, by groups, and by all of these.
pub fn responses(set: u8) -> Vec<Condition> {
    let ids = |ids: &[&str]| Condition {
        ids: ids.iter().flat_map(|id| RuleId::parse(id)).collect(),
        ..Condition::default()
    };
    let level = |number| Condition {
        level: Level::new(number).ok(),
        ..Condition::default()
    };
    let group = |text: &str| Condition {
        group: Pattern::compile(text).ok(),
        ..Condition::default()
    };
    match set % SETS {
        0 => Vec::new(),
        1 => vec![ids(&["1", "5763"]), ids(&["12"])],
        2 => vec![level(10)],
        3 => vec![group("sshd,"), group("pci_dss_10.2.\\d,|^web")],
        _ => vec![
            Condition {
                level: Level::new(3).ok(),
                logic: Logic::Ossec,
                ..group("attack")
            },
            Condition {
                level: Level::new(7).ok(),
                ..group("sshd")
            },
            ids(&["2"]),
        ],
    }
}

/// The lines of a source, after a byte that tells the responses and one that
/// tells the format: what is kept back has no response. Says whether a line was
/// handed over.
pub fn reading(bytes: &[u8]) -> bool {
    let [set, format, lines @ ..] = bytes else {
        return false;
    };
    let format = FORMATS.get(usize::from(*format)).map(Shape::One);
    let mut both = Both::new(format.unwrap_or(Shape::Auto), *set);
    let mut passes = false;
    for line in lines.split(|byte| *byte == b'\n') {
        passes |= both.judge(line);
    }
    passes
}
