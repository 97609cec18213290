//! What has come in from one source, counted by its reader and by its owner.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::alert::NotAnAlert;
use crate::clock::Wall;

/// Counts of one source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    pub bytes: u64,
    /// Lines and records that are not empty.
    pub lines: u64,
    pub alerts: u64,
    /// Of these alerts, those that have a response.
    pub matched: u64,
    /// What is no alert, by why.
    pub not_alerts: BTreeMap<NotAnAlert, u64>,
    /// Lines between the records of an `alerts.log`.
    pub strays: u64,
    /// Runs of bytes that were passed over.
    pub passed_over: u64,
    /// When a line came last.
    pub last_line: Option<Wall>,
}

impl Counted {
    /// Adds what came later.
    pub fn add(&mut self, later: &Self) {
        self.bytes += later.bytes;
        self.lines += later.lines;
        self.alerts += later.alerts;
        self.matched += later.matched;
        for (why, count) in &later.not_alerts {
            *self.not_alerts.entry(*why).or_default() += count;
        }
        self.strays += later.strays;
        self.passed_over += later.passed_over;
        self.last_line = self.last_line.max(later.last_line);
    }

    /// Starts anew, and keeps what memory it has.
    fn clear(&mut self) {
        let mut not_alerts = std::mem::take(&mut self.not_alerts);
        not_alerts.clear();
        *self = Self {
            not_alerts,
            ..Self::default()
        };
    }
}

/// Counts that two threads add to, each now and then.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counted>);

impl Tally {
    pub fn count(&self, count: impl FnOnce(&mut Counted)) {
        // Counts that are half added are still counts.
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds what was counted elsewhere, which starts anew.
    pub fn take(&self, counted: &mut Counted) {
        self.count(|all| all.add(counted));
        counted.clear();
    }

    pub fn now(&self) -> Counted {
        let mut now = Counted::default();
        self.count(|all| now.clone_from(all));
        now
    }
}
