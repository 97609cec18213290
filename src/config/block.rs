//! One block of settings, held against the table of elements.

use crate::config::report::{Report, Span};
use crate::config::schema::{self, Daemon, Parent, Use};
use crate::config::xml::Node;
use crate::diag::suggest;

/// The settings of one block that are ours, each known to stand where it may.
pub(crate) struct Block<'a> {
    pub(crate) node: &'a Node,
    parent: Parent,
    settings: Vec<(&'static str, Use, &'a Node)>,
    /// What unknown elements were probably meant to be.
    slips: Vec<&'static str>,
    /// The markup is broken, or other blocks stand in it.
    jumbled: bool,
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
        let empty = daemon == Daemon::Manager && is_empty(node, parent);
        if empty {
            let message = format!("there are no settings in this {}", parent.tag());
            report.error(node.name_at, message, "write some, or remove it");
        }
        if !node.text.is_empty() {
            let message = format!("text directly inside {} is ignored", parent.tag());
            report.warning(node.text_at, message, "remove it, or make it a comment");
        }
        unknown_attributes(node, &[], report);
        let mut block = Self {
            node,
            parent,
            settings: Vec::new(),
            slips: Vec::new(),
            jumbled: node.broken || empty,
        };
        for child in &node.children {
            let Some(element) = schema::find(parent, &child.name) else {
                let meant = unknown(child, (parent, daemon), report);
                block.slips.extend(meant);
                continue;
            };
            let used = element.used_by(daemon);
            match used {
                Use::Value | Use::Exact if is_misplaced_block(child) => {
                    block.jumbled = true;
                    let message =
                        format!("a <{}> block stands inside {}", child.name, parent.tag());
                    let hint = format!("move it out; here, <{}> takes only a name", child.name);
                    report.error(child.name_at, message, hint);
                }
                Use::Value | Use::Exact | Use::Section => {
                    block.settings.push((element.name, used, child));
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
        block
    }

    /// Whether `name` is missing and nothing reported so far accounts for it.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        !self.jumbled && !self.slips.contains(&name) && self.all(name).next().is_none()
    }

    /// Whether more may have been meant to stand in it than was found.
    pub(crate) fn is_jumbled(&self) -> bool {
        self.jumbled || !self.slips.is_empty()
    }

    /// All elements with this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a Node> {
        self.settings
            .iter()
            .filter(move |(known, _, _)| *known == name)
            .map(|(_, _, node)| *node)
    }

    /// All elements with one of these names, in their order.
    pub(crate) fn in_order(&self, names: &[&str]) -> impl Iterator<Item = &'a Node> {
        self.settings
            .iter()
            .filter(move |(known, _, _)| names.contains(known))
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

    /// The element with this name, parsed; `Ok(None)` if there is none.
    pub(crate) fn setting<T>(
        &self,
        name: &str,
        report: &mut Report<'_>,
        parse: impl FnOnce(Value<'a>, &mut Report<'_>) -> Option<T>,
    ) -> Result<Option<T>, Reported> {
        if self.all(name).next().is_none() {
            return Ok(None);
        }
        let value = self.value(name, report).ok_or(Reported)?;
        parse(value, report).map(Some).ok_or(Reported)
    }

    /// The text of the element with this name; `None` if it is missing or
    /// has been reported.
    pub(crate) fn value(&self, name: &str, report: &mut Report<'_>) -> Option<Value<'a>> {
        let node = self.one(name, report)?;
        self.text(node, report)
    }

    /// The text of one of the elements of this block, as `value` gives it.
    pub(crate) fn text(&self, node: &'a Node, report: &mut Report<'_>) -> Option<Value<'a>> {
        let name = &node.name;
        let (_, used, _) = self.settings.iter().find(|(known, _, _)| known == name)?;
        if node.entities && self.parent != Parent::AlertSource {
            let message = format!("the value of <{name}> is read as `{}`", node.text);
            let hint = "Wazuh 4.x knows no entities and takes &amp; for five characters";
            report.warning(node.text_at, message, hint);
        }
        value(node, *used, report)
    }
}

/// Something is wrong, and has been said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reported;

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) node: &'a Node,
    pub(crate) text: &'a str,
}

impl Value<'_> {
    /// Where a part of the text stands in the file; all of the text, if there
    /// are comments or entities in it.
    pub(crate) fn place_of(&self, part: &str) -> Span {
        let all = self.node.text_at;
        let offset = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        if all.end - all.start != self.text.len() || part.is_empty() || offset >= self.text.len() {
            return all;
        }
        Span::new(all.start + offset, all.start + offset + part.len())
    }
}

fn is_empty(node: &Node, parent: Parent) -> bool {
    let needs_settings = match parent {
        Parent::Command | Parent::ActiveResponse | Parent::AlertSource => true,
        Parent::Top
        | Parent::Root
        | Parent::Global
        | Parent::Client
        | Parent::Server
        | Parent::Agents => false,
    };
    needs_settings && node.children.is_empty() && !node.broken
}

/// `<command>` with a name and an executable, where only a name belongs.
pub(crate) fn is_misplaced_block(node: &Node) -> bool {
    node.name == "command" && node.children.len() > 1
}

/// The text of an element that has no children. Warns where Wazuh would have
/// read something else.
pub(crate) fn value<'a>(node: &'a Node, used: Use, report: &mut Report<'_>) -> Option<Value<'a>> {
    let name = &node.name;
    let known = match name.as_str() {
        "field_map" => "field",
        _ => "list",
    };
    unknown_attributes(node, &[known], report);
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
    if node.padded && used == Use::Exact && !node.broken {
        let message = format!(
            "blanks around the value of <{name}> are left out; Wazuh 4.x takes them for a part of it"
        );
        let hint = format!("write <{name}>{}</{name}>", node.text);
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

/// Answers what was probably meant.
fn unknown(
    node: &Node,
    (parent, daemon): (Parent, Daemon),
    report: &mut Report<'_>,
) -> Option<&'static str> {
    let name = &node.name;
    let message = format!("unknown element <{name}> in {}", parent.tag());
    let other = schema::ELEMENTS.iter().find(|element| {
        element.name == name
            && !matches!(element.parent, Parent::Top)
            && element.parent != parent
            && element.used_by(daemon) != Use::Skipped
    });
    let meant = suggest(name, schema::names(parent));
    let hint = match (meant, other) {
        (Some(meant), _) => format!("did you mean <{meant}>?"),
        (None, Some(element)) => match element.parent {
            Parent::Root => "it is a block of its own: is a closing tag missing before it?".into(),
            Parent::Top
            | Parent::Command
            | Parent::ActiveResponse
            | Parent::Global
            | Parent::Client
            | Parent::Server
            | Parent::Agents
            | Parent::AlertSource => format!("it belongs inside {}", element.parent.tag()),
        },
        (None, None) => {
            let known: Vec<&str> = schema::ELEMENTS
                .iter()
                .filter(|element| element.parent == parent)
                .filter(|element| matches!(element.used_by(daemon), Use::Value | Use::Exact))
                .map(|element| element.name)
                .collect();
            format!("known here: {}", known.join(", "))
        }
    };
    report.error(node.name_at, message, hint);
    meant
}
