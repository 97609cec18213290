//! Questions about certificates that are put to the verifier of rustls, so
//! that there is no second reader of X.509.

use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error};

use super::{PkiError, Unusable};
use crate::clock::Wall;
use crate::transport::tls;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Validity {
    pub not_before: Wall,
    pub not_after: Wall,
}

impl Validity {
    /// Whether another one is to be made at `now`: two thirds are over, or the
    /// clock was ahead when it was made. That one may not be valid for years,
    /// and those whose clocks are behind would refuse it for longer than they
    /// are promised.
    pub(super) fn is_due(self, now: Wall) -> bool {
        now < self.made() || now >= self.renew_at()
    }

    /// When two thirds of it are over, counted from its making: it is backdated
    /// for the sake of clocks that are behind.
    pub(super) fn renew_at(self) -> Wall {
        let made = self.made();
        made.plus(made.until(self.not_after) * 2 / 3)
    }

    fn made(self) -> Wall {
        self.not_before.plus(super::BACKDATED)
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Agent,
    Manager,
}

/// Makes sure that `certificate` is one of `ca` for `role`, whenever it is
/// valid, and says when that is: the verifier names the limits when it is asked
/// for a time outside them.
pub(super) fn validity(
    certificate: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
    role: Role,
) -> Result<Validity, PkiError> {
    let foreign = PkiError::Sent(Unusable::NotOfThisCa);
    let never = UnixTime::since_unix_epoch(Duration::ZERO);
    let not_before = match ask(certificate, ca, role, never)? {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => not_before,
        // Made by a clock that nobody has set.
        Ok(()) => never,
        Err(_) => return Err(foreign),
    };
    // 9999 is the last year a certificate can name.
    let late = UnixTime::since_unix_epoch(Duration::from_secs(400_000_000_000));
    let not_after = match ask(certificate, ca, role, late)? {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            not_after
        }
        Ok(()) | Err(_) => return Err(foreign),
    };
    // The dates are looked at before signature and purpose are.
    if ask(certificate, ca, role, not_before)?.is_err() {
        return Err(foreign);
    }
    Ok(Validity {
        not_before: tls::wall(not_before),
        not_after: tls::wall(not_after),
    })
}

fn ask(
    certificate: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
    role: Role,
    at: UnixTime,
) -> Result<Result<(), Error>, PkiError> {
    let roots = match tls::roots(ca) {
        Ok(roots) => roots,
        Err(error) => return Ok(Err(error)),
    };
    Ok(match role {
        Role::Agent => WebPkiClientVerifier::builder_with_provider(roots, tls::provider())
            .build()?
            .verify_client_cert(certificate, &[], at)
            .map(|_| ()),
        Role::Manager => {
            let name = tls::manager_name();
            WebPkiServerVerifier::builder_with_provider(roots, tls::provider())
                .build()?
                .verify_server_cert(certificate, &[], &name, &[], at)
                .map(|_| ())
        }
    })
}
