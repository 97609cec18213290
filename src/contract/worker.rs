//! How the lines of many orders share one connection with a worker.
//!
//! A worker is a bundled executable that agentd has started once, with the word
//! [`WORD`], a stream socket as stdin, and any number of orders. Each line is
//! one of the contract with the number of its order before it, both ways:
//! `NUMBER SPACE LINE LF`. The number is a decimal without leading zeros, drawn
//! by agentd and never used twice. What stands behind it is what a process of
//! its own would read or print, with two differences: a `result` is always sent
//! unless agentd has said `abort`, which is the last word on its order, and it
//! carries in `stderr` what such a process would have told a person.

use std::io::Write;

use super::request::MAX_LINE;

/// What an executable is started with that is to serve.
pub const WORD: &str = "--worker";

/// The longest line, newline included: a number has at most 20 digits.
pub const MAX_FRAME: usize = MAX_LINE + 21;

/// Puts the line of order `number` behind `out`, with one newline at its end.
pub fn push(out: &mut Vec<u8>, number: u64, line: &[u8]) {
    begin(out, number);
    out.extend_from_slice(line);
    if line.last() != Some(&b'\n') {
        out.push(b'\n');
    }
}

/// Puts the number of an order behind `out`; its line follows.
pub fn begin(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number} ").expect("a vector takes everything");
}

/// Takes a line without its newline apart. `None`: it has no number.
pub fn split(line: &[u8]) -> Option<(u64, &[u8])> {
    let blank = memchr::memchr(b' ', line)?;
    let (digits, rest) = (&line[..blank], &line[blank + 1..]);
    let is_canonical = match digits {
        [] => false,
        [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if !is_canonical {
        return None;
    }
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::{push, split};

    #[test]
    fn a_line_is_taken_apart_as_it_was_put_together() {
        for (number, line) in [(0, b"{}\n".as_slice()), (u64::MAX, b"a b"), (7, b"")] {
            let mut framed = Vec::new();
            push(&mut framed, number, line);
            let whole = framed.strip_suffix(b"\n").unwrap();
            assert_eq!(split(whole), Some((number, line.trim_ascii_end())));
        }
    }

    #[test]
    fn what_has_no_number_is_no_line_of_an_order() {
        for line in [
            "",
            " ",
            "7",
            "-1 x",
            "+1 x",
            "01 x",
            "1x y",
            "18446744073709551616 x",
            "{\"version\":1} x",
        ] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
