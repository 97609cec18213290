//! `ripostctl`: the command line with which a person looks and steers. It
//! holds no state and decides nothing: each verb is one request to a daemon,
//! or works on a home while no daemon needs to run.
//!
//! Data goes to stdout, talk to stderr. The codes it ends with are those of
//! [`crate::daemon::exit`].

mod check;
mod connection;
mod error;
mod failure;
mod fleet;
pub mod import;
mod init;
mod options;
mod run;
mod show;
mod steer;
mod table;
mod verbs;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::clock;
use crate::ctl::connection::Connection;
use crate::ctl::error::Error;
use crate::ctl::options::{Options, Output, Task};
use crate::daemon::exit;
use crate::daemon::options::HOME_VARIABLE;
use crate::model::{ActionId, Record};
use crate::wire::control::{Answer, Request};

pub use options::command;

/// Runs the program.
pub fn main() -> ExitCode {
    let variable = std::env::var_os(HOME_VARIABLE);
    let result = match options::parse(std::env::args_os(), variable) {
        Ok(options) => run(&options),
        // Help and version are data.
        Err(stop) if stop.code == exit::DONE => print(&stop.text),
        Err(stop) => Err(stop.into()),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        error.report();
        error.code()
    }))
}

fn run(options: &Options) -> Result<u8, Error> {
    let home = options.home.as_path();
    match &options.task {
        Task::Init { directory, role } => print(&init::init(directory, *role)?),
        Task::Refresh { directory } => print(&init::refresh(directory)?),
        Task::Check { file: None } => check::home(home),
        Task::Check { file: Some(file) } => {
            check::file(file, options.home_is_named.then_some(home))
        }
        Task::Status => status(home, options.output),
        Task::Agents => fleet::agents(home, options.output),
        Task::Revoke { agent } => fleet::revoke(home, options.output, agent),
        Task::Responses => responses(home, options.output),
        Task::History { limit } => history(home, options.output, *limit),
        Task::Revert { which, yes } => steer::revert(home, options.output, which, *yes),
        Task::Reload => steer::reload(home, options.output),
        Task::Run(run) => run::run(home, options.output, run),
        Task::EnrollToken(wish) => fleet::token(home, options.output, wish),
        Task::EnrollList => fleet::usable(home, options.output),
        Task::EnrollRevoke { tokens } => fleet::void(home, options.output, tokens),
        Task::Import(wish) => import::import(home, options.output, wish),
    }
}

/// Of every daemon of the home that runs: each knows of other troubles.
fn status(home: &Path, output: Output) -> Result<u8, Error> {
    let mut all = Vec::new();
    for mut connection in Connection::to_each(home)? {
        let Answer::Status(status) = connection.ask(&Request::Status)? else {
            return Err(connection.wrong_answer());
        };
        all.push(status);
    }
    let now = clock::wall();
    match output {
        Output::Json => print(&json(&all)),
        Output::Table => {
            let shown: Vec<_> = all.iter().map(|one| show::status(one, now)).collect();
            print(&shown.join("\n"))
        }
    }
}

fn responses(home: &Path, output: Output) -> Result<u8, Error> {
    let mut connection = Connection::to_any(home)?;
    let Answer::Records { mut records } = connection.ask(&Request::Responses)? else {
        return Err(connection.wrong_answer());
    };
    if let Some(agentd) = Connection::beside(&connection, home) {
        count(&mut records, agentd);
    }
    match output {
        Output::Json => print(&json(&records)),
        Output::Table => print_or_say(
            &show::responses(&records, clock::wall()),
            "no responses in force",
        ),
    }
}

/// Takes over what the agentd of this host counts. A manager does not know
/// it; that the agentd does not answer is no reason not to show the rest.
fn count(records: &mut [Record], mut agentd: Connection) {
    let Ok(Answer::Records { records: own }) = agentd.ask(&Request::Responses) else {
        return;
    };
    let hits = own.iter().map(|own| (own.action, own.hits));
    let hits: HashMap<ActionId, Option<u64>> = hits.collect();
    for record in records {
        if let Some(hits) = hits.get(&record.action) {
            record.hits = *hits;
        }
    }
}

fn history(home: &Path, output: Output, limit: u32) -> Result<u8, Error> {
    let mut connection = Connection::to_any(home)?;
    let Answer::Records { records } = connection.ask(&Request::History { limit })? else {
        return Err(connection.wrong_answer());
    };
    if u32::try_from(records.len()).is_ok_and(|count| count == limit) {
        say(&format!("the newest {limit}; -n N shows more"));
    }
    match output {
        Output::Json => print(&json(&records)),
        Output::Table => print_or_say(&show::history(&records), "nothing has happened yet"),
    }
}

/// An array with one row per line. What a terminal could take for a command
/// is written as `\u` escapes, which mean the same in JSON.
fn json<T: Serialize>(rows: &[T]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| serde_json::to_string(row).expect("rows are strings, numbers and enums"))
        .collect();
    let text = match rows.is_empty() {
        true => "[]".to_owned(),
        false => format!("[{}]", rows.join(",\n ")),
    };
    table::escape_json(&text) + "\n"
}

fn print_or_say(text: &str, nothing: &str) -> Result<u8, Error> {
    if text.is_empty() {
        say(nothing);
    }
    print(text)
}

/// Writes data. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<u8, Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(exit::DONE),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(exit::DONE),
        Err(error) => Err(Error::Output(error)),
    }
}

/// Writes talk that is escaped and broken into lines already. There is no place
/// left to tell of an error.
fn say_rendered(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes talk, escaped: it may quote what others have written.
fn say(text: &str) {
    let lines: Vec<String> = text.lines().map(table::escape).collect();
    say_rendered(&(lines.join("\n") + "\n"));
}
