//! systemctl(1), asked in its form for programs.

use std::os::unix::process::parent_id;
use std::thread::sleep;
use std::time::Duration;

use super::{ASK, LIMIT, ServiceError, refused};
use crate::ar::tool::{Tool, ToolError};
use crate::ar::{Done, Fail};
use crate::clock;

/// How long a service may take to run after systemd has said that it started.
const START: Duration = Duration::from_secs(4);

/// How long it must run to be called running: of a simple service systemd knows
/// only that its program was started.
const STAYS: Duration = Duration::from_millis(300);

const LOOK_AGAIN: Duration = Duration::from_millis(50);

const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,Type,Result,MainPID,InvocationID";

pub(super) struct Systemctl(Tool);

/// What systemd knows of a unit.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Unit {
    /// Its own name, whatever it was asked for by.
    pub(super) id: String,
    /// 0 if it has none.
    pub(super) main_process: u32,
    load: String,
    active: String,
    kind: String,
    result: String,
    /// Another one after each start; empty before systemd 232.
    invocation: String,
}

impl Systemctl {
    pub(super) fn find() -> Result<Self, ToolError> {
        Ok(Self(Tool::find("systemctl", "it is part of systemd")?))
    }

    pub(super) fn show(&self, name: &str) -> Result<Unit, ToolError> {
        let shown = self.0.run(&["show", PROPERTIES, "--", name], ASK)?;
        Ok(Unit::parse(&shown.done()?))
    }

    /// Asks for a restart and does not wait for it.
    pub(super) fn restart_soon(&self, id: &str) -> Result<(), ToolError> {
        let args = ["--no-block", "restart", "--", id];
        self.0.run(&args, ASK)?.done().map(drop)
    }

    pub(super) fn restart(&self, name: &str) -> Result<Done, Fail> {
        let before = self.show(name)?;
        let id = before.id.clone();
        if before.load == "not-found" {
            return Err(ServiceError::Unknown(name.to_owned()).into());
        }
        // A restart of other units does other things: that of reboot.target.
        if !id.ends_with(".service") {
            let why = format!("refused {id}: it is a unit, but no service");
            return Ok(Done::refused(why));
        }
        if id.starts_with(super::OURS) || before.main_process == parent_id() {
            return Ok(refused(&id));
        }
        if before.load != "loaded" {
            let state = before.load;
            return Err(ServiceError::NotLoaded { id, state }.into());
        }
        self.0.run(&["restart", "--", &id], LIMIT)?.done()?;
        let after = self.settled(&id)?;
        if !after.is_up() {
            let (state, result) = (after.active, after.result);
            return Err(ServiceError::NotActive { id, state, result }.into());
        }
        if !after.invocation.is_empty() && after.invocation == before.invocation {
            return Err(ServiceError::Same(id).into());
        }
        Ok(Done::applied())
    }

    /// The unit once it has run for a while, or does not run any more.
    fn settled(&self, id: &str) -> Result<Unit, ToolError> {
        let start = clock::boot();
        let mut up_since = None;
        loop {
            let unit = self.show(id)?;
            let now = clock::boot();
            if unit.is_up() {
                if up_since.get_or_insert(now).until(now) >= STAYS {
                    return Ok(unit);
                }
            } else if !unit.is_moving() || start.until(now) >= START {
                return Ok(unit);
            } else {
                up_since = None;
            }
            sleep(LOOK_AGAIN);
        }
    }
}

impl Unit {
    fn parse(shown: &str) -> Self {
        let mut unit = Self::default();
        for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
            let text = value.to_owned();
            match name {
                "Id" => unit.id = text,
                "LoadState" => unit.load = text,
                "ActiveState" => unit.active = text,
                "Type" => unit.kind = text,
                "Result" => unit.result = text,
                "MainPID" => unit.main_process = value.parse().unwrap_or_default(),
                "InvocationID" => unit.invocation = text,
                _ => {}
            }
        }
        unit
    }

    /// What runs once and ends is up when it has done so without a fault.
    fn is_up(&self) -> bool {
        let has_done = self.kind == "oneshot" && self.active == "inactive";
        self.active == "active" || (has_done && self.result == "success")
    }

    fn is_moving(&self) -> bool {
        let moving = ["activating", "deactivating", "reloading", "refreshing"];
        moving.contains(&self.active.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn a_unit_is_up_when_it_runs_or_has_done_its_one_thing() {
        for (shown, is_up, is_moving) in [
            (
                "Type=simple\nActiveState=active\nResult=success",
                true,
                false,
            ),
            (
                "Type=simple\nActiveState=inactive\nResult=success",
                false,
                false,
            ),
            (
                "Type=simple\nActiveState=failed\nResult=exit-code",
                false,
                false,
            ),
            (
                "Type=notify\nActiveState=activating\nResult=success",
                false,
                true,
            ),
            (
                "Type=oneshot\nActiveState=inactive\nResult=success",
                true,
                false,
            ),
            (
                "Type=oneshot\nActiveState=failed\nResult=exit-code",
                false,
                false,
            ),
            ("", false, false),
        ] {
            let unit = Unit::parse(shown);
            assert_eq!(
                (unit.is_up(), unit.is_moving()),
                (is_up, is_moving),
                "{shown}"
            );
        }
        let unit = Unit::parse("Id=a=b.service\nMainPID=12\nMainPIDx=13\n");
        assert_eq!((unit.id.as_str(), unit.main_process), ("a=b.service", 12));
    }
}
