//! Whole folders of an installation, and the home that is made of one.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::{
    CONFIGURATION, KEY, READS_A_LINE, check, has, import, import_to, installation, rows, state,
    write,
};
use crate::{code, copy_program, ctl, stderr, stdout};

#[test]
fn each_thing_of_an_installation_is_taken_over_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ossec");
    installation(&source);
    let before = state(&source);
    let home = folder.path().join("home");
    let output = import_to(&source, &home, &["-o", "json"]);
    let rows = rows(&output);
    assert_eq!(state(&source), before, "the source has changed");

    let taken = "taken_over";
    has(
        &rows,
        "alerts",
        source
            .join("logs/alerts/alerts.json")
            .canonicalize()
            .unwrap()
            .to_str()
            .unwrap(),
        taken,
        "",
    );
    has(&rows, "white_list", "192.0.2.0/24", taken, "|");
    has(
        &rows,
        "white_list",
        "300.1.1.1",
        "not_possible",
        "no address",
    );
    has(&rows, "command", "firewall-drop", taken, "|");
    has(
        &rows,
        "command",
        "notify",
        taken,
        "json proposed: its script reads its input (line 2)",
    );
    has(
        &rows,
        "command",
        "old",
        "differs",
        "the bundled host-deny runs in its place",
    );
    has(
        &rows,
        "command",
        "elsewhere",
        taken,
        "put it into the home of each host",
    );
    has(
        &rows,
        "command",
        "broken",
        "not_possible",
        "no <executable>",
    );
    has(&rows, "response", "firewall-drop", "differs", "10 seconds");
    has(
        &rows,
        "response",
        "firewall-drop",
        "differs",
        "<exclude>000</exclude>",
    );
    has(
        &rows,
        "response",
        "broken",
        "not_possible",
        "its command broken is not taken over",
    );
    has(
        &rows,
        "response",
        "notify",
        "differs",
        "switches off the responses above it",
    );
    has(
        &rows,
        "section",
        "activ-response",
        "not_possible",
        "active-response",
    );
    has(
        &rows,
        "script",
        "firewall-drop",
        "differs",
        "runs in its place",
    );
    has(&rows, "script", "notify.sh", taken, "json proposed");
    has(
        &rows,
        "script",
        "unused.sh",
        taken,
        "no command that was taken over names it",
    );
    has(
        &rows,
        "script",
        "route-null",
        "differs",
        "in the place of Ripost's own route-null",
    );
    has(&rows, "script", "crlf.sh", "differs", "Windows");
    has(&rows, "script", "link.sh", "differs", "was a link");
    has(
        &rows,
        "script",
        "outside",
        "not_possible",
        "link to another folder",
    );
    has(&rows, "script", "pipe", "not_possible", "it is a pipe");
    has(&rows, "script", "folder", "not_possible", "it is a folder");
    has(
        &rows,
        "script",
        "huge",
        "not_possible",
        "larger than 32 MiB",
    );
    has(&rows, "script", "\u{1b}[2Jx", "not_possible", "its name");
    has(&rows, "list", "bad-hosts", taken, "white_list");
    has(&rows, "list", "amazon/regions", taken, "");
    has(
        &rows,
        "shared_file",
        "web/agent.conf",
        "not_possible",
        "no effect in Wazuh",
    );
    has(
        &rows,
        "agent",
        "client.keys",
        "not_possible",
        "name of agent 003",
    );
    let of = |what: &str| rows.iter().filter(|row| row[0] == what).count();
    assert_eq!((of("list"), of("shared_file"), of("script")), (2, 1, 11));
    let talk = stderr(&output);
    assert!(
        talk.contains("a manager (it has <command>) of Wazuh (it has bin/wazuh-control)"),
        "{talk}"
    );
    assert!(
        talk.contains("left out 2 sections and 1 setting that"),
        "{talk}"
    );

    assert_eq!(check(&home).0, 0, "{}", check(&home).1);
    let bin = home.join("active-response/bin");
    for (name, content) in [("notify.sh", READS_A_LINE), ("route-null", READS_A_LINE)] {
        assert_eq!(fs::read_to_string(bin.join(name)).unwrap(), content);
        assert_eq!(bin.join(name).metadata().unwrap().mode(), 0o100_750);
    }
    assert_eq!(
        fs::read(bin.join("firewall-drop")).unwrap(),
        fs::read(env!("CARGO_BIN_EXE_firewall-drop")).unwrap()
    );
    for name in ["outside", "pipe", "huge", "folder"] {
        assert!(!bin.join(name).exists(), "{name}");
    }
    let list = home.join("etc/lists/amazon/regions");
    assert_eq!(list.metadata().unwrap().mode(), 0o100_600);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "something lies beside the home");
}

