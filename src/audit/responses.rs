//! `logs/responses.json`: one object a line for every state of every action.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::model::Record;

/// Bytes of lines that are written together, give or take a line.
const AT_ONCE: usize = 256 * 1024;

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct AppendError {
    /// How many of them stand.
    pub written: usize,
    #[source]
    source: io::Error,
}

/// The writer of the file. There is one per file.
///
/// A line is appended whole by one `write`, often with others, or not at all as
/// far as a reader can tell: what a crash or a full disk has torn is ended with a newline
/// before anything follows it.
#[derive(Debug)]
pub struct ResponsesLog {
    path: PathBuf,
    file: Arc<File>,
    /// Where whoever syncs finds the file that is written to.
    shared: Arc<Mutex<Arc<File>>>,
    /// Whether the file ends in the middle of a line.
    torn: bool,
}

impl ResponsesLog {
    /// Opens the file, or makes it with mode 0640, and ends a torn last line.
    ///
    /// # Errors
    /// The file cannot be opened, or a torn line cannot be ended.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)?;
        let file = Arc::new(file);
        let mut log = Self {
            torn: ends_torn(&file)?,
            path: path.to_owned(),
            shared: Arc::new(Mutex::new(Arc::clone(&file))),
            file,
        };
        log.end_torn_line()?;
        Ok(log)
    }

    /// Appends the records, to a new file if this one was renamed or removed: many
    /// lines with one `write`.
    ///
    /// # Errors
    /// One of the records could not be written whole; those before it are, those
    /// after it are not. Appending any of them again is harmless: readers know a
    /// repeated line by `action` and `state`.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(), AppendError> {
        let mut written = 0;
        let append = || {
            if self.moved() {
                self.reopen()?;
            }
            let mut lines = Lines::default();
            for record in records {
                lines.push(record)?;
                if lines.bytes.len() >= AT_ONCE {
                    self.write_lines(&mut lines, &mut written)?;
                }
            }
            self.write_lines(&mut lines, &mut written)
        };
        append().map_err(|source| AppendError { written, source })
    }

    /// Writes lines that were gathered. `written` grows by those that stand whole.
    fn write_lines(&mut self, lines: &mut Lines, written: &mut usize) -> io::Result<()> {
        if lines.bytes.is_empty() {
            return Ok(());
        }
        self.end_torn_line()?;
        let (bytes, outcome) = self.write(&lines.bytes);
        let whole = lines.ends.partition_point(|end| *end <= bytes);
        *written += whole;
        // Taking the part back would look like a truncation to whoever follows
        // the file, and make them read all of it again.
        let last = whole.checked_sub(1).map_or(0, |at| lines.ends[at]);
        self.torn = last < bytes;
        lines.bytes.clear();
        lines.ends.clear();
        outcome
    }

    /// What waits, on whichever thread, until all that was appended is on the
    /// disk. Fails as fdatasync(2) does.
    pub fn syncer(&self) -> impl Fn() -> io::Result<()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let file = Arc::clone(&shared.lock().expect("no holder of this lock panics"));
            match file.sync_data() {
                // No file on a disk, such as /dev/null (fsync(2)).
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                done => done,
            }
        }
    }

    /// Goes on in a new file.
    fn reopen(&mut self) -> io::Result<()> {
        // Nobody syncs this one any more.
        self.syncer()()?;
        let Self {
            file, torn, shared, ..
        } = Self::open(&self.path)?;
        drop(shared);
        *self.shared.lock().expect("no holder of this lock panics") = Arc::clone(&file);
        (self.file, self.torn) = (file, torn);
        Ok(())
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.torn {
            self.write(b"\n").1?;
            self.torn = false;
        }
        Ok(())
    }

    /// How many bytes were written, which on a full disk may be some of them, and
    /// what kept the others from it.
    fn write(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let written = loop {
            match (&*self.file).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (0, Err(error)),
                Ok(written) => break written,
            }
        };
        if written == bytes.len() {
            return (written, Ok(()));
        }
        let error = io::Error::new(
            io::ErrorKind::WriteZero,
            format!("only {written} of {} bytes could be written", bytes.len()),
        );
        (written, Err(error))
    }

    /// Whether the path leads to another file, or to none.
    fn moved(&self) -> bool {
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => place(there) != place(here),
            // Opening it again makes it, or says what is wrong.
            (Err(_), _) | (_, Err(_)) => true,
        }
    }
}

/// Lines that are written together.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Lines {
    fn push(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.bytes, record)?;
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        Ok(())
    }
}

fn ends_torn(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let mut last = *b"\n";
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::ResponsesLog;

    #[test]
    fn what_is_synced_is_the_file_that_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("responses.json");
        let mut log = ResponsesLog::open(&path).unwrap();
        let syncer = log.syncer();
        let is_shared = |log: &ResponsesLog| Arc::ptr_eq(&log.file, &log.shared.lock().unwrap());
        assert!(is_shared(&log));
        syncer().unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        symlink("/dev/null", &path).unwrap();
        log.append(&[]).unwrap();
        assert!(is_shared(&log));
        assert!(Arc::strong_count(&log.shared) > 1);
        syncer().unwrap();
    }
}
