//! An executable that serves: one process, any number of orders, over the
//! socket that agentd has given it as stdin (see [`crate::contract::worker`]).
//!
//! It reads whatever is there, names the keys of all new adds at once, and
//! carries out what it has been told to once there is nothing more to be read:
//! so what comes together is done together, and a single order does not wait.
//! For each order the log gets the lines of a process of its own.
//!
//! It ends with its partner, at once, whatever it is doing. Before it does
//! anything it takes a lock, so that two of one name never act side by side.

use std::collections::{HashMap, HashSet, VecDeque};
use std::env;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::socket_type;

use crate::ar::log::{Entry, Log};
use crate::ar::place::NoPlace;
use crate::ar::run::{self, Ending, REFUSED, Stop, Wanted, acted_on, without_trying};
use crate::ar::{Cause, Done, Fail, Job, Serves, place};
use crate::contract::input::{self, Answer, Order};
use crate::contract::reply::{self, RunResult, Status};
use crate::contract::worker::{self, MAX_FRAME, WORD};
use crate::model::bundled::{self, Bundled, Options};
use crate::model::{ExeName, Target};
use crate::sys::fs::{FsError, Lock, lock};
use crate::sys::process::end_at_hang_up;

/// How long a predecessor may take to be gone: it ends at once, but not while
/// the kernel works for it.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Orders that are carried out at a time; one transaction of nf_tables.
const MAX_BATCH: usize = 10_000;

/// Adds that may have named their keys and wait for what agentd says. It never
/// has as many.
const MAX_ASKED: usize = 20_000;

/// How much is read at a time.
const CHUNK: usize = 256 * 1024;

