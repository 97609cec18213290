//! Child processes: how they are started, watched and ended.

mod group;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::io::Errno;

use crate::sys::exe::VerifiedExe;

pub use group::{NotEnded, ProcessId};

/// Where executables find their tools.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command that starts a verified executable as Wazuh 4.14 does
/// (os_execd/exec.c): `active-response/bin/NAME` relative to the home as
/// working directory, that one word as argv, a session of its own, three pipes.
/// The environment is fixed, the umask is 0027, all signals have their default
/// action and no other descriptor is passed on.
///
/// The program is named by path, not by descriptor, because scripts look at
/// `$0`; between the check and the start only those who own it could swap it.
/// A file without `#!` that the kernel refuses is run by `/bin/sh`, as
/// execvp(3) of glibc does under 4.x.
pub fn command(exe: &VerifiedExe) -> Command {
    let home = exe.home().clone();
    let mut command = bare_command(exe.program().as_ref());
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env(RIPOST_HOME, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(zone) = std::env::var_os("TZ") {
        command.env("TZ", zone);
    }
    let prepare = move || prepare(home.dir());
    // SAFETY: the closure runs between fork and exec, where only
    // async-signal-safe calls are allowed (fork(2)): `prepare` makes system
    // calls alone, and neither allocates nor takes a lock. It owns the handle
    // of the home, so the descriptor it uses is open.
    unsafe { command.pre_exec(prepare) };
    command
}

/// The variable that tells executables their home, and by which a process that
/// outlived its group leader is known to be ours.
pub(crate) const RIPOST_HOME: &str = "RIPOST_HOME";

fn bare_command(program: &OsStr) -> Command {
    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    Command::new(program)
}

fn prepare(home: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(home)?;
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
    reset_signals()?;
    close_others_on_exec();
    Ok(())
}

/// Ignored signals and the mask survive execve(2), so they are undone here.
fn reset_signals() -> io::Result<()> {
    let last = libc::SIGRTMAX();
    for signal in 1..=last {
        // SAFETY: `SIG_DFL` runs no code of ours. The call fails, harmlessly,
        // for SIGKILL, SIGSTOP and what the C library keeps for itself.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for writing one set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: `none` is a set that was just initialised; the old mask is not
    // asked for.
    let done = unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Every descriptor here is opened with `O_CLOEXEC`; this is for those of a
/// library that forgets it. Marking, not closing: the pipe on which the start
/// is reported to the parent must stay until exec. Kernels before 5.11 do not
/// know the flag, and then the first line of defence has to do.
fn close_others_on_exec() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: changes flags of descriptors only; reads and writes no memory.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// Why an executable could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "start {}: it is open for writing\n(wait until whoever writes it has closed it)",
        .0.display()
    )]
    Busy(PathBuf),
    #[error(
        "start {}: its interpreter {interpreter} does not exist\n\
         (correct the first line, and save the file with LF line ends)",
        path.display()
    )]
    Interpreter { path: PathBuf, interpreter: String },
    #[error("start {}: it does not exist any more", .0.display())]
    Vanished(PathBuf),
    #[error(
        "start {}: permission denied\n\
         (is its file system mounted noexec, or its interpreter not executable?)",
        .0.display()
    )]
    Permission(PathBuf),
    #[error("start {}: {source}", path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl StartError {
    /// Explains what spawning the [`command`] of `exe` answered. execve(2)
    /// says `ENOENT` for a missing interpreter too, so the file is looked at.
    pub fn explain(exe: &VerifiedExe, source: io::Error) -> Self {
        let path = exe.path();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::TXTBSY) => Self::Busy(path),
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission(path),
            Some(Errno::NOENT) if path.exists() => Self::Interpreter {
                interpreter: interpreter(&path),
                path,
            },
            Some(Errno::NOENT) => Self::Vanished(path),
            _ => Self::Other { path, source },
        }
    }
}

/// The interpreter that the first line names, quoted so that a carriage return
/// at its end can be seen.
fn interpreter(path: &std::path::Path) -> String {
    // The kernel looks at no more (binfmt_script, BINPRM_BUF_SIZE).
    let mut start = Vec::with_capacity(256);
    let read = std::fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
    let line = start.split(|byte| *byte == b'\n').next();
    match (read, line.and_then(|line| line.strip_prefix(b"#!"))) {
        (Ok(_), Some(line)) => {
            let line = line.trim_ascii_start();
            let end = line.iter().position(|b| matches!(b, b' ' | b'\t'));
            format!("\"{}\"", line[..end.unwrap_or(line.len())].escape_ascii())
        }
        // A program: what is missing is its dynamic loader (PT_INTERP).
        (Ok(_), None) | (Err(_), _) => "(the dynamic loader)".to_owned(),
    }
}
