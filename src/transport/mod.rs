//! How manager, agents and people reach each other. On one host that is a Unix
//! socket whose peer the kernel names.

pub mod local;
pub mod session;

pub use session::{Admission, Arrival, Connection, Origin, Reception, Report};
