//! `<active-response>` on a manager: when, where and for how long a command runs.

use std::sync::Arc;
use std::time::Duration;

use crate::config::block::{Block, Unbuilt, Value};
use crate::config::command::{Command, Commands, Lookup};
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::value::{self, Origin};
use crate::config::when::{self, When};
use crate::config::xml::Node;
use crate::model::Location;

/// Where a response runs: at least one place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Locations {
    local: bool,
    server: bool,
}

impl Locations {
    pub fn iter(self) -> impl Iterator<Item = Location> {
        let local = self.local.then_some(Location::Local);
        local
            .into_iter()
            .chain(self.server.then_some(Location::Server))
    }

    pub fn contains(self, location: Location) -> bool {
        match location {
            Location::Local => self.local,
            Location::Server => self.server,
        }
    }
}

/// A response that is switched on.
#[derive(Clone, Debug)]
pub struct Response {
    pub command: Arc<Command>,
    pub location: Locations,
    pub when: When,
    /// How long it stays in force. `None`: stateless.
    pub timeout: Option<Duration>,
    /// The block's own settings and those of its command in one spelling,
    /// wherever it stands and however it is laid out. Ids of actions are
    /// derived from it, so its form must not change between versions.
    pub text: String,
    /// The line its block starts in.
    pub line: usize,
}

/// What a block turned out to be.
pub(crate) enum Read {
    Response(Box<Response>),
    Disabled,
    /// The form an agent's file has: nothing but `<disabled>no</disabled>`.
    Nothing,
    /// Reported.
    Wrong,
}

/// Reads one block.
pub(crate) fn read(node: &Node, commands: &Commands, report: &mut Report<'_>) -> Read {
    let disabled = node.children.iter().rev().find(|c| c.name == "disabled");
    let off = disabled.is_some_and(|value| value.text == "yes");
    let unbuilt = if off { Unbuilt::Allow } else { Unbuilt::Refuse };
    let block = Block::read(
        node,
        Parent::ActiveResponse,
        Daemon::Manager,
        unbuilt,
        report,
    );
    let switch = block.value("disabled", report);
    if switch.is_some_and(|value| value::yes_or_no(value, report).is_none()) {
        return Read::Wrong;
    }
    if only_disabled(node) {
        return if off { Read::Disabled } else { Read::Nothing };
    }
    let when = when::read(&block, report);
    let location = setting(&block, "location", off, report).map(|v| location(v, off, report));
    let timeout = block
        .value("timeout", report)
        .map(|value| (value, value::duration(value, Origin::Wazuh, report)));
    let command = setting(&block, "command", off, report);
    if off {
        return Read::Disabled;
    }
    if when.as_ref().is_some_and(When::is_never) && !node.broken {
        let message = "this <active-response> never runs: it names no rule";
        let hint = "write <rules_id>, <rules_group> or <level>; or remove the block";
        report.warning(node.name_at, message, hint);
    }
    let command = command.and_then(|value| look_up(value, commands, report));
    let (Some(when), Some(Some(location)), Some(command)) = (when, location, command) else {
        return Read::Wrong;
    };
    let timeout = match timeout {
        Some((value, Some(span))) => allowed(value, span, &command, report),
        Some((_, None)) => return Read::Wrong,
        None => None,
    };
    let text = canonical(&command, location, &when, timeout);
    Read::Response(Box::new(Response {
        command,
        location,
        when,
        timeout,
        text,
        line: report.line(node.name_at),
    }))
}

fn only_disabled(node: &Node) -> bool {
    let of_agents = ["disabled", "ca_store", "ca_verification"];
    node.children
        .iter()
        .all(|child| of_agents.contains(&child.name.as_str()))
        && !node.children.is_empty()
}

/// A setting that a response needs, unless it is switched off.
fn setting<'a>(
    block: &Block<'a>,
    name: &str,
    off: bool,
    report: &mut Report<'_>,
) -> Option<Value<'a>> {
    if block.all(name).next().is_some() {
        return block.value(name, report);
    }
    if !off && !block.node.broken {
        let message = format!("this <active-response> has no <{name}>");
        let hint = match name {
            "location" => {
                "write <location>local</location> to run on the agent the alert came from"
            }
            _ => "write <command>NAME</command> with the name of a <command> block",
        };
        report.error(block.node.name_at, message, hint);
    }
    None
}

