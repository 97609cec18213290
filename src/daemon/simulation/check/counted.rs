//! Each block of a target counts once, whatever broke meanwhile.

use std::collections::BTreeSet;

use super::super::kernel::NOTE;
use super::view::{Deed, Run, View, deed_of};
use crate::model::{ActionState, Record};

/// What a record says from the second block on.
const OFFENCE: &str = "offence ";

/// The blocks of a target have the numbers 1, 2, 3, …, in their order.
pub(super) fn each_block_counts_once(
    view: &View<'_>,
    place: &(u32, String, String),
    runs: &[&Run],
    problems: &mut Vec<String>,
) {
    let (agent, exe, address) = place;
    if exe == NOTE {
        return;
    }
    // How many blocks count by now: at least, and at most.
    let (mut least, mut most) = (0, 0);
    let mut looked_at = BTreeSet::new();
    for add in View::adds(runs) {
        let deed = Deed {
            alert: add.doing.alert,
            agent: *agent,
        };
        if !looked_at.insert(deed) || view.timeout(deed.alert).is_none() {
            continue;
        }
        // What a person takes back is forgiven, and so may be what came before.
        let forgiven = runs.iter().any(|run| {
            let other = Deed {
                alert: run.doing.alert,
                agent: *agent,
            };
            run.began <= add.began && view.is_asked(other, view.end)
        });
        let lost = view.is_lost(*agent, 0, view.end);
        if forgiven || lost {
            least = 0;
        }
        match number(view, deed) {
            Some(number) if !forgiven => {
                if !(least + 1..=most + 1).contains(&number) {
                    problems.push(format!(
                        "{exe} {address} on agent {agent}: alert {} is block {number}, after {least} to {most}",
                        deed.alert
                    ));
                }
                (least, most) = (number, number);
            }
            // It may have been in force without a word, or counts no more.
            Some(_) | None => most += 1,
        }
    }
}

/// Which block an action was, if it was one.
fn number(view: &View<'_>, deed: Deed) -> Option<u64> {
    let its = |record: &&Record| deed_of(record) == deed;
    let records: Vec<_> = view.records.iter().filter(its).collect();
    let applied = |record: &&Record| record.state == ActionState::Applied;
    records.iter().copied().find(applied)?;
    let told = records.iter().filter_map(|record| {
        let detail = record.detail.as_deref()?;
        let (_, told) = detail.split_once(OFFENCE)?;
        told.split_once(':')?.0.parse().ok()
    });
    Some(told.max().unwrap_or(1))
}
