//! Files that are replaced, appended to and locked.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};

use crate::clock;

/// Why a file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error("{action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("use {}: it is no regular file", .0.display())]
    NotRegular(PathBuf),
    #[error(
        "lock {}: process {holder} holds it\n(its lock ends with it; `fuser {}` names it, too)",
        path.display(), path.display()
    )]
    Locked { path: PathBuf, holder: String },
}

impl FsError {
    /// What doing `action` to the file at `path` failed with.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// What the system said, where it said something.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::NotRegular(_) | Self::Locked { .. } => None,
        }
    }
}

/// Opens a log for appending, with `mode` if it has to be made. Not through a
/// symlink in its last component and only a regular file: whoever may write to
/// the directory must not be able to point root elsewhere or make it wait.
pub fn append(path: &Path, mode: u32) -> Result<File, FsError> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .map_err(FsError::io("open", path))?;
    regular(file, path)
}

/// Reads a whole file, or says that there is none. Only a regular one: a pipe
/// would never end.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FsError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NONBLOCK))
        .open(path);
    let file = match opened {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(FsError::io("open", path))?,
    };
    let mut file = regular(file, path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(FsError::io("read", path))?;
    Ok(Some(bytes))
}

/// Replaces the file at `path`, or makes it with `mode`, so that at every
/// moment, a power cut included, either the old or the new content is there.
/// Mode and owner of an existing regular file are kept. A symlink would be
/// replaced itself, so resolve it before.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    replace_as(path, bytes, Mode::Default(mode))
}

/// The same for a secret: whatever mode was there before, its owner alone may
/// read it (0600). A symlink is replaced, and what it leads to stays as it is.
pub fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    replace_as(path, bytes, Mode::Secret)
}

/// Whether the file at `path` could be replaced now, as far as rights go. It is
/// not touched, and nothing stays beside it.
pub fn can_replace(path: &Path) -> Result<(), FsError> {
    let new = beside(path);
    let made = write_new(&new, b"", Mode::Secret, path);
    // It may not have been made, and the error that matters is known.
    let _ = fs::remove_file(&new);
    made
}

/// Writes what is to replace the file at `path` as `new`, in the same directory,
/// with the owner and the mode of that file, or 0600 if there is none. It is
/// synced, and so is its name.
pub fn stage(new: &Path, bytes: &[u8], path: &Path) -> Result<(), FsError> {
    write_new(new, bytes, Mode::Default(0o600), path)?;
    sync_directory(new)
}

/// Gives the file at `new` the name `path`, in the same directory, for good. Only
/// an error from `rename(2)` leaves things as they were.
pub fn install(new: &Path, path: &Path) -> Result<(), FsError> {
    fs::rename(new, path).map_err(FsError::io("replace", path))?;
    sync_directory(path)
}

/// Takes the file at `path` away for good, if there is one.
pub fn remove(path: &Path) -> Result<(), FsError> {
    match fs::remove_file(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        done => {
            done.map_err(FsError::io("remove", path))?;
            sync_directory(path)
        }
    }
}

/// Which mode a file gets.
#[derive(Clone, Copy)]
enum Mode {
    /// That of the file it replaces, or else this one.
    Default(u32),
    /// 0600 in any case.
    Secret,
}

fn replace_as(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), FsError> {
    let new = beside(path);
    let done = write_new(&new, bytes, mode, path).and_then(|()| install(&new, path));
    if done.is_err() {
        // It may be gone already, and the error that matters is known.
        let _ = fs::remove_file(&new);
    }
    done
}

