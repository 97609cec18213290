//! A process that was started here, until its status has been collected.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ProcessId;

/// A process that leads a group of its own. Dropped before [`wait`] has said
/// how it ended, the whole group is killed, and its status is collected in the
/// background: it leaves no zombie.
///
/// [`wait`]: Child::wait
#[derive(Debug)]
pub struct Child {
    leader: Leader,
    process: ProcessId,
    watch: Option<AsyncFd<OwnedFd>>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    Exited(i32),
    Signalled(i32),
}

impl Child {
    /// Takes over a child that was just started and leads a group. Must be
    /// called within a tokio runtime.
    pub(super) fn adopt(pid: Pid) -> io::Result<Self> {
        let leader = Leader { pid, exit: None };
        let process = ProcessId::of(pid.as_raw_nonzero().get())
            .ok_or_else(|| io::Error::other("/proc is not readable"))?;
        // Kernels before 5.3 have none to give, nor do some filters for
        // containers; then it is looked at now and then.
        let watch = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Some(watch(fd)?),
            Err(_) => None,
        };
        Ok(Self {
            leader,
            process,
            watch,
        })
    }

    pub fn id(&self) -> ProcessId {
        self.process
    }

    /// Waits for its end and collects its status. Until this has returned, its
    /// number and that of its group are nobody else's. Cancel-safe: nothing is
    /// awaited after the status has been collected. Answers again when asked
    /// again.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let Self { leader, watch, .. } = self;
        if let Some(exit) = leader.exit {
            return Ok(exit);
        }
        loop {
            let Some(watch) = watch else {
                if let Some(exit) = leader.collect(WaitId::Pid(leader.pid))? {
                    return Ok(exit);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            let mut ended = watch.readable().await?;
            let collected = ended.try_io(|fd| {
                let exit = leader.collect(WaitId::PidFd(fd.get_ref().as_fd()))?;
                exit.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            match collected {
                Ok(exit) => return exit,
                Err(_would_block) => {}
            }
        }
    }
}

fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by an `OwnedFd`, which always returns the
    // same number and is given away to the `AsyncFd` for as long as that lives.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// A child that is killed and collected when it is dropped too early.
#[derive(Debug)]
struct Leader {
    pid: Pid,
    /// There once its status has been collected.
    exit: Option<Exit>,
}

impl Leader {
    /// Collects its status, if it has ended.
    fn collect(&mut self, id: WaitId<'_>) -> io::Result<Option<Exit>> {
        let status = rustix::process::waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
        self.exit = status.as_ref().map(Exit::of);
        Ok(self.exit)
    }

    /// Whether its number is still its own: it may not be where the parent of
    /// this process had it ignore `SIGCHLD`.
    fn is_there(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(self.pid), look).is_ok()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.exit.is_some() || !self.is_there() {
            return;
        }
        // Fails for a group whose processes belong to others, which a child
        // that changed its user may be; it is collected whenever it ends.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let pid = self.pid;
        // On a thread, not a task, for the runtime may be what is going away;
        // and not here, for who hangs in the kernel takes its time. Without a
        // thread to be had, it stays a zombie until this process ends.
        let _ = thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || collect_blocking(pid));
    }
}

fn collect_blocking(pid: Pid) {
    let wait = || rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
    while matches!(wait(), Err(Errno::INTR)) {}
}

impl Exit {
    fn of(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            // Without WUNTRACED and the like, waitid(2) knows nothing else.
            (None, signal) => Self::Signalled(signal.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    use std::time::Duration;

    use tempfile::TempDir;

    use super::{Child, Exit};
    use crate::model::ExeName;
    use crate::sys::exe::Home;
    use crate::sys::process::{Pipes, ProcessId, StartError, start};

    /// Starts `body` as a script without `#!`.
    fn child(body: &str) -> (Child, Pipes, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("active-response/bin");
        let mut folders = std::fs::DirBuilder::new();
        folders.recursive(true).mode(0o750).create(&bin).unwrap();
        let mut file = std::fs::OpenOptions::new();
        file.write(true).create(true).mode(0o750);
        let mut file = file.open(bin.join("x.sh")).unwrap();
        file.write_all(body.as_bytes()).unwrap();
        drop(file);
        let home = Home::open(dir.path()).unwrap();
        let exe = home.executable(&ExeName::parse("x.sh").unwrap()).unwrap();
        // Another test that forks may hold the file open for writing still.
        loop {
            match start(&exe) {
                Err(StartError::Busy(_)) => {}
                started => {
                    let (child, pipes) = started.unwrap();
                    return (child, pipes, dir);
                }
            }
        }
    }

    async fn line(pipes: &Pipes) -> String {
        let mut bytes = vec![0; 100];
        loop {
            pipes.stdout.readable().await.unwrap();
            if let Ok(read) = pipes.stdout.try_read(&mut bytes) {
                bytes.truncate(read);
                return String::from_utf8(bytes).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_child_dropped_early_is_ended_with_its_group_and_leaves_no_zombie() {
        let (child, pipes, _dir) = child("sleep 1000 & echo $!; wait");
        let member = line(&pipes).await.trim().parse().unwrap();
        let member = ProcessId::of(member).unwrap();
        let leader = child.id();
        assert!(leader.is_running() && member.is_running());
        drop(child);
        let end = async {
            // A zombie still has a number.
            while ProcessId::of(leader.pid()) == Some(leader) || member.is_running() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), end).await;
        assert!(ended.is_ok());
    }

    #[tokio::test]
    async fn what_a_child_leaves_in_the_background_is_let_be() {
        let (mut leader, pipes, _dir) = child("sleep 1000 & echo $!");
        let member = line(&pipes).await.trim().parse().unwrap();
        let member = ProcessId::of(member).unwrap();
        assert_eq!(leader.wait().await.unwrap(), Exit::Exited(0));
        assert_eq!(leader.wait().await.unwrap(), Exit::Exited(0));
        assert_eq!(ProcessId::of(leader.id().pid()), None);
        drop(leader);
        assert!(member.is_running());
        let pid = rustix::process::Pid::from_raw(member.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn the_end_is_seen_with_and_without_a_descriptor_of_the_process() {
        for has_descriptor in [true, false] {
            for (body, exit) in [
                ("read -r word; exit 3", Exit::Exited(3)),
                ("read -r word; kill -9 $$", Exit::Signalled(9)),
            ] {
                let (mut child, pipes, _dir) = child(body);
                assert!(child.watch.is_some());
                if !has_descriptor {
                    child.watch = None;
                }
                let none_yet = tokio::time::timeout(Duration::from_millis(50), child.wait()).await;
                assert!(none_yet.is_err());
                let stdin = pipes.stdin.as_ref().unwrap();
                stdin.try_write(b"go\n").unwrap();
                let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
                assert_eq!(ended.unwrap().unwrap(), exit);
            }
        }
    }
}
