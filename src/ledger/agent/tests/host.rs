use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::clock::{Boot, BootId, Now, Wall};
use crate::contract::reply::{RunResult, Status};
use crate::ledger::agent::{Changes, Ending, Entry, Finished, Ledger, Step, Verdict};
use crate::ledger::offences::{Change, Counted};
use crate::model::{Action, ActionId, ActionState, Keys, Mode, Record, Steps};

pub(super) fn keys(target: u8) -> Keys {
    Keys::new(vec![format!("192.0.2.{target}")]).unwrap()
}

/// A host whose executables do what they say at once, or fail when told to.
/// What they change stands in `effects`, which outlives the ledger.
pub(super) struct Host {
    pub(super) ledger: Ledger,
    pub(super) now: Now,
    pub(super) boot: u32,
    pub(super) targets: HashMap<ActionId, u8>,
    /// Per executable and target, how often it is in force in the kernel.
    pub(super) effects: BTreeMap<(String, u8), u32>,
    pub(super) records: Vec<Record>,
    pub(super) stored: HashMap<ActionId, Entry>,
    pub(super) runs: VecDeque<(ActionId, Mode)>,
    /// Bundled executables answer `failed` to a delete.
    pub(super) broken: bool,
    own: Option<Steps>,
    /// What the journal holds of how often targets were blocked.
    counts: BTreeMap<u64, String>,
    /// The process dies after so many more commits.
    pub(super) dies_after: Option<u32>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            ledger: Ledger::new(BootId("0".into())),
            now: Now {
                wall: Wall::from_millis(1_800_000_000_000),
                boot: Boot::from_millis(10_000),
            },
            boot: 0,
            targets: HashMap::new(),
            effects: BTreeMap::new(),
            records: Vec::new(),
            stored: HashMap::new(),
            runs: VecDeque::new(),
            broken: false,
            own: None,
            counts: BTreeMap::new(),
            dies_after: None,
        }
    }

    pub(super) fn take(&mut self, changes: Changes) {
        match &mut self.dies_after {
            Some(0) => return,
            Some(commits) => *commits -= 1,
            None => {}
        }
        for change in changes.counts {
            match change {
                Change::Counted(counted) => {
                    counted.replaces.map(|before| self.counts.remove(&before));
                    let text = serde_json::to_string(&counted).unwrap();
                    self.counts.insert(counted.number, text);
                }
                Change::Forgiven(number) => drop(self.counts.remove(&number)),
            }
        }
        for id in changes.changed {
            if let Some(entry) = self.ledger.entry(id) {
                self.stored.insert(id, entry.clone());
            }
        }
        self.records.extend(changes.records);
        self.runs.extend(changes.runs);
    }

    pub(super) fn accept(&mut self, action: Action, target: u8) {
        let id = self.line_up(action, target);
        self.runs.push_back((id, Mode::Add));
        self.work();
    }

    /// Takes an action in, which does not begin yet.
    pub(super) fn line_up(&mut self, action: Action, target: u8) -> ActionId {
        let (id, left) = (action.id, action.timeout);
        let bundled = action.executable.as_str() == "firewall-drop";
        self.targets.insert(id, target);
        let changes = self.ledger.accept(action, bundled, left, self.now);
        self.take(changes);
        id
    }

    /// Takes an action in and starts it; it has not come further yet.
    pub(super) fn begin(&mut self, action: Action, target: u8) -> ActionId {
        let id = self.line_up(action, target);
        let changes = self.ledger.start(id, Mode::Add, self.now).unwrap();
        self.take(changes);
        id
    }

    /// What has begun names its keys.
    pub(super) fn name_keys(&mut self, id: ActionId, target: u8) -> Verdict {
        let (verdict, changes) = self.ledger.keys(id, &keys(target), self.now);
        self.take(changes);
        verdict
    }

    /// Carries every run out, in order.
    pub(super) fn work(&mut self) {
        while let Some((id, kind)) = self.runs.pop_front() {
            self.run(id, kind);
        }
    }

    /// Whether the process has come to its end within a run.
    fn is_dead(&self) -> bool {
        self.dies_after == Some(0)
    }

    /// What this host's own file says about targets that come again.
    pub(super) fn rule(&mut self, seconds: &[u64]) {
        let steps = Steps::try_from(seconds.to_vec()).unwrap();
        self.ledger.rule_offences(Some(steps.clone()));
        self.own = Some(steps);
    }

    pub(super) fn run(&mut self, id: ActionId, kind: Mode) {
        let Some(changes) = self.ledger.start(id, kind, self.now) else {
            return;
        };
        self.take(changes);
        if self.is_dead()
            || self
                .ledger
                .entry(id)
                .is_none_or(|entry| entry.step == Step::Ended)
        {
            return;
        }
        let target = self.targets[&id];
        let bundled = self.ledger.entry(id).unwrap().is_bundled;
        let executable = self.ledger.entry(id).unwrap().action.executable.to_string();
        let place = (executable, target);
        let status = match kind {
            Mode::Add => {
                let (verdict, changes) = self.ledger.keys(id, &keys(target), self.now);
                self.take(changes);
                if self.is_dead() {
                    return;
                }
                match verdict {
                    Verdict::Continue { .. } => {
                        let count = self.effects.entry(place).or_default();
                        // A bundled executable is idempotent, a script is not.
                        *count = if bundled { 1 } else { *count + 1 };
                        Status::Applied
                    }
                    Verdict::Abort => Status::Already,
                    Verdict::Wait => panic!("runs of one target follow each other here"),
                }
            }
            Mode::Delete if self.broken && bundled => Status::Failed,
            Mode::Delete => match self.effects.remove(&place) {
                Some(_) => Status::Reverted,
                None => Status::Absent,
            },
        };
        let ending = if bundled {
            Ending::Reported(RunResult {
                status,
                detail: None,
                backend: None,
                exit_code: None,
                hits: None,
                stderr: None,
            })
        } else {
            Ending::Exited(0)
        };
        self.finish(id, kind, ending);
    }

    pub(super) fn finish(&mut self, id: ActionId, kind: Mode, ending: Ending) {
        let finished = Finished {
            exit_code: None,
            ending,
            stderr: None,
            detail: None,
            duration_ms: None,
        };
        let changes = self.ledger.finish(id, kind, &finished, self.now);
        self.take(changes);
        self.ledger.remove_ended(id);
    }

    /// Lets time pass, waking up whenever the ledger wants to.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now.boot.plus(Duration::from_secs(seconds));
        loop {
            let next = self
                .ledger
                .next_due()
                .filter(|at| *at <= end)
                .unwrap_or(end);
            let step = self.now.boot.until(next);
            self.now.boot = self.now.boot.plus(step);
            self.now.wall = self.now.wall.plus(step);
            let changes = self.ledger.due(self.now);
            self.take(changes);
            self.work();
            if self.now.boot >= end && self.ledger.next_due().is_none_or(|at| at > end) {
                return;
            }
        }
    }

    /// Ends the process without a word and starts another one; with `reboot`
    /// the machine too, which empties the kernel.
    pub(super) fn restart(&mut self, reboot: bool) {
        self.runs.clear();
        self.dies_after = None;
        if reboot {
            self.boot += 1;
            self.now.boot = Boot::from_millis(7_000);
            self.effects
                .retain(|(executable, _), _| executable != "firewall-drop");
        }
        let mut ledger = Ledger::new(BootId(self.boot.to_string().into()));
        for entry in self
            .stored
            .values()
            .filter(|entry| entry.step != Step::Ended)
        {
            // What the journal holds has been through its text.
            let text = serde_json::to_string(entry).unwrap();
            let mut loaded: Box<Entry> = serde_json::from_str(&text).unwrap();
            loaded.number = entry.number;
            ledger.load(loaded, self.now);
        }
        let numbers = self.stored.values().map(|entry| entry.number);
        ledger.count_from(numbers.max().unwrap_or(0) + 1);
        let counts = self.counts.iter().map(|(number, text)| Counted {
            number: *number,
            ..serde_json::from_str(text).unwrap()
        });
        ledger.load_offences(counts.collect(), self.now);
        ledger.rule_offences(self.own.clone());
        self.ledger = ledger;
        let changes = self.ledger.recover(self.now);
        self.take(changes);
        let waiting = self.ledger.entries();
        let waiting = waiting.filter(|entry| entry.step == Step::Waiting);
        self.runs
            .extend(waiting.map(|entry| (entry.action.id, Mode::Add)));
        self.work();
    }

    pub(super) fn states(&self, number: u8) -> Vec<ActionState> {
        let id = ActionId::from_bytes([number; 16]);
        let of = self.records.iter().filter(|record| record.action == id);
        of.map(|record| record.state).collect()
    }

    pub(super) fn last(&self, number: u8) -> &Record {
        let id = ActionId::from_bytes([number; 16]);
        let mut of = self.records.iter().rev();
        of.find(|record| record.action == id).unwrap()
    }

    pub(super) fn is_blocked(&self, target: u8) -> bool {
        self.effects.keys().any(|(_, held)| *held == target)
    }
}
