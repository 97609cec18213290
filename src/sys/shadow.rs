//! `/etc/shadow`, for one change at a time: under the lock that passwd(1),
//! usermod(8) and vipw(8) take too (lckpwdf(3)), and replaced as a whole.
//!
//! A change is staged under a name of its own, and then installed. Whether the
//! staged file is still there tells after a crash whether the change was made:
//! one `rename(2)` does both.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, XattrFlags, fcntl_lock, fgetxattr, fsetxattr};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::fs::{FsError, install, read, remove, stage};
use crate::clock;

const SHADOW: &str = "/etc/shadow";

/// The lock of lckpwdf(3). It belongs to the process (fcntl(2)) and ends with it.
const LOCK: &str = "/etc/.pwd.lock";

/// Without it, who logs people in may not read the file under SELinux.
const LABEL: &str = "security.selinux";

/// The longest label that is looked for, in bytes: they have some forty.
const MAX_LABEL: usize = 4096;

/// Why /etc/shadow cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    #[error(
        "find {SHADOW}: there is none\n(this host keeps its passwords elsewhere; run pwconv to keep them there)"
    )]
    Missing,
    #[error("follow {SHADOW}\n(it is a symlink that leads nowhere)")]
    Link(#[source] io::Error),
    #[error("lock {LOCK}\n(run as root, and have /etc writable)")]
    Lock(#[source] io::Error),
    #[error("lock {LOCK}: {holder} has held it for {} s\n(is somebody in `vipw -s`?)", .waited.as_secs())]
    Held { holder: String, waited: Duration },
    #[error("keep the SELinux label of {SHADOW}")]
    Label(#[source] io::Error),
    #[error("change {SHADOW}\n(have {} writable, and {SHADOW} no mount of its own)", .directory.display())]
    Replace {
        directory: PathBuf,
        #[source]
        source: FsError,
    },
    #[error(transparent)]
    File(#[from] FsError),
}

/// The file, as long as nobody else can change it.
#[derive(Debug)]
pub struct Shadow {
    /// Where it is, links resolved.
    path: PathBuf,
    text: Vec<u8>,
    _lock: File,
}

impl Shadow {
    /// Waits at most `wait` for its lock and reads it.
    pub fn open(wait: Duration) -> Result<Self, ShadowError> {
        let path = match fs::canonicalize(SHADOW) {
            Ok(path) => path,
            Err(_) if !Path::new(SHADOW).is_symlink() => return Err(ShadowError::Missing),
            Err(why) => return Err(ShadowError::Link(why)),
        };
        let lock = lock(wait)?;
        let text = read(&path)?.ok_or(ShadowError::Missing)?;
        Ok(Self {
            path,
            text,
            _lock: lock,
        })
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether a change by this name was staged and neither made nor dropped.
    pub fn is_staged(&self, name: &str) -> Result<bool, ShadowError> {
        let path = self.staged(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(FsError::io("look at", &path)(why).into()),
        }
    }

    /// Writes what is to replace the file, with its owner, mode and label.
    pub fn stage(&self, name: &str, text: &[u8]) -> Result<(), ShadowError> {
        let new = self.staged(name);
        let staged = stage(&new, text, &self.path).map_err(|source| self.unwritable(source));
        let done = staged.and_then(|()| copy_label(&self.path, &new));
        if done.is_err() {
            // It may not have been made, and the error that matters is known.
            let _ = fs::remove_file(&new);
        }
        done
    }

    /// Drops what was staged, if anything was.
    pub fn unstage(&self, name: &str) -> Result<(), ShadowError> {
        Ok(remove(&self.staged(name))?)
    }

    /// Puts what was staged in the place of the file, and reads that again.
    pub fn install(&mut self, name: &str) -> Result<(), ShadowError> {
        install(&self.staged(name), &self.path).map_err(|source| self.unwritable(source))?;
        self.text = read(&self.path)?.ok_or(ShadowError::Missing)?;
        Ok(())
    }

    fn staged(&self, name: &str) -> PathBuf {
        self.path.with_file_name(format!(".shadow.ripost-{name}"))
    }

    fn unwritable(&self, source: FsError) -> ShadowError {
        let directory = self.path.parent().unwrap_or(&self.path).to_owned();
        ShadowError::Replace { directory, source }
    }
}

/// As lckpwdf(3), which would use SIGALRM to give up.
fn lock(wait: Duration) -> Result<File, ShadowError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(LOCK)
        .map_err(ShadowError::Lock)?;
    let start = clock::boot();
    loop {
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::AGAIN | Errno::ACCESS) => {}
            Err(errno) => return Err(ShadowError::Lock(errno.into())),
        }
        let waited = start.until(clock::boot());
        if waited >= wait {
            let holder = holder(&file);
            return Err(ShadowError::Held { holder, waited });
        }
        // fcntl(2) has no deadline of its own.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// For people only.
fn holder(file: &File) -> String {
    let found = fcntl_getlk(file, &Flock::from(FlockType::WriteLock));
    let process = found.ok().flatten().and_then(|lock| lock.pid);
    match process {
        Some(pid) => format!("process {}", pid.as_raw_nonzero()),
        None => "another process".to_owned(),
    }
}

fn copy_label(from: &Path, to: &Path) -> Result<(), ShadowError> {
    let copy = || {
        let mut label = [0; MAX_LABEL];
        let length = match fgetxattr(File::open(from)?, LABEL, &mut label[..]) {
            Ok(length) => length,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let new = File::open(to)?;
        fsetxattr(&new, LABEL, &label[..length], XattrFlags::empty())?;
        new.sync_all()
    };
    copy().map_err(ShadowError::Label)
}
