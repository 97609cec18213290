//! From the roots of a file to the sections that concern us.

use crate::config::block::{elsewhere, unknown_attributes};
use crate::config::report::{Owner, Report};
use crate::config::schema::{self, Daemon, Parent, Use};
use crate::config::xml::{Attribute, Document, Node};
use crate::diag::suggest;

/// The sections of a file that are ours, in their order.
pub(crate) struct Sections<'a>(Vec<(&'static str, &'a Node)>);

impl<'a> Sections<'a> {
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &'a Node> {
        self.0
            .iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, node)| *node)
    }
}

/// Goes through all roots, and reports what is nobody's.
pub(crate) fn find<'a>(
    document: &'a Document,
    daemon: Daemon,
    report: &mut Report<'_>,
) -> Sections<'a> {
    let mut found = Sections(Vec::new());
    for root in &document.roots {
        let owner = match root.name.as_str() {
            "ripost_config" => Owner::Ours,
            _ => Owner::Others,
        };
        report.top(root.name_at, owner);
        match schema::find(Parent::Top, &root.name).map(|element| element.used_by(daemon)) {
            Some(Use::Section) => {
                if root.name == "agent_config" {
                    filtered(root, daemon, report);
                } else {
                    unknown_attributes(root, &[], report);
                }
                if !root.text.is_empty() {
                    let message = format!("text directly inside <{}> is ignored", root.name);
                    report.warning(root.text_at, message, "remove it, or make it a comment");
                }
                for node in &root.children {
                    section(node, daemon, &mut found, report);
                }
            }
            Some(Use::Elsewhere | Use::Skipped | Use::Later(_) | Use::Value | Use::Exact) => {
                elsewhere(root, daemon, report);
            }
            None => stray(root, daemon, &mut found, report),
        }
    }
    found
}

/// Whether the sections in it are read.
pub(crate) fn is_root(node: &Node, daemon: Daemon) -> bool {
    schema::find(Parent::Top, &node.name)
        .is_some_and(|element| element.used_by(daemon) == Use::Section)
}

/// The attributes by which Wazuh and OSSEC choose agents (config/config.c).
const FILTERS: [&str; 3] = ["name", "os", "profile"];

/// `<agent_config os="Windows">` concerns some agents only.
fn filtered(root: &Node, daemon: Daemon, report: &mut Report<'_>) {
    let known = [&FILTERS[..], &["overwrite"]].concat();
    unknown_attributes(root, &known, report);
    let Some(filter) = filter_of(root) else {
        return;
    };
    if root.children.iter().any(|node| is_ours(node, daemon)) {
        let message = "<agent_config> for some agents only is not in this version";
        let hint = "remove the attribute; this file is read by the agent on this host alone";
        report.error(filter.at, message, hint);
    } else {
        let message = "this <agent_config> for some agents only is skipped: nothing in it is ours";
        report.warning(
            filter.at,
            message,
            "remove it if no agent of Wazuh reads this file",
        );
    }
}

/// What an `<agent_config>` chooses agents by, if it does.
pub(crate) fn filter_of(root: &Node) -> Option<&Attribute> {
    let mut attributes = root.attributes.iter();
    attributes.find(|attribute| FILTERS.contains(&attribute.name.as_str()))
}

fn is_ours(node: &Node, daemon: Daemon) -> bool {
    schema::find(Parent::Root, &node.name)
        .is_some_and(|element| element.used_by(daemon) == Use::Section)
}

fn section<'a>(node: &'a Node, daemon: Daemon, found: &mut Sections<'a>, report: &mut Report<'_>) {
    let Some(element) = schema::find(Parent::Root, &node.name) else {
        unknown(node, report);
        return;
    };
    match element.used_by(daemon) {
        Use::Section | Use::Value | Use::Exact => found.0.push((element.name, node)),
        Use::Skipped => report.skipped_sections += 1,
        Use::Later(instead) => {
            let message = format!("<{}> is not in this version", node.name);
            report.error(node.name_at, message, instead);
        }
        Use::Elsewhere => elsewhere(node, daemon, report),
    }
}

/// Later versions of OSSEC and Wazuh may know it, so it does not stop us;
/// what belongs into a section of ours must not get lost.
fn unknown(node: &Node, report: &mut Report<'_>) {
    let name = &node.name;
    if is_lost(node, report) {
        return;
    }
    let hint = match suggest(name, schema::names(Parent::Root)) {
        Some(meant) => format!("did you mean <{meant}>?"),
        None => "neither OSSEC nor Wazuh 4 have it; remove it if nothing else needs it".to_owned(),
    };
    let message = format!("unknown section <{name}> is skipped");
    report.warning(node.name_at, message, hint);
}

/// Whether it is a setting of ours that stands in no block, which is an error.
fn is_lost(node: &Node, report: &mut Report<'_>) -> bool {
    let name = &node.name;
    let ours = schema::ELEMENTS.iter().find(|element| {
        element.name == *name && matches!(element.manager, Use::Value | Use::Exact | Use::Later(_))
    });
    let (Some(element), true) = (ours, node.children.is_empty()) else {
        return false;
    };
    let message = format!("<{name}> stands outside of {}", element.parent.tag());
    let hint = format!("put it into a {} block", element.parent.tag());
    report.error(node.name_at, message, hint);
    true
}

/// A section without a root around it, or a root that nobody knows.
fn stray<'a>(node: &'a Node, daemon: Daemon, found: &mut Sections<'a>, report: &mut Report<'_>) {
    let name = &node.name;
    if schema::find(Parent::Root, name).is_some() {
        if is_ours(node, daemon) {
            let message = format!("<{name}> stands outside of all roots; it is read");
            report.warning(node.name_at, message, "put it into <ripost_config>");
        }
        section(node, daemon, found, report);
    } else if node.children.iter().any(|child| is_ours(child, daemon)) {
        let message = format!("<{name}> is no root, so what it holds would not be read");
        let hint = match suggest(name, schema::names(Parent::Top)) {
            Some(meant) => format!("did you mean <{meant}>?"),
            None => "write <ripost_config>".to_owned(),
        };
        report.error(node.name_at, message, hint);
    } else if !is_lost(node, report) {
        let message = format!("unknown element <{name}> is skipped");
        let hint = match suggest(name, schema::names(Parent::Root)) {
            Some(meant) => format!("did you mean <{meant}>?"),
            None => "a configuration starts with <ripost_config>".to_owned(),
        };
        report.warning(node.name_at, message, hint);
    }
}
