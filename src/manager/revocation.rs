//! The accounts of agents that are shut out.

use crate::clock;
use crate::journal::manager::Op;
use crate::model::{ActionState, AgentId};

use super::Manager;
use super::requests::READ_PATIENCE;

impl Manager {
    /// Ends what waits for an agent that will never be let in again.
    pub(super) async fn give_up(&mut self, agent: &AgentId) -> usize {
        let mut given_up = 0;
        loop {
            let rows = match self.reader.waiting(agent, 1_000) {
                Ok(rows) => rows,
                Err(error) => {
                    log::error!(agent:% = agent, error:% = error; "cannot look up what waits for an agent");
                    return given_up;
                }
            };
            let end = rows.len() < 1_000;
            for row in rows {
                let mut record = row.record;
                record.state = ActionState::Failed;
                record.time = clock::wall();
                record.detail = Some("its agent was revoked before it had taken it".to_owned());
                let taken = vec![Op::taken(&record)];
                self.record(record, taken, None).await;
                given_up += 1;
            }
            let wanted = self.journal.next() - 1;
            let mut written = self.journal.written();
            let wait = written.wait_for(|number| *number >= wanted);
            let is_written = tokio::time::timeout(READ_PATIENCE, wait).await.is_ok();
            if end || !is_written {
                return given_up;
            }
        }
    }

    /// Ends the account of what an agent has that will never report again.
    /// Returns how many actions those were.
    pub(super) async fn write_off(&mut self, agent: &AgentId) -> usize {
        let taken = match self.reader.taken(agent) {
            Ok(taken) => taken,
            Err(error) => {
                log::error!(agent:% = agent, error:% = error; "cannot look up what an agent has");
                return 0;
            }
        };
        let count = taken.len();
        for mut record in taken {
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
            self.record(record, Vec::new(), None).await;
        }
        count
    }
}
