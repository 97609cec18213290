//! `logs/active-responses.log`, in one of two layouts ([`LogLayout`]).
//!
//! That of Wazuh 4.x has a line for each step of a run, `YYYY/MM/DD HH:MM:SS
//! active-response/bin/NAME: MESSAGE` in local time (Wazuh 4.14
//! active_responses.c write_debug_file). The decoder `ar_log_json` and the rules
//! 650 to 658 read it.
//!
//! That of OSSEC has a line for each run that did what it was told, as its
//! scripts have begun with one: `DATE HOME/active-response/bin/NAME.sh add USER
//! IP ALERT RULE`, the date as date(1) prints it. The decoder `ar_log` and the
//! rules 600 to 606 read it. What went wrong has a line that they do not take
//! for a block.

mod ossec;

use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ar::Fail;
use crate::clock;
use crate::contract::input::{Order, Request};
use crate::model::{ExeName, LogLayout, Target};
use crate::sys;

const PATH: &str = "logs/active-responses.log";
const MODE: u32 = 0o640;

/// How much room for kept lines is not given back.
const KEPT: usize = 256 * 1024;

/// The log of one run or one worker. Where it cannot be opened the run goes on
/// without it, as in 4.x, but says so.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<File>,
    name: ExeName,
    layout: LogLayout,
    /// Whole lines that are still to be written.
    kept: Vec<u8>,
}

/// What a run has to log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    /// Where it has got to.
    Step(&'a [u8]),
    /// Why it ends without having done it.
    Trouble(&'a [u8]),
    /// It has done what these words say, which are those of [`Log::words`].
    Done(Option<&'a str>),
    /// It was done already, and is again what was asked for.
    Again,
}

impl Log {
    /// Opens the log below the working directory, which is the home.
    pub(super) fn open(name: &ExeName) -> Self {
        Self {
            file: open(),
            name: name.clone(),
            layout: layout(),
            kept: Vec::new(),
        }
    }

    /// Appends one line, by one `write(2)`, so that concurrent runs do not mix.
    pub(super) fn line(&mut self, entry: Entry<'_>) {
        self.keep(&self.stamp(), entry);
        self.write();
    }

    /// How a line begins that is logged now.
    pub(super) fn stamp(&self) -> String {
        let now = clock::wall();
        match self.layout {
            LogLayout::Wazuh => {
                let stamp = now.local_log_stamp();
                format!("{stamp} active-response/bin/{}: ", self.name)
            }
            LogLayout::Ossec => ossec::stamp(now, &self.name),
        }
    }

    /// What an order is called where the layout has a word for each part of it.
    pub(super) fn words(
        &self,
        order: Order,
        target: Option<&Target>,
        request: &Request<'_>,
    ) -> Option<String> {
        match self.layout {
            LogLayout::Wazuh => None,
            LogLayout::Ossec => Some(ossec::words(order, target, request.alert())),
        }
    }

    /// Takes one line, to be written with others by [`Log::write`].
    pub(super) fn keep(&mut self, stamp: &str, entry: Entry<'_>) {
        if self.file.is_none() {
            return;
        }
        let disarmed;
        let message = match (self.layout, entry) {
            (LogLayout::Wazuh, Entry::Step(message) | Entry::Trouble(message)) => message,
            (LogLayout::Wazuh, Entry::Done(_) | Entry::Again) => b"Ended",
            // OSSEC's execd runs no script for a repeat.
            (LogLayout::Ossec, Entry::Step(_) | Entry::Done(None) | Entry::Again) => return,
            (LogLayout::Ossec, Entry::Trouble(message)) => {
                disarmed = ossec::disarmed(message);
                &disarmed
            }
            (LogLayout::Ossec, Entry::Done(Some(words))) => words.as_bytes(),
        };
        self.kept.extend_from_slice(stamp.as_bytes());
        push_printable(&mut self.kept, message);
        self.kept.push(b'\n');
    }

    /// Appends the lines that were kept, all of them by one `write(2)`.
    pub(super) fn write(&mut self) {
        let Some(file) = &mut self.file else {
            return;
        };
        if let Err(why) = file.write_all(&self.kept) {
            eprintln!("failed to write {PATH}: {why} (going on without it)");
            self.file = None;
        }
        self.kept.clear();
        self.kept.shrink_to(KEPT);
    }

    /// Opens the log anew where it was renamed, removed, or could not be
    /// written, and looks which layout it has now: a worker lives longer than a
    /// log between two rotations, or a configuration.
    pub(super) fn reopen_if_moved(&mut self) {
        self.layout = layout();
        let named = fs::metadata(PATH).ok();
        let own = self.file.as_ref().and_then(|file| file.metadata().ok());
        let same =
            |named: &Metadata, own: &Metadata| (named.dev(), named.ino()) == (own.dev(), own.ino());
        match (&named, &own) {
            (Some(named), Some(own)) if same(named, own) => {}
            (Some(_) | None, Some(_) | None) => self.file = open(),
        }
    }
}

/// Under an execd of Wazuh there is no such file. One that cannot be read is as
/// none: nobody is to be left without a log for it.
fn layout() -> LogLayout {
    let file = sys::fs::read(Path::new(LogLayout::FILE));
    file.ok()
        .flatten()
        .map_or(LogLayout::Wazuh, |bytes| LogLayout::in_file(&bytes))
}

fn open() -> Option<File> {
    sys::fs::append(Path::new(PATH), MODE)
        .map_err(Fail::from)
        .inspect_err(|why| eprintln!("{} (going on without it)", why.line()))
        .ok()
}

/// Appends `message` so that it stays one line and moves no terminal: control
/// characters, those of two bytes included (C1, U+0080 to U+009F), become
/// `\u00XX`, which inside a JSON text means the same.
fn push_printable(line: &mut Vec<u8>, message: &[u8]) {
    let mut rest = message;
    while let Some(at) = first_suspicious(rest) {
        line.extend_from_slice(&rest[..at]);
        let control = match &rest[at..] {
            [0xc2, second @ 0x80..=0x9f, ..] => Some((*second, 2)),
            [byte @ (0..=0x1f | 0x7f), ..] => Some((*byte, 1)),
            _ => None,
        };
        let length = match control {
            Some((control, length)) => {
                line.extend_from_slice(format!("\\u{control:04x}").as_bytes());
                length
            }
            None => {
                line.push(rest[at]);
                1
            }
        };
        rest = &rest[at + length..];
    }
    line.extend_from_slice(rest);
}

/// Looks at many bytes at once, since nearly all lines have none.
fn first_suspicious(bytes: &[u8]) -> Option<usize> {
    const AT_ONCE: usize = 64;
    let is_clean = |some: &&[u8]| {
        !some
            .iter()
            .fold(false, |any, byte| any | is_suspicious(*byte))
    };
    let clean = bytes.chunks(AT_ONCE).take_while(is_clean).count() * AT_ONCE;
    let rest = bytes.get(clean..)?;
    let at = rest.iter().position(|byte| is_suspicious(*byte))?;
    Some(clean + at)
}

/// Whether a byte is a control character or may begin one.
fn is_suspicious(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | 0x7f | 0xc2)
}

#[cfg(test)]
mod tests {
    use super::push_printable;

    /// Behind what is looked at at once.
    const LATE: [u8; 66] = {
        let mut late = [b'x'; 66];
        late[65] = 0;
        late
    };

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
            (&[b'x'; 64], &[b'x'; 64]),
            (
                &LATE,
                b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\u0000",
            ),
        ] {
            let mut line = Vec::new();
            push_printable(&mut line, message);
            assert_eq!(line, wanted, "{}", message.escape_ascii());
        }
    }
}
