//! Unix sockets below `queue/`. Who is on the other side is asked of the
//! kernel (`SO_PEERCRED`, unix(7)): root, or the user this daemon runs as.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::model::AgentId;
use crate::wire::hello::{Daemon, Denial, Greeting, Hello};
use crate::wire::{Frame, FrameError, FrameReader, stream};

/// How long a peer may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("listen on {path}: another process listens there already")]
    Taken { path: PathBuf },
    #[error("listen on {path}: {source}")]
    Bind { path: PathBuf, source: io::Error },
    #[error("connect to {path}: {source}")]
    Dial { path: PathBuf, source: io::Error },
    #[error("the other side is user {0}, who may not")]
    NotPermitted(u32),
    #[error("the other side did not say who it is in time")]
    Silent,
    #[error("the other side refused: {0}")]
    Denied(String),
    #[error("the other side closed the connection")]
    Closed,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("ask who is on the other side: {0}")]
    Credentials(io::Error),
}

/// A connection whose hello is done.
#[derive(Debug)]
pub struct Connection {
    pub reader: FrameReader<OwnedReadHalf>,
    pub writer: OwnedWriteHalf,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: FrameReader::new(reader),
            writer,
        }
    }

    /// Sends one message without body.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), FrameError> {
        stream::write(&mut self.writer, &Frame::new(message)?).await
    }
}

/// An agent that has said hello.
#[derive(Debug)]
pub struct AgentConnection {
    pub id: AgentId,
    pub version: String,
    pub connection: Connection,
}

/// Who is on the other side.
#[derive(Debug)]
pub enum Peer {
    Ctl(Connection),
    Agent(AgentConnection),
}

/// Makes the socket at `path`, mode 0600. One left behind by a killed
/// predecessor is taken over; one that somebody listens on is not.
pub async fn bind(path: &Path) -> Result<UnixListener, LocalError> {
    let failed = |source| LocalError::Bind {
        path: path.to_owned(),
        source,
    };
    if UnixStream::connect(path).await.is_ok() {
        return Err(LocalError::Taken {
            path: path.to_owned(),
        });
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // The directory is open to its owner alone, so nobody slips in before the mode is set.
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Receives a hello and answers it.
pub async fn welcome(
    stream: UnixStream,
    daemon: Daemon,
    takes_agents: bool,
) -> Result<Peer, LocalError> {
    let peer = stream.peer_cred().map_err(LocalError::Credentials)?.uid();
    let own = rustix::process::geteuid().as_raw();
    let mut connection = Connection::new(stream);
    if peer != 0 && peer != own {
        let text = format!("user {peer} may not speak to this daemon (run it as root)");
        deny(&mut connection, Denial::NotPermitted, text).await;
        return Err(LocalError::NotPermitted(peer));
    }
    let hello: Hello = tokio::time::timeout(HELLO_TIMEOUT, connection.reader.next())
        .await
        .map_err(|_| LocalError::Silent)??
        .ok_or(LocalError::Closed)?
        .message()?;
    if let Some(denial) = hello.mismatch(daemon) {
        connection.send(&denial).await?;
        return Err(LocalError::Denied("another protocol".to_owned()));
    }
    let agent = match hello {
        Hello::Ctl { .. } => None,
        Hello::Agent { .. } if !takes_agents => {
            let text = format!("{daemon} takes no agents");
            deny(&mut connection, Denial::NotPermitted, text).await;
            return Err(LocalError::Denied("an agent dialled an agent".to_owned()));
        }
        Hello::Agent { id, .. } if id != AgentId::MANAGER => {
            let text = "only agent 000 connects here".to_owned();
            deny(&mut connection, Denial::NotPermitted, text).await;
            return Err(LocalError::Denied(format!(
                "agent {id} on the local socket"
            )));
        }
        Hello::Agent { id, version, .. } => Some((id, version)),
    };
    connection.send(&Greeting::welcome(daemon)).await?;
    Ok(match agent {
        None => Peer::Ctl(connection),
        Some((id, version)) => Peer::Agent(AgentConnection {
            id,
            version,
            connection,
        }),
    })
}

async fn deny(connection: &mut Connection, denial: Denial, text: String) {
    // The peer is turned away whether or not it hears why.
    drop(connection.send(&Greeting::Denied { denial, text }).await);
}

/// Connects to the daemon at `path` and says hello.
pub async fn dial(path: &Path, hello: &Hello) -> Result<Connection, LocalError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| LocalError::Dial {
            path: path.to_owned(),
            source,
        })?;
    let mut connection = Connection::new(stream);
    connection.send(hello).await?;
    let greeting: Greeting = tokio::time::timeout(HELLO_TIMEOUT, connection.reader.next())
        .await
        .map_err(|_| LocalError::Silent)??
        .ok_or(LocalError::Closed)?
        .message()?;
    match greeting {
        Greeting::Welcome { .. } => Ok(connection),
        Greeting::Denied { text, .. } => Err(LocalError::Denied(text)),
    }
}

/// Moves messages both ways until either side is done: what comes out of
/// `outgoing` is written, what is read goes through `take` into `incoming`,
/// whose capacity is the back-pressure. Returns why it ended, if it was not
/// that the other side or the owner had finished.
pub async fn exchange<T>(
    connection: Connection,
    mut outgoing: mpsc::Receiver<Frame>,
    incoming: &mpsc::Sender<T>,
    take: impl Fn(Frame) -> Result<T, FrameError>,
) -> Result<(), FrameError> {
    let Connection {
        mut reader,
        mut writer,
    } = connection;
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            stream::write(&mut writer, &frame).await?;
        }
        Ok(())
    };
    let read = async {
        while let Some(frame) = reader.next().await? {
            if incoming.send(take(frame)?).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        written = write => written,
        read = read => read,
    }
}
