//! What TLS is set to on both sides: version 1.3 only, ring, no tickets, no
//! early data, and nothing that the system trusts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    ServerConfig, SignatureScheme,
};

use super::pki::{self, Authority, Credentials, MANAGER_NAME, PkiError};
use crate::clock::{self, Wall};
use crate::model::Pin;

/// Names the protocol of sessions (RFC 7301).
pub(super) const ALPN_SESSION: &[u8] = b"ripost/1";
/// Names the protocol of enrollment.
pub(super) const ALPN_ENROLL: &[u8] = b"ripost-enroll/1";

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Certificates are judged by the clock that everything else goes by.
#[derive(Debug)]
struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Wall::from_millis(0).until(clock::wall());
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// The time of a check, as rustls tells it.
pub(super) fn wall(time: UnixTime) -> Wall {
    Wall::from_millis(0).plus(Duration::from_secs(time.as_secs()))
}

pub(super) fn manager_name() -> ServerName<'static> {
    ServerName::try_from(MANAGER_NAME).expect("it is a valid name")
}

pub(super) fn roots(ca: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    Ok(Arc::new(roots))
}

/// For sessions: no handshake succeeds without a certificate of our CA.
pub(super) fn session_server(authority: &Authority) -> Result<ServerConfig, PkiError> {
    let roots = roots(authority.ca())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
    let config = server()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(authority.identity());
    Ok(server_defaults(config, ALPN_SESSION))
}

/// For enrollment: whoever comes has no certificate yet.
pub(super) fn enroll_server(authority: &Authority) -> Result<ServerConfig, PkiError> {
    let config = server()?
        .with_no_client_auth()
        .with_cert_resolver(authority.identity());
    Ok(server_defaults(config, ALPN_ENROLL))
}

fn server() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_details(provider(), Arc::new(WallClock))
        .with_protocol_versions(&[&TLS13])
}

fn server_defaults(mut config: ServerConfig, protocol: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

fn client() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_details(provider(), Arc::new(WallClock))
        .with_protocol_versions(&[&TLS13])
}

/// For sessions: the manager of the CA the agent has enrolled with.
pub(super) fn session_client(credentials: &Credentials) -> Result<ClientConfig, PkiError> {
    let roots = roots(credentials.ca())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    let mut config = client()?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(Shown(credentials.certified())));
    config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// For enrollment: the manager of whichever CA has this pin.
pub(super) fn enroll_client(pin: Pin) -> Result<ClientConfig, PkiError> {
    let mut config = client()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new(pin)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROLL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Shows the agent's certificate to whoever asks; only our manager gets there.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts a chain that contains a CA with the pin, and whose first certificate
/// is that CA's for the manager. All else is left to the verifier of rustls.
struct Pinned {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(pin: Pin) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { pin, algorithms }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.pin)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates
            .iter()
            .find(|certificate| pki::pin(certificate) == Some(self.pin))
            .ok_or_else(unknown)?;
        WebPkiServerVerifier::builder_with_provider(roots(ca)?, provider())
            .build()
            .map_err(|_| unknown())?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
