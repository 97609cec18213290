//! The command line of the two daemons, and where a home is looked for.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{ArgAction, ColorChoice, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::daemon::enroll::{self, Wish};
use crate::daemon::exit;
use crate::wire::Daemon;

/// The home where neither an option nor the environment names one.
pub const DEFAULT_HOME: &str = "/var/ripost";
/// The variable that names the home.
pub const HOME_VARIABLE: &str = "RIPOST_HOME";

/// What a daemon was asked to do. All paths are absolute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    pub home: PathBuf,
    pub config: PathBuf,
    /// `-t`: check the configuration and touch nothing.
    pub check: bool,
    /// How many times `-d` was given.
    pub debug: u8,
    pub log: Log,
    /// `enroll`, which agentd does instead of serving.
    pub enroll: Option<Wish>,
}

/// Where the operator log goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Log {
    Stderr,
    Syslog,
}

/// A command line after which there is nothing to run: help and version for
/// stdout, or a usage error for stderr.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stop {
    pub text: String,
    pub code: u8,
}

impl Stop {
    pub(crate) fn usage(text: String) -> Self {
        Self {
            text,
            code: exit::USAGE,
        }
    }
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Self {
        let code = if error.use_stderr() {
            exit::USAGE
        } else {
            exit::DONE
        };
        // Rendered without colours: the text may end up in a log.
        Self {
            text: error.render().to_string(),
            code,
        }
    }
}

/// What was typed.
#[derive(Debug, Parser)]
#[command(version, color = ColorChoice::Never, after_help = EXIT_CODES)]
struct LowArgs {
    /// The home [default: $RIPOST_HOME, else /var/ripost]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The configuration, instead of the one below etc/ in the home
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and touch nothing
    #[arg(short = 't')]
    check: bool,
    /// Say more in the operator log; repeat for more
    #[arg(short = 'd', global = true, action = ArgAction::Count)]
    debug: u8,
    /// Stay in the foreground (accepted; this is the default)
    #[arg(short = 'f')]
    foreground: bool,
    /// Where the operator log goes
    #[arg(long, global = true, value_name = "WHERE", default_value = "stderr")]
    log: Log,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the check found errors, 64 usage, 70 internal error,
75 try again, 77 not permitted, 78 the configuration keeps it from starting.";

impl Options {
    /// Reads `arguments`, of which the first is the program's own name;
    /// `home_variable` is the value of [`HOME_VARIABLE`], if it is set.
    pub fn parse<I>(
        daemon: Daemon,
        arguments: I,
        home_variable: Option<OsString>,
    ) -> Result<Self, Stop>
    where
        I: IntoIterator<Item = OsString>,
    {
        let file = match daemon {
            Daemon::Manager => "etc/manager.conf",
            Daemon::Agentd => "etc/agent.conf",
        };
        let matches = command(daemon).try_get_matches_from(arguments)?;
        let low = LowArgs::from_arg_matches(&matches)?;
        let home = home(named_home(low.home, home_variable))?;
        let config = match low.config {
            Some(config) => absolute(&config)?,
            None => home.join(file),
        };
        let enroll = match matches.subcommand() {
            Some(_) if low.check => {
                let text = format!("error: -t checks and does not `{}`\n", enroll::VERB);
                return Err(Stop::usage(text));
            }
            Some((_, matches)) => Some(enroll::parse(matches)?),
            None => None,
        };
        Ok(Self {
            home,
            config,
            check: low.check,
            debug: low.debug,
            log: low.log,
            enroll,
        })
    }
}

/// The command line of a daemon, as its help and its man page show it.
pub fn command(daemon: Daemon) -> clap::Command {
    let about = match daemon {
        Daemon::Manager => "Turns alerts into responses.",
        Daemon::Agentd => "Carries responses out on this host and takes them back.",
    };
    let command = LowArgs::command()
        .name(daemon.as_str())
        .bin_name(daemon.as_str())
        .about(about);
    match daemon {
        Daemon::Manager => command,
        Daemon::Agentd => command
            .subcommand(enroll::command())
            .disable_help_subcommand(true),
    }
}

/// What `--home` says, else the variable. An empty variable counts as not set.
pub(crate) fn named_home(option: Option<PathBuf>, variable: Option<OsString>) -> Option<PathBuf> {
    let variable = variable.filter(|value| value != OsStr::new(""));
    option.or(variable.map(PathBuf::from))
}

/// The home that was named, made absolute, or [`DEFAULT_HOME`].
pub(crate) fn home(named: Option<PathBuf>) -> Result<PathBuf, Stop> {
    match named {
        Some(home) => absolute(&home),
        None => Ok(PathBuf::from(DEFAULT_HOME)),
    }
}

/// Against the current directory, without a look at the file system: a daemon
/// leaves the directory it was started in.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Stop> {
    std::path::absolute(path)
        .map_err(|error| Stop::usage(format!("error: the path {path:?}: {error}\n")))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::{Log, Options, Stop, home, named_home};
    use crate::daemon::exit;
    use crate::wire::Daemon;

