//! Everything that reaches the agent's task, as one stream of events.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::{self, Boot};
use crate::executor::{Outcome, Progress, RunId};
use crate::model::{ActionId, Capabilities};
use crate::sys::host::Seen;
use crate::sys::timer::BootTimer;
use crate::wire::control::Asked;
use crate::wire::enroll::PublicKey;
use crate::wire::{Frame, ManagerJournal, ToAgent};

use super::link::{LinkEvent, LinkState, Reports};
use super::{Agent, Settings};

/// Events of each kind that may wait.
const QUEUE: usize = 256;

/// Actions that are held until they are accepted. A manager never has more on
/// their way to one host than half of it, so that everything else that it says
/// is heard meanwhile.
const MAX_HELD: usize = 2_048;

/// Messages of the link that are taken before everything else is looked at
/// again.
const IN_A_ROW: usize = 32;

const RUN_ENDS: &str = "a run neither panics nor is it aborted";

const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// What a daemon tells its agent.
#[derive(Debug)]
pub enum Steer {
    Reload(Settings),
    Stop,
}

pub(super) enum Event {
    Steer(Steer),
    Asked(Asked),
    /// A session has begun, with a manager that remembers this.
    Linked(mpsc::Sender<Frame>, Option<ManagerJournal>),
    Unlinked,
    Renew(PublicKey),
    /// What this host can do has been looked up.
    Capable(Box<Capabilities>),
    /// Somebody has taken away what is in force.
    Drifted(Seen),
    /// The link to the manager stands otherwise.
    Relinked,
    Told(ToAgent),
    /// An action waits until it is accepted.
    Held,
    /// An action that was held is to be taken back.
    Retracted {
        action: ToAgent,
        revert: ToAgent,
    },
    Progress(RunId, Progress),
    Ended(RunId, Box<Outcome>),
    Rang,
    /// More updates may leave.
    Synced,
    /// One has left.
    Sent,
    Prune,
}

/// The receiving ends. The sending ends are handed out before the agent runs.
#[derive(Debug)]
pub struct Inbox {
    steer: mpsc::Receiver<Steer>,
    asked: mpsc::Receiver<Asked>,
    link: mpsc::Receiver<LinkEvent>,
    link_state: watch::Receiver<LinkState>,
    reports: Reports,
    capable: mpsc::Receiver<Box<Capabilities>>,
    capable_sender: mpsc::Sender<Box<Capabilities>>,
    drifted: mpsc::Receiver<Seen>,
    drifted_sender: mpsc::Sender<Seen>,
    progress: mpsc::Receiver<(RunId, Progress)>,
    progress_sender: mpsc::Sender<(RunId, Progress)>,
    /// Actions that came when none was accepted, and when.
    held: VecDeque<(Boot, ToAgent)>,
    /// How much of the link was taken since everything was last looked at.
    in_a_row: usize,
    timer: BootTimer,
    prune: Interval,
}

impl Inbox {
    /// An inbox, and the senders for steering and for requests. Must be called
    /// within a tokio runtime.
    pub fn new() -> std::io::Result<(Self, mpsc::Sender<Steer>, mpsc::Sender<Asked>)> {
        let (steer_sender, steer) = mpsc::channel(8);
        let (asked_sender, asked) = mpsc::channel(QUEUE);
        let (events, link) = mpsc::channel(QUEUE);
        let (state, link_state) = watch::channel(LinkState::default());
        let (capable_sender, capable) = mpsc::channel(1);
        let (drifted_sender, drifted) = mpsc::channel(QUEUE);
        let (progress_sender, progress) = mpsc::channel(QUEUE);
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let inbox = Self {
            steer,
            asked,
            link,
            link_state,
            reports: Reports { events, state },
            capable,
            capable_sender,
            drifted,
            drifted_sender,
            progress,
            progress_sender,
            held: VecDeque::new(),
            in_a_row: 0,
            timer: BootTimer::new()?,
            prune,
        };
        Ok((inbox, steer_sender, asked_sender))
    }

    /// Where the link to the manager reports to.
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    pub(super) fn capable(&self) -> mpsc::Sender<Box<Capabilities>> {
        self.capable_sender.clone()
    }

    pub(super) fn drifted(&self) -> mpsc::Sender<Seen> {
        self.drifted_sender.clone()
    }

    pub(super) fn link_state(&self) -> watch::Receiver<LinkState> {
        self.link_state.clone()
    }

    pub(super) fn progress(&self) -> mpsc::Sender<(RunId, Progress)> {
        self.progress_sender.clone()
    }

