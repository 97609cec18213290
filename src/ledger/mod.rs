//! What became of each action: pure state machines. Moments come in from
//! outside, what is to be done and written goes out; nothing here waits, asks
//! for the time, or touches a disk.

pub mod agent;
pub mod end;
pub mod offences;
pub mod reverts;
