//! `<location>`: a file, files, or a door that alerts come in at.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

use super::http::HttpDoor;
use crate::config::block::Value;
use crate::config::report::Report;
use crate::diag::suggest;
use crate::model::glob::{Glob, InvalidGlob};

/// Where the alerts of a source come from. Relative paths are below the home.
///
/// It is shown as it is written, which is its name: positions are stored, and
/// the ids of actions made, with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A file, followed through rotation and truncation.
    File(PathBuf),
    /// Every regular file that fits, also those that appear later.
    Glob(Glob),
    /// A socket with connections that bring lines.
    UnixStream(UnixSocket),
    /// A socket whose every datagram is an alert, or whole lines.
    UnixDatagram(UnixSocket),
    /// An address whose connections bring lines.
    Tcp(TcpDoor),
    /// An address that alerts are posted to.
    Http(HttpDoor),
    StandardInput,
}

/// A socket that is a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnixSocket {
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Whose group it is; `None`: that of the daemon.
    pub group: Option<String>,
}

/// A port that lines are sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpDoor {
    /// Its port is never 0.
    pub address: SocketAddr,
    /// Who may connect; empty only where the address is of loopback, and then
    /// everyone.
    pub allowed: Vec<IpNetwork>,
}

/// Longer paths of sockets are cut off by the system (sun_path in unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// What is written before a `:` and its meaning here.
#[derive(Clone, Copy)]
enum Scheme {
    UnixStream,
    UnixDatagram,
    Tcp,
    Http,
    /// What to write instead.
    Other(&'static str),
}

const SCHEMES: [(&str, Scheme); 10] = [
    ("unix", Scheme::UnixStream),
    ("unixgram", Scheme::UnixDatagram),
    ("tcp", Scheme::Tcp),
    ("http", Scheme::Http),
    (
        "https",
        Scheme::Other("write http: with an address of this host, and let a proxy speak TLS"),
    ),
    (
        "udp",
        Scheme::Other(
            "datagrams get lost and anyone can forge them: write tcp:127.0.0.1:5140, or let rsyslog \
             take them in and write unixgram:queue/alerts.sock",
        ),
    ),
    (
        "tls",
        Scheme::Other("write tcp:127.0.0.1:5140, and let a proxy speak TLS"),
    ),
    ("file", Scheme::Other("write the path alone")),
    ("fifo", Scheme::Other("write unix:queue/alerts.sock, or -")),
    ("stdin", Scheme::Other("write -")),
];

impl Location {
    /// Whether how far it was read is known after a restart, and so where to
    /// start the first time.
    pub fn has_position(&self) -> bool {
        match self {
            Self::File(_) | Self::Glob(_) => true,
            Self::UnixStream(_)
            | Self::UnixDatagram(_)
            | Self::Tcp(_)
            | Self::Http(_)
            | Self::StandardInput => false,
        }
    }

    /// Whether both would read the same alerts, or cannot be open together.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Glob(glob), Self::File(path)) | (Self::File(path), Self::Glob(glob)) => {
                path.to_str().is_some_and(|path| glob.fits(path))
            }
            (Self::File(a), Self::File(b)) => a == b,
            (
                Self::UnixStream(a) | Self::UnixDatagram(a),
                Self::UnixStream(b) | Self::UnixDatagram(b),
            ) => a.path == b.path,
            (a, b) => match (a.address(), b.address()) {
                (Some(a), Some(b)) => a == b,
                (None, _) | (_, None) => a == b,
            },
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(door) => Some(door.address),
            Self::Http(door) => Some(door.address),
            Self::File(_)
            | Self::Glob(_)
            | Self::UnixStream(_)
            | Self::UnixDatagram(_)
            | Self::StandardInput => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Glob(glob) => write!(f, "{glob}"),
            Self::UnixStream(socket) => write!(f, "unix:{}", socket.path.display()),
            Self::UnixDatagram(socket) => write!(f, "unixgram:{}", socket.path.display()),
            Self::Tcp(door) => write!(f, "tcp:{}", door.address),
            Self::Http(door) => write!(f, "http:{}", door.address),
            Self::StandardInput => f.write_str("-"),
        }
    }
}

pub(super) const HINT: &str =
    "write a file, such as <location>/var/ossec/logs/alerts/alerts.json</location>";

