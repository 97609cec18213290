//! A text that parts are taken out of, so that all others stay as somebody has
//! written them.

use std::ops::Range;

use crate::diag::Position;

/// Changes to a text.
pub(super) struct Edit<'a> {
    source: &'a str,
    changes: Vec<(Range<usize>, String)>,
}

/// A changed text that remembers what of it stood where.
pub(super) struct Edited {
    pub(super) text: String,
    /// Pieces that were not changed: where they start now, where they did, and
    /// their length.
    kept: Vec<(usize, usize, usize)>,
}

impl<'a> Edit<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            changes: Vec::new(),
        }
    }

    /// Puts `text` in the place of what stands at `at`. Of a change within
    /// another one only the outer is made.
    pub(super) fn replace(&mut self, at: Range<usize>, text: impl Into<String>) {
        self.changes.push((at, text.into()));
    }

    /// Takes out what stands at `at`; the whole lines, where nothing else does.
    pub(super) fn cut(&mut self, at: Range<usize>) {
        self.replace(whole_lines(self.source, at), "");
    }

    /// Puts a line before the closing tag at `at`, two blanks deeper.
    pub(super) fn add_last(&mut self, at: usize, lines: &[String]) {
        let line = self.source[..at].rfind('\n').map_or(0, |end| end + 1);
        let indent = &self.source[line..at];
        let text: String = match indent.trim().is_empty() {
            true => lines
                .iter()
                .map(|text| format!("{indent}  {text}\n"))
                .collect(),
            false => lines.concat(),
        };
        let place = if indent.trim().is_empty() { line } else { at };
        self.replace(place..place, text);
    }

    pub(super) fn finish(mut self) -> Edited {
        self.changes
            .sort_by_key(|(at, _)| (at.start, std::cmp::Reverse(at.end)));
        let mut edited = Edited {
            text: String::new(),
            kept: Vec::new(),
        };
        let mut from = 0;
        for (at, text) in &self.changes {
            if at.start < from {
                continue;
            }
            edited.keep(self.source, from..at.start);
            edited.text.push_str(text);
            from = at.end;
        }
        edited.keep(self.source, from..self.source.len());
        edited
    }
}

impl Edited {
    fn keep(&mut self, source: &str, at: Range<usize>) {
        self.kept.push((self.text.len(), at.start, at.len()));
        self.text.push_str(&source[at]);
    }

    /// Where in the source that stands what now stands at `position`; of what
    /// was added, where it was put.
    pub(super) fn source_place(&self, position: Position) -> usize {
        let lines = self.text.split_inclusive('\n').take(position.line - 1);
        let line: usize = lines.map(str::len).sum();
        let mut chars = self.text[line..].char_indices();
        let column = chars
            .nth(position.column - 1)
            .map_or(self.text.len() - line, |(at, _)| at);
        let place = line + column;
        let index = self.kept.partition_point(|(start, _, _)| *start <= place);
        let (start, was, length) = self.kept[index.saturating_sub(1)];
        was + (place - start).min(length)
    }
}

/// With the rest of the first and the last line, if nothing stands there, and
/// one of two empty lines around them.
fn whole_lines(source: &str, at: Range<usize>) -> Range<usize> {
    let is_blank = |c: char| c == ' ' || c == '\t' || c == '\r';
    let before = source[..at.start].trim_end_matches(is_blank);
    let after = source[at.end..].trim_start_matches(is_blank);
    let begins = before.is_empty() || before.ends_with('\n');
    let Some(rest) = after.strip_prefix('\n').filter(|_| begins) else {
        return at;
    };
    let follows_empty = before.is_empty()
        || before[..before.len() - 1]
            .trim_end_matches(is_blank)
            .ends_with('\n');
    let mut rest = rest;
    let empty_line = |text: &'_ str| {
        let next = text.trim_start_matches(is_blank).strip_prefix('\n');
        next.map(str::len).filter(|_| follows_empty)
    };
    while let Some(left) = empty_line(rest) {
        rest = &rest[rest.len() - left..];
    }
    before.len()..source.len() - rest.len()
}

