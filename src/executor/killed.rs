//! The one line that the daemon, not the executable, writes to
//! `active-responses.log`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::clock::Wall;
use crate::model::ExeName;

/// Why the line was not written.
#[derive(Debug, thiserror::Error)]
#[error("append to {}: {source}", path.display())]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// Appends `YYYY/MM/DD HH:MM:SS active-response/bin/NAME: WHY`, the layout of
/// Wazuh 4.14 (active_responses.c write_debug_file), with one write.
pub fn log_killed(home: &Path, name: &ExeName, at: Wall, why: &str) -> Result<(), LogError> {
    let path = home.join("logs/active-responses.log");
    let line = format!(
        "{} active-response/bin/{name}: {}\n",
        at.local_log_stamp(),
        why.escape_debug()
    );
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|source| LogError { path, source })
}
