//! Files of the source. They are opened for reading and nothing else, and what
//! is no regular file is not waited for.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file has no content for us.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is not there")]
    Missing,
    #[error("it is {0}")]
    NotAFile(&'static str),
    #[error("it is larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
    #[error("it cannot be read: {0}")]
    Failed(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            _ => Self::Failed(error),
        }
    }
}

/// The content of a regular file of at most `limit` bytes. Links are followed:
/// what must not be led elsewhere is looked at before.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    // Before it is opened: to open some devices is to use them.
    kind(&path.metadata()?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    kind(&file.metadata()?)?;
    bounded(file, limit)
}

fn bounded(file: File, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= limit => Ok(bytes),
        Ok(_) | Err(_) => Err(Unreadable::TooLarge(limit)),
    }
}

/// That it is a regular file, or what it is instead.
pub(super) fn kind(metadata: &Metadata) -> Result<(), Unreadable> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Unreadable::NotAFile(what))
}
