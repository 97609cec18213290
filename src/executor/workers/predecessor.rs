//! The worker of a daemon that was killed. It ends by itself, unless it was
//! stopped (`SIGSTOP`) or hangs; then it would still do what it had in hand
//! when somebody lets it go on.

use std::path::Path;
use std::time::Duration;

use crate::contract::worker::WORD;
use crate::model::ExeName;
use crate::sys::exe::Home;
use crate::sys::fs;
use crate::sys::process::ProcessId;

/// Ends whoever holds the lock of the workers of `exe`, if that is one of
/// them. Blocks.
pub(super) fn end(home: &Home, exe: &ExeName) {
    let path = home.path().join(format!("queue/{exe}.worker.lock"));
    let Some(pid) = fs::lock_holder(&path) else {
        return;
    };
    let Some(process) = ProcessId::of(pid).filter(|_| is_worker(pid, exe)) else {
        return;
    };
    log::warn!(executable:% = exe, pid = pid; "ending the worker of a predecessor");
    if let Err(error) = process.end_group(home.path(), Duration::ZERO) {
        log::error!(executable:% = exe, error:% = error; "the worker of a predecessor cannot be ended");
    }
}

/// Its words, as proc(5) tells them.
fn is_worker(pid: i32, exe: &ExeName) -> bool {
    let path = format!("/proc/{pid}/cmdline");
    let words = std::fs::read(Path::new(&path)).unwrap_or_default();
    words == format!("active-response/bin/{exe}\0{WORD}\0").as_bytes()
}
