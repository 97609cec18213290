//! How long what a manager says was on its way to this host. Each side tells
//! the time since the session began by its own clock; the clocks begin at other
//! moments, and after weeks they differ by what one runs faster, or by a pause
//! of a virtual machine. What lies between them is learnt anew from each ping:
//! its answer was written after the ping was sent and before it came.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{self, Boot};
use crate::wire::ToAgent;

/// What an agent knows of the clock of its manager in one session.
#[derive(Debug)]
pub(super) struct Way {
    began: Boot,
    /// How much more this host's clock counts than the manager's, in
    /// milliseconds.
    ahead: i64,
    /// When each ping was sent that is not answered, in milliseconds.
    asked: VecDeque<i64>,
}

impl Way {
    /// A session begins now, on both sides but for what the greeting takes.
    pub(super) fn new() -> Self {
        Self {
            began: clock::boot(),
            ahead: 0,
            asked: VecDeque::new(),
        }
    }

    fn here(&self) -> i64 {
        signed(self.began.until(clock::boot()))
    }

    /// A ping leaves now.
    pub(super) fn ask(&mut self) {
        self.asked.push_back(self.here());
    }

    /// The first ping that was not answered is answered now. The session had
    /// lasted `session_ms` for the manager.
    pub(super) fn answered(&mut self, session_ms: u64) {
        let here = self.here();
        if let Some(asked) = self.asked.pop_front() {
            self.learn(asked, here, session_ms);
        }
    }

    /// A message as it is after its time on the way.
    pub(super) fn arrived(&mut self, message: ToAgent) -> ToAgent {
        let Some(written) = message.session_ms() else {
            return message;
        };
        let way = self.taken(self.here(), written);
        message.delayed(way)
    }

    /// What lies between the clocks was at least what it would be had the ping
    /// taken no time, and at most what it would be had its answer taken none. If
    /// it was believed to be so it stays: an answer that was held up, and tells
    /// little, spoils nothing.
    fn learn(&mut self, asked: i64, here: i64, session_ms: u64) {
        let there = i64::try_from(session_ms).unwrap_or(i64::MAX);
        let (least, most) = (asked.saturating_sub(there), here.saturating_sub(there));
        self.ahead = self.ahead.max(least).min(most);
    }

    /// How long something took that was written at `written` and has come at
    /// `here`. It did not come before it was written.
    fn taken(&mut self, here: i64, written: u64) -> Duration {
        let written = i64::try_from(written).unwrap_or(i64::MAX);
        let most = here.saturating_sub(written);
        self.ahead = self.ahead.min(most);
        let way = most.saturating_sub(self.ahead);
        Duration::from_millis(u64::try_from(way).unwrap_or(0))
    }
}

fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Way;

    const DAY: i64 = 86_400_000;

    /// An agent whose clock shows `here` when its manager's shows `there`, in
    /// milliseconds, and a line that takes 20 ms each way.
    struct Session {
        way: Way,
        here: fn(i64) -> i64,
        there: fn(i64) -> i64,
    }

    impl Session {
        fn new(here: fn(i64) -> i64, there: fn(i64) -> i64) -> Self {
            let way = Way::new();
            Self { way, here, there }
        }

        /// A ping that leaves at `at`, read and answered at `read`, whose answer
        /// is there at `back`.
        fn ping(&mut self, at: i64, read: i64, back: i64) {
            let there = (self.there)(read).unsigned_abs();
            self.way.learn((self.here)(at), (self.here)(back), there);
        }

        /// Pings every 25 s, as a session has them.
        fn pings(&mut self, from: i64, to: i64) {
            for at in (from..to).step_by(25_000) {
                self.ping(at, at + 20, at + 40);
            }
        }

        /// How long something seems to take that is written and read then.
        fn taken(&mut self, written: i64, read: i64) -> i64 {
            let written = (self.there)(written).unsigned_abs();
            let taken = self.way.taken((self.here)(read), written);
            i64::try_from(taken.as_millis()).unwrap()
        }
    }

    #[test]
    fn a_clock_that_runs_faster_or_slower_makes_no_way_longer() {
        // 50 ppm are 4.3 s a day.
        let faster: fn(i64) -> i64 = |at| at + at / 20_000;
        for (here, there) in [(faster, (|at| at) as fn(i64) -> i64), (|at| at, faster)] {
            let mut session = Session::new(here, there);
            for day in 0..60 {
                session.pings(day * DAY, (day + 1) * DAY);
                let at = (day + 1) * DAY + 7_000;
                let short = session.taken(at, at + 20);
                assert!((0..=45).contains(&short), "day {day}: {short}");
                let long = session.taken(at, at + 60_000);
                assert!((59_960..=60_060).contains(&long), "day {day}: {long}");
            }
        }
    }

    #[test]
    fn a_manager_that_stood_still_is_believed_again_after_one_ping() {
        let stood: fn(i64) -> i64 = |at| at - (at - 100_000).clamp(0, 30_000);
        let mut session = Session::new(|at| at, stood);
        session.pings(0, 100_000);
        // One was under way when it began.
        session.ping(110_000, 130_000, 130_020);
        session.ping(140_000, 140_020, 140_040);
        assert!(session.taken(141_000, 141_020) <= 40);
        assert!((5_000..=5_040).contains(&session.taken(142_000, 147_000)));
    }

    #[test]
    fn a_host_that_stood_still_makes_nothing_come_before_it_was_written() {
        let stood: fn(i64) -> i64 = |at| at - (at - 100_000).clamp(0, 30_000);
        let mut session = Session::new(stood, |at| at);
        session.pings(0, 100_000);
        assert_eq!(session.taken(130_010, 130_030), 0);
        assert_eq!(session.taken(131_000, 136_020), 5_000);
    }

    #[test]
    fn a_line_that_is_held_up_shows_in_all_that_comes_late() {
        let mut session = Session::new(|at| at, |at| at);
        session.pings(0, 100_000);
        // Pings are held up on their way there, or their answers on the way back.
        session.ping(100_000, 150_000, 150_020);
        session.ping(125_000, 125_020, 160_000);
        assert!((49_980..=50_020).contains(&session.taken(110_000, 160_000)));
        session.ping(175_000, 175_020, 175_040);
        assert!(session.taken(176_000, 176_020) <= 20);
    }

    #[test]
    fn a_greeting_that_was_late_is_known_from_the_first_answer() {
        // The manager began 8 s before this host heard of it.
        let mut session = Session::new(|at| at, |at| at + 8_000);
        session.ping(25_000, 25_020, 25_040);
        assert!((5_000..=5_040).contains(&session.taken(30_000, 35_020)));
    }

    #[test]
    fn no_number_is_too_great() {
        let mut way = Way::new();
        for number in [u64::MAX, 0, u64::MAX] {
            way.learn(i64::MIN, i64::MAX, number);
            assert!(way.taken(i64::MAX, number) <= Duration::from_millis(u64::MAX));
        }
    }
}
