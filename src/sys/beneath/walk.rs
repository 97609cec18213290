//! The way to a folder, by hand: `openat2(2)` with RESOLVE_NO_SYMLINKS is
//! missing before Linux 5.6 and in containers, and refuses `/var/run` too.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{BeneathError, FileId, Folder, is_roots, is_trusted};

/// As many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A folder on the way.
struct Step {
    fd: OwnedFd,
    stat: Stat,
    path: PathBuf,
}

/// Walks to the folder at `path`.
pub(super) fn folder(path: &Path) -> Result<Folder, BeneathError> {
    let base = std::env::current_dir().map_err(|source| BeneathError::Io {
        action: "find",
        path: ".".into(),
        source,
    })?;
    let mut trail = vec![root()?];
    let mut rest = names(&base.join(path));
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            // Above the root is the root.
            trail.truncate(trail.len().saturating_sub(1).max(1));
            continue;
        }
        let here = trail.last().expect("the root stays on the trail");
        let step = enter(here, &name)?;
        match FileType::from_raw_mode(step.stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                let by_root = trail.iter().all(|step| is_roots(&step.stat));
                if links > MAX_LINKS || !by_root || !is_trusted(step.stat.st_uid) {
                    return Err(BeneathError::Link(step.path));
                }
                let target = target(&step)?;
                if target.has_root() {
                    trail.truncate(1);
                }
                rest.extend(names(&target));
            }
            FileType::Directory => trail.push(step),
            _ => return Err(BeneathError::io("enter", &step.path)(Errno::NOTDIR)),
        }
    }
    opened(&trail)
}

fn root() -> Result<Step, BeneathError> {
    let path = PathBuf::from("/");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&path, flags, Mode::empty());
    step(fd, path)
}

fn enter(here: &Step, name: &OsString) -> Result<Step, BeneathError> {
    let path = here.path.join(name);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    step(
        rustix::fs::openat(&here.fd, name, flags, Mode::empty()),
        path,
    )
}

fn step(fd: Result<OwnedFd, Errno>, path: PathBuf) -> Result<Step, BeneathError> {
    let fd = fd.map_err(BeneathError::io("open", &path))?;
    let stat = rustix::fs::fstat(&fd).map_err(BeneathError::io("look at", &path))?;
    Ok(Step { fd, stat, path })
}

/// Where a link leads. Of the links in /proc, too, the text counts.
fn target(link: &Step) -> Result<PathBuf, BeneathError> {
    let text = rustix::fs::readlinkat(&link.fd, "", Vec::new());
    let text = text.map_err(BeneathError::io("read", &link.path))?;
    Ok(OsString::from_vec(text.into_bytes()).into())
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev();
    names
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The end of the trail, opened so that it can be read and synced.
fn opened(trail: &[Step]) -> Result<Folder, BeneathError> {
    let end = trail.last().expect("the root stays on the trail");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&end.fd, ".", flags, Mode::empty());
    Ok(Folder {
        fd: fd.map_err(BeneathError::io("open", &end.path))?,
        path: end.path.clone(),
        trail: trail.iter().map(|step| FileId::of(&step.stat)).collect(),
    })
}
