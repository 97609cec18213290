//! Keys and certificates in files. What belongs together is in one file, which
//! is replaced whole, so that a crash leaves the old or the new.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rcgen::KeyPair;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::{PkiError, Unusable};
use crate::sys::fs::{self, FsError};
use crate::transport::tls;

/// A key with its certificates, the one for the key first.
pub(super) struct Bundle {
    pub key: Vec<u8>,
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Reads PEM blocks: one key (PKCS #8) and `certificates` certificates.
    pub(super) fn parse(text: &[u8], certificates: usize) -> Result<Self, Unusable> {
        let mut keys = Vec::new();
        let mut chain = Vec::new();
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            match block.map_err(|_| Unusable::Garbled)? {
                (SectionKind::PrivateKey, der) => keys.push(der),
                (SectionKind::Certificate, der) => chain.push(CertificateDer::from(der)),
                (_, _) => return Err(Unusable::Garbled),
            }
        }
        match (keys.pop(), keys.is_empty(), chain.len() == certificates) {
            (Some(key), true, true) => Ok(Self {
                key,
                certificates: chain,
            }),
            _ => Err(Unusable::Garbled),
        }
    }

    /// The key and the certificates as TLS takes them.
    pub(super) fn certified(&self) -> Result<CertifiedKey, Unusable> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        CertifiedKey::from_der(self.certificates.clone(), key, &tls::provider())
            .map_err(|_| Unusable::Mismatch)
    }

    /// The key as certificates are signed with it.
    pub(super) fn signing(&self) -> Result<KeyPair, Unusable> {
        let key = PrivatePkcs8KeyDer::from(self.key.as_slice());
        KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| Unusable::Garbled)
    }
}

/// The one certificate in `text`.
pub(super) fn certificate(text: &str) -> Result<CertificateDer<'static>, Unusable> {
    let mut blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    match (blocks.next(), blocks.next()) {
        (Some(Ok((SectionKind::Certificate, der))), None) => Ok(CertificateDer::from(der)),
        _ => Err(Unusable::Garbled),
    }
}

/// Reads a file with a key, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, PkiError> {
    let Some(bytes) = fs::read(path)? else {
        return Ok(None);
    };
    let mode = path
        .metadata()
        .map_err(FsError::io("look at", path))?
        .mode();
    if mode & 0o077 != 0 {
        return Err(PkiError::Unusable {
            path: path.to_owned(),
            why: Unusable::Open,
            hint: "it holds a key: `chmod 600` it, and consider what others may have done with it",
        });
    }
    Ok(Some(bytes))
}

/// Replaces a file in `directory`, which is made if missing. Its owner alone
/// may read it, however that was before.
pub(super) fn replace(directory: &Path, name: &str, text: &str) -> Result<(), PkiError> {
    make(directory)?;
    fs::replace_secret(&directory.join(name), text.as_bytes())?;
    Ok(())
}

/// Whether a file in `directory`, which is made if missing, can be replaced.
pub(super) fn can_replace(directory: &Path, name: &str) -> Result<(), PkiError> {
    make(directory)?;
    fs::can_replace(&directory.join(name))?;
    Ok(())
}

fn make(directory: &Path) -> Result<(), PkiError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
            Err(FsError::io("make", directory)(why).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
