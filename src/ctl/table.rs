//! Text for people: aligned columns, and nothing that a terminal would obey.

use std::fmt::Write;

/// What alerts and scripts contain is written by attackers. Control characters
/// move the cursor and more, bidirectional ones change what a line seems to
/// say, invisible ones hide.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line: hostile characters as in Rust (`\n`, `\u{1b}`), and the backslash
/// doubled, so that what is shown has one meaning.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) || c == '\\' {
            match c {
                '\\' | '\n' | '\r' | '\t' => escaped.extend(c.escape_default()),
                _ => escaped.extend(c.escape_unicode()),
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The same for JSON, where hostile characters can only stand within strings.
/// The line breaks between rows stay.
pub(super) fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Rows under a head, each column as wide as its widest cell, two blanks apart.
/// Empty if there are no rows. Cells are escaped here.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(
            rows.iter()
                .map(|row| row.each_ref().map(|cell| escape(cell))),
        )
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_json, table};

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("größe 名前", "größe 名前"),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("\\n", "\\\\n"),
        ] {
            assert_eq!(escape(text), shown, "{text:?}");
        }
    }

    #[test]
    fn escaped_json_means_the_same() {
        let hostile = "\x1b\u{9b}\u{202e}\u{e0041}\\u \n\"é";
        let text = serde_json::to_string(&[hostile]).unwrap();
        let escaped = escape_json(&text);
        assert!(!escaped.contains(['\u{9b}', '\u{202e}', '\u{e0041}']));
        let back: [String; 1] = serde_json::from_str(&escaped).unwrap();
        assert_eq!(back[0], hostile);
    }

    #[test]
    fn columns_are_aligned_by_characters_and_lines_end_without_blanks() {
        let rows = [
            ["é\n".to_owned(), "x".to_owned()],
            ["long one".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["A", "B"], &rows),
            "A         B\né\\n       x\nlong one\n"
        );
        assert_eq!(table(["A"], &[]), "");
    }
}
