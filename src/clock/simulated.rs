//! Clocks that a test sets. A test may play several hosts on one thread: while
//! it is inside one of them ([`Clock::enter`]), that host's clocks are what the
//! time is.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::{Boot, Wall};

thread_local! {
    static PRESENT: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// The clocks of one host.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The time since the test began.
    elapsed: fn() -> Duration,
    /// What the wall clock shows beyond that, in milliseconds.
    ahead: AtomicI64,
    /// When the host was started, in milliseconds since the test began.
    booted: AtomicU64,
}

impl Clock {
    /// Clocks of a host that has just been started, with the wall clock at
    /// `wall`. `elapsed` tells how long the test has lasted.
    pub(crate) fn new(wall: Wall, elapsed: fn() -> Duration) -> Self {
        let clock = Self(Arc::new(Inner {
            elapsed,
            ahead: AtomicI64::new(0),
            booted: AtomicU64::new(0),
        }));
        clock.step(wall.millis() - clock.wall().millis());
        clock.reboot();
        clock
    }

    /// Sets the wall clock ahead, or back.
    pub(crate) fn step(&self, millis: i64) {
        self.0.ahead.fetch_add(millis, Ordering::Relaxed);
    }

    /// What the wall clock would have shown when the test began, set as it is
    /// now, in milliseconds.
    pub(crate) fn began(&self) -> i64 {
        self.0.ahead.load(Ordering::Relaxed)
    }

    /// Boot time begins anew.
    pub(crate) fn reboot(&self) {
        self.0.booted.store(self.millis(), Ordering::Relaxed);
    }

    /// Until the guard goes, these clocks are what the time is.
    pub(crate) fn enter(&self) -> Entered {
        Entered(PRESENT.replace(Some(self.clone())))
    }

    fn millis(&self) -> u64 {
        super::unsigned((self.0.elapsed)())
    }

    pub(super) fn wall(&self) -> Wall {
        let ahead = self.0.ahead.load(Ordering::Relaxed);
        Wall::from_millis(self.millis().cast_signed() + ahead)
    }

    pub(super) fn boot_nanos(&self) -> u64 {
        let booted = self.0.booted.load(Ordering::Relaxed);
        (self.millis() - booted) * 1_000_000
    }

    pub(super) fn boot(&self) -> Boot {
        Boot(self.boot_nanos() / 1_000_000)
    }
}

/// Inside a host. Dropped, whatever was before is the time again.
#[derive(Debug)]
pub(crate) struct Entered(Option<Clock>);

impl Drop for Entered {
    fn drop(&mut self) {
        PRESENT.set(self.0.take());
    }
}

/// The clocks of the host that the test is in.
pub(super) fn present() -> Option<Clock> {
    PRESENT.with_borrow(Clone::clone)
}

/// Whether the test is inside a host.
pub(crate) fn is_entered() -> bool {
    PRESENT.with_borrow(Option::is_some)
}
