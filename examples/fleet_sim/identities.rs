//! Who the agents are: identities from the folder, and new ones by the token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ripost::model::AgentName;
use ripost::transport::enroll;
use ripost::transport::pki::Credentials;
use ripost::wire::enroll::Token;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::options::Options;

/// Enrollments under way at once: a manager answers 64 at a time.
const AT_ONCE: usize = 32;

/// The identities of the agents to play here, in the order of their numbers.
pub async fn get(options: &Options) -> Result<Vec<Credentials>, String> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let first = options.first.unwrap_or(0);
    for number in first..first + options.agents {
        match Credentials::load(&folder(&options.dir, number)) {
            Ok(Some(credentials)) => found.push((number, credentials)),
            Ok(None) => missing.push(number),
            Err(error) => return Err(chain(&error)),
        }
    }
    found.extend(enroll_all(options, missing).await?);
    found.sort_by_key(|(number, _)| *number);
    Ok(found
        .into_iter()
        .map(|(_, credentials)| credentials)
        .collect())
}

async fn enroll_all(
    options: &Options,
    numbers: Vec<u32>,
) -> Result<Vec<(u32, Credentials)>, String> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let Some(token) = &options.token else {
        return Err(format!(
            "play {} agents: {} of them have no identity in {}\n\
             (--token with one of `ripostctl enroll token --uses {}`)",
            options.agents,
            numbers.len(),
            options.dir.display(),
            numbers.len()
        ));
    };
    let token = Arc::new(Token::parse(token).map_err(|error| chain(&error))?);
    std::fs::create_dir_all(&options.dir)
        .map_err(|error| format!("make {}: {error}", options.dir.display()))?;
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in numbers {
        let (options, token, turn) = (options.clone(), Arc::clone(&token), Arc::clone(&turn));
        tasks.spawn(async move {
            let _turn = turn.acquire().await;
            enroll_one(&options, &token, number).await
        });
    }
    let mut enrolled = Vec::new();
    while let Some(task) = tasks.join_next().await {
        enrolled.push(task.map_err(|error| format!("enroll: {error}"))??);
    }
    Ok(enrolled)
}

async fn enroll_one(
    options: &Options,
    token: &Token,
    number: u32,
) -> Result<(u32, Credentials), String> {
    let name = format!("{}-{number}", options.name);
    let name = AgentName::parse(&name).map_err(|error| chain(&error))?;
    let enrolled = enroll::enroll(&options.manager, token, &name)
        .await
        .map_err(|error| format!("enroll {name}: {}", chain(&error)))?;
    let folder = folder(&options.dir, number);
    enrolled
        .credentials
        .store(&folder)
        .map_err(|error| chain(&error))?;
    Ok((number, enrolled.credentials))
}

fn folder(dir: &Path, number: u32) -> PathBuf {
    dir.join(number.to_string())
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
