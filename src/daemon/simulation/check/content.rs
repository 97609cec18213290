//! What the lines of `responses.json` say beyond the state.

use super::super::history::Took;
use super::super::kernel::{FILE, FIREWALL};
use super::super::plan;
use super::view::{Run, View, deed_of};
use super::when::{self, HESITATION, ROUNDING};
use crate::clock::Wall;
use crate::model::{ActionState, Record};

/// How long after its run something may be called in force, in milliseconds.
const NOTICE: u64 = 1_000;

/// Whether a line is what its alert and its runs have led to.
pub(super) fn is_right(view: &View<'_>, record: &Record, problems: &mut Vec<String>) {
    let deed = deed_of(record);
    let state = record.state;
    let mut wrong = |why: &str| problems.push(format!("{deed:?}: {state} {why}: {record:?}"));
    let alert = &view.alerts[&deed.alert];
    let rule = plan::rule(alert.rule);
    let id = record.rule.as_ref().map(|rule| rule.id.to_string());
    if id != Some(alert.rule.to_string())
        || record.executable.as_str() != rule.exe
        || record.timeout != rule.timeout
    {
        wrong("is not of its rule");
    }
    let is_bundled = [FIREWALL, FILE].contains(&rule.exe);
    let is_ours = record
        .detail
        .as_deref()
        .is_none_or(|why| why.starts_with(THROUGH));
    let in_force = match state {
        ActionState::Applied => true,
        // Otherwise its run was interrupted, and it tells no more than that.
        ActionState::Already => is_ours,
        ActionState::Queued
        | ActionState::Sent
        | ActionState::Running
        | ActionState::Done
        | ActionState::Reverting
        | ActionState::Reverted
        | ActionState::Failed
        | ActionState::Refused
        | ActionState::Expired
        | ActionState::Suppressed => false,
    };
    if record.verified != (in_force && is_bundled).then_some(true) {
        wrong("has another verified");
    }
    let keys = record.keys.as_ref().map(ToString::to_string);
    let has_keys = in_force || state == ActionState::Reverted;
    if keys.as_ref().is_some_and(|keys| *keys != alert.address) || has_keys && keys.is_none() {
        wrong("has other keys");
    }
    if record.until.is_some() != (in_force && rule.timeout.is_some()) {
        wrong("has another until");
    }
    // What was interrupted and is over at the next start never was applied.
    let was = in_force || view.states(deed).contains(&ActionState::Applied);
    if has_keys && was && record.since.is_none() {
        wrong("has no since");
    }
    let unexplained = matches!(
        state,
        ActionState::Failed | ActionState::Refused | ActionState::Expired | ActionState::Suppressed
    );
    if unexplained && record.detail.is_none() {
        wrong("does not say why");
    }
    if state == ActionState::Already && is_ours && !names_another(view, record) {
        wrong("names no action that has it in force");
    }
    if in_force {
        times(view, record, &mut wrong);
    }
}

const THROUGH: &str = "in force through action ";

/// Whether a repeat names another action for the same target on the same host.
fn names_another(view: &View<'_>, record: &Record) -> bool {
    let detail = record.detail.as_deref().unwrap_or_default();
    let Some(id) = detail.strip_prefix(THROUGH) else {
        return false;
    };
    view.records.iter().any(|other| {
        other.action.to_string() == id
            && other.action != record.action
            && other.agent.id == record.agent.id
            && other.executable == record.executable
            && other.state == ActionState::Applied
            && other.keys == record.keys
    })
}

/// Since when and until when something is in force.
fn times(view: &View<'_>, record: &Record, wrong: &mut impl FnMut(&str)) {
    let deed = deed_of(record);
    let Some(offset) = view.offset(deed.agent) else {
        return;
    };
    let told = |wall: Wall| u64::try_from(wall.millis() - offset).unwrap_or(0);
    let address = view.alerts[&deed.alert].address.clone();
    let place = (deed.agent, record.executable.to_string(), address);
    let places = view.places();
    let runs = places.get(&place).map_or(&[][..], |runs| &runs[..]);
    if let Some(since) = record.since.map(told) {
        let is_it = |run: &Run| {
            let end = run.ended.saturating_add(NOTICE);
            run.took == Some(Took::Whole) && (run.ended..=end).contains(&since)
        };
        if !View::adds(runs).any(is_it) {
            wrong("has another since");
        }
    }
    let whole = view.timeout(deed.alert).unwrap_or(0);
    let first = view.alerts[&deed.alert].read[0];
    if let Some(until) = record.until.map(told)
        && !view.is_lost(0, first, view.end)
    {
        let own = |run: &Run| view.timeout(run.doing.alert).unwrap_or(0);
        let latest = View::adds(runs).map(|run| when::latest(view, run, own(run)));
        let latest = latest.max().unwrap_or(0);
        if until + ROUNDING < first + whole || until > latest + HESITATION {
            wrong(&format!(
                "until {until}, not between {} and {latest}",
                first + whole
            ));
        }
    }
}
