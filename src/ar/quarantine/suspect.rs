//! The file that an alert speaks of, held by descriptors.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use super::refusal::{Refusal, Stop, folder_of, judge};
use super::sums::{MAX_READ, Sums, Wanted};
use crate::ar::Job;
use crate::model::target::FilePath;
use crate::sys::beneath::{Attributes, BeneathError, Folder, Found, has_writers};

/// Why a file is not the one it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Slipped {
    #[error("move {0}: another file was put in its place meanwhile, which was put back")]
    Exchanged(FilePath),
    #[error("move {0}: it was written to meanwhile, and put back")]
    Written(FilePath),
    #[error(
        "put back what was moved from {path}: it is {} now\n(move it back yourself)",
        at.display()
    )]
    Stranded {
        path: FilePath,
        at: std::path::PathBuf,
        #[source]
        source: BeneathError,
    },
    #[error("read {path}")]
    Read {
        path: FilePath,
        #[source]
        source: io::Error,
    },
}

/// A file that may be taken away, as far as is known.
pub(super) struct Suspect<'a> {
    pub(super) path: &'a FilePath,
    pub(super) folder: Folder,
    pub(super) found: Found,
    /// Its bytes.
    pub(super) content: Content,
    wanted: Wanted,
}

/// What there will be of a file that was moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    Itself,
    /// A copy that was made before.
    Copy,
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moved {
    There,
    /// Nothing was moved, as it would have to be copied.
    OtherFileSystem,
}

/// What is known of the bytes of a file.
pub(super) enum Content {
    Read {
        file: File,
        sums: Sums,
        attributes: Attributes,
    },
    /// Nothing, for this reason.
    Unread(String),
}

impl<'a> Suspect<'a> {
    /// Finds the file and asks all guards; `None` if there is no such file.
    pub(super) fn find(job: &'a Job<'_, FilePath>, store: &Folder) -> Result<Option<Self>, Stop> {
        let (path, options) = (&job.target, &job.options);
        let wanted = Wanted::of(options, job.alert.as_ref())?;
        let Some(folder) = folder_of(path)? else {
            return Ok(None);
        };
        judge(&folder, store, options.get("--allow-system").is_some())?;
        let Some(found) = folder.find(name_of(path))? else {
            return Ok(None);
        };
        match &found {
            found if found.is_link() => return Err(Refusal::IsLink.into()),
            found if !found.is_regular() => return Err(Refusal::NotRegular.into()),
            _ => {}
        }
        if wanted.is_empty() && options.get("--require-hash").is_some() {
            return Err(Refusal::Unhashed.into());
        }
        let content = content(path, &found, &wanted)?;
        match &content {
            Content::Read { sums, .. } => {
                if let Some(missed) = wanted.missed_by(sums) {
                    return Err(Refusal::Changed(missed).into());
                }
            }
            Content::Unread(why) if !wanted.is_empty() => {
                return Err(Refusal::Unread(why.clone()).into());
            }
            Content::Unread(_) => {}
        }
        Ok(Some(Self {
            path,
            folder,
            found,
            content,
            wanted,
        }))
    }

    pub(super) fn name(&self) -> &'a OsStr {
        name_of(self.path)
    }

    /// Moves it into a folder of ours. Only there can it be known what has been
    /// moved: what is not the file that the guards have seen goes back.
    pub(super) fn move_to(&self, into: &Folder, name: &OsStr, kept: Kept) -> Result<Moved, Stop> {
        match self.folder.rename(self.name(), into, name) {
            Err(why) if why.kind() == Some(io::ErrorKind::CrossesDevices) => {
                return Ok(Moved::OtherFileSystem);
            }
            moved => moved?,
        }
        let Err(why) = self.compare(into, name, kept) else {
            return Ok(Moved::There);
        };
        put_back(self.path, &self.folder, into, name)?;
        Err(why)
    }

    fn compare(&self, into: &Folder, name: &OsStr, kept: Kept) -> Result<(), Stop> {
        let (arrived, wanted) = (into.find(name)?, self.found.id_now()?);
        if arrived.is_none_or(|arrived| arrived.id() != wanted) {
            return Err(Slipped::Exchanged(self.path.clone()).into());
        }
        match self.is_written(kept)? {
            true => Err(Slipped::Written(self.path.clone()).into()),
            false => Ok(()),
        }
    }

    /// What people should know of it, once it is away.
    pub(super) fn remarks(&self, kept: Kept) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(others @ 1..) = self.found.names().checked_sub(1) {
            remarks.push(format!("the same file still has {others} other name(s)"));
        }
        match &self.content {
            Content::Unread(why) => remarks.push(format!("not hashed: {why}")),
            Content::Read { file, .. } if kept == Kept::Itself && has_writers(file) => {
                remarks.push("another program has it open and can still write to it".to_owned());
            }
            Content::Read { .. } => {}
        }
        remarks
    }

    /// Whether its bytes are no longer those that count. Without a hash in the
    /// alert it is the name that counts.
    fn is_written(&self, kept: Kept) -> Result<bool, Stop> {
        let (Content::Read { file, sums, .. }, false) = (
            &self.content,
            kept == Kept::Itself && self.wanted.is_empty(),
        ) else {
            return Ok(false);
        };
        let now = Sums::of(file, &self.wanted).map_err(unread(self.path))?;
        Ok(now != *sums)
    }
}

/// Moves something back to where it was, if nothing stands there by now.
pub(super) fn put_back(
    path: &FilePath,
    folder: &Folder,
    from: &Folder,
    name: &OsStr,
) -> Result<(), Slipped> {
    from.rename(name, folder, name_of(path))
        .map_err(|source| Slipped::Stranded {
            path: path.clone(),
            at: from.path().join(name),
            source,
        })
}

/// The last name in a path.
pub(super) fn name_of(path: &FilePath) -> &OsStr {
    let name = Path::new(path.as_str()).file_name();
    name.expect("the path of a file ends with a name")
}

pub(super) fn unread(path: &FilePath) -> impl FnOnce(io::Error) -> Slipped {
    let path = path.clone();
    move |source| Slipped::Read { path, source }
}

fn content(path: &FilePath, found: &Found, wanted: &Wanted) -> Result<Content, Stop> {
    let file = match found.open() {
        Err(why) if why.kind() == Some(io::ErrorKind::WouldBlock) => {
            let why = "another program holds a lease on it (fcntl(2), F_SETLEASE)";
            return Ok(Content::Unread(why.to_owned()));
        }
        opened => opened?,
    };
    if found.size() > MAX_READ {
        return Ok(Content::Unread("it is larger than 1 GiB".to_owned()));
    }
    let sums = Sums::of(&file, wanted).map_err(unread(path))?;
    let attributes = Attributes::of(&file).map_err(unread(path))?;
    Ok(Content::Read {
        file,
        sums,
        attributes,
    })
}