/// Rewrites the existing file at `path` where it cannot be replaced, as when
/// it is a mount of its own. `old`, what it holds, is first saved at `copy`,
/// which stays behind only if the machine stops half-way. If writing fails,
/// the old content is put back.
pub fn rewrite(path: &Path, old: &[u8], new: &[u8], copy: &Path) -> Result<(), FsError> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .map_err(FsError::io("write", path))?;
    let file = regular(file, path)?;
    replace(copy, old, 0o600)?;
    let fill = |bytes: &[u8]| {
        file.write_all_at(bytes, 0)?;
        file.set_len(
            u64::try_from(bytes.len()).expect("a file in memory has a length of 64 bits"),
        )?;
        file.sync_all()
    };
    if let Err(why) = fill(new) {
        // The blocks of the old content are still the file's own. Should even
        // this fail, the copy stays.
        fill(old).map_err(FsError::io("put back", path))?;
        let _ = fs::remove_file(copy);
        return Err(FsError::io("write", path)(why));
    }
    // Harmless if it stays.
    let _ = fs::remove_file(copy);
    Ok(())
}

/// A lock among processes that ends with its holder, however that ends.
#[derive(Debug)]
pub struct Lock {
    /// `flock(2)` is held as long as this is open.
    _file: File,
}

/// Takes the lock at `path`, which is made, for its owner alone, if missing;
/// so is the directory that holds it. Waits at most `wait`.
pub fn lock(path: &Path, wait: Duration) -> Result<Lock, FsError> {
    if let Some(directory) = path.parent() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FsError::io("make", directory)(why));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .map_err(FsError::io("open", path))?;
    let file = regular(file, path)?;
    let start = clock::boot();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // For people only, so a full disk does not matter here.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.write_all_at(std::process::id().to_string().as_bytes(), 0));
                return Ok(Lock { _file: file });
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Err(errno) => return Err(FsError::io("lock", path)(errno.into())),
        }
        let waited = start.until(clock::boot());
        if waited >= wait {
            let mut holder = String::new();
            // Without the number the message is still right.
            let _ = file.take(32).read_to_string(&mut holder);
            let path = path.to_owned();
            return Err(FsError::Locked { path, holder });
        }
        // flock(2) has no deadline of its own.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The process that holds the lock at `path`, as it has written there itself.
/// `None`: nobody does, or it cannot be told.
pub fn lock_holder(path: &Path) -> Option<i32> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .ok()?;
    let file = regular(file, path).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::AGAIN) => {}
        Ok(()) | Err(_) => return None,
    }
    let mut holder = String::new();
    file.take(32).read_to_string(&mut holder).ok()?;
    holder.parse().ok()
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn regular(file: File, path: &Path) -> Result<File, FsError> {
    let metadata = file.metadata().map_err(FsError::io("look at", path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(FsError::NotRegular(path.to_owned()))
    }
}

/// A hidden name in the same directory that no other living process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".ripost-{}", std::process::id()));
    path.with_file_name(name)
}

/// Writes `new`, with the owner of the regular file at `like` if there is one
/// and as `mode` says with its mode, and syncs it.
fn write_new(new: &Path, bytes: &[u8], mode: Mode, like: &Path) -> Result<(), FsError> {
    let create = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(new)
    };
    let mut file = match create() {
        // Left by a killed process whose number is now ours.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(new).and_then(|()| create())
        }
        created => created,
    }
    .map_err(FsError::io("make", new))?;
    // The mode of a link is 0777 and says nothing (symlink(7)).
    let old = fs::symlink_metadata(like)
        .ok()
        .filter(fs::Metadata::is_file);
    let mode = match (mode, &old) {
        (Mode::Secret, _) => 0o600,
        (Mode::Default(_), Some(old)) => old.mode() & 0o7777,
        (Mode::Default(mode), None) => mode,
    };
    let mut fill = || {
        file.write_all(bytes)?;
        if let Some(old) = &old {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        // After the owner: changing that clears some bits (chown(2)).
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    };
    fill().map_err(FsError::io("write", new))
}

