//! A bundled executable that serves, from the outside: what agentd does with
//! its worker.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ripost::contract::worker::{WORD, push, split};

use crate::run::Ran;

/// Longer than any order may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that runs.
pub struct Served {
    child: Child,
    socket: UnixStream,
    lines: BufReader<UnixStream>,
    next: u64,
}

impl Served {
    /// Starts the program of this command line as a worker.
    pub fn start(mut command: Command) -> Self {
        let (own, its) = UnixStream::pair().unwrap();
        own.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = command
            .arg(WORD)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            lines: BufReader::new(own.try_clone().unwrap()),
            socket: own,
            next: 1,
        }
    }

    /// Gives orders, all of them by one write, each its first line and what is
    /// said once it has named its keys. Returns what became of each, in their
    /// order; there is no exit status.
    pub fn orders(&mut self, orders: &[(String, String)]) -> Vec<Ran> {
        let first = self.next;
        let mut bytes = Vec::new();
        for (line, _) in orders {
            push(&mut bytes, self.next, line.as_bytes());
            self.next += 1;
        }
        // It may not read before it is read from.
        let (say, said) = mpsc::channel::<Vec<u8>>();
        let mut socket = self.socket.try_clone().unwrap();
        let writer = thread::spawn(move || {
            said.into_iter()
                .for_each(|bytes| socket.write_all(&bytes).unwrap());
        });
        say.send(bytes).unwrap();
        let mut heard: HashMap<u64, Ran> = HashMap::new();
        let mut open = orders.len();
        while open > 0 {
            let mut line = Vec::new();
            self.lines.read_until(b'\n', &mut line).unwrap();
            let (number, text) = split(line.trim_ascii_end()).expect("a line of an order");
            let text = String::from_utf8(text.to_vec()).unwrap();
            let at = usize::try_from(number - first).unwrap();
            let ran = heard.entry(number).or_insert_with(|| Ran {
                code: None,
                stdout: Vec::new(),
                stderr: String::new(),
            });
            if text.contains(r#""command":"check_keys""#) {
                let mut answer = Vec::new();
                push(&mut answer, number, orders[at].1.as_bytes());
                say.send(answer).unwrap();
                // The last word.
                open -= usize::from(orders[at].1.contains(r#""abort""#));
            } else {
                open -= 1;
            }
            ran.stdout.push(text);
        }
        drop(say);
        writer.join().unwrap();
        let numbers = first..self.next;
        numbers
            .map(|number| told(heard.remove(&number).unwrap()))
            .collect()
    }
}

/// With what a process of its own would have said on stderr.
fn told(ran: Ran) -> Ran {
    let last = ran.stdout.last().map(|line| serde_json::from_str(line));
    let last: serde_json::Value = last.unwrap().unwrap();
    let stderr = last["parameters"]["stderr"].as_str().unwrap_or_default();
    Ran {
        stderr: stderr.to_owned(),
        ..ran
    }
}

impl Drop for Served {
    /// It ends with its partner.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}
