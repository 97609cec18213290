//! The configuration of either daemon, as an administrator's editor, a
//! configuration-management tool or a bad disk may leave it.

use std::path::Path;

use ripost::config::{self, Checked, Context};
use ripost::diag::{Diagnostic, Position};

/// A `manager.conf` or an `agent.conf`: it is read or refused, never both, and
/// each problem has a place in the text that an empty line before it moves by
/// one line.
pub fn configuration(bytes: &[u8]) -> bool {
    let context = Context::default();
    let manager = holds(bytes, |bytes| {
        config::manager(bytes, Path::new("manager.conf"), &context)
    });
    let agent = holds(bytes, |bytes| {
        config::agent(bytes, Path::new("agent.conf"), &context)
    });
    let any = holds(bytes, |bytes| {
        config::check_any(bytes, Path::new("ossec.conf"), &context)
    });
    assert!(
        !any || manager || agent || is_part(bytes, &context),
        "neither daemon reads what is taken"
    );
    any
}

/// A file without a root may name what is declared in another.
fn is_part(bytes: &[u8], context: &Context) -> bool {
    let checked = config::check_any(bytes, Path::new("ossec.conf"), context);
    let mut problems = checked.diagnostics.iter();
    problems.any(|problem| problem.message.ends_with("in this part of a configuration"))
}

fn holds<T>(bytes: &[u8], check: impl Fn(&[u8]) -> Checked<T>) -> bool {
    let checked = check(bytes);
    assert_eq!(checked.value.is_none(), checked.diagnostics.errors() > 0);
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for problem in checked.diagnostics.iter() {
        stands_in(text, problem);
    }
    checked.problems();
    // A byte order mark and a prolog have to come first.
    if !text.starts_with("<?") && !bytes.starts_with(b"\xef\xbb\xbf") {
        let moved = check(&[b"\n", bytes].concat());
        let places = |checked: &Checked<T>, lines: usize| -> Vec<(Position, usize)> {
            let problems = checked.diagnostics.iter();
            problems.map(|problem| place(problem, lines)).collect()
        };
        assert_eq!(places(&checked, 1), places(&moved, 0));
    }
    checked.value.is_some()
}

fn place(problem: &Diagnostic, lines: usize) -> (Position, usize) {
    let at = problem.position.expect("it is a problem of the text");
    let line = at.line + lines;
    (Position { line, ..at }, problem.length)
}

fn stands_in(text: &str, problem: &Diagnostic) {
    let (at, _) = place(problem, 0);
    let line = text.split('\n').nth(at.line - 1);
    let line = line.unwrap_or_else(|| panic!("no line {}: {}", at.line, problem.message));
    assert!(
        (1..=line.chars().count() + 1).contains(&at.column),
        "line {} has no column {}: {}",
        at.line,
        at.column,
        problem.message
    );
}
