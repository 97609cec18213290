//! How often a target has been blocked: the count behind `repeated_offenders`.
//!
//! Per executable and keys. A block counts once, when it has come into force;
//! what prolongs it does not count. After it, each quiet span takes the count one
//! step back: a day, or the longest step if that is longer. The count of a block
//! is stored with the block, so it is the same however often that is told.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, Now, Wall};
use crate::ledger::end::End;
use crate::model::offenders::AppliesTo;
use crate::model::{Action, ExeName, Keys, Steps, span};

/// Counts that are kept: about 0.2 KB of memory each.
const MOST: usize = 100_000;

/// No quiet span is shorter. Whoever comes once a day is still known.
const QUIET: Duration = Duration::from_secs(86_400);

/// Which block of its target an action is. Part of its entry in the journal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offence {
    /// 1 for the first.
    pub number: u32,
    /// How many quiet spans it takes until nothing is known of it any more: no
    /// more than there are steps.
    pub spans: u32,
    /// One of them, in milliseconds.
    pub quiet_ms: u64,
}

impl Offence {
    /// What people are told of a block that lasts so long; nothing of a first one.
    pub fn shown(&self, timeout: Option<Duration>) -> Option<String> {
        let timeout = timeout.filter(|_| self.number > 1)?;
        let (number, timeout) = (self.number, span::shown(timeout));
        Some(format!("offence {number}: {timeout}"))
    }
}

/// How a target stands after its last block that counted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Standing {
    offence: Offence,
    /// When all of it is forgiven.
    forgiven: End,
}

impl Standing {
    /// After a block that is this offence and ends with `end`.
    fn after(offence: Offence, end: &End, now: Now, boot_id: &BootId) -> Self {
        let quiet = Duration::from_millis(offence.quiet_ms);
        let span = end
            .left(now, boot_id)
            .saturating_add(quiet.saturating_mul(offence.spans));
        Self {
            offence,
            forgiven: End::after(span, span, now, boot_id),
        }
    }

    /// How many blocks still count.
    fn count(&self, now: Now, boot_id: &BootId) -> u32 {
        let Offence {
            number,
            spans,
            quiet_ms,
        } = self.offence;
        let left = self.forgiven.left(now, boot_id).as_millis();
        let ahead = left.div_ceil(u128::from(quiet_ms.max(1)));
        match u32::try_from(ahead) {
            Ok(ahead) if ahead < spans => ahead,
            Ok(_) | Err(_) => number,
        }
    }

    /// When all of it is forgiven, by the wall clock as it was.
    pub fn forgiven(&self) -> Wall {
        self.forgiven.wall()
    }
}

/// A count as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Counted {
    /// That of the action whose block counted last.
    #[serde(skip)]
    pub number: u64,
    pub executable: ExeName,
    pub keys: Keys,
    pub standing: Standing,
    /// The number under which it was stored before.
    #[serde(skip)]
    pub replaces: Option<u64>,
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Counted(Box<Counted>),
    /// A person has taken the block back: the count with this number is void.
    Forgiven(u64),
}

/// The counts of a host, and what its own file says.
#[derive(Debug, Default)]
pub struct Offences {
    counts: HashMap<(ExeName, Keys), (u64, Standing)>,
    own: Option<Steps>,
}

impl Offences {
    /// What the host's own file says from now on.
    pub(super) fn rule(&mut self, own: Option<Steps>) {
        self.own = own;
    }

    /// The steps that an action takes: those of its response, else those of this
    /// host, else those that its manager has for all. A person means the timeout
    /// that they write.
    fn steps<'a>(&'a self, action: &'a Action) -> Option<&'a Steps> {
        action.rule.as_ref()?;
        let of_manager = |scope| {
            let told = action.repeated_offenders.as_ref();
            told.filter(|told| told.scope == scope)
                .map(|told| &told.steps)
        };
        let steps = of_manager(AppliesTo::Response)
            .or(self.own.as_ref())
            .or_else(|| of_manager(AppliesTo::All));
        steps.filter(|steps| steps.count() > 0)
    }

