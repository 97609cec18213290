//! Where alerts come from: files that are followed.
//!
//! [`follow`] starts one blocking reader thread per file. It hands over whole
//! lines in order, each with the place it stands at, and never the same line
//! under two positions. What it cannot hand over it reports. Time of day has
//! no part in any decision here.
//!
//! # Lives and positions
//! A *life* of a file begins with its creation or its truncation and has a
//! random [`Generation`]. A line is named by its generation and the offset of
//! its first byte. A life begins with [`Event::Opened`], whose checkpoint the
//! owner stores before the reader goes on, so that a line read again after a
//! crash has the name it had before.
//!
//! # What is followed
//! The path, through symbolic links, wherever it leads: when it leads to
//! another file (rename and create, Wazuh's unlink and hard link, a link that
//! is pointed elsewhere), the old file is read to its end, for a while longer
//! because its writer may not know yet, and then the new one from its
//! beginning. A file that became shorter, or whose bytes before the position
//! are no longer those that were read, begins a new life at offset 0.
//! Generations that came and went between two looks, or while nobody read, are
//! found next to the file (`siblings`).
//!
//! # What cannot be had
//! * Bytes that were truncated away before they were read. What is known of
//!   them is reported as [`SkipKind::Truncated`].
//! * Generations between two looks whose predecessor has lost its name or was
//!   compressed: nothing then tells which of the remaining files followed it.
//!   After a restart this is reported as [`Trouble::Gap`]; while running, the
//!   predecessor itself is still read to its end.
//! * A file that is cut to a shorter, not empty one counts as begun anew: lines
//!   that the cut left in place are taken again.
//! * That a file was truncated, when it was filled with the same bytes again
//!   before the next look: the last 4 KiB that were read, or, after a restart,
//!   the 256 before the stored position. At position 0 there are none.

mod life;
mod outlet;
#[cfg(test)]
pub(crate) mod played;
mod reader;
mod siblings;
mod split;
mod wake;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::position::{Checkpoint, Generation};
use wake::Wake;

/// The longest line that is handed over, in bytes without its newline.
pub const MAX_LINE: usize = 1 << 20;

/// One line of a followed file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Without the newline; a carriage return before it is left in place.
    pub bytes: Vec<u8>,
    /// Of its first byte, from the start of the file.
    pub offset: u64,
    pub generation: Generation,
}

/// What a reader tells its owner, in order.
///
/// The first `Opened` or `Waiting` means that the source is ready: its start
/// position is known. It is on disk once the owner has stored the checkpoint
/// of `Opened`; `Waiting` has nothing to store.
#[derive(Debug)]
pub enum Event {
    /// A life begins, or a stored one is taken up again. The reader goes on
    /// only after `stored` was answered; dropping it ends the reader.
    Opened {
        checkpoint: Checkpoint,
        stored: oneshot::Sender<()>,
    },
    /// There is nothing to read yet. Sent at most once, and only as a first
    /// event beside `Trouble`; `Opened` follows when the file is there.
    Waiting,
    /// Whole lines in order, at most 1,000 and at most 256 KiB beside the
    /// first, and how far the file is read once they are handled. Empty lines
    /// are left out, so there may be none.
    Lines {
        lines: Vec<Line>,
        checkpoint: Checkpoint,
    },
    /// Bytes from `offset` on were passed over.
    Skipped {
        kind: SkipKind,
        generation: Generation,
        offset: u64,
        bytes: u64,
        checkpoint: Checkpoint,
    },
    /// Something is wrong with the source.
    Trouble(Trouble),
    /// The lasting trouble that was reported last is over.
    Recovered,
}

/// Why bytes were passed over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SkipKind {
    /// A line longer than [`MAX_LINE`].
    OverLong,
    /// The end of a file that was replaced, without a newline and not accepted
    /// as a whole line.
    TornTail,
    /// Bytes that were seen in the file and truncated away before they were
    /// taken.
    Truncated,
    /// NUL bytes where a line should begin: a writer without `O_APPEND` goes on
    /// at its old offset after a truncation.
    Nul,
}

