//! `agent.conf`.

use crate::config::Context;
use crate::config::block::{Block, Unbuilt};
use crate::config::client;
use crate::config::offenders::{self, ForAll};
use crate::config::protected::Protected;
use crate::config::report::{Report, Span, count};
use crate::config::schema::{Daemon, Parent};
use crate::config::sections;
use crate::config::value;
use crate::config::white_list;
use crate::config::xml::{Document, Node};
use crate::model::{LogLayout, ServerAddress, Steps};

/// What becomes of what is in force when agentd is asked to stop.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStop {
    /// It stays until its end.
    #[default]
    Leave,
    /// It is taken back, as Wazuh 4.x and OSSEC do.
    Lift,
}

const ON_STOP: [(&str, OnStop); 2] = [("leave", OnStop::Leave), ("lift", OnStop::Lift)];
const LAYOUTS: [(&str, LogLayout); 2] = [("wazuh", LogLayout::Wazuh), ("ossec", LogLayout::Ossec)];

/// What an agent is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentConfig {
    /// It takes no new actions.
    pub disabled: bool,
    /// Besides what the manager sends.
    pub white_list: Protected,
    /// A changed file is applied at once.
    pub auto_reload: bool,
    /// The managers to dial, in the order of the file, each once. None: the
    /// one in its own home.
    pub servers: Vec<ServerAddress>,
    /// How much longer a target is held here that comes again.
    pub repeated_offenders: Option<Steps>,
    pub on_stop: OnStop,
    /// How its executables write their log.
    pub log_layout: LogLayout,
}

/// Reads a document; whether there were errors is in `report`.
pub(crate) fn read(
    document: &Document,
    context: &Context,
    report: &mut Report<'_>,
) -> (AgentConfig, String) {
    let sections = sections::find(document, Daemon::Agent, report);
    let mut config = AgentConfig::default();
    for node in sections.named("global") {
        let block = block(node, Parent::Global, report);
        white_list::read(&block, context, &mut config.white_list, report);
        config.auto_reload |= value::switch(&block, "auto_reload", report);
        if let Some(value) = block.value("on_stop", report)
            && let Some(on_stop) = value::word(value, &ON_STOP, "leave or lift", report)
        {
            config.on_stop = on_stop;
        }
        let layout = block.value("log_layout", report);
        let layout =
            layout.and_then(|value| value::word(value, &LAYOUTS, "wazuh or ossec", report));
        config.log_layout = layout.unwrap_or(config.log_layout);
    }
    warn_of_pushed(document, report);
    let mut first = None;
    let mut offenders = ForAll::default();
    for node in sections.named("active-response") {
        warn_of_responses(node, report);
        warn_of_place(node, &mut first, report);
        let block = block(node, Parent::ActiveResponse, report);
        config.disabled |= value::switch(&block, "disabled", report);
        let steps = block.setting("repeated_offenders", report, offenders::steps);
        offenders.add(node, steps.ok().flatten(), report);
    }
    config.repeated_offenders = offenders.into_steps();
    for node in sections.named("client") {
        let block = block(node, Parent::Client, report);
        config.disabled |= value::switch(&block, "disable-active-response", report);
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
    if config.log_layout == LogLayout::Ossec {
        summary.push_str("log in the layout of OSSEC, ");
    }
    let entries = config.white_list.all().len();
    summary.push_str(&count(entries, "white list entry", "white list entries"));
    (config, summary)
}

fn block<'a>(node: &'a Node, parent: Parent, report: &mut Report<'_>) -> Block<'a> {
    Block::read(node, parent, Daemon::Agent, Unbuilt::Refuse, report)
}

/// What a manager of Wazuh pushes to agents cannot switch them off (wazuh #17344).
fn warn_of_pushed(document: &Document, report: &mut Report<'_>) {
    let pushed = |root: &&Node| root.name == "agent_config" && sections::filter_of(root).is_none();
    let blocks = document
        .roots
        .iter()
        .filter(pushed)
        .flat_map(|root| &root.children);
    let settings = blocks
        .filter(|block| block.name == "active-response")
        .flat_map(|block| &block.children);
    for node in settings.filter(|node| node.name == "disabled" && node.text == "yes") {
        let message = "Wazuh 4.x does not heed this inside <agent_config>; here it counts";
        report.warning(
            node.name_at,
            message,
            "write <ossec_config> around it, or remove it",
        );
    }
}

/// Of each root Wazuh's execd looks at the first block only. `first`: that of the
/// root before.
fn warn_of_place(node: &Node, first: &mut Option<Span>, report: &mut Report<'_>) {
    let at = node.name_at;
    let is_first = !first.is_some_and(|first| report.is_same_top(first, at));
    if is_first {
        *first = Some(at);
    }
    let off = |child: &&Node| child.name == "disabled" && child.text == "yes";
    let Some(disabled) = node.children.iter().find(off) else {
        return;
    };
    if !is_first && report.is_of_others(at) {
        let message = "Wazuh 4.x looks only at the first <active-response> of a root; here one \
                       `yes` is enough";
        let hint = "move it into the first one, or remove it";
        report.warning(disabled.name_at, message, hint);
    }
}

/// Wazuh's execd, too, reads nothing else of such a block.
fn warn_of_responses(node: &Node, report: &mut Report<'_>) {
    if node.children.iter().any(|child| child.name == "command") {
        let message = "a response has no effect in agent.conf";
        report.warning(node.name_at, message, "move it to manager.conf");
    }
}
