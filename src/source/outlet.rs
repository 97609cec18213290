//! What the reader hands to its owner, and how it waits for it.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::life::Life;
use super::records::is_blank;
use super::sieve::Sieve;
use super::split::{Cut, Piece};
use super::{Accept, Event, Line, Receipt, SkipKind};
use crate::clock::{self, Boot};
use crate::model::position::Checkpoint;

/// Lines in one event.
const MAX_BATCH: usize = 1_000;

/// Bytes of the lines in one event, beside the last.
const MAX_BYTES: usize = 256 << 10;

/// For how long lines for the owner are gathered while more of the file is there
/// to be read: to wake him up costs more than to read a hundred lines.
const GATHER: Duration = Duration::from_millis(2);

/// How often the owner is told how far a file is read in which nothing is for
/// him. What was not told is read once more after a crash.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// Why the reader ends.
pub(super) enum End {
    /// It was told to, or its owner is gone.
    Stopped,
    Failed(io::Error),
}

impl End {
    /// What the thread of the reader answers.
    pub(super) fn into_result(self) -> io::Result<()> {
        match self {
            Self::Stopped => Ok(()),
            Self::Failed(error) => Err(error),
        }
    }
}

/// The way to the owner. Each wait also ends when the reader is to stop.
pub(super) struct Outlet {
    events: mpsc::Sender<Event>,
    stopped: watch::Receiver<bool>,
    /// Only to wait on the thread itself for one of two things; it drives no
    /// timer and no descriptor.
    runtime: Runtime,
    sieve: Option<Sieve>,
}

impl Outlet {
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        stopped: watch::Receiver<bool>,
        runtime: Runtime,
        sieve: Option<Sieve>,
    ) -> Self {
        Self {
            events,
            stopped,
            runtime,
            sieve,
        }
    }

    pub(super) fn send(&mut self, event: Event) -> Result<(), End> {
        let Self {
            events,
            stopped,
            runtime,
            ..
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => Err(End::Stopped),
                sent = events.send(event) => sent.map_err(|_| End::Stopped),
            }
        })
    }

    pub(super) fn opened(&mut self, checkpoint: Checkpoint) -> Result<(), End> {
        self.opened_all(vec![checkpoint])
    }

    /// As [`Outlet::opened`], for several at once: they are stored together.
    pub(super) fn opened_all(&mut self, checkpoints: Vec<Checkpoint>) -> Result<(), End> {
        let mut answers = Vec::new();
        for checkpoint in checkpoints {
            let (stored, answer) = oneshot::channel();
            self.send(Event::Opened { checkpoint, stored })?;
            answers.push(answer);
        }
        let Self {
            stopped, runtime, ..
        } = self;
        for answer in answers {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => Err(End::Stopped),
                    answer = answer => answer.map_err(|_| End::Stopped),
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), End> {
        if *self.stopped.borrow() || self.events.is_closed() {
            return Err(End::Stopped);
        }
        Ok(())
    }

    /// Tells how far a life is read, if the owner does not know.
    pub(super) fn tell_end(&mut self, life: &mut Life) -> Result<(), End> {
        let reached = life.checkpoint();
        if reached.offset == life.told.offset {
            return Ok(());
        }
        self.lines(reached, &mut life.told)
    }

    /// Sends the lines that were gathered, which may be none, and how far they
    /// reach.
    fn lines(&mut self, reached: Checkpoint, told: &mut Told) -> Result<(), End> {
        let before = std::mem::replace(told, Told::now(reached.offset));
        self.send(Event::Lines {
            lines: before.next,
            receipt: Receipt::Position(reached),
        })
    }

    fn skipped(&mut self, skip: Skip, checkpoint: Checkpoint, told: &mut Told) -> Result<(), End> {
        *told = Told::now(checkpoint.offset);
        self.send(Event::Skipped {
            kind: skip.kind,
            generation: checkpoint.generation,
            offset: skip.offset,
            bytes: skip.bytes,
            checkpoint,
        })
    }

    fn passes(&mut self, line: &[u8], now: Boot) -> bool {
        self.sieve
            .as_mut()
            .is_none_or(|sieve| sieve.passes(line, now))
    }

    /// Passes over the lines that the sieve knows to keep back without cutting
    /// them.
    fn pass_over_known(&mut self, cut: &mut Cut<'_>) {
        let Some(sieve) = &mut self.sieve else {
            return;
        };
        while let Some(bytes) = cut.ahead().and_then(|ahead| sieve.keeps_back(ahead)) {
            cut.pass_over(bytes);
        }
    }

    fn stray(&mut self) {
        if let Some(sieve) = &mut self.sieve {
            sieve.stray();
        }
    }
}

