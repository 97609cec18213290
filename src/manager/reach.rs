//! Which lines can have been read before. An action of such a line may be
//! known; of any other it need not be looked up.
//!
//! A line can have been read before by an earlier life of this manager, or in
//! this one, as by a source that a reload has taken away and given back:
//! - An earlier life has read nothing beyond the end that the file had when this
//!   life began to read it, and no two managers run at a time.
//! - What stands in a life of a file ([`Generation`]) that is drawn in this life
//!   of the manager, no other has read: a generation is stored, and on the disk,
//!   before any of its lines is used, and is read on from where it is stored.
//! - How far this life has come it notes here.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::position::{Checkpoint, Generation};
use crate::source::Line;

/// Lives of files that are kept in mind. Lines of others may have been read.
const MAX_LIVES: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Before which offset lines may have been read.
    ends: HashMap<Generation, u64>,
}

impl Reach {
    /// A file is about to be read on from this position. What its path leads to
    /// may be another one by now; then nothing is known about its end.
    pub(super) fn resumes(&mut self, stored: &Checkpoint, path: &Path) {
        let same = std::fs::metadata(path).ok().filter(|there| {
            let identity = &stored.identity;
            (there.dev(), there.ino()) == (identity.dev, identity.ino)
        });
        let size = same.map_or(u64::MAX, |there| there.len());
        let end = self.ends.entry(stored.generation).or_default();
        *end = size.max(*end);
    }

    /// How far an earlier life of the manager has read this life of a file is not
    /// known.
    pub(super) fn may_be_read(&mut self, generation: Generation) {
        self.ends.insert(generation, u64::MAX);
    }

    /// A life of a file is read from here on, by this life of the manager for the
    /// first time unless it is in here.
    pub(super) fn opened(&mut self, generation: Generation) {
        if self.ends.len() >= MAX_LIVES {
            // Of these nothing is known that may be forgotten.
            self.ends.retain(|_, end| *end == u64::MAX);
        }
        self.ends.entry(generation).or_default();
    }

    /// Whether this line cannot have been read before. From now on it has.
    pub(super) fn is_new(&mut self, line: &Line) -> bool {
        let Some(end) = self.ends.get_mut(&line.generation) else {
            return false;
        };
        let is_new = *end <= line.offset;
        if is_new {
            *end = line.offset + 1;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::{MAX_LIVES, Reach};
    use crate::model::position::{Checkpoint, FileIdentity, Generation};
    use crate::source::Line;

    fn line(generation: u64, offset: u64) -> Line {
        Line {
            offset,
            generation: Generation(generation),
            bytes: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_new_once_and_in_a_life_that_was_seen_to_begin() {
        let mut reach = Reach::default();
        assert!(!reach.is_new(&line(1, 0)));
        reach.opened(Generation(1));
        assert!(reach.is_new(&line(1, 0)) && reach.is_new(&line(1, 70)));
        assert!(!reach.is_new(&line(1, 0)) && !reach.is_new(&line(1, 70)));
        // Another source has it, or the same one again.
        reach.opened(Generation(1));
        assert!(!reach.is_new(&line(1, 70)) && reach.is_new(&line(1, 71)));
        for number in 2..=MAX_LIVES as u64 + 1 {
            reach.opened(Generation(number));
        }
        assert!(!reach.is_new(&line(1, 99)), "it was forgotten");
    }

    #[test]
    fn what_stood_in_a_file_before_it_was_read_on_may_have_been_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(100).unwrap();
        let there = std::fs::metadata(&path).unwrap();
        let mut stored = Checkpoint {
            generation: Generation(1),
            identity: FileIdentity {
                dev: there.dev(),
                ino: there.ino(),
                btime_ns: None,
            },
            offset: 10,
            tail_hash: 0,
        };
        let mut reach = Reach::default();
        reach.resumes(&stored, &path);
        reach.opened(Generation(1));
        assert!(!reach.is_new(&line(1, 10)) && !reach.is_new(&line(1, 99)));
        assert!(reach.is_new(&line(1, 100)));
        // Another file stands there: where the old one ends is not known.
        stored.identity.ino += 1;
        stored.generation = Generation(2);
        reach.resumes(&stored, &path);
        reach.opened(Generation(2));
        assert!(!reach.is_new(&line(2, 1_000)));
    }
}
