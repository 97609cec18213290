//! Once per kind and minute.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Boot;

const INTERVAL: Duration = Duration::from_secs(60);

/// Keeps what a remote party can cause from filling the operator log. A kind
/// is a word of the program, so there are as many as the program has.
#[derive(Debug, Default)]
pub struct Limiter {
    kinds: HashMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    said: Boot,
    suppressed: u64,
}

impl Limiter {
    /// Whether a line of this kind is to be written now: `Some` with the number
    /// of those that were not since the last one.
    pub fn pass(&mut self, kind: &'static str, now: Boot) -> Option<u64> {
        match self.kinds.get_mut(kind) {
            Some(known) if known.said.until(now) < INTERVAL => {
                known.suppressed += 1;
                None
            }
            Some(known) => {
                known.said = now;
                Some(std::mem::take(&mut known.suppressed))
            }
            None => {
                let first = Kind {
                    said: now,
                    suppressed: 0,
                };
                self.kinds.insert(kind, first);
                Some(0)
            }
        }
    }

    /// The kinds whose minute is over and of which something was suppressed,
    /// with how much: what a flood that has stopped leaves to be said.
    pub fn left_over(&mut self, now: Boot) -> Vec<(&'static str, u64)> {
        let mut left = Vec::new();
        self.kinds.retain(|kind, known| {
            let over = known.said.until(now) >= INTERVAL;
            if over && known.suppressed > 0 {
                left.push((*kind, known.suppressed));
            }
            !over
        });
        left.sort_unstable();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use crate::clock::Boot;

    const fn second(seconds: u64) -> Boot {
        Boot::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_kind_passes_once_a_minute_with_the_count_of_the_others() {
        let mut limiter = Limiter::default();
        let asked: Vec<Option<u64>> = [0, 1, 59, 60, 61, 200]
            .into_iter()
            .map(|at| limiter.pass("bad line", second(at)))
            .collect();
        assert_eq!(asked, [Some(0), None, None, Some(2), None, Some(1)]);
        assert_eq!(limiter.pass("long line", second(200)), Some(0));
    }

    #[test]
    fn what_was_suppressed_last_is_left_over_once() {
        let mut limiter = Limiter::default();
        for at in [0, 1, 2] {
            limiter.pass("bad line", second(at));
        }
        limiter.pass("long line", second(0));
        assert_eq!(limiter.left_over(second(59)), []);
        assert_eq!(limiter.left_over(second(60)), [("bad line", 2)]);
        assert_eq!(limiter.left_over(second(120)), []);
        assert_eq!(limiter.pass("bad line", second(120)), Some(0));
    }
}
