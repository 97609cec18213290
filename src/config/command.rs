//! `<command>`: a name for an executable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Context;
use crate::config::block::{Block, Unbuilt, Value};
use crate::config::contract;
use crate::config::report::{Report, Span};
use crate::config::schema::{Daemon, Parent};
use crate::config::value::{self, Origin};
use crate::config::xml::Node;
use crate::diag::suggest;
use crate::model::action::Contract;
use crate::model::bundled::{self, Bundled, Options};
use crate::model::{CommandName, ExeName, InvalidName, Logic};
use crate::sys::exe::Home;

/// A command as it is declared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    pub name: CommandName,
    pub executable: ExeName,
    pub timeout_allowed: bool,
    /// Split on single blanks, as Wazuh 4.x does.
    pub extra_args: Vec<String>,
    pub contract: Contract,
    pub revert: Option<bool>,
    pub execution_timeout: Option<Duration>,
    pub handshake_timeout: Option<Duration>,
}

/// All commands of a file.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    declared: Vec<Declared>,
    /// By name, into `declared`.
    index: HashMap<String, usize>,
    scope: Scope,
}

#[derive(Debug)]
struct Declared {
    name: String,
    at: Span,
    /// `None`: its block has errors, which are reported where they are.
    command: Option<Arc<Command>>,
}

/// How much of a configuration a text is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Scope {
    #[default]
    Whole,
    /// What it names may be declared elsewhere.
    Part,
}

/// What a response finds under a name.
pub(crate) enum Lookup {
    Found(Arc<Command>),
    /// Declared, but not usable; already reported.
    Unusable,
    Unknown,
}

impl Commands {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            ..Self::default()
        }
    }

    /// Whether a name that is not declared here is an error.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// `logic` is that of the file: what a script is taken for depends on it.
    pub(crate) fn add(
        &mut self,
        node: &Node,
        logic: Logic,
        context: &Context,
        report: &mut Report<'_>,
    ) {
        let (name, command) = command(node, logic, context, report);
        let Some(name) = name else { return };
        let command = command.map(Arc::new);
        match self.index.get(name.text) {
            Some(&earlier) => twice(name, &self.declared[earlier], command.as_deref(), report),
            None => self.declare(name.text, node.name_at, command),
        }
    }

    /// A block in a wrong place, which has been reported as such: responses
    /// that name it need no error of their own.
    pub(crate) fn add_misplaced(&mut self, node: &Node) {
        if let Some(name) = node.children.iter().find(|child| child.name == "name")
            && !self.index.contains_key(&name.text)
        {
            self.declare(&name.text, name.name_at, None);
        }
    }

    fn declare(&mut self, name: &str, at: Span, command: Option<Arc<Command>>) {
        self.index.insert(name.to_owned(), self.declared.len());
        self.declared.push(Declared {
            name: name.to_owned(),
            at,
            command,
        });
    }

    pub(crate) fn find(&self, name: &str) -> Lookup {
        match self.index.get(name) {
            Some(&known) => match &self.declared[known].command {
                Some(command) => Lookup::Found(Arc::clone(command)),
                None => Lookup::Unusable,
            },
            None => Lookup::Unknown,
        }
    }

    /// What to write in place of a name that is not declared.
    pub(crate) fn instead_of(&self, name: &str) -> String {
        let declared = self.declared.iter().map(|known| known.name.as_str());
        if let Some(meant) = suggest(name, declared.clone()) {
            return format!("did you mean {meant}?");
        }
        if bundled::find(name).is_some() {
            return format!(
                "declare it:\n<command>\n  <name>{name}</name>\n  <executable>{name}</executable>\n  \
                 <timeout_allowed>yes</timeout_allowed>\n</command>"
            );
        }
        let declared: Vec<&str> = declared.take(10).collect();
        if declared.is_empty() {
            "declare it in a <command> block; this file has none".to_owned()
        } else {
            format!(
                "declare it in a <command> block; there are: {}",
                declared.join(", ")
            )
        }
    }

    pub(crate) fn into_list(self) -> Vec<Arc<Command>> {
        self.declared
            .into_iter()
            .filter_map(|known| known.command)
            .collect()
    }
}

