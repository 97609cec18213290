//! A Unix socket whose every datagram is an alert, or several whole lines. Who
//! sends faster than they are read has to wait, or is told so (unix(7)); the
//! system loses none.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;

use super::running::{Stopped, Task};
use super::{Accept, Event, Line, MAX_LINE, Receipt, Receive, SkipKind, Trouble, life};
use crate::model::position::Generation;

/// Lines in one event.
const MAX_BATCH: usize = 1_000;

/// Between two tries when receiving fails.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn start(
    socket: OwnedFd,
    receive: Receive,
    events: mpsc::Sender<Event>,
) -> io::Result<Task> {
    let socket = StdDatagram::from(socket);
    socket.set_nonblocking(true)?;
    let mut intake = Intake {
        socket: UnixDatagram::from_std(socket)?,
        accept: receive.accept_tail,
        events,
        generation: life::draw_generation()?,
        offset: 0,
        trouble: None,
    };
    Ok(Task::spawn(async move |stopped| {
        // Nobody listens any more when this ends early.
        let _ = intake.run(stopped).await;
        Ok(())
    }))
}

struct Intake {
    socket: UnixDatagram,
    accept: Accept,
    events: mpsc::Sender<Event>,
    generation: Generation,
    /// Of the next datagram, in all that was received.
    offset: u64,
    /// What the owner was told last, while it lasts.
    trouble: Option<Trouble>,
}

/// The owner takes no more events.
struct Gone;

impl Intake {
    async fn run(&mut self, mut stopped: Stopped) -> Result<(), Gone> {
        self.send(Event::Listening).await?;
        let generation = self.generation;
        self.send(Event::Begun { generation }).await?;
        let mut buffer = vec![0; MAX_LINE];
        loop {
            // Both can be dropped: a datagram is taken only when it is handed on.
            let received = tokio::select! {
                () = stopped.told() => return Ok(()),
                received = self.receive(&mut buffer) => received,
            };
            let trouble = received.as_ref().err().map(io::Error::kind);
            self.tell(trouble.map(Trouble::Unreadable)).await?;
            match received {
                Ok(length) if length > buffer.len() => {
                    let (kind, bytes) = (SkipKind::CutDatagram, length as u64);
                    self.send(Event::PassedOver { kind, bytes }).await?;
                }
                Ok(length) => self.hand_over(&buffer[..length]).await?,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Takes one datagram from the queue, and answers its length, also where it
    /// is longer than the buffer. Cancel-safe.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let take = || {
            let (_, length) = rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::TRUNC)?;
            Ok(length)
        };
        self.socket.async_io(Interest::READABLE, take).await
    }

    /// A datagram is one alert, also over several lines, or its lines are.
    async fn hand_over(&mut self, datagram: &[u8]) -> Result<(), Gone> {
        let began = self.offset;
        self.offset += datagram.len() as u64;
        let whole = datagram.trim_ascii_end();
        if !whole.contains(&b'\n') || (self.accept.0)(whole) {
            return self.send_lines(vec![(began, whole)]).await;
        }
        let mut offset = began;
        let mut lines = Vec::new();
        for line in whole.split(|byte| *byte == b'\n') {
            lines.push((offset, line));
            offset += line.len() as u64 + 1;
            if lines.len() == MAX_BATCH {
                self.send_lines(std::mem::take(&mut lines)).await?;
            }
        }
        self.send_lines(lines).await
    }

    async fn send_lines(&self, lines: Vec<(u64, &[u8])>) -> Result<(), Gone> {
        let lines = lines
            .into_iter()
            .filter(|(_, bytes)| !bytes.trim_ascii().is_empty());
        let lines: Vec<_> = lines
            .map(|(offset, bytes)| Line {
                bytes: bytes.to_vec(),
                offset,
                generation: self.generation,
            })
            .collect();
        let receipt = Receipt::None;
        match lines.is_empty() {
            true => Ok(()),
            false => self.send(Event::Lines { lines, receipt }).await,
        }
    }

    async fn tell(&mut self, trouble: Option<Trouble>) -> Result<(), Gone> {
        if self.trouble == trouble {
            return Ok(());
        }
        self.trouble.clone_from(&trouble);
        self.send(trouble.map_or(Event::Recovered, Event::Trouble))
            .await
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tokio::sync::mpsc;

    use crate::source::{
        Accept, Access, Door, Event, Limits, MAX_LINE, Receive, SkipKind, Units, receive,
    };

    async fn texts(events: &mut mpsc::Receiver<Event>, wanted: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < wanted {
            match events.recv().await.unwrap() {
                Event::Lines { lines, .. } => found.extend(
                    lines
                        .into_iter()
                        .map(|line| String::from_utf8(line.bytes).unwrap()),
                ),
                Event::PassedOver { kind, .. } => found.push(kind.label().to_owned()),
                Event::Listening | Event::Begun { .. } => {}
                event => panic!("{event:?}"),
            }
        }
        found
    }

    #[tokio::test]
    async fn a_datagram_is_an_alert_or_lines_and_never_half_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.sock");
        let access = Access {
            mode: 0o600,
            group: None,
        };
        let (sender, mut events) = mpsc::channel(1);
        let door = Door::unix_datagram(&path, &access).unwrap();
        let settings = Receive {
            accept_tail: Accept::new(|text| text.ends_with(b"}")),
            units: Units::Lines,
            limits: Limits::default(),
        };
        let _running = receive(&door, settings, sender).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        let room = i32::try_from(4 * MAX_LINE).unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, room as usize).ok();
        for text in ["{1}", "{2}\r\n", "", "\n", "a\n\nb\n", "{\n3\n}"] {
            socket.send_to(text.as_bytes(), &path).unwrap();
        }
        let wanted = ["{1}", "{2}", "a", "b", "{\n3\n}"];
        assert_eq!(texts(&mut events, wanted.len()).await, wanted);
        // Only who may have a large buffer can send such a thing at all.
        if socket.send_to(&vec![b'x'; MAX_LINE + 1], &path).is_ok() {
            socket.send_to(b"{4}", &path).unwrap();
            let wanted = [SkipKind::CutDatagram.label(), "{4}"];
            assert_eq!(texts(&mut events, wanted.len()).await, wanted);
        }
    }
}
