//! Lines become alerts, alerts become actions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use sha2::{Digest, Sha256};

use crate::alert::{self, Alert, NotAnAlert, Origin};
use crate::clock::{self, Now, Wall};
use crate::config::{Command, Response};
use crate::contract::target;
use crate::journal::manager::{Dispatch, Op, Rank};
use crate::ledger::end::End;
use crate::model::position::Checkpoint;
use crate::model::{
    Action, ActionId, ActionState, AgentId, AgentRef, Keys, Location, Record, RuleRef, Target,
};
use crate::policy::{self, Verdict};
use crate::roster::Member;
use crate::source::{Line, Trouble};

use super::backlog::Parcel;
use super::delivery::{Outgoing, PATIENCE, rank};
use super::{Manager, Unwritten};

/// What has come in, for `status`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) alerts: u64,
    pub(super) matched: u64,
    pub(super) actions: u64,
    /// Lines that are no alert, by why.
    pub(super) not_alerts: BTreeMap<NotAnAlert, u64>,
    /// Runs of bytes that were passed over.
    pub(super) skipped: u64,
    /// Alerts that matched a `local` response but came from an agent that is
    /// not known here, or from none.
    pub(super) strangers: u64,
    /// Why `responses.json` cannot be written, while it cannot.
    pub(super) unwritable: Option<String>,
    pub(super) trouble: BTreeMap<String, Trouble>,
}

/// What lines or a person's wish lead to: journal operations, and lines of
/// `responses.json`.
#[derive(Default)]
pub(super) struct Plan {
    ops: Vec<Op>,
    pub(super) records: Vec<Record>,
}

/// Where an alert stands.
struct Place<'a> {
    source: &'a str,
    line: &'a Line,
}

/// What the actions of one alert have in common.
pub(super) struct Cause {
    pub(super) body: Arc<[u8]>,
    pub(super) rule: Option<Arc<RuleRef>>,
    /// The id of the alert.
    pub(super) alert: Option<Arc<str>>,
    pub(super) target: Option<Target>,
    /// What names the target, as far as that can be foreseen. The executable may
    /// name something else.
    pub(super) keys: Option<Keys>,
    /// Why it is too old to be acted upon.
    pub(super) stale: Option<String>,
    pub(super) now: Now,
    /// The number of the body in the journal, once it is to be there.
    pub(super) number: Option<i64>,
}

/// Journal operations of one part of a batch, beyond which the rest of it waits
/// for its turn: a line may lead to an action on each host of a fleet.
const PART: usize = 5_000;

/// Actions that are decided on in a row, before what they send gets its turn.
const IN_A_ROW: usize = 1_000;

/// Lines that were read, worked off in parts.
#[derive(Debug)]
pub(super) struct Batch {
    /// Of the source.
    index: usize,
    lines: vec::IntoIter<Line>,
    /// Where they end.
    checkpoint: Checkpoint,
}

impl Manager {
    /// Takes in lines that were read, or a part of them.
    pub(super) async fn lines(&mut self, index: usize, lines: Vec<Line>, checkpoint: Checkpoint) {
        self.batch = Some(Batch {
            index,
            lines: lines.into_iter(),
            checkpoint,
        });
        self.next_part().await;
    }

    /// Takes in more of the lines that were read. Their position is stored
    /// together with the last of their actions, or soon if there are none: what
    /// is read again after a crash leads to the same actions.
    pub(super) async fn next_part(&mut self) {
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        let mut plan = Plan::default();
        while plan.ops.len() < PART {
            let Some(line) = batch.lines.next() else {
                return self.end_batch(batch, plan).await;
            };
            self.line(batch.index, &line, &mut plan).await;
        }
        self.carry_out(plan).await;
        self.batch = Some(batch);
    }

    async fn end_batch(&mut self, batch: Batch, mut plan: Plan) {
        if plan.ops.is_empty() {
            self.note_position(batch.index, batch.checkpoint);
            return;
        }
        plan.ops
            .extend(self.position(batch.index, batch.checkpoint));
        self.carry_out(plan).await;
    }

    /// Writes a plan down; what could be sent at once is on its way already.
    pub(super) async fn carry_out(&mut self, plan: Plan) {
        let Plan { mut ops, records } = plan;
        // The operations come with the last line, all at once: a position must
        // not be stored without the actions of the lines before it.
        let mut agents = dispatched(&ops);
        let mut records = records.into_iter().peekable();
        while let Some(record) = records.next() {
            let is_last = records.peek().is_none();
            self.push(Unwritten {
                record: Some(Box::new(record)),
                ops: if is_last {
                    std::mem::take(&mut ops)
                } else {
                    Vec::new()
                },
                agents: if is_last {
                    std::mem::take(&mut agents)
                } else {
                    Vec::new()
                },
                ..Unwritten::default()
            });
        }
        // Ids are derived, so the host need not wait for our disk; the session
        // gets its turn before the log is written.
        tokio::task::yield_now().await;
        self.write_unwritten().await;
    }