/// Wazuh keeps both and uses the first, without a word.
fn twice(name: Value<'_>, earlier: &Declared, again: Option<&Command>, report: &mut Report<'_>) {
    let at = name.node.text_at;
    let place = report.place(earlier.at, at);
    let Declared { name, command, .. } = earlier;
    match (command.as_deref(), again) {
        (Some(first), Some(second)) if first == second => {
            let message = format!("the command {name} is declared twice, with the same settings");
            report.warning(at, message, format!("remove one; the other is in {place}"));
        }
        (Some(_), Some(_)) => {
            let message = format!("the command {name} is declared twice, with different settings");
            let hint =
                format!("keep one, or rename one; Wazuh 4.x uses the first, which is in {place}");
            report.error(at, message, hint);
        }
        (None, _) | (_, None) => {
            let message = format!("the command {name} is declared twice");
            report.error(at, message, format!("keep one; the other is in {place}"));
        }
    }
}

/// The name is given also where the rest has errors, so that responses find it.
fn command<'a>(
    node: &'a Node,
    logic: Logic,
    context: &Context,
    report: &mut Report<'_>,
) -> (Option<Value<'a>>, Option<Command>) {
    let block = Block::read(
        node,
        Parent::Command,
        Daemon::Manager,
        Unbuilt::Refuse,
        report,
    );
    let name_text = required(&block, "name", report);
    let name = name_text.and_then(|value| command_name(value, report));
    let executable_text = required(&block, "executable", report);
    let executable = executable_text.and_then(|value| executable_name(value, report));
    let timeout_allowed = block.setting("timeout_allowed", report, value::yes_or_no);
    let revert = block.setting("revert", report, value::yes_or_no);
    let execution_timeout = block.setting("execution_timeout", report, limit);
    let handshake_timeout = block.setting("handshake_timeout", report, limit);
    let extra_args = block.value("extra_args", report);
    let contract = contract::read(&block, executable.as_ref(), logic, report);
    let command = (|| {
        let executable = executable?;
        let named_at = executable_text?.node.text_at;
        if let Some(row) = bundled::find(executable.as_str()) {
            let held_to = HeldTo::of(&executable, context);
            check_options((row, held_to), extra_args, named_at, report)?;
        }
        match bundled::stand_in(executable.as_str()) {
            Some(row) => {
                tell_of_stand_in((&executable, row), (named_at, extra_args), context, report)
            }
            None => warn_if_missing(&executable, named_at, context, report),
        }
        Some(Command {
            name: name?,
            executable,
            timeout_allowed: timeout_allowed.ok()?.unwrap_or(false),
            extra_args: extra_args.map(split_args).unwrap_or_default(),
            contract: contract?,
            revert: revert.ok()?,
            execution_timeout: execution_timeout.ok()?,
            handshake_timeout: handshake_timeout.ok()?,
        })
    })();
    (name_text, command)
}

fn required<'a>(block: &Block<'a>, name: &str, report: &mut Report<'_>) -> Option<Value<'a>> {
    if block.lacks(name) {
        let message = format!("this <command> has no <{name}>");
        let hint = format!("write <{name}>…</{name}> inside");
        report.error(block.node.name_at, message, hint);
    }
    block.value(name, report)
}

