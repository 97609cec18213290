//! One executable's conversation with a web service: over TLS (or in the clear
//! on this very host), within a time that ends before the daemon loses
//! patience, following no redirects, and reading no more of an answer than is
//! of use.
//!
//! The crate `ureq` speaks HTTP. Its own TLS is left out and ours put in its
//! place (`tls`): its features would make the daemons, which are built from the
//! same crates, log what strangers send them.

mod tls;

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::{self, Method, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Body, Proxy, Timeout};

use crate::ar::http::tls::TlsConnector;
use crate::clock::{self, Boot};
use crate::model::Url;
use crate::model::bundled::Options;

pub use crate::sys::secret::{Secret, SecretError};
pub use ureq::http::StatusCode;

/// Until a connection stands, name and TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// For one request and its answer.
const REQUEST: Duration = Duration::from_secs(15);
/// For all that one run asks. The daemon's limit is 30 s.
const RUN: Duration = Duration::from_secs(25);
/// What must be left to ask again after a service said "later".
const WORTH_ASKING: Duration = Duration::from_secs(2);

/// A longer answer is not one of a service we know.
const ANSWER_BYTES: u64 = 256 << 10;
/// How much of an answer a person is shown, in characters.
const SHOWN_CHARS: usize = 200;

const PROXY: &str = "--proxy";
const CA_FILE: &str = "--ca-file";

/// Why a service did not answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("read the certificates in {path}\n({hint})")]
    Roots {
        path: PathBuf,
        hint: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("reach {to}\n(it must be reachable from this host; through a proxy with {PROXY})")]
    Unreachable {
        to: String,
        #[source]
        source: io::Error,
    },
    #[error("reach {to}: the proxy says {said}")]
    Proxy { to: String, said: String },
    #[error(
        "trust {to}\n(where TLS is opened on the way, the CA of whoever does it goes into the system's store or into the file of {CA_FILE})"
    )]
    Untrusted {
        to: String,
        #[source]
        source: rustls::Error,
    },
    #[error("speak TLS with {to}\n(does it speak TLS 1.3, and TLS at all?)")]
    Tls {
        to: String,
        #[source]
        source: rustls::Error,
    },
    #[error(
        "get an answer from {to}: it took too long ({phase})\n(what was sent may have arrived)"
    )]
    TimedOut { to: String, phase: String },
    #[error("read the answer of {to}: it is longer than {ANSWER_BYTES} bytes")]
    TooLong { to: String },
    #[error("talk to {to}")]
    Broken {
        to: String,
        #[source]
        source: ureq::Error,
    },
}

/// What to ask of a service.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Verb,
    pub url: &'a Url,
    /// Sent as a bearer token (RFC 6750).
    pub token: Option<&'a Secret>,
}

/// What a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verb {
    Get,
    /// With this JSON.
    Post(String),
    Delete,
}

/// A way to one service.
pub struct Client {
    agent: Agent,
    to: String,
    end: Boot,
}

impl Client {
    /// A way to the service at `url`. `options` may name a proxy and a file of
    /// CAs; without one, the system's are trusted.
    pub fn new(url: &Url, options: &Options) -> Result<Self, HttpError> {
        let tls = match url.is_https() {
            true => TlsConnector::trusting(options.get(CA_FILE))?,
            false => TlsConnector::unused(),
        };
        let proxy = options.get(PROXY).map(Proxy::new).transpose();
        let proxy = proxy.map_err(|why| HttpError::of(why, url.origin()))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Set in any case: the default is to look into the environment.
            .proxy(proxy)
            .user_agent(concat!("ripost/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(tls);
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            to: url.origin().to_owned(),
            end: clock::boot().plus(RUN),
        })
    }

    /// Sends a request and waits for the beginning of its answer. A service
    /// that says when to come again is asked once more, if there is time.
    pub fn send(&self, request: &Request<'_>) -> Result<Answer, HttpError> {
        let answer = self.send_once(request)?;
        match answer
            .wait()
            .filter(|wait| *wait + WORTH_ASKING <= self.left())
        {
            Some(wait) => {
                drop(answer);
                std::thread::sleep(wait);
                self.send_once(request)
            }
            None => Ok(answer),
        }
    }

