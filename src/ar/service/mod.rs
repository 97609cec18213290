//! Services of the host, restarted through what started them: systemd, or the
//! scripts of OpenRC and of System V. Never one of ours: whoever restarts the
//! agent in the middle of its own work has [`agent`] for it.

pub mod agent;
mod systemd;

use std::time::Duration;

use super::tool::{Tool, ToolError};
use super::{Done, Fail};
use crate::model::bundled::Backend;
use crate::sys::host;
use systemd::Systemctl;

/// Stopping and starting, in less than the daemon allows.
const LIMIT: Duration = Duration::from_secs(20);

/// For a question.
const ASK: Duration = Duration::from_secs(4);

/// What our own units and scripts begin with.
const OURS: &str = "ripost-";

/// Why a service does not run as it should.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error(
        "find the service {0}: systemd has no unit of this name\n(`systemctl list-units --type service` shows all)"
    )]
    Unknown(String),
    #[error("restart {id}: its unit is {state}\n(see `systemctl status {id}`)")]
    NotLoaded { id: String, state: String },
    #[error(
        "restart {id}: it is {state} afterwards ({result})\n(`journalctl -u {id}` may tell why)"
    )]
    NotActive {
        id: String,
        state: String,
        result: String,
    },
    #[error(
        "restart {0}: it runs, but was not started anew\n(see `systemctl show {0}` and `systemctl list-jobs`)"
    )]
    Same(String),
    #[error("find rc-service or service\n(nothing known starts services on this host)")]
    NoManager(#[source] ToolError),
    #[error("look whether {name} runs again\n(see `{manager} {name} status`)")]
    Status {
        name: String,
        manager: &'static str,
        #[source]
        source: ToolError,
    },
}

/// With what services are restarted on this host.
pub fn backend() -> Backend {
    if host::has_systemd() {
        Backend::Systemd
    } else {
        Backend::InitScripts
    }
}

/// Restarts a service and looks whether it runs again.
pub fn restart(name: &str) -> Result<Done, Fail> {
    if name.starts_with(OURS) {
        return Ok(refused(name));
    }
    if host::has_systemd() {
        return Systemctl::find()?.restart(name);
    }
    restart_by_script(name)
}

fn refused(name: &str) -> Done {
    Done::refused(format!(
        "refused {name}: it is one of Ripost's own (restart-wazuh restarts the agent)"
    ))
}

fn restart_by_script(name: &str) -> Result<Done, Fail> {
    let name = name.strip_suffix(".service").unwrap_or(name);
    let (tool, manager) = match Tool::find("rc-service", "") {
        Ok(tool) => (tool, "rc-service"),
        Err(_) => (
            Tool::find("service", "").map_err(ServiceError::NoManager)?,
            "service",
        ),
    };
    tool.run(&[name, "restart"], LIMIT)?.done()?;
    let status = tool.run(&[name, "status"], ASK)?.done();
    status.map_err(|source| ServiceError::Status {
        name: name.to_owned(),
        manager,
        source,
    })?;
    Ok(Done::applied())
}
