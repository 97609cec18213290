//! Collects what is wrong with files while they are read.

use std::borrow::Cow;
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

/// Who reads an element at the top.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    Ours,
    Others,
}

/// The problems of some files so far, and what was skipped in them. The texts
/// count as one behind the other, so that a span tells its file, too.
#[derive(Debug, Default)]
pub(crate) struct Report<'a> {
    files: Vec<File<'a>>,
    /// Where the file starts that is being parsed: its spans count from there.
    base: usize,
    /// Where each element at the top starts, and whose it is.
    tops: Vec<(usize, Owner)>,
    /// Whole sections that OSSEC or Wazuh know and we have no use for.
    pub(crate) skipped_sections: usize,
    /// Such elements inside sections that we do read.
    pub(crate) skipped_settings: usize,
}

#[derive(Debug)]
struct File<'a> {
    path: PathBuf,
    source: Cow<'a, str>,
    start: usize,
    /// Where each line starts in it.
    lines: Vec<usize>,
    diagnostics: Diagnostics,
}

impl<'a> Report<'a> {
    pub(crate) fn new(path: &Path, source: &'a str) -> Self {
        let mut report = Self::default();
        report.begin(path, source);
        report
    }

    /// Begins another file: until `parsed`, spans count from its start, which is
    /// returned.
    pub(crate) fn begin(&mut self, path: &Path, source: impl Into<Cow<'a, str>>) -> usize {
        let source = source.into();
        let breaks = memchr::memchr_iter(b'\n', source.as_bytes()).map(|at| at + 1);
        // Just behind the last byte is a place, too.
        let last = self.files.last();
        let start = last.map_or(0, |last| last.start + last.source.len() + 1);
        self.files.push(File {
            path: path.to_owned(),
            start,
            lines: std::iter::once(0).chain(breaks).collect(),
            diagnostics: Diagnostics::default(),
            source,
        });
        self.base = start;
        start
    }

    /// From here on spans count from the start of the first file.
    pub(crate) fn parsed(&mut self) {
        self.base = 0;
    }

    /// An error of a file as a whole, which is begun with it.
    pub(crate) fn unreadable(&mut self, path: &Path, message: String, hint: &str) {
        self.begin(path, "");
        self.parsed();
        let file = self.files.last_mut().expect("it has just been begun");
        file.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            file: path.to_owned(),
            position: None,
            length: 0,
            message,
            hint: Some(hint.to_owned()),
        });
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

    /// The line in its file.
    pub(crate) fn line(&self, at: Span) -> usize {
        let (file, offset) = self.file(at);
        file.line(offset)
    }

    /// What stands there; nothing, if the place is none.
    pub(crate) fn text(&self, at: Span) -> &str {
        let (file, start) = self.file(at);
        let end = (at.end + self.base).saturating_sub(file.start);
        file.source.get(start..end).unwrap_or_default()
    }

    /// `line 3`, or `line 3 of FILE` where that is another file than the one that
    /// `from` stands in.
    pub(crate) fn place(&self, at: Span, from: Span) -> String {
        let (file, offset) = self.file(at);
        let (here, _) = self.file(from);
        let line = file.line(offset);
        if file.start == here.start {
            format!("line {line}")
        } else {
            format!("line {line} of {}", file.path.display())
        }
    }

    /// The file that a place is in, and where in it.
    fn file(&self, at: Span) -> (&File<'a>, usize) {
        let at = at.start + self.base;
        let behind = self.files.partition_point(|file| file.start <= at);
        let file = &self.files[behind - 1];
        (file, at - file.start)
    }

    /// Tells of the next element at the top, in their order.
    pub(crate) fn top(&mut self, at: Span, owner: Owner) {
        self.tops.push((at.start, owner));
    }

    /// Whether OSSEC or Wazuh may read what stands there, too.
    pub(crate) fn is_of_others(&self, at: Span) -> bool {
        self.top_of(at)
            .is_some_and(|(_, owner)| *owner == Owner::Others)
    }

    /// Whether both stand in the same element at the top.
    pub(crate) fn is_same_top(&self, one: Span, other: Span) -> bool {
        self.top_of(one) == self.top_of(other)
    }

    fn top_of(&self, at: Span) -> Option<&(usize, Owner)> {
        let behind = self.tops.partition_point(|(start, _)| *start <= at.start);
        self.tops[..behind].last()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.files.iter().any(|file| file.diagnostics.errors() > 0)
    }

    /// All problems in the order of the files, and the texts.
    pub(crate) fn finish(self) -> (Diagnostics, Vec<(PathBuf, String)>) {
        let mut all = Diagnostics::default();
        let mut texts = Vec::new();
        for file in self.files {
            all.append(file.diagnostics);
            texts.push((file.path, file.source.into_owned()));
        }
        (all, texts)
    }

    fn push(&mut self, severity: Severity, at: Span, message: String, hint: String) {
        let start = at.start + self.base;
        let behind = self.files.partition_point(|file| file.start <= start);
        let file = &mut self.files[behind - 1];
        let span = Span::new(start - file.start, at.end + self.base - file.start);
        let line = file.line(span.start);
        let begin = file.lines[line - 1];
        let (source, path) = (&file.source, &file.path);
        file.diagnostics.push_with(severity, || {
            let meant = source[span.start..span.end].chars();
            Diagnostic {
                severity,
                file: path.clone(),
                position: Some(Position {
                    line,
                    column: source[begin..span.start].chars().count() + 1,
                }),
                length: meant.take_while(|c| *c != '\n').count().max(1),
                message: shortened(message),
                hint: Some(shortened(hint)).filter(|hint| !hint.is_empty()),
            }
        });
    }
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset)
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
