//! Who else has a file open.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// asm-generic/fcntl.h, which libc leaves out.
const F_SETSIG: libc::c_int = 10;

/// Whether another program has a file open for writing, or mapped so. A lease
/// for reading can be had only where none has (fcntl(2), F_SETLEASE). Where
/// there are no leases the answer is no.
pub fn has_writers(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // Whoever opens it during the lease has a signal sent to us, by default one
    // that kills; this one is ignored unless asked for (signal(7)).
    // SAFETY: the descriptor is open, and nothing is read or written but its
    // own flags.
    if unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) } == -1 {
        return false;
    }
    // SAFETY: as above.
    if unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == -1 {
        return io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
    }
    // SAFETY: as above. Should it fail, the lease ends with the descriptor.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    false
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::has_writers;

    #[test]
    fn a_file_that_is_open_for_writing_elsewhere_has_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        assert!(has_writers(&file));
        drop(writer);
        assert!(!has_writers(&file));
        // Nothing stays in the way of whoever comes next.
        let again = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(has_writers(&file));
        drop(again);
    }
}
