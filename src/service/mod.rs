//! The one façade through which a daemon is read and changed: it takes
//! connections, says who may ask what, and hands requests to the owner of the
//! state. `ripostctl` comes in here today; HTTP and a page will later.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::transport::local::{self, LocalConnection, Peer};
use crate::transport::{Origin, Reception};
use crate::wire::FrameError;
use crate::wire::hello::Daemon;
use crate::wire::parts;

pub use crate::wire::control::{
    Agent, Answer, Asked, Connection, Counter, ErrorKind, Request, RevertOutcome, Status, Which,
};

/// Connections served at a time; more wait in the listen queue.
const CONNECTIONS: usize = 64;

/// How often it is looked whether the socket is still where it was put.
const WATCH: Duration = Duration::from_secs(2);

/// Where what comes in goes.
#[derive(Clone, Debug)]
pub struct Door {
    pub daemon: Daemon,
    pub requests: mpsc::Sender<Asked>,
    /// Only a manager takes agents.
    pub agents: Option<Reception>,
}

/// Serves the socket until it cannot be served any more. Somebody who removes
/// the socket file gets a new one.
pub async fn serve(path: PathBuf, mut listener: UnixListener, door: Door) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::time::timeout(WATCH, listener.accept()).await;
        match accepted {
            Err(_) => {
                if is_gone(&path) {
                    match local::bind(&path).await {
                        Ok(again) => {
                            log::warn!(socket:% = path.display(); "the control socket was removed; made it anew");
                            listener = again;
                        }
                        Err(error) => {
                            log::warn!(error:% = error; "cannot make the control socket anew")
                        }
                    }
                }
            }
            Ok(Err(error)) => {
                log::warn!(error:% = error; "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(Ok((stream, _))) => {
                let slots = Arc::clone(&slots);
                let door = door.clone();
                let permit = slots
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                tokio::spawn(async move {
                    admit(stream, door).await;
                    drop(permit);
                });
            }
        }
    }
}

fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).map_or(true, |meta| meta.nlink() == 0)
}

async fn admit(stream: UnixStream, door: Door) {
    let takes_agents = door.agents.is_some();
    match local::welcome(stream, door.daemon, takes_agents).await {
        Ok(Peer::Ctl(connection)) => answer(connection, &door.requests).await,
        Ok(Peer::Agent(hello, connection)) => {
            if let Some(agents) = door.agents {
                let ended = agents.serve(connection, Origin::Local, hello).await;
                if let Err(error) = ended {
                    log::warn!(error:% = error; "the session with agent 000 broke");
                }
            }
        }
        Err(error) => log::debug!(error:% = error; "a connection was refused"),
    }
}

/// Requests of one connection, one after the other. Every request is open to
/// root and to the user the daemon runs as, whom [`local::welcome`] has told
/// from everybody else.
async fn answer(mut connection: LocalConnection, requests: &mpsc::Sender<Asked>) {
    while let Ok(Some(frame)) = connection.reader.next().await {
        let answer = match frame.message::<Request>() {
            Ok(request) => ask(request, requests).await,
            Err(error) => Answer::Error {
                kind: ErrorKind::Invalid,
                text: format!("this daemon does not understand the request: {error}"),
            },
        };
        if tell(&mut connection, answer).await.is_err() {
            return;
        }
    }
}

/// Answers, or says that the answer cannot be told.
async fn tell(connection: &mut LocalConnection, answer: Answer) -> Result<(), FrameError> {
    for part in parts::split(answer) {
        match connection.send(&part).await {
            Err(FrameError::TooLong { length, .. }) => {
                let text = format!("the answer has {length} bytes, too many for one message");
                let answer = Answer::error(ErrorKind::Unavailable, text);
                return connection.send(&answer).await;
            }
            sent => sent?,
        }
    }
    Ok(())
}

async fn ask(request: Request, requests: &mpsc::Sender<Asked>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let stopping = Answer::Error {
        kind: ErrorKind::Unavailable,
        text: "the daemon is stopping".to_owned(),
    };
    if requests.send(Asked { request, answer }).await.is_err() {
        return stopping;
    }
    answered.await.unwrap_or(stopping)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::{Answer, Door, ErrorKind, Request, serve};
    use crate::transport::local;
    use crate::wire::{Daemon, Hello, MAX_FRAME};

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_an_error_and_the_next_one_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let listener = local::bind(&path).await.unwrap();
        let (requests, mut asked) = mpsc::channel(1);
        let door = Door {
            daemon: Daemon::Agentd,
            requests,
            agents: None,
        };
        let serving = tokio::spawn(serve(path.clone(), listener, door));
        let asking = async {
            let (mut connection, _) = local::dial(&path, &Hello::ctl()).await.unwrap();
            for is_long in [true, false] {
                connection.send(&Request::Status).await.unwrap();
                let asked = asked.recv().await.unwrap();
                let text = "x".repeat(if is_long { MAX_FRAME } else { 1 });
                asked.answer.send(Answer::Done { text }).unwrap();
                let frame = connection.reader.next().await.unwrap().unwrap();
                let is_error = matches!(
                    frame.message().unwrap(),
                    Answer::Error {
                        kind: ErrorKind::Unavailable,
                        ..
                    }
                );
                assert_eq!(is_error, is_long);
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(30), asking).await;
        assert!(asked.is_ok());
        serving.abort();
    }
}
