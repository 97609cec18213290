//! Unix sockets below `queue/`. Who is on the other side is asked of the
//! kernel (`SO_PEERCRED`, unix(7)): root, or the user this daemon runs as.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::model::AgentId;
use crate::transport::session::Connection;
use crate::wire::FrameError;
use crate::wire::hello::{AgentHello, Daemon, Denial, Greeting, Hello, ManagerJournal};

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

/// A connection over a Unix socket.
pub type LocalConnection = Connection<OwnedReadHalf, OwnedWriteHalf>;

fn connection(stream: UnixStream) -> LocalConnection {
    let (reader, writer) = stream.into_split();
    Connection::new(reader, writer)
}

/// Who is on the other side.
#[derive(Debug)]
pub enum Peer {
    /// Has been greeted.
    Ctl(LocalConnection),
    /// The agent of this host. It is greeted once it is let in.
    Agent(AgentHello, LocalConnection),
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
    let mut connection = connection(stream);
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
    match hello {
        Hello::Ctl { .. } => {
            connection.send(&Greeting::welcome(daemon, None)).await?;
            Ok(Peer::Ctl(connection))
        }
        Hello::Agent(_) if !takes_agents => {
            let text = format!("{daemon} takes no agents");
            deny(&mut connection, Denial::NotPermitted, text).await;
            Err(LocalError::Denied("an agent dialled an agent".to_owned()))
        }
        Hello::Agent(hello) if hello.id != AgentId::MANAGER => {
            let text = "only agent 000 connects here".to_owned();
            deny(&mut connection, Denial::NotPermitted, text).await;
            Err(LocalError::Denied(format!(
                "agent {} on the local socket",
                hello.id
            )))
        }
        Hello::Agent(hello) => Ok(Peer::Agent(hello, connection)),
    }
}

async fn deny(connection: &mut LocalConnection, denial: Denial, text: String) {
    // The peer is turned away whether or not it hears why.
    drop(connection.send(&Greeting::Denied { denial, text }).await);
}

/// Connects to the daemon at `path` and says hello.
pub async fn dial(
    path: &Path,
    hello: &Hello,
) -> Result<(LocalConnection, Option<ManagerJournal>), LocalError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| LocalError::Dial {
            path: path.to_owned(),
            source,
        })?;
    let mut connection = connection(stream);
    connection.send(hello).await?;
    let greeting: Greeting = tokio::time::timeout(HELLO_TIMEOUT, connection.reader.next())
        .await
        .map_err(|_| LocalError::Silent)??
        .ok_or(LocalError::Closed)?
        .message()?;
    match greeting {
        Greeting::Welcome { journal, .. } => Ok((connection, journal)),
        Greeting::Denied { text, .. } => Err(LocalError::Denied(text)),
    }
}
