//! The manager's side: its CA and its own certificate, in `etc/tls`.
//!
//! ```text
//! ca.key       the CA: its key and its certificate, never replaced
//! ca.pem       its certificate alone, for people; made anew when it differs
//! manager.pem  the manager's key, its certificate and the CA's
//! ```
//!
//! `ca.key` comes first. Without it and without anything made with it there is
//! no CA yet; everything else can be made from it again. It is never made anew
//! in place of one that cannot be read: that would lock the fleet out. Nobody
//! looks at the dates in its certificate, which is trusted for its key alone
//! (RFC 5280 6.1.1 d), so one that was made by a wrong clock is as good.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::{self, Bundle};
use super::verify::{self, Role, Validity};
use super::{MANAGER_NAME, PkiError, Unusable, fingerprint, parameters, pin};
use crate::clock::{self, Wall};
use crate::model::{AgentId, Fingerprint, Pin};
use crate::sys::fs;
use crate::wire::enroll::PublicKey;

const CA_KEY: &str = "ca.key";
const CA_PEM: &str = "ca.pem";
const MANAGER_PEM: &str = "manager.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LIFETIME: Duration = DAY.saturating_mul(10 * 365);
const MANAGER_LIFETIME: Duration = DAY.saturating_mul(365);

const RESTORE: &str = "restore it from a backup; without it every agent has to enroll again, for which etc/tls is to be emptied";
const REMOVE: &str = "remove it, and the manager makes another one when it starts; agents go on";

/// The CA of a manager.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    ca_pem: String,
    pin: Pin,
    identity: Arc<Identity>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.pin)
    }
}

/// A certificate that was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    pub pem: String,
    pub fingerprint: Fingerprint,
    pub not_after: Wall,
}

impl Authority {
    /// Loads what is in `directory` (`etc/tls`), and makes what is missing: at
    /// the first start the CA, and the manager's certificate whenever two
    /// thirds of its lifetime are over or it was made by a clock that was ahead.
    pub fn open(directory: &Path) -> Result<Self, PkiError> {
        let path = directory.join(CA_KEY);
        let unusable = |why| PkiError::Unusable {
            path: path.clone(),
            why,
            hint: RESTORE,
        };
        let text = match files::read(&path)? {
            Some(text) => text,
            None if [CA_PEM, MANAGER_PEM]
                .iter()
                .any(|n| directory.join(n).exists()) =>
            {
                return Err(unusable(Unusable::Missing));
            }
            None => {
                let text = new_ca()?;
                files::replace(directory, CA_KEY, &text)?;
                text.into_bytes()
            }
        };
        let bundle = Bundle::parse(&text, 1).map_err(unusable)?;
        bundle.certified().map_err(unusable)?;
        let key = bundle.signing().map_err(unusable)?;
        let ca = bundle.certificates[0].clone();
        let pin = pin(&ca).ok_or_else(|| unusable(Unusable::Garbled))?;
        let ca_pem = certificate_block(&text).ok_or_else(|| unusable(Unusable::Garbled))?;
        // Without a key in it: whoever likes may read it.
        if fs::read(&directory.join(CA_PEM))?.as_deref() != Some(ca_pem.as_bytes()) {
            files::replace(directory, CA_PEM, &ca_pem)?;
        }
        let issuer = Issuer::new(ca_parameters(&key, clock::wall())?, key);
        let identity = own(directory, &issuer, &ca, &ca_pem)?;
        Ok(Self {
            directory: directory.to_owned(),
            issuer,
            ca,
            ca_pem,
            pin,
            identity: Arc::new(identity),
        })
    }

    /// What tokens carry, so that an agent knows this CA when it meets it.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The CA's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Until when the manager's certificate is valid.
    pub fn manager_not_after(&self) -> Wall {
        self.identity.read().1.not_after
    }

    /// Makes the manager's certificate anew if two thirds of its lifetime are
    /// over, or if it was made by a clock that was ahead; listeners use it from
    /// the next handshake on. To be called about once a minute: agents refuse
    /// one that was made by a wrong clock, on whichever side, until this has
    /// been called with the right one. Says whether there is a new one.
    pub fn renew_manager(&self) -> Result<bool, PkiError> {
        let now = clock::wall();
        if !self.identity.read().1.is_due(now) {
            return Ok(false);
        }
        self.make_manager(now)?;
        Ok(true)
    }

    /// Makes the manager's certificate as if it were `now`.
    pub(in crate::transport) fn make_manager(&self, now: Wall) -> Result<(), PkiError> {
        let text = new_manager(&self.issuer, &self.ca_pem, now)?;
        files::replace(&self.directory, MANAGER_PEM, &text)?;
        let (certified, validity) = certify(text.as_bytes(), &self.ca)?;
        self.identity.replace(certified, validity);
        Ok(())
    }

