//! The agent itself, restarted by what it runs. It starts what was interrupted
//! once more, and a restart may interrupt this very run, so what was asked for
//! is written down first, in `queue/restart-wazuh.json`: an object with the
//! `boot_id` and the process of the agent, when in that boot it was asked for,
//! and the SHA-256 of the alert.

use std::io;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::systemd::Systemctl;
use crate::ar::{Done, Fail};
use crate::clock::{self, BootId};
use crate::contract::json::Value;
use crate::sys::fs;
use crate::sys::host;
use crate::sys::process::ProcessId;

const MEMORY: &str = "queue/restart-wazuh.json";

/// The unit, where the cgroup of the agent names none.
const UNIT: &str = "ripost-agentd.service";

/// An agent that was restarted is left alone for so long: an alert about the
/// start of an agent must not restart it for ever.
const REST: Duration = Duration::from_secs(60);

/// Why the agent is not restarted.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error(
        "restart the agent: systemd does not run this host\n(restart it through what started it)"
    )]
    NoSystemd,
    #[error("find the agent: the process {0} that ran this is gone")]
    Gone(u32),
    #[error(
        "find the unit of the agent: process {0} is no unit's main process\n(have {UNIT} start the agent, or restart it through what started it)"
    )]
    NoUnit(u32),
    #[error("learn the boot id\n(is /proc mounted?)")]
    BootId(#[source] io::Error),
}

#[derive(Deserialize, Eq, PartialEq, Serialize)]
struct Asked {
    boot_id: BootId,
    process: ProcessId,
    /// Milliseconds since the boot.
    at: u64,
    alert: String,
}

/// Has the agent that runs this restarted, once for an alert. It is about to be
/// stopped when this returns.
pub fn restart(alert: Option<&Value<'_>>) -> Result<Done, Fail> {
    if !host::has_systemd() {
        return Err(AgentError::NoSystemd.into());
    }
    let agent = parent_id();
    let process = i32::try_from(agent).ok().and_then(ProcessId::of);
    let asked = Asked {
        boot_id: clock::boot_id().map_err(AgentError::BootId)?,
        process: process.ok_or(AgentError::Gone(agent))?,
        at: clock::boot().millis(),
        alert: fingerprint(alert),
    };
    if let Some(done) = before()?.and_then(|before| asked.follows(&before)) {
        return Ok(done);
    }
    let systemctl = Systemctl::find()?;
    let unit = unit_of(agent, &systemctl)?;
    let text = serde_json::to_vec(&asked).expect("texts and numbers are JSON");
    fs::replace_secret(Path::new(MEMORY), &text)?;
    if let Err(why) = systemctl.restart_soon(&unit) {
        fs::remove(Path::new(MEMORY))?;
        return Err(why.into());
    }
    Ok(Done::applied().saying(format!("systemd was asked to restart {unit}")))
}

impl Asked {
    /// What there is to say if an earlier restart is reason enough for none.
    fn follows(&self, before: &Self) -> Option<Done> {
        let is_another = (&self.boot_id, self.process) != (&before.boot_id, before.process);
        if !is_another {
            // Not restarted yet, or not at all; systemd merges what is asked
            // for twice.
            return None;
        }
        if self.alert == before.alert {
            return Some(Done::applied().saying("the agent was restarted for this alert before"));
        }
        let ago = Duration::from_millis(self.at.saturating_sub(before.at));
        (self.boot_id == before.boot_id && ago < REST).then(|| {
            let (ago, rest) = (ago.as_secs(), REST.as_secs());
            Done::refused(format!(
                "refused: the agent was restarted {ago} s ago, and is left alone for {rest} s"
            ))
        })
    }
}

/// The last restart that was asked for. What cannot be read is none of ours:
/// the file is for us alone and replaced as a whole.
fn before() -> Result<Option<Asked>, Fail> {
    let text = fs::read(Path::new(MEMORY))?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok())
}

/// All of an alert counts, and its debugging form shows all of it.
fn fingerprint(alert: Option<&Value<'_>>) -> String {
    let digest = Sha256::digest(format!("{alert:?}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The unit whose main process the agent is: another one would not be restarted
/// but disturbed, such as the one of cron(8) that a person started it from.
fn unit_of(agent: u32, systemctl: &Systemctl) -> Result<String, Fail> {
    let cgroups = fs::read(Path::new(&format!("/proc/{agent}/cgroup")))?.unwrap_or_default();
    let cgroups = String::from_utf8_lossy(&cgroups);
    let names = cgroups.lines().filter_map(|line| line.rsplit('/').next());
    let names = names.filter(|name| name.ends_with(".service"));
    for name in names.chain([UNIT]) {
        let unit = systemctl.show(name)?;
        if unit.main_process == agent {
            return Ok(unit.id);
        }
    }
    Err(AgentError::NoUnit(agent).into())
}

#[cfg(test)]
mod tests {
    use super::{Asked, REST, fingerprint};
    use crate::ar::Done;
    use crate::clock::boot_id;
    use crate::contract::json::parse;
    use crate::contract::reply::Status;
    use crate::sys::process::ProcessId;

    fn asked(process: i32, seconds: u64, alert: &str) -> Asked {
        Asked {
            boot_id: boot_id().unwrap(),
            process: ProcessId::played(process),
            at: seconds * 1000,
            alert: alert.to_owned(),
        }
    }

    #[test]
    fn an_agent_is_restarted_once_for_an_alert_and_not_for_ever_by_others() {
        let rest = REST.as_secs();
        let before = asked(10, 100, "a");
        let status = |now: Asked| now.follows(&before).map(|Done { status, .. }| status);
        assert_eq!(status(asked(10, 101, "a")), None);
        assert_eq!(status(asked(10, 101, "b")), None);
        assert_eq!(status(asked(11, 101, "a")), Some(Status::Applied));
        assert_eq!(status(asked(11, 99_999, "a")), Some(Status::Applied));
        assert_eq!(status(asked(11, 101, "b")), Some(Status::Refused));
        assert_eq!(status(asked(11, 100 + rest, "b")), None);
    }

    #[test]
    fn alerts_that_differ_anywhere_are_two() {
        let of = |text: &str| fingerprint(Some(&parse(text.as_bytes()).unwrap()));
        assert_eq!(of(r#"{"id":"1"}"#), of(r#"{ "id" : "1" }"#));
        assert_ne!(of(r#"{"id":"1"}"#), of(r#"{"id":"2"}"#));
        assert_ne!(of(r#"{"id":"1"}"#), fingerprint(None));
    }
}
