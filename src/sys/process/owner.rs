//! All processes of a user. By the real user: what a user starts keeps it,
//! also where the program runs with the rights of another (setuid), while a
//! server that takes the rights of a user on for a moment does not count.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ProcessId;
use crate::clock;

/// How long a killed process may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// A process that appears meanwhile is seen at the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why processes of a user run on.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("list the processes of user {uid}\n(is /proc mounted?)")]
    List {
        uid: u32,
        #[source]
        source: io::Error,
    },
    #[error("end process {pid} of user {uid}\n(run as root, with CAP_KILL)")]
    Signal {
        uid: u32,
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error(
        "end the processes of user {uid}: {left} of them outlived SIGKILL\n(they hang in the kernel, or new ones are started all the time)"
    )]
    Left { uid: u32, left: usize },
}

/// A process and the descriptor that means it and no later one.
struct Owned {
    process: ProcessId,
    fd: OwnedFd,
}

/// How many processes of a user run now.
pub fn count_of(uid: u32) -> Result<usize, OwnerError> {
    Ok(owned(uid)?.len())
}

/// Ends all processes of a user: `SIGTERM`, up to `grace` to go, `SIGKILL`.
/// Returns how many there were, once none runs. Blocks.
pub fn end_all_of(uid: u32, grace: Duration) -> Result<usize, OwnerError> {
    let mut seen = HashSet::new();
    if signal_until_gone(uid, Signal::TERM, grace, &mut seen)? > 0 {
        let left = signal_until_gone(uid, Signal::KILL, KILL_WAIT, &mut seen)?;
        if left > 0 {
            return Err(OwnerError::Left { uid, left });
        }
    }
    Ok(seen.len())
}

/// Signals each of them, and those that appear later, once; `SIGKILL` at every
/// look. Returns how many still run after that time.
fn signal_until_gone(
    uid: u32,
    signal: Signal,
    time: Duration,
    seen: &mut HashSet<ProcessId>,
) -> Result<usize, OwnerError> {
    let start = clock::boot();
    loop {
        let running = owned(uid)?;
        for Owned { process, fd } in &running {
            if !seen.insert(*process) && signal != Signal::KILL {
                continue;
            }
            match pidfd_send_signal(fd, signal) {
                // It has ended since.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => {
                    let (pid, source) = (process.pid(), errno.into());
                    return Err(OwnerError::Signal { uid, pid, source });
                }
            }
        }
        let left = time.saturating_sub(start.until(clock::boot()));
        if running.is_empty() || left.is_zero() {
            return Ok(running.len());
        }
        wait_for_any(&running, left.min(LOOK_AGAIN));
    }
}

fn owned(uid: u32) -> Result<Vec<Owned>, OwnerError> {
    let list = |source| OwnerError::List { uid, source };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.filter(|pid| owner(*pid) == Some(uid)) else {
            continue;
        };
        let opened = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let fd = match opened {
            Some(Ok(fd)) => fd,
            // It has ended since.
            Some(Err(Errno::SRCH)) | None => continue,
            Some(Err(errno)) => return Err(list(errno.into())),
        };
        // Looked at again, now that the descriptor is held.
        if let Some(process) = ProcessId::of(pid)
            && process.is_running()
            && owner(pid) == Some(uid)
        {
            found.push(Owned { process, fd });
        }
    }
    Ok(found)
}

/// The real user of a process (proc_pid_status(5)).
fn owner(pid: i32) -> Option<u32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"Uid:\t"))?;
    let real = ids.split(|byte| *byte == b'\t').next()?;
    str::from_utf8(real).ok()?.parse().ok()
}

fn wait_for_any(running: &[Owned], time: Duration) {
    let mut fds: Vec<_> = running
        .iter()
        .map(|owned| PollFd::new(&owned.fd, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(time).expect("a short span fits");
    // EINTR or not: the caller looks again either way.
    let _ = poll(&mut fds, Some(&timeout));
}
