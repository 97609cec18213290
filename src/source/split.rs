//! Bytes into lines, with the place of each. Pure.

use memchr::memchr;
use sha2::{Digest, Sha256};

use super::{MAX_LINE, SkipKind};

/// A place in a file, and up to `N` bytes before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark<const N: usize = TAIL> {
    offset: u64,
    bytes: [u8; N],
    known: usize,
}

/// As many bytes as [`Checkpoint::tail_hash`] covers.
///
/// [`Checkpoint::tail_hash`]: crate::model::position::Checkpoint
pub(super) const TAIL: usize = 256;

impl<const N: usize> Mark<N> {
    /// The beginning of a file.
    pub(super) const START: Self = Self {
        offset: 0,
        bytes: [0; N],
        known: 0,
    };

    /// `offset`, before which `bytes` stand.
    pub(super) fn new(offset: u64, bytes: &[u8]) -> Self {
        let mut mark = Self::START;
        mark.advance(bytes);
        mark.offset = offset;
        mark
    }

    /// Moves over `bytes`.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(N)..];
        let kept = self.known.min(N - bytes.len());
        self.bytes.copy_within(self.known - kept..self.known, 0);
        self.known = kept + bytes.len();
        self.bytes[kept..self.known].copy_from_slice(bytes);
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.known]
    }

    /// SHA-256 of the bytes, cut to 64 bits.
    pub(super) fn hash(&self) -> u64 {
        let digest = Sha256::digest(self.bytes());
        let head: [u8; 8] = digest[..8].try_into().expect("SHA-256 has 32 bytes");
        u64::from_be_bytes(head)
    }
}

/// What was found in the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// Without its newline.
    Line { offset: u64, bytes: Vec<u8> },
    Skipped {
        kind: SkipKind,
        offset: u64,
        bytes: u64,
    },
}

/// What the bytes after the last piece are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    /// The beginning of a line.
    Line,
    /// The beginning of a line that is too long already; its last bytes are
    /// held.
    OverLong,
    /// NUL bytes at the beginning of a line; none is held.
    Nul,
}

/// Cuts what a file life holds into pieces.
#[derive(Debug)]
pub(super) struct Splitter {
    /// End of the last piece.
    end: Mark,
    held: Held,
    held_bytes: Vec<u8>,
    held_len: u64,
}

impl Splitter {
    pub(super) fn new(start: Mark) -> Self {
        Self {
            end: start,
            held: Held::Line,
            held_bytes: Vec::new(),
            held_len: 0,
        }
    }

    /// The end of the last piece.
    pub(super) fn end(&self) -> &Mark {
        &self.end
    }

    /// The first bytes of a line that is held and longer than `least`.
    pub(super) fn held_head(&self, least: usize) -> Option<&[u8]> {
        let long = self.held == Held::Line && self.held_bytes.len() > least;
        long.then(|| &self.held_bytes[..TAIL])
    }

