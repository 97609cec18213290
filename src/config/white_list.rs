//! `<white_list>`: addresses, networks and names of hosts that are never acted
//! upon.

use std::collections::HashSet;

use crate::config::Context;
use crate::config::block::{Block, unknown_attributes, value};
use crate::config::lists;
use crate::config::protected::{Entries, List, Protected};
use crate::config::report::Report;
use crate::config::schema::Use;
use crate::config::xml::{Attribute, Node};

/// The names it has: that of Wazuh and older OSSEC, and that of OSSEC today.
const NAMES: [&str; 2] = ["white_list", "allow_list"];

/// Adds the entries of a `<global>` block.
pub(crate) fn read(
    block: &Block<'_>,
    context: &Context,
    into: &mut Protected,
    report: &mut Report<'_>,
) {
    for node in NAMES.iter().flat_map(|name| block.all(name)) {
        match node.attributes.iter().find(|a| a.name == "list") {
            Some(list) => into.lists.extend(file(node, list, context, report)),
            None => entry(node, &mut into.own, report),
        }
    }
    into.own.once();
    let mut seen = HashSet::new();
    into.lists.retain(|list| seen.insert(list.path.clone()));
}

/// Without a home the list cannot be looked at, and is not.
fn file(node: &Node, list: &Attribute, context: &Context, report: &mut Report<'_>) -> Option<List> {
    unknown_attributes(node, &["list"], report);
    if !node.text.is_empty() || !node.children.is_empty() {
        let message = format!("a <{}> that names a list holds no entry itself", node.name);
        let hint = "write the entry into a <white_list> of its own";
        report.error(node.text_at, message, hint);
        return None;
    }
    let Some(path) = lists::path(&list.value) else {
        let message = format!("`{}` is no list: lists lie below etc/lists", list.value);
        report.error(list.at, message, "write list=\"etc/lists/NAME\"");
        return None;
    };
    Some(match &context.home {
        Some(home) => lists::read(home, &path, report),
        None => List {
            path,
            ..List::default()
        },
    })
}

fn entry(node: &Node, into: &mut Entries, report: &mut Report<'_>) {
    let Some(value) = value(node, Use::Exact, report) else {
        return;
    };
    if value.text.is_empty() {
        let message = format!("this <{}> is empty and protects nothing", node.name);
        let hint = "remove it; Wazuh 4.x takes it for every address and then never responds";
        report.warning(node.name_at, message, hint);
        return;
    }
    into.add(value.text, node.text_at, report);
}
