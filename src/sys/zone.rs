//! What the local time zone is called.

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// The abbreviation of the local time zone at this moment, in seconds since the
/// epoch, as date(1) writes it; `None` if it has no name in ASCII.
pub fn name(seconds: i64) -> Option<String> {
    let mut broken_down = MaybeUninit::uninit();
    // SAFETY: both pointers are valid for the call, which keeps neither
    // (localtime_r(3)); the second is written to only.
    let done = unsafe { libc::localtime_r(&seconds, broken_down.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: it did not fail, so all fields are written.
    let broken_down = unsafe { broken_down.assume_init() };
    if broken_down.tm_zone.is_null() {
        return None;
    }
    // SAFETY: tm_zone is a string of the C library that stays as it is while no
    // other zone is set, which nothing here does (`set_var` is disallowed).
    let name = unsafe { CStr::from_ptr(broken_down.tm_zone) };
    name.to_str()
        .ok()
        .filter(|name| name.is_ascii())
        .map(str::to_owned)
}
