//! The operator log: what the daemons say to the people who run them, on
//! stderr or to syslog.
//!
//! A line is `LEVEL message key=value …`. On a terminal or in a file it begins
//! with the time; in the journal, which has its own, with a priority as in
//! sd-daemon(3). Whatever a message or a value contains, it stays one line and
//! within its quotes.

mod syslog;
mod text;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use self::syslog::Syslog;
use crate::clock;

/// Where the operator log goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sink {
    #[default]
    Stderr,
    /// `/dev/log`; stderr while that does not take a line.
    Syslog,
}

/// Makes this the logger of the process. `verbosity` counts `-d`: 0 shows what
/// changes and what is wrong, 1 each event, 2 and more everything.
///
/// # Errors
/// The process has a logger already.
pub fn init(sink: Sink, program: &'static str, verbosity: u8) -> Result<(), log::SetLoggerError> {
    let level = level(verbosity);
    let (syslog, missing) = match sink {
        Sink::Stderr => (None, None),
        Sink::Syslog => match Syslog::open(Path::new("/dev/log"), program) {
            Ok(syslog) => (Some(syslog), None),
            Err(error) => (None, Some(error)),
        },
    };
    log::set_boxed_logger(Box::new(Operator {
        level,
        lead: Lead::of_stderr(),
        syslog: syslog.map(Mutex::new),
    }))?;
    log::set_max_level(level);
    if let Some(error) = missing {
        log::warn!(error:%; "syslog cannot be reached, writing to stderr instead");
    }
    Ok(())
}

fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    }
}

/// What a line on stderr begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lead {
    Time,
    Priority,
}

impl Lead {
    /// `$JOURNAL_STREAM` is inherited by children whose stderr leads elsewhere,
    /// so what it names is compared (systemd.exec(5)).
    fn of_stderr() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let stderr = rustix::fs::fstat(io::stderr()).ok();
        match (journal, stderr) {
            (Some(journal), Some(stderr))
                if journal == format!("{}:{}", stderr.st_dev, stderr.st_ino) =>
            {
                Self::Priority
            }
            (Some(_) | None, Some(_) | None) => Self::Time,
        }
    }

    fn line(self, level: Level, text: &str) -> String {
        match self {
            Self::Time => format!("{} {text}\n", clock::wall()),
            Self::Priority => format!("<{}>{text}\n", priority(level)),
        }
    }
}

/// The severity of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

struct Operator {
    level: LevelFilter,
    lead: Lead,
    syslog: Option<Mutex<Syslog>>,
}

impl Log for Operator {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries speak of their own affairs below this level.
        let level = match metadata.target().starts_with("ripost") {
            true => self.level,
            false => self.level.min(LevelFilter::Warn),
        };
        metadata.level() <= level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = text::render(record);
        if let Some(syslog) = &self.syslog {
            // A logger that panicked half-way has no state worth distrusting.
            let mut syslog = syslog.lock().unwrap_or_else(PoisonError::into_inner);
            if syslog.send(record.level(), &text).is_ok() {
                return;
            }
        }
        let line = self.lead.line(record.level(), &text);
        // There is nobody left to tell that stderr cannot be written.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use log::{Level, LevelFilter, Log, Metadata};

    use super::{Lead, Operator, level};

    #[test]
    fn verbosity_and_origin_decide_what_is_shown() {
        let cases = [
            (0, "ripost::source", Level::Info, true),
            (0, "ripost::source", Level::Debug, false),
            (1, "ripost_manager", Level::Debug, true),
            (1, "ripost::source", Level::Trace, false),
            (9, "ripost::source", Level::Trace, true),
            (9, "notify::inotify", Level::Info, false),
            (0, "notify::inotify", Level::Warn, true),
        ];
        for (verbosity, target, at, wanted) in cases {
            let operator = Operator {
                level: level(verbosity),
                lead: Lead::Time,
                syslog: None,
            };
            let metadata = Metadata::builder().target(target).level(at).build();
            assert_eq!(operator.enabled(&metadata), wanted, "{target} {at}");
        }
        assert_eq!(level(0), LevelFilter::Info);
    }

    #[test]
    fn the_journal_gets_a_priority_and_everything_else_the_time() {
        assert_eq!(Lead::Priority.line(Level::Warn, "WARN x"), "<4>WARN x\n");
        let line = Lead::Time.line(Level::Warn, "WARN x");
        let (time, text) = line.split_once(' ').unwrap();
        assert_eq!(text, "WARN x\n");
        assert!(crate::clock::Wall::try_from(time.to_owned()).is_ok());
    }
}
