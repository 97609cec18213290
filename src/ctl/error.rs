//! Why a verb did not do what it was asked.

use std::io;
use std::path::PathBuf;

use crate::ctl::failure::Failure;
use crate::ctl::{import, init, say, say_rendered};
use crate::daemon::exit;
use crate::daemon::options::Stop;
use crate::wire::control::ErrorKind;

/// A failed verb. Each has its exit code, and says what to do next where a
/// person can do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}", .0.text)]
    Stop(Stop),
    #[error("find the home {home}\n(make one with `ripostctl init {home}`, or name another with --home)", home = .0.display())]
    NoHome(PathBuf),
    #[error(transparent)]
    Connection(#[from] Failure),
    #[error("{text}")]
    Refused { kind: ErrorKind, text: String },
    #[error("find a manager.conf or agent.conf in {}\n(name a file with `ripostctl check -c FILE`, or a home with --home)", .0.display())]
    NothingToCheck(PathBuf),
    #[error(transparent)]
    Init(#[from] init::Error),
    #[error(transparent)]
    Import(#[from] import::Error),
    #[error("read the answer from the terminal")]
    Terminal(#[source] io::Error),
    #[error("write to standard output")]
    Output(#[source] io::Error),
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Error {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Stop(stop) => stop.code,
            Self::NoHome(_) => exit::UNAVAILABLE,
            Self::Connection(failure) => failure.code(),
            Self::Refused { kind, .. } => match kind {
                ErrorKind::NotPermitted => exit::NOT_PERMITTED,
                ErrorKind::Unavailable => exit::TRY_AGAIN,
                ErrorKind::NotFound | ErrorKind::Invalid => exit::FAILED,
            },
            Self::Init(error) => error.code(),
            Self::Import(error) => error.code(),
            Self::NothingToCheck(_) | Self::Terminal(_) | Self::Output(_) => exit::FAILED,
        }
    }

    /// Tells the person: the error, its hint and its causes.
    pub(crate) fn report(&self) {
        let mut text = match self {
            Self::Stop(stop) => {
                say_rendered(&stop.text);
                return;
            }
            Self::Refused { text, .. } => format!("error: {text}"),
            Self::Import(error) => {
                say_rendered(error.problems());
                format!("error: cannot {error}")
            }
            Self::NoHome(_)
            | Self::Connection(_)
            | Self::NothingToCheck(_)
            | Self::Init(_)
            | Self::Terminal(_)
            | Self::Output(_) => format!("error: cannot {self}"),
        };
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!("\n  caused by: {error}"));
            cause = error.source();
        }
        say(&text);
    }
}
