//! Files as people and programs leave them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use super::{
    CONFIGURATION, KEY, OF_V5, TAKES_WORDS, check, has, import, import_to, installation, rows,
    write,
};
use crate::{code, copy_program, stderr, stdout};

/// The new `manager.conf` of one file.
#[track_caller]
fn taken_over(content: &[u8], words: &[&str]) -> (TempDir, String, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "ossec.conf", content);
    let home = folder.path().join("home");
    let output = import_to(&folder.path().join("ossec.conf"), &home, words);
    let text = fs::read_to_string(home.join("etc/manager.conf")).unwrap_or_default();
    (folder, text, output)
}

#[test]
fn broken_markup_is_shown_and_nothing_is_made() {
    let content = b"<ossec_config>\n<command>\n<name>x</nmae>\n</ossec_config>\n<! never";
    let (folder, _, output) = taken_over(content, &[]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    let text = stderr(&output);
    assert!(
        text.contains("ossec.conf:2:2: error: <command> is not closed"),
        "{text}"
    );
    assert!(text.contains("its markup is broken"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_of_windows_and_of_old_editors_are_taken_over() {
    let text = CONFIGURATION.replace('\n', "\r\n");
    let mut latin: Vec<u8> = b"\xef\xbb\xbf<!-- B\xfcro -->\r\n".to_vec();
    latin.extend_from_slice(text.as_bytes());
    let (folder, text, output) = taken_over(&latin, &["-o", "json"]);
    has(
        &rows(&output),
        "file",
        "configuration",
        "differs",
        "Latin-1",
    );
    assert!(text.contains("<!-- Büro -->\n"), "{text}");
    assert!(!text.contains('\r'));
    assert_eq!(check(&folder.path().join("home")).0, 0);
}

#[test]
fn blocks_without_a_root_and_comments_of_both_kinds_are_taken_over() {
    let content = b"<! a !>\n<command><name>route-null</name><! b -->\n<executable>route-null</executable></command>\n<syscheck/>\n<active-response><command>route-null</command><location>local</location><level>9</level></active-response>\n";
    let (folder, text, output) = taken_over(content, &["-o", "json"]);
    let rows = rows(&output);
    has(
        &rows,
        "command",
        "route-null",
        "differs",
        "outside of all roots",
    );
    has(
        &rows,
        "response",
        "route-null",
        "differs",
        "outside of all roots",
    );
    assert!(
        text.contains("<! b -->") && !text.contains("syscheck"),
        "{text}"
    );
    assert_eq!(check(&folder.path().join("home")).0, 0);
}

#[test]
fn a_configuration_of_an_agent_becomes_a_home_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ossec");
    write(&source, "bin/wazuh-control", "");
    write(&source, "etc/client.keys", format!("007 web-7 any {KEY}\n"));
    write(
        &source,
        "etc/ossec.conf",
        "<ossec_config>\n  <client>\n    <server>\n      <address>siem.example.org</address>\n    </server>\n  </client>\n  <localfile/>\n  <active-response>\n    <disabled>no</disabled>\n    <ca_store>/x</ca_store>\n  </active-response>\n</ossec_config>\n",
    );
    let home = folder.path().join("home");
    let rows = rows(&import_to(&source, &home, &["-o", "json"]));
    has(
        &rows,
        "server",
        "siem.example.org",
        "not_possible",
        "ripost-agentd enroll",
    );
    has(&rows, "response", "-", "taken_over", "|");
    has(
        &rows,
        "agent",
        "007 web-7",
        "differs",
        "enroll token --id 007 --name web-7",
    );
    assert_eq!(rows.len(), 3);
    let text = fs::read_to_string(home.join("etc/agent.conf")).unwrap();
    assert!(text.contains("<disabled>no</disabled>"), "{text}");
    assert!(!text.contains("siem"), "{text}");
    assert!(!home.join("etc/manager.conf").exists());
    assert_eq!(check(&home).0, 0);
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED what_cannot_be_read_is_told_and_the_rest_goes_on: not root");
        return;
    }
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ossec");
    installation(&source);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&source.join("active-response/bin/notify.sh"), 0o600);
    mode(&source.join("etc/client.keys"), 0o600);
    let program = folder.path().join("ripostctl");
    copy_program(Path::new(env!("CARGO_BIN_EXE_ripostctl")), &program);
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.uid(65_534).gid(65_534).arg("import").arg(&source);
        command.args(words).output().unwrap()
    };
    let rows = rows(&run(&["--dry-run", "-o", "json"]));
    has(
        &rows,
        "script",
        "notify.sh",
        "not_possible",
        "Permission denied",
    );
    has(
        &rows,
        "agent",
        "client.keys",
        "not_possible",
        "Permission denied",
    );
    has(&rows, "command", "firewall-drop", "taken_over", "");
    mode(&source.join("etc/ossec.conf"), 0o600);
    let output = run(&["--dry-run"]);
    assert_eq!(code(&output), 77, "{}", stderr(&output));
}

