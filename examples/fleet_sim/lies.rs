//! Agents with a valid certificate that do not keep to the rules: what a stolen
//! host may try.

use std::collections::VecDeque;

use clap::ValueEnum;
use ripost::clock;
use ripost::model::{Action, ActionState, AgentRef, Record};
use ripost::transport::dial::RemoteConnection;
use ripost::transport::random;
use ripost::wire::{AgentHello, FrameError, ToAgent, ToManager};
use tokio::io::AsyncWriteExt;

use super::agent::capabilities;
use super::fleet::Shared;

/// What a liar does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Lie {
    /// Report other agents' actions: as its own, then in their names.
    Other,
    /// Number its reports backwards, twice, and with the greatest number.
    Seq,
    /// Send bytes that are no frames.
    Garbage,
    /// Send reports of almost 2 MiB, and announce one of 4 GiB.
    Huge,
    /// Take everything and acknowledge nothing.
    Silent,
    /// Read nothing.
    Deaf,
}

impl Lie {
    pub const ALL: [Self; 6] = [
        Self::Other,
        Self::Seq,
        Self::Garbage,
        Self::Huge,
        Self::Silent,
        Self::Deaf,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Seq => "seq",
            Self::Garbage => "garbage",
            Self::Huge => "huge",
            Self::Silent => "silent",
            Self::Deaf => "deaf",
        }
    }
}

/// Lies until the manager ends the session.
pub async fn attend(lie: Lie, shared: &Shared, me: &AgentHello, connection: RemoteConnection) {
    let mut liar = Liar {
        shared,
        me,
        connection,
        seq: 0,
        asked: VecDeque::new(),
    };
    // That the manager has had enough is what is expected.
    let _ = liar.live(lie).await;
}

struct Liar<'a> {
    shared: &'a Shared,
    me: &'a AgentHello,
    connection: RemoteConnection,
    seq: u64,
    /// What it was told to do.
    asked: VecDeque<Action>,
}

impl Liar<'_> {
    async fn live(&mut self, lie: Lie) -> Result<(), FrameError> {
        self.connection.send(&capabilities()).await?;
        match lie {
            Lie::Garbage => self.garbage().await,
            Lie::Huge => self.huge().await,
            Lie::Deaf => std::future::pending().await,
            Lie::Silent => loop {
                self.act().await?;
            },
            Lie::Other => loop {
                self.act().await?;
                self.take().await?;
                self.others().await?;
            },
            Lie::Seq => loop {
                self.act().await?;
                self.take().await?;
                self.numbers().await?;
            },
        }
    }

    /// Waits for an action.
    async fn act(&mut self) -> Result<(), FrameError> {
        loop {
            let frame = self.connection.reader.next().await?;
            match ToAgent::from_frame(frame.ok_or(FrameError::ClosedMidFrame)?)? {
                ToAgent::Act { action, .. } => {
                    self.shared.tally.note(|report| report.received += 1);
                    self.asked.push_back(*action);
                    return Ok(());
                }
                ToAgent::Ping => self.connection.send(&ToManager::Pong).await?,
                ToAgent::WhiteList { .. }
                | ToAgent::Revert { .. }
                | ToAgent::Stored { .. }
                | ToAgent::Renewed { .. }
                | ToAgent::Pong { .. } => {}
            }
        }
    }

    async fn take(&mut self) -> Result<(), FrameError> {
        let actions = self.asked.iter().map(|action| action.id).collect();
        self.connection.send(&ToManager::Taken { actions }).await
    }

    /// Speaks of an action that another agent has.
    async fn others(&mut self) -> Result<(), FrameError> {
        let Some(theirs) = self.shared.hearsay() else {
            return Ok(());
        };
        let taken = ToManager::Taken {
            actions: vec![theirs.id],
        };
        self.connection.send(&taken).await?;
        let mut claimed = theirs.clone();
        claimed.agent = AgentRef {
            id: self.me.id.clone(),
            name: self.me.host.as_str().into(),
        };
        self.update(claimed, ActionState::Reverted, "not mine")
            .await?;
        self.update(theirs, ActionState::Reverted, "not me").await
    }

    async fn numbers(&mut self) -> Result<(), FrameError> {
        let Some(action) = self.asked.pop_front() else {
            return Ok(());
        };
        for (seq, state) in [
            (7, ActionState::Applied),
            (7, ActionState::Failed),
            (3, ActionState::Reverted),
            (0, ActionState::Running),
            (u64::MAX - 1, ActionState::Applied),
            (1, ActionState::Failed),
        ] {
            self.seq = seq;
            self.update(action.clone(), state, "out of order").await?;
        }
        Ok(())
    }

    async fn huge(&mut self) -> Result<(), FrameError> {
        /// So much that the frame just fits.
        const DETAIL: usize = 2 * 1024 * 1024 - 4_096;
        // Without an action there is nothing to report; the first alert for all
        // brings one.
        self.act().await?;
        self.take().await?;
        if let Some(action) = self.asked.pop_front() {
            let detail = "x".repeat(DETAIL);
            self.update(action, ActionState::Failed, &detail).await?;
        }
        self.raw(&[0xff; 8]).await
    }

    async fn garbage(&mut self) -> Result<(), FrameError> {
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..512 {
            bytes.extend(random::number().to_be_bytes());
        }
        self.raw(&bytes).await?;
        self.connection.reader.next().await.map(drop)
    }

    async fn raw(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let writer = &mut self.connection.writer;
        writer.write_all(bytes).await.map_err(FrameError::Io)?;
        writer.flush().await.map_err(FrameError::Io)
    }

    async fn update(
        &mut self,
        action: Action,
        state: ActionState,
        detail: &str,
    ) -> Result<(), FrameError> {
        let mut record = Record::new(&action, state, clock::wall());
        record.detail = Some(detail.to_owned());
        self.seq += 1;
        let update = ToManager::Update {
            seq: self.seq,
            action: action.into(),
            record: record.into(),
        };
        self.connection.send(&update).await
    }
}
