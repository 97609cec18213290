//! A line without a response costs no memory: not for itself, not by the number
//! of responses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ripost::alert::Shape;
use ripost::clock;
use ripost::matcher::{Condition, Conditions};
use ripost::model::RuleId;
use ripost::model::os_regex::Pattern;
use ripost::source::{Sieve, Sifting, Tally};
use tokio::sync::watch;

/// The allocator of the system, which counts for each thread.
struct Counting;

thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

fn count() {
    // A thread that is ending has nothing left to count with.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on as it is; counting neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to what `System` asks for, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn conditions(responses: usize) -> Vec<Condition> {
    let conditions = (0..responses).map(|number| match number % 3 {
        0 => Condition {
            ids: vec![RuleId::parse(&(100_000 + number).to_string()).unwrap()],
            ..Condition::default()
        },
        _ => Condition {
            group: Some(Pattern::compile(&format!("group{number},")).unwrap()),
            ..Condition::default()
        },
    });
    conditions.collect()
}

fn line(number: usize) -> Vec<u8> {
    let rule = 5_000 + number % 50;
    format!(
        r#"{{"timestamp":"2026-03-04T05:06:{:02}.891+0000","rule":{{"level":5,"description":"sshd: \"{number}\"","id":"{rule}","mitre":{{"id":["T1110"]}},"firedtimes":{number},"mail":false,"groups":["syslog","sshd"],"pci_dss":["10.2.4"]}},"agent":{{"id":"001"}},"id":"1.{number}","full_log":"{}"}}"#,
        number % 60,
        "x".repeat(number % 900),
    )
    .into_bytes()
}

#[test]
fn a_line_of_a_known_rule_allocates_nothing() {
    for responses in [1, 3_000] {
        let conditions = Arc::new(Conditions::new(conditions(responses)));
        let (_changes, conditions) = watch::channel(conditions);
        let mut sieve = Sieve::new(Sifting {
            shape: Shape::Auto,
            conditions,
            tally: Arc::new(Tally::default()),
        });
        let lines: Vec<Vec<u8>> = (0..2_000).map(line).collect();
        let now = clock::boot();
        let mut count = |lines: &[Vec<u8>]| {
            let before = ALLOCATIONS.get();
            for line in lines {
                assert!(!sieve.passes(line, now));
            }
            ALLOCATIONS.get() - before
        };
        assert!(count(&lines[..50]) > 50, "nothing was counted");
        assert_eq!(count(&lines[50..]), 0, "with {responses} responses");
    }
}
