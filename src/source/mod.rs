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

mod connections;
mod datagrams;
mod door;
mod framing;
mod glob;
pub mod http;
mod life;
mod mark;
mod outlet;
#[cfg(test)]
pub(crate) mod played;
mod reader;
mod records;
mod running;
mod siblings;
mod sieve;
mod split;
mod standard_input;
mod tally;
mod wake;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::glob::Glob;
use crate::model::position::{Checkpoint, Generation};
pub use door::{Access, Door, DoorError};
use records::Records;
pub use running::{Running, Stopped, Task};
pub use sieve::{Sieve, Sifting};
pub use tally::{Counted, Tally};
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
    /// Lines of this generation have never been handed over before and never
    /// will be again: nobody stores where they stand, as for a connection.
    Begun { generation: Generation },
    /// The source listens. Sent once, in place of `Opened` and `Waiting`, by
    /// sources that have no position; and behind the `Opened` of each file that
    /// is there at first, where there are many.
    Listening,
    /// There is nothing to read yet. Sent at most once, and only as a first
    /// event beside `Trouble`; `Opened` follows when the file is there.
    Waiting,
    /// Whole lines in order, at most 1,000 and at most 256 KiB beside the
    /// last. Empty lines are left out, and those that the sieve keeps back, so
    /// there may be none.
    Lines { lines: Vec<Line>, receipt: Receipt },
    /// Bytes from `offset` on were passed over.
    Skipped {
        kind: SkipKind,
        generation: Generation,
        offset: u64,
        bytes: u64,
        checkpoint: Checkpoint,
    },
    /// So many bytes that were sent to a source without positions were passed
    /// over.
    PassedOver { kind: SkipKind, bytes: u64 },
    /// So many connections were closed at once since this was said last: their
    /// peers, of which this is one, are not allowed.
    Refused { count: u64, peer: IpAddr },
    /// The source has come to its end, as standard input does; nothing follows.
    Ended,
    /// Something is wrong with the source.
    Trouble(Trouble),
    /// The lasting trouble that was reported last is over.
    Recovered,
}

/// What is to be done once lines are handled.
#[derive(Debug)]
pub enum Receipt {
    /// This is how far a file is read then; it is stored together with what
    /// they have led to.
    Position(Checkpoint),
    /// The sender waits for an answer until all that they have led to is on
    /// disk. Without an answer he has to send them again.
    Answer(oneshot::Sender<()>),
    /// The sender does not ask what became of them.
    None,
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
    /// The beginning of a line whose end has not come: the connection was
    /// closed, or nothing more came for too long.
    HalfLine,
    /// A datagram longer than [`MAX_LINE`].
    CutDatagram,
    /// Lines between the records of an `alerts.log`.
    Stray,
}

impl SkipKind {
    /// A few fixed words for logs and counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::OverLong => "over-long line",
            Self::TornTail => "torn end of a replaced file",
            Self::Truncated => "truncated away",
            Self::Nul => "NUL bytes",
            Self::HalfLine => "half a line",
            Self::CutDatagram => "over-long datagram",
            Self::Stray => "lines between records",
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
    /// Lasts. Those that come behind the others by their names are not read.
    #[error("has more than {0} files, and not all of them are read")]
    TooManyFiles(usize),
    /// Lasts. Only said when none is there for longer than a rotation takes.
    #[error("fits no file")]
    NoFile,
    /// Lasts. No new connection is accepted while there are so many.
    #[error("has {0} connections, and more wait until one of them ends")]
    Crowded(usize),
    /// Lasts. Tried again, at most a second later.
    #[error("cannot accept connections: {0}")]
    NotAccepting(io::ErrorKind),
}

