//! Lines become alerts, alerts become actions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use tokio::sync::oneshot;

use crate::alert::{Alert, NotAnAlert, Origin};
use crate::clock::{self, Now, Wall};
use crate::config::{Command, Response};
use crate::contract::{target, words};
use crate::journal::manager::{Dispatch, Op, Rank};
use crate::ledger::end::End;
use crate::model::action::Contract;
use crate::model::bundled;
use crate::model::{
    Action, ActionId, ActionState, AgentId, AgentRef, FieldMap, Keys, Location, Record, RuleRef,
    Target,
};
use crate::policy::{self, Verdict};
use crate::roster::Member;
use crate::source::{Counted, Line, Receipt, Tally, Trouble};

use super::backlog::Parcel;
use super::delivery::{Outgoing, PATIENCE, rank};
use super::naming::{Place, by_bytes};
use super::{Manager, Unwritten};

/// What has come of what came in, for `status`; what has come in each source
/// counts for itself.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) actions: u64,
    /// Alerts that matched, but had come from another source before.
    pub(super) twins: u64,
    /// Connections that were closed at once: their peers may not send alerts.
    pub(super) refused_peers: u64,
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
    pub(super) records: Vec<Arc<Record>>,
}

/// An alert that has been read.
struct Seen<'a> {
    alert: Alert<'a>,
    /// Whether its line cannot have been read before.
    is_new: bool,
    max_age: Option<Duration>,
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
    receipt: Receipt,
}

impl Manager {
    /// Takes in lines that were read, or a part of them.
    pub(super) async fn lines(&mut self, index: usize, lines: Vec<Line>, receipt: Receipt) {
        self.count_lines(index, &lines, &receipt);
        self.batch = Some(Batch {
            index,
            lines: lines.into_iter(),
            receipt,
        });
        self.next_part().await;
    }

