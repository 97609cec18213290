//! A configuration that changes under a running daemon.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

type Stamp = (u64, u64, u64, i64, i64);

/// Notices that a file is another than before.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    known: Option<Stamp>,
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: stamp(path),
        }
    }

    /// Waits until the file has changed. May be dropped while it waits.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamp(&self.path);
            if now != self.known {
                self.known = now;
                return;
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    // A file that is away for the moment counts as another one.
    let meta = std::fs::metadata(path).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    ))
}
