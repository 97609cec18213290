//! What keeps a file from being touched: guards, and which files they are for.

use std::io;
use std::path::{Path, PathBuf};

use super::sums::Algorithm;
use crate::ar::{Done, Fail};
use crate::model::target::FilePath;
use crate::sys::beneath::{BeneathError, FileId, Folder};

/// On which the running system depends. Today most are links into `/usr`.
const SYSTEM: &[&str] = &[
    "/usr", "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin",
];

/// Whose files are no files.
const KERNEL: &[&str] = &["/proc", "/sys", "/dev"];

/// Below one of those, yet a folder for everybody's files (shm_overview(7)),
/// and one in which intruders like to leave theirs.
const SHARED_MEMORY: &str = "/dev/shm";

/// Which guard has said no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// It lies in this tree of the system.
    System(&'static str),
    Kernel(&'static str),
    /// It belongs to us.
    Ours(PathBuf),
    /// A link leads to it, at this place.
    Link(PathBuf),
    /// It is a link itself.
    IsLink,
    NotRegular,
    /// Its bytes do not have the hash that the alert has.
    Changed(Algorithm),
    /// The alert has none, and one is required.
    Unhashed,
    /// What the alert has in place of a hash.
    NoHash(Algorithm),
    /// For this reason it is not known whether it is what the alert speaks of.
    Unread(String),
}

impl Refusal {
    /// In one sentence.
    pub(super) fn sentence(&self, file: &FilePath) -> String {
        let why = match self {
            Self::System(tree) => {
                format!(
                    "it lies in {tree}, on which the system depends (--allow-system permits it)"
                )
            }
            Self::Kernel(tree) => format!("{tree} holds the kernel's own files"),
            Self::Ours(folder) => format!("it lies in our own {}", folder.display()),
            Self::Link(at) => format!(
                "{} is a symlink that others could have made (have the real path reported)",
                at.display()
            ),
            Self::IsLink => "it is a symlink (have the real path reported)".to_owned(),
            Self::NotRegular => "it is no regular file".to_owned(),
            Self::Changed(algorithm) => format!(
                "it has changed since the alert, which has another {} of it",
                algorithm.name()
            ),
            Self::Unhashed => "the alert has no hash of it (--require-hash is given)".to_owned(),
            Self::NoHash(algorithm) => {
                format!("what the alert has as its {} is none", algorithm.name())
            }
            Self::Unread(why) => format!("it cannot be compared with the alert: {why}"),
        };
        format!("refused {file}: {why}")
    }
}

/// Why a run stops.
pub(super) enum Stop {
    Refused(Refusal),
    Failed(Fail),
}

impl Stop {
    /// How the run is reported.
    pub(super) fn told(self, file: &FilePath) -> Result<Done, Fail> {
        match self {
            Self::Refused(refusal @ Refusal::Changed(_)) => {
                Ok(Done::changed(refusal.sentence(file)))
            }
            Self::Refused(refusal) => Ok(Done::refused(refusal.sentence(file))),
            Self::Failed(fail) => Err(fail),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: std::error::Error + 'static> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The folder that holds a file, if there is one, unless a link that others
/// could have made leads there.
pub(super) fn folder_of(path: &FilePath) -> Result<Option<Folder>, Stop> {
    let parent = Path::new(path.as_str()).parent();
    match Folder::open(parent.expect("the path of a file has a folder")) {
        Err(BeneathError::Link(at)) => Err(Refusal::Link(at).into()),
        Err(why) if why.kind() == Some(io::ErrorKind::NotFound) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Whether something may be taken out of a folder. A tree is known by what it
/// is, so that no other way into it helps.
pub(super) fn judge(folder: &Folder, store: &Folder, system_too: bool) -> Result<(), Stop> {
    let lies_in = |tree: &str| FileId::of_path(tree).is_some_and(|tree| folder.is_in(tree));
    let home = Folder::open(Path::new("."))?;
    for ours in [&home, store] {
        if folder.is_in(ours.id()) {
            return Err(Refusal::Ours(ours.path().to_owned()).into());
        }
    }
    let kernels = KERNEL.iter().find(|tree| lies_in(tree));
    if let Some(tree) = kernels.filter(|_| !lies_in(SHARED_MEMORY)) {
        return Err(Refusal::Kernel(tree).into());
    }
    match SYSTEM.iter().find(|tree| lies_in(tree)) {
        Some(tree) if !system_too => Err(Refusal::System(tree).into()),
        Some(_) | None => Ok(()),
    }
}
