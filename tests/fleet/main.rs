//! A manager and its agents, each on a host of its own: the real programs,
//! real TLS and real packets, in namespaces that each test makes for itself.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "reboots and faults are for other tests")]
#[path = "../support/mod.rs"]
mod support;

mod cable;
mod capable;
mod clocks;
mod door;
mod identity;
mod isolation;
mod locations;
mod offline;
mod packets;
mod reload;
mod scene;
mod starved;
mod steering;
mod storms;
mod wire;
