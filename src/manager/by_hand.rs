//! Commands that a person starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Boot};
use crate::config::Command;
use crate::contract::target;
use crate::model::bundled::Options;
use crate::model::{
    Action, ActionId, ActionState, AgentId, FieldPath, Keys, Location, Record, Selector, Target,
    bundled,
};
use crate::transport::random;
use crate::wire::control::{Answer, ErrorKind, Run};

use super::alerts::{Cause, Plan, acted_on, action, agent_ref};
use super::naming::derived;
use super::{Asker, Manager};

/// How long a person waits for the outcomes of what they have started.
const PATIENCE: Duration = Duration::from_secs(10);

/// People who wait for what they have started.
#[derive(Debug, Default)]
pub(super) struct Runs {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// What is not known to have an outcome, with its place among the records.
    open: HashMap<ActionId, usize>,
    records: Vec<Record>,
    deadline: Boot,
}

impl Runs {
    fn wait(&mut self, asker: Asker, records: Vec<Record>, deadline: Boot) {
        let places = records.iter().enumerate();
        let open = places.filter(|(_, record)| !has_outcome(record.state));
        self.waiting.push(Waiting {
            open: open.map(|(place, record)| (record.action, place)).collect(),
            asker,
            records,
            deadline,
        });
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An action has a new state.
    pub(super) fn heard(&mut self, record: &Record) {
        for waiting in &mut self.waiting {
            let Some(place) = waiting.open.get(&record.action).copied() else {
                continue;
            };
            if has_outcome(record.state) {
                waiting.open.remove(&record.action);
            }
            waiting.records[place] = record.clone();
        }
    }

    /// Answers those who have heard of everything, or whose time is up.
    pub(super) fn answer(&mut self, now: Boot) {
        let over = |waiting: &mut Waiting| waiting.open.is_empty() || waiting.deadline <= now;
        for waiting in self.waiting.extract_if(.., over) {
            let records = waiting.records;
            // An asker who has gone needs no answer.
            let _ = waiting.asker.send(Answer::Records { records });
        }
    }
}

/// Whether it has happened, or will not.
fn has_outcome(state: ActionState) -> bool {
    !matches!(
        state,
        ActionState::Queued | ActionState::Sent | ActionState::Running
    )
}

impl Manager {
    /// Starts a command on some agents, through the same guards as any.
    pub(super) async fn run_by_hand(&mut self, run: &Run, asker: Asker) {
        let planned = self.plan_by_hand(run);
        match planned {
            Ok(plan) => {
                let records: Vec<_> = plan
                    .records
                    .iter()
                    .map(|record| Record::clone(record))
                    .collect();
                log::info!(command:% = run.command, hosts = records.len(), target = run.target.as_deref().unwrap_or("-"); "a person starts a command");
                let deadline = clock::boot().plus(PATIENCE);
                self.runs.wait(asker, records, deadline);
                self.carry_out(plan).await;
                self.runs.answer(clock::boot());
            }
            Err(text) => {
                // An asker who has gone needs no answer.
                let _ = asker.send(Answer::error(ErrorKind::Invalid, text));
            }
        }
    }

    fn plan_by_hand(&mut self, run: &Run) -> Result<Plan, String> {
        let command = self.command(run)?;
        let aim = aim(&command, run.target.as_deref())?;
        let timeout = timeout(&command, run.timeout)?;
        let agents = self.meant(&run.agents)?;
        let location = match run.agents.iter().any(|text| text == "all") {
            true => Location::All,
            false => Location::DefinedAgent,
        };
        let now = clock::now();
        let nonce: [u8; 16] = random::bytes().map_err(|error| error.to_string())?;
        let mut cause = Cause {
            body: Arc::default(),
            rule: None,
            alert: None,
            target: None,
            keys: aim.keys.clone(),
            stale: None,
            now,
            number: None,
        };
        let mut plan = Plan::default();
        for id in agents {
            let Some(member) = self.roster.agent(&id) else {
                continue;
            };
            let agent = agent_ref(member);
            // Each host's alert names that host.
            cause.body = alert(&agent.id, &agent.name, run, &aim, now.wall);
            cause.number = None;
            cause.target = acted_on(&command, None, &cause.body);
            if let Some(target) = &cause.target {
                cause.keys = Some(target.keys());
            }
            let action = Action {
                id: derived(&[b"by hand", &nonce, id.to_string().as_bytes()]),
                timeout,
                ..action(&command, agent, location, &cause)
            };
            self.plan(action, &mut cause, &mut plan);
        }
        Ok(plan)
    }

