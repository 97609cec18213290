//! One block of settings, held against the table of elements.

use crate::config::report::Report;
use crate::config::schema::{self, Daemon, Parent, Use};
use crate::config::xml::Node;
use crate::diag::suggest;

/// The settings of one block that are ours, each known to stand where it may.
pub(crate) struct Block<'a> {
    pub(crate) node: &'a Node,
    settings: Vec<(&'static str, Use, &'a Node)>,
}

/// What to do about settings that this version does not build.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unbuilt {
    Refuse,
    /// The block is switched off, so nothing it asks for is left undone.
    Allow,
}

impl<'a> Block<'a> {
    /// Reports every element that does not belong there.
    pub(crate) fn read(
        node: &'a Node,
        parent: Parent,
        daemon: Daemon,
        unbuilt: Unbuilt,
        report: &mut Report<'_>,
    ) -> Self {
        if !node.text.is_empty() {
            let message = format!("text directly inside {} is ignored", parent.tag());
            report.warning(node.text_at, message, "remove it, or make it a comment");
        }
        unknown_attributes(node, &[], report);
        let mut settings = Vec::new();
        for child in &node.children {
            let Some(element) = schema::find(parent, &child.name) else {
                unknown(child, parent, report);
                continue;
            };
            let used = element.used_by(daemon);
            match used {
                Use::Value | Use::Exact | Use::Section => {
                    settings.push((element.name, used, child));
                }
                Use::Skipped => report.skipped_settings += 1,
                Use::Later(_) if unbuilt == Unbuilt::Allow => {}
                Use::Later(instead) => {
                    let message = format!("<{}> is not in this version", child.name);
                    report.error(child.name_at, message, instead);
                }
                Use::Elsewhere => elsewhere(child, daemon, report),
            }
        }
        Self { node, settings }
    }

    /// All elements with this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a Node> {
        self.settings
            .iter()
            .filter(move |(known, _, _)| *known == name)
            .map(|(_, _, node)| *node)
    }

    /// The element with this name; the last one, as in Wazuh, with a warning.
    pub(crate) fn one(&self, name: &str, report: &mut Report<'_>) -> Option<&'a Node> {
        let mut found = None;
        for node in self.all(name) {
            if let Some(earlier) = found.replace(node) {
                let line = report.line(earlier.name_at);
                let message = format!("<{name}> stands twice in this block: this one counts");
                let hint = format!("remove it, or the one in line {line}");
                report.warning(node.name_at, message, hint);
            }
        }
        found
    }

    /// The text of the element with this name; `None` if it is missing or
    /// has been reported.
    pub(crate) fn value(&self, name: &str, report: &mut Report<'_>) -> Option<Value<'a>> {
        let node = self.one(name, report)?;
        let (_, used, _) = self.settings.iter().find(|(known, _, _)| *known == name)?;
        value(node, *used, report)
    }
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) node: &'a Node,
    pub(crate) text: &'a str,
}

/// The text of an element that has no children. Warns where Wazuh would have
/// read something else.
pub(crate) fn value<'a>(node: &'a Node, used: Use, report: &mut Report<'_>) -> Option<Value<'a>> {
    let name = &node.name;
    if let Some(child) = node.children.first() {
        let message = format!("<{name}> takes a text here, not another element");
        let text = match child.text.as_str() {
            "" => "…",
            text => text,
        };
        let hint = format!("write <{name}>{text}</{name}>");
        report.error(child.name_at, message, hint);
        return None;
    }
    if node.padded && used == Use::Exact {
        let message = format!(
            "blanks around the value of <{name}> are left out; Wazuh 4.x takes them for a part of it"
        );
        let hint = format!("write <{name}>{}</{name}>", node.text);
        report.warning(node.text_at, message, hint);
    }
    if node.entities {
        let message = format!("the value of <{name}> is read as `{}`", node.text);
        let hint = "Wazuh 4.x knows no entities and takes &amp; for five characters";
        report.warning(node.text_at, message, hint);
    }
    if node.text.contains(char::REPLACEMENT_CHARACTER) {
        let message = format!("the value of <{name}> is not readable text");
        report.error(node.text_at, message, "save the file as UTF-8");
        return None;
    }
    Some(Value {
        node,
        text: &node.text,
    })
}

/// Wazuh ignores attributes; so do we, but not in silence.
pub(crate) fn unknown_attributes(node: &Node, known: &[&str], report: &mut Report<'_>) {
    for attribute in &node.attributes {
        if !known.contains(&attribute.name.as_str()) {
            let message = format!(
                "the attribute `{}` of <{}> has no effect",
                attribute.name, node.name
            );
            report.warning(attribute.at, message, "remove it");
        }
    }
}

pub(crate) fn elsewhere(node: &Node, daemon: Daemon, report: &mut Report<'_>) {
    let other = match daemon {
        Daemon::Manager => Daemon::Agent,
        Daemon::Agent => Daemon::Manager,
    };
    let message = format!("<{}> has no meaning in {}", node.name, daemon.file());
    report.error(
        node.name_at,
        message,
        format!("move it to {}", other.file()),
    );
}

fn unknown(node: &Node, parent: Parent, report: &mut Report<'_>) {
    let name = &node.name;
    let message = format!("unknown element <{name}> in {}", parent.tag());
    let other = schema::ELEMENTS.iter().find(|element| {
        element.name == name && !matches!(element.parent, Parent::Top) && element.parent != parent
    });
    let hint = match (suggest(name, schema::names(parent)), other) {
        (Some(meant), _) => format!("did you mean <{meant}>?"),
        (None, Some(element)) => match element.parent {
            Parent::Root => "it is a block of its own: is a closing tag missing before it?".into(),
            Parent::Top
            | Parent::Command
            | Parent::ActiveResponse
            | Parent::Global
            | Parent::Client
            | Parent::AlertSource => format!("it belongs inside {}", element.parent.tag()),
        },
        (None, None) => {
            let known: Vec<&str> = schema::ELEMENTS
                .iter()
                .filter(|element| element.parent == parent)
                .filter(|element| element.manager != Use::Skipped || element.agent != Use::Skipped)
                .map(|element| element.name)
                .collect();
            format!("known here: {}", known.join(", "))
        }
    };
    report.error(node.name_at, message, hint);
}
