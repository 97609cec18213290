//! Which run may start when: bounds on how many run at once, order within a
//! lane, reverts first. Pure; the owner of the actions drives it.

use std::collections::{BTreeMap, HashMap, VecDeque};

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

/// Numbers above it are given in the order of submission; those below go first.
const FIRST: u64 = 1 << 63;

/// Numbers above it go after all others of their mode.
const LAST: u64 = FIRST + FIRST / 2;

/// A run that is to wait for its turn.
#[derive(Debug)]
pub struct Planned<'a> {
    pub id: RunId,
    pub lane: String,
    pub exe: &'a ExeName,
    pub is_script: bool,
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

/// What shares a bound: each script its own, all bundled executables none.
type Class = Option<ExeName>;

/// What waits for a slot, oldest first, with its lane.
type Ready = BTreeMap<Class, BTreeMap<u64, String>>;

#[derive(Debug)]
struct Waiting {
    id: RunId,
    /// In the order of submission.
    number: u64,
    class: Class,
    mode: Mode,
}

#[derive(Debug)]
struct Running {
    lane: String,
    class: Class,
    mode: Mode,
}

/// Runs that wait, and those that run. What waits is not bounded here: each is
/// an action in the journal, which is.
#[derive(Debug, Default)]
pub struct Slots {
    submitted: u64,
    /// What waits in each lane that has anything waiting or running. Unless
    /// something runs, the first one is ready.
    lanes: HashMap<String, VecDeque<Waiting>>,
    ready_deletes: Ready,
    ready_adds: Ready,
    running: HashMap<RunId, Running>,
    running_adds: usize,
    running_of: HashMap<ExeName, usize>,
}

impl Slots {
    /// Lets a run wait for its turn. Runs of one lane (an executable and its
    /// keys, or whatever else must not overtake itself) go one after the other.
    pub fn submit(&mut self, planned: Planned<'_>, turn: Turn) {
        self.submitted += 1;
        let number = match turn {
            Turn::Next => FIRST - self.submitted,
            Turn::Usual => FIRST + self.submitted,
            Turn::Last => LAST + self.submitted,
        };
        let waiting = Waiting {
            id: planned.id,
            number,
            class: planned.is_script.then(|| planned.exe.clone()),
            mode: planned.mode,
        };
        self.line_up(planned.lane, waiting);
    }

    fn line_up(&mut self, lane: String, waiting: Waiting) {
        let is_running = self.running.values().any(|run| run.lane == lane);
        match self.lanes.get_mut(&lane) {
            Some(others) if is_running && waiting.number < FIRST => others.push_front(waiting),
            Some(others) => others.push_back(waiting),
            None => {
                self.make_ready(&waiting, lane.clone());
                self.lanes.insert(lane, VecDeque::from([waiting]));
            }
        }
    }

    /// The next run to start, which counts as running from now on: reverts
    /// before adds, the oldest of each first. `None`: nothing waits that may
    /// start now.
    pub fn start_next(&mut self) -> Option<RunId> {
        if self.running.len() >= MAX_RUNNING {
            return None;
        }
        let mut found = self.take_ready(Mode::Delete);
        if found.is_none() && self.running_adds < MAX_ADDS {
            found = self.take_ready(Mode::Add);
        }
        let lane = found?;
        let waiting = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front);
        let waiting = waiting.expect("a lane that is ready has a first run");
        if waiting.mode == Mode::Add {
            self.running_adds += 1;
        }
        if let Some(script) = &waiting.class {
            *self.running_of.entry(script.clone()).or_default() += 1;
        }
        let running = Running {
            lane,
            class: waiting.class,
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
        if run.mode == Mode::Add {
            self.running_adds -= 1;
        }
        if let Some(script) = run.class {
            let count = self.running_of.get_mut(&script);
            let count = count.expect("a running script is counted");
            *count -= 1;
            if *count == 0 {
                self.running_of.remove(&script);
            }
        }
        let others = self.lanes.remove(&run.lane);
        let others = others.expect("a lane stays while something runs in it");
        if let Some(first) = others.front() {
            self.make_ready(first, run.lane.clone());
            self.lanes.insert(run.lane, others);
        }
    }