    async fn line(&mut self, index: usize, line: &Line, plan: &mut Plan) {
        let Some(source) = self.sources.get(index) else {
            return;
        };
        let (name, format, max_age) = (source.name.clone(), source.format, source.max_age);
        let alert = match alert::parse(&line.bytes, format) {
            Ok(alert) => alert,
            Err(why) => {
                *self.counts.not_alerts.entry(why).or_default() += 1;
                if let Some(more) = self.limiter.pass(why.label(), clock::boot()) {
                    log::warn!(source = name.as_str(), offset = line.offset, why = why.label(), more_since = more; "a line is no alert");
                }
                return;
            }
        };
        self.counts.alerts += 1;
        let matched = self.settings.matcher.matches(&alert.rule);
        if matched.is_empty() {
            return;
        }
        self.counts.matched += 1;
        let now = clock::now();
        let mut cause = Cause {
            body: alert.body.into(),
            rule: Some(Arc::new(RuleRef {
                id: alert.rule.id.clone(),
                level: alert.rule.level,
                groups: alert.rule.groups.clone(),
            })),
            alert: alert.id.as_deref().map(Into::into),
            target: None,
            keys: None,
            stale: stale(&alert, max_age, now.wall),
            now,
            number: None,
        };
        let place = Place {
            source: &name,
            line,
        };
        let is_new = self.reach.is_new(line);
        for position in matched.iter() {
            let response = self.settings.responses[*position].clone();
            cause.target = acted_on(&response.command, alert.body);
            cause.keys = cause.target.as_ref().map(Target::keys);
            for (agent, location) in self.places(&response, &alert, &place) {
                let action = Action {
                    id: action_id(&place, &response.text, &agent.id),
                    timeout: response.timeout,
                    ..action(&response.command, agent, location, &cause)
                };
                if self.is_known(&action, is_new) {
                    continue;
                }
                self.counts.actions += 1;
                self.plan(action, &mut cause, plan);
                if plan.records.len().is_multiple_of(IN_A_ROW) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// On which agents a response runs. An agent that is not known here is
    /// counted and reported, not guessed.
    fn places(
        &mut self,
        response: &Response,
        alert: &Alert<'_>,
        place: &Place<'_>,
    ) -> Vec<(AgentRef, Location)> {
        let wants = &response.location;
        let origin = self.origin(alert);
        let known = origin.as_ref().ok();
        let at = |member: &Member| {
            let is_origin = known == Some(member.id());
            let location = wants.covers(member.id(), member.name(), member.groups(), is_origin)?;
            Some((agent_ref(member), location))
        };
        let places = if wants.all || !wants.agents.is_empty() {
            self.roster.enrolled().filter_map(at).collect()
        } else {
            // Most responses mean one host or two.
            let server = Some(&AgentId::MANAGER).filter(|_| known != Some(&AgentId::MANAGER));
            let ids = known.into_iter().chain(server);
            let members = ids.filter_map(|id| self.roster.agent(id));
            members.filter_map(at).collect()
        };
        if let (Err(stranger), true) = (origin, wants.local) {
            self.counts.strangers += 1;
            if let Some(more) = self.limiter.pass("stranger", clock::boot()) {
                log::warn!(source = place.source, offset = place.line.offset, origin = stranger.as_str(), command:% = response.command.name, more_since = more; "an alert asks for a local response on an agent that is not known here; nothing is done there (ripostctl agents lists those that are)");
            }
        }
        places
    }

    /// The agent an alert came from, or what it says instead.
    fn origin(&self, alert: &Alert<'_>) -> Result<AgentId, String> {
        match &alert.origin {
            Origin::Agent { id, .. } => match self.roster.agent(id) {
                Some(member) if member.is_enrolled() => Ok(id.clone()),
                Some(_) | None => Err(format!("agent {id}")),
            },
            Origin::Absent => Err("no agent".to_owned()),
            Origin::Unreadable => Err("an agent without a valid id".to_owned()),
        }
    }

    /// Whether an action was decided on before, as it is when lines are read a
    /// second time after a crash, or by two responses that are the same.
    fn is_known(&self, action: &Action, is_new: bool) -> bool {
        let agent = Some(&action.agent.id);
        self.fresh.owner(action.id) == agent || !is_new && self.owner(action.id).as_ref() == agent
    }

    /// Whose action this is, if it is known. Should the journal not answer, the
    /// agents still know what they have done.
    pub(super) fn owner(&self, id: ActionId) -> Option<AgentId> {
        if let Some(owner) = self.fresh.owner(id) {
            return Some(owner.clone());
        }
        self.reader.owner(id).unwrap_or_else(|error| {
            log::error!(error:% = error; "cannot look an action up");
            None
        })
    }

    /// Decides what becomes of an action, and sends it if its host can have it
    /// at once.
    pub(super) fn plan(&mut self, action: Action, cause: &mut Cause, plan: &mut Plan) {
        self.fresh.insert(action.id, action.agent.id.clone());
        let now = cause.now;
        let target = cause.target.as_ref();
        let verdict = policy::judge_manager(target, &self.settings.white_list)
            .and(|| policy::judge_isolation(target, &action.agent.id, action.location));
        let refusal = match (&cause.stale, verdict) {
            (Some(why), _) => Some((ActionState::Expired, why.clone())),
            (None, Verdict::Refuse(reason)) => Some((ActionState::Refused, reason.to_string())),
            (None, Verdict::Allow) => None,
        };
        let span = action.timeout.unwrap_or(PATIENCE);
        let dispatch = Arc::new(Dispatch {
            end: End::after(span, span, now, &self.boot_id),
            action,
        });
        let agent = dispatch.action.agent.id.clone();
        // What is known of a host that has not told yet may be out of date.
        let is_ready = self.delivery.is_ready(&agent);
        let refusal = refusal.or_else(|| {
            let gap = self.gap(&agent, &dispatch).filter(|_| is_ready);
            gap.map(|gap| (ActionState::Failed, gap))
        });
        if let Some((state, detail)) = refusal {
            let mut record = Record::new(&dispatch.action, state, now.wall);
            record.keys.clone_from(&cause.keys);
            record.detail = Some(detail);
            plan.ops.push(Op::Record {
                record: Box::new(record.clone()),
                heard: now.wall,
            });
            plan.records.push(record);
            return;
        }
        let state = if is_ready {
            ActionState::Sent
        } else {
            self.delivery.may_expire = true;
            ActionState::Queued
        };
        let mut record = Record::new(&dispatch.action, state, now.wall);
        record.keys.clone_from(&cause.keys);
        let outgoing = Outgoing {
            dispatch: &dispatch,
            alert: &cause.body,
            left: span,
        };
        self.last_dispatch += 1;
        let rank = match cause.rule {
            Some(_) => rank(dispatch.action.location),
            None => Rank::ByHand,
        };
        if !self.send_directly(&outgoing) {
            let parcel = Parcel {
                dispatch: Arc::clone(&dispatch),
                alert: Arc::clone(&cause.body),
            };
            let place = rank.place(self.last_dispatch);
            self.delivery.keep(&agent, place, parcel);
            self.delivery.is_hungry(&agent);
        }
        let alert = *cause.number.get_or_insert_with(|| {
            self.last_alert += 1;
            plan.ops.push(Op::Alert {
                number: self.last_alert,
                body: Arc::clone(&cause.body),
            });
            self.last_alert
        });
        plan.ops.push(Op::Dispatch {
            rank,
            number: self.last_dispatch,
            alert,
            record: Box::new(record.clone()),
            dispatch,
        });
        plan.records.push(record);
    }
}

/// The agents that operations send something to.
fn dispatched(ops: &[Op]) -> Vec<AgentId> {
    let agents = ops.iter().filter_map(|op| match op {
        Op::Dispatch { record, .. } => Some(record.agent.id.clone()),
        Op::Checkpoint { .. }
        | Op::Awaited { .. }
        | Op::Alert { .. }
        | Op::Record { .. }
        | Op::Retold(_)
        | Op::Taken { .. }
        | Op::Revert { .. }
        | Op::Heard { .. }
        | Op::Prune { .. } => None,
    });
    agents.collect()
}

pub(super) fn agent_ref(member: &Member) -> AgentRef {
    AgentRef {
        id: member.id().clone(),
        name: member.name().into(),
    }
}

/// An action of a command, without an id and without a timeout.
pub(super) fn action(
    command: &Command,
    agent: AgentRef,
    location: Location,
    cause: &Cause,
) -> Action {
    Action {
        id: ActionId::from_bytes([0; 16]),
        command: command.name.clone(),
        executable: command.executable.clone(),
        location,
        agent,
        rule: cause.rule.clone(),
        alert: cause.alert.clone(),
        timeout: None,
        extra_args: command.extra_args.clone(),
        contract: command.contract,
        revert: command.revert,
        execution_timeout: command.execution_timeout,
        handshake_timeout: command.handshake_timeout,
    }
}

/// What a command would act on for an alert, where it is the bundled executable
/// of its name; the host that has it looks again.
pub(super) fn acted_on(command: &Command, alert: &[u8]) -> Option<Target> {
    target::of(&command.executable, true, &command.extra_args, alert).ok()?
}

/// Why an alert is too old to be acted upon, if its source has a limit.
fn stale(alert: &Alert<'_>, max_age: Option<Duration>, now: Wall) -> Option<String> {
    let max_age = max_age?;
    let stamp = alert.timestamp.as_deref().and_then(Wall::of_alert)?;
    let age = stamp.until(now);
    (age > max_age).then(|| {
        format!(
            "the alert is {} s old, more than its source's max_age",
            age.as_secs()
        )
    })
}

/// The same line, response and agent always give the same id; see
/// [`ActionId`]. The parts are delimited by their lengths.
fn action_id(place: &Place<'_>, response: &str, agent: &AgentId) -> ActionId {
    let generation = place.line.generation.0.to_be_bytes();
    let offset = place.line.offset.to_be_bytes();
    let agent = agent.to_string();
    derived(&[
        place.source.as_bytes(),
        &generation,
        &offset,
        response.as_bytes(),
        agent.as_bytes(),
    ])
}

/// An id derived from these parts.
pub(super) fn derived(parts: &[&[u8]]) -> ActionId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    ActionId::from_bytes(id)
}
