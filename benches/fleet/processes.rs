//! The processes of the benchmark: what is measured, and the fleet.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ripost::model::AgentId;
use rustix::process::{Pid, Signal, kill_process};

use crate::fleet_sim::lines::Line;
use crate::fleet_sim::report::Report;
use crate::support::home::Home;
use crate::support::wait_for;

/// Set in the processes that this one starts of itself.
pub const ROLE: &str = "RIPOST_FLEET_ROLE";

/// For thousands of handshakes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What /proc tells of a process.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// VmRSS, in KiB (proc_pid_status(5)).
    pub fn rss(self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.unwrap().split_ascii_whitespace().next().unwrap();
        size.parse().unwrap()
    }

    /// The processor time of all its threads that live (the first field of
    /// schedstat, in nanoseconds: Documentation/scheduler/sched-stats.rst). The
    /// ticks of proc_pid_stat(5) are too coarse for an idle process.
    pub fn cpu(self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        let nanos = tasks.map(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("schedstat"));
            // A thread may end meanwhile.
            let stat = stat.unwrap_or_default();
            stat.split(' ').next().unwrap().parse().unwrap_or(0)
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Waits until it has nothing to do for a while.
    pub fn rest(self) {
        const QUIET: Duration = Duration::from_millis(400);
        wait_for("the process is at rest", PATIENCE, || {
            let before = self.cpu();
            std::thread::sleep(QUIET);
            let share = (self.cpu() - before).as_secs_f64() / QUIET.as_secs_f64();
            // Ten thousand agents ping 400 times a second.
            (share < 0.05).then_some(())
        });
    }
}

/// A manager, as it runs in production: what the tests start says much more.
pub struct Manager(Child);

impl Manager {
    /// Starts it and waits until it answers.
    pub fn start(home: &Home) -> Self {
        let said = fs::File::create(home.beside().join("said")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ripost-manager"))
            .arg("--home")
            .arg(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let manager = Self(child);
        wait_for("the manager answers", PATIENCE, || {
            home.ctl(&["status"]).status.success().then_some(())
        });
        manager
    }

    pub fn process(&self) -> Process {
        Process(self.0.id())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It is to write down what it has.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The floor server.
pub struct Floor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub port: u16,
}

impl Floor {
    pub fn start(tls: &Path, action: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, "floor")
            .arg(tls)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut floor = Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            port: 0,
        };
        floor.port = u16::try_from(floor.line()).unwrap();
        floor
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Sends to all (`all`), or to one by its number; returns when the last
    /// answer had come, in microseconds.
    pub fn send(&mut self, to: &str) -> u64 {
        writeln!(self.stdin, "{to}").unwrap();
        self.line()
    }

    fn line(&mut self) -> u64 {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the agents have said.
#[derive(Debug, Default)]
pub struct Heard {
    pub report: Option<Report>,
    /// When each agent has got the last action, and acknowledged it.
    pub taken: HashMap<AgentId, (u64, u64)>,
}

/// The agents, in processes of their own.
pub struct Agents {
    child: Child,
    heard: Arc<Mutex<Heard>>,
}

impl Agents {
    /// Starts agents with the identities in `dir`; with a token it makes them.
    pub fn start(port: u16, agents: u32, dir: &Path, more: &[&str]) -> Self {
        let processes = agents.div_ceil(5_000).to_string();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, "agents")
            .args(["--manager", &format!("127.0.0.1:{port}")])
            .args(["--agents", &agents.to_string(), "--answer", "taken"])
            .args(["--processes", &processes])
            .args(["--report", "lines", "--every", "0.1"])
            .arg("--dir")
            .arg(dir)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (stdout, ear) = (child.stdout.take().unwrap(), Arc::clone(&heard));
        std::thread::spawn(move || listen(BufReader::new(stdout), &ear));
        Self { child, heard }
    }

    /// Waits until they have ended.
    pub fn finish(mut self) {
        assert!(self.child.wait().unwrap().success());
    }

    /// Waits until something can be said of what was heard.
    pub fn wait<T>(&self, what: &str, mut found: impl FnMut(&Heard) -> Option<T>) -> T {
        wait_for(what, PATIENCE, || found(&self.heard.lock().unwrap()))
    }

    pub fn wait_connected(&self, agents: u32) -> Report {
        self.wait("all agents are connected", |heard| {
            let report = heard.report.as_ref()?;
            (report.connected == agents).then(|| report.clone())
        })
    }

    pub fn forget(&self) {
        self.heard.lock().unwrap().taken.clear();
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        // Its parts end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: BufReader<ChildStdout>, heard: &Mutex<Heard>) {
    for line in stdout.lines().map_while(Result::ok) {
        let line: Line = serde_json::from_str(&line).unwrap();
        let mut heard = heard.lock().unwrap();
        match line {
            Line::Taken {
                agent,
                received_us,
                taken_us,
                ..
            } => {
                heard.taken.insert(agent, (received_us, taken_us));
            }
            Line::Confirmed { .. } => {}
            Line::Snapshot(report) => heard.report = Some(*report),
        }
    }
}
