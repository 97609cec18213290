//! Where the new home comes to lie, and how it gets there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::ctl::error::Error as CtlError;
use crate::ctl::import::{Error, KEYS};
use crate::ctl::init::{self, Role};
use crate::sys;
use crate::sys::fs::FsError;

/// A place for a new home, which nothing else has.
pub(super) struct Place {
    /// Without links.
    path: PathBuf,
}

/// One file of a home, below it.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

impl Place {
    /// Looks whether `to` can be that. `source`: the folder that is imported.
    pub(super) fn at(to: &Path, source: Option<&Path>) -> Result<Self, Error> {
        let failed = |what| {
            let path = to.to_owned();
            move |source: io::Error| Error::Io { what, path, source }
        };
        let absolute = std::path::absolute(to).map_err(failed("find"))?;
        let no_parent = |parent: &Path| Error::NoParent {
            to: to.to_owned(),
            parent: parent.to_owned(),
        };
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(no_parent(&absolute));
        };
        let parent = parent.canonicalize().map_err(|_| no_parent(parent))?;
        let path = parent.join(name);
        let inside = |source: &Path| {
            let source = source.canonicalize();
            source.is_ok_and(|source| path.starts_with(source))
        };
        if source.is_some_and(inside) {
            return Err(Error::Inside(to.to_owned()));
        }
        let is_free = match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_none() && !path.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => !path.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
            Err(error) => return Err(failed("look into")(error)),
        };
        match is_free {
            true => Ok(Self { path }),
            false => Err(Error::NotEmpty {
                to: to.to_owned(),
                keys: source.unwrap_or(Path::new("SOURCE")).join(KEYS),
            }),
        }
    }

    /// Makes the home with these files in it. After an error nothing of it is
    /// left, and its place is as it was.
    pub(super) fn make(&self, role: Role, files: &[File]) -> Result<(), CtlError> {
        let draft = Draft(self.draft());
        init::init(&draft.0, role)?;
        for file in files {
            write(&draft.0, file)?;
        }
        sys::fs::install(&draft.0, &self.path).map_err(fs_error)?;
        Ok(())
    }

    /// A hidden name beside it.
    fn draft(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(format!(".import-{}", std::process::id()));
        self.path.with_file_name(name)
    }
}

/// A home that has not got its name yet. Dropped without one it is taken away.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // It is gone already if all went well; if not, that error is the one to
        // report.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(home: &Path, file: &File) -> Result<(), Error> {
    let path = home.join(&file.path);
    let folders = file.path.parent().into_iter().flat_map(Path::ancestors);
    let mut missing: Vec<_> = folders.filter(|below| !home.join(below).is_dir()).collect();
    missing.reverse();
    for below in missing {
        let folder = home.join(below);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|source| Error::Io {
                what: "make the directory",
                path: folder,
                source,
            })?;
    }
    sys::fs::replace(&path, &file.bytes, file.mode).map_err(fs_error)
}

fn fs_error(error: FsError) -> Error {
    match error {
        FsError::Io {
            action,
            path,
            source,
        } => Error::Io {
            what: action,
            path,
            source,
        },
        FsError::NotRegular(path) => Error::NotAFile {
            path,
            why: "it is no regular file",
        },
        FsError::Locked { path, .. } => Error::NotAFile {
            path,
            why: "it is locked",
        },
    }
}
