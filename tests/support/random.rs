//! Numbers that look random and can be had again.

use std::time::{Duration, SystemTime};

/// SplitMix64 (Steele, Lea and Flood, 2014): one word of state.
pub struct Random(u64);

impl Random {
    /// Seeded from `RIPOST_SEED`, else from the time. The seed is printed, so
    /// that a failing run can be had again.
    pub fn new() -> Self {
        let seed = match std::env::var("RIPOST_SEED") {
            Ok(seed) => seed.parse().expect("RIPOST_SEED is a number"),
            Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        };
        eprintln!("RIPOST_SEED={seed}");
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// A span from zero to `end`, to the microsecond.
    pub fn span(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(end.as_micros()).unwrap() + 1))
    }
}
