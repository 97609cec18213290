//! A log record as one line of text that cannot be mistaken for two.

use std::fmt::Write;

use log::Record;
use log::kv::{Error, Key, Value, VisitSource};

/// `LEVEL message key=value …`, without a newline.
pub(super) fn render(record: &Record<'_>) -> String {
    let mut line = format!("{} ", record.level());
    escape(&record.args().to_string(), &mut line);
    record
        .key_values()
        .visit(&mut Fields(&mut line))
        .expect("appending to a string does not fail");
    line
}

struct Fields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push(' ');
        // Keys are words of the program, but a library may have others.
        escape(key.as_str(), self.0);
        self.0.push('=');
        field(&value.to_string(), self.0);
        Ok(())
    }
}

/// Quoted where it would not read as one word otherwise.
fn field(text: &str, line: &mut String) {
    let mut escaped = String::with_capacity(text.len());
    escape(text, &mut escaped);
    let plain = !text.is_empty() && escaped == text && !text.contains([' ', '=', '"']);
    if plain {
        line.push_str(&escaped);
        return;
    }
    line.push('"');
    line.push_str(&escaped.replace('"', "\\\""));
    line.push('"');
}

/// Everything that could end the line, move the cursor, or hide or reorder text
/// is written as an escape, and so is the backslash, which begins one.
fn escape(text: &str, line: &mut String) {
    for c in text.chars() {
        match c {
            '"' | '\'' => line.push(c),
            // Escapes what is not printable: controls, format characters such
            // as those that turn the direction of text, separators.
            c => write!(line, "{}", c.escape_debug()).expect("appending to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use log::{Level, Record};

    use super::render;

    #[test]
    fn hostile_text_stays_one_line_and_one_field() {
        let cases = [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("\" user=root", "\"\\\" user=root\""),
            ("back\\slash", "\"back\\\\slash\""),
            ("\\\" user=root", "\"\\\\\\\" user=root\""),
            ("a\nERROR forged", "\"a\\nERROR forged\""),
            ("\r\t\0\u{1b}[2J", "\"\\r\\t\\0\\u{1b}[2J\""),
            ("\u{85}\u{2028}\u{202e}", "\"\\u{85}\\u{2028}\\u{202e}\""),
            ("grüße", "grüße"),
        ];
        for (text, wanted) in cases {
            let values = [("text", text)];
            let line = render(
                &Record::builder()
                    .level(Level::Warn)
                    .args(format_args!("seen"))
                    .key_values(&values)
                    .build(),
            );
            assert_eq!(line, format!("WARN seen text={wanted}"));
        }
    }

    #[test]
    fn a_message_cannot_break_the_line_either() {
        let message = "user said \"x\"\nERROR forged";
        let line = render(
            &Record::builder()
                .level(Level::Info)
                .args(format_args!("{message}"))
                .build(),
        );
        assert_eq!(line, "INFO user said \"x\"\\nERROR forged");
    }
}
