//! The agents of a `client.keys`: told to a manager that runs, which gives each
//! a token.

use std::path::Path;
use std::time::Duration;

use crate::config::schema::Daemon;
use crate::ctl::connection::Connection;
use crate::ctl::error::Error as CtlError;
use crate::ctl::import::Error;
use crate::ctl::import::keys::{self, Problem};
use crate::ctl::import::report::{Row, What};
use crate::ctl::options::Output;
use crate::ctl::{json, print, say, show, table};
use crate::wire::control::{Answer, IssuedToken, KnownAgent, Request};

/// So many problems are shown; the others are counted.
const MAX_SHOWN: usize = 200;
/// So many agents go into one request: with the longest names they fill half of
/// a frame.
const BATCH: usize = 5_000;

/// Registers the agents of a file, and prints a token for each that is new to
/// the manager.
pub(super) fn register(
    home: &Path,
    output: Output,
    (file, bytes): (&Path, &[u8]),
    ttl: Duration,
) -> Result<u8, CtlError> {
    let agents = known(file, bytes)?;
    let mut connection = Connection::to_manager(home)?;
    let mut tokens = Vec::new();
    for batch in agents.chunks(BATCH) {
        if let Err(error) = send(&mut connection, batch, ttl, &mut tokens) {
            // The manager gives these out only once.
            show_tokens(output, &tokens)?;
            return Err(error);
        }
    }
    if tokens.is_empty() {
        say("no tokens were made: there is nobody new to the manager");
    } else {
        say("on each host: ripost-agentd enroll --manager HOST:PORT --token -");
    }
    show_tokens(output, &tokens)
}

fn show_tokens(output: Output, tokens: &[IssuedToken]) -> Result<u8, CtlError> {
    match output {
        Output::Json => print(&json(tokens)),
        Output::Table => print(&show::tokens(tokens)),
    }
}

fn send(
    connection: &mut Connection,
    agents: &[KnownAgent],
    ttl: Duration,
    tokens: &mut Vec<IssuedToken>,
) -> Result<(), CtlError> {
    let request = Request::Import {
        agents: agents.to_vec(),
        ttl: ttl.as_secs(),
    };
    let Answer::Tokens { tokens: new, notes } = connection.ask(&request)? else {
        return Err(connection.wrong_answer());
    };
    tokens.extend(new);
    notes.iter().for_each(|note| say(note));
    Ok(())
}

fn known(file: &Path, bytes: &[u8]) -> Result<Vec<KnownAgent>, Error> {
    let agents = keys::read(bytes).map_err(|problems| Error::Lines {
        file: file.to_owned(),
        count: problems.len(),
        problems: render(file, &problems),
    })?;
    match agents.is_empty() {
        true => Err(Error::NoAgents(file.to_owned())),
        false => Ok(agents),
    }
}

/// `FILE:LINE: error: MESSAGE`, and the hint under it. Without the line: it
/// holds a key.
fn render(file: &Path, problems: &[Problem]) -> String {
    let file = table::escape(&file.to_string_lossy());
    let mut text = String::new();
    for Problem { line, wrong } in problems.iter().take(MAX_SHOWN) {
        let message = wrong.to_string().replace('\n', "\n  ");
        text.push_str(&format!("{file}:{line}: error: {message}\n"));
    }
    let more = problems.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        text.push_str(&format!("… and {more} more\n"));
    }
    text
}

/// What is to be said of each agent of an installation. They cannot be
/// registered before the new manager runs: their tokens hold the pin of a
/// certificate that it makes then.
pub(super) fn rows(bytes: &[u8], daemon: Daemon) -> Vec<Row> {
    match keys::read(bytes) {
        Ok(agents) => agents.iter().map(|agent| row(agent, daemon)).collect(),
        Err(problems) => problems.iter().map(bad_line).collect(),
    }
}

fn row(agent: &KnownAgent, daemon: Daemon) -> Row {
    let name = format!("{} {}", agent.id, agent.name);
    if agent.removed {
        return Row::taken(What::Agent, name).saying("it was removed; its id stays unused");
    }
    let why = "it keeps its id and its name, and gets a certificate in place of its key";
    let instead = match daemon {
        Daemon::Manager => {
            "once the new manager runs, `ripostctl import` of this client.keys registers it and \
             prints its token"
                .to_owned()
        }
        Daemon::Agent => format!(
            "on the manager `ripostctl enroll token --id {} --name {}`, then here `ripost-agentd \
             enroll`",
            agent.id, agent.name
        ),
    };
    Row::differs(What::Agent, name, why, instead)
}

fn bad_line(problem: &Problem) -> Row {
    let message = problem.wrong.to_string();
    let (why, hint) = message.split_once('\n').unwrap_or((&message, ""));
    let instead = hint.trim_matches(['(', ')']);
    let mut row = Row::not_possible(What::Agent, "client.keys", why, instead);
    row.line = Some(problem.line);
    row
}
