//! Which programs link what. libnftnl is GPL-2.0-or-later, so it stays in the
//! executables that need it (NOTICE), and the daemons start without it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts readelf and fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ripost::model::bundled::BUNDLED;

/// What every program links: the C library, and what unwinds a panic.
const ALL: &[&str] = &["libc.so.6", "libgcc_s.so.1", "libm.so.6"];

/// Each program, and what it may link beyond that: executables what their rows
/// say.
fn programs() -> Vec<(PathBuf, BTreeSet<String>)> {
    let folder = Path::new(env!("CARGO_BIN_EXE_ripostctl")).parent().unwrap();
    let plain = ["ripost-manager", "ripost-agentd", "ripostctl"];
    let plain = plain.map(|name| (folder.join(name), BTreeSet::new()));
    let rows = BUNDLED.iter().map(|row| {
        let libraries = row.libraries.iter().map(|library| library.file.to_owned());
        (folder.join(row.name), libraries.collect())
    });
    plain.into_iter().chain(rows).collect()
}

/// The entries of type NEEDED in the dynamic section (elf(5)).
fn needed(program: &Path) -> BTreeSet<String> {
    let output = Command::new("readelf")
        .args(["--dynamic", "--wide"])
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .expect("readelf(1) comes with the linker");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("(NEEDED)"))
        .map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned())
        // The loader is named after the machine.
        .filter(|library| !library.starts_with("ld-linux"))
        .collect()
}

#[test]
fn only_those_whose_row_says_so_link_libnftnl() {
    for (program, extra) in programs() {
        let (needed, program) = (needed(&program), program.display());
        assert!(needed.contains("libc.so.6"), "{program}: {needed:?}");
        for library in &needed {
            let allowed = ALL.contains(&library.as_str()) || extra.contains(library);
            assert!(allowed, "{program} links {library}");
        }
        let wants_nftnl = extra.contains("libnftnl.so.11");
        assert_eq!(needed.contains("libnftnl.so.11"), wants_nftnl, "{program}");
    }
}

#[test]
fn every_program_is_looked_at() {
    let manifest = include_str!("../Cargo.toml");
    let stanzas = manifest.matches("[[bin]]").count();
    assert_eq!(programs().len(), stanzas);
}
