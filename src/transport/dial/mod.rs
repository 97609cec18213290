//! The agent's side of the network: finding a manager and being let in.

mod error;

pub use error::{DialError, Trouble};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::model::ServerAddress;
use crate::transport::pki::{Credentials, PkiError};
use crate::transport::session::Connection;
use crate::transport::tls;
use crate::wire::{AgentHello, Greeting, Hello, ManagerJournal};

/// For connecting, handshake and greeting together, at each address.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// A peer that takes nothing for so long has gone (tcp(7), TCP_USER_TIMEOUT).
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection over TLS, as the agent has it.
pub type RemoteConnection =
    Connection<ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>>;

/// A manager that has let this agent in.
#[derive(Debug)]
pub struct Dialled {
    pub connection: RemoteConnection,
    pub journal: Option<ManagerJournal>,
    /// Of the manager: what the host must never block.
    pub address: SocketAddr,
}

/// Dials the managers of an agent, the one that has worked last first.
#[derive(Debug)]
pub struct Dialler {
    servers: Vec<ServerAddress>,
    /// Which of them worked last.
    last: usize,
    config: Arc<ClientConfig>,
}

impl Dialler {
    pub fn new(servers: Vec<ServerAddress>, credentials: &Credentials) -> Result<Self, PkiError> {
        Ok(Self {
            servers,
            last: 0,
            config: Arc::new(tls::session_client(credentials)?),
        })
    }

    /// From the next dial on the agent shows this certificate.
    pub fn renew(&mut self, credentials: &Credentials) -> Result<(), PkiError> {
        self.config = Arc::new(tls::session_client(credentials)?);
        Ok(())
    }

    /// Tries each address once, a name at all of its addresses. If none works
    /// the error is the most telling of theirs. May be dropped while it waits.
    pub async fn dial(&mut self, hello: &AgentHello) -> Result<Dialled, DialError> {
        let mut worst = DialError::NoServer;
        for turn in 0..self.servers.len() {
            let at = (self.last + turn) % self.servers.len();
            let server = &self.servers[at];
            match self.dial_server(server, hello).await {
                Ok(dialled) => {
                    self.last = at;
                    return Ok(dialled);
                }
                Err(error) => worst = worst.or_worse(error),
            }
        }
        Err(worst)
    }

    async fn dial_server(
        &self,
        server: &ServerAddress,
        hello: &AgentHello,
    ) -> Result<Dialled, DialError> {
        let addresses = look_up(server).await?;
        let mut worst = DialError::NoServer;
        for address in addresses {
            let greeted = tokio::time::timeout(DEADLINE, self.greet(server, address, hello));
            match greeted.await.unwrap_or(Err(DialError::Silent { address })) {
                Ok(dialled) => return Ok(dialled),
                Err(error) => worst = worst.or_worse(error),
            }
        }
        Err(worst)
    }

    async fn greet(
        &self,
        server: &ServerAddress,
        address: SocketAddr,
        hello: &AgentHello,
    ) -> Result<Dialled, DialError> {
        log::debug!(server:% = server, address:% = address; "dialling");
        let mut connection = connect(address, &self.config).await?;
        // In TLS 1.3 the manager judges our certificate after our side of the
        // handshake is done, so its refusal arrives here.
        let failed = |error| DialError::frame(address, error);
        connection
            .send(&Hello::Agent(hello.clone()))
            .await
            .map_err(failed)?;
        let frame = connection.reader.next().await.map_err(failed)?;
        let frame = frame.ok_or(DialError::Closed { address })?;
        match frame.message().map_err(failed)? {
            Greeting::Welcome { journal, .. } => Ok(Dialled {
                connection,
                journal,
                address,
            }),
            Greeting::Denied { denial, text } => Err(DialError::Denied { denial, text }),
        }
    }
}

/// All addresses of a server.
pub(super) async fn look_up(server: &ServerAddress) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::Lookup {
        server: server.clone(),
        source,
    };
    let found = tokio::net::lookup_host((server.host.as_str(), server.port));
    let found = tokio::time::timeout(DEADLINE, found)
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(failed)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

/// Connects, and makes sure who is there as `config` has it.
pub(super) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<RemoteConnection, DialError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| DialError::Unreachable { address, source })?;
    // Neither is more than a matter of speed.
    let _ = stream.set_nodelay(true);
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).expect("a minute is short");
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, millis);
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(tls::manager_name(), stream)
        .await
        .map_err(|error| DialError::io(address, error))?;
    let (reader, writer) = tokio::io::split(stream);
    Ok(Connection::new(reader, writer))
}
