//! What has happened to the agents of this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lines::now_us;
use super::report::{Report, Samples};

/// Counts, kept by all agents together.
#[derive(Debug)]
pub struct Tally {
    inner: Mutex<Report>,
}

impl Tally {
    pub fn new(agents: u32) -> Self {
        let report = Report {
            agents,
            connected: 0,
            connected_most: 0,
            connects: 0,
            first_dial_us: None,
            last_connect_us: None,
            handshake: Samples::default(),
            failures: BTreeMap::new(),
            cuts: 0,
            ended_by_manager: 0,
            received: 0,
            repeated: 0,
            acknowledged: 0,
            confirmed: 0,
            reverts: 0,
            age: Samples::default(),
            confirmation: Samples::default(),
        };
        Self {
            inner: Mutex::new(report),
        }
    }

    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    /// Changes some of the counts.
    pub fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.lock());
    }

    pub fn dials(&self) {
        self.note(|report| {
            report.first_dial_us.get_or_insert_with(now_us);
        });
    }

    /// A manager has let an agent in, so many microseconds after it dialled.
    pub fn connected(&self, took_us: u64) {
        self.note(|report| {
            report.connects += 1;
            report.connected += 1;
            report.connected_most = report.connected_most.max(report.connected);
            report.last_connect_us = Some(now_us());
            report.handshake.add(took_us);
        });
    }

    pub fn failed(&self, why: String) {
        self.note(|report| *report.failures.entry(why).or_default() += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