#[test]
fn what_is_no_installation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("bare")).unwrap();
    write(folder.path(), "text", "hello\n");
    write(folder.path(), "client.keys", format!("001 web any {KEY}\n"));
    for (name, words, status, text) in [
        (
            "bare",
            &["--dry-run"][..],
            1,
            "bare/etc/ossec.conf: there is no such file",
        ),
        (
            "text",
            &["--dry-run"],
            1,
            "neither a configuration nor a client.keys",
        ),
        ("client.keys", &["--dry-run"], 64, "not for a client.keys"),
        (
            "client.keys",
            &["--from", "ossec"],
            64,
            "not for a client.keys",
        ),
    ] {
        let output = import(&at(name), words);
        assert_eq!((code(&output), stdout(&output)), (status, ""), "{name}");
        assert!(
            stderr(&output).contains(text),
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn contracts_of_old_and_new_scripts_are_proposed() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ossec");
    let command = |name: &str| {
        format!("<command><name>{name}</name><executable>{name}</executable></command>\n")
    };
    let commands: String = ["words.sh", "v5.sh", "unclear.sh"].map(command).concat();
    let text = format!("<ossec_config>{commands}</ossec_config>\n");
    write(&source, "etc/ossec.conf", text);
    for (name, content) in [
        ("words.sh", TAKES_WORDS),
        ("v5.sh", OF_V5),
        ("unclear.sh", "#!/bin/sh\nlogger x\n"),
    ] {
        write(&source, &format!("active-response/bin/{name}"), content);
    }
    let home = folder.path().join("home");
    let rows = rows(&import_to(&source, &home, &["-o", "json"]));
    has(
        &rows,
        "command",
        "words.sh",
        "taken_over",
        "argv proposed: its script takes arguments (line 2)",
    );
    has(&rows, "command", "v5.sh", "taken_over", "v5 proposed");
    has(
        &rows,
        "command",
        "unclear.sh",
        "taken_over",
        "contract is unclear",
    );
    let text = fs::read_to_string(home.join("etc/manager.conf")).unwrap();
    assert!(
        text.contains("<contract>argv</contract></command>"),
        "{text}"
    );
    assert!(text.contains("say with a contract element"), "{text}");
    assert_eq!(check(&home).0, 0, "{}", check(&home).1);
}

#[test]
fn alerts_of_ossec_are_read_where_it_is_told_to_write_them() {
    let source = |global: &str, home: &str| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("ossec");
        let text =
            format!("<ossec_config>\n<global>{global}</global>\n<rules/>\n</ossec_config>\n");
        write(&source, "etc/ossec.conf", text);
        write(&source, "logs/alerts/alerts.json", "");
        write(&source, "logs/alerts/alerts.log", "");
        let home = folder.path().join(home);
        assert_eq!(code(&import_to(&source, &home, &[])), 0);
        assert_eq!(check(&home).0, 0, "{}", check(&home).1);
        fs::read_to_string(home.join("etc/manager.conf")).unwrap()
    };
    for (global, name) in [
        ("", "alerts.log"),
        ("<jsonout_output>yes</jsonout_output>", "alerts.json"),
        ("<jsonout_output>no</jsonout_output>", "alerts.log"),
    ] {
        let text = source(global, "home");
        let wanted = format!("/ossec/logs/alerts/{name}</location>\n    <format>ossec</format>");
        assert!(text.contains(&wanted), "{global}: {text}");
    }
}

#[test]
fn a_configuration_of_ossec_keeps_its_logic_and_its_log() {
    let content = "<ossec_config>\n<rules><include>x.xml</include></rules>\n<command>\n<name>firewall-drop</name>\n<executable>firewall-drop.sh</executable>\n<expect>srcip</expect>\n<timeout_allowed>yes</timeout_allowed>\n</command>\n<active-response>\n<command>firewall-drop</command>\n<location>local</location>\n<level>7</level>\n<timeout>600</timeout>\n</active-response>\n</ossec_config>\n";
    let (folder, text, output) = taken_over(content.as_bytes(), &["-o", "json"]);
    let rows = rows(&output);
    has(
        &rows,
        "command",
        "firewall-drop",
        "differs",
        "the bundled firewall-drop runs in its place",
    );
    has(&rows, "response", "firewall-drop", "taken_over", "");
    assert!(
        stderr(&output).contains("of OSSEC (it has <rules>)"),
        "{}",
        stderr(&output)
    );
    assert!(text.contains("<logic>ossec</logic>"), "{text}");
    let home = folder.path().join("home");
    let agent = fs::read_to_string(home.join("etc/agent.conf")).unwrap();
    assert!(agent.contains("<log_layout>ossec</log_layout>"), "{agent}");
    assert_eq!(check(&home).0, 0, "{}", check(&home).1);
    let (_, text, _) = taken_over(content.as_bytes(), &["--from", "wazuh"]);
    assert!(!text.contains("<logic>"), "{text}");
}
