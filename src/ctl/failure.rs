//! Why a daemon could not be asked, with the exit code of each reason.

use std::path::PathBuf;
use std::time::Duration;

use crate::daemon::exit;
use crate::wire::{Daemon, Denial, FrameError, PROTOCOL};

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("reach a daemon of {home}: tried {tried}\n(start ripost-manager or ripost-agentd with `--home {home}`)", home = .home.display())]
    Nobody { home: PathBuf, tried: String },
    #[error("reach {daemon} at {path}: {reason}\n(start it with `{daemon} --home {home}`)", path = .path.display(), home = .home.display())]
    Absent {
        daemon: Daemon,
        home: PathBuf,
        path: PathBuf,
        reason: String,
    },
    #[error("connect to {}: permission denied\n(run ripostctl as root, or as the user the daemon runs as)", .0.display())]
    Forbidden(PathBuf),
    #[error("get an answer from {} within {} s\n(the daemon is busy or hangs: try again, and look at its log)", .path.display(), .limit.as_secs())]
    Silent { path: PathBuf, limit: Duration },
    #[error("talk to {}: {text}", .path.display())]
    Denied {
        path: PathBuf,
        denial: Denial,
        text: String,
    },
    #[error("talk to {daemon} {version}: it speaks protocol {protocol}, this ripostctl {} speaks {PROTOCOL}\n(use the ripostctl that came with the daemon, or restart the daemon after an upgrade)", env!("CARGO_PKG_VERSION"))]
    Version {
        daemon: Daemon,
        version: String,
        protocol: u32,
    },
    #[error("talk to {}", .path.display())]
    Broken {
        path: PathBuf,
        #[source]
        source: FrameError,
    },
    #[error("get an answer from {}: the connection was closed\n(the daemon stopped or crashed: look at its log)", .0.display())]
    Closed(PathBuf),
    #[error("use the answer of {}: it does not belong to the question", .0.display())]
    WrongAnswer(PathBuf),
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Nobody { .. } | Self::Absent { .. } | Self::Version { .. } => exit::UNAVAILABLE,
            Self::Forbidden(_) => exit::NOT_PERMITTED,
            Self::Silent { .. } | Self::Closed(_) => exit::TRY_AGAIN,
            Self::Denied { denial, .. } => match denial {
                Denial::NotPermitted | Denial::Token => exit::NOT_PERMITTED,
                Denial::Version => exit::UNAVAILABLE,
                Denial::Busy | Denial::Twice => exit::TRY_AGAIN,
            },
            Self::Broken { .. } | Self::WrongAnswer(_) => exit::INTERNAL,
        }
    }
}
