//! The words of the domain as types, parsed once at the edge.
//!
//! Nothing here does input or output or asks for the time. A value that
//! exists is valid; text that does not parse never gets past the module that
//! read it.

pub mod action;
pub mod bundled;
mod ids;
mod keys;
mod level;
pub mod os_regex;
pub mod position;
pub mod record;
pub mod span;
mod target;

pub use action::{Action, ActionState, AgentRef, Location, Mode, RuleRef};
pub use ids::{ActionId, AgentId, CommandName, ExeName, GroupName, InvalidName, RuleId};
pub use keys::{InvalidKeys, Keys};
pub use level::{InvalidLevel, Level};
pub use record::Record;
pub use target::{InvalidTarget, Target};
