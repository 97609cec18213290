//! `logs/responses.json`: one object a line for every state of every action.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::Record;

/// The writer of the file. There is one per file.
///
/// A line is appended whole by one `write`, or not at all as far as a reader
/// can tell: what a crash or a full disk has torn is ended with a newline
/// before anything follows it.
#[derive(Debug)]
pub struct ResponsesLog {
    path: PathBuf,
    file: File,
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
        let mut log = Self {
            torn: ends_torn(&file)?,
            path: path.to_owned(),
            file,
        };
        log.end_torn_line()?;
        Ok(log)
    }

    /// Appends the records, to a new file if this one was renamed or removed.
    ///
    /// # Errors
    /// One of the records could not be written whole; those before it are, those
    /// after it are not. Appending all of them again is harmless: readers know a
    /// repeated line by `action` and `state`.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.moved() {
            *self = Self::open(&self.path)?;
        }
        for record in records {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            self.end_torn_line()?;
            self.write(&line)?;
        }
        Ok(())
    }

    /// Waits until what was appended is on disk.
    ///
    /// # Errors
    /// As fdatasync(2).
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.torn {
            self.write(b"\n")?;
            self.torn = false;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(written) => break written,
            }
        };
        if written == bytes.len() {
            return Ok(());
        }
        // Taking the part back would look like a truncation to whoever follows
        // the file, and make them read all of it again.
        self.torn |= written > 0;
        Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("only {written} of {} bytes could be written", bytes.len()),
        ))
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

fn ends_torn(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let mut last = *b"\n";
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    Ok(last != *b"\n")
}
