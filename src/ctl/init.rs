//! A new home, and new bundled executables for an old one.
//!
//! What this makes belongs to the caller. The configuration is written last: a
//! home that was left half-made by a crash has none, so no daemon starts in it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::daemon::exit;
use crate::model::bundled::{BUNDLED, Bundled};
use crate::sys::exe::{ExeError, Home, RECORD};

/// What the host of a home does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// It runs a manager, and an agent beside it.
    Manager,
    /// It is only an agent.
    Agent,
}

/// The folders of every home, parents first.
const FOLDERS: &[(&str, u32)] = &[
    ("etc", 0o750),
    ("etc/tls", 0o700),
    ("etc/lists", 0o700),
    ("active-response", 0o750),
    (EXECUTABLES, 0o750),
    ("logs", 0o750),
    (QUEUE, 0o700),
];
const EXECUTABLES: &str = "active-response/bin";
const QUEUE: &str = "queue";

/// The name of an agent's file, and what it holds at first.
pub(crate) const AGENT_CONFIGURATION: (&str, &str) =
    ("agent.conf", include_str!("../../etc/agent.conf"));
const MANAGER_CONFIGURATION: (&str, &str) =
    ("manager.conf", include_str!("../../etc/manager.conf"));

impl Role {
    /// The folders that only this role has.
    fn own_folders(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Manager => &[("logs/alerts", 0o750)],
            Self::Agent => &[],
        }
    }

    fn configuration(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Manager => &[AGENT_CONFIGURATION, MANAGER_CONFIGURATION],
            Self::Agent => &[AGENT_CONFIGURATION],
        }
    }

    /// What a person does next with the new home.
    fn next(self, home: &Path) -> String {
        let home = home.display();
        match self {
            Self::Manager => format!(
                "look through {home}/etc/manager.conf, then start `ripost-manager --home {home}` \
                 and `ripost-agentd --home {home}`"
            ),
            Self::Agent => format!(
                "get a token with `ripostctl enroll token` on the manager, use it here with \
                 `ripost-agentd --home {home} enroll --manager HOST:PORT --token -`, then start \
                 `ripost-agentd --home {home}`"
            ),
        }
    }
}

/// Why there is no new home.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("make a home in {}: it is not empty\n(name an empty or a new directory; `ripostctl init --refresh {}` renews the bundled executables of a home)", .0.display(), .0.display())]
    NotEmpty(PathBuf),
    #[error("make a home in {}: it is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error(transparent)]
    Untrusted(#[from] ExeError),
    #[error("make a home in {}: {} does not exist\n(make it first, or name another place)", .path.display(), .parent.display())]
    NoParent { path: PathBuf, parent: PathBuf },
    #[error("refresh {}: it is no home, {missing} is missing\n(make one with `ripostctl init {}`)", .home.display(), .home.display())]
    NotAHome { home: PathBuf, missing: String },
    #[error("find the bundled executable {name}: it is not in {}\n(ripostctl installs what lies beside it: run the one that was installed or built with the others)", .folder.display())]
    Missing { name: &'static str, folder: PathBuf },
    #[error("{what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                exit::NOT_PERMITTED
            }
            Self::NotEmpty(_)
            | Self::NotADirectory(_)
            | Self::Untrusted(_)
            | Self::NoParent { .. }
            | Self::NotAHome { .. }
            | Self::Missing { .. }
            | Self::Io { .. } => exit::FAILED,
        }
    }
}

/// Names the operation and its path in an error.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// Makes a home in `directory`, which must be empty or not there yet. Answers
/// what to tell the person. After an error nothing of it is left.
pub(crate) fn init(directory: &Path, role: Role) -> Result<String, Error> {
    let sources = Sources::beside_this_program()?;
    let mut made = Made::default();
    make_root(directory, &mut made)?;
    let home = Home::open(directory)?;
    fill(&home, role, &sources, &mut made)?;
    made.keep();
    Ok(format!(
        "made {} with {} bundled executables\nnext: {}\n",
        directory.display(),
        sources.files.len(),
        role.next(directory),
    ))
}

/// Replaces the bundled executables of the home in `directory` and records them
/// anew; everything else stays.
pub(crate) fn refresh(directory: &Path) -> Result<String, Error> {
    for folder in [EXECUTABLES, QUEUE] {
        let is_folder = directory
            .join(folder)
            .symlink_metadata()
            .is_ok_and(|found| found.is_dir());
        if !is_folder {
            return Err(Error::NotAHome {
                home: directory.to_owned(),
                missing: folder.to_owned(),
            });
        }
    }
    let sources = Sources::beside_this_program()?;
    install(&Home::open(directory)?, &sources)?;
    Ok(format!(
        "renewed {} bundled executables in {}\n",
        sources.files.len(),
        directory.display()
    ))
}

