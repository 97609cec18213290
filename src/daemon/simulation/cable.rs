//! Connections that are slow, stall, break at any byte, or fall silent; and what
//! the checker is told of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::history::{History, Random, What};

/// Bytes that one end may write before the other has read.
const BUFFER: usize = 16 * 1024;

/// What the way between an agent and its manager is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Line {
    Open,
    /// Nothing arrives until it is open again.
    Held,
    /// Nothing arrives any more, and neither side is told.
    Dead,
}

/// The way between one agent and the manager.
#[derive(Clone, Debug)]
pub(super) struct Way {
    agent: u32,
    history: History,
    /// That of the present connection.
    line: Arc<Mutex<watch::Sender<Line>>>,
    laid: Arc<Mutex<Option<AbortHandle>>>,
    faulty: watch::Sender<bool>,
}

impl Way {
    pub(super) fn new(agent: u32, history: History, faulty: bool) -> Self {
        Self {
            agent,
            history,
            line: Arc::new(Mutex::new(watch::Sender::new(Line::Open))),
            laid: Arc::default(),
            faulty: watch::Sender::new(faulty),
        }
    }

    pub(super) fn is_held(&self) -> bool {
        *self.line.lock().unwrap().borrow() == Line::Held
    }

    pub(super) fn set(&self, line: Line) {
        self.line.lock().unwrap().send_replace(line);
    }

    /// Breaks the present connection; both sides are told.
    pub(super) fn cut(&self) {
        if let Some(laid) = self.laid.lock().unwrap().take() {
            laid.abort();
        }
    }

    /// Nothing breaks from now on.
    pub(super) fn heal(&self) {
        self.faulty.send_replace(false);
        self.cut();
        self.set(Line::Open);
    }

    /// A connection: the agent's end and the manager's.
    pub(super) fn lay(&self, random: &mut Random) -> (DuplexStream, DuplexStream) {
        // A dead one stays dead, and does not know of the next.
        *self.line.lock().unwrap() = watch::Sender::new(Line::Open);
        let (near, near_far) = tokio::io::duplex(BUFFER);
        let (far, far_near) = tokio::io::duplex(BUFFER);
        let (near_in, near_out) = tokio::io::split(near_far);
        let (far_in, far_out) = tokio::io::split(far_near);
        let there = self.strand(random, None);
        let tap = Tap::new(self.agent, self.history.clone());
        let back = self.strand(random, Some(tap));
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = there.carry(near_in, far_out) => {}
                () = back.carry(far_in, near_out) => {}
            }
        });
        *self.laid.lock().unwrap() = Some(task.abort_handle());
        (near, far)
    }

    fn strand(&self, random: &mut Random, tap: Option<Tap>) -> Strand {
        let faulty = *self.faulty.borrow();
        let cut = faulty && random.percent(30);
        let stall = faulty && random.percent(20);
        Strand {
            line: self.line.lock().unwrap().subscribe(),
            tap,
            breaks_after: cut.then(|| random.below(6_000)),
            dies: random.percent(40),
            stalls_after: stall.then(|| random.below(6_000)),
            stall: random.millis(500, 20_000),
            delay: random.below(20),
            random: random.fork(0),
        }
    }
}

/// One direction of a connection.
struct Strand {
    line: watch::Receiver<Line>,
    /// On the way to the agent.
    tap: Option<Tap>,
    /// Bytes.
    breaks_after: Option<u64>,
    /// It breaks by falling silent.
    dies: bool,
    stalls_after: Option<u64>,
    stall: Duration,
    /// What it takes at most, in milliseconds.
    delay: u64,
    random: Random,
}

impl Strand {
    /// Ends when the connection does.
    async fn carry(
        mut self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) {
        let mut carried = 0;
        let mut buffer = [0; 2_048];
        loop {
            let most = usize::try_from(1 + self.random.below(2_048)).unwrap();
            let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else {
                self.closed().await;
                return;
            };
            self.tap.iter_mut().for_each(Tap::entered);
            tokio::time::sleep(self.random.millis(0, self.delay)).await;
            if self.stalls_after.is_some_and(|at| at < carried) {
                self.stalls_after = None;
                self.tap.iter_mut().for_each(Tap::stuck);
                tokio::time::sleep(self.stall).await;
            }
            self.open().await;
            let read = u64::try_from(read).unwrap();
            let left = self.breaks_after.map_or(read, |at| read.min(at - carried));
            carried += left;
            let bytes = &buffer[..usize::try_from(left).unwrap()];
            if to.write_all(bytes).await.is_err() {
                return;
            }
            self.tap.iter_mut().for_each(|tap| tap.left(bytes));
            if left < read {
                self.broken().await;
                return;
            }
        }
    }

    /// One side is gone. The other hears of it if the line is there.
    async fn closed(&mut self) {
        self.open().await;
    }

    async fn open(&mut self) {
        if *self.line.borrow() != Line::Open {
            self.tap.iter_mut().for_each(Tap::stuck);
        }
        let opened = self
            .line
            .wait_for(|line| *line == Line::Open)
            .await
            .map(drop);
        if opened.is_err() {
            // Nobody is left who could open it.
            std::future::pending::<()>().await;
        }
    }

    async fn broken(&mut self) {
        if self.dies {
            self.tap.iter_mut().for_each(Tap::stuck);
            std::future::pending::<()>().await;
        }
    }
}

/// Tells what comes out at the agent's end, and when nothing does.
struct Tap {
    agent: u32,
    history: History,
    /// Of the frame that is not whole.
    bytes: Vec<u8>,
    /// When the first byte was sent.
    entered: Option<Duration>,
    /// How long the greeting, which is the first frame, took.
    greeting: Option<u64>,
    stuck: bool,
}

impl Tap {
    fn new(agent: u32, history: History) -> Self {
        Self {
            agent,
            history,
            bytes: Vec::new(),
            entered: None,
            greeting: None,
            stuck: false,
        }
    }

    fn entered(&mut self) {
        self.entered.get_or_insert_with(super::elapsed);
    }

    fn stuck(&mut self) {
        if !std::mem::replace(&mut self.stuck, true) {
            self.history.note(What::Stuck { agent: self.agent });
        }
    }

    fn left(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.stuck) {
            self.history.note(What::Freed { agent: self.agent });
        }
        self.bytes.extend_from_slice(bytes);
        while let Some(body) = self.frame() {
            self.arrived(&body);
        }
    }

    /// The body of the next frame that is whole; see `wire`.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let number = |at: usize| {
            let bytes = self.bytes.get(at..at + 4)?;
            let number = u32::from_be_bytes(bytes.try_into().unwrap());
            Some(usize::try_from(number).unwrap())
        };
        let (end, header) = (4 + number(0)?, number(4)?);
        let body = self.bytes.get(8 + header..end)?.to_vec();
        self.bytes.drain(..end);
        Some(body)
    }

    fn arrived(&mut self, body: &[u8]) {
        let agent = self.agent;
        let Some(greeting) = self.greeting else {
            let way = super::elapsed() - self.entered.unwrap();
            let way = u64::try_from(way.as_millis()).unwrap();
            self.greeting = Some(way);
            self.history.note(What::Welcomed { agent, way });
            return;
        };
        // Only actions have a body: their alert.
        if !body.is_empty() {
            let alert: serde_json::Value = serde_json::from_slice(body).unwrap();
            self.history.note(What::Arrived {
                alert: alert["id"].as_str().unwrap().parse().unwrap(),
                agent,
                greeting,
            });
        }
    }
}
