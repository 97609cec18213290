//! How a problem looks on a terminal:
//!
//! ```text
//! etc/manager.conf:12:14: error: `10min` is not a span of time
//!     <timeout>10min</timeout>
//!              ^^^^^
//!   (write seconds, or a number with one of the units s, m, h, d: 10m)
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Diagnostic, Diagnostics, Position};

/// More of a line than this is cut: a file without line breaks is one line.
const MAX_WIDTH: usize = 160;

impl Diagnostic {
    /// `file:line:col: error: message`, the line with a caret under the place,
    /// and the hint. Ends with a newline. `source` is the text that was checked.
    pub fn render(&self, source: &str) -> String {
        let line = self.position.and_then(|at| source.lines().nth(at.line - 1));
        self.render_with(line)
    }

    fn render_with(&self, line: Option<&str>) -> String {
        let mut out = escape(&self.file.to_string_lossy());
        if let Some(Position { line, column }) = self.position {
            let _ = write!(out, ":{line}:{column}");
        }
        let _ = writeln!(out, ": {}: {}", self.severity, escape(&self.message));
        if let (Some(line), Some(at)) = (line, self.position) {
            excerpt(&mut out, line, at.column - 1, self.length);
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  ({})", escape_lines(hint));
        }
        out
    }
}

impl Diagnostics {
    /// All of them, and how many more there are. `sources` are the texts that were
    /// checked, each with the name of its file.
    pub fn render(&self, sources: &[(PathBuf, String)]) -> String {
        let mut lines: HashMap<&PathBuf, Vec<&str>> = HashMap::new();
        for (path, text) in sources {
            lines.insert(path, text.lines().collect());
        }
        let mut out = String::new();
        for diagnostic in self.iter() {
            let lines = lines.get(&diagnostic.file);
            let line = lines
                .zip(diagnostic.position)
                .and_then(|(lines, at)| lines.get(at.line - 1));
            out.push_str(&diagnostic.render_with(line.copied()));
        }
        let more = self.errors() + self.warnings() - self.iter().count();
        if more > 0 {
            let _ = writeln!(out, "… and {more} more");
        }
        out
    }
}

/// The line, and under it a caret for each character meant. Tabs stay tabs in
/// both, so that the carets stand right whatever the terminal makes of them.
fn excerpt(out: &mut String, line: &str, column: usize, length: usize) {
    let chars: Vec<char> = line.chars().collect();
    let start = if chars.len() <= MAX_WIDTH {
        0
    } else {
        column.saturating_sub(MAX_WIDTH / 2)
    };
    let end = chars.len().min(start + MAX_WIDTH);
    let shown = &chars[start.min(end)..end];
    let before = column.saturating_sub(start).min(shown.len());
    let carets = length.clamp(1, (shown.len() - before).max(1));
    out.push_str("  ");
    out.extend(shown.iter().map(|&c| visible(c)));
    out.push_str("\n  ");
    out.extend(
        shown[..before]
            .iter()
            .map(|&c| if c == '\t' { '\t' } else { ' ' }),
    );
    out.extend(std::iter::repeat_n('^', carets));
    out.push('\n');
}

/// Characters that move the cursor, start an escape sequence or reorder what
/// stands beside them: text from a file must not be able to paint over ours.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// One character for one, so that the carets below still stand right.
fn visible(c: char) -> char {
    if c != '\t' && is_unsafe(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A hint may have several lines; they are ours, what they quote is not.
fn escape_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n   ")
}

#[cfg(test)]
mod tests {
    use crate::diag::{Diagnostic, Position, Severity};

    fn diagnostic(line: usize, column: usize, length: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "m.conf".into(),
            position: Some(Position { line, column }),
            length,
            message: "no".to_owned(),
            hint: Some("write yes".to_owned()),
        }
    }

    #[test]
    fn carets_stand_under_what_is_meant_also_after_tabs() {
        let text = "<a>\n\t<é>x</é>\n</a>\n";
        assert_eq!(
            diagnostic(2, 5, 1).render(text),
            "m.conf:2:5: error: no\n  \t<é>x</é>\n  \t   ^\n  (write yes)\n"
        );
    }

    #[test]
    fn carets_never_leave_the_line() {
        let shown = diagnostic(1, 3, 99).render("abc\ndef");
        assert_eq!(
            shown,
            "m.conf:1:3: error: no\n  abc\n    ^\n  (write yes)\n"
        );
        let past_end = diagnostic(1, 4, 0).render("abc");
        assert!(past_end.contains("\n     ^\n"), "{past_end}");
    }

    #[test]
    fn text_from_the_file_cannot_command_the_terminal() {
        let mut bad = diagnostic(1, 2, 1);
        bad.message = "`\u{1b}[2J`".to_owned();
        bad.file = "\u{202e}m".into();
        let shown = bad.render("a\u{1b}[2J\u{7}");
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{shown:?}"
        );
        assert!(shown.contains("\\u{1b}[2J"), "{shown:?}");
    }

    #[test]
    fn a_file_without_line_breaks_shows_only_the_part_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let shown = diagnostic(1, 5_001, 1).render(&text);
        assert!(shown.len() < 500, "{}", shown.len());
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }
}