    fn send_once(&self, request: &Request<'_>) -> Result<Answer, HttpError> {
        let response = match &request.method {
            Verb::Get => self.run(Method::GET, request, ()),
            Verb::Delete => self.run(Method::DELETE, request, ()),
            Verb::Post(json) => self.run(Method::POST, request, json.as_str()),
        };
        let response = response.map_err(|why| HttpError::of(why, &self.to))?;
        Ok(Answer {
            response,
            to: self.to.clone(),
        })
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        method: Method,
        request: &Request<'_>,
        body: B,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let mut builder = http::Request::builder()
            .uri(request.url.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = request.token {
            let bearer = format!("Bearer {}", token.as_str());
            builder = builder.header(header::AUTHORIZATION, bearer);
        }
        let request = builder.method(method).body(body)?;
        let limit = REQUEST.min(self.left());
        let request = self.agent.configure_request(request);
        self.agent.run(request.timeout_global(Some(limit)).build())
    }

    fn left(&self) -> Duration {
        clock::boot().until(self.end)
    }
}

/// What a service said.
pub struct Answer {
    response: http::Response<Body>,
    to: String,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// All of what it said. What is read in vain is bounded in size and time.
    pub fn body(self) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        let mut reader = self.response.into_body().into_reader();
        let read = reader.by_ref().take(ANSWER_BYTES).read_to_end(&mut bytes);
        read.map_err(|why| HttpError::of(why.into(), &self.to))?;
        match reader.read(&mut [0]) {
            Ok(0) => Ok(bytes),
            Ok(_) => Err(HttpError::TooLong { to: self.to }),
            Err(why) => Err(HttpError::of(why.into(), &self.to)),
        }
    }

    /// Its status and the beginning of what it said, fit for logs and terminals.
    pub fn shown(self) -> String {
        let status = self.status();
        // Only what more there is to say about an error is lost.
        let bytes = self.body().unwrap_or_default();
        summary(status, &String::from_utf8_lossy(&bytes))
    }

    /// For how long to leave a service alone that is asked too often, where it
    /// says so in seconds (RFC 9110, 10.2.3; RFC 6585, 4).
    fn wait(&self) -> Option<Duration> {
        let is_too_often = self.status() == StatusCode::TOO_MANY_REQUESTS;
        let seconds = self.response.headers().get(header::RETRY_AFTER)?;
        let seconds = seconds.to_str().ok()?.trim().parse().ok()?;
        is_too_often.then(|| Duration::from_secs(seconds))
    }
}

/// The status of an answer and the beginning of what came with it, on one line.
pub fn summary(status: StatusCode, said: &str) -> String {
    let summary = format!("{} {}", status.as_u16(), shown(said));
    summary.trim_end().to_owned()
}

/// The beginning of a text from outside, on one line.
pub fn shown(text: &str) -> String {
    let text = text.trim();
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown.escape_debug().to_string()
}

impl HttpError {
    /// Tells apart what `ureq` says.
    fn of(why: ureq::Error, to: &str) -> Self {
        let to = to.to_owned();
        match why {
            ureq::Error::Io(source) => Self::of_io(source, to),
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                let source = io::Error::new(io::ErrorKind::TimedOut, "it took too long");
                Self::Unreachable { to, source }
            }
            ureq::Error::Timeout(phase) => Self::TimedOut {
                to,
                phase: phase.to_string(),
            },
            ureq::Error::ConnectProxyFailed(said) => Self::Proxy {
                to,
                said: shown(&said),
            },
            source => Self::Broken { to, source },
        }
    }

    /// `rustls` speaks through `std::io`.
    fn of_io(source: io::Error, to: String) -> Self {
        let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(why @ rustls::Error::InvalidCertificate(_)) => Self::Untrusted {
                to,
                source: why.clone(),
            },
            Some(why) => Self::Tls {
                to,
                source: why.clone(),
            },
            None => Self::Unreachable { to, source },
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.to)
    }
}
