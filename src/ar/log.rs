//! `logs/active-responses.log` in the line layout of 4.x:
//! `YYYY/MM/DD HH:MM:SS active-response/bin/NAME: MESSAGE` in local time
//! (Wazuh 4.14 active_responses.c write_debug_file). The decoder `ar_log_json`
//! and the rules 650 to 658 read it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::ar::Fail;
use crate::clock;
use crate::model::ExeName;
use crate::sys;

const PATH: &str = "logs/active-responses.log";
const MODE: u32 = 0o640;

/// The log of one run. Where it cannot be opened the run goes on without it,
/// as in 4.x, but says so.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<File>,
    name: ExeName,
}

impl Log {
    /// Opens the log below the working directory, which is the home.
    pub(super) fn open(name: &ExeName) -> Self {
        let file = sys::fs::append(Path::new(PATH), MODE)
            .map_err(Fail::from)
            .inspect_err(|why| eprintln!("{} (going on without it)", why.line()))
            .ok();
        Self {
            file,
            name: name.clone(),
        }
    }

    /// Appends one line, by one `write(2)`, so that concurrent runs do not mix.
    pub(super) fn line(&mut self, message: &[u8]) {
        let Some(file) = &mut self.file else {
            return;
        };
        let stamp = clock::wall().local_log_stamp();
        let mut line = format!("{stamp} active-response/bin/{}: ", self.name).into_bytes();
        push_printable(&mut line, message);
        line.push(b'\n');
        if let Err(why) = file.write_all(&line) {
            eprintln!("failed to write {PATH}: {why} (going on without it)");
            self.file = None;
        }
    }
}

/// Appends `message` so that it stays one line and moves no terminal: control
/// characters, those of two bytes included (C1, U+0080 to U+009F), become
/// `\u00XX`, which inside a JSON text means the same.
fn push_printable(line: &mut Vec<u8>, message: &[u8]) {
    let mut rest = message.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        let control = match (byte, rest.peek()) {
            (0..=0x1f | 0x7f, _) => byte,
            (0xc2, Some(&second @ 0x80..=0x9f)) => {
                rest.next();
                second
            }
            _ => {
                line.push(byte);
                continue;
            }
        };
        line.extend_from_slice(format!("\\u{control:04x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::push_printable;

    #[test]
    fn hostile_text_stays_one_line() {
        for (message, wanted) in [
            (b"{\"a\":\"b\"}".as_slice(), b"{\"a\":\"b\"}".as_slice()),
            (
                b"x\r\n2026/01/01 forged",
                b"x\\u000d\\u000a2026/01/01 forged",
            ),
            (b"\x1b[2J\x7f\0", b"\\u001b[2J\\u007f\\u0000"),
            (b"\xc2\x9b2J", b"\\u009b2J"),
            ("\u{e9}\u{a0}".as_bytes(), "\u{e9}\u{a0}".as_bytes()),
            (b"\xff\xc2", b"\xff\xc2"),
        ] {
            let mut line = Vec::new();
            push_printable(&mut line, message);
            assert_eq!(line, wanted, "{}", message.escape_ascii());
        }
    }
}
