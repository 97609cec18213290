//! `manager.conf`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Context;
use crate::config::agents::{self, AgentsConfig};
use crate::config::block::is_misplaced_block;
use crate::config::command::{Command, Commands, Scope};
use crate::config::global;
use crate::config::offenders::ForAll;
use crate::config::order::Order;
use crate::config::protected::Protected;
use crate::config::report::{Report, Span};
use crate::config::response::{self, Read, Response};
use crate::config::schema::Daemon;
use crate::config::sections::{self, Sections};
use crate::config::source::{self, AlertSource};
use crate::config::xml::{Document, Node};
use crate::model::Logic;
use crate::model::offenders::{AppliesTo, RepeatedOffenders};

/// What a manager is told.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    pub commands: Vec<Arc<Command>>,
    /// In the order of the file, each text once.
    pub responses: Vec<Response>,
    pub white_list: Protected,
    /// A changed file is applied at once.
    pub auto_reload: bool,
    /// At least one.
    pub sources: Vec<AlertSource>,
    /// How it serves agents on other hosts. `None`: it opens no port.
    pub agents: Option<AgentsConfig>,
}

/// Reads a document; whether there were errors is in `report`.
pub(crate) fn read(
    document: &Document,
    scope: Scope,
    context: &Context,
    report: &mut Report<'_>,
) -> (ManagerConfig, String) {
    let sections = sections::find(document, Daemon::Manager, report);
    let globals = global::read(&sections, context, report);
    let logic = globals.logic.unwrap_or_default();
    // OSSEC requires it in every command, and Wazuh before 4.2 knew it.
    let of_ossec = |node: &Node| node.children.iter().any(|child| child.name == "expect");
    let in_doubt = globals.logic.is_none() && sections.named("command").any(of_ossec);
    let said = Some(logic).filter(|_| !in_doubt);
    let mut commands = Commands::new(scope);
    for node in sections.named("command") {
        commands.add(node, logic, context, report);
    }
    let misplaced = sections
        .named("active-response")
        .flat_map(|node| &node.children)
        .filter(|child| is_misplaced_block(child));
    for node in misplaced {
        commands.add_misplaced(node);
    }
    let (responses, disabled) = responses(&sections, &commands, said, report);
    let mut sources = Vec::new();
    for node in sections.named("alert_source") {
        sources.extend(source::read(node, &sources, context, report));
    }
    if sources.is_empty() {
        sources.push(AlertSource::default());
    }
    let config = ManagerConfig {
        commands: commands.into_list(),
        responses,
        white_list: globals.white_list,
        auto_reload: globals.auto_reload,
        sources,
        agents: agents::read(&sections, report),
    };
    let summary = summary(&config, disabled);
    (config, summary)
}

/// `logic` is `None` where the file is in doubt of it: then it is that of Wazuh.
fn responses(
    sections: &Sections<'_>,
    commands: &Commands,
    logic: Option<Logic>,
    report: &mut Report<'_>,
) -> (Vec<Response>, usize) {
    let mut list: Vec<Response> = Vec::new();
    let mut known: HashMap<String, Span> = HashMap::new();
    let mut disabled = 0;
    let mut order = Order::default();
    let mut for_all = ForAll::default();
    for node in sections.named("active-response") {
        match response::read(node, commands, logic.unwrap_or_default(), report) {
            Read::Response(response) => match known.get(&response.text) {
                Some(&earlier) => {
                    let place = report.place(earlier, node.name_at);
                    let message = format!("the same response as in {place}: it counts once");
                    report.warning(node.name_at, message, "remove one of them");
                }
                None => {
                    if logic.is_none() && response.when.depends_on_logic() {
                        warn_of_logic(node, report);
                    }
                    order.enabled(node.name_at, &response);
                    known.insert(response.text.clone(), node.name_at);
                    list.push(*response);
                }
            },
            Read::ForAll(steps) => for_all.add(node, Some(steps), report),
            Read::Disabled => {
                disabled += 1;
                order.disabled(node.name_at);
            }
            Read::Nothing | Read::Wrong => {}
        }
    }
    treat_all(&mut list, for_all);
    if logic != Some(Logic::Ossec) {
        order.report(report);
    }
    (list, disabled)
}

/// OSSEC's own file says nothing of logic, and one of the two is enough there.
fn warn_of_logic(node: &Node, report: &mut Report<'_>) {
    let message = "this response asks for level and group together, as in Wazuh; in OSSEC one of \
                   the two is enough";
    let hint = "write <global><logic>ossec</logic></global> if this is a file of OSSEC, and \
                <logic>wazuh</logic> if not";
    report.warning(node.name_at, message, hint);
}

/// Gives what is said for all responses to those that say nothing themselves.
fn treat_all(list: &mut [Response], for_all: ForAll) {
    let Some(steps) = for_all.into_steps() else {
        return;
    };
    let scope = AppliesTo::All;
    let repeated = Arc::new(RepeatedOffenders { scope, steps });
    let ends = |response: &&mut Response| response.timeout.is_some();
    for response in list.iter_mut().filter(ends) {
        let own = &mut response.repeated_offenders;
        own.get_or_insert_with(|| Arc::clone(&repeated));
    }
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
    let entries = config.white_list.all().len();
    parts.push(count(entries, "white list entry", "white list entries"));
    parts.push(count(config.sources.len(), "alert source", "alert sources"));
    if let Some(agents) = &config.agents {
        parts.push(format!("agents at {}", agents.listen));
    }
    parts.join(", ")
}
