//! The files of a configuration, as bytes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest real files have 100 KiB.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// A file, or why there is none.
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Result<Vec<u8>, Unreadable>,
}

/// What to say of a file that cannot be read.
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

impl Text {
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Self {
        let bytes = if bytes.len() > MAX_BYTES {
            Err(Unreadable {
                message: format!("is larger than {} MiB", MAX_BYTES >> 20),
                hint: "a configuration is smaller: is this the right file?",
            })
        } else {
            Ok(bytes.to_vec())
        };
        Self {
            path: path.to_owned(),
            bytes,
        }
    }

    pub(crate) fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        // One byte more than is allowed tells a file that is too large.
        let limit = u64::try_from(MAX_BYTES + 1).expect("a small number");
        match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) => Self::new(path, &bytes),
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::NotFound => "name another with --config, or another --home",
                    io::ErrorKind::PermissionDenied => "run this as root, or as the file's owner",
                    _ => "look whether it is a file, and whether its disk is well",
                };
                Self {
                    path: path.to_owned(),
                    bytes: Err(Unreadable {
                        message: format!("cannot be read: {error}"),
                        hint,
                    }),
                }
            }
        }
    }
}

/// The files of a configuration: `path`, and behind the `manager.conf` of a home
/// those of `manager.d`.
pub(crate) fn of_manager(path: &Path, home: Option<&Path>) -> Vec<Text> {
    let mut texts = vec![Text::read(path)];
    let Some(dir) = overlays_of(path, home) else {
        return texts;
    };
    match overlays(&dir) {
        Ok(paths) => texts.extend(paths.iter().map(|path| Text::read(path))),
        Err(error) => texts.push(Text {
            path: dir,
            bytes: Err(Unreadable {
                message: format!("cannot be read: {error}"),
                hint: "the files in it belong to the configuration; make it readable",
            }),
        }),
    }
    texts
}

/// The paths of a configuration in the order they are read, for those who wait
/// for changes. A folder that cannot be read counts as empty.
pub fn of_configuration(path: &Path, home: &Path) -> Vec<PathBuf> {
    let overlays = overlays_of(path, Some(home)).and_then(|dir| overlays(&dir).ok());
    let mut paths = vec![path.to_owned()];
    paths.extend(overlays.unwrap_or_default());
    paths
}

/// Where the overlay files of a configuration lie, if it is the home's own.
pub(crate) fn overlays_of(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let own = home?.join("etc/manager.conf");
    let is_own = match (path.canonicalize(), own.canonicalize()) {
        (Ok(path), Ok(own)) => path == own,
        (Err(_), _) | (_, Err(_)) => path == own,
    };
    is_own.then(|| own.with_file_name("manager.d"))
}

/// The files of a folder that are read, in the order of their names. What
/// editors and packages leave there ends otherwise, or is hidden.
pub(crate) fn overlays(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.ends_with(b".conf") && !name.starts_with(b".") && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
