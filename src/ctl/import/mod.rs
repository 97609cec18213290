//! `ripostctl import`: takes over what OSSEC or Wazuh know. In this version that
//! is the agents of a `client.keys`; the rest of an installation is refused.

pub mod keys;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ctl::connection::Connection;
use crate::ctl::error::Error as CtlError;
use crate::ctl::import::keys::Problem;
use crate::ctl::options::Output;
use crate::ctl::{json, print, say, show, table};
use crate::daemon::exit;
use crate::wire::control::{Answer, IssuedToken, KnownAgent, Request};

/// Where an installation has the file.
const KEYS: &str = "etc/client.keys";
/// 100 bytes are a line, so this is hundreds of thousands of agents.
const MAX_BYTES: u64 = 64 << 20;
/// So many problems are shown; the others are counted.
const MAX_SHOWN: usize = 200;
/// So many agents go into one request: with the longest names they fill half of
/// a frame.
const BATCH: usize = 5_000;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("import {}: there is no such file\n(name a client.keys, or the folder of an installation that has {KEYS} in it)", .0.display())]
    Missing(PathBuf),
    #[error("import {}: it is no regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("import {}: it is larger than {} MiB\n(a client.keys has one line for each agent: is this the right file?)", .0.display(), MAX_BYTES >> 20)]
    TooLarge(PathBuf),
    #[error("import {}: it is no client.keys, and anything else is not in this version\n(lines of client.keys are ID NAME IP KEY, the id in digits)", .0.display())]
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
    #[error("read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                exit::NOT_PERMITTED
            }
            Self::Missing(_)
            | Self::NotAFile(_)
            | Self::TooLarge(_)
            | Self::Unknown(_)
            | Self::NoAgents(_)
            | Self::Lines { .. }
            | Self::Read { .. } => exit::FAILED,
        }
    }

    /// What is shown before the error itself: rendered and escaped.
    pub(crate) fn problems(&self) -> &str {
        match self {
            Self::Lines { problems, .. } => problems,
            Self::Missing(_)
            | Self::NotAFile(_)
            | Self::TooLarge(_)
            | Self::Unknown(_)
            | Self::NoAgents(_)
            | Self::Read { .. } => "",
        }
    }
}

/// Imports what lies at `path`, and prints a token for each agent that is new to
/// the manager.
pub(super) fn import(
    home: &Path,
    output: Output,
    path: &Path,
    ttl: Duration,
) -> Result<u8, CtlError> {
    let file = locate(path);
    let agents = match Kind::of(&file)? {
        Kind::ClientKeys(bytes) => known(&file, &bytes)?,
    };
    let mut connection = Connection::to_manager(home)?;
    let mut tokens = Vec::new();
    for batch in agents.chunks(BATCH) {
        if let Err(error) = send(&mut connection, batch, ttl, &mut tokens) {
            // The manager gives these out only once.
            show_tokens(output, &tokens)?;
            return Err(error);
        }
    }
    if tokens.is_empty() {
        say("no tokens were made: there is nobody new to the manager");
    } else {
        say("on each host: ripost-agentd enroll --manager HOST:PORT --token -");
    }
    show_tokens(output, &tokens)
}

fn show_tokens(output: Output, tokens: &[IssuedToken]) -> Result<u8, CtlError> {
    match output {
        Output::Json => print(&json(tokens)),
        Output::Table => print(&show::tokens(tokens)),
    }
}

fn send(
    connection: &mut Connection,
    agents: &[KnownAgent],
    ttl: Duration,
    tokens: &mut Vec<IssuedToken>,
) -> Result<(), CtlError> {
    let request = Request::Import {
        agents: agents.to_vec(),
        ttl: ttl.as_secs(),
    };
    let Answer::Tokens { tokens: new, notes } = connection.ask(&request)? else {
        return Err(connection.wrong_answer());
    };
    tokens.extend(new);
    notes.iter().for_each(|note| say(note));
    Ok(())
}

/// The file itself, or the one in the folder of an installation.
fn locate(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(KEYS),
        false => path.to_owned(),
    }
}

/// What a file is taken for, with its content.
enum Kind {
    ClientKeys(Vec<u8>),
}

impl Kind {
    /// By its name, else by how it begins.
    fn of(file: &Path) -> Result<Self, Error> {
        let bytes = bytes(file)?;
        let by_name = file.file_name().is_some_and(|name| name == "client.keys");
        match by_name || keys::looks_like(&bytes) {
            true => Ok(Self::ClientKeys(bytes)),
            false => Err(Error::Unknown(file.to_owned())),
        }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound => Error::Missing(path.to_owned()),
        _ => Error::Read {
            path: path.to_owned(),
            source,
        },
    };
    // Before it is opened: a pipe would make that wait.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(0..=MAX_BYTES) => Ok(bytes),
        Ok(_) | Err(_) => Err(Error::TooLarge(path.to_owned())),
    }
}

fn known(file: &Path, bytes: &[u8]) -> Result<Vec<KnownAgent>, Error> {
    let agents = keys::read(bytes).map_err(|problems| Error::Lines {
        file: file.to_owned(),
        count: problems.len(),
        problems: render(file, &problems),
    })?;
    match agents.is_empty() {
        true => Err(Error::NoAgents(file.to_owned())),
        false => Ok(agents),
    }
}

/// `FILE:LINE: error: MESSAGE`, and the hint under it. Without the line: it
/// holds a key.
fn render(file: &Path, problems: &[Problem]) -> String {
    let file = table::escape(&file.to_string_lossy());
    let mut text = String::new();
    for Problem { line, wrong } in problems.iter().take(MAX_SHOWN) {
        let message = wrong.to_string().replace('\n', "\n  ");
        text.push_str(&format!("{file}:{line}: error: {message}\n"));
    }
    let more = problems.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        text.push_str(&format!("… and {more} more\n"));
    }
    text
}