/// Makes the name of `path` in its directory outlast a power cut.
pub fn sync_directory(path: &Path) -> Result<(), FsError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FsError::io("sync", directory))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use super::{FsError, append, can_replace, lock, read, replace, replace_secret, rewrite};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(directory: &std::path::Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        replace(&path, b"one", 0o644).unwrap();
        assert_eq!(mode(&path), 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"two", 0o644).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"two".as_slice()));
        assert_eq!(names(home.path()), ["x"]);
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_whatever_was_there_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        for before in [0o644, 0o666, 0o400, 0o4755] {
            replace(&path, b"old", 0o600).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            replace_secret(&path, b"new").unwrap();
            assert_eq!(mode(&path), 0o600, "{before:o}");
        }
        fs::remove_file(&path).unwrap();
        replace_secret(&path, b"new").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn nothing_is_written_through_a_link_or_with_its_mode() {
        let home = tempfile::tempdir().unwrap();
        let (link, other) = (home.path().join("link"), home.path().join("other"));
        let secret: fn(&std::path::Path) -> Result<(), FsError> = |at| replace_secret(at, b"new");
        let plain: fn(&std::path::Path) -> Result<(), FsError> = |at| replace(at, b"new", 0o600);
        for write in [secret, plain] {
            for target in [Some(b"other"), None] {
                let _ = (fs::remove_file(&link), fs::remove_file(&other));
                if let Some(bytes) = target {
                    replace(&other, bytes, 0o600).unwrap();
                }
                symlink(&other, &link).unwrap();
                write(&link).unwrap();
                assert!(link.symlink_metadata().unwrap().is_file());
                assert_eq!(mode(&link), 0o600);
                let kept = read(&other).unwrap();
                assert_eq!(kept.as_deref(), target.map(<[u8; 5]>::as_slice));
            }
        }
    }

    #[test]
    fn whether_a_file_can_be_replaced_is_found_without_touching_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        can_replace(&path).unwrap();
        assert!(names(home.path()).is_empty());
        replace(&path, b"one", 0o644).unwrap();
        can_replace(&path).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!((mode(&path), names(home.path()).len()), (0o644, 1));
        assert!(can_replace(&home.path().join("missing/x")).is_err());
    }

    #[test]
    fn a_replacement_that_fails_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"one", 0o644).is_err());
        assert_eq!(names(home.path()), ["x"]);
    }

    #[test]
    fn a_rewritten_file_is_the_same_file_and_the_copy_goes() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        replace(&path, b"a longer one", 0o644).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        let copy = home.path().join("copy");
        rewrite(&path, b"a longer one", b"two", &copy).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"two".as_slice()));
        assert_eq!(names(home.path()), ["x"]);
    }

    #[test]
    fn a_file_that_cannot_be_saved_first_is_not_rewritten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        replace(&path, b"old", 0o644).unwrap();
        let copy = home.path().join("missing/copy");
        assert!(rewrite(&path, b"old", b"new", &copy).is_err());
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"old".as_slice()));
    }

    #[test]
    fn what_is_no_regular_file_is_neither_read_nor_appended_to() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let any = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            any,
            rustix::fs::makedev(0, 0),
        )
        .unwrap();
        assert!(matches!(read(&pipe), Err(FsError::NotRegular(_))));
        assert!(append(&pipe, 0o640).is_err());

        let target = home.path().join("target");
        let link = home.path().join("link");
        symlink(&target, &link).unwrap();
        assert!(append(&link, 0o640).is_err());
        assert!(!target.exists());
    }

    #[test]
    fn appending_makes_the_file_and_never_overwrites() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        append(&path, 0o640).unwrap().write_all(b"one\n").unwrap();
        append(&path, 0o640).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(mode(&path) & 0o137, 0);
    }

    #[test]
    fn a_lock_is_exclusive_bounded_in_time_and_ends_with_its_holder() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("queue/lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&home.path().join("queue")), 0o700);
        let second = lock(&path, Duration::from_millis(20));
        assert!(matches!(second, Err(FsError::Locked { .. })), "{second:?}");
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
    }
}
