//! Which run may start when: bounds on how many run at once, order within a
//! lane, reverts first. Pure; the owner of the actions drives it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::{Mode, RunId};
use crate::model::ExeName;

/// Executions at once, in all.
pub const MAX_RUNNING: usize = 64;

/// How many of them may be adds, so that a flood of alerts leaves room for
/// reverts, which are promised to the second.
pub const MAX_ADDS: usize = 48;

/// How many of them may be of one script, so that one that hangs does not stop
/// the others.
pub const MAX_OF_SCRIPT: usize = 16;

/// Orders that workers may have at once, which are no processes: as many as one
/// transaction of nf_tables takes.
pub const MAX_SERVED: usize = 10_000;

/// How many of them may be adds.
const MAX_SERVED_ADDS: usize = 9_000;

/// Numbers above it are given in the order of submission; those below go first.
const FIRST: u64 = 1 << 63;

/// Numbers above it go after all others of their mode.
const LAST: u64 = FIRST + FIRST / 2;

/// By what a run is carried out, which is also what it shares a bound with.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum By {
    /// A process of this script.
    Script(ExeName),
    /// A process of a bundled executable.
    Process,
    /// A worker.
    Worker,
}

/// A run that is to wait for its turn.
#[derive(Debug)]
pub struct Planned {
    pub id: RunId,
    pub lane: Arc<str>,
    pub by: By,
    pub mode: Mode,
}

/// When a run goes, among those of its mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// It follows from the one that runs in its lane: it goes next there, and
    /// before other lanes. What waits behind it may wait for its outcome, so the
    /// other order would never end.
    Next,
    Usual,
    /// It looks up what is in force: nobody waits for that, but for new blocks.
    Last,
}

/// What waits for a slot, oldest first, with its lane.
type Ready = BTreeMap<By, BTreeMap<u64, Arc<str>>>;

#[derive(Debug)]
struct Waiting {
    id: RunId,
    /// In the order of submission.
    number: u64,
    by: By,
    mode: Mode,
}

#[derive(Debug)]
struct Running {
    lane: Arc<str>,
    by: By,
    mode: Mode,
}

/// Runs that must not overtake each other.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    is_running: bool,
}

/// How many run.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    adds: usize,
}

/// Runs that wait, and those that run. What waits is not bounded here: each is
/// an action in the journal, which is.
#[derive(Debug, Default)]
pub struct Slots {
    submitted: u64,
    /// Those that have anything waiting or running. Unless something runs, the
    /// first that waits is ready.
    lanes: HashMap<Arc<str>, Lane>,
    ready_deletes: Ready,
    ready_adds: Ready,
    running: HashMap<RunId, Running>,
    processes: Counts,
    served: Counts,
    running_of: HashMap<ExeName, usize>,
}

impl Slots {
    /// Lets a run wait for its turn. Runs of one lane (an executable and its
    /// keys, or whatever else must not overtake itself) go one after the other.
    pub fn submit(&mut self, planned: Planned, turn: Turn) {
        self.submitted += 1;
        let number = match turn {
            Turn::Next => FIRST - self.submitted,
            Turn::Usual => FIRST + self.submitted,
            Turn::Last => LAST + self.submitted,
        };
        let waiting = Waiting {
            id: planned.id,
            number,
            by: planned.by,
            mode: planned.mode,
        };
        self.line_up(planned.lane, waiting);
    }

    fn line_up(&mut self, lane: Arc<str>, waiting: Waiting) {
        match self.lanes.get_mut(&lane) {
            Some(others) if others.is_running && waiting.number < FIRST => {
                others.waiting.push_front(waiting);
            }
            Some(others) => others.waiting.push_back(waiting),
            None => {
                self.make_ready(&waiting, lane.clone());
                let others = self.lanes.entry(lane).or_default();
                others.waiting.push_back(waiting);
            }
        }
    }

    /// The next run to start, which counts as running from now on: reverts
    /// before adds, the oldest of each first. `None`: nothing waits that may
    /// start now.
    pub fn start_next(&mut self) -> Option<RunId> {
        let lane = self
            .take_ready(Mode::Delete)
            .or_else(|| self.take_ready(Mode::Add))?;
        let others = self.lanes.get_mut(&lane);
        let others = others.expect("a lane that is ready is there");
        others.is_running = true;
        let waiting = others.waiting.pop_front();
        let waiting = waiting.expect("a lane that is ready has a first run");
        let counts = self.counts(&waiting.by);
        counts.all += 1;
        counts.adds += usize::from(waiting.mode == Mode::Add);
        if let By::Script(script) = &waiting.by {
            *self.running_of.entry(script.clone()).or_default() += 1;
        }
        let running = Running {
            lane,
            by: waiting.by,
            mode: waiting.mode,
        };
        self.running.insert(waiting.id, running);
        Some(waiting.id)
    }

