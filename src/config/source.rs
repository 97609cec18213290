//! `<alert_source>`: where the manager reads alerts.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::block::{Block, Unbuilt, Value};
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::value::{self, Origin};
use crate::config::xml::Node;

/// The shape of the alerts of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Told from each line.
    Auto,
    /// Wazuh 4.x `alerts.json`.
    Wazuh,
}

/// Where reading starts if no position is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartAt {
    End,
    Beginning,
}

/// One source of alerts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AlertSource {
    /// A file; below the home unless it is absolute.
    pub location: PathBuf,
    pub format: Format,
    pub start_at: StartAt,
    /// Alerts that are older by their own timestamp are not acted upon.
    pub max_age: Option<Duration>,
}

impl Default for AlertSource {
    /// What is read if a file names no source.
    fn default() -> Self {
        Self {
            location: "logs/alerts/alerts.json".into(),
            format: Format::Auto,
            start_at: StartAt::End,
            max_age: None,
        }
    }
}

#[derive(Clone, Copy)]
enum Known {
    Built(Format),
    Later,
}

const FORMATS: [(&str, Known); 3] = [
    ("auto", Known::Built(Format::Auto)),
    ("wazuh", Known::Built(Format::Wazuh)),
    ("ossec", Known::Later),
];

const STARTS: [(&str, StartAt); 2] = [("end", StartAt::End), ("beginning", StartAt::Beginning)];

/// Reads one block; `None` if something in it is wrong.
pub(crate) fn read(
    node: &Node,
    earlier: &[AlertSource],
    report: &mut Report<'_>,
) -> Option<AlertSource> {
    let block = Block::read(
        node,
        Parent::AlertSource,
        Daemon::Manager,
        Unbuilt::Refuse,
        report,
    );
    let location = location(&block, earlier, report);
    let format = block.setting("format", report, format);
    let start_at = block.setting("start_at", report, |value, report| {
        value::word(value, &STARTS, "end or beginning", report)
    });
    let max_age = block.setting("max_age", report, |value, report| {
        value::duration(value, Origin::Ours, report)
    });
    let default = AlertSource::default();
    Some(AlertSource {
        location: location?,
        format: format.ok()?.unwrap_or(default.format),
        start_at: start_at.ok()?.unwrap_or(default.start_at),
        max_age: max_age.ok()?,
    })
}

fn format(value: Value<'_>, report: &mut Report<'_>) -> Option<Format> {
    match value::word(value, &FORMATS, "auto or wazuh", report)? {
        Known::Built(format) => Some(format),
        Known::Later => {
            let message = format!("the format {} is not in this version", value.text);
            report.error(
                value.node.text_at,
                message,
                "write wazuh, and read alerts.json",
            );
            None
        }
    }
}

fn location(
    block: &Block<'_>,
    earlier: &[AlertSource],
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let hint = "write a file, such as <location>/var/ossec/logs/alerts/alerts.json</location>";
    if block.lacks("location") {
        let message = "this <alert_source> has no <location>";
        report.error(block.node.name_at, message, hint);
    }
    let value = block.value("location", report)?;
    let (at, text) = (value.node.text_at, value.text);
    if text == "-"
        || ["unix:", "tcp:", "http:", "https:"]
            .iter()
            .any(|p| text.starts_with(p))
    {
        report.error(
            at,
            format!("the source {text} is not in this version"),
            hint,
        );
        return None;
    }
    if text.is_empty() {
        report.error(at, "<location> is empty", hint);
        return None;
    }
    if text.ends_with('/') || text.contains(char::is_control) {
        report.error(at, format!("`{text}` is no file"), hint);
        return None;
    }
    let location = PathBuf::from(text);
    if earlier.iter().any(|source| source.location == location) {
        let message = format!("{text} is read already: each alert would count twice");
        report.error(at, message, "remove one of the two <alert_source> blocks");
        return None;
    }
    Some(location)
}
