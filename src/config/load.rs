//! From bytes or a path to a checked configuration.

use std::path::Path;

use crate::config::agent::{self, AgentConfig};
use crate::config::command::Scope;
use crate::config::files::{self, Text};
use crate::config::manager::{self, ManagerConfig};
use crate::config::report::{Report, Span, count};
use crate::config::schema::Daemon;
use crate::config::sections;
use crate::config::xml::{self, Document, Node};
use crate::config::{Checked, Context};

/// A configuration of either daemon.
#[derive(Clone, Debug)]
pub enum AnyConfig {
    Manager(ManagerConfig),
    Agent(AgentConfig),
}

/// Checks the text of a `manager.conf`; `file` is how to name it.
pub fn manager(text: &[u8], file: &Path, context: &Context) -> Checked<ManagerConfig> {
    manager_of(vec![Text::new(file, text)], context)
}

/// Checks the text of an `agent.conf`; `file` is how to name it.
pub fn agent(text: &[u8], file: &Path, context: &Context) -> Checked<AgentConfig> {
    agent_of(Text::new(file, text), context)
}

/// Checks the text of a file of either daemon: an agent's, if it is called so
/// or holds what only an agent's file holds.
pub fn check_any(text: &[u8], file: &Path, context: &Context) -> Checked<AnyConfig> {
    any_of(Text::new(file, text), context)
}

/// Reads and checks a `manager.conf`; behind that of the context's home come the
/// files of its `manager.d`. A file that cannot be read is an error among the
/// diagnostics.
pub fn load_manager(path: &Path, context: &Context) -> Checked<ManagerConfig> {
    manager_of(files::of_manager(path, context.home.as_deref()), context)
}

/// Reads and checks an `agent.conf`, as `load_manager` does.
pub fn load_agent(path: &Path, context: &Context) -> Checked<AgentConfig> {
    agent_of(Text::read(path), context)
}

/// Reads and checks a file of either daemon, as `load_manager` does.
pub fn load_any(path: &Path, context: &Context) -> Checked<AnyConfig> {
    if files::overlays_of(path, context.home.as_deref()).is_some() {
        load_manager(path, context).map(AnyConfig::Manager)
    } else {
        any_of(Text::read(path), context)
    }
}

fn manager_of(texts: Vec<Text>, context: &Context) -> Checked<ManagerConfig> {
    check(texts, |document, report| {
        manager::read(document, Scope::Whole, context, report)
    })
}

fn agent_of(text: Text, context: &Context) -> Checked<AgentConfig> {
    check(vec![text], |document, report| {
        agent::read(document, context, report)
    })
}

fn any_of(text: Text, context: &Context) -> Checked<AnyConfig> {
    let file = text.path.clone();
    check(vec![text], |document, report| {
        match daemon(document, &file) {
            Daemon::Manager => {
                let scope = scope(document, &file);
                let (config, summary) = manager::read(document, scope, context, report);
                (AnyConfig::Manager(config), summary)
            }
            Daemon::Agent => {
                let (config, summary) = agent::read(document, context, report);
                (AnyConfig::Agent(config), summary)
            }
        }
    })
}

/// Reads the texts as one document. Of a first one that cannot be read there is
/// nothing else to say.
fn check<T>(
    texts: Vec<Text>,
    read: impl FnOnce(&Document, &mut Report<'_>) -> (T, String),
) -> Checked<T> {
    let mut report = Report::default();
    let mut document = Document::default();
    let is_there = texts.first().is_some_and(|text| text.bytes.is_ok());
    for text in texts {
        parse(text, &mut document, &mut report);
        if !is_there {
            break;
        }
    }
    let (value, summary) = if is_there {
        let (value, mut summary) = read(&document, &mut report);
        summary.push_str(&skipped(&report));
        (Some(value), summary)
    } else {
        (None, "not read".to_owned())
    };
    let value = value.filter(|_| !report.has_errors());
    let (diagnostics, sources) = report.finish();
    Checked {
        value,
        diagnostics,
        summary,
        sources,
    }
}

fn parse(text: Text, document: &mut Document, report: &mut Report<'_>) {
    let bytes = match text.bytes {
        Ok(bytes) => bytes,
        Err(why) => return report.unreadable(&text.path, why.message, why.hint),
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let source = String::from_utf8_lossy(bytes).into_owned();
    let base = report.begin(&text.path, source.clone());
    if let Err(error) = std::str::from_utf8(bytes) {
        warn_of_encoding(bytes, error.valid_up_to(), report);
    }
    document.append(xml::parse(&source, report), base);
    report.parsed();
}

/// OSSEC and Wazuh pass such bytes on. In a comment or a section that is skipped
/// they do no harm; a value with one is refused where it is read.
fn warn_of_encoding(bytes: &[u8], at: usize, report: &mut Report<'_>) {
    let message = format!("the byte 0x{:02x} here is not UTF-8", bytes[at]);
    let hint = "save the file as UTF-8; if it is Latin-1: iconv -f latin1 -t utf8";
    let width = char::REPLACEMENT_CHARACTER.len_utf8();
    report.warning(Span::new(at, at + width), message, hint);
}

fn skipped(report: &Report<'_>) -> String {
    let sections = count(report.skipped_sections, "section", "sections");
    let settings = count(report.skipped_settings, "setting", "settings");
    match (report.skipped_sections, report.skipped_settings) {
        (0, 0) => String::new(),
        (_, 0) => format!("; skipped {sections} of OSSEC/Wazuh"),
        (0, _) => format!("; skipped {settings} of OSSEC/Wazuh"),
        (_, _) => format!("; skipped {sections} and {settings} of OSSEC/Wazuh"),
    }
}

/// Files that installers and people put together have no root, and those of
/// `manager.d` are read behind `manager.conf`.
fn scope(document: &Document, file: &Path) -> Scope {
    let dir = file.parent().and_then(Path::file_name);
    let is_root = |node: &Node| sections::is_root(node, Daemon::Manager);
    let is_part = dir.is_some_and(|dir| dir == "manager.d")
        || !document.roots.is_empty() && !document.roots.iter().any(is_root);
    if is_part { Scope::Part } else { Scope::Whole }
}

/// Whose file it is. Files of agents are called so, or have a root or a
/// `<client>` section and nothing that only managers have.
fn daemon(document: &Document, file: &Path) -> Daemon {
    let named = file.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("agent.conf") || name.ends_with("agent.conf")
    });
    let roots = &document.roots;
    let sections = || roots.iter().flat_map(|root| &root.children);
    let has = |name: &str| sections().any(|section: &Node| section.name == name);
    let of_agents = roots.iter().any(|root| root.name == "agent_config") || has("client");
    let of_managers = has("command") || has("alert_source") || has("agents");
    if named || (of_agents && !of_managers) {
        Daemon::Agent
    } else {
        Daemon::Manager
    }
}