impl Trouble {
    /// Whether it lasts until [`Event::Recovered`].
    pub fn lasts(&self) -> bool {
        match self {
            Self::Missing
            | Self::NotAFile(_)
            | Self::Unreadable(_)
            | Self::TooManyFiles(_)
            | Self::NoFile
            | Self::Crowded(_)
            | Self::NotAccepting(_) => true,
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

/// What is handed over as one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Units {
    Lines,
    /// Lines; and the lines of each record of an `alerts.log`, which begins with
    /// `** Alert ` and goes on to an empty line or to the next one, together as
    /// one line with newlines in it. Where the first bytes are a record, lines
    /// that belong to none are passed over.
    LinesAndRecords,
}

impl Units {
    fn records(self) -> Records {
        match self {
            Self::Lines => Records::None,
            Self::LinesAndRecords => Records::Unknown,
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
    pub accept_tail: Accept,
    pub units: Units,
    /// What tells which lines are handed over; all of them without it.
    pub sifting: Option<Sifting>,
    pub timing: Timing,
}

/// Which files to follow as one source.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Where a pattern that is not absolute begins.
    pub base: PathBuf,
    pub pattern: Glob,
    /// Of files that are there at first and that no position is known of.
    pub start: StartAt,
    /// The positions stored last, whatever files they are of.
    pub resume: Vec<Checkpoint>,
    /// As in [`Follow`].
    pub accept_tail: Accept,
    pub units: Units,
    pub sifting: Option<Sifting>,
    pub timing: Timing,
    /// Files that are read at a time.
    pub most: usize,
}

/// What tells whether bytes are a whole line.
#[derive(Clone)]
pub struct Accept(Arc<Judge>);

type Judge = dyn Fn(&[u8]) -> bool + Send + Sync;

impl Accept {
    pub fn new(accept: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(accept))
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept")
    }
}

/// How what comes in at a door is read.
#[derive(Clone, Debug)]
pub struct Receive {
    /// Whether the unterminated end of a connection, or a datagram as a whole,
    /// is one alert.
    pub accept_tail: Accept,
    pub units: Units,
    pub limits: Limits,
}

/// What connections may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Open at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a line that has begun may take to end, while its end is waited
    /// for.
    pub half_line: Duration,
    /// The same for a line longer than 64 KiB. Few such lines are held at a
    /// time.
    pub long_line: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            half_line: Duration::from_secs(300),
            long_line: Duration::from_secs(60),
        }
    }
}

/// Starts to take in what is sent to a door. Must be called within a tokio
/// runtime. `events` bounds what is in flight: when it is full nothing is read,
/// and those who send wait.
///
/// # Errors
/// There is no descriptor left, or the runtime cannot wait for it.
pub fn receive(door: &Door, receive: Receive, events: mpsc::Sender<Event>) -> io::Result<Task> {
    let socket = door.socket()?;
    match &door.kind {
        door::Kind::UnixDatagram => datagrams::start(socket, receive, events),
        door::Kind::UnixStream => connections::unix(socket, receive, events),
        door::Kind::Tcp { allowed } => connections::tcp(socket, allowed.clone(), receive, events),
    }
}

pub use standard_input::read as read_input;

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
    let sieve = follow.sifting.clone().map(Sieve::new);
    let outlet = outlet::Outlet::new(events, stopped, runtime, sieve);
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

/// Starts one reader thread for all files that fit a pattern. `events` is as
/// with [`follow`]; each file begins with [`Event::Opened`], and once those that
/// are there at first have, [`Event::Listening`] says so.
///
/// # Errors
/// The thread cannot be started.
pub fn gather(gather: Gather, events: mpsc::Sender<Event>) -> io::Result<Follower> {
    let (stop, stopped) = watch::channel(false);
    let wake = Arc::new(Wake::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let sieve = gather.sifting.clone().map(Sieve::new);
    let outlet = outlet::Outlet::new(events, stopped, runtime, sieve);
    let gatherer = glob::Gatherer::new(gather, outlet, Arc::clone(&wake));
    let thread = std::thread::Builder::new()
        .name("sources".to_owned())
        .spawn(move || gatherer.run())?;
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
