//! The protocol between the daemons and an executable, and nothing else: what
//! goes to its stdin, what it may print, and what both mean. Shared by the
//! executor, which speaks the daemon's side, and by the bundled executables.

pub mod field;
pub mod input;
pub mod json;
pub mod reply;
pub mod request;
pub mod target;
mod v5;
pub mod words;
pub mod worker;
