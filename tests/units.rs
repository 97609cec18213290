//! The shipped systemd units, read by systemd itself where it is installed.
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts systemd-analyze and writes what it reads"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// systemd-analyze(1) also insists that the program exists, so the units are
/// checked with a program that does.
#[test]
fn the_units_pass_systemd_analyze() {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let unit = fs::read_to_string(&path).unwrap();
        for wanted in [
            "\nType=notify\n",
            "\nExecStart=/usr/local/sbin/ripost-",
            "\nUMask=0027\n",
        ] {
            assert!(unit.contains(wanted), "{} lacks {wanted:?}", path.display());
        }
        let copy = folder.path().join(path.file_name().unwrap());
        fs::write(&copy, with_a_program_that_exists(&unit)).unwrap();
        units.push(copy);
    }
    assert_eq!(units.len(), 2);

    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output();
    let Ok(output) = verify else {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ripost-"))
        .collect();
    assert!(about_ours.is_empty(), "{said}");
}

/// An agent that lifts what is in force takes 30 s for it, and 6 s more to end what
/// runs then.
#[test]
fn the_agent_has_the_time_that_a_stop_may_take() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/systemd/ripost-agentd.service");
    let unit = fs::read_to_string(path).unwrap_or_default();
    let seconds = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="))
        .and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 40), "{seconds:?}");
}

fn with_a_program_that_exists(unit: &str) -> String {
    let lines = unit.lines().map(|line| match line {
        line if line.starts_with("ExecStart=") => "ExecStart=/bin/true",
        line => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The units of a cloud image, as far as they are ordered: the network comes up
/// before sysinit.target there, which most services wait for.
const CLOUD: &[(&str, &str)] = &[
    (
        "net.service",
        "DefaultDependencies=no\nAfter=network-pre.target\nBefore=network.target\n[Service]\nExecStart=/bin/true\n",
    ),
    (
        "cloud.service",
        "DefaultDependencies=no\nAfter=net.service\nBefore=network-online.target sysinit.target\n[Service]\nExecStart=/bin/true\n",
    ),
    (
        "boot.target",
        "Wants=net.service cloud.service ripost-agentd.service ripost-manager.service\n",
    ),
];

#[test]
fn the_agent_starts_before_the_network_and_no_image_makes_that_a_circle() {
    let folder = tempfile::tempdir().unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/systemd");
    let agent = fs::read_to_string(units.join("ripost-agentd.service")).unwrap();
    let ordered = "\nBefore=network-pre.target ";
    for wanted in [
        ordered,
        "\nWants=network-pre.target\n",
        "\nTimeoutStartSec=30\n",
    ] {
        assert!(agent.contains(wanted), "{wanted}");
    }
    assert!(!agent.contains("After=network"), "it would wait for it");
    let manager = fs::read_to_string(units.join("ripost-manager.service")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("ripost-agentd.service", &with_a_program_that_exists(&agent));
    write(
        "ripost-manager.service",
        &with_a_program_that_exists(&manager),
    );
    for (name, text) in CLOUD {
        write(name, &format!("[Unit]\n{text}"));
    }
    let verify = || {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "boot.target"])
            .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
            .output()
            .ok()?;
        Some(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let Some(said) = verify() else {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return;
    };
    assert!(!said.contains("cycle"), "{said}");
    // It would be seen: this is how it must not be ordered.
    let circle = agent.replace("DefaultDependencies=no\n", "");
    write(
        "ripost-agentd.service",
        &with_a_program_that_exists(&circle),
    );
    let said = verify().unwrap();
    assert!(said.contains("cycle"), "{said}");
}
