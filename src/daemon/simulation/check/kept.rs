//! What a power cut has taken is put back.

use super::super::history::Took;
use super::super::kernel::FIREWALL;
use super::view::{Deed, Life, Run, View};
use super::when::UNSAID;
use crate::model::Mode;

/// How long after a start everything is being put back, in milliseconds. A disk
/// that stalls may hold it up.
const RESTORE: u64 = 2_500;

/// What was on the disk when a host lost its power is in force again soon after
/// its agentd is back.
pub(super) fn is_put_back(
    view: &View<'_>,
    (agent, exe, address): &(u32, String, String),
    runs: &[&Run],
    problems: &mut Vec<String>,
) {
    if exe != FIREWALL {
        return;
    }
    let lives = view.lives.iter().filter(|life| life.host == *agent);
    for life in lives.filter(|life| life.power) {
        let by = view.after_uptime(*agent, life.to, RESTORE);
        let begins = |run: &Run| run.began > life.to && run.began <= by;
        let again = View::adds(runs).any(begins);
        let missing = stored(view, life, runs).find(|add| !again && is_wanted(view, add, by));
        if let Some(add) = missing {
            problems.push(format!(
                "agent {agent}: {address} of alert {} was not put back by {by}, after the power cut at {}",
                add.doing.alert, life.to
            ));
        }
    }
}

/// The adds whose actions were in force, and stored as such, when a life ended.
fn stored<'a>(view: &'a View<'_>, life: &Life, runs: &[&'a Run]) -> impl Iterator<Item = &'a Run> {
    let (agent, to) = (life.host, life.to);
    let deletes = runs.iter().filter(|run| run.doing.mode == Mode::Delete);
    let deleted = deletes.map(|run| run.began).filter(|at| *at <= to).max();
    let stored = move |add: &&Run| {
        add.took == Some(Took::Whole)
            && Some(add.began) > deleted
            && add.ended + UNSAID < to
            && !view.goes_down(agent, add.ended, add.ended + UNSAID)
    };
    View::adds(runs).filter(stored)
}

/// Whether it is to be in force at this moment, whatever the clocks say.
fn is_wanted(view: &View<'_>, add: &Run, by: u64) -> bool {
    let deed = Deed {
        alert: add.doing.alert,
        agent: add.doing.agent,
    };
    let first = view.alerts[&deed.alert].read[0];
    let whole = view.timeout(deed.alert);
    let end = whole.map_or(u64::MAX, |whole| first + whole);
    by < end.min(view.end)
        && !view.is_asked(deed, by)
        && !view.is_lost(0, first, by)
        && !view.is_lost(deed.agent, first, by)
}
