//! What makes a daemon of the parts: options, and the codes it ends with.

pub mod exit;
pub mod options;
