//! What has happened at the door, for `status`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start; shared with the listener's thread.
#[derive(Debug, Default)]
pub struct Counters {
    refused: AtomicU64,
    dropped: AtomicU64,
    certificates: AtomicU64,
    enrollments: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// What came was no handshake or no hello of ours.
    pub handshakes_refused: u64,
    /// Too slow, or in the way while too many others came.
    pub handshakes_dropped: u64,
    /// Certificates missing, of another CA, or not valid now.
    pub certificates_refused: u64,
    /// Tokens that did not fit, and attempts after too many of those.
    pub enrollments_denied: u64,
}

impl Counters {
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            handshakes_refused: read(&self.refused),
            handshakes_dropped: read(&self.dropped),
            certificates_refused: read(&self.certificates),
            enrollments_denied: read(&self.enrollments),
        }
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn certificate(&self) {
        self.certificates.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn enrollment(&self) {
        self.enrollments.fetch_add(1, Ordering::Relaxed);
    }
}
