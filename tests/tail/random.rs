//! Random schedules of writing, rotating, truncating and restarting, against a
//! model that knows every line and which of them may be lost.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use ripost::model::position::Checkpoint;
use ripost::source::{Line, StartAt, Timing};

use crate::scene::{SCHEMES, Scene, append, link_as_wazuh, rotate};

#[derive(Clone, Debug)]
enum Step {
    /// Whole lines, each with so much padding.
    Lines(Vec<usize>),
    /// The beginning of a line, this many percent of it; or the rest of it.
    Part(usize),
    Rotate,
    /// Deletes the file and makes a new one.
    Remake,
    Truncate,
    /// Takes so many events, if they come.
    Take(usize),
    /// Waits until everything that cannot be lost has come.
    Settle,
    /// Stops the reader, whatever it is doing. The position is that of `back`
    /// events ago.
    Restart {
        back: usize,
    },
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let padding = prop_oneof![8 => 0..80_usize, 2 => 200..6_000_usize, 1 => Just(300_000)];
    prop_oneof![
        6 => proptest::collection::vec(padding, 1..6).prop_map(Step::Lines),
        3 => (0..=100_usize).prop_map(Step::Part),
        3 => Just(Step::Rotate),
        1 => Just(Step::Remake),
        2 => Just(Step::Truncate),
        5 => (1..4_usize).prop_map(Step::Take),
        2 => Just(Step::Settle),
        2 => (0..4_usize).prop_map(|back| Step::Restart { back }),
        1 => Just(Step::Stop),
    ]
}

struct Model {
    scene: Scene,
    scheme: &'static str,
    rotations: usize,
    /// The number of the next line.
    next: usize,
    /// A line that is written in part: its text, and how much of it.
    part: Option<(String, usize)>,
    /// Lines that have to come.
    owed: BTreeSet<usize>,
    /// Of those, the ones in the file at the path.
    here: BTreeSet<usize>,
    written: HashMap<usize, String>,
    /// The positions of this life as they came; a restart may find an earlier
    /// one, but never one of an earlier life: that of `Opened` was stored.
    history: Vec<Checkpoint>,
    lives: usize,
    /// Whether the file was truncated and the reader has not said so yet.
    cut: bool,
    running: bool,
}

impl Model {
    fn new(scheme: &'static str) -> Self {
        let mut scene = Scene::new();
        scene.timing = Timing {
            poll: Duration::from_millis(2),
            grace: Duration::from_millis(6),
        };
        match scheme {
            "wazuh" => link_as_wazuh(&scene, "2026/Nov/ossec-alerts-29.json"),
            _ => append(&scene.path, b""),
        }
        let mut model = Self {
            scene,
            scheme,
            rotations: 0,
            next: 0,
            part: None,
            owed: BTreeSet::new(),
            here: BTreeSet::new(),
            written: HashMap::new(),
            history: Vec::new(),
            lives: 0,
            cut: false,
            running: false,
        };
        model.run();
        while model.lives == 0 {
            model.take();
        }
        model
    }

    fn run(&mut self) {
        if !self.running {
            self.scene.start(StartAt::Beginning);
            self.running = true;
        }
    }

    fn stop(&mut self) {
        if self.running {
            self.scene.kill();
            self.running = false;
        }
    }

    fn take(&mut self) {
        self.scene.take(Duration::from_millis(20));
        if self.lives < self.scene.opened.len() {
            self.lives = self.scene.opened.len();
            self.history.clear();
            self.cut = false;
        }
        if self.history.last() != self.scene.stored.as_ref() {
            self.history.extend(self.scene.stored.clone());
        }
    }

    /// Whether lines have come of a life whose stored position is its beginning.
    fn position_is_bare(&self) -> bool {
        let stored = self.scene.stored.as_ref().unwrap();
        let came = |line: &Line| line.generation == stored.generation;
        stored.offset == 0 && self.scene.lines.iter().any(came)
    }

    fn restart(&mut self, back: usize) {
        self.stop();
        let last = self.history.len() - 1;
        let mut chosen = &self.history[last.saturating_sub(back)];
        if self.cut && chosen.offset == 0 {
            chosen = &self.history[last];
        }
        self.scene.stored = Some(chosen.clone());
        self.run();
    }

    fn line(&mut self, padding: usize) -> String {
        let number = self.next;
        self.next += 1;
        let text = format!(
            "{{\"number\":{number},\"pad\":\"{}\"}}",
            "x".repeat(padding)
        );
        self.written.insert(number, text.clone());
        text
    }