    fn command(&self, run: &Run) -> Result<Arc<Command>, String> {
        let mut commands = self.settings.commands.iter();
        let found = commands.find(|command| command.name == run.command);
        found.cloned().ok_or_else(|| {
            let names = self.settings.commands.iter();
            let names: Vec<_> = names.map(|command| command.name.as_str()).collect();
            format!(
                "there is no <command> named {} in etc/manager.conf\n(there is: {})",
                run.command,
                names.join(", ")
            )
        })
    }

    /// The agents that a person means; each selector must mean one at least.
    fn meant(&self, texts: &[String]) -> Result<Vec<AgentId>, String> {
        if texts.iter().any(|text| text == "all") {
            let all = self.roster.enrolled().map(|member| member.id().clone());
            return Ok(all.collect());
        }
        let selectors: Result<Vec<_>, _> = texts.iter().map(|text| Selector::parse(text)).collect();
        let selectors = selectors.map_err(|error| error.to_string())?;
        if let Some(nobody) = self.roster.unknown(&selectors).first() {
            return Err(format!(
                "no agent is {nobody}\n(ripostctl agents lists them)"
            ));
        }
        match self.roster.select(&selectors) {
            agents if agents.is_empty() => {
                Err("no agent is named\n(write --agent 007, a name, group:NAME or all)".to_owned())
            }
            agents => Ok(agents),
        }
    }
}

/// What a person wants a command to act on.
struct Aim {
    /// Where its alert says so, as a path with dots, and what; `None` for what
    /// needs no telling.
    said: Option<(FieldPath, String)>,
    /// What names it. A text may be longer than keys can be.
    keys: Option<Keys>,
}

/// A bundled executable needs what its row says; a script is shown an address
/// where Wazuh's have it, and any other text in the place of a user.
fn aim(command: &Command, text: Option<&str>) -> Result<Aim, String> {
    let name = &command.executable;
    // A bundled name with options that are none of its own is a script of the
    // administrator's: the check has let it pass for that reason only.
    let row = bundled::find_or_stand_in(name.as_str());
    let row =
        row.and_then(|row| Some((row, Options::parse(row.options, &command.extra_args).ok()?)));
    let Some((row, options)) = row else {
        let Some(text) = text else {
            return Ok(Aim {
                said: None,
                keys: None,
            });
        };
        let (field, text) = match Target::parse_address(text) {
            Ok(address) => ("data.srcip", address.to_string()),
            Err(_) => ("data.dstuser", text.to_owned()),
        };
        return Ok(Aim {
            said: Some((FieldPath::known(field), text.clone())),
            keys: Keys::new(vec![text]).ok(),
        });
    };
    let (kind, places) = (row.target, row.target.places(&options));
    let acts_on = kind.label();
    match (places.paths().first(), text) {
        (Some(field), Some(text)) => {
            let target = target::read(kind, &options, text).map_err(|why| {
                let example = kind.example();
                format!("{name} acts on {acts_on}: {text:?} {why}\n(write --target {example})")
            })?;
            Ok(Aim {
                said: Some((field.clone(), target.to_string())),
                keys: Some(target.keys()),
            })
        }
        (Some(_), None) => {
            let example = kind.example();
            Err(format!(
                "{name} acts on {acts_on}: no target is given\n(write --target {example})"
            ))
        }
        (None, Some(_)) => Err(format!(
            "{name} acts on {acts_on}, whatever its target\n(leave --target away)"
        )),
        (None, None) => Ok(Aim {
            said: None,
            keys: None,
        }),
    }
}

fn timeout(command: &Command, seconds: Option<u64>) -> Result<Option<Duration>, String> {
    match seconds {
        Some(_) if !command.timeout_allowed => Err(format!(
            "the command {} is not taken back\n(leave --timeout away, or write <timeout_allowed>yes</timeout_allowed> into its <command>)",
            command.name
        )),
        Some(0) => Err(
            "a timeout of 0 s would end at once\n(leave --timeout away for one without end)"
                .to_owned(),
        ),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Ok(None),
    }
}

/// The alert that the executable is shown, in the shape of Wazuh's.
fn alert(agent: &AgentId, name: &str, run: &Run, aim: &Aim, now: crate::clock::Wall) -> Arc<[u8]> {
    let mut alert = serde_json::json!({
        "timestamp": now.to_string(),
        "rule": {"level": 0, "description": "started by hand", "id": "0", "groups": ["ripost"]},
        "agent": {"id": agent.to_string(), "name": name},
        "manager": {"name": ""},
        "id": format!("by-hand-{}", now.millis()),
        "decoder": {"name": "ripost"},
        "data": {},
        "location": format!("ripostctl run {}", run.command),
    });
    if let Some((field, text)) = &aim.said {
        put(&mut alert, field, text);
    }
    alert.to_string().into_bytes().into()
}

/// Puts a text where a path says.
fn put(alert: &mut serde_json::Value, field: &FieldPath, text: &str) {
    let mut place = alert;
    for name in field.names() {
        if !place.is_object() {
            *place = serde_json::json!({});
        }
        let mut known = place
            .as_object()
            .into_iter()
            .flat_map(|members| members.keys());
        // Names have no case, and the first of several counts.
        let known = known
            .find(|known| known.eq_ignore_ascii_case(&name))
            .cloned();
        place = &mut place[known.as_deref().unwrap_or(&name)];
    }
    *place = text.into();
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::Runs;
    use crate::clock::{Boot, Wall};
    use crate::model::action::sample;
    use crate::model::{ActionState, Record};
    use crate::wire::control::Answer;

    fn record(number: u8, state: ActionState) -> Record {
        let action = sample::action(number, "firewall-drop", None);
        Record::new(&action, state, Wall::from_millis(0))
    }

    #[test]
    fn a_person_hears_when_every_host_has_an_outcome() {
        let mut runs = Runs::default();
        let (asker, mut answer) = oneshot::channel();
        let records = vec![
            record(1, ActionState::Sent),
            record(2, ActionState::Refused),
        ];
        runs.wait(asker, records, Boot::from_millis(10_000));
        runs.heard(&record(1, ActionState::Running));
        runs.answer(Boot::from_millis(5));
        assert!(answer.try_recv().is_err());
        runs.heard(&record(1, ActionState::Applied));
        runs.answer(Boot::from_millis(5));
        let Ok(Answer::Records { records }) = answer.try_recv() else {
            panic!("no answer");
        };
        let states: Vec<_> = records.iter().map(|record| record.state).collect();
        assert_eq!(states, [ActionState::Applied, ActionState::Refused]);
        assert!(!runs.is_waiting());
    }

    #[test]
    fn a_host_that_is_away_does_not_keep_a_person_waiting_for_ever() {
        let mut runs = Runs::default();
        let (asker, mut answer) = oneshot::channel();
        let records = vec![record(1, ActionState::Queued)];
        runs.wait(asker, records, Boot::from_millis(10_000));
        runs.answer(Boot::from_millis(9_999));
        assert!(answer.try_recv().is_err());
        runs.answer(Boot::from_millis(10_000));
        let Ok(Answer::Records { records }) = answer.try_recv() else {
            panic!("no answer");
        };
        assert_eq!(records[0].state, ActionState::Queued);
    }
}
