//! From bytes or a path to a checked configuration.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::config::agent::{self, AgentConfig};
use crate::config::manager::{self, ManagerConfig};
use crate::config::report::{Report, Span, count};
use crate::config::schema::Daemon;
use crate::config::xml::{self, Document, Node};
use crate::config::{Checked, Context};
use crate::diag::{Diagnostic, Diagnostics, Severity};

/// The largest real files have 100 KiB.
const MAX_BYTES: usize = 16 << 20;

/// A configuration of either daemon.
#[derive(Clone, Debug)]
pub enum AnyConfig {
    Manager(ManagerConfig),
    Agent(AgentConfig),
}

/// Checks the text of a `manager.conf`; `file` is how to name it.
pub fn manager(text: &[u8], file: &Path, context: &Context) -> Checked<ManagerConfig> {
    check(text, file, |document, report| {
        manager::read(document, context, report)
    })
}

/// Checks the text of an `agent.conf`; `file` is how to name it.
pub fn agent(text: &[u8], file: &Path, _context: &Context) -> Checked<AgentConfig> {
    check(text, file, agent::read)
}

/// Checks the text of a file of either daemon: an agent's, if it is called so
/// or holds what only an agent's file holds.
pub fn check_any(text: &[u8], file: &Path, context: &Context) -> Checked<AnyConfig> {
    check(text, file, |document, report| {
        match daemon(document, file) {
            Daemon::Manager => {
                let (config, summary) = manager::read(document, context, report);
                (AnyConfig::Manager(config), summary)
            }
            Daemon::Agent => {
                let (config, summary) = agent::read(document, report);
                (AnyConfig::Agent(config), summary)
            }
        }
    })
}

/// Reads and checks a `manager.conf`. A file that cannot be read is an error
/// among the diagnostics.
pub fn load_manager(path: &Path, context: &Context) -> Checked<ManagerConfig> {
    load(path, |text| manager(text, path, context))
}

/// Reads and checks an `agent.conf`, as `load_manager` does.
pub fn load_agent(path: &Path, context: &Context) -> Checked<AgentConfig> {
    load(path, |text| agent(text, path, context))
}

/// Reads and checks a file of either daemon, as `load_manager` does.
pub fn load_any(path: &Path, context: &Context) -> Checked<AnyConfig> {
    load(path, |text| check_any(text, path, context))
}

fn load<T>(path: &Path, check: impl FnOnce(&[u8]) -> Checked<T>) -> Checked<T> {
    let mut text = Vec::new();
    // One byte more than is allowed tells a file that is too large.
    let limit = u64::try_from(MAX_BYTES + 1).expect("a small number");
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text)) {
        Ok(_) => check(&text),
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "name another with --config, or another --home",
                std::io::ErrorKind::PermissionDenied => "run this as root, or as the file's owner",
                _ => "look whether it is a file, and whether its disk is well",
            };
            unreadable(path, format!("cannot be read: {error}"), hint)
        }
    }
}

fn unreadable<T>(path: &Path, message: String, hint: &str) -> Checked<T> {
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic {
        severity: Severity::Error,
        file: path.to_owned(),
        position: None,
        length: 0,
        message,
        hint: Some(hint.to_owned()),
    });
    Checked {
        value: None,
        diagnostics,
        summary: "not read".to_owned(),
        source: String::new(),
    }
}

fn check<T>(
    bytes: &[u8],
    file: &Path,
    read: impl FnOnce(&Document, &mut Report<'_>) -> (T, String),
) -> Checked<T> {
    if bytes.len() > MAX_BYTES {
        let message = format!("is larger than {} MiB", MAX_BYTES >> 20);
        return unreadable(
            file,
            message,
            "a configuration is smaller: is this the right file?",
        );
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let source = String::from_utf8_lossy(bytes).into_owned();
    let mut report = Report::new(file, &source);
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        let message = format!("the byte 0x{:02x} here is not UTF-8", bytes[at]);
        let hint = "save the file as UTF-8; if it is Latin-1: iconv -f latin1 -t utf8";
        let width = char::REPLACEMENT_CHARACTER.len_utf8();
        report.error(Span::new(at, at + width), message, hint);
    }
    let document = xml::parse(&source, &mut report);
    let (value, mut summary) = read(&document, &mut report);
    summary.push_str(&skipped(&report));
    let value = Some(value).filter(|_| !report.has_errors());
    let diagnostics = report.into_diagnostics();
    Checked {
        value,
        diagnostics,
        summary,
        source,
    }
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
