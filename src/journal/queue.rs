//! The way to the writer of a journal. It holds nobody up: the actors also take
//! effects back, answer people and stop while the disk is full or does not
//! answer.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;

use super::Schema;

/// Writes that may wait before no new work is to be taken on; each accepted
/// action makes a handful. What still comes then (ends, results, what people
/// ask) joins the last of them.
pub(super) const QUEUE: usize = 16_384;

/// Jobs committed together at most. The pages of all indexes are written once
/// for each group, so in a burst a large one costs far less than many.
pub(super) const GROUP: usize = 1_024;

/// Operations in a joined job before it is looked through for the first time.
const FOLD_AT: usize = 4_096;

#[derive(Debug)]
pub(super) struct Job<Op> {
    /// That of the last write in it.
    pub(super) number: u64,
    pub(super) ops: Vec<Op>,
}

#[derive(Debug)]
struct Waiting<Op> {
    jobs: VecDeque<Job<Op>>,
    /// The last job is looked through once it has so many operations.
    fold_at: usize,
}

type Shared<Op> = Arc<Mutex<Waiting<Op>>>;

fn lock<Op>(waiting: &Shared<Op>) -> MutexGuard<'_, Waiting<Op>> {
    waiting.lock().expect("no holder of this lock panics")
}

/// Both ends of a queue that is empty.
pub(super) fn queue<S: Schema>() -> (Entry<S>, Exit<S>) {
    let waiting = Arc::new(Mutex::new(Waiting {
        jobs: VecDeque::new(),
        fold_at: FOLD_AT,
    }));
    let (bell, rings) = mpsc::channel(1);
    let entry = Entry {
        waiting: Arc::clone(&waiting),
        bell,
    };
    (entry, Exit { waiting, rings })
}

/// Where jobs go in. Dropped, it ends the writer once nothing waits.
#[derive(Debug)]
pub(super) struct Entry<S: Schema> {
    waiting: Shared<S::Op>,
    bell: mpsc::Sender<()>,
}

impl<S: Schema> Entry<S> {
    /// Lines a job up behind the others, or has it join the last of them. Its
    /// size is then bounded by what lives, because a later state of an action
    /// takes the place of an earlier one, however often a run is tried again.
    pub(super) fn push(&self, job: Job<S::Op>) {
        // An ended writer takes no job, which is what its ticket reports.
        if self.bell.is_closed() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let is_full = waiting.jobs.len() >= QUEUE;
        let fold_at = waiting.fold_at;
        match waiting.jobs.back_mut().filter(|_| is_full) {
            None => {
                waiting.jobs.push_back(job);
                waiting.fold_at = FOLD_AT;
            }
            Some(last) => {
                last.number = job.number;
                last.ops.extend(job.ops);
                if last.ops.len() >= fold_at {
                    fold::<S>(&mut last.ops);
                    waiting.fold_at = FOLD_AT.max(2 * last.ops.len());
                }
            }
        }
        drop(waiting);
        // One that has not been heard yet is enough.
        let _ = self.bell.try_send(());
    }

    pub(super) fn has_room(&self) -> bool {
        lock(&self.waiting).jobs.len() < QUEUE
    }
}

/// Leaves out what a later operation makes pointless.
fn fold<S: Schema>(ops: &mut Vec<S::Op>) {
    let mut later = HashSet::new();
    let mut kept: Vec<_> = std::mem::take(ops)
        .into_iter()
        .rev()
        .filter(|op| S::sets(op).is_none_or(|id| later.insert(id)))
        .collect();
    kept.reverse();
    *ops = kept;
}

/// Where the writer takes jobs out.
#[derive(Debug)]
pub(super) struct Exit<S: Schema> {
    waiting: Shared<S::Op>,
    rings: mpsc::Receiver<()>,
}

impl<S: Schema> Exit<S> {
    /// The next jobs, which are to be committed together; none if none waits.
    pub(super) fn group(&self) -> Option<Vec<Job<S::Op>>> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.jobs.len().min(GROUP);
        (count > 0).then(|| waiting.jobs.drain(..count).collect())
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.waiting).jobs.len()
    }

    /// Waits, after there was no group, until there may be one. `false` if there
    /// never will be.
    pub(super) fn blocking_wait(&mut self) -> bool {
        self.rings.blocking_recv().is_some()
    }

    /// The same for a task.
    #[cfg(test)]
    pub(super) async fn wait(&mut self) -> bool {
        self.rings.recv().await.is_some()
    }

    /// Whether nothing comes in any more.
    pub(super) fn is_closed(&self) -> bool {
        self.rings.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::{FOLD_AT, GROUP, Job, QUEUE, queue};
    use crate::journal::agent::{AgentSchema, Op};
    use crate::journal::tests::{NOW, entry, update};
    use crate::ledger::agent::Step;
    use crate::model::ActionState;

    #[test]
    fn what_a_full_queue_holds_does_not_grow_with_the_states_of_one_action() {
        let (entrance, exit) = queue::<AgentSchema>();
        let push = |number: usize, ops| {
            let number = number.try_into().unwrap();
            entrance.push(Job { number, ops });
        };
        for number in 1..=QUEUE {
            assert!(entrance.has_room(), "at {number}");
            push(number, Vec::new());
        }
        assert!(!entrance.has_room());
        let state = |action, ended| Op::Entry(Box::new(entry(action, ended)), NOW.wall);
        let many = 4 * FOLD_AT;
        for number in 1..=many {
            let mut ops = vec![state(1, number == many), state(2, false)];
            if number % FOLD_AT == 0 {
                let seq = u64::try_from(number).unwrap();
                ops.push(update(seq, 1, ActionState::Running, 5));
            }
            push(QUEUE + number, ops);
        }
        let mut jobs = Vec::new();
        while let Some(group) = exit.group() {
            assert!(group.len() <= GROUP);
            jobs.extend(group);
        }
        assert_eq!(jobs.len(), QUEUE);
        let last = jobs.pop().unwrap();
        assert_eq!(last.number, u64::try_from(QUEUE + many).unwrap());
        assert!(last.ops.len() <= 2 * FOLD_AT, "{}", last.ops.len());
        let updates: Vec<_> = last
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::Update { seq, .. } => usize::try_from(*seq).ok(),
                _ => None,
            })
            .collect();
        assert_eq!(updates, [1, 2, 3, 4].map(|part| part * FOLD_AT));
        let ended = |op: &Op| matches!(op, Op::Entry(entry, _) if entry.step == Step::Ended);
        assert_eq!(last.ops.iter().filter(|op| ended(op)).count(), 1);
        assert!(entrance.has_room());
    }

    #[test]
    fn a_queue_ends_once_nothing_waits_and_nothing_can_come() {
        let (entrance, mut exit) = queue::<AgentSchema>();
        let job = |number| Job {
            number,
            ops: Vec::new(),
        };
        entrance.push(job(1));
        assert!(exit.blocking_wait());
        entrance.push(job(2));
        drop(entrance);
        assert!(exit.is_closed());
        let numbers: Vec<_> = exit.group().unwrap().iter().map(|job| job.number).collect();
        assert_eq!(numbers, [1, 2]);
        // The second has rung as well.
        while exit.blocking_wait() {
            assert!(exit.group().is_none());
        }
    }
}
