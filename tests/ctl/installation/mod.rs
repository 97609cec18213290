//! `ripostctl import` of an installation: what becomes of each thing, what the
//! new home holds, and that the source stays as it was.

mod files;
mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::{code, ctl, stderr};

const KEY: &str = "5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0aabcd";

const READS_A_LINE: &str = "#!/bin/bash\nread -r INPUT\necho \"$INPUT\" | jq -r .command\n";
const TAKES_WORDS: &str = "#!/bin/sh\nACTION=$1\nIP=$3\necho $ACTION $IP >>/tmp/x\n";
const OF_V5: &str =
    "#!/bin/sh\nread -r I\ncase \"$I\" in *'\"enable\"'*) ;; *'\"disable\"'*) ;; esac\n";

const CONFIGURATION: &str = "\
<!-- Ours since 2019. -->
<ossec_config>
  <global>
    <jsonout_output>yes</jsonout_output>
    <!-- The office. -->
    <white_list>192.0.2.0/24</white_list>
    <white_list>300.1.1.1</white_list>
  </global>

  <!-- Watched files. -->
  <syscheck>
    <directories>/etc</directories>
  </syscheck>

  <command>
    <name>firewall-drop</name>
    <executable>firewall-drop</executable>
    <timeout_allowed>yes</timeout_allowed>
  </command>
  <command>
    <name>notify</name>
    <executable>notify.sh</executable>
    <!-- kept -->
  </command>
  <command>
    <name>old</name>
    <executable>host-deny.sh</executable>
    <timeout_allowed>yes</timeout_allowed>
  </command>
  <command>
    <name>elsewhere</name>
    <executable>on-agents.py</executable>
  </command>
  <command>
    <name>broken</name>
  </command>

  <active-response>
    <command>firewall-drop</command>
    <location>all</location>
    <rules_id>5763</rules_id>
    <timeout>10m</timeout>
  </active-response>
  <active-response>
    <command>broken</command>
    <location>local</location>
    <level>7</level>
  </active-response>
  <active-response>
    <disabled>yes</disabled>
    <command>notify</command>
    <location>local</location>
    <level>12</level>
  </active-response>
  <activ-response>
    <disabled>no</disabled>
  </activ-response>
</ossec_config>

<ossec_config>
  <localfile>
    <location>/var/log/syslog</location>
  </localfile>
</ossec_config>
";

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
    fs::write(path, content).expect("room for a file");
}

/// An installation of Wazuh 4.x with what people have in theirs.
fn installation(folder: &Path) {
    for (name, content) in [
        ("etc/ossec.conf", CONFIGURATION),
        (
            "etc/client.keys",
            &format!("001 web-7 any {KEY}\n002 !db any {KEY}\n003 7x any {KEY}\n"),
        ),
        ("etc/lists/bad-hosts", "198.51.100.7:\n"),
        ("etc/lists/bad-hosts.cdb", "\0"),
        ("etc/lists/amazon/regions", "x:y\n"),
        ("etc/shared/ar.conf", "x"),
        (
            "etc/shared/default/agent.conf",
            "<agent_config><labels/></agent_config>",
        ),
        (
            "etc/shared/web/agent.conf",
            "<agent_config><active-response/></agent_config>",
        ),
        ("etc/internal_options.conf", "x=1\n"),
        ("bin/wazuh-control", "#!/bin/sh\n"),
        ("logs/alerts/alerts.json", ""),
        ("active-response/bin/firewall-drop", "\x7fELF of 4.x"),
        ("active-response/bin/notify.sh", READS_A_LINE),
        ("active-response/bin/unused.sh", "#!/bin/sh\nlogger x\n"),
        ("active-response/bin/route-null", READS_A_LINE),
        ("active-response/bin/crlf.sh", "#!/bin/sh\r\nread -r x\r\n"),
        ("active-response/bin/\u{1b}[2Jx", "x"),
        ("active-response/bin/folder/inside", "x"),
    ] {
        write(folder, name, content);
    }
    let bin = folder.join("active-response/bin");
    symlink("notify.sh", bin.join("link.sh")).expect("a link");
    symlink("/etc/passwd", bin.join("outside")).expect("a link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bin.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .expect("a pipe");
    let huge = File::create(bin.join("huge")).expect("a file");
    huge.set_len(40 << 20).expect("it takes no room");
}

/// Every path below a folder with all that a reader must not change.
fn state(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("it is there");
            let content = match metadata.is_file() && metadata.len() < 1 << 20 {
                true => fs::read(&path).expect("a readable file"),
                false => Vec::new(),
            };
            let told = format!(
                "{:o} {} {} {}.{} {content:?}",
                metadata.mode(),
                metadata.ino(),
                metadata.len(),
                metadata.mtime(),
                metadata.ctime_nsec()
            );
            found.insert(path.display().to_string(), told);
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn import(source: &Path, words: &[&str]) -> Output {
    let mut command = ctl();
    command.arg("import").arg(source).args(words);
    command.output().expect("ripostctl starts")
}

fn import_to(source: &Path, home: &Path, words: &[&str]) -> Output {
    let words = [&["--to", home.to_str().expect("UTF-8")], words].concat();
    import(source, &words)
}

/// The rows of a report: what, name, outcome, and why with what to do instead.
#[track_caller]
fn rows(output: &Output) -> Vec<[String; 4]> {
    assert_eq!(code(output), 0, "{}", stderr(output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| {
        let why = text(row, "why") + "|" + &text(row, "instead");
        [
            text(row, "what"),
            text(row, "name"),
            text(row, "outcome"),
            why,
        ]
    };
    rows.as_array().expect("an array").iter().map(row).collect()
}

#[track_caller]
fn has(rows: &[[String; 4]], what: &str, name: &str, outcome: &str, why: &str) {
    let found = rows
        .iter()
        .any(|row| row[0] == what && row[1] == name && row[2] == outcome && row[3].contains(why));
    assert!(found, "{what} {name} {outcome} {why:?} in {rows:#?}");
}

/// Whether a home passes `ripostctl check`, and what that says.
fn check(home: &Path) -> (i32, String) {
    let mut command = ctl();
    let output = command.arg("--home").arg(home).arg("check").output();
    let output = output.expect("ripostctl starts");
    (code(&output), stderr(&output).to_owned())
}
