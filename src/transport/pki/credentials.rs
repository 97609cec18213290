//! The agent's side: its key, made on its host, and its certificate.
//!
//! `etc/tls/agent.pem` holds everything in one file: a line `Agent: 007`, then
//! as PEM the key, the certificate for it and the CA's. An enrollment or a
//! renewal replaces it whole.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::files::{self, Bundle};
use super::verify::{self, Role, Validity};
use super::{PkiError, Unusable, fingerprint, pin};
use crate::clock::Wall;
use crate::model::{AgentId, Fingerprint, Pin};
use crate::wire::enroll::PublicKey;

const AGENT_PEM: &str = "agent.pem";
const AGENT_LINE: &str = "Agent: ";

const ENROLL: &str = "restore it, or remove it and enroll this host again: `ripostctl enroll token` on the manager, then `ripost-agentd enroll` here";

/// A key without certificate yet.
pub struct AgentKey(KeyPair);

impl AgentKey {
    /// Makes a key. It leaves the host in no other form than [`Self::public`].
    pub fn new() -> Result<Self, PkiError> {
        Ok(Self(KeyPair::generate()?))
    }

    pub fn public(&self) -> PublicKey {
        let point = self.0.public_key_raw();
        PublicKey::from_bytes(point.try_into().expect("a point on P-256 has 65 bytes"))
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.public())
    }
}

/// What an agent identifies itself with, and how it knows its manager.
#[derive(Clone)]
pub struct Credentials {
    agent: AgentId,
    /// The whole of the file.
    text: String,
    certified: Arc<CertifiedKey>,
    ca: CertificateDer<'static>,
    pin: Pin,
    validity: Validity,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, {})", self.agent, self.fingerprint())
    }
}

impl Credentials {
    /// Puts together what the manager has sent: `certificate` is for `key`, and
    /// `ca`, whose pin is `pin`, has given it. Each is one certificate as PEM.
    pub fn new(
        agent: AgentId,
        key: &AgentKey,
        certificate: &str,
        ca: &str,
        known: Pin,
    ) -> Result<Self, PkiError> {
        for text in [certificate, ca] {
            files::certificate(text).map_err(PkiError::Sent)?;
        }
        let (certificate, ca) = (certificate.trim(), ca.trim());
        let key = key.0.serialize_pem();
        let text = format!("{AGENT_LINE}{agent}\n{}\n{certificate}\n{ca}\n", key.trim());
        let made = Self::parse(text)?;
        if made.pin != known {
            return Err(PkiError::Sent(Unusable::OtherCa));
        }
        Ok(made)
    }

    /// The same agent with a new key and certificate of the same CA.
    pub fn renewed(&self, key: &AgentKey, certificate: &str, ca: &str) -> Result<Self, PkiError> {
        Self::new(self.agent.clone(), key, certificate, ca, self.pin)
    }

    /// Loads `agent.pem` from `directory` (`etc/tls`); `None` if this host has
    /// never enrolled.
    pub fn load(directory: &Path) -> Result<Option<Self>, PkiError> {
        let path = directory.join(AGENT_PEM);
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        let loaded = String::from_utf8(bytes)
            .map_err(|_| PkiError::Sent(Unusable::Garbled))
            .and_then(Self::parse);
        loaded.map(Some).map_err(|error| match error {
            PkiError::Sent(why) => PkiError::Unusable {
                path,
                why,
                hint: ENROLL,
            },
            other => other,
        })
    }

    /// Replaces `agent.pem` in `directory`, which is made if missing.
    pub fn store(&self, directory: &Path) -> Result<(), PkiError> {
        files::replace(directory, AGENT_PEM, &self.text)
    }

    /// Whether [`Self::store`] would be let do its work in `directory`, which is
    /// made if missing.
    pub fn can_store(directory: &Path) -> Result<(), PkiError> {
        files::can_replace(directory, AGENT_PEM)
    }

    fn parse(text: String) -> Result<Self, PkiError> {
        let garbled = || PkiError::Sent(Unusable::Garbled);
        let agent = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix(AGENT_LINE))
            .and_then(|id| AgentId::parse(id).ok())
            .ok_or_else(garbled)?;
        let mut bundle = Bundle::parse(text.as_bytes(), 2).map_err(PkiError::Sent)?;
        let ca = bundle.certificates.pop().ok_or_else(garbled)?;
        let certified = bundle.certified().map_err(PkiError::Sent)?;
        let validity = verify::validity(&bundle.certificates[0], &ca, Role::Agent)?;
        let pin = pin(&ca).ok_or_else(garbled)?;
        Ok(Self {
            agent,
            text,
            certified: Arc::new(certified),
            ca,
            pin,
            validity,
        })
    }

    /// The id the manager gave at enrollment.
    pub fn agent_id(&self) -> &AgentId {
        &self.agent
    }

    pub fn not_before(&self) -> Wall {
        self.validity.not_before
    }

    pub fn not_after(&self) -> Wall {
        self.validity.not_after
    }

    /// When two thirds of the lifetime are over.
    pub fn renew_at(&self) -> Wall {
        self.validity.renew_at()
    }

    /// Of the agent's certificate, as the manager lists it.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certified.cert[0])
    }

    /// Of the CA the agent has enrolled with.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    pub(in crate::transport) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    pub(in crate::transport) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}
