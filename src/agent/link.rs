//! The connection to the manager, kept up by a task of its own.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::ledger::end::BootId;
use crate::model::AgentId;
use crate::transport::local::{self, Connection};
use crate::wire::{Hello, ToAgent, ToManager, stream};

/// Messages under way to the manager.
const OUTGOING: usize = 256;

/// Pause between two attempts to reach a manager on the same host.
const REDIAL: Duration = Duration::from_millis(100);

/// What the link reports to the agent.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Up(mpsc::Sender<ToManager>),
    Told(ToAgent),
    Down,
}

/// Dials the manager's socket for ever. Ends when nobody listens to it.
pub async fn dial(socket: PathBuf, boot_id: BootId, reports: Reports) {
    let hello = Hello::agent(AgentId::MANAGER, boot_id.0);
    let mut reported = false;
    while !reports.0.is_closed() {
        match local::dial(&socket, &hello).await {
            Ok(connection) => {
                reported = false;
                log::info!(socket:% = socket.display(); "connected to the manager");
                serve(connection, &reports.0).await;
                log::warn!(
                    "lost the connection to the manager; responses in force stay and end in time"
                );
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

async fn serve(connection: Connection, reports: &mpsc::Sender<LinkEvent>) {
    let Connection {
        mut reader,
        mut writer,
    } = connection;
    let (outgoing, mut queue) = mpsc::channel::<ToManager>(OUTGOING);
    if reports.send(LinkEvent::Up(outgoing)).await.is_err() {
        return;
    }
    let write = async {
        while let Some(message) = queue.recv().await {
            let sent = match message.to_frame() {
                Ok(frame) => stream::write(&mut writer, &frame).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                log::debug!(error:% = error; "cannot write to the manager");
                return;
            }
        }
    };
    let read = async {
        loop {
            let message = match reader.next().await {
                Ok(Some(frame)) => ToAgent::from_frame(frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match message {
                Ok(message) => {
                    if reports.send(LinkEvent::Told(message)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    log::warn!(error:% = error; "the manager sent something that is not understood");
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}
