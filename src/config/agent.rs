//! `agent.conf`.

use ipnetwork::IpNetwork;

use crate::config::block::{Block, Unbuilt};
use crate::config::client;
use crate::config::report::Report;
use crate::config::report::count;
use crate::config::schema::{Daemon, Parent};
use crate::config::sections;
use crate::config::value;
use crate::config::white_list;
use crate::config::xml::{Document, Node};
use crate::model::ServerAddress;

/// What an agent is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentConfig {
    /// It takes no new actions.
    pub disabled: bool,
    /// Besides what the manager sends.
    pub white_list: Vec<IpNetwork>,
    /// The managers to dial, in the order of the file, each once. None: the
    /// one in its own home.
    pub servers: Vec<ServerAddress>,
}

/// Reads a document; whether there were errors is in `report`.
pub(crate) fn read(document: &Document, report: &mut Report<'_>) -> (AgentConfig, String) {
    let sections = sections::find(document, Daemon::Agent, report);
    let mut config = AgentConfig::default();
    for node in sections.named("global") {
        let block = block(node, Parent::Global, report);
        white_list::read(&block, &mut config.white_list, report);
    }
    for node in sections.named("active-response") {
        warn_of_responses(node, report);
        let block = block(node, Parent::ActiveResponse, report);
        config.disabled |= switch(&block, "disabled", report);
    }
    for node in sections.named("client") {
        let block = block(node, Parent::Client, report);
        config.disabled |= switch(&block, "disable-active-response", report);
        client::read(&block, &mut config.servers, report);
    }
    let state = if config.disabled {
        "disabled"
    } else {
        "enabled"
    };
    let mut summary = format!("active response {state}, ");
    if !config.servers.is_empty() {
        summary.push_str(&count(config.servers.len(), "server, ", "servers, "));
    }
    let entries = config.white_list.len();
    summary.push_str(&count(entries, "white list entry", "white list entries"));
    (config, summary)
}

fn block<'a>(node: &'a Node, parent: Parent, report: &mut Report<'_>) -> Block<'a> {
    Block::read(node, parent, Daemon::Agent, Unbuilt::Refuse, report)
}

fn switch(block: &Block<'_>, name: &str, report: &mut Report<'_>) -> bool {
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
