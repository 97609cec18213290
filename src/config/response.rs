//! `<active-response>` on a manager: when, where and for how long a command runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::config::block::{Block, Reported, Unbuilt, Value};
use crate::config::command::{Command, Commands, Lookup, Scope};
use crate::config::field_map;
use crate::config::location::{self, Where};
use crate::config::offenders;
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::value::{self, Origin};
use crate::config::when::{self, When};
use crate::config::xml::Node;
use crate::model::action::{Contract, Want, Wanted};
use crate::model::offenders::{AppliesTo, RepeatedOffenders, Steps};
use crate::model::{Field, FieldMap, FieldPath, Logic, RuleId, Selector, span};

/// A response that is switched on.
#[derive(Clone, Debug)]
pub struct Response {
    pub command: Arc<Command>,
    pub location: Where,
    pub when: When,
    /// How long it stays in force. `None`: stateless.
    pub timeout: Option<Duration>,
    /// How much longer that is for a target that comes again: what the block
    /// says, else what the file says for all of them.
    pub repeated_offenders: Option<Arc<RepeatedOffenders>>,
    /// Where alerts name what the command acts upon, as far as the block says.
    pub field_map: Option<Arc<FieldMap>>,
    /// The block's own settings and those of its command in one spelling,
    /// wherever it stands and however it is laid out. Ids of actions are
    /// derived from it, so its form must not change between versions.
    pub text: String,
    /// The line its block starts in.
    pub line: usize,
}

/// What a block turned out to be.
pub(crate) enum Read {
    Response(Box<Response>),
    /// It says how all responses treat a target that comes again.
    ForAll(Steps),
    Disabled,
    /// The form an agent's file has: nothing but `<disabled>no</disabled>`.
    Nothing,
    /// Reported.
    Wrong,
}

/// Reads one block.
pub(crate) fn read(
    node: &Node,
    commands: &Commands,
    logic: Logic,
    report: &mut Report<'_>,
) -> Read {
    let disabled = node.children.iter().rev().find(|c| c.name == "disabled");
    let off = disabled.is_some_and(|value| value.text == "yes");
    let unbuilt = if off { Unbuilt::Allow } else { Unbuilt::Refuse };
    let parent = Parent::ActiveResponse;
    let block = Block::read(node, parent, Daemon::Manager, unbuilt, report);
    if block.setting("disabled", report, value::yes_or_no).is_err() {
        return Read::Wrong;
    }
    if only_disabled(node) {
        return if off { Read::Disabled } else { Read::Nothing };
    }
    if !off && block.lacks("command") && block.all("repeated_offenders").next().is_some() {
        return for_all(&block, report);
    }
    let settings = settings(&block, logic, off, report);
    if off {
        return Read::Disabled;
    }
    warn_if_never(&block, &settings, report);
    let command = settings
        .command
        .and_then(|value| look_up(value, commands, report));
    let spans = settings.timeout.and_then(|timeout| {
        let steps = settings.repeated_offenders?;
        Ok((timeout, steps))
    });
    let field_map = settings.field_map.and_then(|lists| match &command {
        Some(command) => field_map::resolve(&lists, command, report),
        None => Ok(None),
    });
    let said = spans.and_then(|spans| Ok((spans, field_map?)));
    match (command, settings.location, settings.when, said) {
        (Some(command), Some(location), Some(when), Ok(((timeout, steps), field_map))) => {
            let timeout = timeout.and_then(|timeout| allowed(timeout, &command, report));
            let repeated_offenders = steps.and_then(|steps| own(steps, timeout, report));
            Read::Response(Box::new(Response {
                text: canonical(
                    &command,
                    &location,
                    &when,
                    (timeout, &repeated_offenders, &field_map),
                ),
                repeated_offenders,
                field_map,
                command,
                location,
                when,
                timeout,
                line: report.line(node.name_at),
            }))
        }
        _ => Read::Wrong,
    }
}

/// What a block says; what is wrong or missing has been reported.
struct Settings<'a> {
    command: Option<Value<'a>>,
    location: Option<Where>,
    when: Option<When>,
    timeout: Result<Option<(Value<'a>, Duration)>, Reported>,
    repeated_offenders: Result<Option<(Value<'a>, Steps)>, Reported>,
    field_map: Result<Vec<field_map::List<'a>>, Reported>,
}

fn settings<'a>(
    block: &Block<'a>,
    logic: Logic,
    off: bool,
    report: &mut Report<'_>,
) -> Settings<'a> {
    Settings {
        when: when::read(block, logic, report),
        location: needed(block, "location", off, report)
            .and_then(|value| location::read(value, block, off, report)),
        timeout: block.setting("timeout", report, |value, report| {
            value::duration(value, Origin::Wazuh, report).map(|span| (value, span))
        }),
        repeated_offenders: block.setting("repeated_offenders", report, |value, report| {
            offenders::steps(value, report).map(|steps| (value, steps))
        }),
        field_map: field_map::read(block, report),
        command: needed(block, "command", off, report),
    }
}

