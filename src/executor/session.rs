//! One process and the conversation with it.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use super::heard::Heard;
use super::pipes::{Head, Incoming, Lines, Outgoing};
use super::{Decision, End, Mode, Outcome, Progress, Run, RunId};
use crate::clock;
use crate::contract::request::Command;
use crate::sys::process::{Child, Exit, Pipes};

const MAX_STDERR: usize = 4 * 1024;

/// How long a killed process may take until its status is there.
const REAP_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Session<'a> {
    run: &'a Run,
    child: Child,
    progress: mpsc::Sender<(RunId, Progress)>,
    cancel: watch::Receiver<bool>,
    heard: Heard,
    details: Vec<String>,
}

/// The pipes and clocks of a session.
struct Talk {
    stdin: Outgoing,
    stdout: Incoming,
    stderr: Incoming,
    lines: Lines,
    errors: Head,
    deadline: Pin<Box<Sleep>>,
    /// Armed while keys are waited for.
    handshake: Option<Pin<Box<Sleep>>>,
    asking: Option<Asking>,
}

/// The owner has been asked what to do with the keys.
struct Asking {
    since: u64,
    answer: Pin<Box<dyn Future<Output = Option<Decision>> + Send>>,
}

/// What happened next.
enum Event {
    Ended(io::Result<Exit>),
    Deadline,
    Cancelled,
    HandshakeOver,
    Decided(Option<Decision>),
    Exchanged,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        run: &'a Run,
        child: Child,
        progress: mpsc::Sender<(RunId, Progress)>,
        cancel: watch::Receiver<bool>,
    ) -> Self {
        Self {
            run,
            child,
            progress,
            cancel,
            heard: Heard::of(run),
            details: Vec::new(),
        }
    }

    pub(super) async fn carry_out(mut self, pipes: Pipes) -> Outcome {
        if !self.may_go().await {
            let end = self.kill(End::Cancelled).await;
            return self.outcome(end, String::new());
        }
        // One that is given words acts already.
        if self.run.is_pointless() && self.run.message().is_some() {
            let end = self.kill(End::TooLate).await;
            return self.outcome(end, String::new());
        }
        let mut talk = self.open(pipes);
        let end = self.converse(&mut talk).await;
        self.hear_the_rest(&mut talk, &end).await;
        let stderr = talk.errors.text();
        self.outcome(end, stderr)
    }

    /// Tells the owner which process there is and waits until it may be spoken
    /// to.
    async fn may_go(&mut self) -> bool {
        let (go, gone) = oneshot::channel();
        let process = self.child.id();
        let told = async {
            let progress = (self.run.id, Progress::Started { process, go });
            self.progress.send(progress).await.is_ok() && gone.await.is_ok()
        };
        tokio::select! {
            told = told => told,
            () = cancelled(&mut self.cancel) => false,
        }
    }

    /// Takes the pipes over and puts the message on its way.
    fn open(&self, pipes: Pipes) -> Talk {
        let mut stdin = Outgoing::new(pipes.stdin);
        let handshake = match (self.run.message(), self.run.mode) {
            (Some(message), Mode::Add) => {
                stdin.send(&message.line(Command::Add));
                Some(Box::pin(tokio::time::sleep(self.run.limits.handshake)))
            }
            (Some(message), Mode::Delete) => {
                stdin.send(&message.line(Command::Delete));
                stdin.finish();
                None
            }
            (None, _) => None,
        };
        Talk {
            stdin,
            stdout: Incoming::new(pipes.stdout),
            stderr: Incoming::new(pipes.stderr),
            lines: Lines::default(),
            errors: Head::new(MAX_STDERR),
            deadline: Box::pin(tokio::time::sleep(self.run.limits.execution)),
            handshake,
            asking: None,
        }
    }

    async fn converse(&mut self, talk: &mut Talk) -> End {
        loop {
            match self.next(talk).await {
                Event::Ended(Ok(exit)) => return exit.into(),
                Event::Ended(Err(error)) => {
                    self.details.push(format!("wait for it: {error}"));
                    return self.kill(End::Cancelled).await;
                }
                Event::Deadline => return self.kill(End::TimedOut).await,
                Event::Cancelled | Event::Decided(None) => return self.kill(End::Cancelled).await,
                Event::HandshakeOver => self.give_up_on_keys(talk),
                Event::Decided(Some(decision)) => self.reply(talk, decision),
                Event::Exchanged => {}
            }
            self.ask_if_named(talk);
        }
    }

    /// Waits for the next event. Every arm is cancel-safe: `Child::wait`,
    /// sleeps and `watch` are by contract, the pipes as said there, and the
    /// answer is a boxed future that is kept and polled again.
    async fn next(&mut self, talk: &mut Talk) -> Event {
        tokio::select! {
            status = self.child.wait() => Event::Ended(status),
            () = talk.deadline.as_mut(), if talk.asking.is_none() => Event::Deadline,
            () = cancelled(&mut self.cancel) => Event::Cancelled,
            () = expiry(&mut talk.handshake) => Event::HandshakeOver,
            decision = answer(&mut talk.asking) => Event::Decided(decision),
            () = talk.stdin.write_some() => Event::Exchanged,
            bytes = talk.stdout.read() => {
                talk.lines.feed(bytes, |line| self.heard.line(line));
                Event::Exchanged
            }
            bytes = talk.stderr.read() => {
                talk.errors.feed(bytes);
                Event::Exchanged
            }
        }
    }

    fn ask_if_named(&mut self, talk: &mut Talk) {
        let Some(keys) = self.heard.unasked_keys() else {
            return;
        };
        if talk.handshake.take().is_none() {
            self.details
                .push("named its keys after its stdin had ended, so it got no reply".to_owned());
        }
        let (decide, decision) = oneshot::channel();
        let (progress, id) = (self.progress.clone(), self.run.id);
        let answer = async move {
            let asked = progress.send((id, Progress::Keys { keys, decide })).await;
            asked.ok()?;
            decision.await.ok()
        };
        talk.asking = Some(Asking {
            since: clock::boot_nanos(),
            answer: Box::pin(answer),
        });
    }

    /// Passes the decision on. The time it took is given back to the deadline.
    fn reply(&mut self, talk: &mut Talk, decision: Decision) {
        if let Some(asking) = talk.asking.take() {
            let waited = clock::boot_nanos().saturating_sub(asking.since);
            let deadline = talk.deadline.deadline() + Duration::from_nanos(waited);
            talk.deadline.as_mut().reset(deadline);
        }
        if let Some(message) = self.run.message() {
            talk.stdin.send(&if self.run.bundled {
                message.bundled_reply(decision)
            } else {
                message.line(decision.command())
            });
        }
        talk.stdin.finish();
    }

    /// The handshake time is over. A script that prints something else instead
    /// of keys may still be waiting for the reply that 4.x gives it.
    fn give_up_on_keys(&mut self, talk: &mut Talk) {
        talk.handshake = None;
        if let Some(message) = self.run.message()
            && self.heard.something_else()
            && !self.run.bundled
        {
            talk.stdin.send(&message.line(Command::Continue));
        }
        talk.stdin.finish();
    }

    /// Reads what was printed before the end. A script may name its keys and be
    /// gone before the reply, so the owner is asked even now.
    async fn hear_the_rest(&mut self, talk: &mut Talk, end: &End) {
        let rest = talk.stdout.rest();
        talk.lines.feed(&rest, |line| self.heard.line(line));
        talk.lines.finish(|line| self.heard.line(line));
        talk.errors.feed(&talk.stderr.rest());
        match end {
            End::Exited(_) | End::Signalled(_) => self.ask_if_named(talk),
            End::TimedOut | End::NotStarted(_) | End::Cancelled | End::TooLate | End::Answered => {
                return;
            }
        }
        if talk.asking.is_some() {
            tokio::select! {
                // It is too late to tell the process.
                _ = answer(&mut talk.asking) => {}
                () = cancelled(&mut self.cancel) => {}
            }
        }
    }

    /// Ends the process and its group. The child is not waited for before, so
    /// that its number stays its own.
    async fn kill(&mut self, end: End) -> End {
        let (process, home) = (self.child.id(), self.run.home.clone());
        let grace = self.run.limits.kill_grace;
        let ended = tokio::task::spawn_blocking(move || process.end_group(home.path(), grace))
            .await
            .expect("the task neither panics nor is it aborted");
        if let Err(error) = ended {
            self.details.push(error.to_string());
        }
        // Where it does not end, it hangs in the kernel, as was noted above; its
        // status is collected whenever it comes.
        let _ = tokio::time::timeout(REAP_WAIT, self.child.wait()).await;
        end
    }

    fn outcome(self, end: End, stderr: String) -> Outcome {
        let mut outcome = Outcome {
            end,
            stderr,
            ..Outcome::not_started(String::new())
        };
        self.heard.tell(&mut outcome);
        for detail in self.details {
            outcome.add_detail(&detail);
        }
        outcome
    }
}

impl From<Exit> for End {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Exited(code),
            Exit::Signalled(signal) => Self::Signalled(signal),
        }
    }
}

/// True, or an owner that is gone: either way nobody wants the run any more.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    let _ = cancel.wait_for(|wanted| *wanted).await;
}

async fn expiry(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => pending().await,
    }
}

async fn answer(asking: &mut Option<Asking>) -> Option<Decision> {
    match asking {
        Some(asking) => asking.answer.as_mut().await,
        None => pending().await,
    }
}
