//! Actions that have not begun: those that are lined up for a slot, and those
//! that stand behind them because of their script enough are lined up already.
//! So a script that hangs fills its own line and nobody else's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::executor::RunId;
use crate::model::{ActionId, ExeName};

/// Actions of one script that are lined up at a time. Far more than may run, so
/// that different targets find their slots, and few enough to keep their alerts
/// in memory.
pub(super) const MAX_LINED_UP: usize = 256;

/// Where an action is lined up.
#[derive(Debug)]
pub(super) struct LinedUp {
    pub(super) run: RunId,
    pub(super) lane: Arc<str>,
    /// None for a bundled executable.
    pub(super) script: Option<ExeName>,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    lined_up: HashMap<ActionId, LinedUp>,
    /// How many of them are of each script.
    of_script: HashMap<ExeName, usize>,
    /// What stands behind of each script that has any, in order.
    behind: HashMap<ExeName, BTreeMap<u64, ActionId>>,
    /// Where in `behind` each one is.
    places: HashMap<ActionId, (ExeName, u64)>,
    last_place: u64,
    /// Those whose alert is still in memory, and the journal write that holds it.
    with_alert: VecDeque<(u64, ActionId)>,
}

impl Backlog {
    /// Whether another action of this script stands behind.
    pub(super) fn is_full_of(&self, script: &ExeName) -> bool {
        self.behind.contains_key(script) || self.of_script.get(script) >= Some(&MAX_LINED_UP)
    }

    /// Lets an action stand behind whose alert is in journal write `write`.
    pub(super) fn put_behind(&mut self, id: ActionId, script: &ExeName, write: u64) {
        self.last_place += 1;
        let place = self.last_place;
        let others = self.behind.entry(script.clone()).or_default();
        others.insert(place, id);
        self.places.insert(id, (script.clone(), place));
        self.with_alert.push_back((write, id));
    }

    /// Which of those that stand behind need their alert in memory no longer,
    /// since the journal can be read up to write `written`. Names each once.
    pub(super) fn without_alert(&mut self, written: u64) -> Vec<ActionId> {
        let due = self
            .with_alert
            .partition_point(|(write, _)| *write <= written);
        let due = self.with_alert.drain(..due).map(|(_, id)| id);
        due.filter(|id| self.places.contains_key(id)).collect()
    }

    /// The next one that stands behind and may be lined up now.
    pub(super) fn next_up(&mut self) -> Option<ActionId> {
        let has_room = |script: &ExeName| self.of_script.get(script).unwrap_or(&0) < &MAX_LINED_UP;
        let (_, others) = self.behind.iter().find(|(script, _)| has_room(script))?;
        let id = *others.first_key_value()?.1;
        self.leave(id);
        Some(id)
    }

    /// Takes one out of those that stand behind.
    fn leave(&mut self, id: ActionId) {
        let Some((script, place)) = self.places.remove(&id) else {
            return;
        };
        if let Some(others) = self.behind.get_mut(&script) {
            others.remove(&place);
            if others.is_empty() {
                self.behind.remove(&script);
            }
        }
    }

    pub(super) fn line_up(&mut self, id: ActionId, place: LinedUp) {
        if let Some(script) = &place.script {
            *self.of_script.entry(script.clone()).or_default() += 1;
        }
        self.lined_up.insert(id, place);
    }

    /// An action begins, or has ended without. Returns where it was lined up.
    pub(super) fn remove(&mut self, id: ActionId) -> Option<LinedUp> {
        self.leave(id);
        let place = self.lined_up.remove(&id)?;
        if let Some(script) = &place.script {
            let count = self.of_script.get_mut(script);
            let count = count.expect("a script that is lined up is counted");
            *count -= 1;
            if *count == 0 {
                self.of_script.remove(script);
            }
        }
        Some(place)
    }

    /// How many of bundled executables are lined up.
    pub(super) fn bundled(&self) -> usize {
        self.lined_up.len() - self.of_script.values().sum::<usize>()
    }

    /// How many stand behind.
    pub(super) fn behind(&self) -> usize {
        self.places.len()
    }

    /// Scripts of which actions stand behind, and how many.
    pub(super) fn crowded(&self) -> impl Iterator<Item = (&ExeName, usize)> {
        let behind = self.behind.iter();
        behind.map(|(script, others)| (script, others.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, LinedUp, MAX_LINED_UP};
    use crate::executor::RunId;
    use crate::model::{ActionId, ExeName};

    fn id(number: usize) -> ActionId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        ActionId::from_bytes(bytes)
    }

    fn line_up(backlog: &mut Backlog, number: usize, script: Option<&ExeName>) {
        let place = LinedUp {
            run: RunId(number as u64),
            lane: number.to_string().into(),
            script: script.cloned(),
        };
        backlog.line_up(id(number), place);
    }

    #[test]
    fn each_script_fills_its_own_line_and_what_stands_behind_comes_up_in_order() {
        let mut backlog = Backlog::default();
        let [hangs, quick] = ["hangs.sh", "quick.sh"].map(|name| ExeName::parse(name).unwrap());
        for number in 0..MAX_LINED_UP {
            assert!(!backlog.is_full_of(&hangs));
            line_up(&mut backlog, number, Some(&hangs));
        }
        for number in 1_000..1_003 {
            assert!(backlog.is_full_of(&hangs) && !backlog.is_full_of(&quick));
            backlog.put_behind(id(number), &hangs, 1);
        }
        line_up(&mut backlog, 2_000, None);
        assert_eq!((backlog.bundled(), backlog.behind()), (1, 3));
        assert_eq!(backlog.next_up(), None);
        // One that ends where it stands leaves no gap.
        assert!(backlog.remove(id(1_000)).is_none());
        assert_eq!(backlog.remove(id(7)).unwrap().run, RunId(7));
        assert_eq!(backlog.next_up(), Some(id(1_001)));
        line_up(&mut backlog, 1_001, Some(&hangs));
        assert_eq!(backlog.next_up(), None);
        // Who comes later does not overtake.
        backlog.remove(id(8));
        assert!(backlog.is_full_of(&hangs));
        assert_eq!(backlog.next_up(), Some(id(1_002)));
        assert_eq!((backlog.next_up(), backlog.behind()), (None, 0));
        assert!(!backlog.is_full_of(&hangs));
    }

    #[test]
    fn an_alert_leaves_memory_once_the_journal_can_be_asked_for_it() {
        let mut backlog = Backlog::default();
        let script = ExeName::parse("x.sh").unwrap();
        for number in 1..=4 {
            backlog.put_behind(id(number), &script, number as u64);
        }
        backlog.remove(id(2));
        assert_eq!(backlog.without_alert(3), [id(1), id(3)]);
        assert_eq!(backlog.without_alert(3), []);
        assert_eq!(backlog.without_alert(4), [id(4)]);
    }
}
