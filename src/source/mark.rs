//! A place in a file, known again by the bytes before it. Pure.

use sha2::{Digest, Sha256};

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

    /// Moves to another offset, before which the same bytes stand.
    pub(super) fn move_to(&mut self, offset: u64) {
        self.offset = offset;
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
