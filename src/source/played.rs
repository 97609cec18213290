//! Sources that a test plays: no file is read, and no thread reads it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::{Event, Follow};

/// Takes the place of a reader: goes on from the stored position, if there is
/// one, until nobody listens.
type Start = Rc<dyn Fn(Follow, mpsc::Sender<Event>)>;

thread_local! {
    static PLAYED: RefCell<HashMap<PathBuf, Start>> = RefCell::default();
}

/// From now on `start` plays the file at `path` for this thread.
pub(crate) fn play(path: PathBuf, start: impl Fn(Follow, mpsc::Sender<Event>) + 'static) {
    PLAYED.with_borrow_mut(|played| played.insert(path, Rc::new(start)));
}

/// No file is played any more.
pub(crate) fn forget() {
    PLAYED.take();
}

/// Whether the file is one that is played, and has begun.
pub(super) fn begin(follow: &Follow, events: &mpsc::Sender<Event>) -> bool {
    let start = PLAYED.with_borrow(|played| played.get(&follow.path).cloned());
    let Some(start) = start else {
        return false;
    };
    start(follow.clone(), events.clone());
    true
}
