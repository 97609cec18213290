//! Keeps what a remote party can cause from filling the operator log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Boot;

const INTERVAL: Duration = Duration::from_secs(60);

/// One kind of line, which is written once a minute.
#[derive(Debug, Default)]
pub struct Seldom {
    /// Boot time in milliseconds plus one; zero before the first line.
    said: AtomicU64,
    suppressed: AtomicU64,
}

impl Seldom {
    pub const fn new() -> Self {
        Self {
            said: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether the line is to be written now: `Some` with the number of those
    /// that were not since the last one. Two threads that ask at the same
    /// moment may both be told so.
    pub fn pass(&self, now: Boot) -> Option<u64> {
        let said = self.said.load(Ordering::Relaxed);
        let recent = said.checked_sub(1).map(Boot::from_millis);
        if recent.is_some_and(|said| said.until(now) < INTERVAL) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.said.store(now.millis() + 1, Ordering::Relaxed);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Seldom;
    use crate::clock::Boot;

    #[test]
    fn a_line_passes_once_a_minute_with_the_count_of_the_others() {
        let seldom = Seldom::new();
        let asked: Vec<Option<u64>> = [0, 1, 59, 60, 61, 200]
            .into_iter()
            .map(|second| seldom.pass(Boot::from_millis(second * 1_000)))
            .collect();
        assert_eq!(asked, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
