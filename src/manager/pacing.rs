//! When alerts wait for a host that takes its actions quickly and has enough of
//! them lined up. What is read ahead of such a host goes through the journal and
//! back, which costs half as much again as all else that becomes of it; in the
//! file it costs nothing.
//!
//! A host that takes little, or nothing, holds nobody up: alerts wait only as
//! long as the backlog of a host becomes smaller at [`QUICK`] at least. Nor do
//! they wait for long: the next of them may be another host's.

use std::time::Duration;

use crate::clock::Boot;

/// Bytes in the backlog of one host that are enough: so much leaves it while the
/// next alerts are read. What one event of a source leads to fits beside it.
pub(super) const ENOUGH: usize = if cfg!(test) {
    3 * 1_024
} else {
    3 * 1_024 * 1_024
};

/// Bytes that leave a backlog within [`SPAN`] if its host is quick: some five
/// thousand actions a second.
const QUICK: u128 = if cfg!(test) { 1_024 } else { 1_024 * 1_024 };

const SPAN: Duration = Duration::from_millis(100);

/// How long alerts wait in all until it has been [`QUIET`]: how much later than
/// otherwise a host gets an action because others are busy.
pub(super) const MOST: Duration = Duration::from_secs(10);

/// So long no quick host had enough lined up.
const QUIET: Duration = Duration::from_secs(1);

/// How quickly the backlog of one host becomes smaller.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when is counted what leaves it, in bytes.
    since: Boot,
    left: u128,
    is_quick: bool,
}

impl Pace {
    /// Of a backlog that was empty until now: its host has kept up so far.
    pub(super) fn new(now: Boot) -> Self {
        Self {
            since: now,
            left: 0,
            is_quick: true,
        }
    }

    /// So many bytes have left it.
    pub(super) fn left(&mut self, bytes: usize) {
        self.left += bytes as u128;
    }

    /// Whether it was quick when that was last known.
    pub(super) fn is_quick(&mut self, now: Boot) -> bool {
        let span = self.since.until(now);
        if span >= SPAN {
            self.is_quick = self.left * SPAN.as_nanos() >= QUICK * span.as_nanos();
            self.since = now;
            self.left = 0;
        }
        self.is_quick
    }
}

/// Whether alerts wait, and how long they have.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Since when they wait.
    since: Option<Boot>,
    /// How long they had waited before that.
    waited: Duration,
    /// When a quick host had enough lined up the last time.
    crowded: Option<Boot>,
}

impl Pacing {
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Whether alerts are to wait now. `crowd` tells of each host that has
    /// [`ENOUGH`] whether it is quick.
    pub(super) fn holds(&mut self, crowd: impl IntoIterator<Item = bool>, now: Boot) -> bool {
        if let Some(since) = self.since.take() {
            self.waited += since.until(now);
        }
        // Each is asked, since that is when it is looked at.
        let is_quick = crowd.into_iter().fold(false, |any, one| any | one);
        if !is_quick {
            return false;
        }
        let quiet_since = self.crowded.replace(now).unwrap_or(now);
        if quiet_since.until(now) >= QUIET {
            self.waited = Duration::ZERO;
        }
        if self.waited < MOST {
            self.since = Some(now);
        }
        self.is_on()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST, Pace, Pacing, QUICK, QUIET, SPAN};
    use crate::clock::Boot;

    const START: Boot = Boot::from_millis(1_000);

    fn after(millis: u64) -> Boot {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_host_is_quick_as_long_as_enough_leaves_its_backlog() {
        let quick = usize::try_from(QUICK).unwrap();
        let mut pace = Pace::new(START);
        // It has just begun.
        assert!(pace.is_quick(after(99)));
        pace.left(quick);
        assert!(pace.is_quick(after(100)));
        pace.left(quick - 1);
        assert!(pace.is_quick(after(199)));
        assert!(!pace.is_quick(after(200)));
        pace.left(quick);
        assert!(!pace.is_quick(after(299)) && pace.is_quick(after(300)));
        // Looked at late, it is judged by all of the time.
        pace.left(2 * quick);
        assert!(!pace.is_quick(after(600)));
        pace.left(3 * quick);
        assert!(pace.is_quick(after(900)));
        assert!(!pace.is_quick(after(1_000)));
    }

    #[test]
    fn alerts_wait_for_a_quick_host_and_for_no_other() {
        let mut pacing = Pacing::default();
        assert!(!pacing.holds([], START));
        assert!(pacing.holds([true], START));
        assert!(pacing.holds([false, true], START) && pacing.is_on());
        assert!(!pacing.holds([false, false], START));
        assert!(!pacing.holds([], START) && !pacing.is_on());
    }

    #[test]
    fn alerts_wait_for_so_long_in_all_and_again_after_a_quiet_time() {
        let mut pacing = Pacing::default();
        let step = SPAN / 2;
        let (mut now, mut waited) = (START, Duration::ZERO);
        // It has enough lined up now and then.
        for number in 0..1_000 {
            let crowd = (number % 2 == 0).then_some(true);
            if pacing.holds(crowd, now) {
                waited += step;
            }
            now = now.plus(step);
        }
        assert_eq!(waited, MOST);
        assert!(!pacing.holds([true], now));
        now = now.plus(QUIET - Duration::from_millis(1));
        assert!(!pacing.holds([true], now));
        now = now.plus(QUIET);
        assert!(pacing.holds([true], now));
    }
}
