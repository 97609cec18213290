//! Giving a file back: to its place, if that is free, with all that it had.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::Way;
use super::store::{Entry, Shelf, StoreError};
use super::sums::{Sums, Wanted, pieces};
use super::suspect::name_of;
use super::taking::INSIDE;
use crate::model::target::FilePath;
use crate::sys::beneath::{BeneathError, Folder};

/// Why a file does not go back. It stays in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum GiveBackError {
    #[error(
        "put {path} back: something else stands there, so it stays in the store as {}\n(move that away, or delete both from the store)",
        kept.display()
    )]
    Occupied { path: FilePath, kept: PathBuf },
    #[error("put {path} back, which stays in the store as {}", kept.display())]
    Place {
        path: FilePath,
        kept: PathBuf,
        #[source]
        source: BeneathError,
    },
    #[error("put a copy of {} at {path}", kept.display())]
    Copy {
        path: FilePath,
        kept: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("put {path} back: {} is not what was taken any more\n(its record beside it has the hash)", kept.display())]
    Damaged { path: FilePath, kept: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives back what was taken last from `path`. Answers how many that were taken
/// before stay in the store; `None` if there is nothing.
pub(super) fn give_back(
    shelf: &Shelf<'_>,
    path: &FilePath,
) -> Result<Option<usize>, GiveBackError> {
    let Some((entry, older)) = shelf.newest() else {
        return Ok(None);
    };
    let return_of = Return { shelf, path, entry };
    return_of.run()?;
    shelf.forget(entry)?;
    Ok(Some(older))
}

struct Return<'a> {
    shelf: &'a Shelf<'a>,
    path: &'a FilePath,
    entry: &'a Entry,
}

impl Return<'_> {
    fn run(&self) -> Result<(), GiveBackError> {
        let parent = Path::new(self.path.as_str()).parent();
        let parent = parent.expect("the path of a file has a folder");
        let folder = Folder::open(parent).map_err(self.not_placed())?;
        let store = self.shelf.folder;
        match self.entry.record.way {
            Way::Renamed => {
                match store.rename(self.entry.file(), &folder, name_of(self.path)) {
                    // The store has moved to another file system since.
                    Err(why) if why.kind() == Some(io::ErrorKind::CrossesDevices) => {
                        self.copy_into(&folder)?;
                    }
                    moved => moved.map_err(self.not_placed())?,
                }
            }
            Way::Copied => self.copy_into(&folder)?,
        }
        folder.sync().map_err(self.not_placed())?;
        self.shelf.clear(self.entry.file())?;
        match folder.find(name_of(self.path)) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.damaged()),
            Err(why) => Err(self.not_placed()(why)),
        }
    }

    /// Makes the copy in a private folder, so that it has its name only once it
    /// is whole.
    fn copy_into(&self, folder: &Folder) -> Result<(), GiveBackError> {
        let beside = self.entry.record.beside.as_ref();
        let private = folder.make(beside).map_err(self.not_placed())?;
        let copied = self.copy(&private).and_then(|()| {
            self.announce(&private)?;
            private
                .rename(INSIDE.as_ref(), folder, name_of(self.path))
                .map_err(self.not_placed())
        });
        if copied.is_err() {
            // The error that matters is known.
            let _ = private.remove(INSIDE.as_ref());
        }
        let cleared = folder.remove_folder(beside).map_err(self.not_placed());
        copied?;
        cleared
    }

    /// Once the copy has its name, the one in the store must go, also if another
    /// run has to see to that.
    fn announce(&self, private: &Folder) -> Result<(), GiveBackError> {
        let copy = private.find(INSIDE.as_ref()).map_err(self.not_placed())?;
        let mut entry = self.entry.clone();
        entry.record.returned = copy.map(|copy| copy.id().inode());
        Ok(self.shelf.write(&entry)?)
    }

    fn copy(&self, private: &Folder) -> Result<(), GiveBackError> {
        let record = &self.entry.record;
        let found = self.shelf.folder.find(self.entry.file());
        let Some(found) = found.map_err(self.not_placed())? else {
            return Err(self.damaged());
        };
        let kept = found.open().map_err(self.not_placed())?;
        let mut copy = private.create(INSIDE.as_ref()).map_err(self.not_placed())?;
        let fill = |copy: &mut File| {
            pieces(&kept, |piece| copy.write_all(piece))?;
            let sums = Sums::of(copy, &Wanted::default())?;
            if let Some(attributes) = &record.attributes {
                attributes.give(copy)?;
            }
            copy.sync_all()?;
            Ok(sums)
        };
        let sums = fill(&mut copy).map_err(|source| GiveBackError::Copy {
            path: self.path.clone(),
            kept: self.kept(),
            source,
        })?;
        match &record.sha256 {
            Some(sha256) if sha256 != sums.sha256() => Err(self.damaged()),
            Some(_) | None => Ok(()),
        }
    }

    fn kept(&self) -> PathBuf {
        self.shelf.folder.path().join(self.entry.file())
    }

    fn damaged(&self) -> GiveBackError {
        GiveBackError::Damaged {
            path: self.path.clone(),
            kept: self.kept(),
        }
    }

    fn not_placed(&self) -> impl Fn(BeneathError) -> GiveBackError {
        let (path, kept) = (self.path.clone(), self.kept());
        move |source| {
            let (path, kept) = (path.clone(), kept.clone());
            match source.kind() {
                Some(io::ErrorKind::AlreadyExists) => GiveBackError::Occupied { path, kept },
                Some(_) | None => GiveBackError::Place { path, kept, source },
            }
        }
    }
}
