//! Doors that alerts come in at: sockets, opened before anything is read.
//!
//! Nobody can connect or send to a Unix socket before its mode and group are
//! set. One that a killed predecessor has left is taken over; what is no socket,
//! and one that somebody listens at, is not touched.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::sys::group;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error(
        "listen at {place}: somebody listens there already\n(stop that process, or choose another place)"
    )]
    Taken { place: String },
    #[error(
        "listen at {path}: what stands there is no socket\n(choose another path, or move it away)"
    )]
    NotASocket { path: PathBuf },
    #[error(
        "listen at {path}: {directory} can be written to by others than its owner\n(put the socket into a directory of its own: install -d -m 0750 {directory}/ripost)"
    )]
    Exposed { path: PathBuf, directory: PathBuf },
    #[error("listen at {path}: there is no group {group}\n(write one that `getent group` shows)")]
    NoGroup { path: PathBuf, group: String },
    #[error("listen at {place}: {source}")]
    Failed { place: String, source: io::Error },
}

impl DoorError {
    /// An address cannot be listened at.
    pub(super) fn at(address: SocketAddr, source: io::Error) -> Self {
        let place = address.to_string();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { place },
            _ => Self::Failed { place, source },
        }
    }
}

/// Who may write to a Unix socket, besides its owner.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// A name or a number; none: that of the daemon.
    pub group: Option<String>,
}

impl Default for Access {
    /// Its owner alone.
    fn default() -> Self {
        Self {
            mode: 0o600,
            group: None,
        }
    }
}

/// A socket that is open.
#[derive(Debug)]
pub struct Door {
    socket: OwnedFd,
    pub(super) kind: Kind,
    /// How it is named where it fails.
    place: String,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    UnixStream,
    UnixDatagram,
    Tcp { allowed: Vec<IpNetwork> },
}

impl Door {
    /// A Unix socket for connections.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn unix_stream(path: &Path, access: &Access) -> Result<Self, DoorError> {
        let socket = unix(path, SocketType::STREAM, access)?;
        rustix::net::listen(&socket, BACKLOG).map_err(failed(path))?;
        Ok(Self {
            socket,
            kind: Kind::UnixStream,
            place: path.display().to_string(),
        })
    }

    /// A Unix socket for datagrams. How many of them wait is for the system to
    /// say (net.unix.max_dgram_qlen); SO_RCVBUF has no effect there (unix(7)).
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn unix_datagram(path: &Path, access: &Access) -> Result<Self, DoorError> {
        Ok(Self {
            socket: unix(path, SocketType::DGRAM, access)?,
            kind: Kind::UnixDatagram,
            place: path.display().to_string(),
        })
    }

    /// An address and a port. Connections from other addresses than those that
    /// are allowed are closed at once; none in the list: from everywhere.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn tcp(address: SocketAddr, allowed: Vec<IpNetwork>) -> Result<Self, DoorError> {
        let place = address.to_string();
        let listener =
            TcpListener::bind(address).map_err(|source| DoorError::at(address, source))?;
        Ok(Self {
            socket: listener.into(),
            kind: Kind::Tcp { allowed },
            place,
        })
    }

    /// The same socket with other settings: nobody who connects meanwhile is
    /// turned away.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn with(&self, access: &Access, allowed: &[IpNetwork]) -> Result<Self, DoorError> {
        let kind = match &self.kind {
            Kind::Tcp { .. } => Kind::Tcp {
                allowed: allowed.to_vec(),
            },
            kind @ (Kind::UnixStream | Kind::UnixDatagram) => {
                admit(Path::new(&self.place), access)?;
                kind.clone()
            }
        };
        Ok(Self {
            socket: self.socket().map_err(|source| DoorError::Failed {
                place: self.place.clone(),
                source,
            })?,
            kind,
            place: self.place.clone(),
        })
    }

    /// One more descriptor of the socket.
    pub(super) fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }
}

/// Whether an address is in one of the networks; an IPv4 host that is written
/// as an IPv6 one is the IPv4 host (RFC 4291, 2.5.5.2).
pub(super) fn is_allowed(peer: IpAddr, allowed: &[IpNetwork]) -> bool {
    let peer = peer.to_canonical();
    allowed.is_empty() || allowed.iter().any(|network| network.contains(peer))
}

fn failed<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> DoorError {
    move |error| DoorError::Failed {
        place: path.display().to_string(),
        source: error.into(),
    }
}

fn unix(path: &Path, kind: SocketType, access: &Access) -> Result<OwnedFd, DoorError> {
    check_directory(path)?;
    let address = SocketAddrUnix::new(path).map_err(failed(path))?;
    remove_stale(path, kind, &address)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
    let socket = socket.map_err(failed(path))?;
    // The file is made with the mode that the socket has: for its owner alone,
    // until its group is set.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed(path))?;
    rustix::net::bind(socket.as_fd(), &address).map_err(failed(path))?;
    admit(path, access)?;
    Ok(socket)
}

/// Sets the group and then the mode of a socket.
fn admit(path: &Path, access: &Access) -> Result<(), DoorError> {
    if let Some(name) = &access.group {
        let found = group::id_of(name).map_err(failed(path))?;
        let Some(id) = found else {
            return Err(DoorError::NoGroup {
                path: path.to_owned(),
                group: name.clone(),
            });
        };
        rustix::fs::chown(path, None, Some(id)).map_err(failed(path))?;
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(access.mode)).map_err(failed(path))
}

/// Others who can write to the directory could put a socket of their own there,
/// and take in what is meant for us.
fn check_directory(path: &Path) -> Result<(), DoorError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let there = std::fs::metadata(directory).map_err(failed(path))?;
    let own = rustix::process::geteuid().as_raw();
    let is_sticky = there.mode() & 0o1000 != 0;
    let is_exposed = there.mode() & 0o022 != 0 && !is_sticky;
    if is_exposed || (there.uid() != 0 && there.uid() != own) {
        return Err(DoorError::Exposed {
            path: path.to_owned(),
            directory: directory.to_owned(),
        });
    }
    Ok(())
}

/// Removes a socket that nobody answers at.
fn remove_stale(path: &Path, kind: SocketType, address: &SocketAddrUnix) -> Result<(), DoorError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path)(error)),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(DoorError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    // Not to wait where the one who listens does not accept.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
    let probe = probe.map_err(failed(path))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed(path)),
        Err(Errno::NOENT) => Ok(()),
        // Connected, too busy, or of another kind: somebody has it open.
        Ok(()) | Err(_) => Err(DoorError::Taken {
            place: path.display().to_string(),
        }),
    }
}