impl SkipKind {
    /// A few fixed words for logs and counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::OverLong => "over-long line",
            Self::TornTail => "torn end of a replaced file",
            Self::Truncated => "truncated away",
            Self::Nul => "NUL bytes",
        }
    }
}

/// What is wrong with a source. Some of it lasts until [`Event::Recovered`],
/// the rest is said once.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// Lasts. Only said when the file stays away for longer than a rotation
    /// takes.
    #[error("the file does not exist")]
    Missing,
    /// Lasts. A directory, FIFO, socket or device stands where the file should.
    #[error("is {0}, not a regular file")]
    NotAFile(&'static str),
    /// Lasts. The file or its directory cannot be looked at, opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// Once per file.
    #[error("can be written by every user (whoever writes to it can cause responses)")]
    WritableByOthers,
    /// Once. New lines are found by looking four times a second.
    #[error("cannot be watched, is looked at four times a second instead: {0}")]
    Unwatched(String),
    /// Once. The file of the stored position is gone; what it held after
    /// `offset` is lost, and nothing tells how much that was.
    #[error("what followed byte {offset} of generation {generation} is gone")]
    Gap { generation: Generation, offset: u64 },
}

impl Trouble {
    /// Whether it lasts until [`Event::Recovered`].
    pub fn lasts(&self) -> bool {
        match self {
            Self::Missing | Self::NotAFile(_) | Self::Unreadable(_) => true,
            Self::WritableByOthers | Self::Unwatched(_) | Self::Gap { .. } => false,
        }
    }
}

/// Where to begin when no position is stored and the file is there. A file
/// that appears later is read from its beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StartAt {
    /// Behind the last whole line.
    #[default]
    End,
    Beginning,
}

/// How often a file is looked at, and how long one that was replaced is still
/// read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Between two looks when no watch gives a hint.
    pub poll: Duration,
    /// From the moment a file is seen to be replaced; it also must not have
    /// grown for two polls. And how long a file may be away without a word.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(250),
            grace: Duration::from_secs(2),
        }
    }
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct Follow {
    pub path: PathBuf,
    pub start: StartAt,
    /// The position stored last.
    pub resume: Option<Checkpoint>,
    /// Whether the unterminated end of a file that was replaced is a whole
    /// line.
    pub accept_tail: fn(&[u8]) -> bool,
    pub timing: Timing,
}

/// A running reader. Dropping it stops the reader, too.
pub struct Follower {
    stop: watch::Sender<bool>,
    wake: Arc<Wake>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Starts a reader thread for one file.
///
/// `events` bounds what is in flight: when it is full the reader waits, and
/// the file is the queue. The channel closes when the reader ends, whatever
/// the reason; [`Follower::stop`] then tells it.
///
/// # Errors
/// The thread cannot be started.
pub fn follow(follow: Follow, events: mpsc::Sender<Event>) -> io::Result<Follower> {
    let (stop, stopped) = watch::channel(false);
    let wake = Arc::new(Wake::default());
    #[cfg(test)]
    if played::begin(&follow, &events) {
        return Ok(Follower {
            stop,
            wake,
            thread: None,
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let outlet = outlet::Outlet {
        events,
        stopped,
        runtime,
    };
    let reader = reader::Reader::new(follow, outlet, Arc::clone(&wake));
    let thread = std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || reader.run())?;
    Ok(Follower {
        stop,
        wake,
        thread: Some(thread),
    })
}

impl Follower {
    /// Whether the reader has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the reader, also one that waits for its owner, and waits for its
    /// thread, which takes no longer than the system call it is in.
    ///
    /// # Errors
    /// Why the reader had ended on its own.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        self.wake.hint();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the reader thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Whoever drops it without `stop` does not ask why it ended.
        drop(self.end());
    }
}
