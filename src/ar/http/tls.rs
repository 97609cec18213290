//! TLS below `ureq`, set up as everywhere else in this package: version 1.3,
//! with `ring`.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use crate::ar::http::HttpError;

/// Where systems keep the CAs that they trust, in one file; the first that is
/// there counts, as with Go (crypto/x509/root_linux.go, root_bsd.go). An
/// administrator's own CA gets into these files by the system's own tool.
const SYSTEM: &[&str] = &[
    // Debian, Ubuntu, Alpine, Arch
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    // FreeBSD, OpenBSD, macOS
    "/etc/ssl/cert.pem",
];

const SYSTEM_HINT: &str = "install the package ca-certificates, or name a file by --ca-file";
const FILE_HINT: &str = "it is to hold the certificates of CAs in PEM";

/// Puts TLS around a connection if the URL asks for it.
#[derive(Debug)]
pub(super) struct TlsConnector(Option<Arc<ClientConfig>>);

impl TlsConnector {
    /// Trusts the CAs in this file, or else the system's.
    pub(super) fn trusting(file: Option<&str>) -> Result<Self, HttpError> {
        let (path, hint) = match file {
            Some(file) => (Path::new(file), FILE_HINT),
            None => (system_file(), SYSTEM_HINT),
        };
        let roots = roots(path).map_err(|source| HttpError::Roots {
            path: path.to_owned(),
            hint,
            source,
        })?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("ring has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Some(Arc::new(config))))
    }

    /// For a service on this host that is spoken to in the clear.
    pub(super) fn unused() -> Self {
        Self(None)
    }
}

fn system_file() -> &'static Path {
    let mut files = SYSTEM.iter().map(Path::new);
    let found = files.find(|path| path.exists());
    found.unwrap_or(Path::new(SYSTEM[0]))
}

/// What is no certificate that can be used in a file of many is passed over.
fn roots(path: &Path) -> io::Result<RootCertStore> {
    let text = fs::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(io::Error::new(
            ErrorKind::InvalidData,
            "there is no certificate in it",
        )),
        (_, _) => Ok(roots),
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        below: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = below else {
            return Ok(None);
        };
        let config = match &self.0 {
            Some(config) if details.needs_tls() => Arc::clone(config),
            // What needs TLS and gets none is refused by `ureq` itself.
            Some(_) | None => return Ok(Some(Either::A(transport))),
        };
        let host = details.uri.host().unwrap_or_default();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| ureq::Error::BadUri("no name for TLS in it".to_owned()))?;
        let connection =
            ClientConnection::new(config, name).map_err(|why| ureq::Error::Other(Box::new(why)))?;
        let sock = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        let mut stream = StreamOwned::new(connection, sock);
        stream.sock.set_timeout(left_of(details));
        stream.conn.complete_io(&mut stream.sock)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// What the connection itself has left of the time to connect in.
fn left_of(details: &ConnectionDetails<'_>) -> NextTimeout {
    let after = match (details.timeout.after, details.now, (details.current_time)()) {
        (Duration::Exact(after), Instant::Exact(start), Instant::Exact(now)) => {
            Duration::Exact(after.saturating_sub(now.saturating_duration_since(start)))
        }
        (after, _, _) => after,
    };
    NextTimeout {
        after,
        ..details.timeout
    }
}

/// A connection inside TLS.
pub(super) struct TlsTransport<In: Transport> {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter<In>>,
}

impl<In: Transport> Transport for TlsTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        Ok(io::Write::write_all(&mut self.stream, output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = io::Read::read(&mut self.stream, input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl<In: Transport> fmt::Debug for TlsTransport<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsTransport({:?})", self.stream.sock.inner())
    }
}
