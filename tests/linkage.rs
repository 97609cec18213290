//! Which programs link what. libnftnl is GPL-2.0-or-later, so it stays in the
//! executables that need it (NOTICE), and the daemons start without it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts readelf and fails by panicking"
)]

use std::collections::BTreeSet;
use std::process::Command;

/// What every program links: the C library, and what unwinds a panic.
const ALL: &[&str] = &["libc.so.6", "libgcc_s.so.1", "libm.so.6"];

/// Each program, and what it may link beyond that.
const PROGRAMS: &[(&str, &[&str])] = &[
    (env!("CARGO_BIN_EXE_ripost-manager"), &[]),
    (env!("CARGO_BIN_EXE_ripost-agentd"), &[]),
    (env!("CARGO_BIN_EXE_ripostctl"), &[]),
    (env!("CARGO_BIN_EXE_host-deny"), &[]),
    (env!("CARGO_BIN_EXE_route-null"), &[]),
    (
        env!("CARGO_BIN_EXE_isolate-host"),
        &["libmnl.so.0", "libnftnl.so.11"],
    ),
    (
        env!("CARGO_BIN_EXE_firewall-drop"),
        &["libmnl.so.0", "libnftnl.so.11"],
    ),
];

/// The entries of type NEEDED in the dynamic section (elf(5)).
fn needed(program: &str) -> BTreeSet<String> {
    let output = Command::new("readelf")
        .args(["--dynamic", "--wide", program])
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
fn only_firewall_drop_links_libnftnl() {
    for (program, extra) in PROGRAMS {
        let needed = needed(program);
        assert!(needed.contains("libc.so.6"), "{program}: {needed:?}");
        for library in &needed {
            let allowed = ALL.contains(&library.as_str()) || extra.contains(&library.as_str());
            assert!(allowed, "{program} links {library}");
        }
        let wants_nftnl = extra.contains(&"libnftnl.so.11");
        assert_eq!(needed.contains("libnftnl.so.11"), wants_nftnl, "{program}");
    }
}

#[test]
fn every_program_is_looked_at() {
    let manifest = include_str!("../Cargo.toml");
    let stanzas = manifest.matches("[[bin]]").count();
    assert_eq!(PROGRAMS.len(), stanzas);
}
