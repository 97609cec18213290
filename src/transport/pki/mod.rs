//! Who is who between hosts: the manager's CA, the certificates it gives, and
//! the files they are kept in. All keys are on the curve P-256.
//!
//! No request for a certificate is ever parsed: an agent sends the bare point
//! of its public key, and what a certificate says is decided here.

mod authority;
mod credentials;
mod files;
mod verify;

pub use authority::{Authority, Issued};
pub use credentials::{AgentKey, Credentials};

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, SerialNumber};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use crate::clock::Wall;
use crate::model::{Fingerprint, Pin};
use crate::sys::fs::FsError;
use crate::transport::random::{self, NoRandomness};

/// The name in the manager's certificate. It stands for the role, not for a
/// host: whoever has a certificate with it from the CA is the manager.
pub const MANAGER_NAME: &str = "ripost-manager";

/// Certificates are valid from so long before they are made, because the
/// clocks of two hosts may differ by hours.
const BACKDATED: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Why there is no certificate or key to work with.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error(transparent)]
    File(#[from] FsError),
    #[error("use {}: {why}\n({hint})", path.display())]
    Unusable {
        path: PathBuf,
        why: Unusable,
        hint: &'static str,
    },
    #[error("use the certificate the manager has sent: {0}")]
    Sent(Unusable),
    #[error("make a key or certificate")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Random(#[from] NoRandomness),
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("set up the check of certificates")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// What is wrong with a key or certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    #[error("it is missing, though what was made with it is there")]
    Missing,
    #[error("it is not the expected sequence of PEM blocks")]
    Garbled,
    #[error("others than its owner may read it")]
    Open,
    #[error("the key and the certificate do not belong together")]
    Mismatch,
    #[error("the certificate is not one of this CA for this purpose")]
    NotOfThisCa,
    #[error("it is of another CA than before")]
    OtherCa,
}

/// The SHA-256 of the DER form of a certificate.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint::from_bytes(Sha256::digest(certificate).into())
}

/// The SHA-256 of the whole SubjectPublicKeyInfo of a certificate: its DER form
/// from the tag of the outer SEQUENCE on, as RFC 7469 2.4 does it and
/// `openssl pkey -pubin -outform DER | sha256sum` shows it. `None` if the bytes
/// are no certificate.
pub fn pin(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    Some(Pin::from_bytes(Sha256::digest(&spki).into()))
}

/// What all certificates have in common: a common name, a random serial number
/// and a validity that begins before `now`.
fn parameters(name: &str, now: Wall, lifetime: Duration) -> Result<CertificateParams, PkiError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, name.to_owned());
    let mut serial: [u8; 16] = random::bytes()?;
    // A serial number is positive (RFC 5280 4.1.2.2).
    serial[0] &= 0x7f;
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = Wall::from_millis(0);
    parameters.not_before = epoch + since.until(now.minus(BACKDATED));
    parameters.not_after = epoch + since.until(now.plus(lifetime));
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}
