//! The words of the domain as types, parsed once at the edge.
//!
//! Nothing here does input or output or asks for the time. A value that
//! exists is valid; text that does not parse never gets past the module that
//! read it.

pub mod action;
pub mod bundled;
pub mod capabilities;
mod fields;
pub mod glob;
mod ids;
mod keys;
mod level;
mod log_layout;
mod logic;
pub mod mapping;
mod name_pattern;
pub mod offenders;
pub mod os_regex;
pub mod position;
pub mod record;
mod selector;
pub mod server;
pub mod span;
pub mod target;
pub mod url;

pub use action::{Action, ActionState, AgentRef, Location, Mode, RuleRef};
pub use capabilities::{Ability, Capabilities};
pub use fields::{
    EXPENDABLE, Field, FieldMap, FieldPath, InvalidFieldList, InvalidFieldPath, MAX_PATHS, Places,
};
pub use ids::{
    ActionId, AgentGroup, AgentId, AgentName, CommandName, ExeName, Fingerprint, GroupName,
    Instance, InvalidName, JournalId, Pin, RuleId,
};
pub use keys::{InvalidKeys, Keys};
pub use level::{InvalidLevel, Level};
pub use log_layout::LogLayout;
pub use logic::Logic;
pub use name_pattern::{InvalidNamePattern, NamePattern};
pub use offenders::{RepeatedOffenders, Steps};
pub use record::Record;
pub use selector::{InvalidSelector, Selector};
pub use server::ServerAddress;
pub use target::{InvalidTarget, Target};
pub use url::{InvalidUrl, Url};
