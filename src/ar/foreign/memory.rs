//! Which entries are ours, where they cannot say so themselves: an empty file
//! for each, in a folder for root alone. It is made before the entry and
//! removed after it.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::table::{Mark, Row};
use crate::sys::fs::FsError;

/// Below the home.
const FOLDER: &str = "queue/foreign";

/// What is known of one entry.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None` where the entry itself tells.
    file: Option<PathBuf>,
}

impl Memory {
    pub(super) fn of(row: &Row, target: IpNetwork) -> Self {
        let name = || {
            // No system takes a slash in a name, and Windows no colon.
            let target = target.to_string().replace('/', "_").replace(':', "-");
            Path::new(FOLDER).join(format!("{}-{target}", row.backend.name()))
        };
        Self {
            file: match row.mark {
                Mark::Name => None,
                Mark::Remembered => Some(name()),
            },
        }
    }

    /// Whether the entry is ours, if it is there.
    pub(super) fn holds(&self) -> Result<bool, FsError> {
        let Some(file) = &self.file else {
            return Ok(true);
        };
        match file.symlink_metadata() {
            Ok(found) if found.is_file() => Ok(true),
            Ok(_) => Err(FsError::NotRegular(file.clone())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(FsError::io("look at", file)(why)),
        }
    }

    pub(super) fn keep(&self) -> Result<(), FsError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        for folder in ["queue", FOLDER] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(FsError::io("make", Path::new(folder))(why));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(file);
        match made {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                Err(FsError::io("make", file)(why))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) fn forget(&self) -> Result<(), FsError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        match std::fs::remove_file(file) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                Err(FsError::io("remove", file)(why))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
