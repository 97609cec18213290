//! `/etc/hosts.deny`, which programs built with libwrap consult at each
//! connection. Each of our entries has a marker line above it; no other line
//! is ever changed. A symlink is followed to its file.

mod text;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ar::hosts_deny::text::Listed;
use crate::ar::{Done, Fail};
use crate::clock;
use crate::sys::fs;

const PATH: &str = "/etc/hosts.deny";
const MODE: u32 = 0o644;

/// Readable for root alone: whoever can open a file can lock it.
const LOCK: &str = "queue/host-deny.lock";

/// Longer than many edits of a large file, shorter than the daemon's deadline.
const WAIT: Duration = Duration::from_secs(15);

/// Why hosts.deny is not as it should be.
#[derive(Debug, thiserror::Error)]
enum HostsDenyError {
    #[error("follow {PATH}\n(it is a symlink that leads nowhere)")]
    Link(#[source] io::Error),
    #[error("find what was written to {PATH}\n(another program has changed it at the same time)")]
    Lost,
}

/// Denies everything to `address`.
pub fn add(address: IpAddr) -> Result<Done, Fail> {
    let _lock = fs::lock(Path::new(LOCK), WAIT)?;
    let file = HostsDeny::open()?;
    match text::listed(&file.text, address) {
        Listed::Ours => return Ok(Done::in_place()),
        Listed::Administrators(line) => {
            let detail = format!("{PATH} has it on line {line}, without our mark");
            return Ok(Done::already(detail));
        }
        Listed::No => {}
    }
    file.change(&text::with(&file.text, address))?;
    match text::listed(&HostsDeny::open()?.text, address) {
        Listed::Ours => Ok(Done::applied()),
        Listed::Administrators(_) | Listed::No => Err(HostsDenyError::Lost.into()),
    }
}

/// Takes our entry for `address` out again.
pub fn delete(address: IpAddr) -> Result<Done, Fail> {
    let _lock = fs::lock(Path::new(LOCK), WAIT)?;
    let file = HostsDeny::open()?;
    let without = text::without(&file.text, address);
    if without == file.text {
        return Ok(Done::absent());
    }
    file.change(&without)?;
    match text::listed(&HostsDeny::open()?.text, address) {
        Listed::No | Listed::Administrators(_) => Ok(Done::reverted()),
        Listed::Ours => Err(HostsDenyError::Lost.into()),
    }
}

/// The file as it was read.
struct HostsDeny {
    /// Where it is, links resolved.
    path: PathBuf,
    /// Empty if there is no file.
    text: Vec<u8>,
}

impl HostsDeny {
    fn open() -> Result<Self, Fail> {
        let path = match std::fs::canonicalize(PATH) {
            Ok(path) => path,
            Err(why) if why.kind() == io::ErrorKind::NotFound && !Path::new(PATH).is_symlink() => {
                PATH.into()
            }
            Err(why) => return Err(not_opened(HostsDenyError::Link(why))),
        };
        let text = fs::read(&path).map_err(not_opened)?.unwrap_or_default();
        Ok(Self { path, text })
    }

    /// Writes `new` in place of what was read. Where the file is a mount of
    /// its own, as in containers, or its directory cannot be written to, it
    /// cannot be replaced and is rewritten.
    fn change(&self, new: &[u8]) -> Result<(), Fail> {
        let Err(why) = fs::replace(&self.path, new, MODE) else {
            return Ok(());
        };
        match why.kind() {
            Some(
                io::ErrorKind::ResourceBusy
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::PermissionDenied,
            ) if self.path.exists() => {
                let moment = clock::wall().millis();
                let copy = PathBuf::from(format!("queue/host-deny.saved-{moment}"));
                Ok(fs::rewrite(&self.path, &self.text, new, &copy)?)
            }
            Some(_) | None => Err(why.into()),
        }
    }
}

/// The words of 4.x for the log.
fn not_opened(why: impl std::error::Error + 'static) -> Fail {
    Fail::from(why).logged_as(format!("Could not open file '{PATH}'"))
}
