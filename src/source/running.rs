//! What reads a source, whatever it is: a thread or a task.

use std::future::Future;
use std::io;

use tokio::sync::{oneshot, watch};

use super::{Follower, http};

/// A source that is being read. Dropping it stops it.
#[derive(Debug)]
pub enum Running {
    Thread(Follower),
    Task(Task),
    Http(http::Running),
}

impl Running {
    /// Whether it has ended. By itself it does so only when it fails, or behind
    /// [`Event::Ended`].
    ///
    /// [`Event::Ended`]: super::Event::Ended
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Thread(follower) => follower.is_finished(),
            Self::Task(task) => task.is_finished(),
            Self::Http(running) => running.is_finished(),
        }
    }

    /// Ends it. A thread is waited for, which takes no longer than the system
    /// call it is in; a task is told, and goes its way by itself.
    ///
    /// # Errors
    /// Why it had ended on its own.
    pub fn stop(self) -> io::Result<()> {
        match self {
            Self::Thread(follower) => follower.stop(),
            Self::Task(task) => task.stop(),
            Self::Http(running) => running.stop(),
        }
    }
}

/// A task that reads a source.
#[derive(Debug)]
pub struct Task {
    told: watch::Sender<bool>,
    ended: oneshot::Receiver<io::Result<()>>,
}

/// How a task learns that it is to end, together with all tasks that have a
/// copy of this.
#[derive(Clone, Debug)]
pub struct Stopped(watch::Receiver<bool>);

impl Task {
    /// Starts a task on the present runtime. Whatever it waits for, it also
    /// waits for [`Stopped::told`], and then ends soon.
    pub fn spawn<F>(run: impl FnOnce(Stopped) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (told, stopped) = watch::channel(false);
        let (sender, ended) = oneshot::channel();
        let task = run(Stopped(stopped));
        tokio::spawn(async move {
            // Nobody may ask any more why it ended.
            let _ = sender.send(task.await);
        });
        Self { told, ended }
    }

    /// Whether it has ended, be it by a panic.
    pub fn is_finished(&self) -> bool {
        // A sender that is gone has sent its result, or never will.
        !self.ended.is_empty() || self.ended.is_terminated()
    }

    fn stop(mut self) -> io::Result<()> {
        self.told.send_replace(true);
        match self.ended.try_recv() {
            Ok(ended) => ended,
            // It goes on until it sees that it was told.
            Err(oneshot::error::TryRecvError::Empty) => Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => {
                Err(io::Error::other("the task that read the source panicked"))
            }
        }
    }
}

impl Stopped {
    /// Returns once the task was told to end, or nobody holds it any more.
    /// Cancel-safe.
    pub async fn told(&mut self) {
        // An error means that the other end is gone, which tells the same.
        let _ = self.0.wait_for(|told| *told).await;
    }

    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Running, Task};

    #[tokio::test]
    async fn a_task_ends_when_it_is_told_or_dropped_and_not_before() {
        let (sender, mut ends) = tokio::sync::mpsc::channel(2);
        let spawn = || {
            let sender = sender.clone();
            Task::spawn(async move |mut stopped| {
                assert!(!stopped.is_told());
                stopped.told().await;
                assert!(stopped.is_told());
                sender.send(()).await.map_err(io::Error::other)
            })
        };
        let (told, dropped) = (Running::Task(spawn()), Running::Task(spawn()));
        tokio::task::yield_now().await;
        assert!(!told.is_finished() && !dropped.is_finished());
        told.stop().unwrap();
        ends.recv().await.unwrap();
        drop(dropped);
        ends.recv().await.unwrap();
    }

    #[tokio::test]
    async fn why_a_task_has_ended_is_told() {
        let task = Task::spawn(async |_| Err(io::Error::other("the cable is cut")));
        let running = Running::Task(task);
        while !running.is_finished() {
            tokio::task::yield_now().await;
        }
        let error = running.stop().unwrap_err();
        assert_eq!(error.to_string(), "the cable is cut");
    }
}
