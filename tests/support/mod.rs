//! What tests that drive the real programs share: a network of their own, a
//! home, the two daemons, alerts, and clocks that can be moved.

pub mod alert;
pub mod clock;
pub mod daemon;
pub mod home;
pub mod isolation;
pub mod net;
pub mod random;

use std::time::{Duration, Instant};

/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `condition` gives something; `what` names it when the deadline
/// passes first.
#[track_caller]
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} for: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Watches for the whole of `span` that `holds` stays true.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(holds(), "no longer holds: {what}");
        std::thread::sleep(LOOK);
    }
}