/// Why a worker does not serve (any more).
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Place(#[from] NoPlace),
    #[error("serve: stdin is no socket\n(agentd starts workers; run it without {WORD})")]
    NoSocket(#[source] io::Error),
    #[error("watch the socket to agentd")]
    Watch(#[source] io::Error),
    #[error("be the only worker: {0}")]
    Lock(#[source] FsError),
    #[error("talk to agentd")]
    Link(#[source] io::Error),
    #[error("understand agentd: a line has no number")]
    NoNumber,
    #[error("understand agentd: a line is longer than {MAX_FRAME} bytes")]
    TooLong,
    #[error("serve agentd: more than {MAX_ASKED} adds wait for its answer")]
    TooMany,
}

/// Serves if told to on the command line, and is as [`main`](run::main)
/// otherwise.
pub fn serve<A: Serves>(action: A) -> ExitCode {
    let mut words = env::args_os().skip(1);
    let is_told_to = words.next().is_some_and(|word| word == WORD) && words.next().is_none();
    if !is_told_to {
        return run::main(action);
    }
    match Worker::begin(action).and_then(Worker::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(over) => {
            Fail::from(over).explain();
            ExitCode::from(Cause::Other.code())
        }
    }
}

struct Worker<A> {
    action: A,
    row: &'static Bundled,
    name: ExeName,
    log: Log,
    link: Link,
    /// Adds that have named their keys, by the number of their order.
    asked: HashMap<u64, Task>,
    /// What is to be carried out, in order.
    gathered: VecDeque<Task>,
    _lock: Lock,
}

/// One order.
struct Task {
    number: u64,
    order: Order,
    target: Option<Target>,
    options: Options,
    expires: Option<Duration>,
    /// What the log calls it.
    words: Option<String>,
}

impl<A: Serves> Worker<A> {
    fn begin(action: A) -> Result<Self, Over> {
        let link = Link::open()?;
        end_at_hang_up(&link.socket).map_err(Over::Watch)?;
        let name = place::enter()?;
        let path = PathBuf::from(format!("queue/{name}.worker.lock"));
        Ok(Self {
            action,
            row: bundled::find(A::NAME).expect("every executable has a row"),
            log: Log::open(&name),
            name,
            link,
            asked: HashMap::new(),
            gathered: VecDeque::new(),
            _lock: lock(&path, LOCK_WAIT).map_err(Over::Lock)?,
        })
    }

    fn serve(mut self) -> Result<(), Over> {
        loop {
            match self.link.receive(self.gathered.is_empty())? {
                Received::End => return Ok(()),
                Received::Nothing => {}
                Received::Bytes => {
                    self.hear()?;
                    self.speak()?;
                    if self.gathered.len() < MAX_BATCH {
                        continue;
                    }
                }
            }
            self.carry_out();
            self.speak()?;
        }
    }

    /// Takes in the lines that are complete.
    fn hear(&mut self) -> Result<(), Over> {
        self.log.reopen_if_moved();
        let stamp = self.log.stamp();
        let input = mem::take(&mut self.link.input);
        let mut rest = input.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (number, line) = worker::split(&rest[..end]).ok_or(Over::NoNumber)?;
            rest = &rest[end + 1..];
            match self.asked.remove(&number) {
                None => self.ordered(&stamp, number, line),
                Some(task) => self.answered(&stamp, task, line),
            }
        }
        if rest.len() > MAX_FRAME {
            return Err(Over::TooLong);
        }
        if self.asked.len() > MAX_ASKED {
            return Err(Over::TooMany);
        }
        self.link.input = rest.to_vec();
        Ok(())
    }

    /// The first line of an order.
    fn ordered(&mut self, stamp: &str, number: u64, line: &[u8]) {
        self.log.keep(stamp, Entry::Step(b"Starting"));
        self.log.keep(stamp, Entry::Step(line.trim_ascii_end()));
        let wanted = match Wanted::read::<A>(self.row, line) {
            Ok(wanted) => wanted,
            Err(stop) => return self.stopped(stamp, number, &stop),
        };
        let order = wanted.request.order;
        let task = Task {
            number,
            order,
            words: self
                .log
                .words(order, wanted.target.as_ref(), &wanted.request),
            target: wanted.target,
            options: wanted.options,
            expires: None,
        };
        match (task.order, &task.target) {
            (Order::Add, Some(target)) => {
                let line = reply::check_keys(&self.name, &target.keys());
                self.log.keep(stamp, Entry::Step(line.as_bytes()));
                worker::push(&mut self.link.output, number, line.as_bytes());
                self.asked.insert(number, task);
            }
            // There is nothing to ask about.
            (Order::Add, None) | (Order::Delete, _) => self.gather(stamp, task),
        }
    }

    fn gather(&mut self, stamp: &str, task: Task) {
        match without_trying(self.row, task.order, task.target.as_ref()) {
            Some(done) => self.end(stamp, (task.number, task.words.as_deref()), Ok(done)),
            None => self.gathered.push_back(task),
        }
    }

    /// The second line of an add.
    fn answered(&mut self, stamp: &str, task: Task, line: &[u8]) {
        match input::answer(line) {
            Ok(Answer::Abort) => self.log.keep(stamp, Entry::Step(b"Aborted")),
            Ok(Answer::Continue { expires }) => self.gather(stamp, Task { expires, ..task }),
            Err(error) => self.stopped(stamp, task.number, &error.into()),
        }
    }

    /// An order that ends without having been tried.
    fn stopped(&mut self, stamp: &str, number: u64, stop: &Stop) {
        let why = stop.to_string();
        self.log.keep(stamp, Entry::Trouble(why.as_bytes()));
        let result = RunResult {
            status: Status::Failed,
            detail: Some(stop.to_string()),
            backend: None,
            hits: None,
            stderr: Some(stop.explained()),
            exit_code: Some(REFUSED),
        };
        self.report(number, &result);
    }

    /// Carries out what was gathered, without what must wait for something of
    /// it because it has the same target.
    fn carry_out(&mut self) {
        let mut targets = HashSet::new();
        let (mut adds, mut deletes) = (Vec::new(), Vec::new());
        for task in mem::take(&mut self.gathered) {
            let is_full = adds.len() + deletes.len() >= MAX_BATCH;
            if is_full || !targets.insert(task.target.clone()) {
                self.gathered.push_back(task);
                continue;
            }
            match task.order {
                Order::Add => adds.push(task),
                Order::Delete => deletes.push(task),
            }
        }
        // Whose time is over goes first.
        self.do_all(deletes, A::delete_all);
        self.do_all(adds, A::add_all);
    }

    fn do_all(&mut self, tasks: Vec<Task>, all: All<A>) {
        if tasks.is_empty() {
            return;
        }
        let jobs = tasks.into_iter().map(|mut task| {
            let words = task.words.take();
            ((task.number, words), task.job::<A>())
        });
        let (told, jobs): (Vec<_>, Vec<_>) = jobs.unzip();
        let done = all(&mut self.action, &jobs);
        assert_eq!(done.len(), told.len(), "each job has its answer");
        let stamp = self.log.stamp();
        for ((number, words), done) in told.into_iter().zip(done) {
            self.end(&stamp, (number, words.as_deref()), done);
        }
    }

    fn end(&mut self, stamp: &str, (number, words): (u64, Option<&str>), done: Result<Done, Fail>) {
        let stderr = done.as_ref().err().map(Fail::explained);
        let mut ending = Ending::of(done, self.action.backend());
        self.log.keep(stamp, ending.entry(words));
        ending.result.stderr = stderr;
        ending.result.exit_code = Some(ending.code).filter(|code| *code != 0);
        self.report(number, &ending.result);
    }

    fn report(&mut self, number: u64, result: &RunResult) {
        let line = reply::result(&self.name, result);
        worker::push(&mut self.link.output, number, line.as_bytes());
    }

    /// Logs and sends what has come together.
    fn speak(&mut self) -> Result<(), Over> {
        self.log.write();
        self.link.send()
    }
}

/// One of the two ways to carry out many jobs.
type All<A> = fn(&mut A, &[Job<'_, <A as super::Action>::Target>]) -> Vec<Result<Done, Fail>>;

impl Task {
    fn job<A: Serves>(self) -> Job<'static, A::Target> {
        Job {
            target: acted_on::<A>(self.target),
            lasts: self.expires,
            options: self.options,
            alert: None,
        }
    }
}

/// The socket to agentd.
struct Link {
    socket: UnixStream,
    /// The beginning of a line.
    input: Vec<u8>,
    output: Vec<u8>,
    chunk: Vec<u8>,
}

/// What there was to read.
enum Received {
    Bytes,
    /// Nothing at this moment.
    Nothing,
    End,
}

impl Link {
    fn open() -> Result<Self, Over> {
        let stdin = io::stdin();
        socket_type(&stdin).map_err(|errno| Over::NoSocket(errno.into()))?;
        let socket = stdin.as_fd().try_clone_to_owned().map_err(Over::Link)?;
        Ok(Self {
            socket: socket.into(),
            input: Vec::new(),
            output: Vec::new(),
            chunk: vec![0; CHUNK],
        })
    }

    /// Reads some of what is there. `waits`: until there is something.
    fn receive(&mut self, waits: bool) -> Result<Received, Over> {
        let flags = match waits {
            true => RecvFlags::empty(),
            false => RecvFlags::DONTWAIT,
        };
        loop {
            return match rustix::net::recv(&self.socket, &mut self.chunk[..], flags) {
                Ok((0, _)) => Ok(Received::End),
                Ok((length, _)) => {
                    self.input.extend_from_slice(&self.chunk[..length]);
                    Ok(Received::Bytes)
                }
                Err(Errno::AGAIN) => Ok(Received::Nothing),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(Over::Link(errno.into())),
            };
        }
    }

    fn send(&mut self) -> Result<(), Over> {
        self.socket.write_all(&self.output).map_err(Over::Link)?;
        self.output.clear();
        self.output.shrink_to(CHUNK);
        Ok(())
    }
}
