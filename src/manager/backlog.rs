//! What waits for an agent that is connected and has its hands full: the first
//! of it, kept here so that it need not be read back from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pacing::Pace;
use crate::clock::Boot;
use crate::journal::manager::Dispatch;

/// Bytes that all backlogs may hold together, about, and actions in one.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;
pub(super) const MAX_ACTIONS: usize = if cfg!(test) { 5 } else { 4_096 };

/// An action beside its alert, roughly.
const ACTION: usize = 1_024;

/// An action that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) alert: Arc<[u8]>,
}

impl Parcel {
    pub(super) fn bytes(&self) -> usize {
        ACTION + self.alert.len()
    }
}

/// The first of what waits for one agent, by their places in its queue. All of it
/// is in the journal too, or on its way there.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    parcels: BTreeMap<i64, Parcel>,
    bytes: usize,
    /// None until it is asked for after it was empty.
    pace: Option<Pace>,
}

/// What became of a parcel that was to be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    All,
    /// There is more now than is kept: the journal has it.
    NotAll,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its host takes what is in it quickly.
    pub(super) fn is_quick(&mut self, now: Boot) -> bool {
        self.pace
            .get_or_insert_with(|| Pace::new(now))
            .is_quick(now)
    }

    /// Keeps a new action with this place. `is_all` says whether everything that
    /// waits is in here; otherwise one that comes behind the last in here stays
    /// out, because others may come between them. `used` are the bytes of all
    /// backlogs.
    pub(super) fn keep(
        &mut self,
        place: i64,
        parcel: Parcel,
        is_all: bool,
        used: &mut usize,
    ) -> Kept {
        let is_last = self
            .parcels
            .last_key_value()
            .is_none_or(|(last, _)| *last < place);
        if is_last && !is_all {
            return Kept::NotAll;
        }
        *used += parcel.bytes();
        self.bytes += parcel.bytes();
        self.parcels.insert(place, parcel);
        let mut kept = Kept::All;
        while self.parcels.len() > MAX_ACTIONS || *used > MAX_BYTES {
            let Some((_, last)) = self.parcels.pop_last() else {
                break;
            };
            *used -= last.bytes();
            self.bytes -= last.bytes();
            kept = Kept::NotAll;
        }
        kept
    }

    /// What is to be sent next, and its place.
    pub(super) fn first(&self) -> Option<(i64, &Parcel)> {
        self.parcels
            .first_key_value()
            .map(|(place, first)| (*place, first))
    }

    /// It is on its way.
    pub(super) fn sent(&mut self, place: i64, used: &mut usize) {
        let Some(sent) = self.parcels.remove(&place) else {
            return;
        };
        let bytes = sent.bytes();
        *used -= bytes;
        self.bytes -= bytes;
        if self.parcels.is_empty() {
            self.pace = None;
        } else if let Some(pace) = &mut self.pace {
            pace.left(bytes);
        }
    }

    /// Leaves all of it to the journal.
    pub(super) fn clear(&mut self, used: &mut usize) {
        *used -= self.bytes;
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ACTION, Backlog, Kept, MAX_ACTIONS, MAX_BYTES, Parcel};
    use crate::clock::{Boot, BootId, Now, Wall};
    use crate::journal::manager::Dispatch;
    use crate::ledger::end::End;
    use crate::model::action::sample;

    fn parcel(bytes: usize) -> Parcel {
        let now = Now {
            wall: Wall::from_millis(0),
            boot: Boot::from_millis(0),
        };
        let span = Duration::from_secs(1);
        Parcel {
            dispatch: Arc::new(Dispatch {
                action: sample::action(1, "firewall-drop", None),
                end: End::after(span, span, now, &BootId("a".into())),
            }),
            alert: vec![0; bytes].into(),
        }
    }

    fn places(backlog: &Backlog) -> Vec<i64> {
        backlog.parcels.keys().copied().collect()
    }

    #[test]
    fn the_first_of_what_waits_is_kept_whatever_comes() {
        let (mut backlog, mut used) = (Backlog::default(), 0);
        let most = i64::try_from(MAX_ACTIONS).unwrap();
        for place in 10..10 + most {
            let kept = backlog.keep(place, parcel(7), true, &mut used);
            assert_eq!(kept, Kept::All);
        }
        let before = places(&backlog);
        let last = backlog.keep(90, parcel(7), true, &mut used);
        assert_eq!((last, places(&backlog)), (Kept::NotAll, before.clone()));
        // What a person waits for comes before, and the last one makes way.
        let first = backlog.keep(1, parcel(7), false, &mut used);
        assert_eq!(first, Kept::NotAll);
        let mut expected = vec![1];
        expected.extend(&before[..before.len() - 1]);
        assert_eq!(places(&backlog), expected);
        let bytes: usize = backlog.parcels.values().map(Parcel::bytes).sum();
        assert_eq!((used, backlog.bytes()), (bytes, bytes));
        // There is room, but others wait in the journal before it.
        backlog.sent(1, &mut used);
        let behind = backlog.keep(91, parcel(7), false, &mut used);
        assert_eq!(
            (behind, places(&backlog).contains(&91)),
            (Kept::NotAll, false)
        );
        let between = backlog.keep(9, parcel(7), false, &mut used);
        assert_eq!(between, Kept::All);
        assert_eq!(backlog.first().map(|(place, _)| place), Some(9));
        backlog.clear(&mut used);
        assert!(backlog.is_empty() && used == 0);
    }

    #[test]
    fn all_backlogs_together_hold_no_more_than_so_much() {
        let (mut one, mut other, mut used) = (Backlog::default(), Backlog::default(), 0);
        let half = MAX_BYTES / 2 - ACTION;
        assert_eq!(one.keep(1, parcel(half), true, &mut used), Kept::All);
        assert_eq!(other.keep(1, parcel(half), true, &mut used), Kept::All);
        assert_eq!(other.keep(2, parcel(0), true, &mut used), Kept::NotAll);
        assert_eq!((places(&other), used), (vec![1], MAX_BYTES));
        one.clear(&mut used);
        assert_eq!(other.keep(2, parcel(0), true, &mut used), Kept::All);
    }
}
