//! `agent.conf`.

use ipnetwork::IpNetwork;

use crate::config::block::{Block, Unbuilt};
use crate::config::report::Report;
use crate::config::report::count;
use crate::config::schema::{Daemon, Parent};
use crate::config::sections;
use crate::config::value;
use crate::config::white_list;
use crate::config::xml::{Document, Node};

/// What an agent is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentConfig {
    /// It takes no new actions.
    pub disabled: bool,
    /// Besides what the manager sends.
    pub white_list: Vec<IpNetwork>,
}

/// Reads a document; whether there were errors is in `report`.
pub(crate) fn read(document: &Document, report: &mut Report<'_>) -> (AgentConfig, String) {
    let sections = sections::find(document, Daemon::Agent, report);
    let mut config = AgentConfig::default();
    for node in sections.named("global") {
        let block = Block::read(node, Parent::Global, Daemon::Agent, Unbuilt::Refuse, report);
        white_list::read(&block, &mut config.white_list, report);
    }
    for node in sections.named("active-response") {
        warn_of_responses(node, report);
        config.disabled |= switch(node, Parent::ActiveResponse, "disabled", report);
    }
    for node in sections.named("client") {
        config.disabled |= switch(node, Parent::Client, "disable-active-response", report);
    }
    let state = if config.disabled {
        "disabled"
    } else {
        "enabled"
    };
    let entries = config.white_list.len();
    let summary = format!(
        "active response {state}, {}",
        count(entries, "white list entry", "white list entries")
    );
    (config, summary)
}

fn switch(node: &Node, parent: Parent, name: &str, report: &mut Report<'_>) -> bool {
    let block = Block::read(node, parent, Daemon::Agent, Unbuilt::Refuse, report);
    block
        .value(name, report)
        .and_then(|value| value::yes_or_no(value, report))
        .unwrap_or(false)
}

/// Wazuh's execd, too, reads nothing else of such a block.
fn warn_of_responses(node: &Node, report: &mut Report<'_>) {
    if node.children.iter().any(|child| child.name == "command") {
        let message = "a response has no effect in agent.conf";
        report.warning(node.name_at, message, "move it to manager.conf");
    }
}
