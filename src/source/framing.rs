//! Bytes that come in where nothing is stored: each run of them is a
//! generation of its own, and a line's offset is its place in the run.

use std::io;

use memchr::memchr_iter;

use super::mark::Mark;
use super::records::is_blank;
use super::split::{Piece, Splitter};
use super::{Accept, Event, Line, Receipt, SkipKind, Units, life};
use crate::model::position::Generation;

/// Lines in one event.
const MAX_BATCH: usize = 1_000;

#[derive(Debug)]
pub(super) struct Framing {
    splitter: Splitter,
    generation: Generation,
    taken: u64,
}

/// Cuts bytes so that each part holds no more lines than an event may: however
/// short they are, what is made of them is little.
pub(super) fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let end = memchr_iter(b'\n', left).nth(MAX_BATCH - 1);
        let (part, rest) = left.split_at(end.map_or(left.len(), |at| at + 1));
        left = rest;
        (!part.is_empty()).then_some(part)
    })
}

impl Framing {
    pub(super) fn begin(units: Units) -> io::Result<Self> {
        Ok(Self {
            splitter: Splitter::new(Mark::START, units.records()),
            generation: life::draw_generation()?,
            taken: 0,
        })
    }

    /// What the owner is told first.
    pub(super) fn begun(&self) -> Event {
        Event::Begun {
            generation: self.generation,
        }
    }

    /// What stands in the next bytes, in order.
    pub(super) fn take(&mut self, part: &[u8]) -> Vec<Event> {
        self.taken += part.len() as u64;
        let mut events = Vec::new();
        let mut lines = Vec::new();
        let mut strays = 0;
        let mut cut = self.splitter.cut(part);
        while let Some(piece) = cut.next() {
            match piece {
                Piece::Line { offset, bytes } => lines.extend(line(bytes, offset, self.generation)),
                Piece::Stray { bytes } => strays += bytes,
                Piece::Skipped { kind, bytes, .. } => {
                    events.extend(together(std::mem::take(&mut lines)));
                    events.push(passed_over(kind, bytes));
                }
            }
        }
        events.extend(together(lines));
        events.extend((strays > 0).then(|| passed_over(SkipKind::Stray, strays)));
        events
    }

    /// What is left when nothing more comes, in order; nothing once all is told.
    pub(super) fn end(&mut self, accept: &Accept) -> Option<Event> {
        loop {
            let piece = self.splitter.take_rest(&*accept.0)?;
            let event = match piece {
                Piece::Line { offset, bytes } => {
                    together(line(bytes, offset, self.generation).into_iter().collect())
                }
                Piece::Stray { bytes } => Some(passed_over(SkipKind::Stray, bytes)),
                Piece::Skipped { kind, bytes, .. } => Some(match kind {
                    SkipKind::TornTail => passed_over(SkipKind::HalfLine, bytes),
                    kind => passed_over(kind, bytes),
                }),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// What is held of a line that has not ended, in bytes.
    pub(super) fn held(&self) -> u64 {
        self.taken - self.splitter.end().offset()
    }
}

fn line(bytes: &[u8], offset: u64, generation: Generation) -> Option<Line> {
    (!is_blank(bytes)).then(|| Line {
        bytes: bytes.to_vec(),
        offset,
        generation,
    })
}

fn together(lines: Vec<Line>) -> Option<Event> {
    let receipt = Receipt::None;
    (!lines.is_empty()).then_some(Event::Lines { lines, receipt })
}

fn passed_over(kind: SkipKind, bytes: u64) -> Event {
    Event::PassedOver { kind, bytes }
}
