//! `SIGTERM` and `SIGINT` stop, `SIGHUP` reloads.

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    Stop,
    Reload,
}

/// Signals as they arrive. Several of one kind between two looks are one.
#[derive(Debug)]
pub(super) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    /// Must be called within a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            stop: listen(&[SIGTERM, SIGINT])?,
            reload: listen(&[SIGHUP])?,
        })
    }

    /// The next one. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Signal {
        let (mut stop, mut reload) = ([0; 64], [0; 64]);
        // Both ends are ours and stay open, so a read only fails if the kernel
        // has no memory left; then nothing has arrived.
        tokio::select! {
            _ = self.stop.read(&mut stop) => Signal::Stop,
            _ = self.reload.read(&mut reload) => Signal::Reload,
        }
    }
}

fn listen(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}
