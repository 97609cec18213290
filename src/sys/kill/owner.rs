//! What a process descends from, and which one is a daemon.

use std::path::Path;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};

use crate::sys::process::stat::Stat;

/// The number of the process that a process was started by, or that has taken
/// it over.
pub fn parent(pid: i32) -> Option<i32> {
    let parent = Stat::of(pid)?.parent;
    (parent > 0).then_some(parent)
}

/// The number of the process that listens on a socket, if one does. Does not
/// wait.
pub fn listener(socket: &Path) -> Option<i32> {
    let address = SocketAddrUnix::new(socket).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let ours = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&ours, &address).ok()?;
    let peer = sockopt::socket_peercred(&ours).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::{listener, parent};

    #[test]
    fn who_listens_is_known_and_so_is_a_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        assert_eq!(listener(&path), None);
        let _listens = UnixListener::bind(&path).unwrap();
        assert_eq!(listener(&path), Some(own));
        let above = rustix::process::getppid().unwrap();
        assert_eq!(parent(own), Some(above.as_raw_nonzero().get()));
    }
}
