//! Alerts that are sent instead of written to a file: connections, datagrams
//! and standard input; and many files as one source. What a source tells is
//! looked at first, then what the real manager makes of it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test writes files, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "packets, reboots and faults are for other tests")]
#[path = "../support/mod.rs"]
mod support;

mod connections;
mod door;
mod glob;
mod manager;
mod scene;
