//! Everything that reaches the manager's task, as one stream of events.

use std::future::ready;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::clock;
use crate::config::ManagerConfig;
use crate::source;
use crate::transport::listener::Enrollment;
use crate::transport::{Arrival, Reception, Report};
use crate::wire::control::Asked;

use super::sources::SourceError;
use super::{Chore, Fleet, Manager, reached};

/// Events of each kind that may wait. Those of a source are batches of lines.
const QUEUE: usize = 256;
const SOURCE_QUEUE: usize = 4;

/// Results that are taken in before alerts get their turn.
const RESULTS_IN_A_ROW: usize = 256;

/// Results that are written down together.
const REPORTS_AT_ONCE: usize = 64;

/// What waits is looked at this often, and positions without actions are stored.
const TICK: Duration = Duration::from_millis(50);

/// What waits for a host that is offline is looked through this often.
const SWEEP: Duration = Duration::from_secs(1);

const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// What a daemon tells its manager.
#[derive(Debug)]
pub enum Steer {
    Reload {
        config: Box<ManagerConfig>,
        /// What it has for agents of other hosts from then on.
        fleet: Option<Fleet>,
        done: oneshot::Sender<Result<(), SourceError>>,
    },
    /// A port is closed, and with it sessions that could not report their end.
    Closed,
    Stop,
}

pub(super) enum Event {
    Steer(Steer),
    Source(usize, source::Event),
    /// Lines of an earlier event wait to be taken in.
    MoreLines,
    Asked(Asked),
    Agent(Arrival),
    /// What sessions report, in its order.
    FromAgents(Vec<Report>),
    /// A host asks to become an agent.
    Enroll(Enrollment),
    Chore(Chore),
    /// The journal can tell of more: there may be room again, long before that is
    /// synced.
    Written,
    Synced,
    Tick,
    /// What has waited for its host for too long is to be ended.
    Sweep,
    Prune,
}

/// The receiving ends. The sending ends are handed out before the manager runs.
#[derive(Debug)]
pub struct Inbox {
    steer: mpsc::Receiver<Steer>,
    asked: mpsc::Receiver<Asked>,
    agents: mpsc::Receiver<Arrival>,
    sessions: mpsc::Receiver<Report>,
    sources: mpsc::Receiver<(usize, source::Event)>,
    source_sender: mpsc::Sender<(usize, source::Event)>,
    enrollments: mpsc::Receiver<Enrollment>,
    tick: Interval,
    sweep: Interval,
    prune: Interval,
    /// How many results have come in a row.
    results: usize,
}

/// The sending ends of an inbox.
#[derive(Clone, Debug)]
pub struct Senders {
    pub steer: mpsc::Sender<Steer>,
    pub asked: mpsc::Sender<Asked>,
    pub reception: Reception,
    pub enrollments: mpsc::Sender<Enrollment>,
}

impl Inbox {
    /// Must be called within a tokio runtime.
    pub fn new() -> (Self, Senders) {
        let (steer_sender, steer) = mpsc::channel(8);
        let (asked_sender, asked) = mpsc::channel(QUEUE);
        let (arrivals, agents) = mpsc::channel(8);
        let (reports, sessions) = mpsc::channel(QUEUE);
        let (source_sender, sources) = mpsc::channel(SOURCE_QUEUE);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (enrollments_sender, enrollments) = mpsc::channel(8);
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Not right at the start, when the clock may still be wrong.
        let mut prune = tokio::time::interval_at(Instant::now() + PRUNE_EVERY, PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let inbox = Self {
            steer,
            asked,
            agents,
            sessions,
            sources,
            source_sender,
            enrollments,
            tick,
            sweep,
            prune,
            results: 0,
        };
        let senders = Senders {
            steer: steer_sender,
            asked: asked_sender,
            reception: Reception { arrivals, reports },
            enrollments: enrollments_sender,
        };
        (inbox, senders)
    }

    pub(super) fn source_events(&self) -> mpsc::Sender<(usize, source::Event)> {
        self.source_sender.clone()
    }

    /// The next event. What a person or the clock wants comes first, since it is
    /// little; results come before alerts, so that a flood of alerts does not
    /// hold up what became of earlier ones, but no flood of results keeps
    /// alerts away. A host that is busy may, for a while: see [`super::pacing`].
    pub(super) async fn next(
        &mut self,
        manager: &mut Manager,
        synced: &mut watch::Receiver<u64>,
    ) -> Event {
        let has_room = manager.has_room();
        let reads = has_room && !manager.delivery.holds_alerts(clock::boot());
        let has_lines = manager.batch.is_some();
        let waits = manager.has_something_waiting();
        let may_expire = manager.delivery.may_expire;
        if self.results == RESULTS_IN_A_ROW {
            self.results = 0;
            if let Some(event) = self.alerts(reads, has_lines) {
                return event;
            }
        }
        // Every arm waits in a way that may be dropped: receiving, a timer, room
        // in a channel.
        tokio::select! {
            biased;
            Some(steer) = self.steer.recv() => Event::Steer(steer),
            Some(chore) = manager.chores.join_next() => {
                Event::Chore(chore.expect("a chore neither panics nor is it aborted"))
            }
            () = reached(synced) => Event::Synced,
            () = reached(&mut manager.fresh.written) => Event::Written,
            _ = self.tick.tick(), if waits => Event::Tick,
            _ = self.sweep.tick(), if may_expire => Event::Sweep,
            _ = self.prune.tick() => Event::Prune,
            Some(asked) = self.asked.recv() => Event::Asked(asked),
            Some(agent) = self.agents.recv() => Event::Agent(agent),
            Some(enrollment) = self.enrollments.recv() => Event::Enroll(enrollment),
            Some(event) = self.sessions.recv(), if has_room => {
                Event::FromAgents(self.reports(event))
            }
            () = ready(()), if reads && has_lines => Event::MoreLines,
            Some((index, event)) = self.sources.recv(), if reads && !has_lines => {
                Event::Source(index, event)
            }
        }
    }

    /// What sessions have reported by now, from this on: it is written down
    /// together.
    fn reports(&mut self, first: Report) -> Vec<Report> {
        let most = REPORTS_AT_ONCE.min(RESULTS_IN_A_ROW - self.results);
        let mut reports = vec![first];
        while reports.len() < most
            && let Ok(report) = self.sessions.try_recv()
        {
            reports.push(report);
        }
        self.results += reports.len();
        reports
    }

    /// Alerts that are there to be taken in.
    fn alerts(&mut self, reads: bool, has_lines: bool) -> Option<Event> {
        match (reads, has_lines) {
            (false, _) => None,
            (true, true) => Some(Event::MoreLines),
            (true, false) => {
                let (index, event) = self.sources.try_recv().ok()?;
                Some(Event::Source(index, event))
            }
        }
    }
}
