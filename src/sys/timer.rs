//! A timer on boot time, which keeps counting in suspend. Tokio's own timers
//! use the monotonic clock and stand still there.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

#[cfg(test)]
use crate::clock;
use crate::clock::Boot;

/// One alarm, set to a moment in boot time (timerfd_create(2),
/// `CLOCK_BOOTTIME`).
#[derive(Debug)]
pub struct BootTimer {
    fd: AsyncFd<OwnedFd>,
    set_to: Option<Boot>,
}

impl BootTimer {
    /// Must be called within a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        // SAFETY: the descriptor is owned by an `OwnedFd`, which always returns the
        // same number and is given away to the `AsyncFd` for as long as that lives.
        let fd = unsafe { AsyncFd::register(fd) }.map_err(|error| error.into_parts().1)?;
        Ok(Self { fd, set_to: None })
    }

    /// Sets the alarm, or takes it away. A moment that has passed rings at once.
    pub fn set(&mut self, at: Option<Boot>) -> io::Result<()> {
        if self.set_to == at {
            return Ok(());
        }
        #[cfg(test)]
        if clock::simulated::is_entered() {
            self.set_to = at;
            return Ok(());
        }
        // All zeros would disarm it, so the first millisecond of a boot is
        // rounded up.
        let millis = at.map_or(0, |at| at.millis().max(1));
        let time = Timespec {
            tv_sec: i64::try_from(millis / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
        };
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: time,
        };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set_to = at;
        Ok(())
    }

    /// Waits for the alarm. Safe to drop while it waits; an alarm that rang is
    /// forgotten only once this has returned.
    pub async fn ring(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if clock::simulated::is_entered() {
            return self.ring_simulated().await;
        }
        loop {
            let mut ready = self.fd.readable().await?;
            let mut expirations = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                Ok(read) => {
                    read?;
                    self.set_to = None;
                    return Ok(());
                }
                Err(_would_block) => {}
            }
        }
    }

    /// Tokio's timers follow the clocks of a simulated host.
    #[cfg(test)]
    async fn ring_simulated(&mut self) -> io::Result<()> {
        let Some(at) = self.set_to else {
            return std::future::pending().await;
        };
        tokio::time::sleep(clock::boot().until(at)).await;
        self.set_to = None;
        Ok(())
    }
}
