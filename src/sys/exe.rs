//! A file that may be run as root: opened, checked, and only then named.
//!
//! From the home down, `active-response`, `bin` and the file itself must belong
//! to root or to the user this process runs as and be writable by nobody else;
//! none may be a symbolic link. Each is opened relative to the one above it and
//! checked through the descriptor, so nothing can be swapped in between. Above
//! the home no directory may be open to everybody unless it is sticky.
//!
//! No file is run to learn what it is. One is bundled if it bears the name of a
//! bundled executable and its SHA-256 stands in `queue/bundled.sha256`, which
//! `ripostctl init` writes; everything else is a script.

mod record;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::model::ExeName;
use crate::model::bundled::{self, Bundled};
use crate::sys::fs::FsError;

pub use record::{Hash, RECORD};

/// Why a home or an executable in it is not used.
#[derive(Debug, thiserror::Error)]
pub enum ExeError {
    #[error("open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("use {}: it {fault}\n({})", path.display(), fault.hint(path))]
    Untrusted { path: PathBuf, fault: Fault },
    #[error(
        "read {}: line {line} is not a checksum of a file in active-response/bin\n\
         (ripostctl init --refresh writes it anew)",
        path.display()
    )]
    Record { path: PathBuf, line: usize },
    #[error(transparent)]
    Write(#[from] FsError),
}

impl ExeError {
    /// Whether there is just no such file.
    fn is_absence(&self) -> bool {
        match self {
            Self::Open { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Untrusted { .. } | Self::Record { .. } | Self::Write(_) => false,
        }
    }
}

/// What is wrong with a file or directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    Symlink,
    NotDirectory,
    NotRegular,
    /// Belongs to a user who is neither root nor the one this process runs as.
    Owner {
        uid: u32,
    },
    /// Group or others can write it.
    Writable {
        mode: u32,
    },
    /// Stands above the home, everybody can write it, and it is not sticky.
    Open {
        mode: u32,
    },
    NotExecutable {
        mode: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("is a symbolic link"),
            Self::NotDirectory => f.write_str("is not a directory"),
            Self::NotRegular => f.write_str("is not a regular file"),
            Self::Owner { uid } => write!(f, "belongs to user {uid}, not to root"),
            Self::Writable { mode } => {
                write!(f, "can be written by group or others (mode {mode:04o})")
            }
            Self::Open { mode } => write!(
                f,
                "can be written by everybody and lies above the home (mode {mode:04o})"
            ),
            Self::NotExecutable { mode } => write!(f, "is not executable (mode {mode:04o})"),
        }
    }
}

impl Fault {
    /// What to do about it.
    fn hint(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Symlink => format!("replace the link {path} by what it points to"),
            Self::NotDirectory => format!("move {path} away and make it a directory"),
            Self::NotRegular => format!("replace {path} by a regular file"),
            Self::Owner { .. } => format!("chown root '{path}'"),
            Self::Writable { .. } => format!("chmod go-w '{path}'"),
            Self::Open { .. } => format!("chmod o-w '{path}', or chmod +t '{path}'"),
            Self::NotExecutable { .. } => format!("chmod 0750 '{path}'"),
        }
    }
}

/// What a verified executable is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bundled(&'static Bundled),
    Script,
}

impl Kind {
    pub fn is_bundled(self) -> bool {
        match self {
            Self::Bundled(_) => true,
            Self::Script => false,
        }
    }
}

/// An executable that was found fit to run. It says how things were when it was
/// made, so it is made anew for each run.
#[derive(Clone, Debug)]
pub struct VerifiedExe {
    home: Home,
    name: ExeName,
    kind: Kind,
    mismatch: bool,
    stamp: Stamp,
}

impl VerifiedExe {
    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn name(&self) -> &ExeName {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the file bears the name of a bundled executable but is not the
    /// one recorded, and therefore counts as a script.
    pub fn mismatch(&self) -> bool {
        self.mismatch
    }

    /// Whether both are the same file with the same content, and it is still
    /// known as what it was.
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.kind.is_bundled() == other.kind.is_bundled()
    }

    /// The path below the home, which is also the program's `argv[0]`.
    pub fn program(&self) -> String {
        format!("active-response/bin/{}", self.name)
    }

    /// The absolute path, for messages.
    pub fn path(&self) -> PathBuf {
        self.home.path().join(self.program())
    }
}