    /// Takes bytes from the front of `input`. `None` once it is empty; what
    /// was not a whole piece is held then.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Piece> {
        if self.held_len == 0 && input.first() == Some(&0) {
            self.held = Held::Nul;
        }
        match self.held {
            Held::Nul => self.next_nul(input),
            Held::Line | Held::OverLong => self.next_line(input),
        }
    }

    fn next_nul(&mut self, input: &mut &[u8]) -> Option<Piece> {
        let run = input
            .iter()
            .position(|&byte| byte != 0)
            .unwrap_or(input.len());
        self.held_len += run as u64;
        *input = &input[run..];
        if input.is_empty() {
            return None;
        }
        Some(self.skip(SkipKind::Nul))
    }

    fn next_line(&mut self, input: &mut &[u8]) -> Option<Piece> {
        let end = memchr(b'\n', input);
        let (bytes, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        *input = rest;
        self.held_bytes.extend_from_slice(bytes);
        self.held_len += bytes.len() as u64;
        let newline = u64::from(end.is_some());
        if self.held_len - newline > MAX_LINE as u64 {
            self.held = Held::OverLong;
            let surplus = self.held_bytes.len().saturating_sub(TAIL);
            self.held_bytes.drain(..surplus);
            self.held_bytes.shrink_to(2 * MAX_LINE);
        }
        end?;
        match self.held {
            Held::OverLong => Some(self.skip(SkipKind::OverLong)),
            Held::Line | Held::Nul => Some(self.line(1)),
        }
    }

    /// Everything that is held, as one piece: a line if its bytes are accepted
    /// as one. `None` if nothing is held.
    pub(super) fn take_rest(&mut self, accept: fn(&[u8]) -> bool) -> Option<Piece> {
        if self.held_len == 0 {
            return None;
        }
        Some(match self.held {
            Held::Line if accept(&self.held_bytes) => self.line(0),
            Held::Line => self.skip(SkipKind::TornTail),
            Held::OverLong => self.skip(SkipKind::OverLong),
            Held::Nul => self.skip(SkipKind::Nul),
        })
    }

    fn line(&mut self, newline: usize) -> Piece {
        let mut bytes = std::mem::take(&mut self.held_bytes);
        let offset = self.move_over(&bytes);
        bytes.truncate(bytes.len() - newline);
        Piece::Line { offset, bytes }
    }

    fn skip(&mut self, kind: SkipKind) -> Piece {
        let bytes = self.held_len;
        let last = match self.held {
            Held::Nul => vec![0; usize::try_from(bytes).map_or(TAIL, |n| n.min(TAIL))],
            Held::Line | Held::OverLong => std::mem::take(&mut self.held_bytes),
        };
        Piece::Skipped {
            kind,
            offset: self.move_over(&last),
            bytes,
        }
    }

    /// Moves past what is held, of which these are the last bytes; answers
    /// where it began.
    fn move_over(&mut self, last: &[u8]) -> u64 {
        let began = self.end.offset;
        self.end.advance(last);
        self.end.offset = began + std::mem::take(&mut self.held_len);
        self.held = Held::Line;
        began
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::{MAX_LINE, Mark, Piece, SkipKind, Splitter, TAIL};

    fn split(chunks: &[&[u8]]) -> (Vec<Piece>, Splitter) {
        let mut splitter = Splitter::new(Mark::START);
        let mut pieces = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(piece) = splitter.next(&mut input) {
                pieces.push(piece);
            }
        }
        (pieces, splitter)
    }

    fn line(offset: u64, bytes: &[u8]) -> Piece {
        Piece::Line {
            offset,
            bytes: bytes.to_vec(),
        }
    }

    fn skipped(kind: SkipKind, offset: u64, bytes: u64) -> Piece {
        Piece::Skipped {
            kind,
            offset,
            bytes,
        }
    }

    #[test]
    fn lines_and_nul_runs_are_told_apart_wherever_the_bytes_are_cut() {
        let text = b"one\n\r\n\n\0\0\0two\0x\nthr\xc3\xa9e";
        let wanted = vec![
            line(0, b"one"),
            line(4, b"\r"),
            line(6, b""),
            skipped(SkipKind::Nul, 7, 3),
            line(10, b"two\0x"),
        ];
        for cut in 0..text.len() {
            let (pieces, mut splitter) = split(&[&text[..cut], &text[cut..]]);
            assert_eq!(pieces, wanted, "cut at {cut}");
            assert_eq!(splitter.end().offset(), 16);
            assert_eq!(splitter.end().bytes(), &text[..16]);
            assert_eq!(
                splitter.take_rest(|_| true),
                Some(line(16, b"thr\xc3\xa9e"))
            );
            assert_eq!(splitter.take_rest(|_| true), None);
        }
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_one_byte_more_is_skipped() {
        let mut text = vec![b'a'; MAX_LINE];
        text.push(b'\n');
        let (pieces, _) = split(&[&text]);
        assert_eq!(pieces, [line(0, &text[..MAX_LINE])]);

        text.insert(0, b'a');
        text.extend_from_slice(b"next\n");
        for size in [1 << 18, text.len()] {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let (pieces, splitter) = split(&chunks);
            let long = MAX_LINE as u64 + 2;
            assert_eq!(
                pieces,
                [skipped(SkipKind::OverLong, 0, long), line(long, b"next")]
            );
            assert_eq!(splitter.end().bytes(), &text[text.len() - TAIL..]);
        }
    }

    #[test]
    fn a_line_that_never_ends_holds_little_memory() {
        let chunk = vec![b'a'; 1 << 18];
        let chunks = vec![chunk.as_slice(); 40];
        let (pieces, mut splitter) = split(&chunks);
        assert_eq!(pieces, []);
        assert!(splitter.held_bytes.capacity() <= 2 * MAX_LINE);
        assert_eq!(
            splitter.take_rest(|_| true),
            Some(skipped(SkipKind::OverLong, 0, 40 << 18))
        );
    }

    #[test]
    fn a_torn_end_is_a_line_only_if_accepted() {
        let (_, mut splitter) = split(&[b"{\"a\":1"]);
        assert_eq!(
            splitter.take_rest(|bytes| bytes.ends_with(b"}")),
            Some(skipped(SkipKind::TornTail, 0, 6))
        );
        assert_eq!(splitter.end().offset(), 6);
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = any::<u8>().prop_map(|byte| match byte % 8 {
            0 => b'\n',
            1 => 0,
            _ => byte,
        });
        proptest::collection::vec(proptest::collection::vec(byte, 0..400), 0..8)
    }

    proptest! {
        #[test]
        fn the_pieces_cover_every_byte_once_and_in_order(chunks in chunks()) {
            let text = chunks.concat();
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let (mut pieces, mut splitter) = split(&slices);
            pieces.extend(splitter.take_rest(|_| true));
            let mut rebuilt = Vec::new();
            for piece in pieces {
                match piece {
                    Piece::Line { offset, bytes } => {
                        prop_assert_eq!(offset, rebuilt.len() as u64);
                        rebuilt.extend(bytes);
                        if rebuilt.len() < text.len() {
                            rebuilt.push(b'\n');
                        }
                    }
                    Piece::Skipped { kind, offset, bytes } => {
                        prop_assert_eq!(kind, SkipKind::Nul);
                        prop_assert_eq!(offset, rebuilt.len() as u64);
                        rebuilt.resize(rebuilt.len() + bytes as usize, 0);
                    }
                }
            }
            prop_assert_eq!(splitter.end().bytes(), &text[text.len().saturating_sub(256)..]);
            prop_assert_eq!(rebuilt, text);
        }
    }
}
