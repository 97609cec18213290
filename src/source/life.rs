//! One life of a file: an open descriptor, how far it is read, and whether it
//! still is the life it was.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::mark::{Mark, TAIL};
use super::outlet::Told;
use super::records::{RECORD, Records};
use super::split::{Cut, Splitter};
use super::{MAX_LINE, StartAt, Trouble, Units};
use crate::clock::Boot;
use crate::model::position::{Checkpoint, FileIdentity, Generation};

/// How much is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// How many of the bytes that were read are compared at the next read. Lines
/// of one attack often are alike in their last hundreds of bytes and in their
/// length; several whole lines are not.
const OVERLAP: usize = 4 << 10;

/// A regular file that is open, whether it is read yet or not. While it is
/// open, no other file can have its device and inode number.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) identity: FileIdentity,
    pub(super) writable_by_others: bool,
}

/// Opens a regular file. Whatever else stands there is not opened, since that
/// can block or have effects.
pub(super) fn open(path: &Path) -> Result<Opened, Trouble> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Trouble::Missing,
        kind => Trouble::Unreadable(kind),
    };
    require_regular(&std::fs::metadata(path).map_err(failed)?)?;
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(nonblock).expect("open(2) takes the flags as an int"))
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    require_regular(&metadata)?;
    Ok(Opened {
        file,
        identity: identity(&metadata),
        writable_by_others: metadata.mode() & 0o002 != 0,
    })
}

fn require_regular(metadata: &Metadata) -> Result<(), Trouble> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(Trouble::NotAFile(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

/// How the file is recognised.
pub(super) fn identity(metadata: &Metadata) -> FileIdentity {
    let born = metadata.created().ok();
    let since_epoch = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    FileIdentity {
        dev: metadata.dev(),
        ino: metadata.ino(),
        btime_ns: since_epoch.and_then(|time| i64::try_from(time.as_nanos()).ok()),
    }
}

/// Draws the name of a life.
pub(super) fn draw_generation() -> io::Result<Generation> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(Generation(u64::from_ne_bytes(bytes)))
}

/// What one read has shown.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// So many new bytes, which begin at this index of the buffer.
    New { from: usize, to: usize },
    /// Nothing new.
    End,
    /// The file is shorter than what was read of it, or other bytes stand where
    /// it was read: this life is over.
    Over,
}

/// Size and times of a file; while they stay the same there is nothing new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

#[derive(Debug)]
pub(super) struct Life {
    file: File,
    identity: FileIdentity,
    generation: Generation,
    units: Units,
    pub(super) splitter: Splitter,
    pub(super) told: Told,
    /// How far the file is read.
    read_to: Mark<OVERLAP>,
    /// When the file was last looked at and read to its end.
    stamp: Option<Stamp>,
    /// The largest size seen in this life.
    size: u64,
    /// When it last grew.
    pub(super) grew: Boot,
    /// Since when the path is known to lead elsewhere.
    pub(super) replaced: Option<Boot>,
}

/// Where in a life reading begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    generation: Generation,
    offset: u64,
}

/// What tells positions in a life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) generation: Generation,
    identity: &'a FileIdentity,
}

impl Name<'_> {
    pub(super) fn checkpoint_at(&self, mark: &Mark) -> Checkpoint {
        Checkpoint {
            generation: self.generation,
            identity: self.identity.clone(),
            offset: mark.offset(),
            tail_hash: mark.hash(),
        }
    }
}

impl Life {
    /// A life that is read from this place on.
    fn at(opened: Opened, place: Place, units: Units, now: Boot) -> io::Result<Self> {
        let Place { generation, offset } = place;
        let records = match units {
            Units::LinesAndRecords if offset > 0 => Records::Unknown.after(&head(&opened.file)?),
            Units::Lines | Units::LinesAndRecords => units.records(),
        };
        Ok(Self {
            splitter: Splitter::new(mark(&opened.file, offset)?, records),
            read_to: mark(&opened.file, offset)?,
            file: opened.file,
            identity: opened.identity,
            generation,
            units,
            told: Told::now(offset),
            stamp: None,
            size: offset,
            grew: now,
            replaced: None,
        })
    }

    /// A life that begins with `generation`.
    pub(super) fn begin(
        opened: Opened,
        generation: Generation,
        (start, units): (StartAt, Units),
        now: Boot,
    ) -> io::Result<Self> {
        let offset = match start {
            StartAt::Beginning => 0,
            StartAt::End => last_line_end(&opened.file)?,
        };
        Self::at(opened, Place { generation, offset }, units, now)
    }

