//! What is told while it runs, one JSON object a line: for whoever measures
//! from outside, and for the process that has shared the work out.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use ripost::model::{ActionId, AgentId};
use serde::{Deserialize, Serialize};

use super::options::Form;
use super::report::Report;

/// Lines that may wait to be written. When they all do, the agents wait too,
/// which whoever reads so slowly has asked for.
const QUEUE: usize = 65_536;

/// One line. Times are microseconds of boot time, the same for all processes of
/// a host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// An agent has got an action for the first time, and has acknowledged it.
    Taken {
        agent: AgentId,
        action: ActionId,
        received_us: u64,
        taken_us: u64,
    },
    /// The manager has confirmed the first report of an action.
    Confirmed {
        agent: AgentId,
        action: ActionId,
        confirmed_us: u64,
    },
    /// How it stands.
    Snapshot(Box<Report>),
}

/// Where lines are written to, or nowhere.
#[derive(Clone, Debug)]
pub struct Lines(Option<SyncSender<Line>>);

/// The thread that writes them.
pub struct Writer(Option<JoinHandle<()>>);

impl Lines {
    /// Writes lines to stdout if `form` has any.
    pub fn start(form: Form) -> (Self, Writer) {
        match form {
            Form::Text | Form::Json => (Self(None), Writer(None)),
            Form::Lines => {
                let (sender, queue) = sync_channel(QUEUE);
                let thread = std::thread::spawn(move || write(&queue));
                (Self(Some(sender)), Writer(Some(thread)))
            }
        }
    }

    /// For whoever wants none.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn say(&self, line: Line) {
        if let Some(sender) = &self.0 {
            // Nobody reads them any more: the fleet goes on.
            let _ = sender.send(line);
        }
    }
}

impl Writer {
    /// Waits until all lines are written; every [`Lines`] must be gone.
    pub fn finish(self) {
        if let Some(thread) = self.0 {
            // A panic has ended the process already.
            let _ = thread.join();
        }
    }
}

/// Writes what waits with one write.
fn write(queue: &Receiver<Line>) {
    let mut stdout = std::io::stdout();
    let mut text = Vec::new();
    while let Ok(first) = queue.recv() {
        text.clear();
        for line in std::iter::once(first).chain(queue.try_iter()) {
            if serde_json::to_writer(&mut text, &line).is_ok() {
                text.push(b'\n');
            }
        }
        if stdout
            .write_all(&text)
            .and_then(|()| stdout.flush())
            .is_err()
        {
            return;
        }
    }
}

/// This moment, in microseconds of boot time.
pub fn now_us() -> u64 {
    ripost::clock::boot_nanos() / 1_000
}
