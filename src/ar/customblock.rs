//! A folder with a file for each blocked address, which programs of the
//! administrator look into (4.x's ip-customblock). Nothing is blocked by it.
//!
//! A file of ours begins with our mark. Any other, such as the empty ones of
//! 4.x, is the administrator's and stays.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::ar::{Done, Fail, Job};
use crate::model::Target;
use crate::sys::beneath::{BeneathError, Folder};
use crate::sys::fs;

/// As in 4.x.
const FOLDER: &str = "/ipblock";

const LOCK: &str = "queue/ip-customblock.lock";

/// Longer than many runs, shorter than the daemon's deadline.
const WAIT: Duration = Duration::from_secs(15);

/// How a file of ours begins.
const MARK: &[u8] = b"made by ripost ip-customblock\n";

/// Whether root's programs alone can see a file is for the folder to say.
const MODE: u32 = 0o644;

/// Why a file is not there, or not gone.
#[derive(Debug, thiserror::Error)]
enum MarkerError {
    #[error(transparent)]
    Folder(#[from] BeneathError),
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("find {} as it was written\n(another program has changed it at the same time)", .0.display())]
    Lost(PathBuf),
}

/// What stands in the folder under the name of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Marker {
    Ours,
    /// The administrator's, whatever it is.
    Other,
    Missing,
}

/// Leaves a file for an address or a network.
pub fn add(job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
    let _lock = fs::lock(Path::new(LOCK), WAIT)?;
    let (folder, name) = (open(job)?, name(job.target));
    if look(&folder, &name)? == Marker::Missing {
        match write(&folder, &name) {
            // The administrator was quicker.
            Err(MarkerError::Folder(why)) if why.kind() == Some(io::ErrorKind::AlreadyExists) => {}
            written => {
                written?;
                return match look(&folder, &name)? {
                    Marker::Ours => Ok(Done::applied()),
                    Marker::Other | Marker::Missing => Err(lost(&folder, &name)),
                };
            }
        }
    }
    match look(&folder, &name)? {
        Marker::Ours => Ok(Done::in_place()),
        Marker::Other => {
            let path = folder.path().join(name);
            let detail = format!("{} is there without our mark", path.display());
            Ok(Done::already(detail))
        }
        Marker::Missing => Err(lost(&folder, &name)),
    }
}

/// Takes our file away again.
pub fn delete(job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
    let _lock = fs::lock(Path::new(LOCK), WAIT)?;
    let (folder, name) = (open(job)?, name(job.target));
    if look(&folder, &name)? != Marker::Ours {
        return Ok(Done::absent());
    }
    folder.remove(name.as_ref())?;
    folder.sync()?;
    match look(&folder, &name)? {
        Marker::Missing | Marker::Other => Ok(Done::reverted()),
        Marker::Ours => Err(lost(&folder, &name)),
    }
}

fn open(job: &Job<'_, IpNetwork>) -> Result<Folder, BeneathError> {
    let path = job.options.get("--directory").unwrap_or(FOLDER);
    Folder::open_or_make(Path::new(path))
}

/// The address, or the network with `_` for its `/`.
fn name(network: IpNetwork) -> String {
    let target = Target::of_network(network).map(|target| target.to_string());
    let text = target.unwrap_or_else(|_| network.to_string());
    text.replace('/', "_")
}

fn look(folder: &Folder, name: &str) -> Result<Marker, MarkerError> {
    let Some(found) = folder.find(name.as_ref())? else {
        return Ok(Marker::Missing);
    };
    if !found.is_regular() {
        return Ok(Marker::Other);
    }
    let mut start = Vec::new();
    let limit = u64::try_from(MARK.len()).expect("the mark is short");
    let read = found.open()?.take(limit).read_to_end(&mut start);
    read.map_err(|source| MarkerError::Read {
        path: folder.path().join(name),
        source,
    })?;
    Ok(if start == MARK {
        Marker::Ours
    } else {
        Marker::Other
    })
}

/// Under its name it is whole: one without the mark would stay for ever.
fn write(folder: &Folder, name: &str) -> Result<(), MarkerError> {
    let half = format!(".{name}.ripost");
    let half: &OsStr = half.as_ref();
    if folder.find(half)?.is_some() {
        // Left by a run that was killed: there is no other, as the lock is ours.
        folder.remove(half)?;
    }
    let mut file = folder.create(half)?;
    let fill = file.write_all(MARK).and_then(|()| {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(MODE))?;
        file.sync_all()
    });
    let named = match fill {
        Ok(()) => folder
            .rename(half, folder, name.as_ref())
            .map_err(MarkerError::Folder),
        Err(source) => Err(MarkerError::Write {
            path: folder.path().join(name),
            source,
        }),
    };
    if named.is_err() {
        // The error that matters is known.
        let _ = folder.remove(half);
    }
    named?;
    Ok(folder.sync()?)
}

fn lost(folder: &Folder, name: &str) -> Fail {
    MarkerError::Lost(folder.path().join(name)).into()
}
