//! A problem in a file: where it is, what it is, and what to write instead.
//!
//! Whoever reads a file collects `Diagnostics` and goes on, so that a person
//! sees all problems at once. Nothing here reads the file: rendering takes the
//! text that was checked, so that the excerpt is of that text and not of what
//! somebody has saved since.

mod render;
pub mod seldom;
mod suggest;

use std::fmt;
use std::path::PathBuf;

pub use suggest::suggest;

/// Whether a problem keeps the file from being used.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Severity {
    Error,
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in a text. Both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// One problem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: PathBuf,
    /// `None` for a problem with the file as a whole.
    pub position: Option<Position>,
    /// How many characters are meant, from `position` on.
    pub length: usize,
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// The problems of some files: file by file, in the order of their places.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// So many are kept and shown, errors before warnings; the others are
    /// counted. A file that is not what it was taken for has one per line.
    pub const MAX_KEPT: usize = 200;

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(diagnostic.severity, || diagnostic);
    }

    /// As `push`, but builds the diagnostic only if it is to be kept: finding
    /// its place costs a walk through its line.
    pub fn push_with(&mut self, severity: Severity, build: impl FnOnce() -> Diagnostic) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.list.len() == Self::MAX_KEPT {
            let lesser = |kept: &Diagnostic| kept.severity == Severity::Warning;
            match self.list.iter().rposition(lesser) {
                Some(at) if severity == Severity::Error => drop(self.list.remove(at)),
                _ => return,
            }
        }
        let diagnostic = build();
        let at = self
            .list
            .partition_point(|kept| kept.position <= diagnostic.position);
        self.list.insert(at, diagnostic);
    }

    /// Puts those of another file behind these.
    pub fn append(&mut self, other: Self) {
        self.errors += other.errors;
        self.warnings += other.warnings;
        self.list.extend(other.list);
        while self.list.len() > Self::MAX_KEPT {
            let lesser = |kept: &Diagnostic| kept.severity == Severity::Warning;
            match self.list.iter().rposition(lesser) {
                Some(at) => drop(self.list.remove(at)),
                None => self.list.truncate(Self::MAX_KEPT),
            }
        }
    }

    /// Of all that were found, kept or not.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Of all that were found, kept or not.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{Diagnostic, Diagnostics, Position, Severity};

    fn at(severity: Severity, line: usize) -> Diagnostic {
        Diagnostic {
            severity,
            file: "x".into(),
            position: Some(Position { line, column: 1 }),
            length: 1,
            message: format!("m{line}"),
            hint: None,
        }
    }

    #[test]
    fn problems_are_listed_by_place_whatever_order_they_are_found_in() {
        let mut all = Diagnostics::default();
        for line in [3, 1, 2] {
            all.push(at(Severity::Error, line));
        }
        let lines: Vec<_> = all.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(lines, ["m1", "m2", "m3"]);
    }

    #[test]
    fn those_of_another_file_come_behind_and_errors_go_before_warnings() {
        let mut all = Diagnostics::default();
        all.push(at(Severity::Warning, 3));
        let mut other = Diagnostics::default();
        other.push(at(Severity::Error, 2));
        all.append(other);
        let lines: Vec<_> = all.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(lines, ["m3", "m2"]);
        let mut many = Diagnostics::default();
        for line in 1..=Diagnostics::MAX_KEPT {
            many.push(at(Severity::Error, line));
        }
        all.append(many);
        assert_eq!(all.iter().count(), Diagnostics::MAX_KEPT);
        assert_eq!(
            (all.errors(), all.warnings()),
            (Diagnostics::MAX_KEPT + 1, 1)
        );
        assert!(all.iter().all(|kept| kept.severity == Severity::Error));
    }

    #[test]
    fn warnings_give_way_to_errors_when_there_are_too_many() {
        let mut all = Diagnostics::default();
        for line in 1..=300 {
            all.push(at(Severity::Warning, line));
        }
        all.push(at(Severity::Error, 900));
        assert_eq!((all.errors(), all.warnings()), (1, 300));
        assert_eq!(all.iter().count(), Diagnostics::MAX_KEPT);
        assert_eq!(all.iter().last().map(|d| d.severity), Some(Severity::Error));
    }
}
