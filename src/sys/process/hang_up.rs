//! The end of a process whose partner is gone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

/// Ends this process at once when the other end of `socket` is closed, whatever
/// its other threads are doing; what one of them is doing within the kernel is
/// finished before its locks are given up. `PR_SET_PDEATHSIG` would not do: it
/// is bound to the thread that has started this process (prctl(2)).
pub fn end_at_hang_up(socket: &impl AsFd) -> io::Result<()> {
    const STACK: usize = 64 * 1024;
    let socket = socket.as_fd().try_clone_to_owned()?;
    thread::Builder::new()
        .name("hang-up".to_owned())
        .stack_size(STACK)
        .spawn(move || wait_for_hang_up(&socket))?;
    Ok(())
}

fn wait_for_hang_up(socket: &OwnedFd) -> ! {
    loop {
        // What is always reported is enough (poll(2)): nothing that is said on
        // the socket wakes this thread.
        let mut watched = [PollFd::new(socket, PollFlags::empty())];
        match rustix::event::poll(&mut watched, None) {
            Ok(0) | Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM) => {}
            Ok(_) | Err(_) => end_now(),
        }
    }
}

/// Runs nothing that might wait for another thread, as exit(3) would.
fn end_now() -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(0) }
}