    /// Frees the slot of a run and lets the next one of its lane come forward.
    /// A run that does not run changes nothing.
    pub fn finished(&mut self, id: RunId) {
        let Some(run) = self.running.remove(&id) else {
            return;
        };
        let counts = self.counts(&run.by);
        counts.all -= 1;
        counts.adds -= usize::from(run.mode == Mode::Add);
        if let By::Script(script) = run.by {
            let count = self.running_of.get_mut(&script);
            let count = count.expect("a running script is counted");
            *count -= 1;
            if *count == 0 {
                self.running_of.remove(&script);
            }
        }
        let lane = self.lanes.remove(&run.lane);
        let mut lane = lane.expect("a lane stays while something runs in it");
        lane.is_running = false;
        self.come_forward(run.lane, lane);
    }

    /// Takes a run out that waits in this lane. One that does not changes
    /// nothing.
    pub fn withdraw(&mut self, id: RunId, lane: &str) {
        let Some(others) = self.lanes.get_mut(lane) else {
            return;
        };
        let mut waiting = others.waiting.iter();
        let Some(at) = waiting.position(|waiting| waiting.id == id) else {
            return;
        };
        let withdrawn = others.waiting.remove(at);
        let withdrawn = withdrawn.expect("it was found at this place");
        if at > 0 || others.is_running {
            return;
        }
        // It was ready; now the one behind it is.
        let ready = self.ready(withdrawn.mode);
        if let Some(lanes) = ready.get_mut(&withdrawn.by) {
            lanes.remove(&withdrawn.number);
            if lanes.is_empty() {
                ready.remove(&withdrawn.by);
            }
        }
        let (name, lane) = self.lanes.remove_entry(lane).expect("it was found above");
        self.come_forward(name, lane);
    }

    /// Puts a lane back in which nothing runs, if anything waits.
    fn come_forward(&mut self, name: Arc<str>, lane: Lane) {
        if let Some(first) = lane.waiting.front() {
            self.make_ready(first, name.clone());
            self.lanes.insert(name, lane);
        }
    }

