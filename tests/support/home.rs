//! A home made by `ripostctl init`, and what stands in it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::alert::Alert;
use super::isolation::{folder, mount};
use super::wait_for;

pub struct Home {
    path: PathBuf,
    /// Holds the home and what lies beside it: clocks, captured output.
    folder: TempDir,
}

/// Says what became of each action, where a test has failed.
impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let lines = fs::read_to_string(self.file("logs/responses.json")).unwrap_or_default();
        let lines: Vec<_> = lines.lines().collect();
        let last = lines.len().saturating_sub(LAST);
        eprintln!(
            "--- the last lines of {}:\n{}",
            self.file("logs/responses.json").display(),
            lines[last..].join("\n")
        );
    }
}

const LAST: usize = 20;

impl Home {
    pub fn new() -> Self {
        Self::inside(folder())
    }

    /// A folder for what lies beside a home, without a home in it.
    pub fn empty() -> Self {
        let folder = folder();
        let path = folder.path().join("home");
        Self { path, folder }
    }

    /// A home on a file system of its own that holds `size`, such as `4m`.
    pub fn on_tmpfs(size: &str) -> Self {
        let folder = folder();
        let disk = folder.path().join("home");
        fs::create_dir(&disk).unwrap();
        let options = format!("size={size},mode=0755");
        mount(&[
            "-t",
            "tmpfs",
            "-o",
            &options,
            "tmpfs",
            disk.to_str().unwrap(),
        ]);
        Self::inside(folder)
    }

    fn inside(folder: TempDir) -> Self {
        let home = Self {
            path: folder.path().join("home"),
            folder,
        };
        let path = home.path.to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ripostctl"))
            .args(["init", path])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "ripostctl init: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        home
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder around the home, for what is not part of it.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    /// Writes `manager.conf`: the commands firewall-drop and host-deny, and
    /// these `<active-response>` and `<command>` blocks.
    pub fn configure(&self, blocks: &[&str]) {
        self.configure_global("", blocks);
    }

    /// As [`Home::configure`], with the content of `<global>`.
    pub fn configure_global(&self, global: &str, blocks: &[&str]) {
        let blocks = blocks.join("\n  ");
        let text = format!(
            "<ossec_config>
  <global>{global}</global>
  <command>
    <name>firewall-drop</name>
    <executable>firewall-drop</executable>
    <timeout_allowed>yes</timeout_allowed>
  </command>
  <command>
    <name>host-deny</name>
    <executable>host-deny</executable>
    <timeout_allowed>yes</timeout_allowed>
  </command>
  {blocks}
</ossec_config>
"
        );
        fs::write(self.file("etc/manager.conf"), text).unwrap();
    }

    /// Installs an executable script of the administrator.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file("active-response/bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        path
    }

    pub fn alerts(&self) -> PathBuf {
        self.file("logs/alerts/alerts.json")
    }

    /// Appends alerts to the alert file with one write, as Wazuh does.
    pub fn alert(&self, alerts: &[Alert]) {
        let lines: String = alerts.iter().map(Alert::line).collect();
        self.append(lines.as_bytes());
    }

    /// Appends bytes to the alert file, which is made if it is not there.
    pub fn append(&self, bytes: &[u8]) {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.alerts())
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }

    /// The objects of `responses.json`. A line that is not whole yet is left
    /// out; one that is no object fails the test.
    pub fn responses(&self) -> Vec<Value> {
        self.response_lines()
            .iter()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
            })
            .collect()
    }

    /// As [`Home::responses`], for a manager that was killed: a line may be
    /// torn.
    pub fn responses_after_crashes(&self) -> Vec<Value> {
        self.response_lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn response_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("logs/responses.json")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// The states that `responses.json` tells of the actions with this key, in
    /// the order of the lines.
    pub fn states(&self, key: &str) -> Vec<String> {
        self.responses()
            .iter()
            .filter(|record| has_key(record, key))
            .map(|record| text(record, "state"))
            .collect()
    }

    /// Waits for a record for which `wanted` is true and returns it.
    #[track_caller]
    pub fn wait_record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, Duration::from_secs(10), || {
            self.responses().into_iter().find(|record| wanted(record))
        })
    }

    /// Waits for an action with this key to reach this state.
    #[track_caller]
    pub fn wait_state(&self, key: &str, state: &str) -> Value {
        self.wait_record(&format!("{key} is {state}"), |record| {
            has_key(record, key) && record["state"] == state
        })
    }

    /// `logs/active-responses.log`.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("logs/active-responses.log")).unwrap_or_default()
    }

    /// Runs `ripostctl` on this home.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ripostctl"))
            .arg("--home")
            .arg(&self.path)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What a reading verb of `ripostctl` prints as JSON.
    #[track_caller]
    pub fn ctl_json(&self, arguments: &[&str]) -> Value {
        let output = self.ctl(&[arguments, &["-o", "json"]].concat());
        assert!(
            output.status.success(),
            "ripostctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Whether a record is of an action with this key.
pub fn has_key(record: &Value, key: &str) -> bool {
    record["keys"]
        .as_array()
        .is_some_and(|keys| keys.iter().any(|found| found == key))
}

/// A field of a record that is a string; empty if it is left out.
pub fn text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap_or_default().to_owned()
}

/// The counter of this name in what `ripostctl status` tells of a daemon.
#[track_caller]
pub fn counter(status: &Value, name: &str) -> u64 {
    let daemons = status.as_array().unwrap();
    daemons
        .iter()
        .flat_map(|daemon| daemon["counters"].as_array().unwrap())
        .find(|counter| counter["name"] == name)
        .and_then(|counter| counter["value"].as_u64())
        .unwrap_or_else(|| panic!("{name} in {status}"))
}

/// Milliseconds since the epoch of a time in a record.
pub fn millis(record: &Value, field: &str) -> i64 {
    let time = text(record, field);
    chrono::DateTime::parse_from_rfc3339(&time)
        .unwrap_or_else(|error| panic!("{field} {time:?}: {error}"))
        .timestamp_millis()
}

/// An `<active-response>` block that runs `command` for `rule` on the host the
/// alert came from, without a timeout if `timeout` is empty.
pub fn response(command: &str, rule: &str, timeout: &str) -> String {
    let timeout = match timeout {
        "" => String::new(),
        timeout => format!("<timeout>{timeout}</timeout>"),
    };
    format!(
        "<active-response><command>{command}</command><location>local</location>\
         <rules_id>{rule}</rules_id>{timeout}</active-response>"
    )
}

/// A `<command>` block for a script of this name, with more elements.
pub fn command(name: &str, more: &str) -> String {
    format!("<command><name>{name}</name><executable>{name}</executable>{more}</command>")
}
