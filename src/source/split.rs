//! Bytes into lines and records, with the place of each. Pure.
//!
//! What lies whole in the bytes that were read is handed out as it lies there;
//! only what is cut by their ends is copied.

use memchr::memchr;

use super::mark::{Mark, TAIL};
use super::records::{End, RECORD, Records, piece_end, record_end};
use super::{MAX_LINE, SkipKind};

/// What was found in the bytes.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Piece<'a> {
    /// A line without its newline, or the lines of a record with the newlines
    /// between them.
    Line { offset: u64, bytes: &'a [u8] },
    /// A line that belongs to no record, where there is nothing but records:
    /// the rest of a log of several lines, in which anything may stand.
    Stray { bytes: u64 },
    Skipped {
        kind: SkipKind,
        offset: u64,
        bytes: u64,
        /// What it follows.
        after: Box<Mark>,
    },
}

/// What the bytes after the last piece are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    /// The beginning of a line or record.
    Line,
    /// The beginning of one that is too long already; its last bytes are held.
    OverLong,
    /// NUL bytes at the beginning of a line; none is held.
    Nul,
}

/// Cuts what a file life holds into pieces.
#[derive(Debug)]
pub(super) struct Splitter {
    /// End of the last piece, but for those that [`Cut`] has not settled.
    end: Mark,
    records: Records,
    held: Held,
    held_bytes: Vec<u8>,
    held_len: u64,
    /// Where the last line begins of what is held.
    last_line: usize,
    /// So many of the bytes that are held were handed out.
    spent: usize,
}

/// The pieces of bytes that follow those that were cut before.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    splitter: &'a mut Splitter,
    chunk: &'a [u8],
    /// What of the chunk is handed out or held.
    at: usize,
    /// Where in the chunk the end that the splitter knows is.
    settled: usize,
}

impl Splitter {
    pub(super) fn new(start: Mark, records: Records) -> Self {
        Self {
            end: start,
            records,
            held: Held::Line,
            held_bytes: Vec::new(),
            held_len: 0,
            last_line: 0,
            spent: 0,
        }
    }

    /// The end of the last piece.
    pub(super) fn end(&self) -> &Mark {
        &self.end
    }

    /// The first bytes of a line that is held and longer than `least`.
    pub(super) fn held_head(&self, least: usize) -> Option<&[u8]> {
        let held = &self.held_bytes[self.spent..];
        let long = self.held == Held::Line && held.len() > least;
        long.then(|| &held[..TAIL])
    }

    /// Cuts what follows.
    pub(super) fn cut<'a>(&'a mut self, chunk: &'a [u8]) -> Cut<'a> {
        Cut {
            splitter: self,
            chunk,
            at: 0,
            settled: 0,
        }
    }

    /// What is held, as one piece: a line if its bytes are accepted as one.
    /// `None` once nothing is held.
    pub(super) fn take_rest(&mut self, accept: &dyn Fn(&[u8]) -> bool) -> Option<Piece<'_>> {
        self.forget_spent();
        if self.held_len == 0 {
            return None;
        }
        let (piece, bytes) = self.rest();
        match self.held {
            Held::Line if accept(&self.held_bytes[..piece]) => Some(self.hand_out(piece, bytes)),
            Held::Line => Some(self.skip(SkipKind::TornTail)),
            Held::OverLong => Some(self.skip(SkipKind::OverLong)),
            Held::Nul => Some(self.skip(SkipKind::Nul)),
        }
    }

    /// The end of the first piece of what is held, where nothing follows.
    fn rest(&self) -> (usize, usize) {
        let (held, line) = (&self.held_bytes, self.last_line);
        if line > 0 && line < held.len() && held[line..].starts_with(RECORD) {
            return (line - 1, line);
        }
        let all = held.len();
        (held.strip_suffix(b"\n").map_or(all, <[u8]>::len), all)
    }

    fn forget_spent(&mut self) {
        if self.spent > 0 {
            self.held_bytes.drain(..self.spent);
            self.spent = 0;
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held_bytes.extend_from_slice(bytes);
        self.held_len += bytes.len() as u64;
        let newline = u64::from(self.held_bytes.ends_with(b"\n"));
        if self.held_len - newline > MAX_LINE as u64 {
            self.held = Held::OverLong;
            let surplus = self.held_bytes.len().saturating_sub(TAIL);
            self.held_bytes.drain(..surplus);
            self.held_bytes.shrink_to(2 * MAX_LINE);
        }
    }

    /// Where the held bytes, which end with a newline, end as a piece.
    fn held_end(&self) -> End {
        let all = self.held_bytes.len();
        let whole = End::At {
            piece: all - 1,
            bytes: all,
        };
        if self.held != Held::Line || !self.records.has(&self.held_bytes) {
            return whole;
        }
        match self.last_line {
            0 => End::Open { last_line: all },
            line => record_end(&self.held_bytes, line, all - 1),
        }
    }

    /// Hands out the first of the held bytes.
    fn hand_out(&mut self, piece: usize, bytes: usize) -> Piece<'_> {
        let offset = self.end.offset();
        self.end.advance(&self.held_bytes[..bytes]);
        self.held_len -= bytes as u64;
        self.last_line = self.held_bytes.len() - bytes;
        self.spent = bytes;
        self.records = self.records.settled(&self.held_bytes);
        self.records.piece(offset, &self.held_bytes[..piece])
    }

    /// Passes over all that is held.
    fn skip(&mut self, kind: SkipKind) -> Piece<'_> {
        const NUL: [u8; TAIL] = [0; TAIL];
        let bytes = std::mem::take(&mut self.held_len);
        let after = Box::new(self.end);
        self.end.advance(match self.held {
            Held::Nul => &NUL[..usize::try_from(bytes).map_or(TAIL, |run| run.min(TAIL))],
            Held::Line | Held::OverLong => &self.held_bytes,
        });
        self.end.move_to(after.offset() + bytes);
        self.held = Held::Line;
        self.held_bytes.clear();
        self.last_line = 0;
        self.records = self.records.settled(b"");
        Piece::Skipped {
            kind,
            offset: after.offset(),
            bytes,
            after,
        }
    }
}