    /// Counts lines, unless a reader has done so, which also knows of those that
    /// it did not hand over.
    fn count_lines(&self, index: usize, lines: &[Line], receipt: &Receipt) {
        let Some(source) = self.sources.get(index) else {
            return;
        };
        match receipt {
            Receipt::Position(_) => {}
            Receipt::Answer(_) | Receipt::None => source.tally.count(|counted| {
                let bytes = |line: &Line| line.bytes.len() as u64 + 1;
                counted.bytes += lines.iter().map(bytes).sum::<u64>();
                counted.lines += lines.len() as u64;
                counted.last_line = Some(clock::wall());
            }),
        }
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
            self.line(&batch, &line, &mut plan).await;
        }
        self.carry_out(plan).await;
        self.batch = Some(batch);
    }

    async fn end_batch(&mut self, batch: Batch, mut plan: Plan) {
        match batch.receipt {
            Receipt::Position(checkpoint) if plan.ops.is_empty() => {
                self.note_position(batch.index, checkpoint);
            }
            Receipt::Position(checkpoint) => {
                plan.ops.extend(self.position(batch.index, checkpoint));
                self.carry_out(plan).await;
            }
            Receipt::Answer(stored) => {
                self.carry_out(plan).await;
                self.answer_in_turn(stored).await;
            }
            Receipt::None => self.carry_out(plan).await,
        }
    }

    /// Answers once all that was decided on before is on disk, which also is what
    /// was sent a second time.
    async fn answer_in_turn(&mut self, stored: oneshot::Sender<()>) {
        self.push(Unwritten {
            stored: Some(stored),
            ..Unwritten::default()
        });
        self.write_unwritten().await;
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
                record: Some(record),
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

    async fn line(&mut self, batch: &Batch, line: &Line, plan: &mut Plan) {
        let Some(source) = self.sources.get(batch.index) else {
            return;
        };
        let (name, shape, max_age) = (source.name.clone(), source.shape.clone(), source.max_age);
        let sensor = source.agent.clone();
        let tally = Arc::clone(&source.tally);
        let is_new = self.reach.is_new(line);
        let mut counted = Counted::default();
        for (ordinal, alert) in shape.read(&line.bytes).into_iter().enumerate() {
            let mut place = Place {
                source: &name,
                line,
                ordinal,
                bytes: None,
            };
            match alert {
                Ok(mut alert) => {
                    settle(&mut alert.origin, sensor.as_ref());
                    place.bytes = by_bytes(&alert, &batch.receipt);
                    let seen = Seen {
                        alert,
                        is_new: is_new && place.bytes.is_none(),
                        max_age,
                    };
                    counted.alerts += 1;
                    counted.matched += u64::from(self.alert(&seen, &place, plan).await);
                }
                Err(why) => {
                    *counted.not_alerts.entry(why).or_default() += 1;
                    self.not_an_alert(why, &place, &tally);
                }
            }
        }
        tally.take(&mut counted);
    }

    /// Of many lines, a reader hands over few; `status` has the numbers.
    fn not_an_alert(&mut self, why: NotAnAlert, place: &Place<'_>, tally: &Tally) {
        if why.is_expected() {
            return;
        }
        if self.limiter.pass(why.label(), clock::boot()).is_some() {
            let before = tally.now().not_alerts.get(&why).copied();
            log::warn!(source = place.source, offset = place.line.offset, why = why.label(), before = before.unwrap_or_default(); "a line is no alert");
        }
    }

    /// Whether an alert has a response; decides on its actions then.
    async fn alert(&mut self, seen: &Seen<'_>, place: &Place<'_>, plan: &mut Plan) -> bool {
        let alert = &seen.alert;
        let matched = self.settings.matcher.matches(&alert.rule);
        if matched.is_empty() {
            return false;
        }
        if alert.id.is_some() && self.twins.has_come(place.source, &alert.body) {
            self.counts.twins += 1;
            return true;
        }
        let now = clock::now();
        let mut cause = Cause {
            body: (*alert.body).into(),
            rule: Some(Arc::new(RuleRef {
                id: alert.rule.id.clone(),
                level: alert.rule.level,
                groups: alert.rule.groups.clone(),
            })),
            alert: alert.id.as_deref().map(Into::into),
            target: None,
            keys: None,
            stale: stale(alert, seen.max_age, now.wall),
            now,
            number: None,
        };
        for position in matched.iter() {
            let response = self.settings.responses[*position].clone();
            let fields = fields(&response, alert);
            cause.target = acted_on(&response.command, fields.as_deref(), &alert.body);
            cause.keys = cause.target.as_ref().map(Target::keys);
            for (agent, location) in self.places(&response, alert, place) {
                let action = Action {
                    id: place.action_id(&response.text, &agent.id),
                    timeout: within(response.timeout, alert.span),
                    repeated_offenders: response.repeated_offenders.clone(),
                    fields: fields.clone(),
                    ..action(&response.command, agent, location, &cause)
                };
                if self.is_known(&action, seen.is_new) {
                    continue;
                }
                self.counts.actions += 1;
                self.plan(action, &mut cause, plan);
                if plan.records.len().is_multiple_of(IN_A_ROW) {
                    tokio::task::yield_now().await;
                }
            }
        }
        true
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
        let known = |member: Option<&Member>| {
            let member = member.filter(|member| member.is_enrolled());
            member.map(|member| member.id().clone())
        };
        match &alert.origin {
            Origin::Agent { id, .. } => {
                known(self.roster.agent(id)).ok_or_else(|| format!("agent {id}"))
            }
            Origin::Named(name) => {
                known(self.roster.named(name)).ok_or_else(|| format!("agent {name}"))
            }
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
            let record = Arc::new(record);
            plan.ops.push(Op::Record {
                record: Arc::clone(&record),
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
        let record = Arc::new(record);
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
            record: Arc::clone(&record),
            dispatch,
        });
        plan.records.push(record);
    }
}

/// What names no agent is of the host that the sensor is on, if that is known.
fn settle(origin: &mut Origin, sensor: Option<&AgentId>) {
    if let (Origin::Absent, Some(id)) = (&origin, sensor) {
        *origin = Origin::Agent {
            id: id.clone(),
            name: None,
        };
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
        repeated_offenders: None,
        extra_args: command.extra_args.clone(),
        fields: None,
        contract: command.contract,
        revert: command.revert,
        execution_timeout: command.execution_timeout,
        handshake_timeout: command.handshake_timeout,
    }
}

/// Where an alert names what a response acts upon, as far as the response or the
/// format of the alert says; [`target::extra_args`] has all of the order.
pub(super) fn fields(response: &Response, alert: &Alert<'_>) -> Option<Arc<FieldMap>> {
    match (&response.field_map, &alert.fields) {
        (Some(ours), Some(theirs)) => Some(Arc::new(ours.over(theirs))),
        (Some(only), None) | (None, Some(only)) => Some(Arc::clone(only)),
        (None, None) => None,
    }
}

/// What a command would act on for an alert, where it is the bundled executable
/// of its name or of what stands in for that, or a script that is given words; the
/// host that has it looks again.
pub(super) fn acted_on(
    command: &Command,
    fields: Option<&FieldMap>,
    alert: &[u8],
) -> Option<Target> {
    let executable = &command.executable;
    match command.contract {
        Contract::Argv(wanted) if bundled::find(executable.as_str()).is_none() => {
            words::address(wanted, fields, alert)
        }
        Contract::Json | Contract::Argv(_) | Contract::V5 => {
            target::of(executable, true, (&command.extra_args, fields), alert).ok()?
        }
    }
}

/// For how long a response stays in force where the pipeline, too, has said a
/// time.
fn within(timeout: Option<Duration>, span: Option<Duration>) -> Option<Duration> {
    timeout.map(|timeout| span.map_or(timeout, |span| span.min(timeout)))
}

/// Why an alert is too old to be acted upon: the pipeline has said so, or its
/// source has a limit.
fn stale(alert: &Alert<'_>, max_age: Option<Duration>, now: Wall) -> Option<String> {
    if alert.span == Some(Duration::ZERO) {
        return Some("what the alert asks for was over when it was read".to_owned());
    }
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
