//! A worker that runs, and what goes to and fro.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::UnixStream;

use super::orders::Nonsense;
use crate::clock;
use crate::contract::worker::MAX_FRAME;
use crate::executor::pipes::{Head, Incoming};
use crate::sys::exe::{Home, VerifiedExe};
use crate::sys::process::{Child, Exit, WorkerPipes};

/// How much of what it says on stderr is kept.
const MAX_STDERR: usize = 4 * 1024;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// How long it may take to be gone.
const END_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Live {
    exe: VerifiedExe,
    child: Child,
    socket: UnixStream,
    stderr: Incoming,
    errors: Head,
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
    /// In boot nanoseconds.
    since: u64,
    checked: u64,
    /// Whether it gets no more orders, since its file is another one.
    pub(super) is_retiring: bool,
    chunk: Vec<u8>,
}

/// What happened next.
pub(super) enum Event {
    /// There is more to be taken with [`Live::lines`].
    Heard,
    /// Some of the output has left, or it said something on stderr.
    Exchanged,
    /// It is gone, or as good as.
    Over,
}

impl Live {
    pub(super) fn new(exe: VerifiedExe, child: Child, pipes: WorkerPipes) -> Self {
        let now = clock::boot_nanos();
        Self {
            exe,
            child,
            socket: pipes.socket,
            stderr: Incoming::new(pipes.stderr),
            errors: Head::new(MAX_STDERR),
            input: Vec::new(),
            output: Vec::new(),
            since: now,
            checked: now,
            is_retiring: false,
            chunk: vec![0; CHUNK],
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id().pid()
    }

    pub(super) fn age(&self) -> Duration {
        Duration::from_nanos(clock::boot_nanos().saturating_sub(self.since))
    }

    /// Looks, at most once a second, whether its file is still the one that was
    /// verified. If not it gets no more orders.
    pub(super) fn check(&mut self, home: &Home) {
        const EVERY: u64 = 1_000_000_000;
        let now = clock::boot_nanos();
        if self.is_retiring || now.saturating_sub(self.checked) < EVERY {
            return;
        }
        self.checked = now;
        let found = home.executable(self.exe.name());
        self.is_retiring = !found.is_ok_and(|exe| exe.is_same_file(&self.exe));
    }

    /// Waits for the next event. Cancel-safe: nothing is awaited after bytes
    /// were read or written, and `Child::wait` is by contract.
    pub(super) async fn next(&mut self) -> Event {
        let writes = !self.output.is_empty();
        tokio::select! {
            readable = self.socket.readable() => match readable {
                Ok(()) => self.read(),
                Err(_) => Event::Over,
            },
            writable = self.socket.writable(), if writes => match writable {
                Ok(()) => self.write(),
                Err(_) => Event::Over,
            },
            bytes = self.stderr.read() => {
                self.errors.feed(bytes);
                Event::Exchanged
            }
            _ = self.child.wait() => Event::Over,
        }
    }

    fn read(&mut self) -> Event {
        match self.socket.try_read(&mut self.chunk) {
            Ok(0) => Event::Over,
            Ok(length) => {
                self.input.extend_from_slice(&self.chunk[..length]);
                Event::Heard
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Event::Exchanged,
            Err(_) => Event::Over,
        }
    }

    /// Asked of the kernel, not of the runtime, which may not have heard yet
    /// that there is something.
    fn read_the_rest(&mut self) {
        loop {
            match rustix::io::read(&self.socket, &mut self.chunk) {
                Ok(length @ 1..) => self.input.extend_from_slice(&self.chunk[..length]),
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn write(&mut self) -> Event {
        match self.socket.try_write(&self.output) {
            Ok(length) => {
                self.output.drain(..length);
                self.output.shrink_to(CHUNK);
                Event::Exchanged
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Event::Exchanged,
            Err(_) => Event::Over,
        }
    }

    /// Hands over every line that is complete; `heard` may put something into
    /// the output.
    pub(super) fn lines(
        &mut self,
        mut heard: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Nonsense>,
    ) -> Result<(), Nonsense> {
        let mut rest = self.input.as_slice();
        let mut done = Ok(());
        while let Some(end) = memchr::memchr(b'\n', rest) {
            done = done.and_then(|()| heard(&rest[..end], &mut self.output));
            rest = &rest[end + 1..];
        }
        if rest.len() > MAX_FRAME {
            done = done.and(Err(Nonsense::TooLong));
        }
        self.input = rest.to_vec();
        done
    }

    /// Ends it, kindly: it has nothing in hand. Closing the socket is enough.
    pub(super) async fn dismiss(self, home: &Home) {
        let Self {
            socket, mut child, ..
        } = self;
        drop(socket);
        if tokio::time::timeout(END_WAIT, child.wait()).await.is_err() {
            kill(&child, home.clone()).await;
        }
    }

    /// Ends it at once, with whatever it has started. What it has said before
    /// can still be taken with [`Live::lines`]. Returns how it ended.
    pub(super) async fn kill(&mut self, home: &Home) -> String {
        // First those that it has started, as long as its number is its own.
        kill(&self.child, home.clone()).await;
        let exit = tokio::time::timeout(END_WAIT, self.child.wait()).await;
        self.read_the_rest();
        self.errors.feed(&self.stderr.rest());
        let how = match exit {
            Ok(Ok(Exit::Exited(status))) => format!("ended with status {status}"),
            Ok(Ok(Exit::Signalled(signal))) => format!("ended by signal {signal}"),
            Ok(Err(error)) => format!("wait for it: {error}"),
            Err(_) => "hangs in the kernel".to_owned(),
        };
        match self.errors.text() {
            said if said.is_empty() => how,
            said => format!("{how}: {said}"),
        }
    }
}

/// Its group and session, at once.
async fn kill(child: &Child, home: Home) {
    let process = child.id();
    let ended = tokio::task::spawn_blocking(move || process.end_group(home.path(), Duration::ZERO))
        .await
        .expect("the task neither panics nor is it aborted");
    if let Err(error) = ended {
        log::error!(error:% = error; "a worker cannot be ended");
    }
}
