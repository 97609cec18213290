//! Configuration: text in, a typed value or all its problems out.
//!
//! Reading has no side effect, so that a check, a reload that fails and a
//! simulation cannot touch anything. A value that comes out is valid: nothing
//! has to be checked again by those who use it.

mod agent;
mod agents;
mod block;
pub mod client;
mod command;
mod contract;
mod load;
mod location;
mod manager;
mod report;
mod response;
pub mod schema;
mod sections;
mod selectors;
mod source;
mod value;
mod when;
mod white_list;
mod xml;

use std::path::PathBuf;

use crate::diag::Diagnostics;

pub use agent::AgentConfig;
pub use agents::AgentsConfig;
pub use command::Command;
pub use load::{AnyConfig, agent, check_any, load_agent, load_any, load_manager, manager};
pub use location::Where;
pub use manager::ManagerConfig;
pub use response::Response;
pub use source::{AlertSource, Format, StartAt};
pub use when::{GroupPattern, When};

/// What a file is checked against besides itself.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// With a home, executables that it lacks are warned of.
    pub home: Option<PathBuf>,
}

/// The outcome of reading a file.
#[derive(Debug)]
pub struct Checked<T> {
    /// `None` if there is any error.
    pub value: Option<T>,
    pub diagnostics: Diagnostics,
    /// What the file holds, in one line.
    pub summary: String,
    /// The text that was checked.
    source: String,
}

impl<T> Checked<T> {
    /// All problems, each with its line and a caret; empty if there are none.
    pub fn problems(&self) -> String {
        self.diagnostics.render(&self.source)
    }
}
