//! A manager and three agents in one thread and in simulated time, under cut
//! cables, kills, power cuts and clocks that are set; and a checker that
//! believes only what has happened.
//!
//! Everything is real but what lies beyond the machine's edge: the clock
//! ([`crate::clock::simulated`]), the disk below the journals
//! ([`crate::journal::simulated`]), the file of alerts
//! ([`crate::source::played`]), the cable, and the executables
//! ([`crate::agent::Played`]). A seed gives the same run each time.
//! `RIPOST_SIM_SEEDS` says how many are run, `RIPOST_SEED` which one alone.

mod cable;
mod check;
mod feed;
mod history;
mod hosts;
mod kernel;
mod plan;
mod world;

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use history::{Event, History, Random};

/// How many seeds are run by default.
const SEEDS: u64 = 1_000;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How long the run has lasted, in its own time.
fn elapsed() -> Duration {
    let began = BEGAN.get().expect("a run has begun");
    Instant::now().duration_since(began)
}

/// What the hosts of a run have in common.
struct Setting {
    random: Random,
    history: History,
    faulty_runs: bool,
    faulty_lines: bool,
}

/// What a run has led to.
struct Run {
    events: Vec<Event>,
    problems: Vec<String>,
}

impl Run {
    fn text(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            writeln!(text, "{:>8} {:?}", event.at, event.what).unwrap();
        }
        text
    }
}

fn run(seed: u64) -> Run {
    crate::transport::random::played::follow(Some(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let run = runtime.block_on(async {
        BEGAN.set(Some(Instant::now()));
        world::run(seed).await
    });
    drop(runtime);
    crate::transport::random::played::follow(None);
    crate::journal::simulated::forget();
    crate::source::played::forget();
    run
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// Runs seeds from `next` on until there are no more; says which one failed.
fn run_until(next: &AtomicU64, end: u64) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let done = std::panic::catch_unwind(|| run(seed));
        let Ok(done) = done else {
            panic!("a daemon panicked\nRIPOST_SEED={seed}");
        };
        if !done.problems.is_empty() {
            let problems = done.problems.join("\n  ");
            panic!("{}\nRIPOST_SEED={seed}\n  {problems}", done.text());
        }
    }
}

#[test]
fn whatever_breaks_each_action_happens_once_in_order_and_in_its_time() {
    let (first, end) = match number("RIPOST_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("RIPOST_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    eprintln!("RIPOST_SEED={first} to {}", end - 1);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| run_until(&next, end)))
            .collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..12 {
        let (first, again) = (run(seed).text(), run(seed).text());
        let same = first.lines().zip(again.lines()).take_while(|(a, b)| a == b);
        let same = same.count();
        let differs = [&first, &again].map(|text| text.lines().nth(same));
        assert_eq!(
            differs,
            [None, None],
            "line {same}, RIPOST_SEED={seed}\n{first}"
        );
    }
}
