//! When an agent dials again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A session that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// The schedule of dialling: at once at start, at once once after a loss, then
/// at a random moment of a span that doubles from 1 s to 30 s (full jitter), so
/// that a fleet does not come back in step. It begins anew once a session has
/// lasted 30 s.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backoff {
    at_once: bool,
    /// Sessions were lost, though none was a good one.
    lost: bool,
    span: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            at_once: true,
            lost: false,
            span: FIRST,
        }
    }
}

impl Backoff {
    /// How long to wait before the next dial. `random` is any random number.
    pub fn wait(&mut self, random: u64) -> Duration {
        if std::mem::take(&mut self.at_once) {
            return Duration::ZERO;
        }
        let span = self.span;
        self.span = span.saturating_mul(2).min(LONGEST);
        let nanos = u64::try_from(span.as_nanos()).expect("half a minute is short");
        Duration::from_nanos(random % (nanos + 1))
    }

    /// A session has ended that had lasted so long.
    pub fn ended(&mut self, lasted: Duration) {
        if lasted >= GOOD {
            *self = Self::default();
        } else if !self.lost {
            self.lost = true;
            self.at_once = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop_assert, proptest};

    use super::Backoff;

    const SECOND: Duration = Duration::from_secs(1);

    /// The number that makes a wait as long as it can be.
    fn longest(backoff: &mut Backoff) -> Duration {
        let random = u64::try_from(backoff.span.as_nanos()).unwrap();
        backoff.wait(random)
    }

    #[test]
    fn the_first_dial_and_the_first_after_a_loss_are_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(u64::MAX), Duration::ZERO);
        backoff.ended(SECOND);
        assert_eq!(backoff.wait(u64::MAX), Duration::ZERO);
        assert_eq!(longest(&mut backoff), SECOND);
    }

    #[test]
    fn the_span_doubles_to_half_a_minute() {
        let mut backoff = Backoff::default();
        backoff.wait(0);
        let spans: Vec<u64> = (0..7).map(|_| longest(&mut backoff).as_secs()).collect();
        assert_eq!(spans, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_manager_that_drops_every_session_is_not_dialled_in_a_loop() {
        let mut backoff = Backoff::default();
        backoff.wait(0);
        backoff.ended(SECOND);
        backoff.wait(0);
        backoff.ended(SECOND);
        assert_eq!(longest(&mut backoff), SECOND);
        backoff.ended(SECOND);
        assert_eq!(longest(&mut backoff), 2 * SECOND);
    }

    #[test]
    fn a_good_session_begins_it_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..9 {
            backoff.wait(0);
        }
        backoff.ended(Duration::from_secs(30));
        assert_eq!(backoff, Backoff::default());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_half_a_minute(randoms in any::<Vec<u64>>()) {
            let mut backoff = Backoff::default();
            for random in randoms {
                prop_assert!(backoff.wait(random) <= Duration::from_secs(30));
            }
        }
    }
}