/// Wazuh takes a block that has steps and no command for nothing else.
fn for_all(block: &Block<'_>, report: &mut Report<'_>) -> Read {
    let of_it = [
        "disabled",
        "repeated_offenders",
        "ca_store",
        "ca_verification",
    ];
    let mut others = block.node.children.iter();
    if let Some(other) = others.find(|child| !of_it.contains(&child.name.as_str())) {
        let message = format!(
            "<{}> has no effect in a block without <command>",
            other.name
        );
        let hint = "write the <command>, or remove all but <repeated_offenders>, which is for all responses";
        report.warning(other.name_at, message, hint);
    }
    let steps = block.setting("repeated_offenders", report, |value, report| {
        offenders::warn_of_place(value, report);
        offenders::steps(value, report)
    });
    match steps {
        Ok(Some(steps)) => Read::ForAll(steps),
        Ok(None) | Err(Reported) => Read::Wrong,
    }
}

/// What a response says itself about repeats, if it has an end.
fn own(
    (value, steps): (Value<'_>, Steps),
    timeout: Option<Duration>,
    report: &mut Report<'_>,
) -> Option<Arc<RepeatedOffenders>> {
    offenders::warn_of_place(value, report);
    let at = value.node.text_at;
    let Some(timeout) = timeout else {
        let message = "<repeated_offenders> has no effect: this response is not taken back";
        report.warning(at, message, "write a <timeout>, or remove it");
        return None;
    };
    if steps.first().is_some_and(|first| first < timeout) {
        let message = format!(
            "the first repeat is held for less ({}) than the first time ({})",
            span::shown(steps.first().unwrap_or_default()),
            span::shown(timeout)
        );
        let hint =
            "a number without a unit is minutes here, as in Wazuh 4.x, and seconds in <timeout>";
        report.warning(at, message, hint);
    }
    Some(Arc::new(RepeatedOffenders {
        scope: AppliesTo::Response,
        steps,
    }))
}

fn warn_if_never(block: &Block<'_>, settings: &Settings<'_>, report: &mut Report<'_>) {
    if settings.when.as_ref().is_some_and(When::is_never) && !block.is_jumbled() {
        let message = "this <active-response> never runs: it names no rule";
        let hint = "write <rules_id>, <rules_group> or <level>; or remove the block";
        report.warning(block.node.name_at, message, hint);
    }
}

fn only_disabled(node: &Node) -> bool {
    let of_agents = ["disabled", "ca_store", "ca_verification"];
    node.children
        .iter()
        .all(|child| of_agents.contains(&child.name.as_str()))
        && !node.children.is_empty()
}

/// A setting that a response needs, unless it is switched off.
fn needed<'a>(
    block: &Block<'a>,
    name: &str,
    off: bool,
    report: &mut Report<'_>,
) -> Option<Value<'a>> {
    if block.all(name).next().is_some() {
        return block.value(name, report);
    }
    if !off && block.lacks(name) {
        let message = format!("this <active-response> has no <{name}>");
        let hint = match name {
            "location" => {
                "write <location>local</location> to run on the agent the alert came from"
            }
            _ => "write <command>NAME</command> with the name of a <command> block",
        };
        report.error(block.node.name_at, message, hint);
    }
    None
}

fn look_up(value: Value<'_>, commands: &Commands, report: &mut Report<'_>) -> Option<Arc<Command>> {
    match commands.find(value.text) {
        Lookup::Found(command) => Some(command),
        Lookup::Unusable => None,
        Lookup::Unknown => {
            let message = match value.text {
                "" => "<command> is empty".to_owned(),
                name => format!("the command {name} is not declared"),
            };
            match commands.scope() {
                Scope::Part if !value.text.is_empty() => {
                    let message = format!("{message} in this part of a configuration");
                    let hint = "the rest of it must; without that the daemon does not start";
                    report.warning(value.node.text_at, message, hint);
                }
                Scope::Part | Scope::Whole => {
                    report.error(value.node.text_at, message, commands.instead_of(value.text));
                }
            }
            None
        }
    }
}

