//! The end of an action, in a form that survives restarts, suspends, reboots
//! and steps of the wall clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Boot, BootId, Now, Wall};

/// A wall clock that is further off than this has been stepped; less is the
/// drift of one clock against the other.
const STEP: Duration = Duration::from_secs(2);

/// When a span that began at a known moment is over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct End {
    boot_id: BootId,
    boot: Boot,
    wall: i64,
    /// The whole span in milliseconds: after a reboot no more than this is left.
    span: u64,
}

impl End {
    /// The end of `left`, which is what remains of `whole`, counted from `now`.
    pub fn after(left: Duration, whole: Duration, now: Now, boot_id: &BootId) -> Self {
        Self {
            boot_id: boot_id.clone(),
            boot: now.boot.plus(left),
            wall: now.wall.plus(left).millis(),
            span: u64::try_from(whole.max(left).as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What remains at `now`; zero when it is over. In the boot in which the end
    /// was set, boot time rules and steps of the wall clock mean nothing. After
    /// a reboot only the wall clock is left; should it have been set back, no
    /// more than the whole span remains.
    pub fn left(&self, now: Now, boot_id: &BootId) -> Duration {
        if self.boot_id == *boot_id {
            return now.boot.until(self.boot);
        }
        now.wall
            .until(Wall::from_millis(self.wall))
            .min(Duration::from_millis(self.span))
    }

    /// The same end, told in the clocks of this boot.
    pub fn in_this_boot(&self, now: Now, boot_id: &BootId) -> Self {
        if self.boot_id == *boot_id {
            // As many ends as there are actions have one text in common.
            return Self {
                boot_id: boot_id.clone(),
                ..self.clone()
            };
        }
        let left = self.left(now, boot_id);
        Self::after(left, Duration::from_millis(self.span), now, boot_id)
    }

    /// The later of two ends; no end is later than every end.
    pub fn later(a: Option<&End>, b: Option<&End>, now: Now, boot_id: &BootId) -> Option<End> {
        let (a, b) = (a?, b?);
        Some(if b.left(now, boot_id) > a.left(now, boot_id) {
            b.clone()
        } else {
            a.clone()
        })
    }

    /// The end in wall time as it was when it was set.
    pub fn wall(&self) -> Wall {
        Wall::from_millis(self.wall)
    }

    /// When to wake up, for an end of this boot.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The end as it is shown: as it was set, unless the wall clock has been
    /// stepped since; then it is told in the clock as it is now.
    pub fn shown(&self, now: Now, boot_id: &BootId) -> Wall {
        let told = now.wall.plus(self.left(now, boot_id));
        let set = Wall::from_millis(self.wall);
        let apart = told.until(set).max(set.until(told));
        let over = self.left(now, boot_id).is_zero();
        if over || apart < STEP { set } else { told }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::End;
    use crate::clock::{Boot, BootId, Now, Wall};

    fn at(wall: i64, boot: u64) -> Now {
        Now {
            wall: Wall::from_millis(wall),
            boot: Boot::from_millis(boot),
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn steps_of_the_wall_clock_do_not_move_an_end_within_one_boot() {
        let boot = BootId("a".into());
        let end = End::after(MINUTE, MINUTE, at(1_000_000, 5_000), &boot);
        for wall in [0, 1_000_000, 100_000_000] {
            assert_eq!(end.left(at(wall, 25_000), &boot), Duration::from_secs(40));
        }
        assert_eq!(end.left(at(0, 65_000), &boot), Duration::ZERO);
    }

    #[test]
    fn an_end_is_shown_as_it_was_set_until_the_wall_clock_is_stepped() {
        let boot = BootId("a".into());
        let end = End::after(MINUTE, MINUTE, at(1_000_000, 5_000), &boot);
        let shown = |wall, boot_ms| end.shown(at(wall, boot_ms), &boot).millis();
        assert_eq!(shown(1_010_001, 15_000), 1_060_000);
        assert_eq!(shown(4_610_000, 15_000), 4_660_000);
        assert_eq!(shown(1_200_000, 205_000), 1_060_000);
    }

    #[test]
    fn after_a_reboot_the_wall_clock_rules_but_never_gives_more_than_the_span() {
        let end = End::after(MINUTE, MINUTE, at(1_000_000, 5_000), &BootId("a".into()));
        let next = BootId("b".into());
        assert_eq!(end.left(at(1_020_000, 7), &next), Duration::from_secs(40));
        assert_eq!(end.left(at(2_000_000, 7), &next), Duration::ZERO);
        assert_eq!(end.left(at(-90_000_000, 7), &next), MINUTE);
        let told = end.in_this_boot(at(1_020_000, 7), &next);
        assert_eq!(told.boot(), Boot::from_millis(40_007));
    }
}
