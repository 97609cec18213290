//! Where an alert stands in its source. Positions are what makes reading an
//! alert twice harmless: action ids are derived from them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One life of a followed file: from its creation, or from a truncation, to
/// the next. Drawn at random when the life is first seen and stored before
/// any of its lines is used, so that a re-used inode or a file that was
/// truncated and filled with the same bytes is never taken for the old one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How a file life is recognised again after a restart.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileIdentity {
    pub dev: u64,
    pub ino: u64,
    /// Birth time in nanoseconds since the epoch, where the file system tells
    /// it (`statx(2)`).
    pub btime_ns: Option<i64>,
}

/// How far a source has been read. Stored by the manager only once the actions
/// of every line before `offset` are stored.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checkpoint {
    pub generation: Generation,
    pub identity: FileIdentity,
    /// Bytes from the start of the file to the end of the last line taken.
    pub offset: u64,
    /// SHA-256, cut to 64 bits, of up to 256 bytes before `offset`: tells a
    /// file that was truncated and has grown again from one that only grew.
    pub tail_hash: u64,
}
