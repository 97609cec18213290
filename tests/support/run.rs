//! One run of a bundled executable, from the outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ripost::model::bundled::BUNDLED;
use serde_json::Value;
use tempfile::TempDir;

pub const FIREWALL_DROP: &str = "firewall-drop";
pub const HOST_DENY: &str = "host-deny";
pub const ROUTE_NULL: &str = "route-null";

/// A home with the bundled executables and nothing else.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("active-response/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir(home.path().join("logs")).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_firewall-drop"));
        for row in BUNDLED {
            let built = built.with_file_name(row.name);
            for name in row.names() {
                // A link is the quicker copy, where both are on one disk.
                fs::hard_link(&built, bin.join(name))
                    .or_else(|_| fs::copy(&built, bin.join(name)).map(drop))
                    .unwrap();
            }
        }
        Self(home)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// What the log holds, without the time stamps.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read(self.file("logs/active-responses.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines()
            .map(|line| line.get(20..).unwrap_or(line).to_owned())
            .collect()
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Ran {
    /// The parameters of the `result` line.
    #[track_caller]
    pub fn result(&self) -> Value {
        let last = self.stdout.last().unwrap_or_else(|| panic!("{self:?}"));
        let line: Value = serde_json::from_str(last).unwrap();
        assert_eq!(line["command"], "result", "{self:?}");
        line["parameters"].clone()
    }

    /// That it says why it failed, and with this exit status what kind of
    /// trouble it was.
    #[track_caller]
    pub fn failed(&self, code: i32) {
        let ended = (self.status(), self.code);
        assert_eq!(ended, ("failed".to_owned(), Some(code)), "{self:?}");
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.result()["status"].as_str().unwrap().to_owned()
    }
}

/// A command line that runs `name` as the daemons do: in the home, called by
/// its relative path.
pub fn direct(home: &Home, name: &str) -> Command {
    let mut command = Command::new(format!("active-response/bin/{name}"));
    command.current_dir(home.path());
    command
}

/// Runs a command line with these bytes as its whole input.
pub fn feed(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.to_vec();
    // It may end without having read all.
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code(),
        stdout: lines(&output.stdout),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command line as a 4.x execd does: stdin stays open, one line is read
/// from stdout, which is then closed, stderr goes nowhere. Returns the line and
/// the exit status.
pub fn under_execd(mut command: Command, line: &str, answer: &str) -> (String, Option<i32>) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(line.as_bytes()).unwrap();
    let mut keys = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut keys).unwrap();
    drop(stdout);
    stdin.write_all(answer.as_bytes()).unwrap();
    let code = child.wait().unwrap().code();
    drop(stdin);
    (keys, code)
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The first line of a run, with its newline.
pub fn message(command: &str, srcip: &str) -> String {
    let alert = format!(r#"{{"rule":{{"id":"5763"}},"data":{{"srcip":"{srcip}"}}}}"#);
    with_alert(command, &alert)
}

/// As [`message`], with this text in place of the alert.
pub fn with_alert(command: &str, alert: &str) -> String {
    format!(
        r#"{{"version":1,"origin":{{"name":"node01","module":"wazuh-execd"}},"command":"{command}","parameters":{{"extra_args":[],"alert":{alert},"program":"active-response/bin/firewall-drop"}}}}
"#
    )
}

/// The answer to `check_keys`, with its newline.
pub fn answer(command: &str, parameters: &str) -> String {
    format!(
        r#"{{"version":1,"origin":{{"name":"node01","module":"wazuh-execd"}},"command":"{command}","parameters":{parameters}}}
"#
    )
}

/// Both lines of an add that goes on.
pub fn add(srcip: &str, parameters: &str) -> Vec<u8> {
    (message("add", srcip) + &answer("continue", parameters)).into_bytes()
}
