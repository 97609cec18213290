//! Taking a file away, in steps of which each may be the last.
//!
//! Into a store on the same file system: intent, rename, look, record. Into
//! another: intent, copy, rename into a private folder beside its place, look,
//! delete there, record. So at every moment the file is at its place, or in the
//! store with a record or an intent beside it. `settling` ends what was begun.

use std::io::{self, Write};

use super::record::{Purpose, Record, Way};
use super::refusal::Stop;
use super::store::{Entry, Shelf};
use super::sums::{Sums, Wanted, pieces};
use super::suspect::{Content, Kept, Moved, Suspect};
use crate::model::target::FilePath;

/// The name of a file in a private folder.
pub(super) const INSIDE: &str = "file";

/// Why a file cannot go to another file system.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(
        "copy {path}: the store is on another file system, and {why}\n(--store names one on the same)"
    )]
    Unread { path: FilePath, why: String },
    #[error("copy {path} to the store\n(--store names one on another file system)")]
    Io {
        path: FilePath,
        #[source]
        source: io::Error,
    },
    #[error("copy {0}: it is being written to\n(--store names one on the same file system)")]
    Differs(FilePath),
    #[error("move {0} into a folder beside it: they are on different file systems")]
    Mount(FilePath),
}

/// Takes a file away, and says what there is of it now. If that fails it is at
/// its place.
pub(super) fn take(
    shelf: &Shelf<'_>,
    suspect: &Suspect<'_>,
    purpose: Purpose,
) -> Result<Kept, Stop> {
    let mut entry = shelf.begin(Record::of(suspect, purpose))?;
    let kept = match purpose {
        Purpose::Keep => Kept::Itself,
        Purpose::Delete => Kept::Nothing,
    };
    let taken = match suspect.move_to(shelf.folder, entry.file(), kept) {
        Ok(Moved::OtherFileSystem) => take_beside(shelf, suspect, &mut entry),
        Ok(Moved::There) => Ok(kept),
        Err(why) => Err(why),
    };
    let kept = taken.inspect_err(|_| {
        // What is left of it is settled by the next run.
        let _ = forget(shelf, suspect, &entry);
    })?;
    suspect.folder.sync()?;
    finish(shelf, &mut entry)?;
    Ok(kept)
}

/// The last step, once the file is where nobody else gets at it.
pub(super) fn finish(shelf: &Shelf<'_>, entry: &mut Entry) -> Result<(), Stop> {
    match entry.record.purpose {
        Purpose::Keep => shelf.keep(entry)?,
        Purpose::Delete => {
            shelf.clear(entry.file())?;
            shelf.forget(entry)?;
        }
    }
    Ok(())
}

/// What was begun is not to be. A file that could not be put back keeps its
/// intent.
fn forget(shelf: &Shelf<'_>, suspect: &Suspect<'_>, entry: &Entry) -> Result<(), Stop> {
    let is_away = match entry.record.way {
        Way::Renamed => shelf.folder.find(entry.file())?.is_some(),
        Way::Copied => suspect
            .folder
            .private(entry.record.beside.as_ref())?
            .is_some(),
    };
    if !is_away {
        shelf.clear(entry.part().as_ref())?;
        shelf.clear(entry.file())?;
        shelf.forget(entry)?;
    }
    Ok(())
}

/// A name in a folder that others may write to cannot be taken away from one
/// certain file: unlink(2) knows names only. Hence the private folder.
fn take_beside(shelf: &Shelf<'_>, suspect: &Suspect<'_>, entry: &mut Entry) -> Result<Kept, Stop> {
    entry.record.way = Way::Copied;
    shelf.write(entry)?;
    let kept = match entry.record.purpose {
        Purpose::Keep => {
            copy(shelf, suspect, entry)?;
            Kept::Copy
        }
        Purpose::Delete => Kept::Nothing,
    };
    let beside = entry.record.beside.as_ref();
    let private = suspect.folder.make(beside)?;
    let removed = match suspect.move_to(&private, INSIDE.as_ref(), kept) {
        Ok(Moved::There) => private.remove(INSIDE.as_ref()).map_err(Stop::from),
        Ok(Moved::OtherFileSystem) => Err(CopyError::Mount(suspect.path.clone()).into()),
        Err(why) => Err(why),
    };
    let cleared = suspect.folder.remove_folder(beside);
    removed?;
    cleared?;
    Ok(kept)
}

fn copy(shelf: &Shelf<'_>, suspect: &Suspect<'_>, entry: &Entry) -> Result<(), Stop> {
    let path = suspect.path;
    let (file, sums) = match &suspect.content {
        Content::Read { file, sums, .. } => (file, sums),
        Content::Unread(why) => {
            let (path, why) = (path.clone(), why.clone());
            return Err(CopyError::Unread { path, why }.into());
        }
    };
    let part = entry.part();
    let mut copy = shelf.folder.create(part.as_ref())?;
    let copied = pieces(file, |piece| copy.write_all(piece)).and_then(|()| {
        copy.sync_all()?;
        Sums::of(&copy, &Wanted::default())
    });
    let copied = copied.map_err(|source| CopyError::Io {
        path: path.clone(),
        source,
    })?;
    if copied.sha256() != sums.sha256() {
        return Err(CopyError::Differs(path.clone()).into());
    }
    shelf
        .folder
        .rename(part.as_ref(), shelf.folder, entry.file())?;
    Ok(shelf.folder.sync()?)
}
