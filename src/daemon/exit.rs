//! The codes with which the daemons and `ripostctl` end, as in sysexits.h.
//! Service managers and scripts rely on them.

/// Done; for a check: no errors, perhaps warnings.
pub const DONE: u8 = 0;
/// Failed; for a check: the configuration has errors.
pub const FAILED: u8 = 1;
/// `EX_USAGE`: the command line is wrong. Trying again is of no use.
pub const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: no daemon can be reached.
pub const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: an error inside the program, such as an answer that breaks
/// the protocol.
pub const INTERNAL: u8 = 70;
/// `EX_TEMPFAIL`: not now; the same command may succeed later.
pub const TRY_AGAIN: u8 = 75;
/// `EX_NOPERM`: this user may not.
pub const NOT_PERMITTED: u8 = 77;
/// `EX_CONFIG`: a daemon cannot start for its configuration.
pub const CONFIGURATION: u8 = 78;
