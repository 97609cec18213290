//! What is written for people and machines to read later: every state of every
//! action (`responses`) and the operator log (`operator`). What a remote party
//! can cause to be written to the latter goes through a `Limiter`.

mod limiter;
pub mod operator;
mod responses;

pub use limiter::Limiter;
pub use responses::ResponsesLog;
