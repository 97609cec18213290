//! An agent that is asked to stop, and lifts, leaves nothing in force.

use super::super::history::Took;
use super::super::kernel::NOTE;
use super::view::{Run, View};
use crate::model::Mode;

/// What is in force for a target when its agent is asked to stop is taken back
/// before that has ended.
pub(super) fn nothing_stays(
    view: &View<'_>,
    (agent, exe, address): &(u32, String, String),
    runs: &[&Run],
    problems: &mut Vec<String>,
) {
    if exe == NOTE {
        return;
    }
    let lives = view.lives.iter().filter(|life| life.host == *agent);
    for life in lives.filter(|life| life.lifts) {
        // What was not on the disk then is not known any more.
        if view.loses_power(*agent, 0, life.to) {
            continue;
        }
        let whole = |add: &&Run| add.took == Some(Took::Whole) && add.ended < life.to;
        let last = View::adds(runs).filter(whole).map(|add| add.began).max();
        let deleted = |from: u64| {
            let deletes = runs.iter().filter(|run| run.doing.mode == Mode::Delete);
            deletes.map(|run| run.began).find(|at| *at >= from)
        };
        if let Some(last) = last
            && deleted(last).is_none_or(|at| at >= view.next_start(*agent, life.to))
        {
            problems.push(format!(
                "agent {agent}: {address} of {exe} stays in force over the stop at {}",
                life.to
            ));
        }
    }
}