    /// Which offence a new block is, and how long it lasts if not as long as its
    /// action says. `None` if it does not count.
    pub(super) fn judge(
        &self,
        action: &Action,
        keys: &Keys,
        now: Now,
        boot_id: &BootId,
    ) -> Option<(Offence, Option<Duration>)> {
        let steps = self.steps(action)?;
        let known = self.counts.get(&(action.executable.clone(), keys.clone()));
        let before = known.map_or(0, |(_, standing)| standing.count(now, boot_id));
        let number = before.saturating_add(1);
        let most = u32::try_from(steps.count()).unwrap_or(u32::MAX);
        let quiet = steps.longest()?.max(QUIET);
        let offence = Offence {
            number,
            spans: number.min(most),
            quiet_ms: u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX),
        };
        Some((offence, steps.after(before)))
    }

    /// Counts a block that ends with `end`, under the number of its action.
    pub(super) fn count(
        &mut self,
        (number, action, keys): (u64, &Action, &Keys),
        (offence, end): (&Offence, &End),
        now: Now,
        boot_id: &BootId,
    ) -> Change {
        let standing = Standing::after(offence.clone(), end, now, boot_id);
        let (executable, keys) = (action.executable.clone(), keys.clone());
        let place = (executable.clone(), keys.clone());
        let before = self.counts.insert(place, (number, standing.clone()));
        if self.counts.len() > MOST + MOST / 8 {
            self.keep(MOST, now, boot_id);
        }
        Change::Counted(Box::new(Counted {
            number,
            executable,
            keys,
            standing,
            replaces: before
                .map(|(before, _)| before)
                .filter(|before| *before != number),
        }))
    }

    /// Forgets what is known of a target.
    pub(super) fn forgive(&mut self, action: &Action, keys: &Keys) -> Option<Change> {
        let place = (action.executable.clone(), keys.clone());
        let (number, _) = self.counts.remove(&place)?;
        Some(Change::Forgiven(number))
    }

    /// Takes in what the journal tells, in the order of the numbers.
    pub(super) fn load(&mut self, counts: Vec<Counted>, now: Now, boot_id: &BootId) {
        for counted in counts {
            let mut standing = counted.standing;
            standing.forgiven = standing.forgiven.in_this_boot(now, boot_id);
            let place = (counted.executable, counted.keys);
            self.counts.insert(place, (counted.number, standing));
        }
        self.forget(now, boot_id);
    }

    /// Forgets what is forgiven, and what is too much. The journal does so too.
    pub(super) fn forget(&mut self, now: Now, boot_id: &BootId) {
        self.counts
            .retain(|_, (_, standing)| !standing.forgiven.left(now, boot_id).is_zero());
        self.keep(MOST, now, boot_id);
    }

    /// Keeps the counts that are forgiven last.
    fn keep(&mut self, most: usize, now: Now, boot_id: &BootId) {
        let Some(over) = self.counts.len().checked_sub(most).filter(|over| *over > 0) else {
            return;
        };
        let counts = self.counts.values();
        let mut left: Vec<_> = counts
            .map(|(number, standing)| (standing.forgiven.left(now, boot_id), *number))
            .collect();
        let (_, least, _) = left.select_nth_unstable(over);
        let least = *least;
        self.counts.retain(|_, (number, standing)| {
            (standing.forgiven.left(now, boot_id), *number) >= least
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Change, MOST, Offences};
    use crate::clock::{Boot, BootId, Now, Wall};
    use crate::ledger::end::End;
    use crate::model::action::sample;
    use crate::model::offenders::AppliesTo;
    use crate::model::{Action, Keys, RepeatedOffenders, Steps};

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn steps(seconds: &[u64]) -> Steps {
        Steps::try_from(seconds.to_vec()).unwrap()
    }

    fn at(seconds: u64) -> Now {
        Now {
            wall: Wall::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds)),
            boot: Boot::from_millis(10_000 + seconds * 1_000),
        }
    }

    fn boot() -> BootId {
        BootId("a".into())
    }

    fn keys(number: usize) -> Keys {
        Keys::new(vec![number.to_string()]).unwrap()
    }

    fn action() -> Action {
        sample::action(1, "firewall-drop", Some(600))
    }

    /// Has a target blocked at this moment: the number of the offence, and for how
    /// many seconds.
    fn block(offences: &mut Offences, number: u64, seconds: u64) -> (u32, u64) {
        let (now, keys, action) = (at(seconds), keys(7), action());
        let (offence, span) = offences.judge(&action, &keys, now, &boot()).unwrap();
        let span = span.or(action.timeout).unwrap();
        let end = End::after(span, span, now, &boot());
        offences.count((number, &action, &keys), (&offence, &end), now, &boot());
        (offence.number, span.as_secs())
    }

    #[test]
    fn each_block_lasts_one_step_longer_than_the_one_before() {
        let mut offences = Offences::default();
        offences.rule(Some(steps(&[30 * 60, HOUR, 2 * HOUR])));
        let mut start = 0;
        for (number, wanted) in [
            (1, (1, 600)),
            (2, (2, 30 * 60)),
            (3, (3, HOUR)),
            (4, (4, 2 * HOUR)),
            (5, (5, 2 * HOUR)),
        ] {
            assert_eq!(block(&mut offences, number, start), wanted);
            start += wanted.1 + 60;
        }
    }

    #[test]
    fn each_quiet_day_takes_it_one_step_back_from_the_step_it_had_reached() {
        for (days, wanted) in [(0, 10), (1, 3), (2, 2), (3, 1), (400, 1)] {
            let mut offences = Offences::default();
            offences.rule(Some(steps(&[60, 120, 180])));
            let mut now = 0;
            for number in 1..=9 {
                now += block(&mut offences, number, now).1;
            }
            // What is spent in a block is not quiet: the days begin at its end.
            let quiet = now + days * DAY + 1;
            assert_eq!(block(&mut offences, 10, quiet).0, wanted, "{days} days");
        }
    }

    #[test]
    fn a_step_that_is_longer_than_a_day_takes_as_long_to_be_forgiven() {
        for (days, wanted) in [(6, 3), (8, 2), (15, 1)] {
            let mut offences = Offences::default();
            offences.rule(Some(steps(&[HOUR, 7 * DAY])));
            block(&mut offences, 1, 0);
            block(&mut offences, 2, HOUR);
            assert_eq!(
                block(&mut offences, 3, 2 * HOUR + days * DAY).0,
                wanted,
                "{days} days"
            );
        }
    }

    #[test]
    fn the_response_s_own_steps_rule_then_the_host_s_then_those_for_all() {
        let told = |scope, seconds: &[u64]| {
            Some(Arc::new(RepeatedOffenders {
                scope,
                steps: steps(seconds),
            }))
        };
        let own = || Some(steps(&[20]));
        let off = || Some(Steps::default());
        for (of_manager, of_host, wanted) in [
            (told(AppliesTo::Response, &[10]), own(), Some(10)),
            (told(AppliesTo::All, &[30]), own(), Some(20)),
            (told(AppliesTo::All, &[30]), None, Some(30)),
            (None, own(), Some(20)),
            (None, None, None),
            // A 0 switches it off for what it stands for.
            (told(AppliesTo::Response, &[]), own(), None),
            (told(AppliesTo::All, &[30]), off(), None),
            (told(AppliesTo::Response, &[10]), off(), Some(10)),
        ] {
            let mut offences = Offences::default();
            offences.rule(of_host);
            let action = Action {
                repeated_offenders: of_manager,
                ..action()
            };
            let first = offences.steps(&action).and_then(Steps::first);
            assert_eq!(first, wanted.map(Duration::from_secs), "{action:?}");
        }
    }

    #[test]
    fn what_a_person_asks_for_lasts_as_long_as_they_say() {
        let mut offences = Offences::default();
        offences.rule(Some(steps(&[20])));
        let action = Action {
            rule: None,
            ..action()
        };
        assert_eq!(offences.judge(&action, &keys(7), at(0), &boot()), None);
    }

    #[test]
    fn a_block_that_is_counted_again_is_the_same_offence() {
        let mut offences = Offences::default();
        offences.rule(Some(steps(&[20, 30])));
        let (now, span) = (at(0), Duration::from_secs(600));
        let judge = |offences: &Offences| {
            let judged = offences.judge(&action(), &keys(9), now, &boot());
            judged.unwrap().0
        };
        let offence = judge(&offences);
        let end = End::after(span, span, now, &boot());
        for _ in 0..2 {
            let counted = (5, &action(), &keys(9));
            offences.count(counted, (&offence, &end), now, &boot());
            assert_eq!(judge(&offences).number, 2);
        }
    }

    #[test]
    fn what_is_stored_is_found_again_after_a_reboot() {
        let mut offences = Offences::default();
        offences.rule(Some(steps(&[HOUR, 2 * HOUR])));
        let (now, span) = (at(0), Duration::from_secs(600));
        let (offence, _) = offences.judge(&action(), &keys(7), now, &boot()).unwrap();
        let end = End::after(span, span, now, &boot());
        let counted = (5, &action(), &keys(7));
        let Change::Counted(stored) = offences.count(counted, (&offence, &end), now, &boot())
        else {
            panic!("it is another change");
        };
        let text = serde_json::to_string(&stored.standing).unwrap();
        for (hours, wanted) in [(1, 2), (25, 1)] {
            let mut next = Offences::default();
            next.rule(Some(steps(&[HOUR, 2 * HOUR])));
            let mut counted = (*stored).clone();
            counted.standing = serde_json::from_str(&text).unwrap();
            let now = Now {
                boot: Boot::from_millis(7),
                ..at(hours * HOUR)
            };
            let boot = BootId("b".into());
            next.load(vec![counted], now, &boot);
            let (offence, _) = next.judge(&action(), &keys(7), now, &boot).unwrap();
            assert_eq!(offence.number, wanted, "{hours} hours");
        }
    }

    #[test]
    fn so_many_are_kept_and_no_more_and_those_that_are_forgiven_first_go_first() {
        let mut offences = Offences::default();
        offences.rule(Some(steps(&[HOUR])));
        let span = Duration::from_secs(600);
        for number in 0..=MOST + MOST / 8 {
            let now = at(u64::try_from(number).unwrap());
            let keys = keys(number);
            let (offence, _) = offences.judge(&action(), &keys, now, &boot()).unwrap();
            let end = End::after(span, span, now, &boot());
            let counted = (u64::try_from(number).unwrap(), &action(), &keys);
            offences.count(counted, (&offence, &end), now, &boot());
        }
        assert_eq!(offences.len(), MOST);
        let now = at(u64::try_from(MOST).unwrap());
        let number = |key| {
            let judged = offences.judge(&action(), &keys(key), now, &boot());
            judged.unwrap().0.number
        };
        assert_eq!([number(0), number(MOST + MOST / 8)], [1, 2]);
        offences.forget(at(400 * DAY), &boot());
        assert_eq!(offences.len(), 0);
    }
}
