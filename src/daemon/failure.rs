//! Why a daemon does not start, with the code that says so.

use std::fmt::Display;
use std::io::ErrorKind;

use crate::daemon::exit;
use crate::journal::JournalError;
use crate::manager::SourceError;
use crate::source::DoorError;
use crate::sys::exe::ExeError;
use crate::sys::fs::FsError;
use crate::transport::listener::ListenError;
use crate::transport::local::LocalError;
use crate::transport::pki::PkiError;

/// A text for people and a code for programs.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: u8, text: impl Display) -> Self {
        Self {
            code,
            text: text.to_string(),
        }
    }

    /// An error with its causes, each once, and behind them its hint.
    pub(super) fn chain(code: u8, error: &dyn std::error::Error) -> Self {
        let whole = error.to_string();
        let (mut text, hint) = match whole.split_once('\n') {
            Some((problem, hint)) => (problem.to_owned(), Some(hint)),
            None => (whole.clone(), None),
        };
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !whole.contains(&inner_text) && !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            cause = inner.source();
        }
        if let Some(hint) = hint {
            text = format!("{text}\n{hint}");
        }
        Self { code, text }
    }
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => exit::NOT_PERMITTED,
        ErrorKind::NotFound | ErrorKind::NotADirectory => exit::CONFIGURATION,
        _ => exit::TRY_AGAIN,
    }
}

impl From<ExeError> for Failure {
    fn from(error: ExeError) -> Self {
        match &error {
            ExeError::Open { path, source } if source.kind() == ErrorKind::NotFound => Self::new(
                exit::CONFIGURATION,
                format!(
                    "{error}\n(ripostctl init {} makes a home there)",
                    path.display()
                ),
            ),
            ExeError::Open { source, .. } => Self::new(code(source.kind()), &error),
            ExeError::Write(_) => Self::chain(exit::TRY_AGAIN, &error),
            ExeError::Untrusted { .. } => Self::new(exit::NOT_PERMITTED, &error),
            ExeError::Record { .. } => Self::new(exit::CONFIGURATION, &error),
        }
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        let kind = error.kind();
        let hint = match (&error, kind) {
            (FsError::Locked { .. }, _) => {
                "\n(this home is in use; stop that process, or give another --home)"
            }
            (_, Some(ErrorKind::ReadOnlyFilesystem)) => "\n(the home must be writable; remount it)",
            (_, Some(ErrorKind::PermissionDenied)) => {
                "\n(run it as root, or as the user the home belongs to)"
            }
            (FsError::Io { .. } | FsError::NotRegular(_), _) => "",
        };
        let mut failure = Self::chain(kind.map_or(exit::TRY_AGAIN, code), &error);
        failure.text.push_str(hint);
        failure
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let code = match &error {
            JournalError::File { source, .. } => code(source.kind()),
            JournalError::Version { .. } | JournalError::Row { .. } => exit::CONFIGURATION,
            JournalError::Open { .. } | JournalError::Read { .. } => exit::TRY_AGAIN,
        };
        Self::chain(code, &error)
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let code = match &error {
            LocalError::Bind { source, .. } => code(source.kind()),
            LocalError::Taken { .. }
            | LocalError::Dial { .. }
            | LocalError::NotPermitted(_)
            | LocalError::Silent
            | LocalError::Denied(_)
            | LocalError::Closed
            | LocalError::Frame(_)
            | LocalError::Credentials(_) => exit::TRY_AGAIN,
        };
        Self::new(code, error)
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Bind { ref source, .. } => Self::chain(code(source.kind()), &error),
            ListenError::Start(_) => Self::chain(exit::TRY_AGAIN, &error),
            ListenError::Pki(error) => error.into(),
        }
    }
}

impl From<PkiError> for Failure {
    fn from(error: PkiError) -> Self {
        Self::chain(exit::CONFIGURATION, &error)
    }
}

impl From<crate::manager::OpenError> for Failure {
    fn from(error: crate::manager::OpenError) -> Self {
        match error {
            crate::manager::OpenError::Journal(error) => error.into(),
            crate::manager::OpenError::Responses { ref source, .. } => {
                Self::new(code(source.kind()), &error)
            }
            crate::manager::OpenError::Roster(_) => Self::new(exit::CONFIGURATION, &error),
            crate::manager::OpenError::Source(error) => error.into(),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let code = match &error {
            SourceError::Journal(_) | SourceError::Door(DoorError::Taken { .. }) => exit::TRY_AGAIN,
            SourceError::Start { source, .. }
            | SourceError::Door(DoorError::Failed { source, .. }) => code(source.kind()),
            SourceError::Token(_)
            | SourceError::Door(
                DoorError::NotASocket { .. }
                | DoorError::Exposed { .. }
                | DoorError::NoGroup { .. },
            ) => exit::CONFIGURATION,
        };
        Self::chain(code, &error)
    }
}