fn command_name(value: Value<'_>, report: &mut Report<'_>) -> Option<CommandName> {
    match CommandName::parse(value.text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("the <name> of this command {error}");
            let hint = match error {
                InvalidName::Start('!') => {
                    "remove the `!`; in Wazuh it runs a file without declaring it"
                }
                InvalidName::Empty
                | InvalidName::TooLong(_)
                | InvalidName::Character(_)
                | InvalidName::Start(_)
                | InvalidName::Reserved
                | InvalidName::NotAnAgentId
                | InvalidName::NotHex(_) => "write a short name, such as firewall-drop",
            };
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

fn executable_name(value: Value<'_>, report: &mut Report<'_>) -> Option<ExeName> {
    match ExeName::parse(value.text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("this <executable> {error}");
            let last = value.text.rsplit(['/', '\\']).next().unwrap_or_default();
            let hint = match ExeName::parse(last) {
                Ok(last) => format!("write {last}: it is looked for in active-response/bin"),
                Err(_) => "write the name of a file in active-response/bin".to_owned(),
            };
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

/// A limit of nothing would kill every run at once.
fn limit(value: Value<'_>, report: &mut Report<'_>) -> Option<Duration> {
    let span = value::duration(value, Origin::Ours, report)?;
    if span.is_zero() {
        let message = format!("<{}> is 0, which leaves no time to run", value.node.name);
        report.error(
            value.node.text_at,
            message,
            "write seconds, or remove it for the default",
        );
        return None;
    }
    Some(span)
}

fn split_args(value: Value<'_>) -> Vec<String> {
    let words = value.text.split(' ').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// What a command is held to that names a bundled executable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HeldTo {
    Options,
    /// Here another file bears the name, which the agent of this host runs as a
    /// script with whatever is written. What lies on other hosts is not known.
    Nothing,
}

impl HeldTo {
    fn of(name: &ExeName, context: &Context) -> Self {
        let home = context
            .home
            .as_deref()
            .and_then(|home| Home::open(home).ok());
        match home.map(|home| home.executable(name)) {
            Some(Ok(exe)) if exe.mismatch() => Self::Nothing,
            // One that is missing here may be there on other hosts, and one that
            // cannot be looked at is no reason to accept anything.
            Some(Ok(_) | Err(_)) | None => Self::Options,
        }
    }
}

/// What a bundled executable would refuse on each host is refused here. A word
/// that 4.x would have passed on to it, unheeded, still is.
fn check_options(
    (row, held_to): (&Bundled, HeldTo),
    args: Option<Value<'_>>,
    named_at: Span,
    report: &mut Report<'_>,
) -> Option<()> {
    // What is missing may be the whole element.
    let at = args.map_or(named_at, |args| args.node.text_at);
    let words = args.map(split_args).unwrap_or_default();
    match Options::parse(row.options, &words) {
        Ok(options) => {
            if let ([word, ..], None) = (options.words(), row.word) {
                let message = format!("{} does not heed {word:?} in <extra_args>", row.name);
                report.warning(at, message, "remove it");
            }
            Some(())
        }
        Err(error) => {
            if held_to == HeldTo::Nothing {
                let message = format!(
                    "here {} is a file of your own and gets these <extra_args> as they are",
                    row.name
                );
                let hint = "give it another name: a host with the bundled executable of this name would refuse them";
                report.warning(at, message, hint);
                return Some(());
            }
            let text = error.to_string();
            let (problem, hint) = text.split_once('\n').unwrap_or((&text, "(correct it)"));
            let message = format!("the <extra_args> of {}: {problem}", row.name);
            report.error(at, message, hint.trim_matches(['(', ')']));
            None
        }
    }
}

/// What runs under a name of OSSEC's depends on what lies on the host.
fn tell_of_stand_in(
    (name, row): (&ExeName, &Bundled),
    (at, args): (Span, Option<Value<'_>>),
    context: &Context,
    report: &mut Report<'_>,
) {
    let message = match &context.home {
        Some(home) => {
            let bin = home.join("active-response/bin");
            let is_there = |name: &str| bin.join(name).symlink_metadata().is_ok();
            if is_there(name.as_str()) || !is_there(row.name) {
                return warn_if_missing(name, at, context, report);
            }
            format!(
                "{name} is not in {}: the bundled {} runs in its place",
                bin.display(),
                row.name
            )
        }
        None => format!(
            "on a host that has no {name}, the bundled {} runs in its place",
            row.name
        ),
    };
    let hint = format!(
        "write <executable>{}</executable> to mean the bundled one everywhere",
        row.name
    );
    report.warning(at, message, hint);
    let Some(args) = args else { return };
    if let Err(error) = Options::parse(row.options, &split_args(args)) {
        let text = error.to_string();
        let problem = text.lines().next().unwrap_or_default();
        let message = format!(
            "the bundled {} refuses these <extra_args>: {problem}",
            row.name
        );
        let hint = format!("remove what is not its own, or put {name} on each host");
        report.warning(args.node.text_at, message, hint);
    }
}

/// Other hosts may have it, so this is a warning; it is checked in full when
/// it is to be run.
fn warn_if_missing(name: &ExeName, at: Span, context: &Context, report: &mut Report<'_>) {
    let Some(home) = &context.home else { return };
    let bin: PathBuf = home.join("active-response/bin");
    let path = bin.join(name.as_str());
    if let Err(error) = path.symlink_metadata() {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not in {}", bin.display()),
            _ => format!("{name} in {} cannot be looked at: {error}", bin.display()),
        };
        let hint = match meant(name, &bin) {
            Some(meant) => format!(
                "write {meant}, which is there; without it, actions that need it fail on this host"
            ),
            None => {
                "on this host, actions that need it will fail; put it there, or correct the name"
                    .to_owned()
            }
        };
        report.warning(at, message, hint);
    }
}

/// What lies in `bin` under a name that is easily mistyped as this one.
fn meant(name: &ExeName, bin: &Path) -> Option<String> {
    let entries = std::fs::read_dir(bin).ok()?.take(MAX_ENTRIES).flatten();
    let names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|there| ExeName::parse(there).is_ok())
        .collect();
    suggest(name.as_str(), names.iter().map(String::as_str)).map(str::to_owned)
}

/// Files in `active-response/bin` that are looked at for a suggestion.
const MAX_ENTRIES: usize = 1_000;
