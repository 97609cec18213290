//! The one line that the daemon, not the executable, writes to
//! `active-responses.log`.

use std::io::Write;
use std::path::Path;

use crate::clock::Wall;
use crate::model::ExeName;
use crate::sys::fs::{self, FsError};

/// Appends `YYYY/MM/DD HH:MM:SS active-response/bin/NAME: WHY`, the layout of
/// Wazuh 4.14 (active_responses.c write_debug_file), with one write.
pub fn log_killed(home: &Path, name: &ExeName, at: Wall, why: &str) -> Result<(), FsError> {
    let path = home.join("logs/active-responses.log");
    let line = format!(
        "{} active-response/bin/{name}: {}\n",
        at.local_log_stamp(),
        why.escape_debug()
    );
    fs::append(&path, 0o640)?
        .write_all(line.as_bytes())
        .map_err(|source| FsError::io("append to", &path)(source))
}
