//! The two daemons as processes on the server.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::home::Home;
use super::net::Net;
use super::wait_for;

/// How long a daemon may take to be ready, to stop, or to refuse to start, on
/// a machine that runs many tests at once.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    Manager,
    Agentd,
}

impl Program {
    fn path(self) -> &'static str {
        match self {
            Self::Manager => env!("CARGO_BIN_EXE_ripost-manager"),
            Self::Agentd => env!("CARGO_BIN_EXE_ripost-agentd"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Manager => "ripost-manager",
            Self::Agentd => "ripost-agentd",
        }
    }
}

/// A running daemon. Dropped, it is killed; if the test is failing, what it
/// said is printed first.
pub struct Daemon {
    child: Child,
    program: Program,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts a daemon on the server and waits until it says that it is ready.
    #[track_caller]
    pub fn start(net: &Net, home: &Home, program: Program) -> Self {
        Self::start_with(net.on_server(), home, program)
    }

    /// As [`Daemon::start`], with a command line prepared by the caller, which
    /// is completed by the program and its arguments.
    #[track_caller]
    pub fn start_with(command: Command, home: &Home, program: Program) -> Self {
        let notify = home.beside().join(format!("{}.notify", program.name()));
        let _ = fs::remove_file(&notify);
        let ready = UnixDatagram::bind(&notify).unwrap();
        ready.set_nonblocking(true).unwrap();
        let mut daemon = Self::spawn(command, home, program, Some(&notify));
        wait_for("the daemon is ready", PATIENCE, || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("{} ended: {status}\n{}", program.name(), daemon.said());
            }
            let mut message = [0; 4096];
            let length = ready.recv(&mut message).ok()?;
            let message = String::from_utf8_lossy(&message[..length]);
            message.lines().any(|line| line == "READY=1").then_some(())
        });
        daemon
    }

    /// Starts a daemon on the server and waits for nothing.
    pub fn launch(net: &Net, home: &Home, program: Program) -> Self {
        Self::spawn(net.on_server(), home, program, None)
    }

    /// Starts a daemon that must refuse to run; returns its exit status and
    /// what it said.
    #[track_caller]
    pub fn refuses(net: &Net, home: &Home, program: Program) -> (ExitStatus, String) {
        let mut daemon = Self::spawn(net.on_server(), home, program, None);
        let status = wait_for("the daemon refuses to start", PATIENCE, || {
            daemon.child.try_wait().unwrap()
        });
        (status, daemon.said())
    }

    fn spawn(mut command: Command, home: &Home, program: Program, notify: Option<&Path>) -> Self {
        let stderr = home.beside().join(format!("{}.stderr", program.name()));
        let said = File::options()
            .append(true)
            .create(true)
            .open(&stderr)
            .unwrap();
        command
            .arg(program.path())
            .arg("--home")
            .arg(home.path())
            .arg("-d")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        Self {
            child: command.spawn().unwrap(),
            program,
            stderr,
        }
    }

    /// Its process id: nsenter(1) has become the daemon.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said on stderr, over all its lives in this home.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        self.kill_now();
    }

    /// As [`Daemon::kill`], for one that is kept to be replaced.
    pub fn kill_now(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait until it has ended by itself.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("the daemon stops", PATIENCE, || {
            self.child.try_wait().unwrap()
        })
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- {} ({}) said:\n{}",
                self.program.name(),
                self.id(),
                self.said()
            );
        }
    }
}

/// Both daemons on one home.
pub struct Pair {
    pub manager: Daemon,
    pub agentd: Daemon,
}

impl Pair {
    #[track_caller]
    pub fn start(net: &Net, home: &Home) -> Self {
        Self {
            manager: Daemon::start(net, home, Program::Manager),
            agentd: Daemon::start(net, home, Program::Agentd),
        }
    }

    pub fn kill(self) {
        self.manager.kill();
        self.agentd.kill();
    }
}
