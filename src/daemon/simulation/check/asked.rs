//! What people want taken back is taken back, and they are told the truth.

use super::super::kernel::NOTE;
use super::super::plan;
use super::view::{Ask, Deed, Reply, Run, View};
use crate::model::{ActionState, Mode};

/// How long the manager may take to write down what somebody wants: it reads
/// its journal first, for a second at most, and a disk may stall. In
/// milliseconds.
const NOTED: u64 = 3_000;

/// How long somebody waits for an answer at most, in milliseconds: what the
/// manager waits for a host, and what it needs to look the action up.
const PATIENCE: u64 = 10_000 + NOTED;

/// How long manager, cable and agent must be whole for something to begin, in
/// milliseconds.
pub(super) const WHOLE: u64 = 5_000;

/// All that one person wanted.
pub(super) fn is_heeded(view: &View<'_>, ask: &Ask, problems: &mut Vec<String>) {
    if is_sent_by_an_earlier_life(view, ask) {
        return;
    }
    let Ask { deed, at, .. } = ask;
    let mut wrong = |why: String| problems.push(format!("{deed:?}: asked for at {at}: {why}"));
    let lives = !view.goes_down(0, ask.at, ask.at + PATIENCE) && view.is_up(0, ask.at);
    match &ask.reply {
        Some(reply) => {
            if let Err(why) = is_true(view, *deed, reply) {
                wrong(why);
            }
        }
        None if lives && ask.at + PATIENCE < view.end => wrong("nobody answered".to_owned()),
        None => {}
    }
    let noted = view.is_up(0, ask.at) && !view.goes_down(0, ask.at, ask.at + NOTED);
    if noted && let Some(by) = view.within_reach(deed.agent, ask.at, WHOLE) {
        is_taken_back(view, *deed, by).unwrap_or_else(wrong);
    }
}

/// Whether the manager holds an action for unsent that it had sent before it was
/// killed: its journal had not been told. It calls it taken back then, while its
/// host carries it out. This is a known fault of the manager, see ADR 8.
fn is_sent_by_an_earlier_life(view: &View<'_>, Ask { deed, at, reply }: &Ask) -> bool {
    let state = reply.as_ref().and_then(|reply| reply.state);
    let alert = &view.alerts[&deed.alert];
    let mut arrived = alert.arrived.iter();
    state == Some(ActionState::Suppressed)
        && arrived.any(|arrival| arrival.agent == deed.agent && arrival.at <= *at)
        && view.goes_down(0, alert.read[0], *at)
}

/// Whether what became of an action is what somebody was told.
fn is_true(view: &View<'_>, deed: Deed, reply: &Reply) -> Result<(), String> {
    let states = view.states(deed);
    let last = states.last().copied();
    let Some(state) = reply.state else {
        // There was nothing to take back: it was over, or the manager had lost
        // it, and reads its alert again.
        let over = view.is_over(deed, reply.at);
        let lost = view.loses_power(0, 0, reply.at);
        return match over || lost {
            true => Ok(()),
            false => Err(format!(
                "told that there is nothing to take back: {states:?}"
            )),
        };
    };
    if state.is_final() && last != Some(state) {
        return Err(format!("told {state}, but {states:?}"));
    }
    let mut later = view.runs_of(deed).filter(|run| run.began > reply.at);
    let again = later.find(|run| run.doing.mode == Mode::Add);
    match again {
        Some(run) if state.is_final() => {
            Err(format!("told {state}, but begun again at {}", run.began))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether an action is in force no more by then.
fn is_taken_back(view: &View<'_>, deed: Deed, by: u64) -> Result<(), String> {
    let adds = |run: &&Run| run.doing.mode == Mode::Add;
    let late = view.runs_of(deed).filter(adds).find(|run| run.began > by);
    if let Some(run) = late {
        return Err(format!("begun at {}, after {by}", run.began));
    }
    // Only what has been in force for itself is taken back.
    let states = view.states(deed);
    let last = states.last().copied();
    if !matches!(last, Some(ActionState::Applied | ActionState::Reverted)) {
        return Ok(());
    }
    let Some(add) = view.runs_of(deed).filter(adds).last() else {
        return Ok(());
    };
    if plan::rule(view.alerts[&deed.alert].rule).exe == NOTE {
        return Ok(());
    }
    let place = (deed.agent, add.doing.exe.clone(), add.doing.address.clone());
    let runs = &view.places()[&place];
    let mut deletes = runs.iter().filter(|run| run.doing.mode == Mode::Delete);
    match deletes.any(|run| (add.began..=by).contains(&run.began)) {
        true => Ok(()),
        false => Err(format!("not taken back by {by}: {states:?}")),
    }
}
