//! libnftnl is GPL-2.0-or-later, and not installed everywhere: only the
//! executable that speaks to nf_tables through it may be linked to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

/// The shared libraries a program names (elf(5), `DT_NEEDED`), for ELF of 64
/// bits in this machine's byte order.
fn needed(program: &str) -> Vec<String> {
    let elf = fs::read(program).unwrap();
    assert!(
        elf.starts_with(b"\x7fELF\x02"),
        "{program} is no ELF of 64 bits"
    );
    let header = usize_at(&elf, 32);
    let (size, count) = (number(&elf, 54, 2), number(&elf, 56, 2));
    // Kind, offset in the file, address in memory, length in the file.
    let segments: Vec<[usize; 4]> = (0..count)
        .map(|n| header + index(n * size))
        .map(|at| {
            [
                index(number(&elf, at, 4)),
                usize_at(&elf, at + 8),
                usize_at(&elf, at + 16),
                usize_at(&elf, at + 32),
            ]
        })
        .collect();
    let of_kind = |kind: u64| segments.iter().filter(move |s| s[0] == index(kind));
    let [_, start, _, length] = *of_kind(PT_DYNAMIC).next().expect("a dynamic program");
    let entries: Vec<(u64, usize)> = (start..start + length)
        .step_by(16)
        .map(|at| (number(&elf, at, 8), usize_at(&elf, at + 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB).unwrap().1;
    let strings = of_kind(PT_LOAD)
        .find(|[_, _, address, length]| (*address..address + length).contains(&strings))
        .map(|[_, offset, address, _]| strings - address + offset)
        .unwrap();
    entries
        .iter()
        .filter(|(tag, _)| *tag == DT_NEEDED)
        .map(|(_, at)| {
            let name = elf[strings + at..].split(|byte| *byte == 0).next();
            String::from_utf8(name.unwrap().to_vec()).unwrap()
        })
        .collect()
}

fn number(elf: &[u8], at: usize, length: usize) -> u64 {
    let mut bytes = [0; 8];
    if cfg!(target_endian = "little") {
        bytes[..length].copy_from_slice(&elf[at..at + length]);
    } else {
        bytes[8 - length..].copy_from_slice(&elf[at..at + length]);
    }
    u64::from_ne_bytes(bytes)
}

fn usize_at(elf: &[u8], at: usize) -> usize {
    index(number(elf, at, 8))
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn speaks_through_libnftnl(program: &str) -> bool {
    let needed = needed(program);
    // A parser that finds nothing would prove nothing.
    assert!(
        needed.iter().any(|name| name.starts_with("libc.")),
        "{program}: {needed:?}"
    );
    needed
        .iter()
        .any(|name| name.starts_with("libnftnl") || name.starts_with("libmnl"))
}

#[test]
fn only_the_firewall_executable_needs_libnftnl() {
    assert!(speaks_through_libnftnl(env!("CARGO_BIN_EXE_firewall-drop")));
    for program in [
        env!("CARGO_BIN_EXE_ripost-manager"),
        env!("CARGO_BIN_EXE_ripost-agentd"),
        env!("CARGO_BIN_EXE_ripostctl"),
        env!("CARGO_BIN_EXE_host-deny"),
    ] {
        assert!(
            !speaks_through_libnftnl(program),
            "{program} needs libnftnl"
        );
    }
}
