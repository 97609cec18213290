//! `ripostctl import`: takes over what OSSEC or Wazuh have: the configuration,
//! the scripts and the lists of an installation, which become a new home, or
//! the agents of a `client.keys`, which are told to a manager that runs.
//!
//! The source is only read, and nothing of it is ever run. A new home is made
//! beside its place and gets its name once it is whole.

mod agents;
mod blocks;
mod configuration;
mod file;
mod guess;
mod installation;
pub mod keys;
mod lists;
mod origin;
mod place;
mod remarks;
mod report;
mod scripts;
mod text;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ctl::error::Error as CtlError;
use crate::ctl::import::file::Unreadable;
use crate::ctl::options::Output;
use crate::daemon::exit;
use crate::daemon::options::Stop;

pub(crate) use origin::System;

/// Where an installation has its agents.
const KEYS: &str = "etc/client.keys";
/// Where it has its configuration.
const CONFIGURATION: &str = "etc/ossec.conf";
/// 100 bytes are a line of client.keys, so this is hundreds of thousands of
/// agents. A configuration of more than 16 MiB is refused later.
const MAX_BYTES: u64 = 64 << 20;

/// What is to be imported, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) source: PathBuf,
    /// The new home, if it is not that of the command line.
    pub(crate) to: Option<PathBuf>,
    /// Nothing is to be written.
    pub(crate) is_dry: bool,
    pub(crate) from: Option<System>,
    /// How long the tokens of agents are valid.
    pub(crate) ttl: Duration,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("import {}: there is no such file\n(name an ossec.conf, the folder of an installation that has {CONFIGURATION} in it, or a client.keys)", .0.display())]
    Missing(PathBuf),
    #[error("import {}: {why}", .path.display())]
    NotAFile { path: PathBuf, why: &'static str },
    #[error("import {}: it is larger than {} MiB\n(is this the right file?)", .0.display(), MAX_BYTES >> 20)]
    TooLarge(PathBuf),
    #[error("import {}: it is neither a configuration nor a client.keys\n(an ossec.conf begins with <ossec_config>; lines of client.keys are ID NAME IP KEY, the id in digits)", .0.display())]
    Unknown(PathBuf),
    #[error("import {}: it names no agents\n(is this the client.keys of the manager?)", .0.display())]
    NoAgents(PathBuf),
    /// The problems are rendered and escaped.
    #[error("import {}: {count} of its lines cannot be read, nothing was imported", .file.display())]
    Lines {
        file: PathBuf,
        count: usize,
        problems: String,
    },
    /// The problems are rendered and escaped.
    #[error("import {}: its markup is broken, nothing was imported\n(mend it, or a copy of it: what belongs to what is anybody's guess)", .file.display())]
    Markup { file: PathBuf, problems: String },
    /// The problems are rendered and escaped.
    #[error(
        "import it: what would be written does not pass the check, nothing was imported\n(look at what is named above; taken out of a copy of the file, the rest can be imported)"
    )]
    Unfit(String),
    #[error("import into {}: it lies in the source, which is never changed\n(name another place with --to)", .0.display())]
    Inside(PathBuf),
    #[error("import into {to}: it is not empty\n(name a new home with --to; agents alone are imported from {keys})", to = .to.display(), keys = .keys.display())]
    NotEmpty { to: PathBuf, keys: PathBuf },
    #[error("import into {}: {} is no folder that is there\n(make it first, or name another place with --to)", .to.display(), .parent.display())]
    NoParent { to: PathBuf, parent: PathBuf },
    #[error("{what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Why a file could not be read.
    fn unreadable(path: &Path, why: Unreadable) -> Self {
        let path = path.to_owned();
        match why {
            Unreadable::Missing => Self::Missing(path),
            Unreadable::NotAFile(_) => Self::NotAFile {
                path,
                why: "it is no regular file",
            },
            Unreadable::TooLarge(_) => Self::TooLarge(path),
            Unreadable::Failed(source) => Self::Io {
                what: "read",
                path,
                source,
            },
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                exit::NOT_PERMITTED
            }
            Self::Missing(_)
            | Self::NotAFile { .. }
            | Self::TooLarge(_)
            | Self::Unknown(_)
            | Self::NoAgents(_)
            | Self::Lines { .. }
            | Self::Markup { .. }
            | Self::Unfit(_)
            | Self::Inside(_)
            | Self::NotEmpty { .. }
            | Self::NoParent { .. }
            | Self::Io { .. } => exit::FAILED,
        }
    }

    /// What is shown before the error itself: rendered and escaped.
    pub(crate) fn problems(&self) -> &str {
        match self {
            Self::Lines { problems, .. } | Self::Markup { problems, .. } => problems,
            Self::Unfit(problems) => problems,
            Self::Missing(_)
            | Self::NotAFile { .. }
            | Self::TooLarge(_)
            | Self::Unknown(_)
            | Self::NoAgents(_)
            | Self::Inside(_)
            | Self::NotEmpty { .. }
            | Self::NoParent { .. }
            | Self::Io { .. } => "",
        }
    }
}

/// Imports what is wished: by what lies there, an installation or agents.
pub(super) fn import(home: &Path, output: Output, wish: &Wish) -> Result<u8, CtlError> {
    let source = wish.source.as_path();
    let has = |below: &str| source.join(below).symlink_metadata().is_ok();
    if source.is_dir() && (has(CONFIGURATION) || !has(KEYS)) {
        let path = source.join(CONFIGURATION);
        let bytes = bytes(&path)?;
        return installation::import(home, output, wish, (&path, bytes));
    }
    let path = match source.is_dir() {
        true => source.join(KEYS),
        false => source.to_owned(),
    };
    let bytes = bytes(&path)?;
    let is_keys = path.file_name().is_some_and(|name| name == "client.keys");
    if is_keys || keys::looks_like(&bytes) {
        if wish.to.is_some() || wish.is_dry || wish.from.is_some() {
            let text = "error: --to, --dry-run and --from are not for a client.keys\n\
                        (its agents are told to a manager that runs)\n";
            return Err(Stop::usage(text.to_owned()).into());
        }
        return agents::register(home, output, (&path, &bytes), wish.ttl);
    }
    if !installation::looks_like(&bytes) {
        return Err(Error::Unknown(path).into());
    }
    installation::import(home, output, wish, (&path, bytes))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, MAX_BYTES).map_err(|why| Error::unreadable(path, why))
}
