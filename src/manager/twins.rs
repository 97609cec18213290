//! The same alert from two sources, as where a file is read and also sent on:
//! it leads to its actions once.
//!
//! Alerts are the same if they have an id of their own and the same bytes, and
//! so the same manager and node, too: other managers give the same id to other
//! alerts. In one source a line that comes twice is two alerts. What is known is
//! kept in memory: so many of the last alerts that matched a response. After a
//! restart, or behind more others than that, a second copy is a new alert.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use sha2::{Digest, Sha256};

/// Alerts in each half of what is known: the older half goes at once.
const HALF: usize = 32_768;

/// The first half of the SHA-256 of an alert's bytes.
type Name = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Twins {
    newer: HashMap<Name, u64>,
    older: HashMap<Name, u64>,
    sources: RandomState,
}

impl Twins {
    /// Whether an alert with these bytes has come from another source before.
    /// If not, it is known from now on.
    pub(super) fn has_come(&mut self, source: &str, body: &[u8]) -> bool {
        let mut name = [0; 16];
        name.copy_from_slice(&Sha256::digest(body)[..16]);
        let source = self.sources.hash_one(source);
        if let Some(first) = self.newer.get(&name).or_else(|| self.older.get(&name)) {
            return *first != source;
        }
        if self.newer.len() >= HALF {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(name, source);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{HALF, Twins};

    #[test]
    fn an_alert_counts_once_over_sources_and_each_time_in_one() {
        let mut twins = Twins::default();
        assert!(!twins.has_come("a", b"1"));
        assert!(twins.has_come("b", b"1") && twins.has_come("c", b"1"));
        assert!(!twins.has_come("a", b"1"));
        assert!(!twins.has_come("b", b"2"));
        assert!(twins.has_come("a", b"2"));
    }

    #[test]
    fn the_last_alerts_are_known_and_no_more_are_kept() {
        let mut twins = Twins::default();
        for number in 0..3 * HALF {
            assert!(!twins.has_come("a", &number.to_be_bytes()));
            assert!(twins.newer.len() + twins.older.len() <= 2 * HALF);
        }
        for number in 2 * HALF..3 * HALF {
            assert!(twins.has_come("b", &number.to_be_bytes()));
        }
        assert!(!twins.has_come("b", &0_usize.to_be_bytes()));
    }
}