    fn counts(&mut self, by: &By) -> &mut Counts {
        match by {
            By::Script(_) | By::Process => &mut self.processes,
            By::Worker => &mut self.served,
        }
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    fn make_ready(&mut self, waiting: &Waiting, lane: Arc<str>) {
        self.ready(waiting.mode)
            .entry(waiting.by.clone())
            .or_default()
            .insert(waiting.number, lane);
    }

    fn ready(&mut self, mode: Mode) -> &mut Ready {
        match mode {
            Mode::Add => &mut self.ready_adds,
            Mode::Delete => &mut self.ready_deletes,
        }
    }

    /// Whether no more may run of what shares this bound.
    fn is_full(&self, by: &By, mode: Mode) -> bool {
        let (counts, most, most_adds) = match by {
            By::Script(_) | By::Process => (&self.processes, MAX_RUNNING, MAX_ADDS),
            By::Worker => (&self.served, MAX_SERVED, MAX_SERVED_ADDS),
        };
        let of_script = match by {
            By::Script(script) => self.running_of.get(script),
            By::Process | By::Worker => None,
        };
        counts.all >= most
            || (mode == Mode::Add && counts.adds >= most_adds)
            || of_script >= Some(&MAX_OF_SCRIPT)
    }

    /// Takes the oldest one out that has a slot; returns its lane.
    fn take_ready(&mut self, mode: Mode) -> Option<Arc<str>> {
        let ready = match mode {
            Mode::Add => &self.ready_adds,
            Mode::Delete => &self.ready_deletes,
        };
        let (by, number) = ready
            .iter()
            .filter(|(by, _)| !self.is_full(by, mode))
            .filter_map(|(by, lanes)| Some((by, *lanes.first_key_value()?.0)))
            .min_by_key(|(_, number)| *number)?;
        let by = by.clone();
        let ready = self.ready(mode);
        let lanes = ready.get_mut(&by)?;
        let lane = lanes.remove(&number);
        if lanes.is_empty() {
            ready.remove(&by);
        }
        lane
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::{
        ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest,
    };

    use super::{
        By, MAX_ADDS, MAX_OF_SCRIPT, MAX_RUNNING, MAX_SERVED, MAX_SERVED_ADDS, Mode, Planned,
        RunId, Slots, Turn,
    };
    use crate::model::ExeName;

    fn planned(id: u64, lane: &str, by: By, mode: Mode) -> Planned {
        Planned {
            id: RunId(id),
            lane: lane.into(),
            by,
            mode,
        }
    }

    /// Executables whose name ends in `.sh` are scripts here, and `served` is
    /// what has a worker.
    fn by(exe: &ExeName) -> By {
        match exe.as_str() {
            "served" => By::Worker,
            name if name.ends_with(".sh") => By::Script(exe.clone()),
            _ => By::Process,
        }
    }

    fn submit(slots: &mut Slots, id: u64, lane: &str, exe: &ExeName, mode: Mode) {
        slots.submit(planned(id, lane, by(exe), mode), Turn::Usual);
    }

    fn exe(name: &str) -> ExeName {
        ExeName::parse(name).unwrap()
    }

    fn started(slots: &mut Slots) -> Vec<u64> {
        std::iter::from_fn(|| slots.start_next())
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn adds_leave_room_for_reverts_which_go_first() {
        let mut slots = Slots::default();
        let bundled = exe("firewall-drop");
        for id in 0..200 {
            submit(&mut slots, id, &id.to_string(), &bundled, Mode::Add);
        }
        for id in 200..400 {
            submit(&mut slots, id, &id.to_string(), &bundled, Mode::Delete);
        }
        let mut running = VecDeque::from(started(&mut slots));
        assert!(running.iter().copied().eq(200..264));
        let mut most_adds = 0;
        while let Some(id) = running.pop_front() {
            slots.finished(RunId(id));
            running.extend(started(&mut slots));
            most_adds = most_adds.max(running.iter().filter(|id| **id < 200).count());
        }
        assert_eq!(most_adds, MAX_ADDS);
        assert_eq!((slots.running(), slots.waiting()), (0, 0));
    }

    #[test]
    fn what_a_worker_does_takes_no_slot_of_a_process_and_has_a_bound_of_its_own() {
        let mut slots = Slots::default();
        let (process, served) = (exe("host-deny"), exe("served"));
        for id in 0..20_000 {
            submit(&mut slots, id, &id.to_string(), &served, Mode::Add);
        }
        assert_eq!(started(&mut slots).len(), MAX_SERVED_ADDS);
        for id in 20_000..40_000 {
            submit(&mut slots, id, &id.to_string(), &served, Mode::Delete);
        }
        assert_eq!(started(&mut slots).len(), MAX_SERVED - MAX_SERVED_ADDS);
        for id in 40_000..40_100 {
            submit(&mut slots, id, &id.to_string(), &process, Mode::Add);
        }
        assert_eq!(started(&mut slots).len(), MAX_ADDS);
        slots.finished(RunId(0));
        assert_eq!(started(&mut slots), [21_000]);
    }

    #[test]
    fn a_script_that_hangs_leaves_slots_for_the_others() {
        let mut slots = Slots::default();
        for id in 0..100 {
            submit(
                &mut slots,
                id,
                &id.to_string(),
                &exe("hangs.sh"),
                Mode::Delete,
            );
        }
        submit(&mut slots, 100, "x", &exe("other.sh"), Mode::Add);
        let running = started(&mut slots);
        assert_eq!(running.len(), MAX_OF_SCRIPT + 1);
        assert_eq!(running.last(), Some(&100));
    }

    #[test]
    fn a_lane_keeps_its_order_even_where_reverts_go_first() {
        let mut slots = Slots::default();
        for (id, mode) in [(1, Mode::Add), (2, Mode::Delete), (3, Mode::Add)] {
            submit(&mut slots, id, "a", &exe("x"), mode);
        }
        for id in 1..=3 {
            assert_eq!(started(&mut slots), [id]);
            slots.finished(RunId(id + 10));
            assert_eq!(started(&mut slots), [0; 0]);
            slots.finished(RunId(id));
        }
    }

    #[test]
    fn what_follows_from_a_run_goes_next_in_its_lane_and_before_other_lanes() {
        let mut slots = Slots::default();
        let script = exe("x.sh");
        for id in 0..40 {
            let lane = if id < 2 {
                "a".to_owned()
            } else {
                id.to_string()
            };
            submit(&mut slots, id, &lane, &script, Mode::Add);
        }
        assert_eq!(started(&mut slots).len(), MAX_OF_SCRIPT);
        slots.submit(planned(90, "a", by(&script), Mode::Add), Turn::Next);
        slots.finished(RunId(0));
        assert_eq!(started(&mut slots), [90]);
        slots.finished(RunId(90));
        assert_eq!(started(&mut slots), [1]);
    }

    #[test]
    fn what_is_only_looked_up_lets_new_blocks_go_first_and_reverts_before_both() {
        let mut slots = Slots::default();
        let bundled = exe("firewall-drop");
        for id in 0..100 {
            let lane = id.to_string();
            slots.submit(planned(id, &lane, by(&bundled), Mode::Add), Turn::Last);
        }
        submit(&mut slots, 200, "new", &bundled, Mode::Add);
        submit(&mut slots, 300, "over", &bundled, Mode::Delete);
        assert_eq!(started(&mut slots)[..3], [300, 200, 0]);
    }

    #[derive(Clone, Debug)]
    struct Job {
        lane: u8,
        exe: u8,
        mode: Mode,
        lasts: u8,
        /// Taken out if it still waits when no more may start.
        withdrawn: bool,
    }

    fn job() -> impl Strategy<Value = Job> {
        (0..120_u8, 0..4_u8, any::<bool>(), 0..6_u8, any::<bool>()).prop_map(
            |(lane, exe, add, lasts, withdrawn)| Job {
                lane,
                withdrawn,
                exe,
                mode: if add { Mode::Add } else { Mode::Delete },
                lasts,
            },
        )
    }

    /// Two scripts, processes of bundled executables, and a worker.
    fn by_of(job: &Job) -> By {
        match job.exe {
            0 => By::Script(exe("a.sh")),
            1 => By::Script(exe("b.sh")),
            2 => By::Process,
            _ => By::Worker,
        }
    }

    struct Model<'a> {
        jobs: &'a [Job],
        waiting: Vec<usize>,
        running: HashMap<usize, u8>,
    }

    impl Model<'_> {
        fn count(&self, fits: impl Fn(&Job) -> bool) -> usize {
            self.running
                .keys()
                .filter(|at| fits(&self.jobs[**at]))
                .count()
        }

        fn may_start(&self, at: usize) -> bool {
            let job = &self.jobs[at];
            let first = self
                .waiting
                .iter()
                .find(|w| self.jobs[**w].lane == job.lane);
            let is_process = |job: &Job| job.exe < 3;
            let adds = self.count(|j| is_process(j) && j.mode == Mode::Add);
            let has_slot = self.count(is_process) < MAX_RUNNING
                && (job.mode == Mode::Delete || adds < MAX_ADDS)
                && (job.exe > 1 || self.count(|j| j.exe == job.exe) < MAX_OF_SCRIPT);
            // There are never as many as a worker may have.
            first == Some(&at)
                && (!is_process(job) || has_slot)
                && self.count(|j| j.lane == job.lane) == 0
        }

        /// Reverts before adds, then the oldest: what must be started next.
        fn wanted(&self) -> Option<usize> {
            let may = |mode| {
                let mut of = self
                    .waiting
                    .iter()
                    .filter(move |at| self.jobs[**at].mode == mode);
                of.find(|at| self.may_start(**at)).copied()
            };
            may(Mode::Delete).or_else(|| may(Mode::Add))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a model that looks at everything each time: the bounds, the
        /// order in a lane, reverts first, and nothing that may run waits.
        #[test]
        fn starts_exactly_what_the_rules_allow(
            jobs in prop::collection::vec(job(), 1..200),
            burst in 1..200_usize,
        ) {
            let mut slots = Slots::default();
            let mut model = Model { jobs: &jobs, waiting: Vec::new(), running: HashMap::new() };
            let mut submitted = 0;
            while submitted < jobs.len() || slots.waiting() + slots.running() > 0 {
                for (at, job) in jobs.iter().enumerate().skip(submitted).take(burst) {
                    let lane = format!("lane {}", job.lane);
                    slots.submit(planned(at as u64, &lane, by_of(job), job.mode), Turn::Usual);
                    model.waiting.push(at);
                    submitted += 1;
                }
                while let Some(wanted) = model.wanted() {
                    prop_assert_eq!(slots.start_next(), Some(RunId(wanted as u64)));
                    model.waiting.retain(|at| *at != wanted);
                    model.running.insert(wanted, jobs[wanted].lasts);
                }
                prop_assert_eq!(slots.start_next(), None);
                prop_assert_eq!(slots.running(), model.running.len());
                model.waiting.retain(|at| {
                    let job = &jobs[*at];
                    if job.withdrawn {
                        slots.withdraw(RunId(*at as u64), &format!("lane {}", job.lane));
                    }
                    !job.withdrawn
                });
                prop_assert_eq!(slots.waiting(), model.waiting.len());
                let done: Vec<usize> = model
                    .running
                    .iter_mut()
                    .filter_map(|(at, left)| {
                        let done = *left == 0;
                        *left = left.saturating_sub(1);
                        done.then_some(*at)
                    })
                    .collect();
                for at in done {
                    model.running.remove(&at);
                    slots.finished(RunId(at as u64));
                }
            }
            prop_assert!(model.waiting.is_empty() && model.running.is_empty());
        }
    }
}
