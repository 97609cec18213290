//! Whose processes are, and which ones are those of a daemon.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};

use crate::sys::process::stat::Stat;

/// The entry of a user is no longer than this.
const MAX_ENTRY: usize = 1 << 20;

/// Why it is not known which user a name means.
#[derive(Debug, thiserror::Error)]
pub enum UnknownUser {
    #[error("find the user {0}: there is none")]
    Missing(String),
    #[error("find the user {name}")]
    Failed {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// The number of a user, from whatever database the host has (getpwnam_r(3)).
pub fn uid_of(name: &str) -> Result<u32, UnknownUser> {
    let failed = |source| UnknownUser::Failed {
        name: name.to_owned(),
        source,
    };
    let text = CString::new(name).map_err(|why| failed(why.into()))?;
    let mut room = vec![0; 4 << 10];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: the name ends with a NUL, the three places are valid, and the
        // room is as long as is said; all outlive the call.
        let errno = unsafe {
            libc::getpwnam_r(
                text.as_ptr(),
                entry.as_mut_ptr(),
                room.as_mut_ptr(),
                room.len(),
                &mut found,
            )
        };
        match errno {
            0 if found.is_null() => return Err(UnknownUser::Missing(name.to_owned())),
            0 => {
                // SAFETY: success with a result means that the entry is filled.
                let entry = unsafe { entry.assume_init() };
                return Ok(entry.pw_uid);
            }
            libc::ERANGE if room.len() < MAX_ENTRY => room.resize(room.len() * 2, 0),
            // What some databases say for "none" (getpwnam(3)).
            libc::ENOENT | libc::ESRCH => return Err(UnknownUser::Missing(name.to_owned())),
            errno => return Err(failed(io::Error::from_raw_os_error(errno))),
        }
    }
}

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

    use super::{UnknownUser, listener, parent, uid_of};

    #[test]
    fn a_user_is_found_by_name() {
        assert_eq!(uid_of("root").unwrap(), 0);
        let none = uid_of("no-such-user-here");
        assert!(matches!(none, Err(UnknownUser::Missing(_))), "{none:?}");
    }

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
