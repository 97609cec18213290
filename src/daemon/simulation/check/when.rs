//! Beginnings and ends.

use super::super::history::Took;
use super::super::kernel::{FIREWALL, NOTE};
use super::view::{Deed, Run, View};
use crate::model::Mode;

/// How long an action without timeout waits for its host, in milliseconds.
const PATIENCE: u64 = 3_600_000;

/// What may lie between a decision and the first deed: a disk that stalls, and
/// rounding. In milliseconds.
pub(super) const HESITATION: u64 = 1_500;

/// A revert is begun within a second of its end; a run for the same target that
/// is under way, and a disk that stalls, may hold it up. In milliseconds.
const REVERT: u64 = 1_000 + 1_200;

/// Clocks count whole milliseconds.
pub(super) const ROUNDING: u64 = 5;

/// How long something may stay unsaid that has happened, in milliseconds.
pub(super) const UNSAID: u64 = 5_000;

/// The latest moment at which what an alert leads to may be over, as the agent
/// can know at this time: counted from the last time its line was read, and
/// later by what the greeting of its session had taken. The way of the action
/// itself counts as time that has passed.
pub(super) fn latest(view: &View<'_>, run: &Run, whole: u64) -> u64 {
    let deed = Deed {
        alert: run.doing.alert,
        agent: run.doing.agent,
    };
    let read = &view.alerts[&run.doing.alert].read;
    let first = read[0];
    let last = read.iter().copied().filter(|at| *at <= run.began).max();
    let mut from = last.unwrap_or(first);
    for host in [0, run.doing.agent] {
        if view.is_lost(host, first, run.began) {
            // No more than the whole time, counted from the start.
            let lives = view.lives.iter().filter(|life| life.host == host);
            let started = lives.map(|life| life.from).filter(|at| *at <= run.began);
            from = from.max(started.max().unwrap_or(0));
        }
    }
    from + whole + view.greeting(deed, run.began)
}

/// Nothing begins that is pointless by then.
pub(super) fn begins_in_time(view: &View<'_>, deed: Deed, problems: &mut Vec<String>) {
    let mut adds = view.runs_of(deed).filter(|run| run.doing.mode == Mode::Add);
    let Some(first) = adds.next() else {
        return;
    };
    let whole = view.timeout(deed.alert).unwrap_or(PATIENCE);
    let limit = latest(view, first, whole) + HESITATION;
    if first.began > limit {
        problems.push(format!(
            "{deed:?}: begun at {}, which was pointless after {limit}",
            first.began
        ));
    }
}

/// What is in force for a target ends when the last action that wants it does:
/// not earlier, and within a second if the host is up.
pub(super) fn ends_in_time(
    view: &View<'_>,
    place: &(u32, String, String),
    runs: &[&Run],
    problems: &mut Vec<String>,
) {
    let (agent, exe, _) = place;
    if exe == NOTE {
        return;
    }
    for delete in runs.iter().filter(|run| run.doing.mode == Mode::Delete) {
        not_early(view, *agent, delete.began, runs, problems);
    }
    for forgotten in view.forgotten_at(place) {
        not_early(view, *agent, forgotten.at, runs, problems);
    }
    let timed = |run: &&Run| view.timeout(run.doing.alert).is_some();
    if !runs.iter().all(timed) {
        return;
    }
    let whole = |run: &Run| view.timeout(run.doing.alert).unwrap_or(0);
    let may_work = |run: &&Run| matches!(run.took, Some(Took::Whole | Took::Broke | Took::CutOff));
    for add in View::adds(runs).filter(may_work) {
        let mut end = match is_undone(view, add, runs) {
            true => add.ended,
            false => latest(view, add, whole(add)).max(add.ended),
        };
        let first = view.alerts[&add.doing.alert].read[0];
        if view.is_lost(*agent, first, view.end) {
            // Counted anew from each start, with the time of a repeat if there was one.
            let lives = view.lives.iter().filter(|life| life.host == *agent);
            let started = lives.map(|life| life.from).max().unwrap_or(0);
            let longest = View::adds(runs).map(whole).max().unwrap_or(0);
            end = end.max(started + longest);
        }
        for other in View::adds(runs) {
            if other.began <= end + REVERT {
                end = end.max(latest(view, other, whole(other)).max(other.ended.min(view.end)));
            }
        }
        let limit = view.after_uptime(*agent, end, REVERT);
        let gone = exe == FIREWALL && view.loses_power(*agent, add.ended, limit);
        let deleted = runs
            .iter()
            .any(|run| run.doing.mode == Mode::Delete && (add.ended..=limit).contains(&run.began));
        if !deleted && !gone && limit < view.end {
            problems.push(format!(
                "{place:?}: of alert {} was to end at {end} and was not taken back by {limit}",
                add.doing.alert
            ));
        }
    }
}

/// Whether an add that broke off is taken back at once. One that was to put back
/// what is in force is tried again, and so is one whose agentd died too early to
/// tell.
fn is_undone(view: &View<'_>, add: &Run, runs: &[&Run]) -> bool {
    let (agent, alert) = (add.doing.agent, add.doing.alert);
    let was_in_force = View::adds(runs).any(|run| {
        run.doing.alert == alert && run.ended < add.began && run.took == Some(Took::Whole)
    });
    add.took == Some(Took::Broke)
        && !was_in_force
        && !view.goes_down(agent, add.ended, add.ended + UNSAID)
}

/// What is in force for a target is not taken back at this moment, nor forgotten
/// by the kernel, before its end.
fn not_early(view: &View<'_>, agent: u32, at: u64, runs: &[&Run], problems: &mut Vec<String>) {
    let earlier = |run: &&&Run| run.ended < at && run.took == Some(Took::Whole);
    let deletes = runs.iter().filter(|run| run.doing.mode == Mode::Delete);
    let since = deletes
        .filter(earlier)
        .map(|run| run.ended)
        .max()
        .unwrap_or(0);
    let present = |run: &&Run| run.ended >= since && run.ended <= at;
    let adds: Vec<_> = View::adds(runs).filter(present).collect();
    let unsure = adds.iter().any(|run| {
        let deed = Deed {
            alert: run.doing.alert,
            agent,
        };
        let first = view.alerts[&deed.alert].read[0];
        !matches!(run.took, Some(Took::Whole | Took::Aborted))
            || view.is_asked(deed, at)
            || view.is_lost(0, first, at)
            || view.is_lost(agent, first, at)
    });
    if unsure {
        return;
    }
    for add in adds.iter().filter(|run| run.took == Some(Took::Whole)) {
        let sure = !view.goes_down(agent, add.ended, (add.ended + UNSAID).min(at));
        let first = view.alerts[&add.doing.alert].read[0];
        let whole = view.timeout(add.doing.alert);
        let end = whole.map_or(u64::MAX, |whole| first + whole);
        let lifted = view.is_lifted(agent, add, at);
        if sure && !lifted && at + ROUNDING < end {
            problems.push(format!(
                "alert {} on agent {agent}: gone at {at}, before its end at {end}",
                add.doing.alert
            ));
        }
    }
}