    /// Gives an agent a certificate for its key: for clients only, and without
    /// any name that a manager could have. Whether it is let in with it is for
    /// the manager's list of fingerprints to say.
    pub fn issue(
        &self,
        agent: &AgentId,
        key: &PublicKey,
        lifetime: Duration,
    ) -> Result<Issued, PkiError> {
        self.issue_at(agent, key, lifetime, clock::wall())
    }

    pub(in crate::transport) fn issue_at(
        &self,
        agent: &AgentId,
        key: &PublicKey,
        lifetime: Duration,
        now: Wall,
    ) -> Result<Issued, PkiError> {
        let mut parameters = parameters(&agent.to_string(), now, lifetime)?;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&Point(key), &self.issuer)?;
        Ok(Issued {
            pem: certificate.pem(),
            fingerprint: fingerprint(certificate.der()),
            not_after: now.plus(lifetime),
        })
    }

    pub(in crate::transport) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// What listeners show; follows [`Authority::renew_manager`].
    pub(in crate::transport) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }
}

/// The manager's present certificate, shared with its listeners.
pub(in crate::transport) struct Identity(RwLock<(Arc<CertifiedKey>, Validity)>);

impl Identity {
    #[cfg(test)]
    pub(in crate::transport) fn shown(&self) -> Arc<CertifiedKey> {
        self.read().0
    }

    fn read(&self) -> (Arc<CertifiedKey>, Validity) {
        let present = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&present.0), present.1)
    }

    fn replace(&self, certified: CertifiedKey, validity: Validity) {
        let mut present = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *present = (Arc::new(certified), validity);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.read().1)
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read().0)
    }
}

/// The public key of an agent, as what a certificate is made for.
struct Point<'a>(&'a PublicKey);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// The name holds the beginning of the CA's own pin, so that a certificate of
/// another CA is told by its issuer and not by a signature that does not fit.
fn ca_parameters(key: &KeyPair, now: Wall) -> Result<rcgen::CertificateParams, PkiError> {
    use sha2::{Digest, Sha256};
    let pin = Pin::from_bytes(Sha256::digest(key.subject_public_key_info()).into()).to_string();
    let mut parameters = parameters(&format!("ripost CA {}", &pin[..16]), now, CA_LIFETIME)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(parameters)
}

fn new_ca() -> Result<String, PkiError> {
    let key = KeyPair::generate()?;
    let certificate = ca_parameters(&key, clock::wall())?.self_signed(&key)?;
    Ok(bundle(&key, &certificate))
}

fn bundle(key: &KeyPair, certificate: &Certificate) -> String {
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

/// The text of the one certificate in a bundle of ours.
fn certificate_block(bundle: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bundle).ok()?;
    let start = text.find("-----BEGIN CERTIFICATE-----")?;
    Some(text[start..].to_owned())
}

/// Loads the manager's certificate, or makes it if there is none or it is due.
fn own(
    directory: &Path,
    issuer: &Issuer<'_, KeyPair>,
    ca: &CertificateDer<'static>,
    ca_pem: &str,
) -> Result<Identity, PkiError> {
    let path = directory.join(MANAGER_PEM);
    let now = clock::wall();
    if let Some(text) = files::read(&path)? {
        let loaded = certify(&text, ca).map_err(|error| match error {
            PkiError::Sent(why) => PkiError::Unusable {
                path,
                why,
                hint: REMOVE,
            },
            other => other,
        })?;
        if !loaded.1.is_due(now) {
            return Ok(Identity(RwLock::new((Arc::new(loaded.0), loaded.1))));
        }
    }
    let text = new_manager(issuer, ca_pem, now)?;
    files::replace(directory, MANAGER_PEM, &text)?;
    let (certified, validity) = certify(text.as_bytes(), ca)?;
    Ok(Identity(RwLock::new((Arc::new(certified), validity))))
}

fn new_manager(issuer: &Issuer<'_, KeyPair>, ca_pem: &str, now: Wall) -> Result<String, PkiError> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(MANAGER_NAME, now, MANAGER_LIFETIME)?;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.subject_alt_names = vec![SanType::DnsName(MANAGER_NAME.try_into()?)];
    let certificate = parameters.signed_by(&key, issuer)?;
    Ok(format!("{}{ca_pem}", bundle(&key, &certificate)))
}

/// The chain has the CA in it, so that an agent that knows no more than its pin
/// can look for it.
fn certify(
    text: &[u8],
    ca: &CertificateDer<'static>,
) -> Result<(CertifiedKey, Validity), PkiError> {
    let bundle = Bundle::parse(text, 2).map_err(PkiError::Sent)?;
    if bundle.certificates[1] != *ca {
        return Err(PkiError::Sent(Unusable::NotOfThisCa));
    }
    let certified = bundle.certified().map_err(PkiError::Sent)?;
    let validity = verify::validity(&bundle.certificates[0], ca, Role::Manager)?;
    Ok((certified, validity))
}