/// The home directory, held open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Home(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    dir: OwnedFd,
    hashes: Mutex<HashMap<ExeName, (Stamp, Hash)>>,
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    file: (u64, u64),
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        #[expect(
            clippy::useless_conversion,
            clippy::unnecessary_cast,
            reason = "the widths of these fields differ between architectures"
        )]
        Self {
            file: (stat.st_dev.into(), stat.st_ino.into()),
            size: stat.st_size.into(),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl Home {
    /// Opens the home at `path` (links in it are followed once, here) and checks
    /// it and every directory above it.
    pub fn open(path: &Path) -> Result<Self, ExeError> {
        let path = std::fs::canonicalize(path).map_err(|source| ExeError::Open {
            path: path.to_owned(),
            source,
        })?;
        let mut so_far = PathBuf::from("/");
        let mut dir = open_dir(rustix::fs::CWD, "/", &so_far, OFlags::PATH)?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            check_above_home(&dir, &so_far)?;
            so_far.push(name);
            dir = open_dir(dir.as_fd(), name, &so_far, OFlags::PATH)?;
        }
        check_owned(&stat(&dir, &path)?, &path)?;
        Ok(Self(Arc::new(Inner {
            path,
            dir,
            hashes: Mutex::default(),
        })))
    }

    /// The absolute path without links.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.0.dir.as_fd()
    }

    /// Opens and checks `active-response/bin/NAME` and tells what it is.
    pub fn executable(&self, name: &ExeName) -> Result<VerifiedExe, ExeError> {
        let (file, path) = self.open_executable(name)?;
        let stamp = Stamp::of(&stat(&file, &path)?);
        let (kind, mismatch) = match bundled::find(name.as_str()) {
            None => (Kind::Script, false),
            Some(row) => {
                if self.recorded()?.get(name) == Some(&self.hash(name, file, &path)?) {
                    (Kind::Bundled(row), false)
                } else {
                    (Kind::Script, true)
                }
            }
        };
        Ok(VerifiedExe {
            home: self.clone(),
            name: name.clone(),
            kind,
            mismatch,
            stamp,
        })
    }

    /// As [`Home::executable`]; where no file of this name lies, the bundled
    /// executable that runs in its place, if that is here.
    pub fn executable_or_stand_in(&self, name: &ExeName) -> Result<VerifiedExe, ExeError> {
        let missing = match self.executable(name) {
            Err(error) if error.is_absence() => error,
            found => return found,
        };
        let stand_in = bundled::stand_in(name.as_str())
            .and_then(|row| ExeName::parse(row.name).ok())
            .and_then(|name| self.executable(&name).ok())
            .filter(|exe| exe.kind().is_bundled());
        stand_in.ok_or(missing)
    }

    fn open_executable(&self, name: &ExeName) -> Result<(OwnedFd, PathBuf), ExeError> {
        check_owned(&stat(self.dir(), self.path())?, self.path())?;
        let mut path = self.path().join("active-response");
        let outer = open_owned_dir(self.dir(), "active-response", &path)?;
        path.push("bin");
        let bin = open_owned_dir(outer.as_fd(), "bin", &path)?;
        path.push(name.as_str());
        let file = open_owned_file(bin.as_fd(), name.as_str(), &path)?;
        let mode = stat(&file, &path)?.st_mode & 0o7777;
        if mode & 0o111 == 0 {
            let fault = Fault::NotExecutable { mode };
            return Err(ExeError::Untrusted { path, fault });
        }
        Ok((file, path))
    }

    /// The hash of an open executable; read only when the file is another than
    /// the last time.
    fn hash(&self, name: &ExeName, file: OwnedFd, path: &Path) -> Result<Hash, ExeError> {
        let stamp = Stamp::of(&stat(&file, path)?);
        let known = |hashes: &HashMap<ExeName, (Stamp, Hash)>| match hashes.get(name) {
            Some((of, hash)) if *of == stamp => Some(*hash),
            Some(_) | None => None,
        };
        let hashes = || self.0.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = known(&hashes()) {
            return Ok(hash);
        }
        let hash = Hash::of(file).map_err(|source| ExeError::Open {
            path: path.to_owned(),
            source,
        })?;
        hashes().insert(name.clone(), (stamp, hash));
        Ok(hash)
    }
}

fn open_dir(
    parent: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    path: &Path,
    access: OFlags,
) -> Result<OwnedFd, ExeError> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
        .map_err(|errno| open_error(parent, name, path, errno))
}

fn open_owned_dir(parent: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, ExeError> {
    let dir = open_dir(parent, name, path, OFlags::RDONLY)?;
    check_owned(&stat(&dir, path)?, path)?;
    Ok(dir)
}

/// Opens a regular file that nobody else can write. Not blocking, because what
/// lies there may turn out to be a FIFO.
fn open_owned_file(parent: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, ExeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())
        .map_err(|errno| open_error(parent, name, path, errno))?;
    let stat = stat(&file, path)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(ExeError::Untrusted {
            path: path.to_owned(),
            fault: Fault::NotRegular,
        });
    }
    check_owned(&stat, path)?;
    Ok(file)
}

/// Tells a link and a file of the wrong type, which open(2) refuses with
/// `ELOOP` or `ENOTDIR`, from what the system has to say.
fn open_error(
    parent: BorrowedFd<'_>,
    name: impl rustix::path::Arg,
    path: &Path,
    errno: Errno,
) -> ExeError {
    let path = path.to_owned();
    let fault = match errno {
        Errno::LOOP | Errno::NOTDIR => rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map(|stat| {
                if FileType::from_raw_mode(stat.st_mode).is_symlink() {
                    Fault::Symlink
                } else {
                    Fault::NotDirectory
                }
            }),
        // A socket, or a device without driver.
        Errno::NXIO => Ok(Fault::NotRegular),
        other => Err(other),
    };
    match fault {
        Ok(fault) => ExeError::Untrusted { path, fault },
        Err(_) => ExeError::Open {
            path,
            source: errno.into(),
        },
    }
}

fn stat(fd: impl AsFd, path: &Path) -> Result<Stat, ExeError> {
    rustix::fs::fstat(fd).map_err(|errno| ExeError::Open {
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn check_owned(stat: &Stat, path: &Path) -> Result<(), ExeError> {
    let mode = stat.st_mode & 0o7777;
    let own = rustix::process::geteuid().as_raw();
    let fault = if stat.st_uid != 0 && stat.st_uid != own {
        Fault::Owner { uid: stat.st_uid }
    } else if mode & 0o022 != 0 {
        Fault::Writable { mode }
    } else {
        return Ok(());
    };
    Err(ExeError::Untrusted {
        path: path.to_owned(),
        fault,
    })
}

fn check_above_home(dir: &OwnedFd, path: &Path) -> Result<(), ExeError> {
    let mode = stat(dir, path)?.st_mode & 0o7777;
    if mode & 0o1002 == 0o002 {
        return Err(ExeError::Untrusted {
            path: path.to_owned(),
            fault: Fault::Open { mode },
        });
    }
    Ok(())
}
