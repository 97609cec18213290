//! Which processes are never ended.

use std::path::{Path, PathBuf};

use crate::model::bundled;
use crate::sys::kill::{self, Held};

/// Who listens there is a daemon of this home.
const SOCKETS: [&str; 2] = ["queue/agentd.sock", "queue/manager.sock"];

/// More ancestors than this nobody has.
const MAX_DEPTH: usize = 10_000;

/// What belongs to Ripost, or has started it.
#[derive(Debug)]
pub(super) struct Ours {
    pids: Vec<i32>,
    /// Where the bundled executables lie, some of which are workers.
    bin: Option<PathBuf>,
}

impl Ours {
    /// As it is now, for the home that is the working directory.
    pub(super) fn here() -> Self {
        let own = i32::try_from(std::process::id()).expect("a process number fits pid_t");
        let daemons = SOCKETS
            .iter()
            .filter_map(|socket| kill::listener(Path::new(socket)));
        let mut pids: Vec<_> = [own].into_iter().chain(daemons).collect();
        let lines: Vec<_> = pids.iter().flat_map(|&pid| ancestors(pid)).collect();
        pids.extend(lines);
        let exe = std::env::current_exe().ok();
        let bin = exe.and_then(|exe| Some(exe.parent()?.to_owned()));
        Self { pids, bin }
    }

    /// Why a process is not ended, as what is said of it.
    pub(super) fn objection(&self, held: &Held) -> Option<&'static str> {
        if held.pid() == 1 {
            return Some("is the first one, on which all others depend");
        }
        if held.is_kernel_thread() {
            return Some("is a thread of the kernel");
        }
        if self.pids.contains(&held.pid()) {
            return Some("is a part of Ripost, or what has started it");
        }
        self.is_bundled(held)
            .then_some("is a bundled executable of Ripost")
    }

    /// Only who owns the home can put a file there.
    fn is_bundled(&self, held: &Held) -> bool {
        let Ok(exe) = held.exe() else {
            return false;
        };
        let name = exe.path.file_name().and_then(|name| name.to_str());
        let name = name.map(|name| name.trim_end_matches(" (deleted)"));
        exe.path.parent() == self.bin.as_deref()
            && name.is_some_and(|name| bundled::find(name).is_some())
    }
}

fn ancestors(pid: i32) -> Vec<i32> {
    std::iter::successors(kill::parent(pid), |&pid| kill::parent(pid))
        .take(MAX_DEPTH)
        .collect()
}