    fn parse(daemon: Daemon, words: &[&str]) -> Result<Options, Stop> {
        let words = std::iter::once("program").chain(words.iter().copied());
        Options::parse(daemon, words.map(OsString::from), None)
    }

    #[test]
    fn each_daemon_has_its_own_configuration_below_the_home() {
        for (daemon, file) in [
            (Daemon::Manager, "/h/etc/manager.conf"),
            (Daemon::Agentd, "/h/etc/agent.conf"),
        ] {
            let options = parse(daemon, &["--home", "/h"]).unwrap();
            assert_eq!(options.config, PathBuf::from(file));
            assert!(!options.check);
            assert_eq!((options.debug, options.log), (0, Log::Stderr));
        }
    }

    #[test]
    fn the_options_of_4_x_are_understood() {
        let words = ["-f", "-t", "-dd", "-d", "-c", "x.conf", "--log", "syslog"];
        let options = parse(Daemon::Manager, &words).unwrap();
        assert!(options.check);
        assert_eq!((options.debug, options.log), (3, Log::Syslog));
        let here = std::env::current_dir().unwrap();
        assert_eq!(options.config, here.join("x.conf"));
        let long = parse(Daemon::Manager, &["--config", "/x"]).unwrap();
        assert_eq!(long.config, PathBuf::from("/x"));
    }

    #[test]
    fn the_home_is_the_option_then_the_variable_then_var_ripost() {
        let variable = || Some(OsString::from("/variable"));
        for (option, variable, wanted) in [
            (Some("/option"), variable(), "/option"),
            (None, variable(), "/variable"),
            (None, Some(OsString::new()), "/var/ripost"),
            (None, None, "/var/ripost"),
        ] {
            let found = home(named_home(option.map(PathBuf::from), variable));
            assert_eq!(found, Ok(PathBuf::from(wanted)));
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(home(Some(PathBuf::from("below"))), Ok(here.join("below")));
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error_with_a_suggestion() {
        for words in [
            &["--hom", "/x"][..],
            &["--home"],
            &["--home", ""],
            &["--log", "file"],
            &["start"],
            &["-x"],
        ] {
            let stop = parse(Daemon::Agentd, words).unwrap_err();
            assert_eq!(stop.code, exit::USAGE, "{words:?}");
        }
        let stop = parse(Daemon::Agentd, &["--hom", "/x"]).unwrap_err();
        assert!(stop.text.contains("--home"), "{}", stop.text);
    }

    #[test]
    fn help_and_version_are_no_errors_and_name_the_program() {
        for words in [["-h"], ["--help"], ["-V"], ["--version"]] {
            let stop = parse(Daemon::Agentd, &words).unwrap_err();
            assert_eq!(stop.code, exit::DONE);
            assert!(stop.text.contains("ripost-agentd"), "{}", stop.text);
        }
    }
}