/// How far the owner knows that a life is read, since when, and what he is to be
/// told next.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) offset: u64,
    at: Boot,
    next: Vec<Line>,
    /// Of `next`.
    bytes: usize,
}

impl Told {
    pub(super) fn now(offset: u64) -> Self {
        Self {
            offset,
            at: clock::boot(),
            next: Vec::new(),
            bytes: 0,
        }
    }

    fn gather(&mut self, line: Line) {
        self.bytes += line.bytes.len();
        self.next.push(line);
    }

    fn is_full(&self) -> bool {
        self.next.len() >= MAX_BATCH || self.bytes >= MAX_BYTES
    }

    fn is_due(&self, now: Boot) -> bool {
        let span = match self.next.is_empty() {
            true => TELL_EVERY,
            false => GATHER,
        };
        self.at.until(now) >= span
    }
}

/// Bytes that are passed over.
struct Skip {
    kind: SkipKind,
    offset: u64,
    bytes: u64,
}

/// Gathers what is whole in `chunk`, the bytes that were read now, as far as it is
/// for the owner, and sends it when it is time. At the end of the file that is
/// [`Outlet::tell_end`].
pub(super) fn hand_over(life: &mut Life, chunk: &[u8], outlet: &mut Outlet) -> Result<(), End> {
    let now = clock::boot();
    if let Some(sieve) = &mut outlet.sieve {
        sieve.renew();
    }
    let (mut cut, name, told) = life.cut(chunk);
    loop {
        outlet.pass_over_known(&mut cut);
        let Some(piece) = cut.next() else {
            break;
        };
        match piece {
            Piece::Line { offset, bytes } => {
                if !is_blank(bytes) && outlet.passes(bytes, now) {
                    told.gather(Line {
                        bytes: bytes.to_vec(),
                        offset,
                        generation: name.generation,
                    });
                }
            }
            Piece::Stray { .. } => outlet.stray(),
            Piece::Skipped {
                kind,
                offset,
                bytes,
                after,
            } => {
                if told.offset < offset {
                    outlet.lines(name.checkpoint_at(&after), told)?;
                }
                let skip = Skip {
                    kind,
                    offset,
                    bytes,
                };
                outlet.skipped(skip, name.checkpoint_at(cut.end()), told)?;
            }
        }
        if told.is_full() {
            outlet.lines(name.checkpoint_at(cut.end()), told)?;
        }
    }
    // Before the owner hears of it: what has led to something is counted by then.
    if let Some(sieve) = &mut outlet.sieve {
        sieve.tell(chunk.len());
    }
    if told.is_due(now) && told.offset < cut.end().offset() {
        outlet.lines(name.checkpoint_at(cut.end()), told)?;
    }
    Ok(())
}

/// Sends what was held of a life that is over. It is little, so its owner has
/// all of it.
pub(super) fn hand_over_rest(
    life: &mut Life,
    accept: &Accept,
    outlet: &mut Outlet,
) -> Result<(), End> {
    outlet.tell_end(life)?;
    let generation = life.generation();
    while let Some(piece) = life.splitter.take_rest(&*accept.0) {
        match piece {
            Piece::Line { offset, bytes } => {
                let line = Line {
                    bytes: bytes.to_vec(),
                    offset,
                    generation,
                };
                if let Some(sieve) = &mut outlet.sieve {
                    sieve.hand_over();
                }
                life.told.gather(line);
                outlet.lines(life.checkpoint(), &mut life.told)?;
            }
            Piece::Stray { .. } => outlet.stray(),
            Piece::Skipped {
                kind,
                offset,
                bytes,
                ..
            } => {
                let skip = Skip {
                    kind,
                    offset,
                    bytes,
                };
                outlet.skipped(skip, life.checkpoint(), &mut life.told)?;
            }
        }
    }
    outlet.tell_end(life)
}
