//! Files that are reached by descriptors, folder by folder from the root down,
//! so that nobody who may write to a folder on the way decides what is acted
//! on. The last name of a path is never followed, and nothing is ever replaced.
//!
//! The executables that move and remove files work through this.

mod attributes;
mod walk;
mod writers;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

pub use attributes::Attributes;
pub use writers::has_writers;

/// For root alone.
const PRIVATE: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Why a file is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    #[error("{action} {}{}", path.display(), hint(source))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "go through {}: it is a symlink, and others could have made it\n(have the real path reported)",
        .0.display()
    )]
    Link(PathBuf),
    #[error(
        "move {}: it or its folder is immutable or append-only\n(`lsattr` shows it, `chattr -ia` takes it away)",
        .0.display()
    )]
    Immutable(PathBuf),
    #[error(
        "use the folder {}: others can write to it\n(it, and the one above a new one, must be root's and writable for root alone)",
        .0.display()
    )]
    Shared(PathBuf),
}

impl BeneathError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::Io {
            action,
            path,
            source: errno.into(),
        }
    }

    /// What the system said, where it said something.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Link(_) | Self::Immutable(_) | Self::Shared(_) => None,
        }
    }
}

/// What to do about it, where the words of the system do not say.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\n(make room on that file system)"
        }
        io::ErrorKind::ReadOnlyFilesystem => "\n(it is mounted read-only: `findmnt -T` shows it)",
        io::ErrorKind::InvalidFilename => "\n(the name is too long for that file system)",
        io::ErrorKind::PermissionDenied => "\n(run as root)",
        io::ErrorKind::InvalidInput => {
            "\n(that file system may not move a file without replacing another)"
        }
        _ => "",
    }
}

/// Which file it is, whatever it is called (inode(7)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that a path leads to, links followed; none where it leads
    /// nowhere.
    pub fn of_path(path: &str) -> Option<Self> {
        rustix::fs::stat(path).ok().map(|stat| Self::of(&stat))
    }

    /// The number that stays the same over a reboot.
    pub fn inode(self) -> u64 {
        self.inode
    }

    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// All folders on the way, itself included.
    trail: Vec<FileId>,
}

impl Folder {
    /// Opens the folder at a path; one that is not absolute is below the
    /// working directory. A link on the way is followed only where nobody but
    /// root could have made it.
    pub fn open(path: &Path) -> Result<Self, BeneathError> {
        walk::folder(path)
    }

    /// Opens a folder that only root may write to. What is missing of it is
    /// made, for root alone, where the folder above is root's too.
    pub fn open_or_make(path: &Path) -> Result<Self, BeneathError> {
        let folder = match (Self::open(path), path.parent(), path.file_name()) {
            (Err(why), Some(above), Some(name)) if why.kind() == Some(io::ErrorKind::NotFound) => {
                match Self::open_or_make(above)?.make(name) {
                    // Another run was quicker.
                    Err(why) if why.kind() == Some(io::ErrorKind::AlreadyExists) => {
                        Self::open(path)?
                    }
                    made => made?,
                }
            }
            (opened, _, _) => opened?,
        };
        match folder.stat()? {
            stat if is_roots(&stat) => Ok(folder),
            _ => Err(BeneathError::Shared(folder.path)),
        }
    }

    /// The real path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is that folder, or lies below it.
    pub fn is_in(&self, folder: FileId) -> bool {
        self.trail.contains(&folder)
    }

    pub fn id(&self) -> FileId {
        *self.trail.last().expect("a folder is on its own trail")
    }

    /// Whether nobody but root can look into it.
    pub fn is_private(&self) -> Result<bool, BeneathError> {
        let stat = self.stat()?;
        Ok(is_roots(&stat) && stat.st_mode & 0o077 == 0)
    }

    /// What has this name in it, whatever that is.
    pub fn find(&self, name: &OsStr) -> Result<Option<Found>, BeneathError> {
        let path = self.path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(BeneathError::io("look at", &path))?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(BeneathError::io("look at", &path))?;
        Ok(Some(Found { fd, stat, path }))
    }