/// Nothing and 0 are the same: stateless.
fn allowed(
    (value, span): (Value<'_>, Duration),
    command: &Command,
    report: &mut Report<'_>,
) -> Option<Duration> {
    if span.is_zero() {
        return None;
    }
    if !command.timeout_allowed {
        let name = &command.name;
        let message = format!("{name} has no <timeout_allowed>: it runs once and is not reverted");
        let hint = format!(
            "write <timeout_allowed>yes</timeout_allowed> in the command {name}, or remove <timeout>"
        );
        report.warning(value.node.text_at, message, hint);
        return None;
    }
    Some(span)
}

/// What a script is given as words. Without it the text is what it was before
/// there were such scripts.
fn expect(contract: Contract) -> Option<String> {
    let word = |name: &str, want| match want {
        Want::No => String::new(),
        Want::Maybe => format!("{name}? "),
        Want::Needed => format!("{name} "),
    };
    match contract {
        Contract::Json | Contract::V5 => None,
        Contract::Argv(Wanted {
            user,
            srcip,
            filename,
        }) => Some(
            [
                word("user", user),
                word("srcip", srcip),
                word("filename", filename),
            ]
            .concat(),
        ),
    }
}

fn listed(repeated: &RepeatedOffenders) -> String {
    let seconds: Vec<u64> = repeated.steps.clone().into();
    let seconds: Vec<_> = seconds.iter().map(u64::to_string).collect();
    seconds.join(",")
}

fn looked_for(map: &FieldMap) -> impl Iterator<Item = (&'static str, Option<String>)> {
    Field::ALL.into_iter().filter_map(|field| {
        let paths: Vec<_> = map.paths(field)?.iter().map(FieldPath::as_str).collect();
        Some((
            "field_map",
            Some(format!("{}={}", field.word(), paths.join(","))),
        ))
    })
}

fn canonical(
    command: &Command,
    location: &Where,
    when: &When,
    (timeout, repeated, field_map): (
        Option<Duration>,
        &Option<Arc<RepeatedOffenders>>,
        &Option<Arc<FieldMap>>,
    ),
) -> String {
    // Destructured, so that a new setting cannot be forgotten here.
    let Command {
        name,
        executable,
        timeout_allowed,
        extra_args,
        contract,
        revert,
        execution_timeout,
        handshake_timeout,
    } = command;
    let When {
        level,
        rules_group,
        rules_id,
        logic,
    } = when;
    let Where {
        local: _,
        server: _,
        all: _,
        agents,
        exclude,
    } = location;
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs().to_string());
    let ids: BTreeSet<&str> = rules_id.iter().map(RuleId::as_str).collect();
    // Named only where it decides: other responses are the same in both.
    let logic = match logic {
        Logic::Ossec if when.depends_on_logic() => Some("ossec".to_owned()),
        Logic::Ossec | Logic::Wazuh => None,
    };
    let group = rules_group.as_ref().map(|group| group.text.clone());
    let mut fields: Vec<(&str, Option<String>)> = vec![
        ("command", Some(name.to_string())),
        ("executable", Some(executable.to_string())),
        ("timeout_allowed", Some(timeout_allowed.to_string())),
        ("contract", Some(contract.name().to_owned())),
        ("expect", expect(*contract)),
        ("revert", revert.map(|revert| revert.to_string())),
        ("execution_timeout", seconds(*execution_timeout)),
        ("handshake_timeout", seconds(*handshake_timeout)),
        ("level", level.map(|level| level.to_string())),
        ("rules_group", group),
        ("logic", logic),
        ("timeout", seconds(timeout)),
        ("repeated_offenders", repeated.as_deref().map(listed)),
    ];
    let each = |key, text: &str| (key, Some(text.to_owned()));
    fields.extend(extra_args.iter().map(|arg| each("extra_arg", arg)));
    fields.extend(field_map.iter().flat_map(|map| looked_for(map)));
    let named = |list: &[Selector]| -> BTreeSet<String> {
        // Names are compared without regard to case, groups are not.
        let folded = |selector: &Selector| match selector {
            Selector::Name(name) => name.as_str().to_ascii_lowercase(),
            Selector::Id(_) | Selector::Range(..) | Selector::Group(_) => selector.to_string(),
        };
        list.iter().map(folded).collect()
    };
    fields.extend(
        location
            .places()
            .map(|place| each("location", place.as_str())),
    );
    fields.extend(named(agents).iter().map(|agent| each("agent", agent)));
    fields.extend(named(exclude).iter().map(|agent| each("exclude", agent)));
    fields.extend(ids.into_iter().map(|id| each("rules_id", id)));
    let mut text = String::new();
    for (key, value) in fields {
        // The length keeps values apart, whatever they contain.
        if let Some(value) = value {
            let _ = writeln!(text, "{key}={}:{value}", value.len());
        }
    }
    text
}