    /// Takes a run out that waits in this lane. One that does not changes
    /// nothing.
    pub fn withdraw(&mut self, id: RunId, lane: &str) {
        let Some(others) = self.lanes.get_mut(lane) else {
            return;
        };
        let Some(at) = others.iter().position(|waiting| waiting.id == id) else {
            return;
        };
        let withdrawn = others.remove(at);
        let withdrawn = withdrawn.expect("it was found at this place");
        let is_running = self.running.values().any(|run| run.lane == lane);
        if at > 0 || is_running {
            return;
        }
        // It was ready; now the one behind it is.
        let ready = self.ready(withdrawn.mode);
        if let Some(lanes) = ready.get_mut(&withdrawn.class) {
            lanes.remove(&withdrawn.number);
            if lanes.is_empty() {
                ready.remove(&withdrawn.class);
            }
        }
        let (lane, others) = self.lanes.remove_entry(lane).expect("it was found above");
        if let Some(first) = others.front() {
            self.make_ready(first, lane.clone());
            self.lanes.insert(lane, others);
        }
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn waiting(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }

    fn make_ready(&mut self, waiting: &Waiting, lane: String) {
        self.ready(waiting.mode)
            .entry(waiting.class.clone())
            .or_default()
            .insert(waiting.number, lane);
    }

    fn ready(&mut self, mode: Mode) -> &mut Ready {
        match mode {
            Mode::Add => &mut self.ready_adds,
            Mode::Delete => &mut self.ready_deletes,
        }
    }

    /// Takes the oldest one out whose class has a slot left; returns its lane.
    fn take_ready(&mut self, mode: Mode) -> Option<String> {
        let ready = match mode {
            Mode::Add => &mut self.ready_adds,
            Mode::Delete => &mut self.ready_deletes,
        };
        let is_full = |class: &Class| match class {
            Some(script) => self.running_of.get(script) >= Some(&MAX_OF_SCRIPT),
            None => false,
        };
        let (class, number) = ready
            .iter()
            .filter(|(class, _)| !is_full(class))
            .filter_map(|(class, lanes)| Some((class, *lanes.first_key_value()?.0)))
            .min_by_key(|(_, number)| *number)?;
        let class = class.clone();
        let lanes = ready.get_mut(&class)?;
        let lane = lanes.remove(&number);
        if lanes.is_empty() {
            ready.remove(&class);
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

    use super::{MAX_ADDS, MAX_OF_SCRIPT, MAX_RUNNING, Mode, Planned, RunId, Slots, Turn};
    use crate::model::ExeName;

    fn planned<'a>(
        id: u64,
        lane: &str,
        exe: &'a ExeName,
        is_script: bool,
        mode: Mode,
    ) -> Planned<'a> {
        Planned {
            id: RunId(id),
            lane: lane.to_owned(),
            exe,
            is_script,
            mode,
        }
    }

    /// Executables whose name ends in `.sh` are scripts here.
    fn submit(slots: &mut Slots, id: u64, lane: &str, exe: &ExeName, mode: Mode) {
        let is_script = exe.as_str().ends_with(".sh");
        slots.submit(planned(id, lane, exe, is_script, mode), Turn::Usual);
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
        slots.submit(planned(90, "a", &script, true, Mode::Add), Turn::Next);
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
            slots.submit(planned(id, &lane, &bundled, false, Mode::Add), Turn::Last);
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
        (0..120_u8, 0..3_u8, any::<bool>(), 0..6_u8, any::<bool>()).prop_map(
            |(lane, exe, add, lasts, withdrawn)| Job {
                lane,
                withdrawn,
                exe,
                mode: if add { Mode::Add } else { Mode::Delete },
                lasts,
            },
        )
    }

    /// Two scripts and one bundled executable, each lane of one of them.
    fn exe_of(job: &Job) -> (ExeName, bool) {
        match job.exe {
            0 => (exe("a.sh"), true),
            1 => (exe("b.sh"), true),
            _ => (exe("firewall-drop"), false),
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
            first == Some(&at)
                && self.running.len() < MAX_RUNNING
                && (job.mode == Mode::Delete || self.count(|j| j.mode == Mode::Add) < MAX_ADDS)
                && (job.exe > 1 || self.count(|j| j.exe == job.exe) < MAX_OF_SCRIPT)
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
                    let (exe, is_script) = exe_of(job);
                    let lane = format!("lane {}", job.lane);
                    slots.submit(planned(at as u64, &lane, &exe, is_script, job.mode), Turn::Usual);
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