    /// The life that `checkpoint` speaks of, if this is its file and nothing
    /// says that it was truncated since; otherwise the file comes back.
    pub(super) fn resume(
        opened: Opened,
        checkpoint: &Checkpoint,
        units: Units,
        now: Boot,
    ) -> io::Result<Result<Self, Opened>> {
        if !same(&opened.identity, &checkpoint.identity)
            || opened.file.metadata()?.len() < checkpoint.offset
            || mark::<TAIL>(&opened.file, checkpoint.offset)?.hash() != checkpoint.tail_hash
        {
            return Ok(Err(opened));
        }
        let place = Place {
            generation: checkpoint.generation,
            offset: checkpoint.offset,
        };
        Self::at(opened, place, units, now).map(Ok)
    }

    /// Becomes the next life of the same file. Answers how many bytes of this
    /// one are known to be lost: those that were in the file and not taken.
    pub(super) fn begin_anew(&mut self, generation: Generation, now: Boot) -> u64 {
        let lost = self.size.saturating_sub(self.splitter.end().offset());
        self.generation = generation;
        self.splitter = Splitter::new(Mark::START, self.units.records());
        self.told = Told::now(0);
        self.read_to = Mark::START;
        self.stamp = None;
        self.size = 0;
        self.grew = now;
        lost
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// The position after the last piece.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.name().checkpoint_at(self.splitter.end())
    }

    fn name(&self) -> Name<'_> {
        Name {
            generation: self.generation,
            identity: &self.identity,
        }
    }

    /// Cuts what was read, and names what is cut.
    pub(super) fn cut<'a>(&'a mut self, chunk: &'a [u8]) -> (Cut<'a>, Name<'a>, &'a mut Told) {
        let name = Name {
            generation: self.generation,
            identity: &self.identity,
        };
        (self.splitter.cut(chunk), name, &mut self.told)
    }

    /// Reads what follows, at most [`CHUNK`] bytes, into `buffer`.
    ///
    /// Each read begins with bytes that were read before: a file that was
    /// truncated and has grown past the position again shows other bytes there.
    /// One call reads both, so nothing can happen in between.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, now: Boot) -> io::Result<Progress> {
        let stamp = stamp(&self.file.metadata()?);
        if stamp.size < self.read_to.offset() {
            return Ok(Progress::Over);
        }
        if self.stamp == Some(stamp) {
            return Ok(Progress::End);
        }
        let known = self.read_to.bytes().len();
        buffer.resize(OVERLAP + CHUNK, 0);
        let wanted = &mut buffer[..known + CHUNK];
        let count = self
            .file
            .read_at(wanted, self.read_to.offset() - known as u64)?;
        if count < known || buffer[..known] != *self.read_to.bytes() || !self.head_stands()? {
            return Ok(Progress::Over);
        }
        self.size = self.size.max(stamp.size);
        if count == known {
            self.stamp = Some(stamp);
            return Ok(Progress::End);
        }
        self.read_to.advance(&buffer[known..count]);
        self.size = self.size.max(self.read_to.offset());
        self.grew = now;
        Ok(Progress::New {
            from: known,
            to: count,
        })
    }

    /// Whether the line that is held still begins as it did: the middle of a
    /// long line can be like that of any other.
    fn head_stands(&self) -> io::Result<bool> {
        let Some(head) = self.splitter.held_head(OVERLAP) else {
            return Ok(true);
        };
        let mut there = [0; TAIL];
        let count = self
            .file
            .read_at(&mut there, self.splitter.end().offset())?;
        Ok(there[..count] == *head)
    }
}

/// Whether both are the same file. A birth time that is not known on one side
/// says nothing.
pub(super) fn same(a: &FileIdentity, b: &FileIdentity) -> bool {
    let born = match (a.btime_ns, b.btime_ns) {
        (Some(a), Some(b)) => a == b,
        (Some(_), None) | (None, Some(_)) | (None, None) => true,
    };
    a.dev == b.dev && a.ino == b.ino && born
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        size: metadata.len(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        ctime: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn mark<const N: usize>(file: &File, offset: u64) -> io::Result<Mark<N>> {
    let from = offset.saturating_sub(N as u64);
    let mut bytes = vec![0; usize::try_from(offset - from).expect("at most N")];
    file.read_exact_at(&mut bytes, from)?;
    Ok(Mark::new(offset, &bytes))
}

/// The first bytes, by which a file of records is known.
fn head(file: &File) -> io::Result<[u8; RECORD.len()]> {
    let mut head = [0; RECORD.len()];
    // Of a file that is shorter, what is not there is no beginning of a record.
    file.read_at(&mut head, 0)?;
    Ok(head)
}

/// The offset behind the last newline. When there is none within the longest
/// line, an offset from which the rest is a line that is too long.
fn last_line_end(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(MAX_LINE as u64 + 1);
    let mut bytes = vec![0; usize::try_from(size - from).expect("at most MAX_LINE + 1")];
    file.read_exact_at(&mut bytes, from)?;
    Ok(memchr::memrchr(b'\n', &bytes).map_or(from, |at| from + at as u64 + 1))
}
