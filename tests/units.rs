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
        let program = "ExecStart=/bin/true";
        let unit: Vec<&str> = unit
            .lines()
            .map(|line| {
                if line.starts_with("ExecStart=") {
                    program
                } else {
                    line
                }
            })
            .collect();
        let copy = folder.path().join(path.file_name().unwrap());
        fs::write(&copy, unit.join("\n")).unwrap();
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
