//! Many files as one source: every regular file whose path fits a pattern.
//!
//! One thread reads them all, some of each in its turn, so that one at full
//! speed keeps none waiting. A file is known by its identity, not by its name:
//! one that is renamed to another name that fits, as rotation does, is read on
//! and not again, one with two names is read once, and a restart finds each
//! where it was left. A file that appears later is read from its beginning; one
//! whose names are gone is read to its end, for a while longer because its
//! writer may not know yet, and then let go.
//!
//! What cannot be had: what of a file is not read yet when it loses its last
//! name that fits while nobody reads, and to know a copy (`copytruncate`) from a
//! file that is new. Compressed files are left out by their names.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::life::{self, Life, Opened, Progress, same};
use super::outlet::{End, Outlet, hand_over, hand_over_rest};
use super::wake::{Wake, Watches};
use super::{Event, Gather, SkipKind, StartAt, Trouble};
use crate::clock::{self, Boot};
use crate::model::glob::{Glob, Part};
use crate::model::position::{Checkpoint, FileIdentity};

/// Entries of directories that are looked at in one search.
const MAX_ENTRIES: usize = 10_000;

/// Files that were let go and would be known again.
const MAX_LEFT: usize = 256;

/// Endings of files that cannot be read line by line.
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lz4"];

struct Held {
    life: Life,
    /// Since when no name that fits leads to it.
    gone: Option<Boot>,
}

pub(super) struct Gatherer {
    gather: Gather,
    outlet: Outlet,
    wake: Arc<Wake>,
    watches: Watches,
    held: Vec<Held>,
    left: VecDeque<Checkpoint>,
    /// Whether the owner knows that the source is ready.
    ready: bool,
    /// The lasting trouble that the owner knows of.
    trouble: Option<Trouble>,
    empty_since: Option<Boot>,
    looked: Option<Boot>,
    buffer: Vec<u8>,
}

