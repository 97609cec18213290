//! posix_spawn(3), made safe: starts a program without copying the address
//! space of this process, which is what makes fork(2) dear in a process with
//! several threads.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_char, c_int, c_short};
use rustix::process::Pid;

const SHELL: &CStr = c"/bin/sh";

/// What is started, and what it finds around it.
pub(super) struct Plan<'a> {
    /// The working directory, to which `program` is relative.
    pub(super) dir: BorrowedFd<'a>,
    /// The file, which is the first word of its argument vector too.
    pub(super) program: &'a CStr,
    /// The other words of the vector.
    pub(super) words: &'a [CString],
    /// `NAME=value` each; nothing is inherited.
    pub(super) environment: &'a [CString],
    /// What becomes its descriptors 0, 1 and 2.
    pub(super) stdio: [BorrowedFd<'a>; 3],
}

/// Starts it in a session of its own, with no signal blocked and all at their
/// default action. Returns once the program runs, or with what execve(2) said;
/// only the calling thread stands still until then.
///
/// A file without `#!` that the kernel refuses is run by `/bin/sh`, as
/// execvp(3) of glibc does.
pub(super) fn spawn(plan: &Plan<'_>) -> io::Result<Pid> {
    let words: Vec<_> = [plan.program]
        .into_iter()
        .chain(plan.words.iter().map(CString::as_c_str))
        .collect();
    match exec(plan, plan.program, &words) {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            exec(plan, SHELL, &[&[SHELL], words.as_slice()].concat())
        }
        started => started,
    }
}

fn exec(plan: &Plan<'_>, file: &CStr, arguments: &[&CStr]) -> io::Result<Pid> {
    let (mut actions, mut attributes) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let mut actions = FileActions::new(&mut actions)?;
    actions.change_dir(plan.dir)?;
    for (fd, number) in plan.stdio.iter().zip(0..) {
        actions.copy(*fd, number)?;
    }
    let mut attributes = Attributes::new(&mut attributes)?;
    attributes.lead_a_session_with_plain_signals()?;
    let arguments = pointers(arguments.iter().copied());
    let environment = pointers(plan.environment.iter().map(CString::as_c_str));
    let mut pid = 0;
    // SAFETY: `file` and the strings behind both vectors end in NUL, both
    // vectors end in a null pointer, and all of it lives until the call
    // returns, which writes to none of it (POSIX: the `mut` is for old
    // callers). The objects were initialised, and `pid` is written to.
    check(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            file.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(Pid::from_raw(pid).expect("the number of a process that was started is positive"))
}

/// A vector as execve(2) wants it.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*mut c_char> {
    strings
        .map(|string| string.as_ptr().cast_mut())
        .chain([ptr::null_mut()])
        .collect()
}

/// The functions used here return their error and leave errno alone.
fn check(error: c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// What is done to descriptors between the start and exec, in this order. Lies
/// where it was initialised: POSIX does not say that it may be moved.
struct FileActions<'a>(&'a mut MaybeUninit<libc::posix_spawn_file_actions_t>);

impl<'a> FileActions<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawn_file_actions_t>) -> io::Result<Self> {
        // SAFETY: the pointer is valid for writing one object.
        check(unsafe { libc::posix_spawn_file_actions_init(place.as_mut_ptr()) })?;
        Ok(Self(place))
    }

    /// In glibc from 2.29 and in musl from 1.1.24.
    fn change_dir(&mut self, dir: BorrowedFd<'_>) -> io::Result<()> {
        let fd = dir.as_raw_fd();
        // SAFETY: `new` initialised the object; only a number is stored in it.
        check(unsafe { libc::posix_spawn_file_actions_addfchdir_np(self.0.as_mut_ptr(), fd) })
    }

    /// The copy is not closed by exec, even if it bears its number already.
    fn copy(&mut self, fd: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        // SAFETY: `new` initialised the object; only numbers are stored in it.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), fd, number) })
    }
}

impl Drop for FileActions<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` initialised the object, and nothing uses it after this.
        // Fails for objects that are not initialised alone.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

/// What the process is to be like at exec. Lies where it was initialised, as
/// above.
struct Attributes<'a>(&'a mut MaybeUninit<libc::posix_spawnattr_t>);

impl<'a> Attributes<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawnattr_t>) -> io::Result<Self> {
        // SAFETY: the pointer is valid for writing one object.
        check(unsafe { libc::posix_spawnattr_init(place.as_mut_ptr()) })?;
        Ok(Self(place))
    }

    /// Ignored signals and the mask survive execve(2), so both are reset.
    fn lead_a_session_with_plain_signals(&mut self) -> io::Result<()> {
        let flags = libc::POSIX_SPAWN_SETSID as c_int
            | libc::POSIX_SPAWN_SETSIGDEF as c_int
            | libc::POSIX_SPAWN_SETSIGMASK as c_int;
        let flags = c_short::try_from(flags).expect("the flags fit the argument that takes them");
        let (all, none) = (all_signals(), no_signals());
        // SAFETY: `new` initialised the object.
        check(unsafe { libc::posix_spawnattr_setflags(self.0.as_mut_ptr(), flags) })?;
        // SAFETY: as above; the set is copied.
        check(unsafe { libc::posix_spawnattr_setsigdefault(self.0.as_mut_ptr(), &raw const all) })?;
        // SAFETY: as above; the set is copied.
        check(unsafe { libc::posix_spawnattr_setsigmask(self.0.as_mut_ptr(), &raw const none) })
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` initialised the object, and nothing uses it after this.
        // Fails for objects that are not initialised alone.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

fn all_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writing one set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: the call above, which only fails for a bad pointer, initialised it.
    unsafe { set.assume_init() }
}

fn no_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writing one set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the call above, which only fails for a bad pointer, initialised it.
    unsafe { set.assume_init() }
}
