//! How a host becomes an agent: it knows of its manager what the token says.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::dial::{self, DialError};
use super::pki::{AgentKey, Credentials};
use super::tls;
use crate::model::ServerAddress;
use crate::model::{AgentGroup, AgentName};
use crate::wire::PROTOCOL;
use crate::wire::enroll::{EnrollAnswer, EnrollRequest, Token};

/// A host that has become an agent. Nothing is on its disk yet.
#[derive(Debug)]
pub struct Enrolled {
    /// The id is in here, too.
    pub credentials: Credentials,
    /// What the manager calls it.
    pub name: AgentName,
    pub groups: Vec<AgentGroup>,
}

/// Enrolls this host under `name`, unless the token has one. The secret is sent
/// only to a manager whose CA has the pin of the token. The key is made here,
/// and is the same for each address that is tried.
pub async fn enroll(
    server: &ServerAddress,
    token: &Token,
    name: &AgentName,
) -> Result<Enrolled, DialError> {
    let key = AgentKey::new()?;
    let config = Arc::new(tls::enroll_client(token.pin)?);
    let request = EnrollRequest {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        token: token.id,
        secret: token.secret,
        key: key.public(),
        name: name.clone(),
    };
    let mut worst = DialError::NoServer;
    for address in dial::look_up(server).await? {
        let asked = tokio::time::timeout(dial::DEADLINE, ask(address, &config, &request));
        match asked.await.unwrap_or(Err(DialError::Silent { address })) {
            Ok(answer) => return accept(answer, token, &key),
            Err(error) => worst = worst.or_worse(error),
        }
    }
    Err(worst)
}

async fn ask(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    request: &EnrollRequest,
) -> Result<EnrollAnswer, DialError> {
    let mut connection = dial::connect(address, config).await?;
    let failed = |error| DialError::frame(address, error);
    connection.send(request).await.map_err(failed)?;
    let frame = connection.reader.next().await.map_err(failed)?;
    let frame = frame.ok_or(DialError::Closed { address })?;
    frame.message().map_err(failed)
}

fn accept(answer: EnrollAnswer, token: &Token, key: &AgentKey) -> Result<Enrolled, DialError> {
    match answer {
        EnrollAnswer::Denied { denial, text } => Err(DialError::Denied { denial, text }),
        EnrollAnswer::Enrolled {
            id,
            name,
            groups,
            certificate,
            ca,
        } => Ok(Enrolled {
            credentials: Credentials::new(id, key, &certificate, &ca, token.pin)?,
            name,
            groups,
        }),
    }
}
