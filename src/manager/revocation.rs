//! The accounts of agents that are shut out: what waits for one is given up, and
//! what it has is written off. That is done once the journal tells of everything
//! that was on its way into it, and after a restart if it was not done before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{self, Boot};
use crate::journal::{JournalError, Ticket};
use crate::model::{ActionState, AgentId, Record};
use crate::roster::Standing;
use crate::wire::control::{Answer, ErrorKind};

use super::results::AT_ONCE;
use super::{Asker, Chore, Manager};

/// How long a person waits for the accounts of an agent to be closed. Only a
/// disk that is full takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agents whose accounts are to be closed.
#[derive(Debug, Default)]
pub(super) struct Closing(BTreeMap<AgentId, Account>);

#[derive(Debug, Default)]
struct Account {
    given_up: usize,
    left: usize,
    asker: Option<Waiting>,
}

/// A person who waits until an account is closed.
#[derive(Debug)]
struct Waiting {
    asker: Asker,
    deadline: Boot,
    /// Of the write that shuts the agent out.
    stored: Option<Ticket>,
    /// What there is to say of tokens.
    tokens: String,
}

impl Closing {
    /// The accounts of these agents, as far as they are shut out.
    pub(super) fn of(agents: Vec<AgentId>) -> Self {
        let accounts = agents.into_iter();
        Self(accounts.map(|agent| (agent, Account::default())).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Manager {
    /// Shuts an agent out: its session ends, and what waits for it is given up.
    pub(super) async fn revoke(&mut self, agent: &AgentId, asker: Asker) {
        let changes = match self.roster.revoke(agent) {
            Ok(changes) => changes,
            Err(error) => {
                // An asker who has gone needs no answer.
                let _ = asker.send(Answer::error(ErrorKind::Invalid, error));
                return;
            }
        };
        let tokens = self.tokens_after(&changes);
        self.enrolled.append(changes);
        self.end_session(agent);
        self.let_rival_in(agent).await;
        self.look_for_nobody();
        log::warn!(agent:% = agent; "an agent is revoked");
        let waiting = Waiting {
            asker,
            deadline: clock::boot().plus(PATIENCE),
            stored: self.enrolled.flush().await,
            tokens,
        };
        let account = self.closing.0.entry(agent.clone()).or_default();
        let before = account.asker.replace(waiting);
        if let Some(before) = before {
            let text = still_open(agent);
            self.answer_closed(before, text);
        }
        self.close_accounts().await;
    }

    /// Goes on with the accounts that are to be closed.
    pub(super) async fn close_accounts(&mut self) {
        for (agent, mut account) in std::mem::take(&mut self.closing.0) {
            let is_closed = self.close(&agent, &mut account).await;
            let text = if is_closed {
                format!(
                    "agent {agent} is revoked; given up what waited for it: {}; in force there, and not reported any more: {}",
                    account.given_up, account.left
                )
            } else {
                still_open(&agent)
            };
            let now = clock::boot();
            let asker = &mut account.asker;
            if let Some(waiting) = asker.take_if(|asker| is_closed || asker.deadline <= now) {
                self.answer_closed(waiting, text);
            }
            if !is_closed {
                self.closing.0.insert(agent, account);
            }
        }
    }

    /// Ends what an agent has and what waits for it. `true` if nothing is left.
    async fn close(&mut self, agent: &AgentId, account: &mut Account) -> bool {
        let member = self.roster.agent(agent);
        if member.is_none_or(|member| member.standing() != Standing::Revoked) {
            // It tells for itself, be it that it has been enrolled anew.
            return true;
        }
        if !self.delivery.is_current(agent) {
            return false;
        }
        let (waited, had) = match self.account(agent) {
            Ok(account) => account,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot look up what an agent has");
                return false;
            }
        };
        account.given_up += waited.len();
        account.left += had.len();
        let given_up = waited.into_iter().map(given_up);
        let records: Vec<_> = given_up.chain(had.into_iter().map(written_off)).collect();
        if records.is_empty() {
            log::info!(agent:% = agent, given_up = account.given_up, left = account.left; "what a revoked agent had is written off");
            return true;
        }
        self.end_all(records).await;
        false
    }

    /// Some of what waits for an agent; what it has once nothing does.
    fn account(&self, agent: &AgentId) -> Result<(Vec<Record>, Vec<Record>), JournalError> {
        let waiting = self.reader.waiting(agent, AT_ONCE)?;
        if waiting.is_empty() {
            return Ok((Vec::new(), self.reader.taken(agent)?));
        }
        let records = waiting.into_iter().map(|waiting| waiting.record);
        Ok((records.collect(), Vec::new()))
    }

    /// Answers once the roster is on the disk.
    fn answer_closed(&mut self, waiting: Waiting, text: String) {
        let Waiting {
            asker,
            stored,
            tokens,
            ..
        } = waiting;
        self.chores.spawn(async move {
            let stored = match stored {
                Some(mut ticket) => ticket.synced().await,
                None => true,
            };
            let answer = if stored {
                Answer::Done {
                    text: text + &tokens,
                }
            } else {
                Answer::error(ErrorKind::Unavailable, "the manager is stopping")
            };
            // An asker who has gone needs no answer.
            let _ = asker.send(answer);
            Chore::Done
        });
    }
}

fn still_open(agent: &AgentId) -> String {
    format!(
        "agent {agent} is revoked; what waits for it is given up once it can be written down (ripostctl status tells what keeps it)"
    )
}

fn given_up(mut record: Record) -> Record {
    record.state = ActionState::Failed;
    record.time = clock::wall();
    record.detail = Some("its agent was revoked before it had taken it".to_owned());
    record
}

fn written_off(mut record: Record) -> Record {
    let ends = record.until.map_or_else(
        || "without end".to_owned(),
        |until| format!("until {until}"),
    );
    record.detail = Some(format!(
        "its agent was revoked while it was {}, {ends}; the host is not heard any more",
        record.state
    ));
    record.state = ActionState::Failed;
    record.time = clock::wall();
    record.verified = None;
    record
}
