//! How manager, agents and people reach each other: on one host over a Unix
//! socket whose peer the kernel names, between hosts over TLS
//! (docs/adr/0006-transport-and-identity.md).

pub mod backoff;
pub mod dial;
pub mod enroll;
pub mod listener;
pub mod local;
pub mod pki;
pub mod places;
pub mod random;
pub mod session;
pub mod tls;
mod way;

#[cfg(test)]
mod tests;

pub use session::{Admission, Arrival, Connection, Origin, Reception, Report};
