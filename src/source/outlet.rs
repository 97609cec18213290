//! What the reader hands to its owner, and how it waits for it.

use std::io;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::life::Life;
use super::split::{Mark, Piece};
use super::{Event, Line, SkipKind};
use crate::model::position::Checkpoint;

/// Lines in one event.
const MAX_BATCH: usize = 1_000;

/// Why the reader ends.
pub(super) enum End {
    /// It was told to, or its owner is gone.
    Stopped,
    Failed(io::Error),
}

/// The way to the owner. Each wait also ends when the reader is to stop.
pub(super) struct Outlet {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Only to wait on the thread itself for one of two things; it drives no
    /// timer and no descriptor.
    pub(super) runtime: Runtime,
}

impl Outlet {
    pub(super) fn send(&mut self, event: Event) -> Result<(), End> {
        let Self {
            events,
            stopped,
            runtime,
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
        let (stored, answer) = oneshot::channel();
        self.send(Event::Opened { checkpoint, stored })?;
        let Self {
            stopped, runtime, ..
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => Err(End::Stopped),
                answer = answer => answer.map_err(|_| End::Stopped),
            }
        })
    }

    pub(super) fn check(&self) -> Result<(), End> {
        if *self.stopped.borrow() || self.events.is_closed() {
            return Err(End::Stopped);
        }
        Ok(())
    }
}

pub(super) fn skipped(life: &Life, kind: SkipKind, offset: u64, bytes: u64) -> Event {
    Event::Skipped {
        kind,
        generation: life.generation(),
        offset,
        bytes,
        checkpoint: life.checkpoint(),
    }
}

/// Sends what is whole in `input`.
pub(super) fn hand_over(life: &mut Life, mut input: &[u8], outlet: &mut Outlet) -> Result<(), End> {
    let mut lines = Vec::new();
    let mut sent = life.splitter.end().offset();
    let mut reached = *life.splitter.end();
    while let Some(piece) = life.splitter.next(&mut input) {
        match piece {
            Piece::Line { offset, bytes } => {
                reached = *life.splitter.end();
                if !bytes.is_empty() && bytes != b"\r" {
                    lines.push(Line {
                        bytes,
                        offset,
                        generation: life.generation(),
                    });
                }
            }
            Piece::Skipped {
                kind,
                offset,
                bytes,
            } => {
                if sent < reached.offset() {
                    flush(life, &mut lines, &reached, outlet)?;
                }
                outlet.send(skipped(life, kind, offset, bytes))?;
                reached = *life.splitter.end();
                sent = reached.offset();
            }
        }
        if lines.len() == MAX_BATCH {
            flush(life, &mut lines, &reached, outlet)?;
            sent = reached.offset();
        }
    }
    if sent < reached.offset() {
        flush(life, &mut lines, &reached, outlet)?;
    }
    Ok(())
}

fn flush(
    life: &Life,
    lines: &mut Vec<Line>,
    reached: &Mark,
    outlet: &mut Outlet,
) -> Result<(), End> {
    outlet.send(Event::Lines {
        lines: std::mem::take(lines),
        checkpoint: life.checkpoint_at(reached),
    })
}
