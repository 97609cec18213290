//! What a file has beside its bytes and its name.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// No list of names or value is longer (xattr(7), XATTR_SIZE_MAX).
const MAX_XATTR: usize = 64 << 10;

/// Owner, mode, times and extended attributes, among which are capabilities
/// and access control lists (xattr(7)).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attributes {
    owner: u32,
    group: u32,
    /// The permission bits, with set-user-ID and the like.
    mode: u32,
    /// Seconds since the epoch, and nanoseconds.
    modified: (i64, i64),
    accessed: (i64, i64),
    /// Each value as hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extended: BTreeMap<String, String>,
}

impl Attributes {
    /// Reads those of an open file.
    pub fn of(file: &File) -> std::io::Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self {
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            modified: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            accessed: (stat.st_atime, stat.st_atime_nsec.cast_signed()),
            extended: extended(file)?,
        })
    }

    /// Gives them to an open file.
    pub fn give(&self, file: &File) -> std::io::Result<()> {
        let owner = (Uid::from_raw(self.owner), Gid::from_raw(self.group));
        rustix::fs::fchown(file, Some(owner.0), Some(owner.1))?;
        // After the owner: changing that clears some bits (chown(2)), and
        // capabilities.
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (name, digits) in &self.extended {
            let value = from_hex(digits).ok_or(Errno::INVAL)?;
            rustix::fs::fsetxattr(file, name.as_str(), &value, XattrFlags::empty())?;
        }
        let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time(self.accessed),
            last_modification: time(self.modified),
        };
        Ok(rustix::fs::futimens(file, &times)?)
    }
}

fn extended(file: &File) -> std::io::Result<BTreeMap<String, String>> {
    let mut buffer = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(file, &mut buffer[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        listed => listed?,
    };
    let mut all = BTreeMap::new();
    let mut value = vec![0; MAX_XATTR];
    let names = buffer[..length].split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        let length = rustix::fs::fgetxattr(file, name, &mut value[..])?;
        let name = str::from_utf8(name).map_err(|_| Errno::ILSEQ)?;
        all.insert(name.to_owned(), hex(&value[..length]));
    }
    Ok(all)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}