    /// All names in it.
    pub fn names(&self) -> Result<Vec<OsString>, BeneathError> {
        let error = |errno| BeneathError::io("read", &self.path)(errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(error)? {
            let name = entry.map_err(error)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Makes a folder in it for root alone.
    pub fn make(&self, name: &OsStr) -> Result<Self, BeneathError> {
        let path = self.path.join(name);
        let mode = Mode::from_raw_mode(PRIVATE);
        rustix::fs::mkdirat(&self.fd, name, mode).map_err(BeneathError::io("make", &path))?;
        // What has the name by now may be another: only ours is good.
        match self.private(name)? {
            Some(folder) => Ok(folder),
            None => Err(BeneathError::Shared(path)),
        }
    }

    /// The folder of this name, if there is one for root alone.
    pub fn private(&self, name: &OsStr) -> Result<Option<Self>, BeneathError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => opened.map_err(BeneathError::io("open", &path))?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(BeneathError::io("look at", &path))?;
        let trail = [&self.trail[..], &[FileId::of(&stat)]].concat();
        let folder = Self { fd, path, trail };
        Ok(folder.is_private()?.then_some(folder))
    }

    /// Makes a file in it for root alone.
    pub fn create(&self, name: &OsStr) -> Result<File, BeneathError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(PRIVATE_FILE))
            .map(File::from)
            .map_err(BeneathError::io("make", &self.path.join(name)))
    }

    /// Moves what has this name into another folder, where the new name must be
    /// free (renameat2(2), RENAME_NOREPLACE).
    pub fn rename(&self, name: &OsStr, into: &Self, new: &OsStr) -> Result<(), BeneathError> {
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.fd, name, &into.fd, new, flags).map_err(|errno| {
            let path = self.path.join(name);
            match errno {
                Errno::PERM if self.is_immutable(name) => BeneathError::Immutable(path),
                Errno::EXIST => BeneathError::io("make", &into.path.join(new))(errno),
                _ => BeneathError::io("move", &path)(errno),
            }
        })
    }

    /// Takes a name away that is no folder's.
    pub fn remove(&self, name: &OsStr) -> Result<(), BeneathError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(BeneathError::io("remove", &self.path.join(name)))
    }

    /// Takes an empty folder away.
    pub fn remove_folder(&self, name: &OsStr) -> Result<(), BeneathError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(BeneathError::io("remove", &self.path.join(name)))
    }

    /// Waits until its names are on the disk.
    pub fn sync(&self) -> Result<(), BeneathError> {
        rustix::fs::fsync(&self.fd).map_err(BeneathError::io("sync", &self.path))
    }

    fn stat(&self) -> Result<Stat, BeneathError> {
        rustix::fs::fstat(&self.fd).map_err(BeneathError::io("look at", &self.path))
    }

    /// Asked only to explain a refusal: what cannot be learnt is not so.
    fn is_immutable(&self, name: &OsStr) -> bool {
        let kept = IFlags::IMMUTABLE | IFlags::APPEND;
        let has = |flags: Result<IFlags, Errno>| flags.is_ok_and(|flags| flags.intersects(kept));
        let found = self.find(name).ok().flatten();
        let file = found.and_then(|found| found.open().ok());
        has(rustix::fs::ioctl_getflags(&self.fd))
            || file.is_some_and(|file| has(rustix::fs::ioctl_getflags(&file)))
    }
}

/// Root's or our own, and nobody else may write.
fn is_roots(stat: &Stat) -> bool {
    is_trusted(stat.st_uid) && stat.st_mode & 0o022 == 0
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Something that has a name in a folder. It stays the same thing whatever
/// becomes of the name.
#[derive(Debug)]
pub struct Found {
    fd: OwnedFd,
    stat: Stat,
    path: PathBuf,
}

impl Found {
    pub fn id(&self) -> FileId {
        FileId::of(&self.stat)
    }

    /// Which file it is now: in a file system of layers a file that is moved may
    /// become another one under the same descriptor.
    pub fn id_now(&self) -> Result<FileId, BeneathError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(BeneathError::io("look at", &self.path))?;
        Ok(FileId::of(&stat))
    }

    pub fn is_regular(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    pub fn is_link(&self) -> bool {
        self.kind() == FileType::Symlink
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or_default()
    }

    /// How many names it has.
    pub fn names(&self) -> u64 {
        self.stat.st_nlink
    }

    /// Opens a regular file for reading, which leaves no trace in its times.
    /// `WouldBlock`: another program holds a lease on it (fcntl(2)).
    pub fn open(&self) -> Result<File, BeneathError> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let open = |flags| rustix::fs::open(&path, flags, Mode::empty());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // A user namespace may hold files that are not ours.
        let opened = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            opened => opened,
        };
        opened
            .map(File::from)
            .map_err(BeneathError::io("open", &self.path))
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}
