//! What is left at the end, when all was whole for a long time.

use super::super::hosts::AgentHost;
use super::super::kernel::LOCK;
use super::super::plan;
use super::Outcome;
use super::view::{View, deed_of};
use crate::journal::agent::AgentReader;
use crate::journal::manager::ManagerReader;
use crate::ledger::agent::Step;
use crate::model::{ActionState, AgentId};

/// Nothing waits, and only what has no end is in force.
pub(super) fn nothing_is_left(view: &View<'_>, outcome: &Outcome<'_>, problems: &mut Vec<String>) {
    let path = outcome.manager.home.join("queue/manager.db");
    let reader = ManagerReader::open(&path).unwrap();
    for number in 0..=plan::AGENTS {
        let agent = AgentId::from_number(number).unwrap();
        for waiting in reader.waiting(&agent, 99).unwrap() {
            let (deed, state) = (deed_of(&waiting.record), waiting.record.state);
            problems.push(format!("{deed:?}: still waits, as {state}"));
        }
        for id in reader.to_revert(&agent, 99).unwrap() {
            problems.push(format!("{id} is still to be taken back"));
        }
    }
    for record in reader.live().unwrap() {
        let deed = deed_of(&record);
        let endless = view.alerts[&deed.alert].rule == 6;
        if !endless || record.state != ActionState::Applied {
            problems.push(format!("{deed:?}: is {} for ever", record.state));
        }
        if view.states(deed).last() != Some(&record.state) {
            problems.push(format!("{deed:?}: {} was not told", record.state));
        }
    }
    for agent in outcome.agents {
        nothing_is_left_there(view, agent, problems);
    }
}

fn nothing_is_left_there(view: &View<'_>, agent: &AgentHost, problems: &mut Vec<String>) {
    let number = agent.number;
    let reader = AgentReader::open(&agent.home.join("queue/agentd.db")).unwrap();
    let loaded = reader.load().unwrap();
    for (seq, told) in &loaded.updates {
        let deed = deed_of(&told.record);
        problems.push(format!("{deed:?}: update {seq} is not confirmed"));
    }
    let mut wanted = Vec::new();
    for entry in &loaded.live {
        let keys = entry.keys.clone().map(|keys| keys.to_string());
        let (exe, step) = (entry.action.executable.to_string(), entry.step);
        if step != Step::InForce || entry.action.timeout.is_some() {
            let alert = &entry.action.alert;
            problems.push(format!(
                "alert {alert:?} on agent {number}: left as {step:?}"
            ));
        }
        wanted.push((exe, keys.unwrap_or_default()));
    }
    wanted.sort();
    let mut found = agent.kernel.in_force();
    // The delete of a script runs once, whatever becomes of it.
    found.retain(|(exe, address)| exe != LOCK || !view.has_failed_delete(number, address));
    if found != wanted {
        problems.push(format!(
            "agent {number}: {found:?} is in force instead of {wanted:?}"
        ));
    }
}