/// `None` if it is no location, which has been reported.
pub(super) fn read(value: Value<'_>, report: &mut Report<'_>) -> Option<Location> {
    match parse(value.text) {
        Ok(location) => Some(location),
        Err((message, hint)) => {
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

/// What is wrong with a text, and what to write instead.
type Wrong = (String, String);

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((message.into(), hint.into()))
}

fn parse(text: &str) -> Result<Location, Wrong> {
    if text.is_empty() {
        return wrong("<location> is empty", HINT);
    }
    if text == "-" {
        return Ok(Location::StandardInput);
    }
    if text.contains(char::is_control) {
        return wrong(format!("`{}` is no location", text.escape_debug()), HINT);
    }
    if let Some((word, rest)) = text.split_once(':')
        && !word.contains('/')
    {
        return behind_scheme(text, word, rest);
    }
    if text.ends_with('/') {
        return wrong(format!("`{text}` is no file"), HINT);
    }
    if Glob::is_one(text) {
        return glob(text);
    }
    Ok(Location::File(text.into()))
}

fn glob(text: &str) -> Result<Location, Wrong> {
    Glob::parse(text).map(Location::Glob).or_else(|error| {
        let hint = match error {
            InvalidGlob::Open => "write [[] to mean the bracket itself",
            InvalidGlob::AnyDepth => "write a * for each directory: /srv/*/*/alerts.json",
            InvalidGlob::TooLong => "write a shorter one",
        };
        wrong(format!("`{text}` {error}"), hint)
    })
}

fn behind_scheme(text: &str, word: &str, rest: &str) -> Result<Location, Wrong> {
    let known = SCHEMES.iter().find(|(known, _)| *known == word);
    let Some((_, scheme)) = known else {
        let names = SCHEMES.iter().map(|(name, _)| *name);
        let meant = suggest(word, names).map_or_else(String::new, |name| {
            format!("did you mean {name}:? if not, ")
        });
        let hint = format!(
            "{meant}known are unix:, unixgram:, tcp: and http:; write ./{text} to mean a file"
        );
        return wrong(format!("`{word}:` is nothing that alerts come from"), hint);
    };
    match scheme {
        Scheme::UnixStream => socket(text, rest).map(Location::UnixStream),
        Scheme::UnixDatagram => socket(text, rest).map(Location::UnixDatagram),
        Scheme::Tcp => address(text, word, rest).map(|address| {
            Location::Tcp(TcpDoor {
                address,
                allowed: Vec::new(),
            })
        }),
        Scheme::Http => {
            address(text, word, rest).map(|address| Location::Http(HttpDoor::at(address)))
        }
        Scheme::Other(instead) => {
            wrong(format!("alerts cannot come from `{word}:` here"), *instead)
        }
    }
}

fn socket(text: &str, path: &str) -> Result<UnixSocket, Wrong> {
    let hint = "write a path, below the home unless it begins with a /: unix:queue/alerts.sock";
    if path.is_empty() || path.ends_with('/') {
        return wrong(format!("`{text}` is no socket"), hint);
    }
    if path.starts_with('@') {
        let message = format!("`{text}` has no file, so no mode says who may write to it");
        return wrong(message, hint);
    }
    if path.len() > MAX_SOCKET_PATH {
        let message = format!(
            "`{text}`: the path of a socket has at most {MAX_SOCKET_PATH} bytes, and this has {}",
            path.len()
        );
        return wrong(
            message,
            "write a shorter one, such as unix:queue/alerts.sock",
        );
    }
    Ok(UnixSocket {
        path: path.into(),
        mode: 0o600,
        group: None,
    })
}

fn address(text: &str, word: &str, rest: &str) -> Result<SocketAddr, Wrong> {
    let port = if word == "tcp" { 5140 } else { 8514 };
    let hint = format!(
        "write an address of this host and a port: {word}:127.0.0.1:{port} or {word}:[::1]:{port}"
    );
    // URLs have two slashes there.
    let written = rest.strip_prefix("//").unwrap_or(rest);
    let written = written.strip_suffix('/').unwrap_or(written);
    match written.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => wrong(
            format!("`{text}`: a port is a number from 1 to 65535"),
            hint,
        ),
        Err(_) if written.parse::<u16>().is_ok() => wrong(format!("`{text}` has no address"), hint),
        Err(_) => wrong(format!("`{text}` is no address to listen at"), hint),
    }
}
