//! Ending processes of others, so that no bystander is hit and none of them
//! gets away.
//!
//! A number alone says nothing once its process is gone. So a process is held
//! by a descriptor (pidfd_open(2)) first and looked at afterwards, and signals
//! go through the descriptor only (pidfd_send_signal(2)): if it still takes one,
//! the number was its own all the time, and what was read was its own too.
//!
//! All of them are stopped before one of them is ended: what is stopped cannot
//! fork. The stopping is over when a look at all processes, taken after every
//! known one was seen standing still, shows no new one.

mod held;
mod hunt;
mod owner;

use std::io;

pub use held::{Exe, Held};
pub use hunt::{Hunt, Left, Manner, Outcome};
pub use owner::{listener, parent};

/// Why processes cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    #[error("list the processes\n(is /proc mounted?)")]
    List(#[source] io::Error),
    #[error(
        "hold process {pid}\n(Linux before 5.3 and some filters of containers have no pidfd_open)"
    )]
    NoDescriptors { pid: i32 },
    #[error("hold process {pid}")]
    Hold {
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error("hold process {pid}: this is the number of a thread, not of a process")]
    Thread { pid: i32 },
}
