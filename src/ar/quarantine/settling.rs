//! What a run that was killed has left, brought to one of its two ends.

use super::record::{Purpose, Way};
use super::refusal::{Stop, folder_of};
use super::store::{Entry, Shelf, Stage};
use super::suspect::{name_of, put_back};
use super::taking::{INSIDE, finish};
use crate::model::target::FilePath;
use crate::sys::beneath::{Folder, Found};

/// Ends all that was begun for `path`. What can neither be kept nor go back, as
/// something stands at its place, stays as it is.
pub(super) fn settle(shelf: &mut Shelf<'_>, path: &FilePath) -> Result<(), Stop> {
    let entries = std::mem::take(&mut shelf.entries);
    for mut entry in entries {
        let is_there = match (entry.stage, entry.record.way) {
            // It has gone back, and the record has not gone yet.
            (Stage::Kept, _) if shelf.folder.find(entry.file())?.is_none() => {
                shelf.forget(&entry)?;
                false
            }
            (Stage::Kept, _) => settle_kept(shelf, path, &entry)?,
            (Stage::Intent, Way::Renamed) => settle_renamed(shelf, path, &mut entry)?,
            (Stage::Intent, Way::Copied) => settle_copied(shelf, path, &mut entry)?,
        };
        if is_there {
            shelf.entries.push(entry);
        }
    }
    Ok(())
}

/// Of a file that was about to go back as a copy. Whether the entry is there
/// afterwards.
fn settle_kept(shelf: &Shelf<'_>, path: &FilePath, entry: &Entry) -> Result<bool, Stop> {
    // What has become of its folder is for who gives it back to say.
    let Ok(Some(folder)) = folder_of(path) else {
        return Ok(true);
    };
    let beside = entry.record.beside.as_ref();
    if let Some(private) = folder.private(beside)? {
        // There may be none.
        let _ = private.remove(INSIDE.as_ref());
        folder.remove_folder(beside)?;
    }
    let there = folder.find(name_of(path))?;
    let inode = there.map(|there| there.id().inode());
    if entry.record.returned.is_none() || inode != entry.record.returned {
        return Ok(true);
    }
    shelf.clear(entry.file())?;
    shelf.forget(entry)?;
    Ok(false)
}

/// Whether the entry is there afterwards.
fn settle_renamed(shelf: &Shelf<'_>, path: &FilePath, entry: &mut Entry) -> Result<bool, Stop> {
    match shelf.folder.find(entry.file())? {
        None => {
            shelf.clear(entry.part().as_ref())?;
            shelf.forget(entry)?;
            Ok(false)
        }
        Some(found) if is_of(&found, entry) => {
            finish(shelf, entry)?;
            Ok(entry.stage == Stage::Kept)
        }
        Some(_) => {
            let went = match folder_of(path)? {
                Some(folder) => put_back(path, &folder, shelf.folder, entry.file()).is_ok(),
                None => false,
            };
            if went {
                shelf.forget(entry)?;
            }
            Ok(!went)
        }
    }
}

fn settle_copied(shelf: &Shelf<'_>, path: &FilePath, entry: &mut Entry) -> Result<bool, Stop> {
    let Some(folder) = folder_of(path)? else {
        return end_copied(shelf, entry, true);
    };
    let beside = entry.record.beside.clone();
    if let Some(private) = folder.private(beside.as_ref())? {
        match private.find(INSIDE.as_ref())? {
            Some(inside) if is_of(&inside, entry) && is_whole(shelf, entry)? => {
                private.remove(INSIDE.as_ref())?;
            }
            Some(_) if !goes_back(path, &folder, &private) => return Ok(true),
            Some(_) | None => {}
        }
        folder.remove_folder(beside.as_ref())?;
    }
    let there = folder.find(name_of(path))?;
    let is_away = there.is_none_or(|there| !is_of(&there, entry));
    end_copied(shelf, entry, is_away)
}

/// Of a copy: it is kept if it is whole and the file is away.
fn end_copied(shelf: &Shelf<'_>, entry: &mut Entry, is_away: bool) -> Result<bool, Stop> {
    let is_kept = entry.record.purpose == Purpose::Keep;
    if is_kept && is_away && is_whole(shelf, entry)? {
        shelf.keep(entry)?;
        return Ok(true);
    }
    shelf.clear(entry.part().as_ref())?;
    shelf.clear(entry.file())?;
    shelf.forget(entry)?;
    Ok(false)
}

/// Whether nothing is lost if the file itself is deleted.
fn is_whole(shelf: &Shelf<'_>, entry: &Entry) -> Result<bool, Stop> {
    match entry.record.purpose {
        Purpose::Keep => Ok(shelf.folder.find(entry.file())?.is_some()),
        Purpose::Delete => Ok(true),
    }
}

/// Over a reboot the number of a device may change, that of a file does not.
fn is_of(found: &Found, entry: &Entry) -> bool {
    found.id().inode() == entry.record.inode
}

fn goes_back(path: &FilePath, folder: &Folder, private: &Folder) -> bool {
    put_back(path, folder, private, INSIDE.as_ref()).is_ok()
}
