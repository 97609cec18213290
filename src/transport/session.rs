//! A session with an agent: from the moment it is known who is there until
//! one side goes. The same over TLS and over a Unix socket.
//!
//! The manager's own task sees whole messages only. Pings are answered here,
//! and a peer that says nothing for [`SILENCE`] is taken for gone, so that ten
//! thousand idle agents cost the manager nothing.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::clock::{self, Boot};
use crate::model::Fingerprint;
use crate::transport::random;
use crate::transport::way::Way;
use crate::wire::{
    AgentHello, Daemon, Denial, Frame, FrameError, FrameReader, Greeting, ManagerJournal, ToAgent,
    ToManager, stream,
};

/// A connection whose peer has said nothing for so long is dead. Agents ping
/// every 25 s, so this is three pings and some patience.
pub const SILENCE: Duration = Duration::from_secs(90);

/// A peer that takes not one frame for so long is as good as dead.
const STUCK: Duration = Duration::from_secs(90);

/// Bytes of frames that are written together, give or take a frame.
const AT_ONCE: usize = 32 * 1024;

/// How long it may take to say good-bye.
const CLOSING: Duration = Duration::from_secs(1);

/// The two halves of a connection.
#[derive(Debug)]
pub struct Connection<R, W> {
    pub reader: FrameReader<R>,
    pub writer: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            reader: FrameReader::new(reader),
            writer,
        }
    }

    /// Sends one message without body.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), FrameError> {
        write(&mut self.writer, &Frame::new(message)?).await
    }

    /// Says good-bye, so that the other side can tell the end from a cut.
    pub async fn close(mut self) {
        // It is over in either case.
        let _ = tokio::time::timeout(CLOSING, self.writer.shutdown()).await;
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, frame: &Frame) -> Result<(), FrameError> {
    tokio::time::timeout(STUCK, stream::write(writer, frame))
        .await
        .map_err(|_| FrameError::Silent)?
}

/// The bytes of a frame, and of those that wait behind it: in a burst each would
/// be a write, and a record of TLS, of its own.
fn with_others(frame: &Frame, waiting: &mut mpsc::Receiver<Frame>) -> Vec<u8> {
    let mut bytes = frame.encode();
    while bytes.len() < AT_ONCE
        && let Ok(frame) = waiting.try_recv()
    {
        frame.append_to(&mut bytes);
    }
    bytes
}

/// How an agent has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Over the manager's Unix socket, as root or as the manager's own user.
    Local,
    /// Over TLS, with a certificate of the manager's CA that is valid now.
    Remote {
        address: SocketAddr,
        fingerprint: Fingerprint,
    },
}

/// An agent that has said hello and waits to be let in.
#[derive(Debug)]
pub struct Arrival {
    pub origin: Origin,
    pub hello: AgentHello,
    pub admit: oneshot::Sender<Admission>,
}

/// Whether it is let in.
#[derive(Debug)]
pub enum Admission {
    Welcome {
        /// The number of the session, with which it reports.
        session: u64,
        /// When it began: what is written into it tells the time since.
        began: Boot,
        journal: ManagerJournal,
        /// What the agent is to be sent. Closing it ends the session.
        outgoing: mpsc::Receiver<Frame>,
    },
    Denied {
        denial: Denial,
        text: String,
    },
}

/// What a session reports.
#[derive(Debug)]
pub enum Report {
    Told(u64, ToManager),
    /// It is over; the last report of a session.
    Gone(u64),
}

/// Where agents are let in, and where their sessions report to.
#[derive(Clone, Debug)]
pub struct Reception {
    pub arrivals: mpsc::Sender<Arrival>,
    pub reports: mpsc::Sender<Report>,
}

