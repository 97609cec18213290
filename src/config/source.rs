//! `<alert_source>`: where the manager reads alerts.

mod door;
mod format;
mod http;
mod location;
mod map;

use std::time::Duration;

use crate::config::Context;
use crate::config::block::{Block, Unbuilt, Value};
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::value::{self, Origin};
use crate::config::xml::Node;
use crate::model::AgentId;

pub use format::Format;
pub use http::HttpDoor;
pub use location::{Location, TcpDoor, UnixSocket};

/// Where reading starts if no position is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartAt {
    End,
    Beginning,
}

/// One source of alerts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AlertSource {
    pub location: Location,
    pub format: Format,
    pub start_at: StartAt,
    /// Alerts that are older by their own timestamp are not acted upon.
    pub max_age: Option<Duration>,
    /// Whose alerts these are where they name no agent.
    pub agent: Option<AgentId>,
}

impl Default for AlertSource {
    /// What is read if a file names no source.
    fn default() -> Self {
        Self {
            location: Location::File("logs/alerts/alerts.json".into()),
            format: Format::Auto,
            start_at: StartAt::End,
            max_age: None,
            agent: None,
        }
    }
}

const STARTS: [(&str, StartAt); 2] = [("end", StartAt::End), ("beginning", StartAt::Beginning)];

/// Reads one block, which is a source for each of its locations; none if
/// something in it is wrong.
pub(crate) fn read(
    node: &Node,
    earlier: &[AlertSource],
    context: &Context,
    report: &mut Report<'_>,
) -> Vec<AlertSource> {
    let block = Block::read(
        node,
        Parent::AlertSource,
        Daemon::Manager,
        Unbuilt::Refuse,
        report,
    );
    let mut locations = locations(&block, earlier, report);
    let doors = door::read(&block, &mut locations, report);
    let requests = http::read(&block, &mut locations, context, report);
    let is_right = doors.and(requests).is_ok();
    let Some(settings) = settings(&block, &locations, report).filter(|_| is_right) else {
        return Vec::new();
    };
    let source = |location| AlertSource {
        location,
        ..settings.clone()
    };
    locations.into_iter().map(source).collect()
}

/// What the block says of all its locations; `None` if something is wrong.
fn settings(
    block: &Block<'_>,
    locations: &[Location],
    report: &mut Report<'_>,
) -> Option<AlertSource> {
    let format = format::read(block, report);
    let agent = block.setting("agent_id", report, agent);
    let start_at = block.setting("start_at", report, |value, report| {
        if !locations.is_empty() && !locations.iter().any(Location::has_position) {
            let message = "<start_at> has no effect: nothing is there before it is sent";
            report.warning(value.node.name_at, message, "remove it");
        }
        value::word(value, &STARTS, "end or beginning", report)
    });
    let max_age = block.setting("max_age", report, |value, report| {
        value::duration(value, Origin::Ours, report)
    });
    let default = AlertSource::default();
    Some(AlertSource {
        format: format?,
        start_at: start_at.ok()?.unwrap_or(default.start_at),
        max_age: max_age.ok()?,
        agent: agent.ok()?,
        ..default
    })
}

fn agent(value: Value<'_>, report: &mut Report<'_>) -> Option<AgentId> {
    match AgentId::parse(value.text) {
        Ok(id) => Some(id),
        Err(_) => {
            let message = match value.text {
                "" => "<agent_id> is empty".to_owned(),
                text => format!("`{text}` is not the id of one agent"),
            };
            let hint = "write the id of the host that the sensor is on, such as 007";
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

fn locations(block: &Block<'_>, earlier: &[AlertSource], report: &mut Report<'_>) -> Vec<Location> {
    if block.lacks("location") {
        let message = "this <alert_source> has no <location>";
        report.error(block.node.name_at, message, location::HINT);
    }
    let mut found: Vec<Location> = Vec::new();
    for node in block.all("location") {
        let Some(value) = block.text(node, report) else {
            continue;
        };
        let Some(location) = location::read(value, report) else {
            continue;
        };
        let earlier = earlier.iter().map(|source| &source.location);
        if let Some(same) = earlier.chain(&found).find(|other| other.meets(&location)) {
            let (message, hint) = twice(&location, same);
            report.error(value.node.text_at, message, hint);
        } else {
            found.push(location);
        }
    }
    found
}

fn twice(location: &Location, same: &Location) -> (String, &'static str) {
    match (location, same) {
        (Location::StandardInput, _) => (
            "standard input is read already".to_owned(),
            "remove one of the two",
        ),
        (Location::File(_) | Location::Glob(_), _) if location != same => (
            format!("{location} is read already, as {same} says: each alert would count twice"),
            "remove one of the two, or write a pattern that does not fit the file",
        ),
        (Location::File(_) | Location::Glob(_), _) => (
            format!("{location} is read already: each alert would count twice"),
            "remove one of the two <location>",
        ),
        (
            Location::UnixStream(_)
            | Location::UnixDatagram(_)
            | Location::Tcp(_)
            | Location::Http(_),
            _,
        ) => (
            format!("{same} is there already, and only one can listen"),
            "remove one of the two, or choose another place",
        ),
    }
}
