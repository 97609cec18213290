//! A run as the checker looks at it.

use std::collections::BTreeMap;

use super::super::history::{Doing, Event, Took, What};
use super::super::kernel::LOCK;
use super::super::plan;
use super::Outcome;
use crate::model::{ActionId, ActionState, Mode, Record};

/// How long a line of `responses.json` may go unseen, in milliseconds.
const UNSEEN: u64 = 1_500;

/// One response to one alert on one agent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Deed {
    pub(super) alert: u32,
    pub(super) agent: u32,
}

pub(super) fn deed_of(record: &Record) -> Deed {
    let alert = record.alert.as_deref().unwrap();
    Deed {
        alert: alert.parse().unwrap(),
        agent: record.agent.id.number(),
    }
}

#[derive(Debug)]
pub(super) struct Alert {
    pub(super) rule: u32,
    pub(super) agent: u32,
    pub(super) address: String,
    /// When the manager got its line.
    pub(super) read: Vec<u64>,
    /// When its action reached each agent.
    pub(super) arrived: Vec<Arrival>,
}

/// An action that has come to its agent. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) agent: u32,
    pub(super) at: u64,
    /// What the greeting of its session had taken, which is what the agent
    /// cannot know of the way of anything that follows.
    pub(super) greeting: u64,
}

/// A run of an executable. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) doing: Doing,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) took: Option<Took>,
}

/// An effect that was gone at this moment without a delete.
#[derive(Debug)]
pub(super) struct Forgotten {
    pub(super) agent: u32,
    pub(super) exe: String,
    pub(super) address: String,
    pub(super) at: u64,
}

/// Something that a person wants taken back. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) deed: Deed,
    pub(super) at: u64,
    pub(super) reply: Option<Reply>,
}

/// What they were told, and when.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) at: u64,
    /// None if there was nothing to take back.
    pub(super) state: Option<ActionState>,
}

/// A stretch of time in which an agent had a session, or in which nothing that
/// the manager had sent came through.
#[derive(Debug)]
struct Stretch {
    agent: u32,
    from: u64,
    to: u64,
}

/// A stretch of time in which a daemon ran.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) host: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) power: bool,
    /// What was in force at its end was taken back.
    pub(super) lifts: bool,
}

pub(super) struct View<'a> {
    pub(super) records: &'a [Record],
    pub(super) events: &'a [Event],
    pub(super) alerts: BTreeMap<u32, Alert>,
    pub(super) runs: Vec<Run>,
    /// What kernels have forgotten by themselves.
    pub(super) forgotten: Vec<Forgotten>,
    pub(super) lives: Vec<Life>,
    pub(super) asks: Vec<Ask>,
    sessions: Vec<Stretch>,
    stuck: Vec<Stretch>,
    /// What each agent's wall clock showed when the run began, in milliseconds.
    offsets: Vec<i64>,
    /// When everything was mended.
    pub(super) healed: u64,
    pub(super) end: u64,
}

impl<'a> View<'a> {
    pub(super) fn new(outcome: &Outcome<'a>) -> Self {
        let offsets = outcome.agents.iter().map(|agent| agent.clock.began());
        let mut view = Self {
            records: outcome.records,
            events: outcome.events,
            alerts: BTreeMap::new(),
            runs: Vec::new(),
            forgotten: Vec::new(),
            lives: Vec::new(),
            asks: Vec::new(),
            sessions: Vec::new(),
            stuck: Vec::new(),
            offsets: offsets.collect(),
            healed: 0,
            end: outcome.events.last().map_or(0, |event| event.at),
        };
        outcome.events.iter().for_each(|event| view.take(event));
        view
    }

