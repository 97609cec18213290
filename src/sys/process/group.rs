//! A process that is known again later, and the group and session it leads.
//!
//! Whatever is in its session is ended with it: a shell with job control and
//! timeout(1) give their children groups of their own. Only what has left the
//! session, as a service does (setsid(2)), is on its own.
//!
//! A number alone says nothing once its process is gone, so every signal goes
//! through a descriptor (pidfd_open(2)) of a process that was looked at after
//! the descriptor had been opened.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use super::RIPOST_HOME;
use super::stat::Stat;
use crate::clock;

/// A process, told from any later one with the same number by when it started.
/// Means nothing after a reboot: whoever stores it stores the boot id with it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ProcessId {
    pid: i32,
    /// Clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    start_time: u64,
}

/// Processes that a `SIGKILL` did not end in time, for instance because they
/// hang in the kernel.
#[derive(Debug, thiserror::Error)]
#[error("end process group {group}: {} of its processes outlived SIGKILL", left.len())]
pub struct NotEnded {
    pub group: i32,
    pub left: Vec<i32>,
}

/// How long a killed process may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// How often, and with what pause, a process is looked at that may be in the
/// middle of an execve(2); loading a program takes a few milliseconds.
const EXEC_LOOKS: u32 = 20;
const EXEC_PAUSE: Duration = Duration::from_millis(2);

impl ProcessId {
    /// The process with this number now, also if it is a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self {
            pid,
            start_time: stat.start_time,
        })
    }

    /// A process that there never was.
    #[cfg(test)]
    pub(crate) fn played(number: i32) -> Self {
        Self {
            pid: number,
            start_time: 0,
        }
    }

    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it still runs. A zombie has ended.
    pub fn is_running(self) -> bool {
        Stat::of(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !stat.has_ended())
    }

    /// Ends the group and session that this process led when it was started
    /// from `home`: `SIGTERM`, up to `grace` to go, `SIGKILL`. Returns once no
    /// process of them runs. Blocks. Does nothing if the number belongs to
    /// another process by now: they are gone then, for the kernel gives no
    /// number out again while a group or session bears it.
    ///
    /// If the leader alone is gone, the group's other processes are ended if
    /// their environment still names `home`; without that they might be a
    /// stranger's who used the number in between.
    pub fn end_group(self, home: &Path, grace: Duration) -> Result<(), NotEnded> {
        let group = Group { leader: self, home };
        if group.signal_until_gone(Signal::TERM, grace).is_empty() {
            return Ok(());
        }
        let left = group.signal_until_gone(Signal::KILL, KILL_WAIT);
        if left.is_empty() {
            return Ok(());
        }
        Err(NotEnded {
            group: self.pid,
            left: left.iter().map(|member| member.process.pid).collect(),
        })
    }
}

struct Group<'a> {
    leader: ProcessId,
    home: &'a Path,
}

/// A process of the group, and the descriptor that means it and no other. Only
/// kernels before 5.3 have none to give.
struct Member {
    process: ProcessId,
    fd: Option<OwnedFd>,
    /// Whether it is in the leader's own group, not only in its session.
    in_group: bool,
}

impl Member {
    fn signal(&self, signal: Signal) {
        // ESRCH: it has ended since.
        let _ = match (&self.fd, Pid::from_raw(self.process.pid)) {
            (Some(fd), _) => rustix::process::pidfd_send_signal(fd, signal),
            (None, Some(pid)) => rustix::process::kill_process(pid, signal),
            (None, None) => Ok(()),
        };
    }
}

