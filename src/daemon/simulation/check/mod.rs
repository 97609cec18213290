//! What must hold of a run, whatever broke in it. Nothing here asks the code
//! that is tested, but for what its journals still hold at the end.

mod asked;
mod content;
mod counted;
mod delivered;
mod kept;
mod lifted;
mod told;
mod view;
mod when;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Mode;

use super::history::{Event, Took};
use super::hosts::{AgentHost, ManagerHost};
use super::kernel::{LOCK, NOTE};
use super::plan;
use crate::model::Record;
use view::{Deed, View};

/// What a run has led to.
pub(super) struct Outcome<'a> {
    pub(super) events: &'a [Event],
    pub(super) agents: &'a [AgentHost],
    pub(super) manager: &'a ManagerHost,
    /// The lines of `responses.json`.
    pub(super) records: &'a [Record],
}

/// Everything that is wrong.
pub(super) fn check(outcome: &Outcome<'_>) -> Vec<String> {
    let view = View::new(outcome);
    let mut problems = Vec::new();
    each_is_meant_once(&view, &mut problems);
    for deed in view.deeds() {
        begins_once(&view, deed, &mut problems);
        when::begins_in_time(&view, deed, &mut problems);
        told::is_told(&view, deed, &mut problems);
    }
    for record in view.records {
        content::is_right(&view, record, &mut problems);
    }
    for (place, runs) in view.places() {
        in_order(&view, &runs, &mut problems);
        when::ends_in_time(&view, &place, &runs, &mut problems);
        kept::is_put_back(&view, &place, &runs, &mut problems);
        lifted::nothing_stays(&view, &place, &runs, &mut problems);
        counted::each_block_counts_once(&view, &place, &runs, &mut problems);
    }
    for ask in &view.asks {
        asked::is_heeded(&view, ask, &mut problems);
    }
    told::nothing_is_told_twice(&view, &mut problems);
    delivered::nothing_is_left(&view, outcome, &mut problems);
    problems
}

/// Each alert leads to one action on each agent that it is meant for, and to no
/// other.
fn each_is_meant_once(view: &View<'_>, problems: &mut Vec<String>) {
    let mut found: BTreeMap<Deed, BTreeSet<_>> = BTreeMap::new();
    for record in view.records {
        let deed = view::deed_of(record);
        found.entry(deed).or_default().insert(record.action);
    }
    for deed in view.deeds() {
        match found.remove(&deed).map(|ids| ids.len()) {
            Some(1) => {}
            ids => problems.push(format!("{deed:?}: has {ids:?} actions instead of one")),
        }
    }
    let others = found.keys();
    problems.extend(others.map(|deed| format!("{deed:?}: nobody asked for it")));
}

/// An action runs once, unless what interrupted it makes a second time safe.
fn begins_once(view: &View<'_>, deed: Deed, problems: &mut Vec<String>) {
    let exe = plan::rule(view.alerts[&deed.alert].rule).exe;
    let runs: Vec<_> = view.runs_of(deed).collect();
    let adds = runs.iter().filter(|run| run.doing.mode == Mode::Add);
    for (before, run) in adds.clone().zip(adds.skip(1)) {
        let deleted = runs.iter().any(|other| {
            other.doing.mode == Mode::Delete && (before.began..=run.began).contains(&other.began)
        });
        let same_life = before.doing.life == run.doing.life;
        let failed = !matches!(before.took, Some(Took::Whole | Took::Aborted));
        let why = match exe {
            NOTE => Some("a script that cannot be taken back ran twice"),
            LOCK if !deleted => Some("a script ran again without its delete"),
            LOCK => None,
            // What could not be put back after a start is tried again.
            _ if same_life && !failed => Some("ran twice in one life"),
            _ => None,
        };
        if let Some(why) = why {
            problems.push(format!("{deed:?}: {why} at {}", run.began));
        }
    }
}

/// Actions for the same keys begin in the order of their alerts; what goes to
/// every host may be overtaken.
fn in_order(view: &View<'_>, runs: &[&view::Run], problems: &mut Vec<String>) {
    for bulk in [true, false] {
        let mut last = None;
        let mut begun = BTreeSet::new();
        for run in runs.iter().filter(|run| run.doing.mode == Mode::Add) {
            let alert = run.doing.alert;
            if (view.alerts[&alert].rule == 2) != bulk || !begun.insert(alert) {
                continue;
            }
            if last.is_some_and(|last| last > alert) {
                let agent = run.doing.agent;
                problems.push(format!(
                    "alert {alert} on agent {agent}: begun at {} behind alert {last:?}",
                    run.began
                ));
            }
            last = Some(alert);
        }
    }
}