/// The folders that have been made so far. Dropped without [`Made::keep`] they are
/// taken away again, the last first.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // The error that led here is the one to report. What stays behind
            // makes the next try say that the directory is not empty.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn make_root(directory: &Path, made: &mut Made) -> Result<(), Error> {
    let metadata = match directory.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match directory.parent() {
                Some(parent) if !parent.exists() => Err(Error::NoParent {
                    path: directory.to_owned(),
                    parent: parent.to_owned(),
                }),
                Some(_) | None => make_folder(directory, 0o750, made),
            };
        }
        Err(error) => return Err(failed("look at", directory)(error)),
    };
    if !metadata.is_dir() {
        return Err(Error::NotADirectory(directory.to_owned()));
    }
    let mut entries = fs::read_dir(directory).map_err(failed("look into", directory))?;
    if entries.next().is_some() {
        return Err(Error::NotEmpty(directory.to_owned()));
    }
    Ok(())
}

fn make_folder(path: &Path, mode: u32, made: &mut Made) -> Result<(), Error> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(failed("make the directory", path))?;
    made.0.push(path.to_owned());
    // The umask may have taken bits away.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

fn fill(home: &Home, role: Role, sources: &Sources, made: &mut Made) -> Result<(), Error> {
    for (folder, mode) in FOLDERS.iter().chain(role.own_folders()) {
        make_folder(&home.path().join(folder), *mode, made)?;
    }
    install(home, sources)?;
    let etc = home.path().join("etc");
    for (name, text) in role.configuration() {
        Staged::write(&etc, name, 0o640, &mut text.as_bytes())?.put()?;
    }
    sync_folder(&etc)?;
    sync_folder(home.path())
}

/// Puts every executable in place, then the record of them. All of them lie
/// ready beside their places before the first is replaced, so a full disk
/// changes nothing. Until the record follows, a replaced file counts as a
/// script; a second run mends that.
fn install(home: &Home, sources: &Sources) -> Result<(), Error> {
    let folder = home.path().join(EXECUTABLES);
    let mut staged = Vec::new();
    for (row, path) in &sources.files {
        // A copy for each name, no links: who puts a script of their own in the
        // place of one by cp(1), which writes into the file that is there, must
        // not change the others with it.
        for name in row.names() {
            let mut source = File::open(path).map_err(failed("open", path))?;
            staged.push(Staged::write(&folder, name, 0o750, &mut source)?);
        }
    }
    for file in staged {
        file.put()?;
    }
    sync_folder(&folder)?;
    record(home, sources)
}

/// Writes the record. One that cannot be read is made anew: all that it is to
/// say is known here.
fn record(home: &Home, sources: &Sources) -> Result<(), Error> {
    let rows: Vec<_> = sources.files.iter().map(|(row, _)| *row).collect();
    match home.record(&rows) {
        Err(ExeError::Record { .. }) => {
            let path = home.path().join(RECORD);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            Ok(home.record(&rows)?)
        }
        other => Ok(other?),
    }
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("write to the disk", path))
}

/// The bundled executables that lie beside this program.
struct Sources {
    files: Vec<(&'static Bundled, PathBuf)>,
}

impl Sources {
    fn beside_this_program() -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(failed("find this program", Path::new("")))?;
        let folder = own.parent().expect("a program lies in a directory");
        let mut files = Vec::new();
        for row in BUNDLED {
            let path = folder.join(row.name);
            if !path.is_file() {
                return Err(Error::Missing {
                    name: row.name,
                    folder: folder.to_owned(),
                });
            }
            files.push((row, path));
        }
        Ok(Self { files })
    }
}

/// A complete, synced file beside its place. Dropped without [`Staged::put`] it
/// is taken away.
struct Staged {
    temporary: PathBuf,
    place: PathBuf,
}

impl Staged {
    fn write(folder: &Path, name: &str, mode: u32, content: &mut dyn Read) -> Result<Self, Error> {
        let temporary = folder.join(format!(".{name}.new"));
        // Left behind by a run that was killed. If it cannot be removed, making
        // it anew fails and says so.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(failed("make", &temporary))?;
        let staged = Self {
            place: folder.join(name),
            temporary,
        };
        io::copy(content, &mut file)
            .and_then(|_| file.set_permissions(Permissions::from_mode(mode)))
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &staged.place))?;
        Ok(staged)
    }

    fn put(mut self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.place).map_err(failed("replace", &self.place))?;
        self.temporary = PathBuf::new();
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
