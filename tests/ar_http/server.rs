//! A web service on this host, which says what a test wants it to say and keeps
//! what it was asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// The path with the query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the service does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Says(u16, &'static str, String),
    /// An empty answer with this header line.
    Header(u16, &'static str),
    /// Ends the connection without a word.
    Closes,
    /// Ends it in the middle of the answer.
    Breaks,
    /// Says nothing until the client goes away.
    Silent,
    /// Never comes to the end of its headers.
    Drips,
    /// Never comes to the end of its body.
    Endless(u16),
}

pub fn says(status: u16, body: &str) -> Reply {
    Reply::Says(status, "text/plain", body.to_owned())
}

pub fn json(status: u16, body: &Value) -> Reply {
    Reply::Says(status, "application/json", body.to_string())
}

type Handler = dyn FnMut(&Asked) -> Reply + Send;

pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    /// In the clear.
    pub fn start(handler: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::listen(handler, None)
    }

    /// With this certificate.
    pub fn start_tls(
        config: ServerConfig,
        handler: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        Self::listen(handler, Some(Arc::new(config)))
    }

    fn listen(
        handler: impl FnMut(&Asked) -> Reply + Send + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let handler: Arc<Mutex<Box<Handler>>> = Arc::new(Mutex::new(Box::new(handler)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        // Ends with the test program.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                *connections.lock().unwrap() += 1;
                let (seen, handler, tls) = (seen.clone(), handler.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &seen, &handler),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(connection, stream), &seen, &handler);
                    }
                });
            }
        });
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(mut stream: impl Read + Write, seen: &Mutex<Vec<Asked>>, handler: &Mutex<Box<Handler>>) {
    while let Some(asked) = read(&mut stream) {
        seen.lock().unwrap().push(asked.clone());
        let reply = handler.lock().unwrap()(&asked);
        // The client may go away whenever it likes.
        if answer(&mut stream, reply).is_none() {
            return;
        }
    }
}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let mut asked = Asked {
        method: first.next()?,
        target: first.next()?,
        headers: lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let length = asked
        .header("content-length")
        .map(|text| text.parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

/// `None` where the connection is over.
fn answer(stream: &mut impl ReadWrite, reply: Reply) -> Option<()> {
    let text = match reply {
        Reply::Says(status, kind, body) => format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        Reply::Header(status, line) => {
            format!("HTTP/1.1 {status} X\r\n{line}\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Closes => return None,
        Reply::Breaks => {
            let half = "HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf";
            stream.write_all(half.as_bytes()).ok()?;
            return None;
        }
        Reply::Silent => {
            let mut byte = [0];
            // Returns when the client has closed its end.
            let _ = stream.read(&mut byte);
            return None;
        }
        Reply::Drips => return forever(stream, "HTTP/1.1 200 X\r\nX-More: ", "x", 100),
        Reply::Endless(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096));
            return forever(stream, &head, &chunk, 0);
        }
    };
    stream.write_all(text.as_bytes()).ok()?;
    stream.flush().ok()
}

/// Until the client has had enough.
fn forever(stream: &mut impl Write, head: &str, more: &str, pause: u64) -> Option<()> {
    stream.write_all(head.as_bytes()).ok()?;
    loop {
        stream.write_all(more.as_bytes()).ok()?;
        stream.flush().ok()?;
        thread::sleep(Duration::from_millis(pause));
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

/// A CA of a test.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
        }
    }

    /// A server that proves to be `name`.
    pub fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![CertificateDer::from(certificate)];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }
}

/// An HTTP proxy that lets everything through, or nothing, and keeps what it
/// was asked for.
pub struct Proxy {
    address: SocketAddr,
    wanted: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn start(lets_through: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            wanted: Arc::default(),
        };
        let wanted = proxy.wanted.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(asked) = read(&mut stream) else {
                    continue;
                };
                wanted
                    .lock()
                    .unwrap()
                    .push(format!("{} {}", asked.method, asked.target));
                let answer = match lets_through {
                    true => "HTTP/1.1 200 OK\r\n\r\n",
                    false => "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
                };
                stream.write_all(answer.as_bytes()).unwrap();
                if lets_through {
                    let there = TcpStream::connect(&asked.target).unwrap();
                    let ends = [(&stream, &there), (&there, &stream)];
                    for (from, to) in ends.map(|(a, b)| (a.try_clone(), b.try_clone())) {
                        thread::spawn(move || pass(from.unwrap(), to.unwrap()));
                    }
                }
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn wanted(&self) -> Vec<String> {
        self.wanted.lock().unwrap().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Either side may end it.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
