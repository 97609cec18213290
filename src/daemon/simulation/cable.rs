//! Connections that are slow, stall, break at any byte, or fall silent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::history::Random;

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
    /// That of the present connection.
    line: Arc<Mutex<watch::Sender<Line>>>,
    /// The longest that something was under way.
    longest: Arc<Mutex<Duration>>,
    laid: Arc<Mutex<Option<AbortHandle>>>,
    faulty: watch::Sender<bool>,
}

impl Way {
    pub(super) fn new(faulty: bool) -> Self {
        Self {
            line: Arc::new(Mutex::new(watch::Sender::new(Line::Open))),
            longest: Arc::default(),
            laid: Arc::default(),
            faulty: watch::Sender::new(faulty),
        }
    }

    pub(super) fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
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
        let there = self.strand(random);
        let back = self.strand(random);
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

    fn strand(&self, random: &mut Random) -> Strand {
        let faulty = *self.faulty.borrow();
        let cut = faulty && random.percent(30);
        let stall = faulty && random.percent(20);
        Strand {
            line: self.line.lock().unwrap().subscribe(),
            longest: Arc::clone(&self.longest),
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
    longest: Arc<Mutex<Duration>>,
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
            let began = tokio::time::Instant::now();
            tokio::time::sleep(self.random.millis(0, self.delay)).await;
            if self.stalls_after.is_some_and(|at| at < carried) {
                self.stalls_after = None;
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
            self.took(began.elapsed());
            if left < read {
                self.broken().await;
                return;
            }
        }
    }

    fn took(&self, span: Duration) {
        let mut longest = self.longest.lock().unwrap();
        *longest = span.max(*longest);
    }

    /// One side is gone. The other hears of it if the line is there.
    async fn closed(&mut self) {
        self.open().await;
    }

    async fn open(&mut self) {
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

    async fn broken(&self) {
        if self.dies {
            std::future::pending::<()>().await;
        }
    }
}
