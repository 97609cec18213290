//! The reader thread: which file is read, and when it is left for the next.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use super::life::{self, Life, Opened, Progress, same};
use super::outlet::{End, Outlet, hand_over, hand_over_rest};
use super::wake::{Wake, Watch};
use super::{Event, Follow, StartAt, Trouble, siblings};
use crate::clock::{self, Boot};
use crate::model::position::{Checkpoint, FileIdentity};

/// Files that are held open to be read next. More are found again by their
/// names once there is room.
const MAX_NEXT: usize = 16;

/// Files that were read to their end and would be known again if the path led
/// to them once more.
const MAX_LEFT: usize = 16;

/// A file that is to be read after the current one.
struct Next {
    opened: Opened,
    /// Since when a later one is known.
    replaced: Option<Boot>,
}

pub(super) struct Reader {
    follow: Follow,
    outlet: Outlet,
    wake: Arc<Wake>,
    watch: Watch,
    /// The file at the path when the watches were last renewed.
    watched: Option<FileIdentity>,
    current: Option<Life>,
    next: VecDeque<Next>,
    left: VecDeque<Checkpoint>,
    /// Whether the owner knows that the source is ready.
    ready: bool,
    /// The lasting trouble that the owner knows of.
    trouble: Option<Trouble>,
    away_since: Option<Boot>,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(follow: Follow, outlet: Outlet, wake: Arc<Wake>) -> Self {
        Self {
            watch: Watch::new(&follow.path),
            follow,
            outlet,
            wake,
            watched: None,
            current: None,
            next: VecDeque::new(),
            left: VecDeque::new(),
            ready: false,
            trouble: None,
            away_since: None,
            buffer: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let Err(end) = self.work();
        end.into_result()
    }

    fn work(&mut self) -> Result<Infallible, End> {
        self.renew_watch(None)?;
        loop {
            let trouble = match self.current {
                Some(_) => self.pass()?,
                None if self.next.is_empty() => self.seek()?,
                None => self.go_on()?,
            };
            self.report(trouble)?;
            self.outlet.check()?;
            self.wake.wait(self.follow.timing.poll);
        }
    }

    /// Looks for a first file to read.
    fn seek(&mut self) -> Result<Option<Trouble>, End> {
        match life::open(&self.follow.path) {
            Ok(opened) => {
                self.away_since = None;
                self.start(opened)
            }
            Err(trouble) => {
                if self.resume_elsewhere()? {
                    return Ok(None);
                }
                self.nothing_yet(trouble)
            }
        }
    }

    /// No file can be opened. What comes to stand at the path later is new,
    /// unless a file is there already and only cannot be opened.
    fn nothing_yet(&mut self, trouble: Trouble) -> Result<Option<Trouble>, End> {
        let missing = trouble == Trouble::Missing;
        let now = clock::boot();
        let away_for = self.away_since.get_or_insert(now).until(now);
        // A rotation takes the name away for a moment, and what comes back need
        // not be new.
        if missing && away_for < self.follow.timing.poll {
            return Ok(None);
        }
        if missing || matches!(trouble, Trouble::NotAFile(_)) {
            self.follow.start = StartAt::Beginning;
        }
        if !std::mem::replace(&mut self.ready, true) {
            self.outlet.send(Event::Waiting)?;
        }
        Ok(Some(trouble).filter(|_| !missing || away_for >= self.follow.timing.grace))
    }

    /// Begins with the file at the path, or with what precedes it.
    fn start(&mut self, opened: Opened) -> Result<Option<Trouble>, End> {
        let Some(checkpoint) = self.follow.resume.clone() else {
            return self.begin(opened, self.follow.start);
        };
        let opened = match Life::resume(opened, &checkpoint, self.follow.units, clock::boot()) {
            Err(error) => return Ok(Some(Trouble::Unreadable(error.kind()))),
            Ok(Ok(life)) => return self.enter(life).map(|()| None),
            Ok(Err(opened)) => opened,
        };
        let here = same(&opened.identity, &checkpoint.identity);
        if !here && self.resume_elsewhere()? {
            return Ok(None);
        }
        self.begin_after_gap(opened, &checkpoint)
    }

    /// Takes the stored life up under the name that rotation gave its file.
    fn resume_elsewhere(&mut self) -> Result<bool, End> {
        let Some(checkpoint) = self.follow.resume.clone() else {
            return Ok(false);
        };
        let Some(opened) = siblings::find(&self.follow.path, &checkpoint.identity) else {
            return Ok(false);
        };
        match Life::resume(opened, &checkpoint, self.follow.units, clock::boot()) {
            Ok(Ok(life)) => {
                self.enter(life)?;
                Ok(true)
            }
            // It was truncated before it was renamed. Without a birth time it
            // could as well be an older file that was read long ago.
            Ok(Err(opened)) if opened.identity.btime_ns.is_some() => {
                self.begin_after_gap(opened, &checkpoint)?;
                Ok(true)
            }
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    /// Begins a life when the rest of the stored one cannot be had.
    fn begin_after_gap(
        &mut self,
        opened: Opened,
        stored: &Checkpoint,
    ) -> Result<Option<Trouble>, End> {
        self.outlet.send(Event::Trouble(Trouble::Gap {
            generation: stored.generation,
            offset: stored.offset,
        }))?;
        self.follow.resume = None;
        self.begin(opened, StartAt::Beginning)
    }

    fn begin(&mut self, opened: Opened, start: StartAt) -> Result<Option<Trouble>, End> {
        let generation = life::draw_generation().map_err(End::Failed)?;
        if opened.writable_by_others {
            self.outlet
                .send(Event::Trouble(Trouble::WritableByOthers))?;
        }
        let how = (start, self.follow.units);
        match Life::begin(opened, generation, how, clock::boot()) {
            Ok(life) => self.enter(life).map(|()| None),
            Err(error) => Ok(Some(Trouble::Unreadable(error.kind()))),
        }
    }

    /// Makes a life the current one, once its position is stored.
    fn enter(&mut self, life: Life) -> Result<(), End> {
        self.outlet.opened(life.checkpoint())?;
        self.follow.resume = None;
        self.follow.start = StartAt::Beginning;
        self.ready = true;
        self.current = Some(life);
        // What was written meanwhile, and what has happened at the path.
        self.wake.hint();
        Ok(())
    }

    /// Reads what is new, and goes on to the next file when this one is done.
    fn pass(&mut self) -> Result<Option<Trouble>, End> {
        let seen = self.look()?;
        let read = self.drain()?;
        let gone_on = match self.done() {
            true => self.leave(read.is_some())?,
            false => None,
        };
        Ok(seen.or(read).or(gone_on))
    }

    /// Looks at what stands at the path.
    fn look(&mut self) -> Result<Option<Trouble>, End> {
        let now = clock::boot();
        let found = match std::fs::metadata(&self.follow.path) {
            Ok(metadata) if metadata.is_file() => life::identity(&metadata),
            Ok(_) | Err(_) => return Ok(self.look_closer(now)),
        };
        self.away_since = None;
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        if same(&found, current.identity()) {
            current.replaced = None;
        } else {
            current.replaced.get_or_insert(now);
            let last = self
                .next
                .back()
                .map_or(current.identity(), |next| &next.opened.identity);
            if !same(&found, last) && self.next.len() < MAX_NEXT {
                let last = last.clone();
                if let Err(trouble) = self.queue(&last, now) {
                    return Ok(Some(trouble));
                }
            }
        }
        self.renew_watch(Some(found))?;
        Ok(None)
    }

    /// Why no regular file is seen at the path. The current one is read on:
    /// its writer may still have it open.
    fn look_closer(&mut self, now: Boot) -> Option<Trouble> {
        match life::open(&self.follow.path) {
            Err(Trouble::Missing) => {
                let away_for = self.away_since.get_or_insert(now).until(now);
                (away_for >= self.follow.timing.grace).then_some(Trouble::Missing)
            }
            Err(trouble) => Some(trouble),
            // It is back.
            Ok(_) => None,
        }
    }

    /// Holds the file at the path open to be read later, and before it those
    /// that stood there since `last` did.
    fn queue(&mut self, last: &FileIdentity, now: Boot) -> Result<(), Trouble> {
        let newest = match life::open(&self.follow.path) {
            Ok(opened) => opened,
            // The name is on the move; there will be a next look.
            Err(Trouble::Missing) => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        let mut found = siblings::between(&self.follow.path, last, &newest.identity);
        found.push(newest);
        found.retain(|opened| !self.holds(&opened.identity));
        for opened in found.into_iter().take(MAX_NEXT - self.next.len()) {
            if let Some(previous) = self.next.back_mut() {
                previous.replaced.get_or_insert(now);
            }
            self.next.push_back(Next {
                opened,
                replaced: None,
            });
        }
        Ok(())
    }

    fn holds(&self, identity: &FileIdentity) -> bool {
        let current = self.current.iter().map(Life::identity);
        let next = self.next.iter().map(|next| &next.opened.identity);
        current.chain(next).any(|held| same(held, identity))
    }

    /// Reads the current file to its end, and tells where that is.
    fn drain(&mut self) -> Result<Option<Trouble>, End> {
        let trouble = self.read_on()?;
        if let Some(life) = &mut self.current {
            self.outlet.tell_end(life)?;
        }
        Ok(trouble)
    }

    fn read_on(&mut self) -> Result<Option<Trouble>, End> {
        while let Some(life) = &mut self.current {
            match life.read(&mut self.buffer, clock::boot()) {
                Ok(Progress::End) => break,
                Ok(Progress::Over) => self.begin_anew()?,
                Ok(Progress::New { from, to }) => {
                    hand_over(life, &self.buffer[from..to], &mut self.outlet)?;
                    // Files that come and go meanwhile are to be held open.
                    self.look()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Some(Trouble::Unreadable(error.kind()))),
            }
            self.outlet.check()?;
        }
        Ok(None)
    }

    /// The current file was truncated.
    fn begin_anew(&mut self) -> Result<(), End> {
        let Some(life) = &mut self.current else {
            return Ok(());
        };
        self.outlet.tell_end(life)?;
        let over = life.checkpoint();
        let generation = life::draw_generation().map_err(End::Failed)?;
        let lost = life.begin_anew(generation, clock::boot());
        if lost > 0 {
            self.outlet.send(Event::Skipped {
                kind: super::SkipKind::Truncated,
                generation: over.generation,
                offset: over.offset,
                bytes: lost,
                checkpoint: over,
            })?;
        }
        self.outlet.opened(life.checkpoint())
    }

    /// Whether the current file was replaced long enough ago and does not grow
    /// any more.
    fn done(&self) -> bool {
        let timing = self.follow.timing;
        let now = clock::boot();
        let long = |since: Boot, span| since.until(now) >= span;
        !self.next.is_empty()
            && self.current.as_ref().is_some_and(|life| {
                life.replaced.is_some_and(|since| long(since, timing.grace))
                    && long(life.grew, 2 * timing.poll)
            })
    }

    /// Goes on to the next file. When the current one could not be read to
    /// its end, what is left of it is lost: waiting for it would keep the
    /// others waiting.
    fn leave(&mut self, unread: bool) -> Result<Option<Trouble>, End> {
        let Some(mut life) = self.current.take() else {
            return Ok(None);
        };
        if unread {
            let Checkpoint {
                generation, offset, ..
            } = life.checkpoint();
            let gap = Trouble::Gap { generation, offset };
            self.outlet.send(Event::Trouble(gap))?;
        } else {
            hand_over_rest(&mut life, &self.follow.accept_tail, &mut self.outlet)?;
        }
        if self.left.len() == MAX_LEFT {
            self.left.pop_front();
        }
        self.left.push_back(life.checkpoint());
        self.go_on()
    }

    fn go_on(&mut self) -> Result<Option<Trouble>, End> {
        let Some(Next { opened, replaced }) = self.next.pop_front() else {
            return Ok(None);
        };
        let known = self
            .left
            .iter()
            .rfind(|left| same(&left.identity, &opened.identity));
        let resumed = match known {
            Some(checkpoint) => Life::resume(opened, checkpoint, self.follow.units, clock::boot()),
            None => Ok(Err(opened)),
        };
        let trouble = match resumed {
            Ok(Ok(life)) => self.enter(life).map(|()| None)?,
            Ok(Err(opened)) => self.begin(opened, StartAt::Beginning)?,
            Err(error) => Some(Trouble::Unreadable(error.kind())),
        };
        if let Some(life) = &mut self.current {
            life.replaced = replaced;
        }
        Ok(trouble)
    }

    fn renew_watch(&mut self, at_path: Option<FileIdentity>) -> Result<(), End> {
        if at_path.is_some() && self.watched == at_path {
            return Ok(());
        }
        self.watched = at_path;
        match self.watch.renew(&self.wake) {
            None => Ok(()),
            Some(text) => self.outlet.send(Event::Trouble(Trouble::Unwatched(text))),
        }
    }

    fn report(&mut self, trouble: Option<Trouble>) -> Result<(), End> {
        if trouble == self.trouble {
            return Ok(());
        }
        self.trouble.clone_from(&trouble);
        self.outlet.send(match trouble {
            Some(trouble) => Event::Trouble(trouble),
            None => Event::Recovered,
        })
    }
}
