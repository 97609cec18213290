//! Collects what is wrong with one file while it is read.

use std::path::{Path, PathBuf};

use crate::diag::{Diagnostic, Diagnostics, Position, Severity};

/// Bytes of the checked text, from `start` up to `end`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// The problems of one file so far, and what was skipped in it.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    file: PathBuf,
    source: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    diagnostics: Diagnostics,
    /// Whole sections that OSSEC or Wazuh know and we have no use for.
    pub(crate) skipped_sections: usize,
    /// Such elements inside sections that we do read.
    pub(crate) skipped_settings: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &Path, source: &'a str) -> Self {
        let breaks = memchr::memchr_iter(b'\n', source.as_bytes()).map(|at| at + 1);
        Self {
            file: file.to_owned(),
            source,
            lines: std::iter::once(0).chain(breaks).collect(),
            diagnostics: Diagnostics::default(),
            skipped_sections: 0,
            skipped_settings: 0,
        }
    }

    /// `hint` says what to write instead; empty where the message does.
    pub(crate) fn error(&mut self, at: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), hint.into());
    }

    pub(crate) fn warning(
        &mut self,
        at: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Warning, at, message.into(), hint.into());
    }

    pub(crate) fn line(&self, at: Span) -> usize {
        self.lines.partition_point(|&start| start <= at.start)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.errors() > 0
    }

    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }

    fn push(&mut self, severity: Severity, at: Span, message: String, hint: String) {
        let line = self.line(at);
        let start = self.lines[line - 1];
        let (source, file) = (self.source, &self.file);
        self.diagnostics.push_with(severity, || {
            let meant = source[at.start..at.end].chars();
            Diagnostic {
                severity,
                file: file.clone(),
                position: Some(Position {
                    line,
                    column: source[start..at.start].chars().count() + 1,
                }),
                length: meant.take_while(|c| *c != '\n').count().max(1),
                message: shortened(message),
                hint: Some(shortened(hint)).filter(|hint| !hint.is_empty()),
            }
        });
    }
}

/// Messages quote what stands in the file, which may be of any length. What
/// is left out is the middle: the ends are ours.
fn shortened(text: String) -> String {
    const MOST: usize = 400;
    let length = text.chars().count();
    if length <= MOST {
        return text;
    }
    let half = MOST / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(length - half).collect();
    format!("{start} … {end}")
}

/// `1 command`, `2 commands`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
