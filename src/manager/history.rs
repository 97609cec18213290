//! How long what became of actions is kept, whatever the clock says.

use std::time::Duration;

use crate::clock::{self, Boot, Now, Wall};
use crate::journal::manager::Op;

use super::Manager;

/// How long what became of an action is kept.
const HISTORY: Duration = Duration::from_secs(90 * 86_400);

/// How much more may be forgotten at each start than time has passed, for hosts
/// that are switched off each night.
const AT_A_START: Duration = Duration::from_secs(86_400);

/// How quickly what is overdue is forgotten, as after weeks without power: so
/// many days in one. A clock that is wrong by years does no more harm than this.
const PACE: u32 = 2;

/// How far the history has been forgotten.
#[derive(Debug)]
pub(super) struct History {
    /// What was taken in before this moment may be forgotten, as of `at`.
    until: Wall,
    at: Boot,
}

impl History {
    /// `pruned` is the moment before which everything was forgotten in earlier
    /// lives.
    pub(super) fn new(pruned: Option<Wall>, now: Now) -> Self {
        Self {
            until: pruned.map_or(Wall::from_millis(i64::MIN), |until| until.plus(AT_A_START)),
            at: now.boot,
        }
    }

    /// Before which moment everything is to be forgotten now. `oldest` is when
    /// the first of what is kept was taken in.
    fn cut_off(&mut self, now: Now, oldest: Option<Wall>) -> Wall {
        let passed = self.at.until(now.boot);
        let mut most = self.until.plus(passed.saturating_mul(PACE));
        if let Some(oldest) = oldest {
            // Nothing is lost by that.
            most = most.max(oldest.minus(HISTORY));
        }
        let cut_off = now.wall.minus(HISTORY).min(most);
        self.until = self.until.max(cut_off);
        self.at = now.boot;
        cut_off
    }
}

impl Manager {
    /// Forgets what has been over for long enough.
    pub(super) async fn prune(&mut self) {
        let oldest = match self.reader.oldest() {
            Ok(oldest) => oldest,
            Err(error) => {
                log::error!(error:% = error; "cannot look how old the history is");
                return;
            }
        };
        let before = self.history.cut_off(clock::now(), oldest);
        self.journal.write(vec![Op::Prune { before }]).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HISTORY, History};
    use crate::clock::{Boot, Now, Wall};

    const DAY: Duration = Duration::from_secs(86_400);
    const TODAY: Wall = Wall::from_millis(1_795_514_400_000);

    /// So many days after the start, by a clock that is ahead by some days.
    fn after(days: u32, ahead: u32) -> Now {
        let passed = DAY * days;
        Now {
            wall: TODAY.plus(passed + DAY * ahead),
            boot: Boot::from_millis(0).plus(passed),
        }
    }

    #[test]
    fn with_a_right_clock_everything_is_kept_for_its_time() {
        let kept_to = TODAY.minus(HISTORY);
        let mut history = History::new(Some(kept_to), after(0, 0));
        for days in [0, 1, 2, 40] {
            let cut_off = history.cut_off(after(days, 0), Some(kept_to));
            assert_eq!(cut_off, kept_to.plus(DAY * days), "{days}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_by_years_forgets_a_little_more_and_no_more() {
        let kept_to = TODAY.minus(HISTORY);
        for pruned in [None, Some(kept_to)] {
            let mut history = History::new(pruned, after(0, 4_000));
            for days in [0, 1, 2] {
                let cut_off = history.cut_off(after(days, 4_000), Some(kept_to));
                assert!(cut_off <= kept_to.plus(DAY * (1 + 2 * days)), "{days}");
            }
            // Once it is right again, so is what is kept.
            let cut_off = history.cut_off(after(10, 0), Some(kept_to));
            assert!(cut_off <= kept_to.plus(DAY * 10));
        }
    }

    #[test]
    fn after_weeks_without_power_what_is_overdue_goes_in_weeks() {
        let pruned = TODAY.minus(HISTORY + DAY * 30);
        let mut history = History::new(Some(pruned), after(0, 0));
        let first = history.cut_off(after(0, 0), Some(pruned));
        assert_eq!(first, pruned.plus(DAY));
        for days in 1..30 {
            history.cut_off(after(days, 0), Some(pruned));
        }
        let cut_off = history.cut_off(after(30, 0), Some(pruned));
        assert_eq!(cut_off, TODAY.plus(DAY * 30).minus(HISTORY));
    }

    #[test]
    fn a_clock_that_was_set_in_1970_at_first_keeps_nothing_for_ever() {
        let first = Now {
            wall: Wall::from_millis(0),
            boot: Boot::from_millis(0),
        };
        let mut history = History::new(None, first);
        let stored = history.cut_off(first, None);
        let mut history = History::new(Some(stored), after(0, 0));
        let cut_off = history.cut_off(after(0, 0), Some(TODAY.minus(DAY)));
        assert!(TODAY.minus(HISTORY + DAY * 2) < cut_off);
    }
}
