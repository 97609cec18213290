//! Lines become alerts, alerts become actions.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::alert::{self, Alert, NotAnAlert, Origin};
use crate::clock::{self, Now, Wall};
use crate::config::Response;
use crate::contract::target;
use crate::journal::manager::{Dispatch, Op};
use crate::ledger::end::End;
use crate::model::position::Checkpoint;
use crate::model::{Action, ActionId, ActionState, AgentId, AgentRef, Location, Record, RuleRef};
use crate::policy::{self, Verdict};
use crate::source::{Line, Trouble};

use super::{Live, Manager, Unwritten};

/// How long a stateless action waits for a host that is offline.
pub(super) const PATIENCE: Duration = policy::PATIENCE;

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

/// What lines lead to: journal operations, and lines of `responses.json`.
#[derive(Default)]
struct Plan {
    ops: Vec<Op>,
    records: Vec<Record>,
}

/// Where an alert stands.
struct Place<'a> {
    source: &'a str,
    line: &'a Line,
}

impl Manager {
    /// Takes in lines that were read. Their position is stored together with
    /// their actions, or soon if there are none.
    pub(super) async fn lines(&mut self, index: usize, lines: &[Line], checkpoint: Checkpoint) {
        let mut plan = Plan::default();
        for line in lines {
            self.line(index, line, &mut plan);
        }
        let Plan { mut ops, records } = plan;
        if ops.is_empty() {
            self.note_position(index, checkpoint);
            return;
        }
        ops.extend(self.position(index, checkpoint));
        // The operations come with the last line, all at once: a position must
        // not be stored without the actions of the lines before it.
        let mut records = records.into_iter().peekable();
        while let Some(record) = records.next() {
            let is_last = records.peek().is_none();
            self.unwritten.push_back(Unwritten {
                record: Some(Box::new(record)),
                ops: if is_last {
                    std::mem::take(&mut ops)
                } else {
                    Vec::new()
                },
                ..Unwritten::default()
            });
        }
        // Ids are derived, so the host need not wait for our disk; the session
        // gets its turn before the log is written.
        self.deliver().await;
        tokio::task::yield_now().await;
        self.write_unwritten().await;
    }

    fn line(&mut self, index: usize, line: &Line, plan: &mut Plan) {
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
        let place = Place {
            source: &name,
            line,
        };
        for position in matched.iter() {
            let response = self.settings.responses[*position].clone();
            let Some(location) = self.location(&response, &alert, &place) else {
                continue;
            };
            let action = self.action(&response, location, &alert, &place);
            if self.is_known(action.id) {
                continue;
            }
            self.counts.actions += 1;
            let stale = stale(&alert, max_age, now.wall);
            self.plan(action, &alert, stale, now, plan);
        }
    }

    /// Which of the response's locations is this host, if any. An agent that is
    /// not known here is counted and reported, not guessed.
    fn location(
        &mut self,
        response: &Response,
        alert: &Alert<'_>,
        place: &Place<'_>,
    ) -> Option<Location> {
        let wants = &response.location;
        let stranger = match &alert.origin {
            Origin::Agent { id, .. } if *id == AgentId::MANAGER => {
                if wants.local {
                    return Some(Location::Local);
                }
                None
            }
            Origin::Agent { id, .. } => Some(format!("agent {id}")),
            Origin::Absent => Some("no agent".to_owned()),
            Origin::Unreadable => Some("an agent without a valid id".to_owned()),
        };
        if wants.server {
            return Some(Location::Server);
        }
        let stranger = stranger?;
        self.counts.strangers += 1;
        if let Some(more) = self.limiter.pass("stranger", clock::boot()) {
            log::warn!(source = place.source, offset = place.line.offset, origin = stranger.as_str(), command:% = response.command.name, more_since = more; "an alert asks for a local response on an agent that is not known here; nothing is done (this version acts for agent 000 alone)");
        }
        None
    }

    fn action(
        &self,
        response: &Response,
        location: Location,
        alert: &Alert<'_>,
        place: &Place<'_>,
    ) -> Action {
        let command = &response.command;
        let agent = AgentRef {
            id: AgentId::MANAGER,
            name: self.host.clone(),
        };
        Action {
            id: action_id(place, &response.text, &agent.id),
            command: command.name.clone(),
            executable: command.executable.clone(),
            location,
            agent,
            rule: Some(RuleRef {
                id: alert.rule.id.clone(),
                level: alert.rule.level,
                groups: alert.rule.groups.clone(),
            }),
            alert: alert.id.clone(),
            timeout: response.timeout,
            extra_args: command.extra_args.clone(),
            contract: command.contract,
            revert: command.revert,
            execution_timeout: command.execution_timeout,
            handshake_timeout: command.handshake_timeout,
        }
    }

    /// Whether an action was decided on before, as it is when lines are read a
    /// second time after a crash. Should the journal not answer, the agent
    /// still knows what it has done.
    fn is_known(&self, id: ActionId) -> bool {
        self.live.contains_key(&id)
            || self.reader.knows(id).unwrap_or_else(|error| {
                log::error!(error:% = error; "cannot look an action up");
                false
            })
    }

    fn plan(
        &mut self,
        action: Action,
        alert: &Alert<'_>,
        stale: Option<String>,
        now: Now,
        plan: &mut Plan,
    ) {
        let target = target::address(alert.body).ok();
        let verdict = policy::judge_manager(target.as_ref(), &self.settings.white_list);
        let refusal = match (stale, verdict) {
            (Some(why), _) => Some((ActionState::Expired, why)),
            (None, Verdict::Refuse(reason)) => Some((ActionState::Refused, reason.to_string())),
            (None, Verdict::Allow) => None,
        };
        if let Some((state, detail)) = refusal {
            let mut record = Record::new(&action, state, now.wall);
            record.keys = target.map(|target| target.keys());
            record.detail = Some(detail);
            plan.ops.push(Op::Record(Box::new(record.clone())));
            plan.records.push(record);
            return;
        }
        let state = if self.agent.is_connected() {
            ActionState::Sent
        } else {
            ActionState::Queued
        };
        let span = action.timeout.unwrap_or(PATIENCE);
        let record = Record::new(&action, state, now.wall);
        let dispatch = Box::new(Dispatch {
            end: End::after(span, span, now, &self.boot_id),
            action,
        });
        plan.ops.push(Op::Dispatch {
            dispatch: dispatch.clone(),
            body: alert.body.to_vec(),
            record: Box::new(record.clone()),
        });
        self.agent.queue(record.action);
        self.live.insert(
            record.action,
            Live {
                record: record.clone(),
                dispatch: Some(dispatch),
                alert: Some(alert.body.into()),
            },
        );
        plan.records.push(record);
    }
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
    let mut hash = Sha256::new();
    let generation = place.line.generation.0.to_be_bytes();
    let offset = place.line.offset.to_be_bytes();
    let agent = agent.to_string();
    for part in [
        place.source.as_bytes(),
        &generation,
        &offset,
        response.as_bytes(),
        agent.as_bytes(),
    ] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    ActionId::from_bytes(id)
}