    fn take(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            What::Alert {
                alert,
                rule,
                agent,
                address,
            } => {
                let new = Alert {
                    rule: *rule,
                    agent: *agent,
                    address: address.clone(),
                    read: Vec::new(),
                    arrived: Vec::new(),
                };
                self.alerts.insert(*alert, new);
            }
            What::Read { alert } => self.alerts.get_mut(alert).unwrap().read.push(at),
            What::Arrived {
                alert,
                agent,
                greeting,
            } => self.alerts.get_mut(alert).unwrap().arrived.push(Arrival {
                agent: *agent,
                at,
                greeting: *greeting,
            }),
            What::Begun(doing) => self.runs.push(Run {
                doing: doing.clone(),
                began: at,
                ended: u64::MAX,
                took: None,
            }),
            What::Ended(doing, took) => {
                let mut open = self.runs.iter_mut().rev();
                let run = open.find(|run| run.doing == *doing && run.took.is_none());
                let run = run.unwrap();
                (run.ended, run.took) = (at, Some(*took));
            }
            What::Forgot {
                agent,
                exe,
                address,
                when,
            } => self.forgotten.push(Forgotten {
                agent: *agent,
                exe: exe.clone(),
                address: address.clone(),
                at: *when,
            }),
            What::Up { host, .. } => self.lives.push(Life {
                host: *host,
                from: at,
                to: u64::MAX,
                power: false,
                lifts: false,
            }),
            What::Lifts { host } => {
                let mut lives = self.lives.iter_mut().rev();
                lives.find(|life| life.host == *host).unwrap().lifts = true;
            }
            What::Down { host, power } => {
                let mut lives = self.lives.iter_mut().rev();
                let life = lives.find(|life| life.host == *host).unwrap();
                (life.to, life.power) = (at, *power);
                match host {
                    0 => (1..=plan::AGENTS).for_each(|agent| self.disconnect(agent, at)),
                    host => self.disconnect(*host, at),
                }
            }
            What::Welcomed { agent, .. } => self.sessions.push(Stretch {
                agent: *agent,
                from: at,
                to: u64::MAX,
            }),
            What::Line { agent, .. } => self.disconnect(*agent, at),
            What::Stuck { agent } => self.stuck.push(Stretch {
                agent: *agent,
                from: at,
                to: u64::MAX,
            }),
            What::Freed { agent } => end(&mut self.stuck, *agent, at),
            What::Asked { action } => self.asks.push(Ask {
                deed: self.deed(*action),
                at,
                reply: None,
            }),
            What::Answered { action, state } => {
                let deed = self.deed(*action);
                let mut asks = self.asks.iter_mut();
                let ask = asks.find(|ask| ask.deed == deed && ask.reply.is_none());
                ask.unwrap().reply = Some(Reply { at, state: *state });
            }
            What::Healed => self.healed = at,
            What::Stepped { .. } | What::Seen { .. } => {}
        }
    }

    /// The session of an agent is over, and so is whatever was stuck in it.
    fn disconnect(&mut self, agent: u32, at: u64) {
        end(&mut self.sessions, agent, at);
        end(&mut self.stuck, agent, at);
    }

    fn deed(&self, action: ActionId) -> Deed {
        let mut records = self.records.iter();
        let record = records.find(|record| record.action == action);
        deed_of(record.unwrap())
    }

    /// Everything that is meant to be done.
    pub(super) fn deeds(&self) -> impl Iterator<Item = Deed> {
        self.alerts.iter().flat_map(|(alert, about)| {
            let agents = (plan::rule(about.rule).agents)(about.agent);
            let deeds = agents.into_iter().map(|agent| Deed {
                alert: *alert,
                agent,
            });
            deeds.collect::<Vec<_>>()
        })
    }

    pub(super) fn runs_of(&self, deed: Deed) -> impl Iterator<Item = &Run> {
        let is = move |run: &&Run| run.doing.alert == deed.alert && run.doing.agent == deed.agent;
        self.runs.iter().filter(is)
    }

    /// The runs of each executable for each target on each agent, in order.
    pub(super) fn places(&self) -> BTreeMap<(u32, String, String), Vec<&Run>> {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for run in &self.runs {
            let Doing {
                agent,
                exe,
                address,
                ..
            } = &run.doing;
            let place = (*agent, exe.clone(), address.clone());
            places.entry(place).or_default().push(run);
        }
        places
    }

    /// What the kernel has forgotten of an executable for a target on an agent.
    pub(super) fn forgotten_at(
        &self,
        (agent, exe, address): &(u32, String, String),
    ) -> impl Iterator<Item = &Forgotten> {
        let is = move |gone: &&Forgotten| {
            gone.agent == *agent && gone.exe == *exe && gone.address == *address
        };
        self.forgotten.iter().filter(is)
    }

    /// The states that an action has been in, as `responses.json` says.
    pub(super) fn states(&self, deed: Deed) -> Vec<ActionState> {
        let its = self.records.iter().filter(|record| deed_of(record) == deed);
        its.map(|record| record.state).collect()
    }

    pub(super) fn timeout(&self, alert: u32) -> Option<u64> {
        let seconds = plan::rule(self.alerts[&alert].rule).timeout?;
        Some(seconds * 1_000)
    }

    /// By how much an agent may be late about an action that it has by then.
    pub(super) fn greeting(&self, deed: Deed, by: u64) -> u64 {
        let arrived = self.alerts[&deed.alert].arrived.iter();
        let here = arrived.filter(|arrival| arrival.agent == deed.agent && arrival.at <= by);
        here.map(|arrival| arrival.greeting).max().unwrap_or(0)
    }

    /// Whether the daemon of a host went down in this stretch of time, before
    /// the run was over.
    pub(super) fn goes_down(&self, host: u32, from: u64, to: u64) -> bool {
        let mut lives = self.lives.iter().filter(|life| life.host == host);
        lives.any(|life| life.to < self.end && (from..=to).contains(&life.to))
    }

    /// Whether what is in force on a host at this moment is taken back, or is still
    /// to be, as its daemon was asked to stop meanwhile.
    pub(super) fn is_lifted(&self, host: u32, add: &Run, at: u64) -> bool {
        let lives = self.lives.iter().filter(|life| life.host == host);
        let mut lifting = lives.filter(|life| life.lifts);
        lifting.any(|life| life.to <= at && add.began < self.next_start(host, life.to))
    }

    /// When the daemon of a host is started next.
    pub(super) fn next_start(&self, host: u32, after: u64) -> u64 {
        let lives = self.lives.iter().filter(|life| life.host == host);
        let later = lives.map(|life| life.from).filter(|from| *from > after);
        later.min().unwrap_or(u64::MAX)
    }

    pub(super) fn loses_power(&self, host: u32, from: u64, to: u64) -> bool {
        let mut lives = self.lives.iter().filter(|life| life.host == host);
        lives.any(|life| life.power && (from..=to).contains(&life.to))
    }

    /// Whether the clocks of a host tell nothing of this stretch of time: it
    /// lost its power, and its wall clock was set at some time.
    pub(super) fn is_lost(&self, host: u32, from: u64, to: u64) -> bool {
        self.loses_power(host, from, to) && self.is_stepped(host)
    }

    fn is_stepped(&self, host: u32) -> bool {
        let stepped =
            |event: &Event| matches!(event.what, What::Stepped { host: at, .. } if at == host);
        self.events.iter().any(stepped)
    }

    /// What the wall clock of an agent showed when the run began, in
    /// milliseconds, if it was never set.
    pub(super) fn offset(&self, agent: u32) -> Option<i64> {
        let offset = self.offsets[usize::try_from(agent - 1).unwrap()];
        (!self.is_stepped(agent)).then_some(offset)
    }

    pub(super) fn is_up(&self, host: u32, at: u64) -> bool {
        let mut lives = self.lives.iter().filter(|life| life.host == host);
        lives.any(|life| (life.from..life.to).contains(&at))
    }

    /// The end of the first stretch of so many milliseconds, from then on, in
    /// which whatever the manager sent an agent reached it.
    pub(super) fn within_reach(&self, agent: u32, from: u64, span: u64) -> Option<u64> {
        let mine = |stretch: &&Stretch| stretch.agent == agent;
        let stuck: Vec<_> = self.stuck.iter().filter(mine).collect();
        self.sessions.iter().filter(mine).find_map(|session| {
            let mut start = session.from.max(from);
            for stuck in &stuck {
                if stuck.to >= start && stuck.from <= start + span {
                    start = stuck.to;
                }
            }
            let by = start.checked_add(span)?;
            (by <= session.to.min(self.end)).then_some(by)
        })
    }

    /// Whether `responses.json` says by then that an action is over.
    pub(super) fn is_over(&self, deed: Deed, by: u64) -> bool {
        self.events.iter().any(|event| {
            matches!(event.what, What::Seen { alert, agent, state, .. }
                if alert == deed.alert && agent == deed.agent && state.is_final())
                && event.at <= by + UNSEEN
        })
    }

    /// Whether somebody wanted something taken back by then.
    pub(super) fn is_asked(&self, deed: Deed, by: u64) -> bool {
        let mut ids = self.records.iter().filter(|record| deed_of(record) == deed);
        let Some(id) = ids.next().map(|record| record.action) else {
            return false;
        };
        let asked = |event: &Event| matches!(event.what, What::Asked { action } if action == id);
        self.events
            .iter()
            .any(|event| event.at <= by && asked(event))
    }

    /// The first moment at which a daemon has run for so long since `from`.
    pub(super) fn after_uptime(&self, host: u32, from: u64, span: u64) -> u64 {
        let mut left = span;
        for life in self.lives.iter().filter(|life| life.host == host) {
            let start = life.from.max(from);
            if life.to <= start {
                continue;
            }
            if life.to - start >= left {
                return start + left;
            }
            // What a life that is too short began is begun anew by the next.
            left = span;
        }
        u64::MAX
    }

    /// Whether a script could not take something back.
    pub(super) fn has_failed_delete(&self, agent: u32, address: &str) -> bool {
        self.runs.iter().any(|run| {
            let doing = &run.doing;
            let is_it = doing.agent == agent && doing.exe == LOCK && doing.address == address;
            is_it && doing.mode == Mode::Delete && run.took == Some(Took::Failed)
        })
    }

    pub(super) fn adds<'b>(runs: &[&'b Run]) -> impl Iterator<Item = &'b Run> {
        let adds = runs.iter().filter(|run| run.doing.mode == Mode::Add);
        adds.copied().collect::<Vec<_>>().into_iter()
    }
}

/// Ends what is open of an agent.
fn end(stretches: &mut [Stretch], agent: u32, at: u64) {
    let open = |stretch: &&mut Stretch| stretch.agent == agent && stretch.to == u64::MAX;
    for stretch in stretches.iter_mut().filter(open) {
        stretch.to = at;
    }
}
