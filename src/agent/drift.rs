//! What others take away of what is in force, and putting it back.
//!
//! `nft flush ruleset`, a reload of firewalld or docker, an administrator: the
//! kernel tells of each, and whose process it was. What is lost is put back
//! within a second, but not for ever: who takes it away again and again means
//! it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::{self, Boot};
use crate::ledger::agent::Entry;
use crate::model::bundled::{BUNDLED, Backend, Bundled, TargetKind};
use crate::sys::host::{Monitor, Seen, Taken};

use super::Agent;

/// One change is often several transactions; they are repaired together.
const SETTLE: Duration = Duration::from_millis(100);

/// As often in a row it is put back.
const REPAIRS: usize = 5;

/// Losses that are further apart do not stand in a row.
const ROW: Duration = Duration::from_secs(3_600);

/// After the kernel had more to tell than there was room for, which our own
/// bulk changes may cause, everything is looked up; no more often than this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What was put back within so long is told together: it may be very much.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long the name of a process may be (`TASK_COMM_LEN` without its NUL).
const COMM: usize = 15;

/// Tells what others take away, until nobody listens.
pub(super) async fn watch(told: mpsc::Sender<Seen>) {
    if let Err(error) = listen(&told).await {
        log::warn!(error:% = error; "the kernel does not tell of changes to nf_tables: what others take away there is not noticed before the next start");
    }
}

