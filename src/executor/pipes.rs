//! The three pipes to an executable. Whatever it prints is read, so that it
//! never blocks or dies of `SIGPIPE`, and little of it is kept.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;

use tokio::net::unix::pipe;

/// The longest line that is looked at.
pub(super) const MAX_PRINTED_LINE: usize = 64 * 1024;

/// How much is read after the end of the process: a pipe holds no more than
/// this (`/proc/sys/fs/pipe-max-size`), and what still writes into it is
/// something the executable left in the background.
const MAX_LEFT_BEHIND: usize = 1024 * 1024;

/// The stdin of an executable, as long as it is open.
pub(super) struct Outgoing {
    pipe: Option<pipe::Sender>,
    bytes: Vec<u8>,
    written: usize,
    last: bool,
}

impl Outgoing {
    /// `None` for a stdin that nothing is written to.
    pub(super) fn new(pipe: Option<pipe::Sender>) -> Self {
        Self {
            pipe,
            bytes: Vec::new(),
            written: 0,
            last: false,
        }
    }

    /// Has `line` written after what is still to be written.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
    }

    /// Has stdin closed once everything is written.
    pub(super) fn finish(&mut self) {
        self.last = true;
        self.close_if_done();
    }

    fn close(&mut self) {
        self.pipe = None;
    }

    /// Writes as much as fits now; waits first until something does. Never
    /// returns while there is nothing to write. Cancel-safe: what was written
    /// is counted before the next await.
    pub(super) async fn write_some(&mut self) {
        let Some(pipe) = self
            .pipe
            .as_ref()
            .filter(|_| self.written < self.bytes.len())
        else {
            return pending().await;
        };
        let tried = match pipe.writable().await {
            Ok(()) => pipe.try_write(&self.bytes[self.written..]),
            Err(error) => Err(error),
        };
        match tried {
            Ok(written) => self.written += written,
            Err(error) if is_transient(&error) => {}
            // EPIPE: it never reads its stdin, or has stopped to. Its business.
            Err(_) => self.close(),
        }
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        if self.last && self.written == self.bytes.len() {
            self.close();
        }
    }
}

/// The stdout or stderr of an executable, as long as it is open.
pub(super) struct Incoming {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
}

impl Incoming {
    pub(super) fn new(pipe: pipe::Receiver) -> Self {
        Self {
            pipe: Some(pipe),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// Waits for bytes and returns them. Never returns once the pipe is at its
    /// end. Cancel-safe: nothing is awaited after the read.
    pub(super) async fn read(&mut self) -> &[u8] {
        let Some(pipe) = &self.pipe else {
            return pending().await;
        };
        let tried = match pipe.readable().await {
            Ok(()) => pipe.try_read(&mut self.buffer),
            Err(error) => Err(error),
        };
        let read = match tried {
            Ok(0) => {
                self.pipe = None;
                0
            }
            Ok(read) => read,
            Err(error) if is_transient(&error) => 0,
            Err(_) => {
                self.pipe = None;
                0
            }
        };
        &self.buffer[..read]
    }

    /// What is in the pipe now, without waiting for more: a process in the
    /// background may hold the other end for good. Closes it.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // Asked of the kernel, not of the runtime, which may not have heard yet
        // that the pipe is readable.
        if let Some(pipe) = self.pipe.take() {
            while rest.len() < MAX_LEFT_BEHIND {
                match rustix::io::read(pipe.as_fd(), &mut self.buffer) {
                    Ok(0) => break,
                    Ok(read) => rest.extend_from_slice(&self.buffer[..read]),
                    Err(rustix::io::Errno::INTR) => {}
                    // EAGAIN: empty.
                    Err(_) => break,
                }
            }
        }
        rest
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Cuts a stream into lines. Of one that is too long the start is kept.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes and hands every line that is complete with them to `heard`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut heard: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            heard(&self.partial);
            self.partial.clear();
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// Hands over what stood behind the last newline.
    pub(super) fn finish(&mut self, mut heard: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            heard(&self.partial);
            self.partial.clear();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_PRINTED_LINE - self.partial.len();
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// The start of a stream, and how much more there was.
#[derive(Debug)]
pub(super) struct Head {
    kept: Vec<u8>,
    limit: usize,
    dropped: u64,
}

impl Head {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit,
            dropped: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let room = (self.limit - self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
    }

    pub(super) fn text(&self) -> String {
        let mut text = escape(self.kept.trim_ascii_end());
        if self.dropped > 0 {
            text.push_str(&format!(" … ({} bytes more)", self.dropped));
        }
        text
    }
}

/// Hostile bytes as text for people: what is not printable UTF-8 is written as
/// an escape.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\'' => text.push(c),
                c => text.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::net::unix::pipe;

    use super::{Head, Incoming, Lines, MAX_PRINTED_LINE, Outgoing, escape};

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut heard = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| heard.push(line.to_vec()));
        }
        lines.finish(|line| heard.push(line.to_vec()));
        heard
    }

    #[test]
    fn a_line_may_come_in_pieces_and_lack_its_newline() {
        let heard = lines(&[b"a", b"b\n\ncd", b"\n", b"e"]);
        assert_eq!(heard, [&b"ab"[..], b"", b"cd", b"e"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; 3 * MAX_PRINTED_LINE];
        let heard = lines(&[&long, &long, b"\nnext\n"]);
        assert_eq!(heard, [&long[..MAX_PRINTED_LINE], b"next"]);
    }

    #[tokio::test]
    async fn what_is_left_in_a_pipe_is_read_without_waiting_for_its_end() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut incoming = Incoming::new(pipe::Receiver::from_owned_fd(reader).unwrap());
        let wrote = rustix::io::write(&writer, &[b'x'; 20_000]).unwrap();
        // The other end is still held, as by a process in the background.
        assert_eq!(incoming.rest().len(), wrote);
        assert_eq!(incoming.rest(), b"");
    }

    #[tokio::test]
    async fn what_nobody_reads_neither_fails_nor_blocks() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut outgoing = Outgoing::new(Some(pipe::Sender::from_owned_fd(writer).unwrap()));
        drop(reader);
        outgoing.send(b"message\n");
        outgoing.write_some().await;
        assert!(outgoing.pipe.is_none());
        outgoing.send(b"reply\n");
        outgoing.finish();
    }

    #[test]
    fn hostile_output_is_shown_and_harmless() {
        assert_eq!(
            escape(b"caf\xc3\xa9 'q' \x1b[2J\xff\n"),
            "café 'q' \\u{1b}[2J\\xff\\n"
        );
        let mut head = Head::new(3);
        head.feed(b"ab");
        head.feed(b"cdef");
        assert_eq!(head.text(), "abc … (3 bytes more)");
    }
}
