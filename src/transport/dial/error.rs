//! Why an agent has no session, in the words of whoever has to mend it.

use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError, Error};

use crate::clock::{self, Wall};
use crate::model::ServerAddress;
use crate::transport::pki::PkiError;
use crate::transport::tls;
use crate::wire::{Denial, FrameError};

/// Why no manager has let this host in.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("dial a manager: none is named")]
    NoServer,
    #[error("look up {server}\n(is the name right, and does this host's name server know it?)")]
    Lookup {
        server: ServerAddress,
        source: io::Error,
    },
    #[error(
        "connect to {address}\n(is the manager running, does its <agents> block listen there, and do the firewalls on the way let it through?)"
    )]
    Unreachable {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("speak with {address}: no answer in time")]
    Silent { address: SocketAddr },
    #[error(
        "speak with {address}: it closed the connection\n(is that a ripost-manager? one that is busy does this too, for a moment)"
    )]
    Closed { address: SocketAddr },
    #[error("speak with {address}")]
    Lost {
        address: SocketAddr,
        source: FrameError,
    },
    #[error("trust {address}: {trouble}")]
    Tls {
        address: SocketAddr,
        trouble: Trouble,
    },
    #[error("be let in: {text}")]
    Denied { denial: Denial, text: String },
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// Why the two sides do not trust each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Trouble {
    #[error(
        "its certificate is not of the CA that this host knows\n(another machine answers there, or the manager was set up anew: then enroll this host again)"
    )]
    UnknownCa,
    #[error(
        "the manager's certificate has expired, or this host's clock is wrong (it says {now})\n(a manager renews its certificate by itself while it runs)"
    )]
    Expired { now: Wall },
    #[error(
        "the manager's certificate is not valid yet, or this host's clock is wrong (it says {now})\n(a manager whose clock was wrong makes another one within a minute of its being right)"
    )]
    NotYetValid { now: Wall },
    #[error(
        "its certificate is not that of a manager\n(an agent, or something else, answers there)"
    )]
    NotAManager,
    #[error(
        "the manager finds this host's certificate expired, or not valid yet (this host's clock says {now})\n(if the clocks are right, enroll this host again)"
    )]
    OwnExpired { now: Wall },
    #[error(
        "the manager does not take this host's certificate: it is of another CA\n(the manager was set up anew: enroll this host again)"
    )]
    OwnRefused,
    #[error(
        "it does not speak this protocol\n(is that a ripost-manager, of a version like this one?)"
    )]
    OtherProtocol,
    #[error("{0}")]
    Other(Error),
}

impl Trouble {
    fn new(error: &Error) -> Self {
        let now = clock::wall();
        match error {
            Error::InvalidCertificate(why) => Self::certificate(why, error),
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateExpired => Self::OwnExpired { now },
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::DecryptError
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::AccessDenied => Self::OwnRefused,
                AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion => {
                    Self::OtherProtocol
                }
                _ => Self::Other(error.clone()),
            },
            Error::NoApplicationProtocol
            | Error::PeerIncompatible(_)
            | Error::InvalidMessage(_)
            | Error::PeerMisbehaved(_) => Self::OtherProtocol,
            _ => Self::Other(error.clone()),
        }
    }

    fn certificate(why: &CertificateError, error: &Error) -> Self {
        let now = clock::wall();
        match why {
            CertificateError::ExpiredContext { time, .. } => Self::Expired {
                now: tls::wall(*time),
            },
            CertificateError::Expired => Self::Expired { now },
            CertificateError::NotValidYetContext { time, .. } => Self::NotYetValid {
                now: tls::wall(*time),
            },
            CertificateError::NotValidYet => Self::NotYetValid { now },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
            | CertificateError::InvalidPurpose
            | CertificateError::InvalidPurposeContext { .. } => Self::NotAManager,
            _ => Self::Other(error.clone()),
        }
    }
}

impl DialError {
    /// What a failed read or write means, over TLS.
    pub(super) fn io(address: SocketAddr, source: io::Error) -> Self {
        let inner = source.get_ref().and_then(|error| error.downcast_ref());
        if let Some(error) = inner {
            let trouble = Trouble::new(error);
            return Self::Tls { address, trouble };
        }
        match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed { address },
            _ => Self::Lost {
                address,
                source: FrameError::Io(source),
            },
        }
    }

    pub(in crate::transport) fn frame(address: SocketAddr, error: FrameError) -> Self {
        match error {
            FrameError::Io(source) => Self::io(address, source),
            source => Self::Lost { address, source },
        }
    }

    /// The more telling of two: one that was answered says more than one that
    /// was not.
    pub(in crate::transport) fn or_worse(self, other: Self) -> Self {
        if other.weight() >= self.weight() {
            other
        } else {
            self
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::NoServer => 0,
            Self::Lookup { .. } | Self::Unreachable { .. } => 1,
            Self::Silent { .. } | Self::Closed { .. } | Self::Lost { .. } => 2,
            Self::Tls { .. } => 3,
            Self::Denied { .. } | Self::Pki(_) => 4,
        }
    }
}