async fn listen(told: &mpsc::Sender<Seen>) -> io::Result<()> {
    let mut monitor = Monitor::open()?;
    loop {
        let seen = tokio::select! {
            seen = monitor.next(is_ours) => seen?,
            () = told.closed() => return Ok(()),
        };
        for seen in seen {
            if told.send(seen).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Whether a process of this name is one of our executables.
fn is_ours(process: &str) -> bool {
    let mut rows = BUNDLED.iter().filter(|row| uses_nf_tables(row));
    rows.any(|row| row.name[..row.name.len().min(COMM)] == *process)
}

fn uses_nf_tables(row: &Bundled) -> bool {
    row.backends.contains(&Backend::NfTables)
}

/// What is known of losses.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// What has been taken away and is not put back yet.
    taken: Vec<Taken>,
    /// The kernel may have told of more.
    overrun: bool,
    /// When to put it back.
    due: Option<Boot>,
    /// When it was put back, in this row.
    repairs: VecDeque<Boot>,
    looked: Option<Boot>,
    /// Who took it away when it was not put back any more.
    left: Option<String>,
    /// How many effects were missing and have been put back, and when that is
    /// to be told.
    put_back: Option<(u64, Boot)>,
    /// When to look again where the managers are.
    moved: Option<Boot>,
}

/// What to do about a loss.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Remedy {
    /// Look everything up and put back what is missing.
    Repair { by: String },
    /// As [`Remedy::Repair`], though nothing is known to be missing.
    LookUp,
    /// It has been put back often enough.
    Leave { by: String },
}

impl Drift {
    pub(super) fn due(&self) -> Option<Boot> {
        let told = self.put_back.map(|(_, at)| at);
        [self.due, told, self.moved].into_iter().flatten().min()
    }

    /// An effect was missing and has been put back.
    pub(super) fn put_back(&mut self, now: Boot) {
        let (count, _) = self.put_back.get_or_insert((0, now.plus(TELL_AFTER)));
        *count += 1;
    }

    /// What `ripostctl status` says while something is left undone.
    pub(super) fn problem(&self) -> Option<String> {
        let by = self.left.as_deref()?;
        Some(format!(
            "what is in force is not in nf_tables: {by} took it away {} times within the hour and it is not put back any more (ripostctl reload puts it back; ripostctl revert --all ends it)",
            REPAIRS + 1
        ))
    }

    /// A person wants it put back after all.
    pub(super) fn begin_anew(&mut self, now: Boot) {
        if self.left.take().is_some() {
            self.repairs.clear();
            self.due = Some(now);
        }
    }

    fn take_in(&mut self, seen: Seen, now: Boot) {
        match seen {
            Seen::Taken(taken) => self.taken.push(taken),
            Seen::Overrun => self.overrun = true,
        }
        // What is told later of the same change must not put it off for ever.
        self.due.get_or_insert(now.plus(SETTLE));
    }

    fn remedy(&mut self, now: Boot) -> Option<Remedy> {
        self.due.take_if(|due| *due <= now)?;
        let taken = std::mem::take(&mut self.taken);
        let overrun = std::mem::take(&mut self.overrun);
        let Some(last) = taken.last() else {
            let recently = self.looked.is_some_and(|at| now < at.plus(LOOK_AGAIN));
            if overrun && recently {
                self.overrun = true;
                self.due = self.looked.map(|at| at.plus(LOOK_AGAIN));
                return None;
            }
            self.looked = Some(now);
            return Some(Remedy::LookUp);
        };
        let by = format!("{} (pid {})", last.by, last.pid);
        while self.repairs.front().is_some_and(|at| at.plus(ROW) <= now) {
            self.repairs.pop_front();
        }
        if self.repairs.len() >= REPAIRS {
            self.left = Some(by.clone());
            return Some(Remedy::Leave { by });
        }
        self.left = None;
        self.repairs.push_back(now);
        Some(Remedy::Repair { by })
    }
}

impl Agent {
    /// A host that is cut off keeps its managers, wherever they are found: after
    /// a boot their names may be known only once the name servers answer.
    pub(super) async fn relinked(&mut self) {
        let managers = self.link.borrow().addresses.clone();
        if managers == self.managers {
            return;
        }
        let is_host = |row: &Bundled| row.target == TargetKind::Host;
        let is_meant = |entry: &Entry| entry.bundled().is_some_and(is_host);
        let runs = |entry: &Entry| entry.running && is_meant(entry);
        if self.ledger.entries().any(runs) {
            // It may have been told of the others.
            self.drift.moved = Some(clock::boot().plus(SETTLE));
            return;
        }
        self.managers = managers;
        let changes = self.ledger.look_again(is_meant);
        self.commit(changes).await;
        self.start_planned().await;
    }

    /// Takes in what the kernel tells.
    pub(super) fn drifted(&mut self, seen: Seen) {
        self.drift.take_in(seen, clock::boot());
    }

    /// Puts back what was taken away, if it is time to.
    pub(super) async fn repair(&mut self) {
        let now = clock::boot();
        if self.drift.moved.take_if(|at| *at <= now).is_some() {
            self.relinked().await;
        }
        if let Some((effects, _)) = self.drift.put_back.take_if(|(_, at)| *at <= now) {
            log::warn!(effects = effects; "effects were missing and have been put back");
        }
        let Some(remedy) = self.drift.remedy(now) else {
            return;
        };
        let is_meant = |entry: &Entry| entry.bundled().is_some_and(uses_nf_tables);
        match remedy {
            Remedy::Leave { by } => {
                log::error!(by = by.as_str(); "something of table inet ripost was taken away again and is not put back any more: what is in force is not enforced (ripostctl reload puts it back; ripostctl revert --all ends it)");
                return;
            }
            Remedy::Repair { by } => {
                log::warn!(by = by.as_str(); "something of table inet ripost was taken away; putting back what is in force");
            }
            Remedy::LookUp => {
                log::debug!("looking up whether all that is in force is in nf_tables");
            }
        }
        let changes = self.ledger.look_again(is_meant);
        self.commit(changes).await;
        self.start_planned().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Drift, REPAIRS, Remedy, is_ours};
    use crate::clock::Boot;
    use crate::sys::host::{Seen, Taken};

    fn taken(by: &str) -> Seen {
        Seen::Taken(Taken {
            by: by.to_owned(),
            pid: 9,
            rules: true,
            elements: 0,
        })
    }

    fn repair() -> Option<Remedy> {
        let by = "nft (pid 9)".to_owned();
        Some(Remedy::Repair { by })
    }

    fn at(seconds: u64) -> Boot {
        Boot::from_millis(seconds * 1_000)
    }

    #[test]
    fn what_belongs_together_is_repaired_together_and_soon() {
        let mut drift = Drift::default();
        assert_eq!(drift.remedy(at(1)), None);
        drift.take_in(taken("docker"), at(1));
        let due = drift.due().unwrap();
        assert!(due < at(2));
        drift.take_in(taken("nft"), at(1));
        assert_eq!(drift.due(), Some(due));
        assert_eq!(drift.remedy(at(1)), None);
        assert_eq!(drift.remedy(due), repair());
        assert_eq!((drift.due(), drift.remedy(at(9))), (None, None));
    }

    #[test]
    fn nobody_is_fought_for_ever_and_a_person_may_have_it_put_back() {
        let mut drift = Drift::default();
        let lose = |drift: &mut Drift, second| {
            drift.take_in(taken("nft"), at(second));
            drift.remedy(at(second + 1))
        };
        for round in 0..REPAIRS as u64 {
            assert_eq!(lose(&mut drift, round * 10), repair());
        }
        assert_eq!(drift.problem(), None);
        assert!(matches!(lose(&mut drift, 100), Some(Remedy::Leave { .. })));
        assert!(drift.problem().unwrap().contains("nft (pid 9)"));
        drift.begin_anew(at(200));
        assert_eq!(drift.problem(), None);
        assert_eq!(drift.remedy(at(200)), Some(Remedy::LookUp));
        assert_eq!(lose(&mut drift, 300), repair());
        // The row is over some time after its last.
        for second in (4_000..40_000).step_by(1_000) {
            assert_eq!(lose(&mut drift, second), repair(), "{second}");
        }
    }

    #[test]
    fn a_full_buffer_has_everything_looked_up_now_and_then() {
        let mut drift = Drift::default();
        drift.take_in(Seen::Overrun, at(1));
        assert_eq!(drift.remedy(at(2)), Some(Remedy::LookUp));
        drift.take_in(Seen::Overrun, at(3));
        assert_eq!(drift.remedy(at(4)), None);
        let due = drift.due().unwrap();
        assert!(due >= at(60), "{due:?}");
        assert_eq!(drift.remedy(due), Some(Remedy::LookUp));
    }

    #[test]
    fn our_own_processes_are_known_by_their_names() {
        for (name, ours) in [
            ("firewall-drop", true),
            ("nft", false),
            ("host-deny", false),
        ] {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }
}