impl<'a> Cut<'a> {
    /// The next piece. `None` once all is cut; what was not a whole piece is held
    /// then. Nothing may be left uncut but when the reader ends.
    pub(super) fn next(&mut self) -> Option<Piece<'_>> {
        self.splitter.forget_spent();
        let first = *self.chunk.get(self.at)?;
        if self.splitter.held_len > 0 {
            return match self.splitter.held {
                Held::Nul => self.nul(),
                Held::Line | Held::OverLong => self.held(),
            };
        }
        if first == 0 {
            self.settle();
            self.splitter.held = Held::Nul;
            return self.nul();
        }
        self.lying()
    }

    /// What follows, up to the longest line, if that begins a line and no line of
    /// it depends on others.
    pub(super) fn ahead(&self) -> Option<&'a [u8]> {
        let splitter = &*self.splitter;
        let is_line =
            splitter.held_len == 0 && matches!(splitter.records, Records::None | Records::Among);
        let ahead = &self.chunk[self.at..];
        is_line.then(|| &ahead[..ahead.len().min(MAX_LINE + 1)])
    }

    /// Passes over a line of so many bytes with its newline, with which what is
    /// ahead begins.
    pub(super) fn pass_over(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The end of the last piece.
    pub(super) fn end(&mut self) -> &Mark {
        self.settle();
        &self.splitter.end
    }

    fn settle(&mut self) {
        if self.splitter.held_len == 0 {
            self.splitter
                .end
                .advance(&self.chunk[self.settled..self.at]);
        }
        self.settled = self.at;
    }

    fn nul(&mut self) -> Option<Piece<'_>> {
        let rest = &self.chunk[self.at..];
        let run = rest.iter().position(|&byte| byte != 0);
        let taken = run.unwrap_or(rest.len());
        self.splitter.held_len += taken as u64;
        self.at += taken;
        self.settled = self.at;
        run.map(|_| self.splitter.skip(SkipKind::Nul))
    }

    /// Goes on with a piece that began in earlier bytes.
    fn held(&mut self) -> Option<Piece<'_>> {
        loop {
            let rest = &self.chunk[self.at..];
            let newline = memchr(b'\n', rest);
            let taken = newline.map_or(rest.len(), |at| at + 1);
            self.splitter.hold(&rest[..taken]);
            self.at += taken;
            self.settled = self.at;
            newline?;
            match self.splitter.held_end() {
                End::At { .. } if self.splitter.held == Held::OverLong => {
                    return Some(self.splitter.skip(SkipKind::OverLong));
                }
                End::At { piece, bytes } => return Some(self.splitter.hand_out(piece, bytes)),
                End::Open { last_line } => self.splitter.last_line = last_line,
            }
        }
    }

    /// A piece that begins in these bytes, and mostly ends there.
    fn lying(&mut self) -> Option<Piece<'_>> {
        let rest = &self.chunk[self.at..];
        let (piece, bytes) = match piece_end(rest, self.splitter.records) {
            End::At { piece, bytes } if bytes <= MAX_LINE + 1 => (piece, bytes),
            End::At { bytes, .. } => {
                self.keep(bytes, 0);
                return Some(self.splitter.skip(SkipKind::OverLong));
            }
            End::Open { last_line } => {
                self.keep(rest.len(), last_line);
                return None;
            }
        };
        let offset = self.splitter.end.offset() + (self.at - self.settled) as u64;
        self.at += bytes;
        self.splitter.records = self.splitter.records.settled(rest);
        Some(self.splitter.records.piece(offset, &rest[..piece]))
    }

    /// Holds the next bytes.
    fn keep(&mut self, bytes: usize, last_line: usize) {
        self.settle();
        let (from, to) = (self.at, self.at + bytes);
        self.splitter.last_line = last_line;
        self.splitter.hold(&self.chunk[from..to]);
        self.at = to;
        self.settled = to;
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(test)]
mod tests;
