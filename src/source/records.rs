//! Which lines belong together. Pure.

use memchr::memchr;

use super::split::Piece;

/// How each alert of OSSEC's and Wazuh's `alerts.log` begins. It goes on to the
/// next empty line, or to the next one that begins so.
pub(super) const RECORD: &[u8] = b"** Alert ";

/// Whether lines may belong together, where a life is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Records {
    /// Each line is a piece.
    None,
    /// Lines and records.
    Among,
    /// Nothing but records.
    Only,
    /// Lines and records, and nothing but records if the first piece is one.
    /// Whoever goes on in the middle asks [`Records::after`].
    Unknown,
}

/// Where a piece ends.
pub(super) enum End {
    /// After so many bytes, of which the first are the piece without what ends
    /// it.
    At { piece: usize, bytes: usize },
    /// Not within these bytes, of which the last line begins here.
    Open { last_line: usize },
}

impl Records {
    /// What can follow in a life that begins with these bytes.
    pub(super) fn after(self, head: &[u8]) -> Self {
        match self {
            Self::None => Self::None,
            Self::Among | Self::Only | Self::Unknown if head.starts_with(RECORD) => Self::Only,
            Self::Among | Self::Only | Self::Unknown => Self::Among,
        }
    }

    /// Whether bytes that begin so are a record.
    pub(super) fn has(self, bytes: &[u8]) -> bool {
        self != Self::None && bytes.starts_with(RECORD)
    }

    /// Once the first piece is known, or any other.
    pub(super) fn settled(self, first: &[u8]) -> Self {
        match self {
            Self::Unknown => self.after(first),
            Self::None | Self::Among | Self::Only => self,
        }
    }

    pub(super) fn piece(self, offset: u64, bytes: &[u8]) -> Piece<'_> {
        match self {
            Self::Only if !self.has(bytes) && !is_blank(bytes) => Piece::Stray {
                bytes: bytes.len() as u64 + 1,
            },
            Self::None | Self::Among | Self::Only | Self::Unknown => Piece::Line { offset, bytes },
        }
    }
}

/// Where a piece ends that begins so.
pub(super) fn piece_end(bytes: &[u8], records: Records) -> End {
    let Some(newline) = memchr(b'\n', bytes) else {
        return End::Open { last_line: 0 };
    };
    if !records.has(bytes) {
        return End::At {
            piece: newline,
            bytes: newline + 1,
        };
    }
    let mut line = newline + 1;
    while let Some(length) = memchr(b'\n', &bytes[line..]) {
        match record_end(bytes, line, line + length) {
            End::Open { last_line } => line = last_line,
            end @ End::At { .. } => return end,
        }
    }
    End::Open { last_line: line }
}

/// Whether a record ends with or before this line, which is not its first.
pub(super) fn record_end(bytes: &[u8], line: usize, newline: usize) -> End {
    let text = &bytes[line..newline];
    if is_blank(text) {
        End::At {
            piece: line - 1,
            bytes: newline + 1,
        }
    } else if text.starts_with(RECORD) {
        End::At {
            piece: line - 1,
            bytes: line,
        }
    } else {
        End::Open {
            last_line: newline + 1,
        }
    }
}

/// Whether a line has nothing in it.
pub(super) fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"" | b"\r")
}
