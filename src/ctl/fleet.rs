//! The verbs about agents themselves: who they are, who may become one, and who
//! no longer is.

use std::path::Path;

use crate::ctl::connection::Connection;
use crate::ctl::error::Error;
use crate::ctl::options::Output;
use crate::ctl::{json, print, print_or_say, say, show};
use crate::daemon::exit;
use crate::model::AgentId;
use crate::wire::control::{Answer, IssuedToken, Request, TokenWish, WhichTokens};
use crate::wire::enroll::{Token, TokenId};

pub(super) fn agents(home: &Path, output: Output) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?;
    let Answer::Agents { agents } = connection.ask(&Request::Agents)? else {
        return Err(connection.wrong_answer());
    };
    match output {
        Output::Json => print(&json(&agents)),
        Output::Table => print_or_say(&show::agents(&agents), "no agents"),
    }
}

#[derive(serde::Serialize)]
struct Revoked<'a> {
    id: &'a AgentId,
    text: String,
}

pub(super) fn revoke(home: &Path, output: Output, agent: &AgentId) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?;
    let request = Request::Revoke {
        agent: agent.clone(),
    };
    let Answer::Done { text } = connection.ask(&request)? else {
        return Err(connection.wrong_answer());
    };
    match output {
        Output::Json => print(&json(&[Revoked { id: agent, text }])),
        Output::Table => print(&show::lines(&text)),
    }
}

/// Prints a new token alone, so that a script can take it from stdout. What it
/// is good for is said on stderr.
pub(super) fn token(home: &Path, output: Output, wish: &TokenWish) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?;
    let answer = connection.ask(&Request::EnrollToken(wish.clone()))?;
    let Answer::Tokens { tokens, notes } = answer else {
        return Err(connection.wrong_answer());
    };
    let [token] = &tokens[..] else {
        return Err(connection.wrong_answer());
    };
    notes.iter().for_each(|note| say(note));
    say(&good_for(token, wish));
    match output {
        Output::Json => print(&json(&tokens)),
        Output::Table => print(&show::lines(&token.token)),
    }
}

fn good_for(token: &IssuedToken, wish: &TokenWish) -> String {
    let who = match (&token.id, &token.name, token.uses) {
        (Some(id), Some(name), _) => format!("agent {id} {name}"),
        (Some(id), None, _) => format!("agent {id}"),
        (None, Some(name), _) => format!("an agent named {name}"),
        (None, None, 1) => "one agent".to_owned(),
        (None, None, uses) => format!("{uses} agents"),
    };
    let groups: Vec<_> = wish.groups.iter().map(|group| group.as_str()).collect();
    let groups = match groups[..] {
        [] => String::new(),
        [group] => format!(" in the group {group}"),
        [..] => format!(" in the groups {}", groups.join(", ")),
    };
    let void = match Token::parse(&token.token) {
        Ok(token) => format!("; void by: ripostctl enroll revoke {}", token.id),
        Err(_) => String::new(),
    };
    format!(
        "good for {who}{groups} until {}\n(on the host: ripost-agentd enroll --manager HOST:PORT --token -{void})",
        token.expires.local_log_stamp()
    )
}

/// Shows the tokens that can still be used.
pub(super) fn usable(home: &Path, output: Output) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?;
    let Answer::Usable { tokens } = connection.ask(&Request::EnrollList)? else {
        return Err(connection.wrong_answer());
    };
    match output {
        Output::Json => print(&json(&tokens)),
        Output::Table => print_or_say(
            &show::usable_tokens(&tokens),
            "no token can be used (`ripostctl enroll token` makes one)",
        ),
    }
}

/// Makes tokens void and shows those that could be used until now.
pub(super) fn void(home: &Path, output: Output, which: &WhichTokens) -> Result<u8, Error> {
    let mut connection = Connection::to_manager(home)?;
    let request = Request::EnrollRevoke {
        tokens: which.clone(),
    };
    let Answer::Usable { tokens } = connection.ask(&request)? else {
        return Err(connection.wrong_answer());
    };
    let shown = match output {
        Output::Json => print(&json(&tokens))?,
        Output::Table => {
            if !tokens.is_empty() {
                say("void from now on:");
            }
            print(&show::usable_tokens(&tokens))?
        }
    };
    let WhichTokens::Ids(ids) = which else {
        if tokens.is_empty() {
            say("no token could be used before, either");
        }
        return Ok(shown);
    };
    let is_void = |id: &TokenId| tokens.iter().any(|token| token.token == *id);
    let mut code = shown;
    for id in ids.iter().filter(|id| !is_void(id)) {
        code = exit::FAILED;
        say(&format!(
            "token {id} could not be used anyway: there is none, or it is used up, expired or \
             void (`ripostctl enroll list` shows the others)"
        ));
    }
    Ok(code)
}
