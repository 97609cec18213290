//! A file that grows, and how often something has been written to it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::home::Home;

/// How often is looked; it is also the resolution.
const LOOK: Duration = Duration::from_millis(5);

const PATIENCE: Duration = Duration::from_secs(300);

pub struct Counted {
    path: PathBuf,
    file: File,
    what: &'static [u8],
    found: u32,
    rest: Vec<u8>,
}

impl Counted {
    /// What stands there already does not count.
    pub fn of(home: &Home, name: &str, what: &'static [u8]) -> Self {
        let path = home.file(name);
        let mut file = File::open(&path).unwrap();
        file.read_to_end(&mut Vec::new()).unwrap();
        Self {
            path,
            file,
            what,
            found: 0,
            rest: Vec::new(),
        }
    }

    /// Waits for so many and returns how long that took.
    pub fn wait(&mut self, count: u32, since: Instant) -> Duration {
        while self.found < count {
            assert!(
                since.elapsed() < PATIENCE,
                "{} of {count} in {}",
                self.found,
                self.path.display()
            );
            sleep(LOOK);
            self.look();
        }
        since.elapsed()
    }

    fn look(&mut self) {
        self.file.read_to_end(&mut self.rest).unwrap();
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let whole = self.rest.drain(..whole.map_or(0, |end| end + 1));
        let text = whole.collect::<Vec<u8>>();
        let found = memchr::memmem::find_iter(&text, self.what).count();
        self.found += u32::try_from(found).unwrap();
    }
}
