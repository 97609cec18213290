//! What the same costs with TLS alone: a server with the manager's own
//! certificate that greets, sends the bytes of one action to whom it is told,
//! and counts what comes back. It reads no message and stores nothing.
//!
//! It runs as a process of its own, steered over stdin and answering on stdout.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, Write};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ripost::model::{ActionId, JournalId};
use ripost::wire::{Daemon, Frame, Greeting, ManagerJournal, ToAgent};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// No longer message than this is a ping; the next longer one is some 50 bytes.
const PING: usize = 20;

/// The id of the action in the file.
pub fn action_id() -> ActionId {
    ActionId::from_bytes([0x5a; 16])
}

/// What all connections share. One thread, as the manager has one for them.
struct Server {
    acceptor: TlsAcceptor,
    welcome: Vec<u8>,
    /// The frame of an action, and where its id is in it: agents acknowledge
    /// each id once.
    action: RefCell<Vec<u8>>,
    id: Range<usize>,
    pong: Arc<[u8]>,
    connections: RefCell<Vec<mpsc::Sender<Arc<[u8]>>>>,
    /// Answers that are awaited.
    open: Cell<usize>,
}

/// Serves until stdin ends. `tls` is the folder with the certificates, `action`
/// the file with the bytes that are sent.
pub fn main(tls: &Path, action: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let journal = ManagerJournal {
        id: JournalId::from_bytes([7; 16]),
        heard: 0,
    };
    let greeting = Greeting::welcome(Daemon::Manager, Some(journal));
    let action = std::fs::read(action).unwrap();
    let id = action_id().to_string();
    let at = memchr::memmem::find(&action, id.as_bytes()).unwrap();
    let server = Rc::new(Server {
        acceptor: TlsAcceptor::from(Arc::new(config(tls))),
        welcome: Frame::new(&greeting).unwrap().encode(),
        action: RefCell::new(action),
        id: at..at + id.len(),
        pong: ToAgent::Pong { session_ms: 0 }
            .into_frame()
            .unwrap()
            .encode()
            .into(),
        connections: RefCell::default(),
        open: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(serve(server)));
}

/// As the manager has it (transport::tls).
fn config(tls: &Path) -> ServerConfig {
    let pem = std::fs::read(tls.join("manager.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .map(Result::unwrap)
        .collect();
    let mut roots = RootCertStore::empty();
    roots.add(chain.last().unwrap().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"ripost/1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

async fn serve(server: Rc<Server>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&socket, 4_096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket).unwrap();
    say(&listener.local_addr().unwrap().port().to_string());
    let mut orders = orders();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                tokio::task::spawn_local(connection(Rc::clone(&server), stream));
            }
            order = orders.recv() => match order.as_deref() {
                Some("all") => send(&server, |_| true),
                Some(one) => {
                    let one: usize = one.parse().unwrap();
                    send(&server, |at| at == one);
                }
                None => return,
            },
        }
    }
}

fn send(server: &Server, to: impl Fn(usize) -> bool) {
    let action = server.next_action();
    let connections = server.connections.borrow();
    for (_, connection) in connections.iter().enumerate().filter(|(at, _)| to(*at)) {
        connection.try_send(Arc::clone(&action)).unwrap();
        server.open.set(server.open.get() + 1);
    }
}

fn orders() -> mpsc::Receiver<String> {
    let (sender, orders) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    orders
}

fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .unwrap();
}

/// One connection, until it ends. What it reads into it gives back at once.
async fn connection(server: Rc<Server>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(mut stream) = server.acceptor.accept(stream).await else {
        return;
    };
    let mut hello = vec![0; 2_048];
    if stream.read(&mut hello).await.is_err() || stream.write_all(&server.welcome).await.is_err() {
        return;
    }
    drop(hello);
    let (sender, mut outgoing) = mpsc::channel(8);
    server.connections.borrow_mut().push(sender);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut bytes = Vec::new();
    loop {
        let message = tokio::select! {
            message = outgoing.recv() => message.expect("the server lives as long"),
            read = read(&mut reader, &mut bytes) => {
                if !read {
                    return;
                }
                if !server.answered(&mut bytes) {
                    continue;
                }
                Arc::clone(&server.pong)
            }
        };
        if writer.write_all(&message).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

/// `false` at the end.
async fn read<R: AsyncReadExt + Unpin>(reader: &mut R, bytes: &mut Vec<u8>) -> bool {
    let mut first = [0; 64];
    let Ok(taken @ 1..) = reader.read(&mut first).await else {
        return false;
    };
    bytes.extend_from_slice(&first[..taken]);
    true
}

impl Server {
    /// The action under an id that was not sent before.
    fn next_action(&self) -> Arc<[u8]> {
        let mut action = self.action.borrow_mut();
        let id = &mut action[self.id.clone()];
        let number = u128::from_str_radix(str::from_utf8(id).unwrap(), 16).unwrap() + 1;
        id.copy_from_slice(format!("{number:032x}").as_bytes());
        Arc::from(&action[..])
    }

    /// Takes the frames out of what has arrived; `true` if one was a ping.
    fn answered(&self, bytes: &mut Vec<u8>) -> bool {
        let mut pinged = false;
        while let Some(length) = bytes.first_chunk::<4>() {
            let length = 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap();
            if bytes.len() < length {
                break;
            }
            bytes.drain(..length);
            pinged |= length <= PING;
            // The first message tells what a host can do and is not awaited.
            if length > PING && self.open.get() > 0 {
                self.open.set(self.open.get() - 1);
                if self.open.get() == 0 {
                    say(&(ripost::clock::boot_nanos() / 1_000).to_string());
                }
            }
        }
        if bytes.is_empty() {
            *bytes = Vec::new();
        }
        pinged
    }
}