#[test]
fn the_text_of_the_administrator_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    installation(&folder.path().join("ossec"));
    let home = folder.path().join("home");
    let output = import_to(&folder.path().join("ossec"), &home, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = fs::read_to_string(home.join("etc/manager.conf")).unwrap();
    let (_, text) = text.split_once("-->\n\n").expect("a head");
    let source = folder.path().canonicalize().unwrap().join("ossec");
    let wanted = format!(
        "\
<!-- Ours since 2019. -->
<ossec_config>
  <global>
    <!-- The office. -->
    <white_list>192.0.2.0/24</white_list>
    <!-- Not taken over: the white list 300.1.1.1 of line 7: `300.1.1.1` is no address -->
  </global>

  <command>
    <name>firewall-drop</name>
    <executable>firewall-drop</executable>
    <timeout_allowed>yes</timeout_allowed>
  </command>
  <command>
    <name>notify</name>
    <executable>notify.sh</executable>
    <!-- kept -->
    <!-- A proposal: the script reads its input (line 2). Look whether that is so. -->
    <contract>json</contract>
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
  <!-- Not taken over: the command broken of line 34: this <command> has no <executable> -->

  <active-response>
    <command>firewall-drop</command>
    <location>all</location>
    <rules_id>5763</rules_id>
    <timeout>10m</timeout>
  </active-response>
  <!-- Not taken over: the response broken of line 44: its command broken is not taken over -->
  <active-response>
    <disabled>yes</disabled>
    <command>notify</command>
    <location>local</location>
    <level>12</level>
  </active-response>
  <!-- Not taken over: the section activ-response of line 55: unknown section <activ-response> is skipped -->
</ossec_config>


<ripost_config>
  <alert_source>
    <!-- Where Wazuh writes them. -->
    <location>{}/logs/alerts/alerts.json</location>
    <format>wazuh</format>
  </alert_source>
</ripost_config>
",
        source.display()
    );
    assert_eq!(text, wanted);
}

#[test]
fn a_dry_run_tells_the_same_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ossec");
    installation(&source);
    let dry = import(&source, &["--dry-run", "-o", "json"]);
    assert!(
        stderr(&dry).contains("nothing was written"),
        "{}",
        stderr(&dry)
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let wet = import_to(&source, &folder.path().join("home"), &["-o", "json"]);
    assert_eq!(rows(&dry), rows(&wet));
    let table = import(&source, &["--dry-run"]);
    assert!(stdout(&table).starts_with("WHAT "), "{}", stdout(&table));
    assert!(!stdout(&table).contains('\u{1b}'));
    assert!(!stdout(&table).contains(&KEY[..8]));
}

#[test]
fn the_home_of_the_command_line_is_made_where_no_other_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ossec.conf", CONFIGURATION);
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut command = ctl();
    let source = folder.path().join("ossec.conf");
    let output = command
        .env("RIPOST_HOME", &home)
        .arg("import")
        .arg(&source)
        .output();
    assert_eq!(code(&output.unwrap()), 0);
    assert_eq!(check(&home).0, 0);
    let agent = fs::read_to_string(home.join("etc/agent.conf")).unwrap();
    assert_eq!(agent, include_str!("../../../etc/agent.conf"));
}

#[test]
fn a_place_that_will_not_do_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    installation(&at("ossec"));
    write(&at("full"), "x", "x");
    write(folder.path(), "file", "x");
    fs::create_dir(at("empty")).unwrap();
    symlink("empty", at("link")).unwrap();
    symlink("ossec/etc", at("way-in")).unwrap();
    let before = state(folder.path());
    for (to, text) in [
        ("ossec", "never changed"),
        ("ossec/home", "never changed"),
        ("way-in/home", "never changed"),
        ("full", "not empty"),
        ("file", "not empty"),
        ("link", "not empty"),
        ("no/home", "is no folder that is there"),
        ("file/home", "it"),
    ] {
        let output = import_to(&at("ossec"), &at(to), &[]);
        assert_eq!((code(&output), stdout(&output)), (1, ""), "{to}");
        assert!(stderr(&output).contains(text), "{to}: {}", stderr(&output));
        assert_eq!(state(folder.path()), before, "{to}");
    }
}

#[test]
fn a_home_that_cannot_be_made_whole_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ossec.conf", CONFIGURATION);
    // Without the bundled executables beside it.
    fs::create_dir(folder.path().join("bin")).unwrap();
    let program = folder.path().join("bin/ripostctl");
    copy_program(Path::new(env!("CARGO_BIN_EXE_ripostctl")), &program);
    let output = std::process::Command::new(&program)
        .arg("import")
        .arg(folder.path().join("ossec.conf"))
        .arg("--to")
        .arg(folder.path().join("home"))
        .output()
        .unwrap();
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
