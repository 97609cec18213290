//! Child processes: how they are started, watched and ended.

mod child;
mod group;
mod hang_up;
mod left;
mod spawn;
pub(super) mod stat;

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::sys::exe::{Home, VerifiedExe};

pub use child::{Child, Exit};
pub use group::{NotEnded, ProcessId};
pub use hang_up::end_at_hang_up;

/// Where executables find their tools.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variable that tells executables their home, and by which a process that
/// outlived its group leader is known to be ours.
pub(crate) const RIPOST_HOME: &str = "RIPOST_HOME";

/// This end of the three pipes to a child.
#[derive(Debug)]
pub struct Pipes {
    /// `None` where it has nothing to read.
    pub stdin: Option<pipe::Sender>,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

/// This end of what connects a worker with us.
#[derive(Debug)]
pub struct WorkerPipes {
    /// The other end is its stdin.
    pub socket: UnixStream,
    /// Its stderr, and its stdout, which it does not use.
    pub stderr: pipe::Receiver,
}

/// Starts a verified executable as Wazuh 4.14 does (os_execd/exec.c):
/// `active-response/bin/NAME` relative to the home as working directory, that
/// one word as argv, a session of its own, three pipes. The environment is
/// fixed, all signals have their default action and no other descriptor is
/// passed on.
///
/// The umask is that of this process, for posix_spawn(3) cannot set another;
/// the contract wants 0027, which the daemons give themselves at their start.
///
/// The program is named by path, not by descriptor, because scripts look at
/// `$0`; between the check and the start only those who own it could swap it.
///
/// Must be called within a tokio runtime. Blocks until the program runs.
pub fn start(exe: &VerifiedExe) -> Result<(Child, Pipes), StartError> {
    start_unexplained(exe).map_err(|error| StartError::explain(exe, error))
}

/// Starts a verified executable as [`start`] does, but with `words` behind its
/// name and nothing to read on its stdin (OSSEC and Wazuh before 4.2).
pub fn start_with_words(exe: &VerifiedExe, words: &[String]) -> Result<(Child, Pipes), StartError> {
    start_with_words_unexplained(exe, words).map_err(|error| StartError::explain(exe, error))
}

/// Starts a verified executable as [`start`] does, but with `word` behind its
/// name and one end of a socket as its stdin, over which both talk.
pub fn start_worker(exe: &VerifiedExe, word: &str) -> Result<(Child, WorkerPipes), StartError> {
    start_worker_unexplained(exe, word).map_err(|error| StartError::explain(exe, error))
}

fn start_unexplained(exe: &VerifiedExe) -> io::Result<(Child, Pipes)> {
    // None of these is 0, 1 or 2, which the actions below would overwrite: the
    // standard library opens those at the start if they are not.
    let (stdin, to_stdin) = pipe_with(PipeFlags::CLOEXEC)?;
    let to_stdin = pipe::Sender::from_owned_fd(to_stdin)?;
    launch_heard(exe, &[], stdin.as_fd(), Some(to_stdin))
}

fn start_with_words_unexplained(exe: &VerifiedExe, words: &[String]) -> io::Result<(Child, Pipes)> {
    let words: Result<Vec<_>, _> = words
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect();
    let nothing = std::fs::File::open("/dev/null")?;
    launch_heard(exe, &words?, nothing.as_fd(), None)
}

/// Launches it with pipes at its stdout and stderr.
fn launch_heard(
    exe: &VerifiedExe,
    words: &[CString],
    stdin: BorrowedFd<'_>,
    to_stdin: Option<pipe::Sender>,
) -> io::Result<(Child, Pipes)> {
    let (from_stdout, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (from_stderr, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let pipes = Pipes {
        stdin: to_stdin,
        stdout: pipe::Receiver::from_owned_fd(from_stdout)?,
        stderr: pipe::Receiver::from_owned_fd(from_stderr)?,
    };
    let child = launch(exe, words, [stdin, stdout.as_fd(), stderr.as_fd()])?;
    Ok((child, pipes))
}

fn start_worker_unexplained(exe: &VerifiedExe, word: &str) -> io::Result<(Child, WorkerPipes)> {
    let (ours, theirs) = net::UnixStream::pair()?;
    let (from_stderr, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    ours.set_nonblocking(true)?;
    let pipes = WorkerPipes {
        socket: UnixStream::from_std(ours)?,
        stderr: pipe::Receiver::from_owned_fd(from_stderr)?,
    };
    let stdio = [theirs.as_fd(), stderr.as_fd(), stderr.as_fd()];
    Ok((launch(exe, &[CString::new(word)?], stdio)?, pipes))
}

fn launch(exe: &VerifiedExe, words: &[CString], stdio: [BorrowedFd<'_>; 3]) -> io::Result<Child> {
    close_others_on_exec();
    let child = spawn::spawn(&spawn::Plan {
        dir: exe.home().dir(),
        program: &CString::new(exe.program())?,
        words,
        environment: &environment(exe.home())?,
        stdio,
    })?;
    Child::adopt(child)
}

fn environment(home: &Home) -> io::Result<Vec<CString>> {
    let zone = std::env::var_os("TZ");
    let variables = [
        ("PATH", Some(OsStr::new(PATH))),
        ("HOME", Some(OsStr::new("/root"))),
        ("LANG", Some(OsStr::new("C.UTF-8"))),
        (RIPOST_HOME, Some(home.path().as_os_str())),
        ("TZ", zone.as_deref()),
    ];
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .map(|(name, value)| {
            Ok(CString::new(
                [name.as_bytes(), b"=", value.as_bytes()].concat(),
            )?)
        })
        .collect()
}

/// Every descriptor here is opened with `O_CLOEXEC`; this is for those of a
/// library that forgets it. It marks them in this process, which never wants
/// one inherited: posix_spawn(3) can close them in the child with glibc from
/// 2.34 only. Kernels before 5.11 do not know the flag, and then the first line
/// of defence has to do.
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
    /// Explains what the start of `exe` answered. execve(2) says `ENOENT` for a
    /// missing interpreter too, so the file is looked at.
    fn explain(exe: &VerifiedExe, source: io::Error) -> Self {
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
