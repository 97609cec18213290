//! The steps both daemons begin with.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Mode;

use crate::audit::operator::{self, Sink};
use crate::config::{Checked, Context};
use crate::daemon::enroll::{self, Wish};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::options::{HOME_VARIABLE, Log, Options};
use crate::sys::exe::Home;
use crate::sys::fs::{self, Lock};
use crate::wire::Daemon;

/// A child of a killed predecessor shares its lock until it has become the
/// executable it was made for, which takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What tells one daemon from the other before it runs.
pub(super) struct Program<C> {
    pub(super) daemon: Daemon,
    /// The file below `queue/` that it locks, so that each home has one of it.
    pub(super) lock: &'static str,
    pub(super) load: fn(&Options) -> Checked<C>,
}

/// Reads the command line, then checks or serves, and says how that ended.
pub(super) fn main<C>(
    program: &Program<C>,
    serve: impl AsyncFnOnce(&Options, Home, C) -> Result<(), Failure>,
) -> ExitCode {
    let daemon = program.daemon;
    let options = match Options::parse(daemon, std::env::args_os(), std::env::var_os(HOME_VARIABLE))
    {
        Ok(options) => options,
        Err(stop) => {
            say(&stop.text, stop.code == exit::DONE);
            return ExitCode::from(stop.code);
        }
    };
    if options.check {
        return report_check(&(program.load)(&options));
    }
    let sink = match options.log {
        Log::Stderr => Sink::Stderr,
        Log::Syslog => Sink::Syslog,
    };
    operator::init(sink, daemon.as_str(), options.debug)
        .expect("nothing else sets a logger, and this is done once");
    rustix::process::umask(Mode::RWXO | Mode::WGRP);
    let ended = match &options.enroll {
        Some(wish) => enroll(&options, wish),
        None => run(program, &options, serve),
    };
    match ended {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(failure) => {
            say(&format!("{daemon}: {}\n", failure.text), false);
            ExitCode::from(failure.code)
        }
    }
}

fn enroll(options: &Options, wish: &Wish) -> Result<(), Failure> {
    let done = runtime()?.block_on(enroll::run(options, wish))?;
    say(done.note.as_deref().unwrap_or_default(), false);
    say(&done.text, true);
    Ok(())
}

fn run<C>(
    program: &Program<C>,
    options: &Options,
    serve: impl AsyncFnOnce(&Options, Home, C) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let home = Home::open(&options.home)?;
    let config = configuration((program.load)(options))?;
    let _lock = claim(&home, program.lock)?;
    runtime()?.block_on(serve(options, home, config))
}

/// Prints the outcome of a check: problems to stderr, what the file holds to
/// stdout.
fn report_check<T>(checked: &Checked<T>) -> ExitCode {
    say(&checked.problems(), false);
    say(&format!("{}\n", checked.summary), true);
    ExitCode::from(if checked.value.is_some() {
        exit::DONE
    } else {
        exit::FAILED
    })
}

/// The configuration, or a start that ends here. Warnings go to stderr as they
/// would from a check.
fn configuration<T>(checked: Checked<T>) -> Result<T, Failure> {
    let problems = checked.problems();
    match checked.value {
        Some(value) => {
            say(&problems, false);
            log::info!(holds = checked.summary.as_str(); "read the configuration");
            Ok(value)
        }
        None => Err(Failure::new(
            exit::CONFIGURATION,
            format!(
                "the configuration has errors, nothing was started\n{}",
                problems.trim_end()
            ),
        )),
    }
}

/// What a configuration is checked against: the home, if there is one.
pub(super) fn context(home: &Path) -> Context {
    Context {
        home: home.is_dir().then(|| home.to_owned()),
    }
}

/// Takes the lock of this daemon in its home.
fn claim(home: &Home, lock: &str) -> Result<Lock, Failure> {
    let queue = home.path().join("queue");
    if !queue.is_dir() {
        let text = format!(
            "open {}: there is no such directory\n({} is no home; ripostctl init DIR makes one)",
            queue.display(),
            home.path().display()
        );
        return Err(Failure::new(exit::CONFIGURATION, text));
    }
    Ok(fs::lock(&queue.join(lock), LOCK_WAIT)?)
}

/// One thread runs the daemon's own tasks; what blocks has threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::TRY_AGAIN, format!("start the event loop: {error}")))
}

/// stdout is for what was asked for, stderr for what is said about it. Nobody
/// can be told when they cannot be written to.
fn say(text: &str, asked_for: bool) {
    let _ = if asked_for {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
}

/// An error of the machine in a step every start needs.
pub(super) fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(exit::INTERNAL, format!("{what}: {error}"))
}