impl Group<'_> {
    /// Signals every process of the group, and those that join it later, once
    /// each, until none runs or the time is over. Returns those that still run.
    fn signal_until_gone(&self, signal: Signal, time: Duration) -> Vec<Member> {
        let end = clock::boot().plus(time);
        let mut signalled: Vec<ProcessId> = Vec::new();
        loop {
            let members = self.members();
            let mut news: Vec<&Member> = members
                .iter()
                .filter(|member| !signalled.contains(&member.process))
                .collect();
            signalled.extend(news.iter().map(|member| member.process));
            // At once where that is safe, so that no process can fork its way
            // out between two looks; but a TERM comes to each only once.
            let at_once = signalled.len() == news.len() || signal == Signal::KILL;
            if !news.is_empty() && at_once && self.signal_if_child(signal) {
                news.retain(|member| !member.in_group);
            }
            for member in news {
                member.signal(signal);
            }
            let left = clock::boot().until(end);
            if members.is_empty() || left.is_zero() {
                return members;
            }
            wait_for_any(&members, left);
        }
    }

    /// Signals the group as such if its leader is a child of this process that
    /// has not been waited for: until then the number is nobody else's.
    fn signal_if_child(&self, signal: Signal) -> bool {
        let own = i32::try_from(std::process::id()).expect("a process number fits pid_t");
        let is_child = Stat::of(self.leader.pid)
            .is_some_and(|stat| stat.start_time == self.leader.start_time && stat.parent == own);
        match Pid::from_raw(self.leader.pid) {
            Some(leader) if is_child => rustix::process::kill_process_group(leader, signal).is_ok(),
            Some(_) | None => false,
        }
    }

    fn members(&self) -> Vec<Member> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| self.has(*pid))
            .filter_map(|pid| {
                let fd = match rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty())
                {
                    Ok(fd) => Some(fd),
                    Err(Errno::SRCH) => return None,
                    Err(_) => None,
                };
                let process = ProcessId::of(pid)?;
                let in_group = Stat::of(pid)?.group == self.leader.pid;
                // Looked at again, now that the descriptor is held.
                (self.has(pid) && self.is_ours(pid)).then_some(Member {
                    process,
                    fd,
                    in_group,
                })
            })
            .collect()
    }

    /// Whether a process that runs bears the number of the group or session.
    fn has(&self, pid: i32) -> bool {
        Stat::of(pid).is_some_and(|stat| {
            [stat.group, stat.session].contains(&self.leader.pid) && !stat.has_ended()
        })
    }

    /// Whether the number still stands for the group that the leader led.
    fn is_ours(&self, pid: i32) -> bool {
        match Stat::of(self.leader.pid) {
            Some(stat) => stat.start_time == self.leader.start_time,
            None => self.names_home(pid),
        }
    }

    fn names_home(&self, pid: i32) -> bool {
        names_home(pid, self.home)
    }
}

/// Whether the environment of a process says that it was started from this home.
pub(super) fn names_home(pid: i32, home: &Path) -> bool {
    let mut wanted = format!("{RIPOST_HOME}=").into_bytes();
    wanted.extend_from_slice(home.as_os_str().as_bytes());
    environment(pid)
        .split(|byte| *byte == 0)
        .any(|entry| entry == wanted)
}

/// The environment that a process was started with. In the middle of an
/// execve(2) the kernel shows none (proc_pid_environ(5)), so an empty one is
/// looked at again: what has cleared its environment still has none then.
fn environment(pid: i32) -> Vec<u8> {
    for _ in 0..EXEC_LOOKS {
        match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) if environment.is_empty() => std::thread::sleep(EXEC_PAUSE),
            Ok(environment) => return environment,
            // It has ended, or it is a stranger's.
            Err(_) => break,
        }
    }
    Vec::new()
}

/// Waits until one of them has ended, and no longer than `time`.
fn wait_for_any(members: &[Member], time: Duration) {
    // A process that joins the group meanwhile is seen at the next look.
    const LOOK_AGAIN: Duration = Duration::from_millis(200);
    let mut fds: Vec<PollFd<'_>> = members
        .iter()
        .filter_map(|member| member.fd.as_ref())
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(time.min(LOOK_AGAIN)).expect("a short span fits");
    // EINTR or not: the caller looks again either way.
    let _ = rustix::event::poll(&mut fds, Some(&timeout));
}

#[cfg(test)]
mod tests {
    use super::ProcessId;

    #[test]
    fn a_process_is_known_by_when_it_started() {
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_running());
        let earlier = ProcessId {
            start_time: own.start_time - 1,
            ..own
        };
        assert!(!earlier.is_running());
        assert_eq!(ProcessId::of(-1), None);
    }
}
