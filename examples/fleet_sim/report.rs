//! What has become of it all, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Samples that are kept; of more, some are left out evenly.
const KEPT: usize = 20_000;

/// Durations in microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Samples {
    kept: Vec<u64>,
    /// One of so many (a power of two) is kept, less one.
    skips: u64,
    seen: u64,
}

impl Samples {
    pub fn add(&mut self, micros: u64) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.skips + 1) {
            return;
        }
        if self.kept.len() == KEPT {
            let mut even = false;
            self.kept.retain(|_| {
                even = !even;
                even
            });
            self.skips = self.skips * 2 + 1;
        }
        self.kept.push(micros);
    }

    pub fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.kept.extend(&other.kept);
        self.skips = self.skips.max(other.skips);
    }

    /// None without samples.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?);
        sorted.get(at).copied()
    }
}

/// What has happened so far. Times are as in [`super::lines::Line`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// Agents that are played.
    pub agents: u32,
    /// Of those, how many are connected, and the most that were at once.
    pub connected: u32,
    pub connected_most: u32,
    /// How often one was let in.
    pub connects: u64,
    pub first_dial_us: Option<u64>,
    pub last_connect_us: Option<u64>,
    /// From dialling to the manager's greeting.
    pub handshake: Samples,
    /// Dials that failed, by why.
    pub failures: BTreeMap<String, u64>,
    /// Connections that were cut on this side (--disconnect).
    pub cuts: u64,
    /// Sessions that the manager or the network has ended.
    pub ended_by_manager: u64,
    /// Different actions that have arrived.
    pub received: u64,
    /// Actions that have arrived again.
    pub repeated: u64,
    /// Actions whose arrival was acknowledged.
    pub acknowledged: u64,
    /// Reports of states that the manager has confirmed.
    pub confirmed: u64,
    /// Reverts that the manager has asked for.
    pub reverts: u64,
    /// From the manager's reading of the alert to its sending of the action, as
    /// the manager says.
    pub age: Samples,
    /// From the arrival of an action to the confirmation of its first report.
    pub confirmation: Samples,
}

impl Report {
    /// Adds what has happened in another process.
    pub fn merge(&mut self, other: &Self) {
        self.agents += other.agents;
        self.connected += other.connected;
        self.connected_most += other.connected_most;
        self.connects += other.connects;
        let firsts = [self.first_dial_us, other.first_dial_us];
        self.first_dial_us = firsts.into_iter().flatten().min();
        self.last_connect_us = self.last_connect_us.max(other.last_connect_us);
        self.handshake.merge(&other.handshake);
        for (why, count) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += count;
        }
        self.cuts += other.cuts;
        self.ended_by_manager += other.ended_by_manager;
        self.received += other.received;
        self.repeated += other.repeated;
        self.acknowledged += other.acknowledged;
        self.confirmed += other.confirmed;
        self.reverts += other.reverts;
        self.age.merge(&other.age);
        self.confirmation.merge(&other.confirmation);
    }

    /// Connects from the first dial to the last greeting, in a second.
    pub fn connects_per_second(&self) -> Option<f64> {
        let span = self.last_connect_us?.checked_sub(self.first_dial_us?)?;
        #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
        let rate = self.connects as f64 * 1e6 / span.max(1) as f64;
        Some(rate)
    }

    pub fn in_one_line(&self) -> String {
        let failures: u64 = self.failures.values().sum();
        format!(
            "connected {} of {}, dials failed {failures}, actions received {}, acknowledged {}, reports confirmed {}",
            self.connected, self.agents, self.received, self.acknowledged, self.confirmed
        )
    }

    /// The same as the text, as one JSON object: durations in milliseconds.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "agents": self.agents,
            "connected": self.connected,
            "connected_most": self.connected_most,
            "connects": self.connects,
            "connects_per_second": self.connects_per_second(),
            "handshake_ms": quantiles(&self.handshake),
            "failures": self.failures,
            "cuts": self.cuts,
            "ended_by_manager": self.ended_by_manager,
            "received": self.received,
            "repeated": self.repeated,
            "acknowledged": self.acknowledged,
            "confirmed": self.confirmed,
            "reverts": self.reverts,
            "read_to_sent_ms": quantiles(&self.age),
            "received_to_confirmed_ms": quantiles(&self.confirmation),
        })
    }
}

fn quantiles(samples: &Samples) -> serde_json::Value {
    let at = |percent| samples.percentile(percent).map(millis);
    serde_json::json!({"p50": at(50), "p99": at(99), "most": at(100)})
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |f: &mut fmt::Formatter<'_>, name: &str, value: &str| writeln!(f, "{name:<34}{value}");
        let connected = format!(
            "{} of {} (at most {})",
            self.connected, self.agents, self.connected_most
        );
        row(f, "connected at the end", &connected)?;
        let rate = self.connects_per_second().unwrap_or_default();
        let connects = format!("{} ({rate:.0} a second until the last)", self.connects);
        row(f, "connects", &connects)?;
        row(f, "dial to greeting", &in_words(&self.handshake))?;
        for (why, count) in &self.failures {
            row(f, "dials failed", &format!("{count}: {why}"))?;
        }
        let ended = format!("{} here, {} there", self.cuts, self.ended_by_manager);
        row(f, "sessions ended", &ended)?;
        let received = format!("{}, and {} again", self.received, self.repeated);
        row(f, "actions received", &received)?;
        row(f, "actions acknowledged", &self.acknowledged.to_string())?;
        row(f, "reports confirmed", &self.confirmed.to_string())?;
        row(f, "reverts asked for", &self.reverts.to_string())?;
        row(f, "alert read to action sent", &in_words(&self.age))?;
        row(
            f,
            "action received to result stored",
            &in_words(&self.confirmation),
        )
    }
}

fn in_words(samples: &Samples) -> String {
    let at = |percent| samples.percentile(percent).map(millis);
    match (at(50), at(99), at(100)) {
        (Some(p50), Some(p99), Some(most)) => {
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms")
        }
        _ => "none".to_owned(),
    }
}
