//! Which lines can lead to something, decided where they are read.
//!
//! Nearly all alerts have no response. Each of them is read in full and matched
//! as its owner would do it, unless it begins as an earlier one did of which that
//! is known (`known`); then nothing more of it is looked at. Lines without a
//! response are counted and dropped here. All others are handed over, and their
//! owner reads and matches them once more: what he decides counts.
//!
//! So a line is dropped by the responses that are in force when it is read.

mod known;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use memchr::arch::all::packedpair::HeuristicFrequencyRank;
use memchr::memchr;
use memchr::memmem::{Finder, FinderBuilder};
use tokio::sync::watch;

use super::tally::{Counted, Tally};
use crate::alert::{Header, NotAnAlert, Opening, Shape};
use crate::clock::{self, Boot};
use crate::matcher::{Conditions, Matcher};
use known::Known;

/// Of lines that are no alert, one of each kind is handed over this often, to be
/// reported.
const REPORTED_EVERY: Duration = Duration::from_secs(1);

/// Bytes of rules and answers that the matcher of one reader keeps.
const MAX_MEMO: usize = 4 << 20;

/// What a sieve goes by.
#[derive(Clone, Debug)]
pub struct Sifting {
    pub shape: Shape,
    /// The conditions of all responses; others may come at any time.
    pub conditions: watch::Receiver<Arc<Conditions>>,
    pub tally: Arc<Tally>,
}

/// The sieve of one reader. It allocates nothing for a line that begins as an
/// earlier one did.
#[derive(Debug)]
pub struct Sieve {
    sifting: Sifting,
    matcher: Matcher,
    known: Known,
    /// Whether lines of the shape may be known by their header.
    by_header: bool,
    second_object: Finder<'static>,
    counted: Counted,
    reported: HashMap<NotAnAlert, Boot>,
}

/// By which two of its bytes a second object is looked for. In what people write,
/// `{` and `"` are the rarest of them, but side by side they begin each object of
/// an alert; with `p`, which stands ten bytes behind the brace, hardly any does.
struct Braces;

impl HeuristicFrequencyRank for Braces {
    fn rank(&self, byte: u8) -> u8 {
        match byte {
            b'{' => 0,
            b'p' => 1,
            _ => u8::MAX,
        }
    }
}

/// What reading a line in full has shown.
#[derive(Debug, Default)]
struct Reading {
    /// Whether an alert has a response. The rest is only told if none has.
    matched: bool,
    alerts: u64,
    not_alerts: Vec<NotAnAlert>,
}

impl Sieve {
    pub fn new(mut sifting: Sifting) -> Self {
        let conditions = Arc::clone(&sifting.conditions.borrow_and_update());
        Self {
            matcher: Matcher::sharing(conditions, MAX_MEMO),
            known: Known::default(),
            by_header: sifting.shape.takes_headers(),
            second_object: FinderBuilder::new()
                .build_forward_with_ranker(Braces, Opening::BEGINNING),
            counted: Counted::default(),
            reported: HashMap::new(),
            sifting,
        }
    }

    /// Takes up conditions that were changed. To be called when bytes have been
    /// read, and before their lines are judged: what was written after a change
    /// is judged by what was changed.
    pub fn renew(&mut self) {
        // Without anybody who could change them they stay as they are.
        if self.sifting.conditions.has_changed().unwrap_or(false) {
            let conditions = Arc::clone(&self.sifting.conditions.borrow_and_update());
            self.matcher = Matcher::sharing(conditions, MAX_MEMO);
            self.known = Known::default();
        }
    }

    /// Whether a line is to be handed over; one that is not is counted here.
    pub fn passes(&mut self, line: &[u8], now: Boot) -> bool {
        self.counted.lines += 1;
        if let Some((matches, behind)) = self.known(line)
            && self.is_one(behind)
        {
            self.counted.alerts += u64::from(!matches);
            return matches;
        }
        let header = self.by_header.then(|| Header::scan(line)).flatten();
        let reading = self.read(line);
        // Of several alerts in one line the header tells of the first alone.
        let is_one = reading.alerts == 1 && reading.not_alerts.is_empty();
        if let Some(header) = header.filter(|_| is_one) {
            self.known.learn(header, reading.matched);
        }
        if reading.matched || self.is_to_be_reported(&reading.not_alerts, now) {
            return true;
        }
        self.counted.alerts += reading.alerts;
        for why in reading.not_alerts {
            *self.counted.not_alerts.entry(why).or_default() += 1;
        }
        false
    }

    /// Of bytes that begin a line, which need not end with them, the number up to
    /// behind its newline, if it is known to be kept back. It is counted then; of
    /// any other nothing is said.
    pub fn keeps_back(&mut self, ahead: &[u8]) -> Option<usize> {
        let (matches, behind) = self.known(ahead)?;
        if matches {
            return None;
        }
        // Up to the end of a rule that is known there is no newline.
        let newline = memchr(b'\n', behind)?;
        if !self.is_one(&behind[..newline]) {
            return None;
        }
        self.counted.lines += 1;
        self.counted.alerts += 1;
        Some(ahead.len() - behind.len() + newline + 1)
    }

    /// Counts a line that is handed over unjudged.
    pub(super) fn hand_over(&mut self) {
        self.counted.lines += 1;
        self.tell(0);
    }

    /// Counts a line that stands between records.
    pub(super) fn stray(&mut self) {
        self.counted.strays += 1;
    }

    /// Tells what was counted, in so many bytes.
    pub(super) fn tell(&mut self, bytes: usize) {
        self.counted.bytes += bytes as u64;
        if self.counted.lines > 0 {
            self.counted.last_line = Some(clock::wall());
        }
        self.sifting.tally.take(&mut self.counted);
    }

    /// Whether the alert that begins so has a response, if that is known of its
    /// rule, and what follows the rule.
    fn known<'a>(&mut self, bytes: &'a [u8]) -> Option<(bool, &'a [u8])> {
        let opening = self.by_header.then(|| Opening::scan(bytes)).flatten()?;
        self.known.find(opening)
    }

    /// Whether the line with this behind its rule is one alert at most. It may have
    /// been torn, and the next one follow in the same line, which is an alert then,
    /// too; up to the end of a rule that is known there is none.
    fn is_one(&self, behind: &[u8]) -> bool {
        self.second_object.find(behind).is_none()
    }

    fn read(&mut self, line: &[u8]) -> Reading {
        let mut reading = Reading::default();
        for answer in self.sifting.shape.read(line) {
            match answer {
                Ok(alert) => {
                    reading.alerts += 1;
                    reading.matched |= !self.matcher.matches(&alert.rule).is_empty();
                }
                Err(why) => reading.not_alerts.push(why),
            }
        }
        reading
    }

    fn is_to_be_reported(&mut self, not_alerts: &[NotAnAlert], now: Boot) -> bool {
        let mut any = false;
        for why in not_alerts.iter().filter(|why| !why.is_expected()) {
            let before = self.reported.get(why);
            if before.is_none_or(|before| before.until(now) >= REPORTED_EVERY) {
                self.reported.insert(*why, now);
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests;
