//! Commands that a person starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Boot};
use crate::config::Command;
use crate::model::bundled::TargetKind;
use crate::model::{
    Action, ActionId, ActionState, AgentId, Keys, Location, Record, Selector, Target, bundled,
};
use crate::transport::random;
use crate::wire::control::{Answer, ErrorKind, Run};

use super::alerts::{Cause, Plan, acted_on, action, agent_ref, derived};
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
                let records = plan.records.clone();
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
        let target = target(&command, run.target.as_deref())?;
        let timeout = timeout(&command, run.timeout)?;
        let agents = self.meant(&run.agents)?;
        let now = clock::now();
        let nonce: [u8; 16] = random::bytes().map_err(|error| error.to_string())?;
        let mut cause = Cause {
            body: Arc::default(),
            rule: None,
            alert: None,
            target: None,
            keys: keys(&target),
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
            cause.body = alert(&agent.id, &agent.name, run, &target, now.wall);
            cause.number = None;
            cause.target = acted_on(&command, &cause.body);
            let action = Action {
                id: derived(&[b"by hand", &nonce, id.to_string().as_bytes()]),
                timeout,
                ..action(&command, agent, Location::DefinedAgent, &cause)
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

/// What a command is to act on: an address or a network, or another text. A
/// bundled executable needs what its row says.
fn target(command: &Command, text: Option<&str>) -> Result<Result<Target, Option<String>>, String> {
    let row = bundled::find(command.executable.as_str());
    let kind = row.map(|row| row.target);
    let parse = match kind {
        Some(TargetKind::Network) => Target::parse_network,
        Some(TargetKind::Address) | None => Target::parse_address,
    };
    let parsed = text.map(|text| (text, parse(text)));
    match (kind, parsed) {
        (_, Some((_, Ok(target)))) => Ok(Ok(target)),
        (None, Some((text, Err(_)))) => Ok(Err(Some(text.to_owned()))),
        (None, None) => Ok(Err(None)),
        (Some(kind), parsed) => {
            let found = match parsed {
                Some((text, Err(why))) => format!("{text:?} {why}"),
                _ => "no target is given".to_owned(),
            };
            let acts_on = kind.label();
            let name = &command.executable;
            Err(format!(
                "{name} acts on {acts_on}: {found}\n(write --target 203.0.113.9)"
            ))
        }
    }
}

/// What names the target. A text may be longer than keys can be.
fn keys(target: &Result<Target, Option<String>>) -> Option<Keys> {
    match target {
        Ok(target) => Some(target.keys()),
        Err(text) => Keys::new(vec![text.clone()?]).ok(),
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
fn alert(
    agent: &AgentId,
    name: &str,
    run: &Run,
    target: &Result<Target, Option<String>>,
    now: crate::clock::Wall,
) -> Arc<[u8]> {
    let data = match target {
        Ok(address) => serde_json::json!({ "srcip": address.to_string() }),
        // Wazuh's own disable-account reads the user there.
        Err(Some(text)) => serde_json::json!({ "dstuser": text }),
        Err(None) => serde_json::json!({}),
    };
    let alert = serde_json::json!({
        "timestamp": now.to_string(),
        "rule": {"level": 0, "description": "started by hand", "id": "0", "groups": ["ripost"]},
        "agent": {"id": agent.to_string(), "name": name},
        "manager": {"name": ""},
        "id": format!("by-hand-{}", now.millis()),
        "decoder": {"name": "ripost"},
        "data": data,
        "location": format!("ripostctl run {}", run.command),
    });
    alert.to_string().into_bytes().into()
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
