//! What has come in by HTTP, for `status`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted by the source, read by its owner.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; KINDS]);

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Requests whose alerts are on disk.
    Stored,
    /// Requests without the token or with a wrong one.
    Token,
    /// Connections from addresses that are not let in.
    Address,
    /// Requests in which there was no alert.
    NoAlert,
    /// Pieces of requests that were no alert, whatever else there was.
    NotAlerts,
    /// Events that are no alert and are not meant as one.
    Ignored,
    /// Requests that were too large.
    TooLarge,
    /// Requests and connections that came while too many were there.
    Busy,
    /// Requests that were not stored in time.
    NotStored,
    /// Requests of which something else was wrong.
    Other,
}

const KINDS: usize = Kind::Other as usize + 1;

/// What has been counted so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub stored: u64,
    pub token: u64,
    pub address: u64,
    pub no_alert: u64,
    pub not_alerts: u64,
    pub ignored: u64,
    pub too_large: u64,
    pub busy: u64,
    pub not_stored: u64,
    pub other: u64,
}

impl Counts {
    /// Together with those of another source.
    pub fn plus(self, other: Self) -> Self {
        Self {
            stored: self.stored + other.stored,
            token: self.token + other.token,
            address: self.address + other.address,
            no_alert: self.no_alert + other.no_alert,
            not_alerts: self.not_alerts + other.not_alerts,
            ignored: self.ignored + other.ignored,
            too_large: self.too_large + other.too_large,
            busy: self.busy + other.busy,
            not_stored: self.not_stored + other.not_stored,
            other: self.other + other.other,
        }
    }
}

impl Counters {
    pub(super) fn count(&self, kind: Kind) {
        self.add(kind, 1);
    }

    pub(super) fn add(&self, kind: Kind, number: u64) {
        self.0[kind as usize].fetch_add(number, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let of = |kind: Kind| self.0[kind as usize].load(Ordering::Relaxed);
        Counts {
            stored: of(Kind::Stored),
            token: of(Kind::Token),
            address: of(Kind::Address),
            no_alert: of(Kind::NoAlert),
            not_alerts: of(Kind::NotAlerts),
            ignored: of(Kind::Ignored),
            too_large: of(Kind::TooLarge),
            busy: of(Kind::Busy),
            not_stored: of(Kind::NotStored),
            other: of(Kind::Other),
        }
    }
}