impl Gatherer {
    pub(super) fn new(mut gather: Gather, outlet: Outlet, wake: Arc<Wake>) -> Self {
        let left = std::mem::take(&mut gather.resume).into();
        Self {
            gather,
            outlet,
            wake,
            watches: Watches::default(),
            held: Vec::new(),
            left,
            ready: false,
            trouble: None,
            empty_since: None,
            looked: None,
            buffer: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let Err(end) = self.work();
        end.into_result()
    }

    fn work(&mut self) -> Result<Infallible, End> {
        loop {
            let seen = self.look_if_due()?;
            if !std::mem::replace(&mut self.ready, true) {
                self.outlet.send(Event::Listening)?;
            }
            let (more, read) = self.turn()?;
            self.let_go()?;
            if let Some(seen) = seen {
                self.report(seen.or(read))?;
            }
            self.outlet.check()?;
            if !more {
                self.wake.wait(self.gather.timing.poll);
            }
        }
    }

    /// Searches for files, if that was not done just now. `None`: it was.
    fn look_if_due(&mut self) -> Result<Option<Option<Trouble>>, End> {
        let now = clock::boot();
        let is_due = |looked: Boot| looked.until(now) >= self.gather.timing.poll;
        if !self.looked.is_none_or(is_due) {
            return Ok(None);
        }
        self.looked = Some(now);
        self.look(now).map(Some)
    }

    fn look(&mut self, now: Boot) -> Result<Option<Trouble>, End> {
        let search = search(&self.gather.base, &self.gather.pattern);
        if let Some(text) = self.watches.renew(&search.directories, &self.wake) {
            self.outlet.send(Event::Trouble(Trouble::Unwatched(text)))?;
        }
        let mut trouble = search.trouble;
        let mut new: Vec<Opened> = Vec::new();
        let mut seen = vec![false; self.held.len()];
        for path in search.files {
            let identity = match fs::metadata(&path) {
                Ok(there) if there.is_file() => life::identity(&there),
                // What is gone, or no file, is not meant.
                Ok(_) | Err(_) => continue,
            };
            if let Some(at) = self.position(&identity) {
                seen[at] = true;
            } else if new.iter().any(|opened| same(&opened.identity, &identity)) {
                // One more name of it.
            } else if self.held.len() + new.len() >= self.gather.most {
                trouble = Some(Trouble::TooManyFiles(self.gather.most));
            } else {
                match life::open(&path) {
                    Ok(opened) => new.push(opened),
                    Err(Trouble::Missing | Trouble::NotAFile(_)) => {}
                    Err(other) => trouble = Some(other),
                }
            }
        }
        for (held, seen) in self.held.iter_mut().zip(seen) {
            match seen {
                true => held.gone = None,
                false => drop(held.gone.get_or_insert(now)),
            }
        }
        self.take_up(new, now)?;
        self.gather.start = StartAt::Beginning;
        Ok(trouble.or_else(|| self.emptiness(now)))
    }

    fn position(&self, identity: &FileIdentity) -> Option<usize> {
        let held = |held: &Held| same(held.life.identity(), identity);
        self.held.iter().position(held)
    }

    /// That no file is there, and was not for longer than a rotation takes.
    fn emptiness(&mut self, now: Boot) -> Option<Trouble> {
        if !self.held.is_empty() {
            self.empty_since = None;
            return None;
        }
        let since = *self.empty_since.get_or_insert(now);
        (since.until(now) >= self.gather.timing.grace).then_some(Trouble::NoFile)
    }

    /// Begins with files that were found, once their positions are stored.
    fn take_up(&mut self, new: Vec<Opened>, now: Boot) -> Result<(), End> {
        let from = self.held.len();
        for opened in new {
            // A file can be moved while the names are listed.
            if self.position(&opened.identity).is_none()
                && let Some(life) = self.life(opened, now)?
            {
                self.held.push(Held { life, gone: None });
            }
        }
        let checkpoints = self.held[from..].iter().map(|held| held.life.checkpoint());
        let checkpoints: Vec<_> = checkpoints.collect();
        self.outlet.opened_all(checkpoints)
    }

    /// The life of a file: the one that is known of it, or a new one. `None`: it
    /// cannot be read now, and is found again.
    fn life(&mut self, opened: Opened, now: Boot) -> Result<Option<Life>, End> {
        let known = self
            .left
            .iter()
            .rposition(|left| same(&left.identity, &opened.identity))
            .and_then(|at| self.left.remove(at));
        let (opened, start) = match known {
            None => (opened, self.gather.start),
            Some(known) => match Life::resume(opened, &known, self.gather.units, now) {
                Ok(Ok(life)) => return Ok(Some(life)),
                Ok(Err(opened)) => {
                    let Checkpoint {
                        generation, offset, ..
                    } = known;
                    let gap = Trouble::Gap { generation, offset };
                    self.outlet.send(Event::Trouble(gap))?;
                    (opened, StartAt::Beginning)
                }
                Err(_) => {
                    self.left.push_back(known);
                    return Ok(None);
                }
            },
        };
        if opened.writable_by_others {
            let trouble = Trouble::WritableByOthers;
            self.outlet.send(Event::Trouble(trouble))?;
        }
        let generation = life::draw_generation().map_err(End::Failed)?;
        let how = (start, self.gather.units);
        Ok(Life::begin(opened, generation, how, now).ok())
    }

    /// Reads some of each file. Answers whether there may be more.
    fn turn(&mut self) -> Result<(bool, Option<Trouble>), End> {
        let mut more = false;
        let mut trouble = None;
        for held in &mut self.held {
            match held.life.read(&mut self.buffer, clock::boot()) {
                Ok(Progress::End) => self.outlet.tell_end(&mut held.life)?,
                Ok(Progress::Over) => {
                    more = true;
                    begin_anew(&mut held.life, &mut self.outlet)?;
                }
                Ok(Progress::New { from, to }) => {
                    more = true;
                    hand_over(&mut held.life, &self.buffer[from..to], &mut self.outlet)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => more = true,
                Err(error) => {
                    trouble = Some(Trouble::Unreadable(error.kind()));
                    self.outlet.tell_end(&mut held.life)?;
                }
            }
        }
        Ok((more, trouble))
    }

    /// Lets go of files that are gone for long enough and do not grow any more.
    fn let_go(&mut self) -> Result<(), End> {
        let timing = self.gather.timing;
        let now = clock::boot();
        let is_over = |held: &mut Held| {
            let long = |gone: Boot| gone.until(now) >= timing.grace;
            held.gone.is_some_and(long) && held.life.grew.until(now) >= 2 * timing.poll
        };
        let over: Vec<Held> = self.held.extract_if(.., is_over).collect();
        for Held { mut life, .. } in over {
            hand_over_rest(&mut life, &self.gather.accept_tail, &mut self.outlet)?;
            if self.left.len() >= MAX_LEFT {
                self.left.pop_front();
            }
            self.left.push_back(life.checkpoint());
        }
        Ok(())
    }

    fn report(&mut self, trouble: Option<Trouble>) -> Result<(), End> {
        if trouble == self.trouble {
            return Ok(());
        }
        self.trouble.clone_from(&trouble);
        self.outlet
            .send(trouble.map_or(Event::Recovered, Event::Trouble))
    }
}

/// The file was truncated.
fn begin_anew(life: &mut Life, outlet: &mut Outlet) -> Result<(), End> {
    outlet.tell_end(life)?;
    let over = life.checkpoint();
    let generation = life::draw_generation().map_err(End::Failed)?;
    let lost = life.begin_anew(generation, clock::boot());
    if lost > 0 {
        outlet.send(Event::Skipped {
            kind: SkipKind::Truncated,
            generation: over.generation,
            offset: over.offset,
            bytes: lost,
            checkpoint: over,
        })?;
    }
    outlet.opened(life.checkpoint())
}

/// What a search has found.
#[derive(Default)]
struct Search {
    /// In the order of their names.
    files: Vec<PathBuf>,
    /// Where files can appear.
    directories: Vec<PathBuf>,
    trouble: Option<Trouble>,
}

fn search(base: &Path, pattern: &Glob) -> Search {
    let mut found = Search::default();
    let root = if pattern.is_absolute() {
        Path::new("/")
    } else {
        base
    };
    let mut room = MAX_ENTRIES;
    descend(root, pattern.parts(), &mut room, &mut found);
    found
}

/// Goes from name to name of the pattern, which has as many as it is deep.
fn descend(directory: &Path, parts: &[Part], room: &mut usize, found: &mut Search) {
    let Some((part, rest)) = parts.split_first() else {
        return;
    };
    if rest.is_empty() {
        found.directories.push(directory.to_owned());
    }
    let names = match part {
        Part::Name(name) => vec![directory.join(name)],
        Part::Names(_) => names(directory, part, room, found),
    };
    for path in names {
        match rest.is_empty() {
            true if is_compressed(&path) => {}
            true => found.files.push(path),
            false => descend(&path, rest, room, found),
        }
    }
}

fn names(directory: &Path, part: &Part, room: &mut usize, found: &mut Search) -> Vec<PathBuf> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            // A pattern may lead through what is no directory, and to what is not
            // there yet.
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) {
                found.trouble = Some(Trouble::Unreadable(error.kind()));
            }
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        if *room == 0 {
            found.trouble = Some(Trouble::TooManyFiles(MAX_ENTRIES));
            break;
        }
        *room -= 1;
        let name = entry.file_name();
        let fits = match part {
            Part::Names(names) => name.to_str().is_some_and(|name| names.fits(name)),
            Part::Name(wanted) => name == wanted.as_str(),
        };
        if fits {
            names.push(entry.path());
        }
    }
    names.sort();
    names
}

fn is_compressed(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    COMPRESSED.iter().any(|end| name.ends_with(end.as_bytes()))
}
