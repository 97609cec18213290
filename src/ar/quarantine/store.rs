//! The folder that holds what was taken away, for root alone.
//!
//! An entry has the name `KEY-NUMBER`: the first half of the SHA-256 of the
//! path as the alert has it, and a number that grows with each file that was
//! taken from there. That name is the file; its record is beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::record::Record;
use super::sums::hex;
use crate::model::bundled::Options;
use crate::model::target::FilePath;
use crate::sys::beneath::{BeneathError, Folder};
use crate::sys::fs::{self, FsError, Lock};

/// Below the home, unless `--store` names another.
const STORE: &str = "queue/quarantine";
const LOCK: &str = ".lock";
const MODE: u32 = 0o600;

/// Longer than copying a large file, shorter than the daemon's deadline.
const WAIT: Duration = Duration::from_secs(20);

/// Half of a SHA-256: nobody finds two paths with the same one.
const KEY_BYTES: usize = 16;

const INTENT: &str = ".intent";
const KEPT: &str = ".json";
const PART: &str = ".part";

/// How `sys::fs` names what it is about to put in place of a file.
const HALF_WRITTEN: &str = ".ripost-";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("use the store {}: others can look into it\n(chmod 700 {})", .0.display(), .0.display())]
    Open(PathBuf),
    #[error("read the record {}\n(what it speaks of is beside it; move both away by hand)", path.display())]
    Record {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Beneath(#[from] BeneathError),
}

/// Opens the store, or makes it.
pub(super) fn open(options: &Options) -> Result<Folder, StoreError> {
    let path = Path::new(options.get("--store").unwrap_or(STORE));
    let folder = Folder::open_or_make(path)?;
    match folder.is_private()? {
        true => Ok(folder),
        false => Err(StoreError::Open(folder.path().to_owned())),
    }
}

/// Which of the two records of an entry is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Whether anything was moved is not known.
    Intent,
    Kept,
}

/// A file that was taken, or was about to be.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) stage: Stage,
    pub(super) record: Record,
    number: u32,
}

impl Entry {
    pub(super) fn file(&self) -> &OsStr {
        self.name.as_ref()
    }

    /// What a copy is called until it is whole.
    pub(super) fn part(&self) -> String {
        format!("{}{PART}", self.name)
    }

    fn record_name(&self) -> String {
        let suffix = match self.stage {
            Stage::Intent => INTENT,
            Stage::Kept => KEPT,
        };
        format!("{}{suffix}", self.name)
    }
}

/// The store as far as it is about one path, and nobody else's meanwhile.
pub(super) struct Shelf<'a> {
    pub(super) folder: &'a Folder,
    key: String,
    /// By number.
    pub(super) entries: Vec<Entry>,
    _lock: Lock,
}

impl<'a> Shelf<'a> {
    /// Reads all records about `path`.
    pub(super) fn open(folder: &'a Folder, path: &FilePath) -> Result<Self, StoreError> {
        let lock = fs::lock(&folder.path().join(LOCK), WAIT)?;
        let key = hex(&Sha256::digest(path.as_str())[..KEY_BYTES]);
        let mut entries = Vec::new();
        for name in folder.names()? {
            let Some(name) = name.to_str() else {
                continue;
            };
            // Of a writer that was killed: there is no other, as the lock is ours.
            if name.starts_with('.') && name.contains(HALF_WRITTEN) {
                folder.remove(name.as_ref())?;
            }
            if let Some(entry) = name.strip_prefix(&key) {
                entries.extend(read(folder, &key, entry)?);
            }
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(Self {
            folder,
            key,
            entries,
            _lock: lock,
        })
    }

    /// What was taken last and is in the store, and how many before it are, too.
    pub(super) fn newest(&self) -> Option<(&Entry, usize)> {
        let mut kept = self.entries.iter().rev();
        let is_kept = |entry: &&Entry| entry.stage == Stage::Kept;
        let newest = kept.by_ref().find(is_kept)?;
        Some((newest, kept.filter(is_kept).count()))
    }

    /// Writes down what is about to be done. It is on the disk when this returns.
    pub(super) fn begin(&self, record: Record) -> Result<Entry, StoreError> {
        let last = self.entries.iter().map(|entry| entry.number).max();
        let number = last.map_or(1, |last| last + 1);
        let entry = Entry {
            name: format!("{}-{number}", self.key),
            stage: Stage::Intent,
            record,
            number,
        };
        self.write(&entry)?;
        Ok(entry)
    }

    /// Writes the record of an entry anew.
    pub(super) fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(&entry.record).expect("a record is JSON");
        let path = self.folder.path().join(entry.record_name());
        Ok(fs::replace(&path, &text, MODE)?)
    }

    /// The file is in the store. Needs no room on the disk.
    pub(super) fn keep(&self, entry: &mut Entry) -> Result<(), StoreError> {
        let intent = entry.record_name();
        entry.stage = Stage::Kept;
        let kept = entry.record_name();
        self.folder
            .rename(intent.as_ref(), self.folder, kept.as_ref())?;
        Ok(self.folder.sync()?)
    }

    /// Nothing of it is in the store any more.
    pub(super) fn forget(&self, entry: &Entry) -> Result<(), StoreError> {
        self.folder.remove(entry.record_name().as_ref())?;
        Ok(self.folder.sync()?)
    }

    /// Takes a file of an entry away, if there is one.
    pub(super) fn clear(&self, name: &OsStr) -> Result<(), StoreError> {
        match self.folder.find(name)? {
            Some(_) => Ok(self.folder.remove(name)?),
            None => Ok(()),
        }
    }
}

/// The entry whose record has the name KEY with this behind it, if it is one.
fn read(folder: &Folder, key: &str, rest: &str) -> Result<Option<Entry>, StoreError> {
    let stages = [(INTENT, Stage::Intent), (KEPT, Stage::Kept)];
    let found = stages.into_iter().find_map(|(suffix, stage)| {
        let number = rest.strip_prefix('-')?.strip_suffix(suffix)?;
        Some((number.parse::<u32>().ok()?, stage))
    });
    let Some((number, stage)) = found else {
        return Ok(None);
    };
    let path = folder.path().join(format!("{key}{rest}"));
    let Some(text) = fs::read(&path)? else {
        return Ok(None);
    };
    let record =
        serde_json::from_slice(&text).map_err(|source| StoreError::Record { path, source })?;
    Ok(Some(Entry {
        name: format!("{key}-{number}"),
        stage,
        record,
        number,
    }))
}
