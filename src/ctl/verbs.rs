//! The verbs, in the order in which the help shows them. The parser, the help
//! and its suggestions are made from this table.

mod fleet;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use crate::ctl::init::Role;
use crate::ctl::options::Task;
use crate::daemon::options::{Stop, absolute};
use crate::model::ActionId;
use crate::wire::control::Which;

/// What a verb does to a running system, which is also what it takes to be
/// allowed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// Works on files; no daemon is asked. The file system decides.
    Files,
    /// Reads from a daemon.
    Read,
    /// Changes what a daemon does.
    Change,
}

/// One verb.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

/// Whether this version has the verb, and how it is typed.
pub(crate) enum Kind {
    Now {
        access: Access,
        /// Adds its arguments to the command.
        arguments: fn(Command) -> Command,
        /// Reads them back.
        task: fn(&ArgMatches) -> Result<Task, Stop>,
    },
    Later,
}

/// All of them, in the order of a first use.
pub(crate) const VERBS: &[Verb] = &[
    Verb {
        name: "init",
        about: "Make a new home, or renew its bundled executables",
        kind: Kind::Now {
            access: Access::Files,
            arguments: init_arguments,
            task: init,
        },
    },
    Verb {
        name: "check",
        about: "Check the configuration; nothing is touched",
        kind: Kind::Now {
            access: Access::Files,
            arguments: check_arguments,
            task: check,
        },
    },
    Verb {
        name: "status",
        about: "Show how a daemon is doing",
        kind: plain(Access::Read, |_| Ok(Task::Status)),
    },
    Verb {
        name: "agents",
        about: "Show the agents of the manager, or shut one out",
        kind: Kind::Now {
            access: Access::Read,
            arguments: fleet::agents_arguments,
            task: fleet::agents,
        },
    },
    Verb {
        name: "responses",
        about: "Show what is in force now",
        kind: plain(Access::Read, |_| Ok(Task::Responses)),
    },
    Verb {
        name: "history",
        about: "Show what was done, newest first",
        kind: Kind::Now {
            access: Access::Read,
            arguments: history_arguments,
            task: history,
        },
    },
    Verb {
        name: "revert",
        about: "Take responses back before their end",
        kind: Kind::Now {
            access: Access::Change,
            arguments: revert_arguments,
            task: revert,
        },
    },
    Verb {
        name: "reload",
        about: "Apply the configuration on disk",
        kind: plain(Access::Change, |_| Ok(Task::Reload)),
    },
    Verb {
        name: "run",
        about: "Carry a command out by hand",
        kind: Kind::Now {
            access: Access::Change,
            arguments: fleet::run_arguments,
            task: fleet::run,
        },
    },
    Verb {
        name: "enroll",
        about: "Let new agents in",
        kind: Kind::Now {
            access: Access::Change,
            arguments: fleet::enroll_arguments,
            task: fleet::enroll,
        },
    },
    Verb {
        name: "import",
        about: "Take over an installation of OSSEC or Wazuh, or its agents",
        kind: Kind::Now {
            access: Access::Change,
            arguments: fleet::import_arguments,
            task: fleet::import,
        },
    },
    later("explain", "Show which responses an alert would lead to"),
    later("simulate", "Try a configuration on past alerts"),
    later("why", "Show what led to a response"),
    later("allow", "Never act against a target"),
    later("pause", "Start no new responses for a while"),
    later("resume", "End a pause"),
    later("approve", "Let a waiting response go on"),
];

/// A verb without arguments.
const fn plain(access: Access, task: fn(&ArgMatches) -> Result<Task, Stop>) -> Kind {
    Kind::Now {
        access,
        arguments: |command| command,
        task,
    }
}

const fn later(name: &'static str, about: &'static str) -> Verb {
    Verb {
        name,
        about,
        kind: Kind::Later,
    }
}

impl Verb {
    /// The verb as the parser knows it.
    pub(crate) fn command(&self) -> Command {
        let command = Command::new(self.name).about(self.about);
        match self.kind {
            Kind::Now { arguments, .. } => arguments(command),
            Kind::Later => anything(command),
        }
    }
}

/// Whatever is typed behind a verb of a later version, the answer is that it is
/// one.
fn anything(command: Command) -> Command {
    command
        .hide(true)
        .disable_help_flag(true)
        .ignore_errors(true)
        .arg(
            Arg::new("rest")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
}

fn init_arguments(command: Command) -> Command {
    command
        .arg(
            Arg::new("refresh")
                .long("refresh")
                .action(ArgAction::SetTrue)
                .help("Replace only the bundled executables of an existing home"),
        )
        .arg(
            Arg::new("agent")
                .long("agent")
                .action(ArgAction::SetTrue)
                .conflicts_with("refresh")
                .help("For a host that is only an agent: nothing of a manager's"),
        )
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The home; it must not exist yet or be empty"),
        )
}

fn init(matches: &ArgMatches) -> Result<Task, Stop> {
    let directory = matches
        .get_one::<PathBuf>("directory")
        .expect("the parser requires it");
    let directory = absolute(directory)?;
    if matches.get_flag("refresh") {
        return Ok(Task::Refresh { directory });
    }
    let role = match matches.get_flag("agent") {
        true => Role::Agent,
        false => Role::Manager,
    };
    Ok(Task::Init { directory, role })
}

fn check_arguments(command: Command) -> Command {
    command.arg(
        Arg::new("config")
            .short('c')
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("A file for either daemon, instead of those of the home"),
    )
}

fn check(matches: &ArgMatches) -> Result<Task, Stop> {
    Ok(Task::Check {
        file: matches.get_one::<PathBuf>("config").cloned(),
    })
}

fn history_arguments(command: Command) -> Command {
    command.arg(
        Arg::new("limit")
            .short('n')
            .value_name("N")
            .default_value("1000")
            .value_parser(value_parser!(u32).range(1..))
            .help("How many lines at most"),
    )
}

fn history(matches: &ArgMatches) -> Result<Task, Stop> {
    let limit = matches
        .get_one::<u32>("limit")
        .expect("it has a default value");
    Ok(Task::History { limit: *limit })
}

fn revert_arguments(command: Command) -> Command {
    command
        .arg(
            Arg::new("id")
                .value_name("ID")
                .value_parser(ActionId::parse)
                .help("The action, as `responses` shows it"),
        )
        .arg(
            Arg::new("target")
                .long("target")
                .value_name("T")
                .help("Every response that acts on this target"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Every response in force"),
        )
        .group(
            ArgGroup::new("which")
                .args(["id", "target", "all"])
                .required(true),
        )
        .arg(
            Arg::new("yes")
                .long("yes")
                .action(ArgAction::SetTrue)
                .help("Do not ask back; needed with --all where nobody can answer"),
        )
}

fn revert(matches: &ArgMatches) -> Result<Task, Stop> {
    let id = matches.get_one::<ActionId>("id").copied().map(Which::Id);
    let target = matches.get_one::<String>("target");
    let which = id.or(target.cloned().map(Which::Target));
    Ok(Task::Revert {
        which: which.unwrap_or(Which::All),
        yes: matches.get_flag("yes"),
    })
}