fn look_up(value: Value<'_>, commands: &Commands, report: &mut Report<'_>) -> Option<Arc<Command>> {
    match commands.find(value.text) {
        Lookup::Found(command) => Some(command),
        Lookup::Unusable => None,
        Lookup::Unknown => {
            let message = match value.text {
                "" => "<command> is empty".to_owned(),
                name => format!("the command {name} is not declared"),
            };
            report.error(value.node.text_at, message, commands.instead_of(value.text));
            None
        }
    }
}

/// Nothing and 0 are the same: stateless.
fn allowed(
    value: Value<'_>,
    span: Duration,
    command: &Command,
    report: &mut Report<'_>,
) -> Option<Duration> {
    if span.is_zero() {
        return None;
    }
    if !command.timeout_allowed {
        let name = &command.name;
        let message = format!("{name} has no <timeout_allowed>: it runs once and is not reverted");
        let hint = format!(
            "write <timeout_allowed>yes</timeout_allowed> in the command {name}, or remove <timeout>"
        );
        report.warning(value.node.text_at, message, hint);
        return None;
    }
    Some(span)
}

const WORDS: [(&str, Option<Location>); 8] = [
    ("local", Some(Location::Local)),
    ("server", Some(Location::Server)),
    ("analysis-server", Some(Location::Server)),
    ("analysisd", Some(Location::Server)),
    ("as", Some(Location::Server)),
    ("defined-agent", None),
    ("all", None),
    ("any", None),
];

/// Words between blanks or commas. Wazuh looks for them anywhere in the text,
/// so that `last` is the server there (`as`) and `company` every agent (`any`).
fn location(value: Value<'_>, off: bool, report: &mut Report<'_>) -> Option<Locations> {
    let mut found = Locations {
        local: false,
        server: false,
    };
    let mut wrong = false;
    let words = value.text.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        let folded = word.to_ascii_lowercase();
        match WORDS.iter().find(|(known, _)| *known == folded) {
            Some((_, Some(Location::Local))) => found.local = true,
            Some((_, Some(Location::Server))) => found.server = true,
            Some((_, None)) if off => {}
            Some((_, None)) => {
                let message = format!("the location {word} is not in this version");
                let hint = "write local or server; this version serves one host";
                report.error(value.node.text_at, message, hint);
                wrong = true;
            }
            None => {
                unknown_location(value, word, &folded, report);
                wrong = true;
            }
        }
    }
    if wrong {
        return None;
    }
    if !off && !found.local && !found.server {
        let hint = "write local for the agent the alert came from, or server for this host";
        report.error(value.node.text_at, "<location> is empty", hint);
        return None;
    }
    Some(found)
}

fn unknown_location(value: Value<'_>, word: &str, folded: &str, report: &mut Report<'_>) {
    let taken_for = WORDS.iter().find(|(known, _)| folded.contains(known));
    let hint = match taken_for {
        Some((known, _)) => format!("Wazuh 4.x takes it for {known}; write that if it is meant"),
        None => "write local for the agent the alert came from, or server for this host".into(),
    };
    let message = format!("`{word}` is no location");
    report.error(value.node.text_at, message, hint);
}

fn canonical(
    command: &Command,
    location: Locations,
    when: &When,
    timeout: Option<Duration>,
) -> String {
    let places: Vec<&str> = location.iter().map(Location::as_str).collect();
    let mut ids: Vec<&str> = when.rules_id.iter().map(|id| id.as_str()).collect();
    ids.sort_unstable();
    let group = when.rules_group.as_ref().map(|group| group.text.as_str());
    // Destructured, so that a new setting cannot be forgotten here.
    let Command {
        name,
        executable,
        timeout_allowed,
        extra_args,
        contract,
        revert,
        execution_timeout,
        handshake_timeout,
    } = command;
    let level = when.level.map(|level| level.number());
    format!(
        "command={:?} executable={:?} timeout_allowed={timeout_allowed} extra_args={extra_args:?} \
         contract={contract:?} revert={revert:?} execution_timeout={:?} handshake_timeout={:?} \
         location={places:?} level={level:?} rules_group={group:?} rules_id={ids:?} timeout={:?}",
        name.as_str(),
        executable.as_str(),
        execution_timeout.map(|span| span.as_secs()),
        handshake_timeout.map(|span| span.as_secs()),
        timeout.map(|span| span.as_secs()),
    )
}
