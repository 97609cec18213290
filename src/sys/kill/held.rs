//! One process, held by a descriptor.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::KillError;
use crate::clock::{self, Wall};
use crate::sys::process::stat::Stat;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A process that cannot be mistaken for a later one with its number.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
    pub(super) stat: Stat,
}

/// The file that a process runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exe {
    /// As the kernel shows it, with ` (deleted)` behind it if it has gone.
    pub path: PathBuf,
    device: u64,
    inode: u64,
}

impl Held {
    /// Holds the process with this number; `None` if none runs.
    pub fn open(pid: i32) -> Result<Option<Self>, KillError> {
        let Some(number) = Pid::from_raw(pid) else {
            return Ok(None);
        };
        let fd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(None),
            // ENOENT from Linux 6.9 on.
            Err(Errno::INVAL | Errno::NOENT) => return Err(KillError::Thread { pid }),
            Err(Errno::NOSYS) => return Err(KillError::NoDescriptors { pid }),
            Err(errno) => {
                let source = errno.into();
                return Err(KillError::Hold { pid, source });
            }
        };
        // Read now that the descriptor is held. It is the descriptor that tells
        // an end: a process whose first thread has gone looks like a zombie.
        let held = Stat::of(pid).map(|stat| Self { fd, stat });
        Ok(held.filter(|held| !held.has_ended()))
    }

    pub fn pid(&self) -> i32 {
        self.stat.pid
    }

    pub fn is_kernel_thread(&self) -> bool {
        self.stat.is_kernel_thread()
    }

    /// When it started, by the wall clock as it goes now; exact to a tick of
    /// the kernel, which is 10 ms.
    pub fn started(&self) -> Wall {
        let since_boot = Duration::from_secs_f64(self.stat.start_time as f64 / ticks_per_second());
        let now = Duration::from_nanos(clock::boot_nanos());
        clock::wall().minus(now.saturating_sub(since_boot))
    }

    /// Whose it is, whatever rights it has taken on meanwhile (the real user id).
    pub fn user(&self) -> io::Result<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let mut lines = status.lines();
        let ids = lines.find_map(|line| line.strip_prefix("Uid:"));
        let real = ids.and_then(|ids| ids.split_ascii_whitespace().next());
        real.and_then(|id| id.parse().ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The file that it runs. A process that is ending has none any more.
    pub fn exe(&self) -> io::Result<Exe> {
        let link = PathBuf::from(format!("/proc/{}/exe", self.pid()));
        let path = fs::read_link(&link)?;
        let file = fs::metadata(&link)?;
        Ok(Exe {
            path,
            device: file.dev(),
            inode: file.ino(),
        })
    }

    pub fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
        !matches!(poll(&mut polled, Some(&AT_ONCE)), Ok(0))
    }

    /// That it has ended is no error.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        match pidfd_send_signal(&self.fd, signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => sent,
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Exe {
    /// Whether it is the file at `path`. Where there is one, that file itself
    /// decides, however it is called, or else one that stood there and has been
    /// deleted or replaced since; where there is none, the name does.
    pub fn is(&self, path: &Path) -> bool {
        let mut deleted = path.as_os_str().to_owned();
        deleted.push(" (deleted)");
        let was_here = self.path.as_os_str() == deleted && !self.is_now_at(Path::new(&deleted));
        match fs::metadata(path) {
            Ok(_) => self.is_now_at(path) || was_here,
            Err(_) => self.path == path || was_here,
        }
    }

    fn is_now_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
    }
}

fn ticks_per_second() -> f64 {
    // SAFETY: reads a number of the system; no memory is touched.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    // It is 100 on every Linux (USER_HZ).
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Held;
    use crate::clock;

    fn own() -> Held {
        let pid = i32::try_from(std::process::id()).unwrap();
        Held::open(pid).unwrap().unwrap()
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let own = own();
        assert!(!own.has_ended() && !own.is_kernel_thread());
        assert_eq!(own.user().unwrap(), rustix::process::getuid().as_raw());
        let age = own.started().until(clock::wall());
        assert!(age.as_secs() < 3_600, "{age:?}");
        assert!(own.started() <= clock::wall());
        assert!(Held::open(0).unwrap().is_none());
        assert!(Held::open(i32::MAX).unwrap().is_none());
    }

    #[test]
    fn a_file_is_known_by_itself_and_by_its_name_only_where_there_is_none() {
        let exe = own().exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&exe.path, &link).unwrap();
        assert!(exe.is(&exe.path) && exe.is(&link));
        assert!(!exe.is(Path::new("/bin/sh")));
        assert!(!exe.is(&folder.path().join("none")));
        // Its file has gone.
        let gone = folder.path().join("gone");
        let mut deleted = exe.clone();
        deleted.path = folder.path().join("gone (deleted)");
        assert!(deleted.is(&gone));
        // Another file stands in its place.
        std::os::unix::fs::symlink("/bin/sh", &gone).unwrap();
        assert!(deleted.is(&gone));
        // This is just how the file is called.
        std::os::unix::fs::symlink(&exe.path, &deleted.path).unwrap();
        assert!(!deleted.is(&gone));
    }
}
