//! What `responses.json` says of each action.

use std::collections::BTreeMap;

use super::super::history::{Took, What};
use super::super::kernel::{LOCK, NOTE};
use super::super::plan;
use super::asked::WHOLE;
use super::view::{Deed, Run, View, deed_of};
use super::when::UNSAID;
use crate::model::{ActionState, Mode};

/// The last line tells what has become of it, and none is missing.
pub(super) fn is_told(view: &View<'_>, deed: Deed, problems: &mut Vec<String>) {
    let states = view.states(deed);
    let runs: Vec<_> = view.runs_of(deed).collect();
    let Some(last) = states.last() else {
        return;
    };
    if let Err(why) = fits(view, deed, *last, &runs) {
        problems.push(format!("{deed:?}: {states:?}, but {why}"));
    }
    if !matches!(
        states[0],
        ActionState::Queued | ActionState::Sent | ActionState::Refused
    ) {
        problems.push(format!("{deed:?}: {states:?} has no beginning"));
    }
    for wanted in must_be_told(view, deed, *last, &runs) {
        if !states.contains(&wanted) {
            problems.push(format!("{deed:?}: {states:?} lacks {wanted}"));
        }
    }
    not_after_its_end(view, deed, &runs, problems);
}

/// Whether the last state is what the runs have led to.
fn fits(view: &View<'_>, deed: Deed, last: ActionState, runs: &[&Run]) -> Result<(), String> {
    let rule = plan::rule(view.alerts[&deed.alert].rule);
    let count = |mode: Mode, took: Took| {
        let is = |run: &&&Run| run.doing.mode == mode && run.took == Some(took);
        runs.iter().filter(is).count()
    };
    let added = count(Mode::Add, Took::Whole);
    let deleted = count(Mode::Delete, Took::Whole) > 0;
    let aborted = count(Mode::Add, Took::Aborted) > 0;
    let broke = runs
        .iter()
        .any(|run| !matches!(run.took, Some(Took::Whole | Took::Aborted)));
    let shaken = broke || view.goes_down(deed.agent, 0, view.end);
    let is_note = rule.exe == NOTE;
    let is_script = is_note || rule.exe == LOCK;
    if is_spared(view, deed) && !runs.is_empty() {
        return Err(format!("it is in a white list and was run: {runs:?}"));
    }
    let ok = match last {
        ActionState::Queued | ActionState::Sent | ActionState::Running | ActionState::Reverting => {
            false
        }
        ActionState::Applied => rule.timeout.is_none() && !is_note && added > 0,
        ActionState::Already => !is_note && (added > 0 || aborted || shaken),
        ActionState::Done => is_note && added == 1,
        ActionState::Reverted => !is_note && deleted,
        // Also a script that was cut off just before it began: nobody knows.
        ActionState::Failed => shaken && (!runs.is_empty() || is_script),
        ActionState::Refused => runs.is_empty() && is_spared(view, deed),
        ActionState::Expired => runs.is_empty() && !had_time(view, deed),
        ActionState::Suppressed => runs.is_empty() && view.is_asked(deed, view.end),
    };
    if ok {
        return Ok(());
    }
    Err(format!("its runs were {runs:?}"))
}

/// Whether its agent had it for long enough before its end.
fn had_time(view: &View<'_>, deed: Deed) -> bool {
    let about = &view.alerts[&deed.alert];
    let first = about.read[0];
    let lost = [0, deed.agent].map(|host| view.is_lost(host, first, view.end));
    let Some(whole) = view.timeout(deed.alert).filter(|_| lost == [false; 2]) else {
        return false;
    };
    let mut arrived = about.arrived.iter().filter(|at| at.agent == deed.agent);
    arrived.any(|arrival| {
        let by = arrival.at + WHOLE;
        by < first + whole && !view.goes_down(deed.agent, arrival.at, by)
    })
}

/// Whether a white list, of the manager or of the agent, has its target.
fn is_spared(view: &View<'_>, deed: Deed) -> bool {
    plan::SPARED.contains(&view.alerts[&deed.alert].address.as_str())
}

/// The states that nobody can have missed: nothing broke while they came about.
fn must_be_told(view: &View<'_>, deed: Deed, last: ActionState, runs: &[&Run]) -> Vec<ActionState> {
    let mut wanted = Vec::new();
    let whole = runs.iter().filter(|run| run.took == Some(Took::Whole));
    for run in whole {
        if view.goes_down(deed.agent, run.began, run.ended + UNSAID) {
            continue;
        }
        wanted.push(ActionState::Running);
        match (last, run.doing.mode) {
            (ActionState::Reverted, Mode::Add) => wanted.push(ActionState::Applied),
            (ActionState::Reverted, Mode::Delete) => wanted.push(ActionState::Reverting),
            _ => {}
        }
    }
    wanted
}

/// Once it is told that an action is over, it does not begin again.
fn not_after_its_end(view: &View<'_>, deed: Deed, runs: &[&Run], problems: &mut Vec<String>) {
    let over = view.events.iter().find(|event| {
        matches!(event.what, What::Seen { alert, agent, state, .. }
            if alert == deed.alert && agent == deed.agent && state.is_final())
    });
    let Some(over) = over.map(|event| event.at) else {
        return;
    };
    let late = |run: &&&Run| run.doing.mode == Mode::Add && run.began > over;
    if let Some(run) = runs.iter().find(late) {
        problems.push(format!(
            "{deed:?}: begun at {} though it was over by {over}",
            run.began
        ));
    }
}

/// A line comes twice only where something was killed. One that is prolonged,
/// or whose revert has to be tried again, says so each time.
pub(super) fn nothing_is_told_twice(view: &View<'_>, problems: &mut Vec<String>) {
    let calm = (0..=plan::AGENTS).all(|host| !view.goes_down(host, 0, view.end));
    if !calm {
        return;
    }
    let mut told: BTreeMap<(Deed, &str), usize> = BTreeMap::new();
    for record in view.records {
        let often = matches!(record.state, ActionState::Applied | ActionState::Reverting);
        if !often {
            *told
                .entry((deed_of(record), record.state.as_str()))
                .or_default() += 1;
        }
    }
    let twice = told.into_iter().filter(|(_, count)| *count > 1);
    problems.extend(twice.map(|((deed, state), count)| format!("{deed:?}: {state} {count} times")));
}
