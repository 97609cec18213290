//! `manager.conf`.

use std::collections::HashMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::Context;
use crate::config::agents::{self, AgentsConfig};
use crate::config::block::{Block, Unbuilt, is_misplaced_block};
use crate::config::command::{Command, Commands};
use crate::config::report::Report;
use crate::config::response::{self, Read, Response};
use crate::config::schema::{Daemon, Parent};
use crate::config::sections::{self, Sections};
use crate::config::source::{self, AlertSource};
use crate::config::value;
use crate::config::white_list;
use crate::config::xml::Document;

/// What a manager is told.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    pub commands: Vec<Arc<Command>>,
    /// In the order of the file, each text once.
    pub responses: Vec<Response>,
    pub white_list: Vec<IpNetwork>,
    /// At least one.
    pub sources: Vec<AlertSource>,
    /// How it serves agents on other hosts. `None`: it opens no port.
    pub agents: Option<AgentsConfig>,
}

/// Reads a document; whether there were errors is in `report`.
pub(crate) fn read(
    document: &Document,
    context: &Context,
    report: &mut Report<'_>,
) -> (ManagerConfig, String) {
    let sections = sections::find(document, Daemon::Manager, report);
    let white_list = globals(&sections, report);
    let mut commands = Commands::default();
    for node in sections.named("command") {
        commands.add(node, context, report);
    }
    let misplaced = sections
        .named("active-response")
        .flat_map(|node| &node.children)
        .filter(|child| is_misplaced_block(child));
    for node in misplaced {
        commands.add_misplaced(node, report);
    }
    let (responses, disabled) = responses(&sections, &commands, report);
    let mut sources = Vec::new();
    for node in sections.named("alert_source") {
        sources.extend(source::read(node, &sources, report));
    }
    if sources.is_empty() {
        sources.push(AlertSource::default());
    }
    let config = ManagerConfig {
        commands: commands.into_list(),
        responses,
        white_list,
        sources,
        agents: agents::read(&sections, report),
    };
    let summary = summary(&config, disabled);
    (config, summary)
}

fn globals(sections: &Sections<'_>, report: &mut Report<'_>) -> Vec<IpNetwork> {
    let mut list = Vec::new();
    for node in sections.named("global") {
        let block = Block::read(
            node,
            Parent::Global,
            Daemon::Manager,
            Unbuilt::Refuse,
            report,
        );
        white_list::read(&block, &mut list, report);
        if let Some(value) = block.value("logic", report)
            && value::word(value, &LOGICS, "wazuh", report) == Some(Logic::Ossec)
        {
            let message = "the logic of OSSEC (level OR group OR id) is not in this version";
            let hint = "remove it for that of Wazuh (level AND group, OR id), and look through \
                        the blocks that have both <level> and <rules_group>";
            report.error(value.node.text_at, message, hint);
        }
    }
    list
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Logic {
    Wazuh,
    Ossec,
}

const LOGICS: [(&str, Logic); 2] = [("wazuh", Logic::Wazuh), ("ossec", Logic::Ossec)];

fn responses(
    sections: &Sections<'_>,
    commands: &Commands,
    report: &mut Report<'_>,
) -> (Vec<Response>, usize) {
    let mut list: Vec<Response> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut disabled = 0;
    for node in sections.named("active-response") {
        match response::read(node, commands, report) {
            Read::Response(response) => match lines.get(&response.text) {
                Some(line) => {
                    let message = format!("the same response as in line {line}: it counts once");
                    report.warning(node.name_at, message, "remove one of them");
                }
                None => {
                    lines.insert(response.text.clone(), response.line);
                    list.push(*response);
                }
            },
            Read::Disabled => disabled += 1,
            Read::Nothing | Read::Wrong => {}
        }
    }
    (list, disabled)
}

fn summary(config: &ManagerConfig, disabled: usize) -> String {
    use crate::config::report::count;
    let mut parts = vec![
        count(config.commands.len(), "command", "commands"),
        count(config.responses.len(), "response", "responses"),
    ];
    if disabled > 0 {
        parts.push(format!("{disabled} disabled"));
    }
    let entries = config.white_list.len();
    parts.push(count(entries, "white list entry", "white list entries"));
    parts.push(count(config.sources.len(), "alert source", "alert sources"));
    if let Some(agents) = &config.agents {
        parts.push(format!("agents at {}", agents.listen));
    }
    parts.join(", ")
}
