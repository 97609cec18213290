//! What the daemons write for others to read, on real files, and where that is
//! what matters on a full disk and without a syslog.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start themselves in a namespace, and what fails fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use ripost::audit::{ResponsesLog, operator};
use ripost::model::Record;

const INSIDE: &str = "RIPOST_TEST_INSIDE";

/// Runs the test `name` once more in a user and mount namespace, after `setup`.
/// `None` when this is that run.
fn inside(name: &str, setup: &str) -> Option<Output> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let script = format!("{setup}; exec \"$0\" --exact \"$1\" --nocapture");
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-ec", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{output:?}");
    assert!(text.contains("1 passed"), "{text}");
    Some(output)
}

fn record(number: usize) -> Record {
    let text = format!(
        r#"{{"time":"2026-11-20T10:00:00.123Z","action":"{number:032x}","state":"applied",
            "command":"firewall-drop","executable":"firewall-drop","location":"local",
            "timeout":600,"agent":{{"id":"000","name":"web-7"}},"keys":["203.0.113.9"],
            "rule":{{"id":"5763","level":10,"groups":["sshd"]}},"alert":"1772600767.41231",
            "since":"2026-11-20T10:00:00.120Z","until":"2026-11-20T10:10:00.119Z",
            "verified":true,"exit_code":0,"duration_ms":1.25,"hits":17}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn records(path: &Path) -> Vec<Option<Record>> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn each_record_is_one_line_that_reads_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("responses.json");
    let mut log = ResponsesLog::open(&path).unwrap();
    log.append(&[record(1), record(2)]).unwrap();
    log.append(&[]).unwrap();
    log.syncer()().unwrap();
    drop(log);
    ResponsesLog::open(&path)
        .unwrap()
        .append(&[record(3)])
        .unwrap();
    assert_eq!(records(&path), [1, 2, 3].map(|number| Some(record(number))));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    let line = fs::read_to_string(&path).unwrap();
    let line = line.lines().next().unwrap();
    assert!(!line.contains("null") && !line.contains("\": "), "{line}");
}

#[test]
fn a_line_torn_by_a_crash_is_ended_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("responses.json");
    fs::write(&path, "{\"time\":\"2026-11-2").unwrap();
    let mut log = ResponsesLog::open(&path).unwrap();
    assert_eq!(records(&path), [None], "ended when opened");
    log.append(&[record(1)]).unwrap();
    assert_eq!(records(&path), [None, Some(record(1))]);
}

#[test]
fn after_a_rename_or_a_removal_a_new_file_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("responses.json");
    let renamed = directory.path().join("responses.json.1");
    let mut log = ResponsesLog::open(&path).unwrap();
    log.append(&[record(1)]).unwrap();
    fs::rename(&path, &renamed).unwrap();
    log.append(&[record(2)]).unwrap();
    assert_eq!(records(&renamed), [Some(record(1))]);
    assert_eq!(records(&path), [Some(record(2))]);
    fs::remove_file(&path).unwrap();
    log.append(&[record(3)]).unwrap();
    assert_eq!(records(&path), [Some(record(3))]);

    fs::rename(&renamed, &path).unwrap();
    log.append(&[record(4)]).unwrap();
    assert_eq!(records(&path), [Some(record(1)), Some(record(4))]);
}

#[test]
fn a_full_disk_tears_at_most_the_line_that_failed() {
    let setup = "mount -t tmpfs -o size=16k none /mnt";
    if inside("a_full_disk_tears_at_most_the_line_that_failed", setup).is_some() {
        return;
    }
    let path = Path::new("/mnt/responses.json");
    let mut log = ResponsesLog::open(path).unwrap();
    let failed = (0..1_000)
        .find(|&number| log.append(&[record(number)]).is_err())
        .unwrap();
    // It stays full, and says so each time.
    assert!(log.append(&[record(failed)]).is_err());
    let torn = !fs::read_to_string(path).unwrap().ends_with('\n');
    assert!(
        torn,
        "this disk does not tear lines, the test shows nothing"
    );
    // Room again.
    let size = fs::metadata(path).unwrap().len();
    Command::new("mount")
        .args(["-o", "remount,size=32k", "/mnt"])
        .status()
        .unwrap();
    log.append(&[record(failed)]).unwrap();
    assert!(
        fs::metadata(path).unwrap().len() > size,
        "nothing is taken back"
    );
    let mut wanted: Vec<_> = (0..failed).map(|number| Some(record(number))).collect();
    wanted.extend([None, Some(record(failed))]);
    assert_eq!(records(path), wanted);
}

#[test]
fn a_missing_syslog_is_a_warning_and_lines_go_to_stderr() {
    let name = "a_missing_syslog_is_a_warning_and_lines_go_to_stderr";
    let Some(output) = inside(name, "mount -t tmpfs none /dev") else {
        operator::init(operator::Sink::Syslog, "ripost-test", 0).unwrap();
        log::info!(target: "ripost", path = "two words\n"; "state changed");
        log::debug!(target: "ripost", "not shown");
        return;
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    let [missing, changed] = lines[..] else {
        panic!("{stderr}");
    };
    assert!(
        missing.contains(" WARN syslog cannot be reached"),
        "{missing}"
    );
    assert!(missing.contains("os error 2"), "{missing}");
    let end = " INFO state changed path=\"two words\\n\"";
    assert!(changed.ends_with(end), "{changed}");
}