    /// The next event. What runs report comes first, so that ends are never
    /// held up by new work.
    pub(super) async fn next(
        &mut self,
        agent: &mut Agent,
        synced: &mut watch::Receiver<u64>,
    ) -> Event {
        let accepts = agent.accepts() && !agent.is_stopping();
        if accepts && let Some((since, message)) = self.held.pop_front() {
            return Event::Told(message.delayed(since.until(clock::boot())));
        }
        // What is lifted is told, so its confirmation is waited for.
        let listens = self.held.len() < MAX_HELD && agent.may_start();
        let alarm = agent.next_alarm();
        if let Some(event) = self.at_hand(agent, alarm, listens.then_some(accepts)) {
            return event;
        }
        self.in_a_row = 0;
        if let Err(error) = self.timer.set(alarm) {
            log::error!(error:% = error; "cannot set the timer of the next end");
        }
        // Every arm waits in a way that may be dropped: receiving, a timer, a
        // permit, a task's end.
        tokio::select! {
            biased;
            Some(steer) = self.steer.recv() => Event::Steer(steer),
            Some((run, progress)) = self.progress.recv() => Event::Progress(run, progress),
            Some(ended) = agent.runs.join_next() => {
                let (run, outcome) = ended.expect(RUN_ENDS);
                Event::Ended(run, Box::new(outcome))
            }
            Some(chore) = agent.chores.join_next() => {
                chore.expect("a chore neither panics nor is it aborted");
                Event::Synced
            }
            rang = self.timer.ring() => {
                rang.expect("a timer descriptor can be read");
                Event::Rang
            }
            Some(seen) = self.drifted.recv() => Event::Drifted(seen),
            Ok(()) = self.link_state.changed() => Event::Relinked,
            Some(found) = self.capable.recv() => Event::Capable(found),
            Some(asked) = self.asked.recv() => Event::Asked(asked),
            () = agent.outbox.send() => Event::Sent,
            Ok(()) = synced.changed() => Event::Synced,
            Some(event) = self.link.recv(), if listens => self.linked(event, accepts),
            _ = self.prune.tick() => Event::Prune,
        }
    }

    /// What need not be waited for, of what comes by the thousand in a burst: to
    /// wait for everything at once, as below, costs more than most events do.
    /// `accepts` is none if nothing is to be taken from the link.
    fn at_hand(
        &mut self,
        agent: &mut Agent,
        alarm: Option<Boot>,
        accepts: Option<bool>,
    ) -> Option<Event> {
        if let Ok(steer) = self.steer.try_recv() {
            return Some(Event::Steer(steer));
        }
        if alarm.is_some_and(|at| at <= clock::boot()) {
            return Some(Event::Rang);
        }
        if let Ok((run, progress)) = self.progress.try_recv() {
            return Some(Event::Progress(run, progress));
        }
        if let Some(ended) = agent.runs.try_join_next() {
            let (run, outcome) = ended.expect(RUN_ENDS);
            return Some(Event::Ended(run, Box::new(outcome)));
        }
        if self.in_a_row == IN_A_ROW {
            return None;
        }
        self.in_a_row += 1;
        let accepts = accepts?;
        let event = self.link.try_recv().ok()?;
        Some(self.linked(event, accepts))
    }

    /// What an event of the link means, with the actions that are held.
    fn linked(&mut self, event: LinkEvent, accepts: bool) -> Event {
        match event {
            LinkEvent::Up { outgoing, manager } => {
                // Nobody was told that they are taken, so they come again.
                self.held.clear();
                Event::Linked(outgoing, manager)
            }
            LinkEvent::Told(action @ ToAgent::Act { .. }) if !accepts => {
                self.held.push_back((clock::boot(), action));
                Event::Held
            }
            LinkEvent::Told(revert @ ToAgent::Revert { id, .. }) => match self.release(id) {
                Some(action) => Event::Retracted { action, revert },
                None => Event::Told(revert),
            },
            LinkEvent::Told(message) => Event::Told(message),
            LinkEvent::Renew(key) => Event::Renew(key),
            LinkEvent::Down => Event::Unlinked,
        }
    }

    /// Takes one out of the actions that are held.
    fn release(&mut self, id: ActionId) -> Option<ToAgent> {
        let is_wanted = |message: &ToAgent| match message {
            ToAgent::Act { action, .. } => action.id == id,
            ToAgent::WhiteList { .. }
            | ToAgent::Revert { .. }
            | ToAgent::Stored { .. }
            | ToAgent::Renewed { .. }
            | ToAgent::Pong { .. }
            | ToAgent::Ping => false,
        };
        let at = self.held.iter().position(|(_, held)| is_wanted(held))?;
        let (since, action) = self.held.remove(at)?;
        Some(action.delayed(since.until(clock::boot())))
    }
}
