//! The connection to a daemon of a home: which one answers, the hello, one
//! request, and its answer. Everything waits with a deadline.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::clock::{self, Boot};
use crate::ctl::error::Error;
use crate::ctl::failure::Failure;
use crate::ctl::say;
use crate::wire::control::{Answer, Request};
use crate::wire::parts::{self, Part};
use crate::wire::{
    Daemon, Frame, FrameError, Greeting, Hello, MAX_FRAME, MAX_HELLO, PROTOCOL, frame,
};

/// From the dial to the end of the hello.
const CONNECT: Duration = Duration::from_secs(2);
/// For each part of an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// A gigabyte, more or less: far above what 100,000 responses take.
const MAX_PARTS: usize = 1_000;

/// An open connection, greeted on both sides.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    daemon: Daemon,
    path: PathBuf,
    answer: Duration,
}

impl Connection {
    /// To the manager if it answers, else to the agentd of this home.
    pub(crate) fn to_any(home: &Path) -> Result<Self, Error> {
        exists(home)?;
        let manager = match Self::open(home, Daemon::Manager) {
            Err(failure @ (Failure::Absent { .. } | Failure::Silent { .. })) => failure,
            other => return Ok(other?),
        };
        let agentd = match Self::open(home, Daemon::Agentd) {
            Err(failure @ Failure::Absent { .. }) => failure,
            other => {
                note_missing_manager(home, &manager);
                return Ok(other?);
            }
        };
        Err(nobody(home, manager, agentd).into())
    }

    /// As [`Connection::to_any`], and to the agentd beside a manager.
    pub(crate) fn to_each(home: &Path) -> Result<Vec<Self>, Error> {
        let first = Self::to_any(home)?;
        let mut all = vec![first];
        if all[0].daemon == Daemon::Manager {
            match Self::open(home, Daemon::Agentd) {
                Ok(agentd) => all.push(agentd),
                // Not every manager's host runs one.
                Err(Failure::Absent { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(all)
    }

    /// To the agentd beside a manager, if `first` leads to a manager and there is
    /// one that answers.
    pub(crate) fn beside(first: &Self, home: &Path) -> Option<Self> {
        match first.daemon {
            Daemon::Manager => Self::open(home, Daemon::Agentd).ok(),
            Daemon::Agentd => None,
        }
    }

    /// To the manager, for what only it can answer.
    pub(crate) fn to_manager(home: &Path) -> Result<Self, Error> {
        exists(home)?;
        Ok(Self::open(home, Daemon::Manager)?)
    }

    /// To both daemons of this home, or to the one that runs.
    pub(crate) fn to_all(home: &Path) -> Result<Vec<Self>, Error> {
        exists(home)?;
        let mut open = Vec::new();
        let mut absent = Vec::new();
        for daemon in [Daemon::Manager, Daemon::Agentd] {
            match Self::open(home, daemon) {
                Ok(connection) => open.push(connection),
                Err(failure @ Failure::Absent { .. }) => absent.push(failure),
                Err(failure) => return Err(failure.into()),
            }
        }
        match (open.is_empty(), absent.pop(), absent.pop()) {
            (true, Some(agentd), Some(manager)) => Err(nobody(home, manager, agentd).into()),
            _ => Ok(open),
        }
    }

    /// Waits so long for each part of an answer.
    pub(crate) fn patient(self, answer: Duration) -> Self {
        Self { answer, ..self }
    }

    fn open(home: &Path, daemon: Daemon) -> Result<Self, Failure> {
        let socket = match daemon {
            Daemon::Manager => "queue/manager.sock",
            Daemon::Agentd => "queue/agentd.sock",
        };
        let path = home.join(socket);
        let stream = match dial(&path, CONNECT) {
            Ok(stream) => stream,
            Err(Errno::ACCESS | Errno::PERM) => return Err(Failure::Forbidden(path)),
            // unix(7): so says a listener whose queue stays full.
            Err(Errno::AGAIN) => {
                return Err(Failure::Silent {
                    path,
                    limit: CONNECT,
                });
            }
            Err(error) => {
                return Err(Failure::Absent {
                    daemon,
                    home: home.to_owned(),
                    path,
                    reason: match error {
                        Errno::NOENT => "not started".to_owned(),
                        Errno::CONNREFUSED => "not running".to_owned(),
                        Errno::NAMETOOLONG => "the path is too long for a socket".to_owned(),
                        other => io::Error::from(other).to_string(),
                    },
                });
            }
        };
        Self::greet(stream, path)
    }

    fn greet(stream: UnixStream, path: PathBuf) -> Result<Self, Failure> {
        let mut connection = Self {
            stream,
            daemon: Daemon::Manager,
            path,
            answer: ANSWER,
        };
        connection.send(&Hello::ctl())?;
        match connection.receive(MAX_HELLO, CONNECT)? {
            Greeting::Welcome {
                daemon, protocol, ..
            } if protocol == PROTOCOL => connection.daemon = daemon,
            Greeting::Welcome {
                daemon,
                protocol,
                version,
                ..
            } => {
                return Err(Failure::Version {
                    daemon,
                    version,
                    protocol,
                });
            }
            Greeting::Denied { denial, text } => {
                let path = connection.path;
                return Err(Failure::Denied { path, denial, text });
            }
        }
        Ok(connection)
    }

    /// Which daemon answers here.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon
    }

    /// Asks, and waits for the whole answer. An error that the daemon answers
    /// is an error here.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        self.send(request)?;
        let Part { mut answer, more } = self.receive(MAX_FRAME, self.answer)?;
        let mut more = more;
        let mut count = 1;
        while more {
            let part: Part = self.receive(MAX_FRAME, self.answer)?;
            count += 1;
            if count > MAX_PARTS || parts::append(&mut answer, part.answer).is_err() {
                return Err(self.wrong_answer());
            }
            more = part.more;
        }
        match answer {
            Answer::Error { kind, text } => Err(Error::Refused { kind, text }),
            Answer::Status(_)
            | Answer::Agents { .. }
            | Answer::Records { .. }
            | Answer::Reverted { .. }
            | Answer::Reloaded { .. }
            | Answer::Tokens { .. }
            | Answer::Usable { .. }
            | Answer::Done { .. } => Ok(answer),
        }
    }

    pub(crate) fn wrong_answer(&self) -> Error {
        Failure::WrongAnswer(self.path.clone()).into()
    }

    fn send<T: serde::Serialize>(&mut self, message: &T) -> Result<(), Failure> {
        // The time that a send may take was set when the socket was made.
        Frame::new(message)
            .and_then(|frame| frame::write(&mut self.stream, &frame))
            .map_err(|error| self.broken(error, CONNECT))
    }

    fn receive<T: serde::de::DeserializeOwned>(
        &mut self,
        size: usize,
        limit: Duration,
    ) -> Result<T, Failure> {
        let mut timed = Timed {
            stream: &mut self.stream,
            deadline: clock::boot().plus(limit),
        };
        match frame::read(&mut timed, size) {
            Ok(Some(frame)) => frame.message().map_err(|error| self.broken(error, limit)),
            Ok(None) => Err(Failure::Closed(self.path.clone())),
            Err(error) => Err(self.broken(error, limit)),
        }
    }

    fn broken(&self, source: FrameError, limit: Duration) -> Failure {
        let path = self.path.clone();
        let FrameError::Io(error) = &source else {
            return Failure::Broken { path, source };
        };
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Silent { path, limit },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Closed(path),
            _ => Failure::Broken { path, source },
        }
    }
}

/// Connects, waiting for at most `limit` while the listener's queue is full.
fn dial(path: &Path, limit: Duration) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // Linux holds connect(2) to the same time limit as a send (af_unix.c
    // unix_stream_connect).
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

fn exists(home: &Path) -> Result<(), Error> {
    match home.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::NoHome(home.to_owned()))
        }
        // Anything else shows when the socket is dialled.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Neither daemon is there. A manager that hangs is the one to tell of.