    /// Ends a line that is written in part, and owes the last one.
    fn finish_part(&mut self) {
        if let Some((text, written)) = self.part.take() {
            append(&self.scene.path, &text.as_bytes()[written..]);
            append(&self.scene.path, b"\n");
            self.owe(self.next - 1);
        }
    }

    fn owe(&mut self, number: usize) {
        self.owed.insert(number);
        self.here.insert(number);
    }

    /// The file at the path is truncated or gone: what was not delivered of it
    /// may be lost.
    fn forgive(&mut self) {
        // At offset 0 nothing can tell that a file was truncated.
        while self.position_is_bare() {
            self.run();
            self.take();
        }
        for number in std::mem::take(&mut self.here) {
            self.owed.remove(&number);
        }
        self.part = None;
        self.cut = true;
    }

    fn delivered(&self) -> BTreeSet<usize> {
        self.scene
            .lines
            .iter()
            .map(|line| number(&line.bytes))
            .collect()
    }

    fn settle(&mut self) {
        self.run();
        let deadline = std::time::Instant::now() + crate::scene::DEADLINE;
        loop {
            let delivered = self.delivered();
            if self.owed.is_subset(&delivered) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "never came: {:?}, skipped {:?}, troubles {:?}, opened {:?}",
                self.owed.difference(&delivered).collect::<Vec<_>>(),
                self.scene.skips,
                self.scene.troubles,
                self.scene.opened
            );
            self.take();
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Lines(paddings) => {
                self.finish_part();
                for &padding in paddings {
                    let line = self.line(padding) + "\n";
                    append(&self.scene.path, line.as_bytes());
                    self.owe(self.next - 1);
                }
            }
            Step::Part(percent) => {
                self.finish_part();
                let text = self.line(*percent);
                let written = text.len() * percent / 100;
                append(&self.scene.path, &text.as_bytes()[..written]);
                self.part = Some((text, written));
            }
            Step::Rotate => {
                // A whole line without its newline is taken, a torn one not.
                if self.scheme == "copied" {
                    self.forgive();
                    let copy = format!("alerts-202611{:02}.json", self.rotations + 1);
                    fs::copy(&self.scene.path, self.scene.at(&copy)).unwrap();
                    fs::File::create(&self.scene.path).unwrap();
                    self.rotations += 1;
                    return;
                }
                if let Some((text, written)) = self.part.take()
                    && written == text.len()
                {
                    self.owe(self.next - 1);
                }
                rotate(&self.scene, self.scheme, self.rotations);
                self.rotations += 1;
                self.here.clear();
            }
            // A file without a dated name would be gone with the next rotation.
            Step::Remake if self.scheme == "wazuh" => self.step(&Step::Rotate),
            Step::Remake => {
                // What follows a deleted file is found only while it is read.
                self.settle();
                self.forgive();
                fs::remove_file(&self.scene.path).unwrap();
                self.step(&Step::Lines(vec![0]));
                self.settle();
            }
            Step::Truncate => {
                self.forgive();
                fs::File::create(&self.scene.path).unwrap();
            }
            Step::Take(count) => {
                self.run();
                for _ in 0..*count {
                    self.take();
                }
            }
            Step::Settle => self.settle(),
            Step::Restart { back } => self.restart(*back),
            Step::Stop => self.stop(),
        }
    }

    /// What came is what was written; a line that came more than once came from
    /// the same place.
    fn check(&self) {
        let mut places = HashMap::new();
        let mut first = Vec::new();
        for line in &self.scene.lines {
            let number = number(&line.bytes);
            assert_eq!(line.bytes, self.written[&number].as_bytes());
            let place = (line.generation, line.offset);
            match places.insert(number, place) {
                None => first.push(number),
                Some(before) => assert_eq!(before, place, "line {number} has two places"),
            }
        }
        let distinct: BTreeSet<_> = places.values().map(|(g, o)| (g.0, *o)).collect();
        assert_eq!(distinct.len(), places.len(), "two lines at one place");
        assert!(first.is_sorted(), "out of order: {first:?}");
    }
}

fn number(bytes: &[u8]) -> usize {
    let line: serde_json::Value = serde_json::from_slice(bytes).expect("a line that was written");
    usize::try_from(line["number"].as_u64().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_that_can_come_comes_from_one_place(
        scheme in 0..=SCHEMES.len(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut model = Model::new(SCHEMES.get(scheme).copied().unwrap_or("copied"));
        for step in &steps {
            model.step(step);
        }
        model.finish_part();
        model.settle();
        model.check();
    }
}
