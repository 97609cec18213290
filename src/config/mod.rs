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
mod field_map;
mod files;
mod global;
mod lists;
mod load;
mod location;
mod manager;
mod offenders;
mod order;
mod outline;
mod protected;
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
pub use crate::model::Logic;

pub use agent::{AgentConfig, OnStop};
pub use agents::AgentsConfig;
pub use command::Command;
pub use files::of_configuration;
pub use lists::relist;
pub use load::{AnyConfig, agent, check_any, load_agent, load_any, load_manager, manager};
pub use location::Where;
pub use manager::ManagerConfig;
pub use outline::{Part, outline};
pub use protected::{Entries, List, Protected};
pub use response::Response;
pub use source::{AlertSource, Format, HttpDoor, Location, StartAt, TcpDoor, UnixSocket};
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
    /// The texts that were checked.
    sources: Vec<(PathBuf, String)>,
}

impl<T> Checked<T> {
    /// All problems, each with its line and a caret; empty if there are none.
    pub fn problems(&self) -> String {
        self.diagnostics.render(&self.sources)
    }

    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Checked<U> {
        Checked {
            value: self.value.map(map),
            diagnostics: self.diagnostics,
            summary: self.summary,
            sources: self.sources,
        }
    }
}
