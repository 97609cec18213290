//! Alerts that are sent by HTTP: the source alone, with an owner that a test
//! plays, and behind the real daemons.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and looks at the time"
)]

#[expect(dead_code, reason = "shared with tests that use all of it")]
#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod client;
mod daemon;
mod limits;
mod names;
mod owner;
mod requests;