impl Reception {
    /// Asks for an agent to be let in, greets it, and moves messages both ways
    /// until either side is done.
    pub async fn serve<R, W>(
        &self,
        mut connection: Connection<R, W>,
        origin: Origin,
        hello: AgentHello,
    ) -> Result<(), FrameError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (admit, admission) = oneshot::channel();
        let arrival = Arrival {
            origin,
            hello,
            admit,
        };
        // A closed channel, here and below, is a manager that is stopping.
        if self.arrivals.send(arrival).await.is_err() {
            return Ok(());
        }
        match admission.await {
            Err(_) => Ok(()),
            Ok(Admission::Denied { denial, text }) => {
                connection.send(&Greeting::Denied { denial, text }).await?;
                connection.close().await;
                Ok(())
            }
            Ok(Admission::Welcome {
                session,
                began,
                journal,
                outgoing,
            }) => {
                let greeting = Greeting::welcome(Daemon::Manager, Some(journal));
                let pong = || ToAgent::Pong {
                    session_ms: millis(began.until(clock::boot())),
                };
                let ended = match connection.send(&greeting).await {
                    Ok(()) => {
                        let connection = &mut connection;
                        self.exchange(connection, session, outgoing, pong).await
                    }
                    Err(error) => Err(error),
                };
                let _ = self.reports.send(Report::Gone(session)).await;
                connection.close().await;
                ended
            }
        }
    }

    async fn exchange<R, W>(
        &self,
        connection: &mut Connection<R, W>,
        session: u64,
        mut outgoing: mpsc::Receiver<Frame>,
        pong: impl Fn() -> ToAgent,
    ) -> Result<(), FrameError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let Connection { reader, writer } = connection;
        // As many as there are pings that are not answered.
        let pinged = Semaphore::new(0);
        let write = async {
            loop {
                // An answer is not held up by a queue; pings are rare.
                let frame = tokio::select! {
                    biased;
                    Ok(ping) = pinged.acquire() => {
                        ping.forget();
                        pong().into_frame()?
                    }
                    frame = outgoing.recv() => match frame {
                        Some(frame) => frame,
                        None => return Ok(()),
                    },
                };
                let bytes = with_others(&frame, &mut outgoing);
                let written = stream::write_encoded(writer, &bytes);
                let written = tokio::time::timeout(STUCK, written).await;
                written.map_err(|_| FrameError::Silent)??;
            }
        };
        let read = async {
            loop {
                let next = tokio::time::timeout(SILENCE, reader.next()).await;
                let Some(frame) = next.map_err(|_| FrameError::Silent)?? else {
                    return Ok(());
                };
                let message = match ToManager::from_frame(&frame)? {
                    ToManager::Ping => {
                        pinged.add_permits(1);
                        continue;
                    }
                    message => message,
                };
                let report = Report::Told(session, message);
                if self.reports.send(report).await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            written = write => written,
            read = read => read,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How often an agent pings, give or take a fifth: often enough for the NAT
/// tables on the way, and not in step with the others.
fn until_ping() -> Duration {
    Duration::from_millis(20_000 + random::number() % 10_000)
}

/// A manager that has not answered three pings is gone.
const NO_ANSWER: Duration = Duration::from_secs(75);

/// The agent's side of a session: moves messages both ways until either side
/// is done. What comes out of `outgoing` is written, what is read goes, as it is
/// after its time on the way, through `take` into `incoming`, whose capacity is
/// the back-pressure. Returns why it ended, if it was not that the other side or
/// the owner had finished.
pub async fn attend<R, W, T>(
    mut connection: Connection<R, W>,
    mut outgoing: mpsc::Receiver<Frame>,
    incoming: &mpsc::Sender<T>,
    take: impl Fn(ToAgent) -> T,
) -> Result<(), FrameError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Connection { reader, writer } = &mut connection;
    let pinged = Notify::new();
    let way = Mutex::new(Way::new());
    let way = || way.lock().unwrap_or_else(PoisonError::into_inner);
    let write = async {
        // What is written meanwhile does not put it off: the answer is what
        // tells that the manager is there.
        let ping = tokio::time::sleep(until_ping());
        tokio::pin!(ping);
        loop {
            let frame = tokio::select! {
                biased;
                () = pinged.notified() => ToManager::Pong.to_frame()?,
                () = &mut ping => {
                    ping.set(tokio::time::sleep(until_ping()));
                    way().ask();
                    ToManager::Ping.to_frame()?
                }
                frame = outgoing.recv() => match frame {
                    Some(frame) => frame,
                    None => return Ok(()),
                },
            };
            let bytes = with_others(&frame, &mut outgoing);
            let written = stream::write_encoded(writer, &bytes);
            let written = tokio::time::timeout(STUCK, written).await;
            written.map_err(|_| FrameError::Silent)??;
        }
    };
    let read = async {
        loop {
            let next = tokio::time::timeout(NO_ANSWER, reader.next()).await;
            let Some(frame) = next.map_err(|_| FrameError::Silent)?? else {
                return Ok(());
            };
            match ToAgent::from_frame(frame)? {
                ToAgent::Ping => pinged.notify_one(),
                ToAgent::Pong { session_ms } => way().answered(session_ms),
                message => {
                    let message = way().arrived(message);
                    if incoming.send(take(message)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    };
    let ended = tokio::select! {
        biased;
        written = write => written,
        read = read => read,
    };
    connection.close().await;
    ended
}