fn nobody(home: &Path, manager: Failure, agentd: Failure) -> Failure {
    match (manager, agentd) {
        (
            Failure::Absent { path, reason, .. },
            Failure::Absent {
                path: agentd,
                reason: why,
                ..
            },
        ) => Failure::Nobody {
            home: home.to_owned(),
            tried: format!(
                "{} ({reason}), {} ({why})",
                path.display(),
                agentd.display()
            ),
        },
        (manager, _) => manager,
    }
}

/// What agentd knows is less than what its manager knows, so a person on a
/// manager's host is told who has answered.
fn note_missing_manager(home: &Path, failure: &Failure) {
    let text = failure.to_string();
    let reason = text.lines().next().unwrap_or_default();
    if home.join("etc/manager.conf").exists() {
        say(&format!("note: agentd answers instead; cannot {reason}"));
    }
}

/// Reads until a deadline, however the bytes trickle in.
struct Timed<'a> {
    stream: &'a mut UnixStream,
    deadline: Boot,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = clock::boot().until(self.deadline);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

    use super::{Connection, Timed, dial};
    use crate::clock::Boot;
    use crate::ctl::error::Error;
    use crate::ctl::failure::Failure;
    use crate::daemon::exit;
    use crate::wire::Daemon;
    use crate::wire::control::Request;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_daemon_that_says_nothing_is_given_up() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut connection = Connection {
            stream: near,
            daemon: Daemon::Manager,
            path: PathBuf::from("/socket"),
            answer: SHORT,
        };
        let error = connection.ask(&Request::Status).unwrap_err();
        drop(far);
        assert!(matches!(
            error,
            Error::Connection(Failure::Silent { limit: SHORT, .. })
        ));
        assert_eq!(error.code(), exit::TRY_AGAIN);
    }

    #[test]
    fn bytes_that_trickle_in_do_not_move_the_deadline() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"x").unwrap();
        let mut timed = Timed {
            stream: &mut near,
            deadline: Boot::from_millis(0),
        };
        let error = timed.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_listener_whose_queue_stays_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let _waiting = dial(&path, SHORT).unwrap();
        assert_eq!(dial(&path, SHORT).unwrap_err(), Errno::AGAIN);
    }

    #[test]
    fn a_manager_that_hangs_is_what_a_person_is_told_of() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("queue")).unwrap();
        let _hangs = UnixListener::bind(home.path().join("queue/manager.sock")).unwrap();
        let error = Connection::to_any(home.path()).unwrap_err();
        assert!(matches!(error, Error::Connection(Failure::Silent { .. })));
    }
}
