//! What we have done to an account, in `queue/disable-account`, for root alone.
//!
//! One file per account, named by a hash of the home and of the account's name.
//! It holds one JSON object:
//! - `version`: 1. Another one is refused.
//! - `account`: the name.
//! - `locked`: the SHA-256 of the password field with our lock; left out if the
//!   lock is not ours.
//! - `expired`: what stood in the field of the end before us; left out if the
//!   end is not ours.
//!
//! A change of the account and of the memory is one: it is staged beside
//! /etc/shadow, the memory that belongs to it is written with `.next` behind its
//! name, the staged file is installed, and the memory takes its name. A killed
//! run, or a power cut, leaves a `.next` behind; whether the staged file is
//! still there then tells which of the two memories is true.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::hexadecimal;
use crate::model::target::UserName;
use crate::sys::fs::{self, FsError};
use crate::sys::shadow::{Shadow, ShadowError};

const FOLDER: &str = "queue/disable-account";

const VERSION: u32 = 1;

/// As many hexadecimal digits of a hash as two names will never share.
const NAME_DIGITS: usize = 32;

/// Why it is not known what we have done to an account, or not written.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("find the home")]
    Home(#[source] io::Error),
    #[error("read {}\n(it was not written by this program; see whether the account is locked, and remove it)", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("read {}: it is of version {version}\n(install the version of Ripost that wrote it)", path.display())]
    Version { path: PathBuf, version: u32 },
    #[error(transparent)]
    Shadow(#[from] ShadowError),
    #[error(transparent)]
    File(#[from] FsError),
}

/// What of the state of an account is ours.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ours {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Written {
    version: u32,
    account: String,
    #[serde(flatten)]
    ours: Ours,
}

/// The memory of one account. Whoever has it holds the lock of /etc/shadow.
#[derive(Debug)]
pub struct Memory {
    account: UserName,
    name: String,
    ours: Ours,
}

impl Memory {
    /// Reads it, after what a killed run has left half done was completed or
    /// undone.
    pub fn open(account: &UserName, shadow: &Shadow) -> Result<Self, MemoryError> {
        let home = std::env::current_dir().map_err(MemoryError::Home)?;
        let mut name = hexadecimal(format!("{}\0{account}", home.display()).as_bytes());
        name.truncate(NAME_DIGITS);
        let mut memory = Self {
            account: account.clone(),
            name,
            ours: Ours::default(),
        };
        memory.settle(shadow)?;
        if let Some(written) = read(&memory.path())? {
            memory.ours = written.ours;
        }
        Ok(memory)
    }

    pub fn ours(&self) -> &Ours {
        &self.ours
    }

    /// Replaces /etc/shadow and, with it, what is remembered.
    pub fn change(
        &mut self,
        shadow: &mut Shadow,
        text: &[u8],
        ours: Ours,
    ) -> Result<(), MemoryError> {
        make_folder()?;
        shadow.stage(&self.name, text)?;
        let done = self
            .write(&self.next(), &ours)
            .and_then(|()| Ok(shadow.install(&self.name)?));
        self.settle(shadow)?;
        done?;
        self.ours = ours;
        Ok(())
    }

    /// Remembers that something is not ours any more, without changing it.
    pub fn disown(&mut self, ours: Ours) -> Result<(), MemoryError> {
        if ours == self.ours {
            return Ok(());
        }
        if ours == Ours::default() {
            fs::remove(&self.path())?;
        } else {
            self.write(&self.path(), &ours)?;
        }
        self.ours = ours;
        Ok(())
    }

    fn settle(&self, shadow: &Shadow) -> Result<(), MemoryError> {
        let next = self.next();
        let staged = shadow.is_staged(&self.name)?;
        match read(&next)? {
            None => {}
            // The change was not made. Whoever is killed here comes to the
            // right end from either file alone.
            Some(_) if staged => fs::remove(&next)?,
            Some(written) if written.ours == Ours::default() => {
                fs::remove(&self.path())?;
                fs::remove(&next)?;
            }
            Some(_) => fs::install(&next, &self.path())?,
        }
        if staged {
            shadow.unstage(&self.name)?;
        }
        Ok(fs::remove(&self.with("new"))?)
    }

    fn write(&self, path: &Path, ours: &Ours) -> Result<(), MemoryError> {
        let written = Written {
            version: VERSION,
            account: self.account.to_string(),
            ours: ours.clone(),
        };
        let mut text = serde_json::to_vec(&written).expect("texts are JSON");
        text.push(b'\n');
        // Under one name, as only one run is here at a time, so that a killed
        // one leaves nothing for good.
        let new = self.with("new");
        fs::stage(&new, &text, path)?;
        Ok(fs::install(&new, path)?)
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    fn next(&self) -> PathBuf {
        self.with("next")
    }

    fn with(&self, ending: &str) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.{ending}", self.name))
    }
}

fn make_folder() -> Result<(), FsError> {
    let folder = Path::new(FOLDER);
    let mut builder = DirBuilder::new();
    match builder.recursive(true).mode(0o700).create(folder) {
        Ok(()) => fs::sync_directory(folder),
        Err(why) => Err(FsError::io("make", folder)(why)),
    }
}

fn read(path: &Path) -> Result<Option<Written>, MemoryError> {
    let Some(bytes) = fs::read(path)? else {
        return Ok(None);
    };
    let written: Written =
        serde_json::from_slice(&bytes).map_err(|source| MemoryError::Malformed {
            path: path.to_owned(),
            source,
        })?;
    match written.version {
        VERSION => Ok(Some(written)),
        version => Err(MemoryError::Version {
            path: path.to_owned(),
            version,
        }),
    }
}
