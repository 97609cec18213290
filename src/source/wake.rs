//! What makes a reader look at its file: a hint from the file system, or that
//! some time has passed. Hints say nothing else: inotify(7) loses events, sees
//! no append through another hard link when it watches the directory, and no
//! rotation when it watches the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// A flag to wait for. Any number of hints before a wait are one.
#[derive(Debug, Default)]
pub(super) struct Wake {
    hinted: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    pub(super) fn hint(&self) {
        *self.flag() = true;
        self.changed.notify_one();
    }

    /// Returns at the next hint, or when `longest` has passed.
    pub(super) fn wait(&self, longest: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.flag(), longest, |hinted| !*hinted);
        let (mut hinted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *hinted = false;
    }

    /// A flag cannot be left half changed, so a panic elsewhere does not matter.
    fn flag(&self) -> MutexGuard<'_, bool> {
        self.hinted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches on a file and on its directory.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    file: PathBuf,
    directory: PathBuf,
    /// Whether it was said that there is no watch.
    told: bool,
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        Self {
            watcher: None,
            file: path.to_owned(),
            directory,
            told: false,
        }
    }

    /// Watches what stands at the path now: an old watch stays with an inode
    /// that has lost the name. The first time that the system refuses to watch
    /// any more, its words come back. That the path cannot be reached is not
    /// said here: whoever opens the file says it.
    pub(super) fn renew(&mut self, wake: &Arc<Wake>) -> Option<String> {
        let failure = self.try_renew(wake).err()?;
        Some(failure.to_string()).filter(|_| !std::mem::replace(&mut self.told, true))
    }

    fn try_renew(&mut self, wake: &Arc<Wake>) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => {
                for path in [&self.file, &self.directory] {
                    // It may never have been watched, or be gone with its watch.
                    drop(watcher.unwatch(path));
                }
                watcher
            }
            none @ None => none.insert(watcher(Arc::clone(wake))?),
        };
        for path in [&self.directory, &self.file] {
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Err(error) if !matches!(error.kind, ErrorKind::Io(_) | ErrorKind::PathNotFound) => {
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Watches on directories.
#[derive(Default)]
pub(super) struct Watches {
    watcher: Option<RecommendedWatcher>,
    directories: Vec<PathBuf>,
    /// Whether it was said that there is no watch.
    told: bool,
}

impl Watches {
    /// Watches these directories, and no others any more. As with
    /// [`Watch::renew`], the words of the system come back once.
    pub(super) fn renew(&mut self, directories: &[PathBuf], wake: &Arc<Wake>) -> Option<String> {
        if self.directories == directories {
            return None;
        }
        let failure = self.try_renew(directories, wake).err();
        self.directories = directories.to_vec();
        let text = failure?.to_string();
        Some(text).filter(|_| !std::mem::replace(&mut self.told, true))
    }

    fn try_renew(&mut self, directories: &[PathBuf], wake: &Arc<Wake>) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none @ None => none.insert(watcher(Arc::clone(wake))?),
        };
        for old in &self.directories {
            if !directories.contains(old) {
                // It may be gone with its watch.
                drop(watcher.unwatch(old));
            }
        }
        for new in directories {
            match watcher.watch(new, RecursiveMode::NonRecursive) {
                Err(error) if !matches!(error.kind, ErrorKind::Io(_) | ErrorKind::PathNotFound) => {
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn watcher(wake: Arc<Wake>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        // That someone reads the file, such as this reader, is no hint; an
        // error or an overflow of the queue is one.
        if !matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
            wake.hint();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Wake;

    #[test]
    fn hints_given_before_a_wait_end_it_once() {
        let wake = Wake::default();
        wake.hint();
        wake.hint();
        let began = crate::clock::boot();
        wake.wait(Duration::from_secs(3600));
        wake.wait(Duration::from_millis(20));
        let took = began.until(crate::clock::boot());
        assert!(took >= Duration::from_millis(20), "{took:?}");
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}
