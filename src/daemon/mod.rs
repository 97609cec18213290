//! What makes a daemon of the parts: options, start, signals, reload, stop, and
//! the codes it ends with.

mod agentd;
mod enroll;
pub mod exit;
mod failure;
mod manager;
mod network;
mod notify;
pub mod options;
mod reload;
mod signals;
#[cfg(test)]
mod simulation;
mod start;

pub use agentd::main as agentd_main;
pub use manager::main as manager_main;
