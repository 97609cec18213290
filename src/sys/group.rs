//! Groups of the system by their names.

use std::ffi::CString;
use std::io;
use std::ptr;

use rustix::fs::Gid;

/// Longer entries of the group database are not looked at, in bytes.
const MAX_ENTRY: usize = 1 << 20;

/// The id of a group, by its name or the number itself. `None`: there is none
/// of that name.
///
/// # Errors
/// The group database cannot be asked.
pub fn id_of(name: &str) -> io::Result<Option<Gid>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(Gid::from_raw(number)));
    }
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    let mut room = vec![0; 1 << 12];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` ends with a NUL; `entry` and `room` may be written to
        // for as long as the call takes, and `room` has the length that is told.
        let error = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                room.as_mut_ptr(),
                room.len(),
                &raw mut found,
            )
        };
        match error {
            libc::ERANGE if room.len() < MAX_ENTRY => room.resize(room.len() * 4, 0),
            // getgrnam(3): what is not found may be said in any of these ways.
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM if found.is_null() => {
                return Ok(None);
            }
            0 => {
                // SAFETY: the call has succeeded and found an entry, which is then
                // in `entry`.
                let entry = unsafe { entry.assume_init() };
                return Ok(Some(Gid::from_raw(entry.gr_gid)));
            }
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::id_of;

    #[test]
    fn a_group_is_found_by_its_name_or_number() {
        assert_eq!(id_of("root").unwrap().unwrap().as_raw(), 0);
        assert_eq!(id_of("4711").unwrap().unwrap().as_raw(), 4711);
        assert_eq!(id_of("no such group").unwrap(), None);
        assert_eq!(id_of("ro\0ot").unwrap(), None);
    }
}
