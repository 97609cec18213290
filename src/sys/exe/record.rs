//! `queue/bundled.sha256`: which bundled executables were installed into a
//! home, as sha256sum(1) writes it, `HASH  active-response/bin/NAME` a line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use sha2::{Digest, Sha256};

use super::{ExeError, Home, open_owned_dir, open_owned_file};
use crate::model::ExeName;
use crate::model::bundled::Bundled;
use crate::sys::fs;

/// The record, below the home.
pub const RECORD: &str = "queue/bundled.sha256";

const FILE: &str = "bundled.sha256";
const PREFIX: &str = "active-response/bin/";

/// Far more than a line for each bundled executable.
const MAX_RECORD: u64 = 64 * 1024;

/// The SHA-256 of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Reads the rest of an open file.
    pub(super) fn of(file: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(file);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Self(hasher.finalize().into())),
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Home {
    /// What `queue/bundled.sha256` says; nothing where there is no such file.
    pub fn recorded(&self) -> Result<BTreeMap<ExeName, Hash>, ExeError> {
        let path = self.path().join(RECORD);
        let queue = open_owned_dir(self.dir(), "queue", &self.path().join("queue"));
        let file = queue.and_then(|queue| open_owned_file(queue.as_fd(), FILE, &path));
        let file = match file {
            Ok(file) => file,
            Err(ExeError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        File::from(file)
            .take(MAX_RECORD)
            .read_to_string(&mut text)
            .map_err(|source| ExeError::Open {
                path: path.clone(),
                source,
            })?;
        parse(&text).map_err(|line| ExeError::Record { path, line })
    }

    /// Records the files that now stand in `active-response/bin` under the names
    /// of these bundled executables as the genuine ones. Other lines stay. For
    /// `ripostctl init`, right after it has installed them.
    pub fn record(&self, installed: &[&'static Bundled]) -> Result<(), ExeError> {
        let mut record = self.recorded()?;
        for name in installed.iter().flat_map(|row| row.names()) {
            let name = ExeName::parse(name).expect("bundled names are valid");
            let (file, path) = self.open_executable(&name)?;
            let hash = Hash::of(file).map_err(|source| ExeError::Open { path, source })?;
            record.insert(name, hash);
        }
        let text: String = record
            .iter()
            .map(|(name, hash)| format!("{hash}  {PREFIX}{name}\n"))
            .collect();
        open_owned_dir(self.dir(), "queue", &self.path().join("queue"))?;
        fs::replace(&self.path().join(RECORD), text.as_bytes(), 0o600)?;
        Ok(())
    }
}

/// The record, or the number of the first line that does not fit.
fn parse(text: &str) -> Result<BTreeMap<ExeName, Hash>, usize> {
    text.lines()
        .enumerate()
        .map(|(at, line)| {
            let (hash, path) = line.split_once("  ").ok_or(at + 1)?;
            let hash = Hash::parse(hash).ok_or(at + 1)?;
            let name = path.strip_prefix(PREFIX).ok_or(at + 1)?;
            let name = ExeName::parse(name).map_err(|_| at + 1)?;
            Ok((name, hash))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Hash, parse};

    #[test]
    fn a_record_is_what_sha256sum_writes_and_nothing_else() {
        let hash = "00".repeat(31) + "fF";
        let good = format!("{hash}  active-response/bin/host-deny\n");
        let record = parse(&good).unwrap();
        assert_eq!(record.len(), 1);
        assert_eq!(
            record.values().next().map(Hash::to_string),
            Some(hash.to_lowercase())
        );
        for bad in [
            format!("{hash} active-response/bin/host-deny"),
            format!("{hash}  bin/host-deny"),
            format!("{hash}  active-response/bin/../x"),
            format!("{}  active-response/bin/x", &hash[1..]),
            format!("+{}  active-response/bin/x", &hash[1..]),
            String::from("\n"),
        ] {
            assert_eq!(parse(&format!("{good}{bad}\n")), Err(2), "{bad}");
        }
    }
}
