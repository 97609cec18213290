//! The command line: what was typed, turned into one task.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::EnumValueParser;
use clap::{Arg, ArgMatches, ColorChoice, Command, ValueEnum, value_parser};

use crate::ctl::import::Wish;
use crate::ctl::init::Role;
use crate::ctl::verbs::{Access, Kind, VERBS};
use crate::daemon::options::{self, Stop};
use crate::model::AgentId;
use crate::wire::control::{Run, TokenWish, Which, WhichTokens};

/// What to do, and for which home.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) home: PathBuf,
    /// Whether an option or the environment names the home: a file that is
    /// checked by itself is not held against a home that nobody spoke of.
    pub(crate) home_is_named: bool,
    pub(crate) output: Output,
    pub(crate) task: Task,
}

/// How data is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One array.
    Json,
}

/// One verb with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    Init { directory: PathBuf, role: Role },
    Refresh { directory: PathBuf },
    Check { file: Option<PathBuf> },
    Status,
    Agents,
    Revoke { agent: AgentId },
    Responses,
    History { limit: u32 },
    Revert { which: Which, yes: bool },
    Reload,
    Run(Run),
    EnrollToken(TokenWish),
    EnrollList,
    EnrollRevoke { tokens: WhichTokens },
    Import(Wish),
}

/// Reads `arguments`, of which the first is the program's own name.
pub(crate) fn parse<I>(arguments: I, home_variable: Option<OsString>) -> Result<Options, Stop>
where
    I: IntoIterator<Item = OsString>,
{
    let matches = command().try_get_matches_from(arguments)?;
    let (name, verb_matches) = matches
        .subcommand()
        .expect("the parser requires a subcommand");
    let verb = VERBS
        .iter()
        .find(|verb| verb.name == name)
        .expect("the subcommands are those of the table");
    let Kind::Now { access, task, .. } = verb.kind else {
        return Err(later(verb.name));
    };
    let (home, output) = global(name, access, verb_matches)?;
    let named = options::named_home(home, home_variable);
    Ok(Options {
        home_is_named: named.is_some(),
        home: options::home(named)?,
        output,
        task: task(verb_matches)?,
    })
}

/// The global options, refused where the verb would have to ignore them.
fn global(
    name: &str,
    access: Access,
    matches: &ArgMatches,
) -> Result<(Option<PathBuf>, Output), Stop> {
    let home = matches.get_one::<PathBuf>("home").cloned();
    let output = matches.get_one::<Output>("output").copied();
    if access == Access::Files && output == Some(Output::Json) {
        let text = format!("error: `{name}` has no output as JSON\n");
        return Err(Stop::usage(text));
    }
    if name == "init" && home.is_some() {
        let text = "error: `init` takes the home as its argument: ripostctl init DIR\n";
        return Err(Stop::usage(text.to_owned()));
    }
    Ok((home, output.unwrap_or(Output::Table)))
}

fn later(name: &str) -> Stop {
    Stop::usage(format!(
        "error: `{name}` is not in this version\n(`ripostctl --help` lists what is)\n"
    ))
}

