//! The connection to the manager, kept up by a task of its own.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::BootId;
use crate::model::{AgentId, Instance, JournalId};
use crate::transport::{local, session};
use crate::wire::{AgentHello, Frame, Hello, PROTOCOL, ToAgent};

/// Messages under way to the manager.
const OUTGOING: usize = 256;

/// Pause between two attempts to reach a manager on the same host.
const REDIAL: Duration = Duration::from_millis(100);

/// What the link reports to the agent.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Up(mpsc::Sender<Frame>),
    Told(ToAgent),
    Down,
}

/// Dials the manager's socket for ever. Ends when nobody listens to it.
pub async fn dial(socket: PathBuf, boot_id: BootId, reports: Reports) {
    let hello = Hello::Agent(AgentHello {
        protocol: PROTOCOL,
        id: AgentId::MANAGER,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id.0,
        journal: JournalId::from_bytes([0; 16]),
        instance: Instance::from_bytes([0; 8]),
        host: String::new(),
    });
    let mut reported = false;
    while !reports.0.is_closed() {
        match local::dial(&socket, &hello).await {
            Ok((connection, _)) => {
                reported = false;
                log::info!(socket:% = socket.display(); "connected to the manager");
                let (outgoing, queue) = mpsc::channel(OUTGOING);
                if reports.0.send(LinkEvent::Up(outgoing)).await.is_err() {
                    return;
                }
                let ended = session::attend(connection, queue, &reports.0, LinkEvent::Told);
                let problem = ended.await.err().map(|error| error.to_string());
                log::warn!(problem = problem.as_deref().unwrap_or("it was closed"); "lost the connection to the manager; responses in force stay and end in time");
                if reports.0.send(LinkEvent::Down).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if !reported {
                    log::warn!(error:% = error; "the manager is not reachable; dialling again every 100 ms");
                    reported = true;
                }
            }
        }
        tokio::time::sleep(REDIAL).await;
    }
}

/// Where a link reports to.
#[derive(Clone, Debug)]
pub struct Reports(pub(super) mpsc::Sender<LinkEvent>);
