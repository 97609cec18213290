//! A home with scripts and the two daemons on it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Program};
use crate::support::home::{Home, command, response};
use crate::support::wait_for;

/// For what takes a moment, on a machine that runs many tests at once.
pub const SOON: Duration = Duration::from_secs(30);

/// Lets a command have a timeout.
pub const TIMED: &str = "<timeout_allowed>yes</timeout_allowed>";

/// The daemons and their home. Dropped in this order.
pub struct Scene {
    agentd: Option<Daemon>,
    manager: Option<Daemon>,
    pub home: Home,
}

impl Scene {
    pub fn new() -> Self {
        Self::at(Home::new())
    }

    pub fn at(home: Home) -> Self {
        Self {
            agentd: None,
            manager: None,
            home,
        }
    }

    /// Writes `manager.conf` with these blocks, starts both daemons, and waits
    /// until they have found each other.
    #[track_caller]
    pub fn start(&mut self, blocks: &[String]) {
        self.configure(blocks);
        self.start_manager();
        self.start_agentd();
        wait_for("the agent is connected", SOON, || {
            let agents = self.home.ctl_json(&["agents"]);
            (agents[0]["state"] == "connected").then_some(())
        });
    }

    pub fn configure(&self, blocks: &[String]) {
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        self.home.configure(&blocks);
    }

    #[track_caller]
    pub fn start_manager(&mut self) {
        self.manager = Some(Daemon::start_with(bare(), &self.home, Program::Manager));
    }

    #[track_caller]
    pub fn start_agentd(&mut self) {
        self.start_agentd_with(bare());
    }

    /// As [`Scene::start_agentd`], with a command line to be completed.
    #[track_caller]
    pub fn start_agentd_with(&mut self, command: Command) {
        self.agentd = Some(Daemon::start_with(command, &self.home, Program::Agentd));
    }

    pub fn agentd(&mut self) -> &mut Daemon {
        self.agentd.as_mut().unwrap()
    }

    pub fn manager(&mut self) -> &mut Daemon {
        self.manager.as_mut().unwrap()
    }

    /// SIGKILL.
    pub fn kill_agentd(&mut self) {
        self.agentd.take().unwrap().kill();
    }

    /// SIGKILL.
    pub fn kill_manager(&mut self) {
        self.manager.take().unwrap().kill();
    }

    #[track_caller]
    pub fn stop_agentd(&mut self) -> ExitStatus {
        self.agentd.take().unwrap().stop()
    }

    #[track_caller]
    pub fn stop_manager(&mut self) -> ExitStatus {
        self.manager.take().unwrap().stop()
    }

    /// Sends a signal to agentd and does not wait for anything.
    pub fn signal_agentd(&self, signal: Signal) {
        self.agentd.as_ref().unwrap().signal(signal);
    }

    /// Waits until agentd, which has been told to, has ended by itself.
    #[track_caller]
    pub fn agentd_ends(&mut self) {
        let mut agentd = self.agentd.take().unwrap();
        wait_for("agentd ends", SOON, || (!agentd.is_running()).then_some(()));
    }

    /// Writes one alert for this rule and address.
    pub fn alert(&self, rule: &str, address: &str) {
        self.home.alert(&[Alert::sshd(address).rule(rule)]);
    }

    /// The records of a command, in the order of `responses.json`.
    pub fn records(&self, command: &str) -> Vec<Value> {
        let records = self.home.responses_after_crashes();
        let is_of = |record: &Value| record["command"] == command;
        records.into_iter().filter(is_of).collect()
    }

    /// The states of a command's records.
    pub fn states(&self, command: &str) -> Vec<String> {
        let records = self.records(command);
        let state = |record: &Value| record["state"].as_str().unwrap().to_owned();
        records.iter().map(state).collect()
    }

    /// How many records of a command have this state. After a kill of the
    /// manager one may stand there twice.
    pub fn count(&self, command: &str, state: &str) -> usize {
        let states = self.states(command);
        states.iter().filter(|found| *found == state).count()
    }

    /// Waits for the first record of a command with this state.
    #[track_caller]
    pub fn wait(&self, command: &str, state: &str) -> Value {
        self.wait_nth(command, state, 1)
    }

    /// Waits for the `number`th record, counted from 1.
    #[track_caller]
    pub fn wait_nth(&self, command: &str, state: &str, number: usize) -> Value {
        let what = format!("record {number} of {command} in state {state}");
        wait_for(&what, SOON, || {
            let records = self.records(command);
            let mut wanted = records
                .into_iter()
                .filter(|record| record["state"] == state);
            wanted.nth(number - 1)
        })
    }

    /// What scripts have written to `logs/effects`.
    pub fn effects(&self) -> Vec<String> {
        lines(&self.home.file("logs/effects"))
    }

    /// Waits until scripts have written so many lines to `logs/effects`.
    #[track_caller]
    pub fn wait_effects(&self, number: usize) -> Vec<String> {
        wait_for(&format!("{number} effects"), SOON, || {
            let effects = self.effects();
            (effects.len() >= number).then_some(effects)
        })
    }
}

/// env(1) becomes the program that it is completed with.
pub fn bare() -> Command {
    Command::new("env")
}

/// A `<command>` that may have a timeout, and a response that runs it for
/// `rule`, with a timeout unless that is empty.
pub fn stateful(name: &str, rule: &str, timeout: &str) -> String {
    command(name, TIMED) + &response(name, rule, timeout)
}

/// A script in the pattern of 4.x whose key is `srcip`. Writes its own name,
/// `add`, `abort` or `delete`, and the address to `logs/effects`, then does
/// what it is given for the end of an add and of a delete.
pub fn keyed(after_add: &str, after_delete: &str) -> String {
    let keys = check_keys(r#"["%s"]"#);
    format!(
        r#"read -r message
ip=${{message#*\"srcip\":\"}}
ip=${{ip%%\"*}}
case $message in
*'"command":"add"'*)
    printf '{keys}\n' "$ip"
    read -r reply
    case $reply in
    *'"command":"continue"'*)
        echo "${{0##*/}} add $ip" >> logs/effects
        {after_add}
        ;;
    *) echo "${{0##*/}} abort $ip" >> logs/effects ;;
    esac
    ;;
*)
    echo "${{0##*/}} delete $ip" >> logs/effects
    {after_delete}
    ;;
esac"#
    )
}

/// A `check_keys` line with this array.
pub fn check_keys(keys: &str) -> String {
    format!(
        r#"{{"version":1,"origin":{{"name":"x","module":"active-response"}},"command":"check_keys","parameters":{{"keys":{keys}}}}}"#
    )
}

/// Where scripts wait until the test lets them on. If the test ends before,
/// they go on too, so that none is left behind.
pub struct Gate {
    name: &'static str,
    /// Open for reading as well, so that neither side waits for the other.
    fifo: File,
}

impl Gate {
    pub fn new(home: &Home, name: &'static str) -> Self {
        let path = home.file("logs").join(name);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let fifo = File::options().read(true).write(true).open(path).unwrap();
        Self { name, fifo }
    }

    /// What a script says to wait here.
    pub fn wait(&self) -> String {
        format!("read -r gate < logs/{}", self.name)
    }

    /// Lets on whoever waits, and whoever comes later.
    pub fn open(&mut self) {
        self.fifo.write_all(&[b'\n'; 1_000]).unwrap();
    }
}

pub fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether a process runs. One that has ended and that nobody has asked about
/// is as good as gone.
pub fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