/// The command line of `ripostctl`, as its help and its man pages show it.
pub fn command() -> Command {
    let mut command = Command::new("ripostctl")
        .bin_name("ripostctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Looks at the responses of a home, and steers them.")
        .color(ColorChoice::Never)
        .after_help(after_help())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .arg(
            Arg::new("home")
                .long("home")
                .global(true)
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("The home [default: $RIPOST_HOME, else /var/ripost]"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .global(true)
                .value_name("FORMAT")
                .value_parser(EnumValueParser::<Output>::new())
                .help("A table for people [default], or a JSON array"),
        );
    for verb in VERBS {
        command = command.subcommand(verb.command());
    }
    command
}

fn after_help() -> String {
    let later: Vec<_> = VERBS
        .iter()
        .filter(|verb| matches!(verb.kind, Kind::Later))
        .map(|verb| verb.name)
        .collect();
    format!(
        "Not in this version: {}.\n\n\
         Exit codes: 0 done, 1 failed, 64 usage, 69 no daemon can be reached,\n\
         70 internal error, 75 try again, 77 not permitted.",
        later.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::{Options, Output, Stop, Task, command, parse};
    use crate::ctl::init::Role;
    use crate::ctl::verbs::{Kind, VERBS};
    use crate::daemon::exit;
    use crate::model::ActionId;
    use crate::wire::control::Which;

    fn parsed(words: &[&str]) -> Result<Options, Stop> {
        let words = std::iter::once("ripostctl").chain(words.iter().copied());
        parse(words.map(OsString::from), None)
    }

    fn task(words: &[&str]) -> Task {
        parsed(words).unwrap().task
    }

    #[test]
    fn every_verb_is_named_once_described_and_in_the_help() {
        command().debug_assert();
        let help = command().render_long_help().to_string();
        let mut names = HashSet::new();
        for verb in VERBS {
            assert!(names.insert(verb.name), "{} stands twice", verb.name);
            assert!(!verb.about.is_empty() && !verb.about.ends_with('.'));
            assert!(help.contains(verb.name), "{}", verb.name);
            if !matches!(verb.kind, Kind::Later) {
                assert!(help.contains(verb.about), "{}", verb.about);
            }
        }
    }

    #[test]
    fn a_later_verb_is_told_apart_from_a_wrong_one_whatever_follows_it() {
        for verb in VERBS.iter().filter(|verb| matches!(verb.kind, Kind::Later)) {
            for rest in [&[][..], &["x", "--agent", "007"], &["--help"], &["-o"]] {
                let stop = parsed(&[&[verb.name], rest].concat()).unwrap_err();
                assert_eq!(stop.code, exit::USAGE);
                assert!(stop.text.contains("not in this version"), "{}", stop.text);
            }
        }
        let stop = parsed(&["stauts"]).unwrap_err();
        assert_eq!(stop.code, exit::USAGE);
        assert!(stop.text.contains("'status'"), "{}", stop.text);
    }

    #[test]
    fn global_options_stand_before_or_behind_the_verb() {
        for words in [
            ["--home", "/h", "-o", "json", "status"],
            ["status", "--home", "/h", "-o", "json"],
            ["--home", "/h", "status", "--output", "json"],
        ] {
            let options = parsed(&words).unwrap();
            assert_eq!(options.home, PathBuf::from("/h"));
            assert_eq!((options.output, options.task), (Output::Json, Task::Status));
        }
    }

    #[test]
    fn a_revert_names_exactly_one_kind_of_what() {
        let id = ActionId::from_bytes([7; 16]);
        let which = |words: &[&str]| match task(words) {
            Task::Revert { which, yes } => (which, yes),
            other => panic!("{other:?}"),
        };
        let text = id.to_string();
        assert_eq!(which(&["revert", &text]), (Which::Id(id), false));
        assert_eq!(
            which(&["revert", "--target", "192.0.2.1"]),
            (Which::Target("192.0.2.1".to_owned()), false)
        );
        assert_eq!(which(&["revert", "--all", "--yes"]), (Which::All, true));
        for words in [
            &["revert"][..],
            &["revert", "--yes"],
            &["revert", "--all", "--target", "x"],
            &["revert", &text, "--all"],
            &["revert", "zz"],
        ] {
            assert_eq!(parsed(words).unwrap_err().code, exit::USAGE, "{words:?}");
        }
    }

    #[test]
    fn what_a_verb_would_ignore_is_refused() {
        for words in [
            &["init", "/d", "-o", "json"][..],
            &["--home", "/h", "init", "/d"],
            &["init"],
            &["init", "/a", "/b"],
            &["init", "--agent", "--refresh", "/a"],
            &["history", "-n", "0"],
            &["history", "-n", "many"],
            &["status", "now"],
            &["-o", "xml", "status"],
            &[],
        ] {
            assert_eq!(parsed(words).unwrap_err().code, exit::USAGE, "{words:?}");
        }
    }

    #[test]
    fn the_other_verbs_carry_their_arguments() {
        let directory = PathBuf::from("/d");
        assert_eq!(
            task(&["init", "/d"]),
            Task::Init {
                directory: directory.clone(),
                role: Role::Manager,
            }
        );
        assert_eq!(
            task(&["init", "--agent", "/d"]),
            Task::Init {
                directory: directory.clone(),
                role: Role::Agent,
            }
        );
        assert_eq!(
            task(&["init", "--refresh", "/d"]),
            Task::Refresh { directory }
        );
        assert_eq!(task(&["history", "-n", "5"]), Task::History { limit: 5 });
        assert_eq!(task(&["reload"]), Task::Reload);
        assert_eq!(task(&["check"]), Task::Check { file: None });
        let file = Some(PathBuf::from("x"));
        assert_eq!(task(&["check", "-c", "x"]), Task::Check { file });
    }
}
