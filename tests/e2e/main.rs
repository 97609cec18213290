//! The real programs, on real packets, in namespaces that each test makes for
//! itself.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod block;
mod clock;
mod drift;
mod faults;
mod fields;
mod guards;
mod instruments;
mod kill;
mod lifting;
mod log_layout;
mod long;
mod offenders;
mod pipelines;
mod restart;
mod scripts;
mod workers;