/// Where the comment starts that belongs to what begins at `to`: it begins its
/// line, and nothing stands between the two but the end of one. What stands
/// before `from` is not looked at; between the two there are no elements.
pub(super) fn comment_of(source: &str, from: usize, to: usize) -> Option<usize> {
    let gap = &source[from..to];
    let mut last = None;
    let mut at = 0;
    while let Some(found) = gap[at..].find("<!") {
        let start = at + found;
        if gap[start..].starts_with("<![CDATA[") || gap[..start].ends_with('\\') {
            return None;
        }
        at = end_of_comment(gap, start)?;
        last = Some(start..at);
    }
    let comment = last?;
    let between = &gap[comment.end..];
    let is_close = between.trim().is_empty() && between.matches('\n').count() == 1;
    let is_first = gap[..comment.start]
        .trim_end_matches([' ', '\t'])
        .ends_with('\n');
    (is_close && is_first).then_some(from + comment.start)
}

/// Either end of a comment ends either start of one, as in OSSEC.
fn end_of_comment(text: &str, start: usize) -> Option<usize> {
    let ends = memchr::memchr_iter(b'>', &text.as_bytes()[start + 2..]);
    ends.map(|at| start + 2 + at + 1)
        .find(|end| text[start + 2..*end].ends_with("-->") || text[..*end].ends_with("!>"))
}

/// `text` as it may stand in a comment, on one line.
pub(super) fn in_comment(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        let closes = c == '-' && safe.ends_with('-') || c == '>' && safe.ends_with(['-', '!']);
        if closes {
            safe.push(' ');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{Edit, comment_of, in_comment};
    use crate::diag::Position;

    /// Cuts the first `X`.
    fn cut(source: &str) -> String {
        let mut edit = Edit::new(source);
        let at = source.find('X').unwrap();
        edit.cut(at..at + 1);
        edit.finish().text
    }

    #[test]
    fn a_cut_takes_its_lines_along_and_leaves_no_hole() {
        for (source, wanted) in [
            ("a\n  X\nb\n", "a\nb\n"),
            ("a\n\n  X\n\nb\n", "a\n\nb\n"),
            ("a\r\n  X\r\nb\r\n", "a\r\nb\r\n"),
            ("a\n  X b\n", "a\n   b\n"),
            ("a X\nb\n", "a \nb\n"),
            ("X\n\nb", "b"),
            ("a\nX", "a\n"),
        ] {
            assert_eq!(cut(source), wanted, "{source:?}");
        }
    }

    #[test]
    fn a_place_in_the_result_is_found_in_the_source() {
        let source = "ab\nXX\nüc<d>\n";
        let mut edit = Edit::new(source);
        edit.replace(3..5, "new\nlines");
        let end = source.find("<d>").unwrap();
        edit.add_last(end, &["N".to_owned()]);
        let edited = edit.finish();
        assert_eq!(edited.text, "ab\nnew\nlines\nücN<d>\n");
        let place = |line, column| edited.source_place(Position { line, column });
        assert_eq!((place(1, 2), place(2, 1), place(3, 4)), (1, 3, 3));
        assert_eq!(&source[place(4, 2)..], "c<d>\n");
        assert_eq!(&source[place(4, 3)..], "<d>\n");
        assert_eq!(&source[place(4, 4)..], "<d>\n");
    }

    #[test]
    fn of_two_changes_the_outer_is_made() {
        let mut edit = Edit::new("abcdef");
        edit.replace(2..3, "x");
        edit.replace(1..5, "-");
        assert_eq!(edit.finish().text, "a-f");
    }

    #[test]
    fn a_comment_belongs_to_what_follows_at_once() {
        for (gap, found) in [
            ("\n  <!-- c -->\n  ", Some("<!-- c -->\n  ")),
            ("\n <!-- a <!-- b -->\n ", Some("<!-- a <!-- b -->\n ")),
            ("\n <! c !>\n", Some("<! c !>\n")),
            ("\n <!-- a -->\n <!-- b -->\n", Some("<!-- b -->\n")),
            ("\n  <!-- c -->\n\n  ", None),
            (" <!-- of what was before -->\n", None),
            ("\n <!-- c --> text\n", None),
            ("\n <![CDATA[<!-- c -->]]>\n", None),
            ("\n", None),
        ] {
            let start = comment_of(gap, 0, gap.len());
            assert_eq!(start.map(|start| &gap[start..]), found, "{gap:?}");
        }
    }

    #[test]
    fn nothing_ends_a_comment_early() {
        for (text, wanted) in [
            ("a --> b", "a - - > b"),
            ("!> ---", "! > - - -"),
            ("x\ny\u{1b}", "x y "),
            ("plain -f", "plain -f"),
        ] {
            assert_eq!(in_comment(text), wanted);
        }
    }
}
