//! The text of hosts.deny: what is in it, and what it would be with or without
//! an entry of ours. Pure, and over bytes: what is not ours stays as it is,
//! whatever its line ends and encoding.
//!
//! Read as libwrap reads it (hosts_access(5), hosts_options(5); tcp_wrappers
//! 7.6 hosts_access.c, xgets in misc.c): a backslash before the newline joins
//! lines, only a `#` in the first column makes a comment, a line without its
//! newline is ignored, and lists are separated by blanks and commas.

use std::net::IpAddr;

/// Stands above each of our entries and makes it ours.
const MARKER: &str = "# ripost host-deny: ";

/// Whose an entry for an address is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listed {
    No,
    Ours,
    /// It stands on this line of the file, counted from 1.
    Administrators(usize),
}

/// Whether hosts.deny denies everything to exactly this address. Entries for
/// networks or names that would cover it do not count: they may go any time.
pub(super) fn listed(text: &[u8], address: IpAddr) -> Listed {
    let mut administrators = Listed::No;
    let mut number = 1;
    let mut rest = text;
    while let Some((line, behind)) = logical_line(rest) {
        if let Some(behind) = our_entry(rest, address) {
            if ends(&rest[..rest.len() - behind.len()]) {
                return Listed::Ours;
            }
            rest = behind;
            continue;
        }
        if administrators == Listed::No && denies(line, address) {
            administrators = Listed::Administrators(number);
        }
        number += line.iter().filter(|&&byte| byte == b'\n').count();
        rest = behind;
    }
    administrators
}

/// The text with an entry of ours at its end.
pub(super) fn with(text: &[u8], address: IpAddr) -> Vec<u8> {
    let mut new = text.to_vec();
    if !new.is_empty() && !ends(&new) {
        new.push(b'\n');
    }
    // The last line asks to be joined with what follows: an empty line will do.
    if new.ends_with(b"\\\n") {
        new.push(b'\n');
    }
    new.extend_from_slice(format!("{MARKER}{address}\n{}\n", entry(address)).as_bytes());
    new
}

/// The text without our entries for this address.
pub(super) fn without(text: &[u8], address: IpAddr) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((line, behind)) = logical_line(rest) {
        if let Some(behind) = our_entry(rest, address) {
            rest = behind;
        } else {
            new.extend_from_slice(line);
            rest = behind;
        }
    }
    new
}

/// hosts_access(5) wants brackets around IPv6 addresses.
fn entry(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("ALL: {address}"),
        IpAddr::V6(address) => format!("ALL: [{address}]"),
    }
}

fn ends(text: &[u8]) -> bool {
    text.ends_with(b"\n")
}

/// The first line, continuations and newline included, and what is behind it.
fn logical_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = memchr::memchr_iter(b'\n', text)
        .find(|&at| at == 0 || text[at - 1] != b'\\')
        .map_or(text.len(), |at| at + 1);
    Some(text.split_at(end))
}

/// What is behind our entry for `address`, if the text starts with one: the
/// marker and, as the next line, exactly the entry. Blanks at the end of a
/// line, which an editor may have added, do not matter.
fn our_entry(text: &[u8], address: IpAddr) -> Option<&[u8]> {
    let (marker, behind) = logical_line(text)?;
    let address_text = marker.strip_prefix(MARKER.as_bytes())?;
    if address_text.trim_ascii_end() != address.to_string().as_bytes() {
        return None;
    }
    let (line, behind) = logical_line(behind)?;
    (line.trim_ascii_end() == entry(address).as_bytes()).then_some(behind)
}

/// Whether this line denies all services to the address and does nothing else.
fn denies(line: &[u8], address: IpAddr) -> bool {
    if line.starts_with(b"#") || !ends(line) {
        return false;
    }
    let Ok(line) = str::from_utf8(line) else {
        return false;
    };
    let line = line.replace("\\\n", "");
    let Some((daemons, behind)) = line.split_once(':') else {
        return false;
    };
    let (clients, option) = split_clients(behind);
    let all = |list: &str, wanted: &dyn Fn(&str) -> bool| {
        let mut tokens = tokens(list);
        // What stands behind EXCEPT depends on the client; be strict.
        !tokens
            .clone()
            .any(|token| token.eq_ignore_ascii_case("EXCEPT"))
            && tokens.any(wanted)
    };
    all(daemons, &|token| token.eq_ignore_ascii_case("ALL"))
        && all(clients, &|token| is_address(token, address))
        && matches!(option.trim(), "" | "DENY" | "deny")
}

fn tokens(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.split([',', ' ', '\t', '\r', '\n'])
        .filter(|token| !token.is_empty())
}

/// Splits at the first colon outside brackets.
fn split_clients(text: &str) -> (&str, &str) {
    let mut inside = false;
    let colon = text.find(|c| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        c == ':' && !inside
    });
    match colon {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

fn is_address(token: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => token == address.to_string(),
        IpAddr::V6(address) => {
            let inner = token
                .strip_prefix('[')
                .and_then(|inner| inner.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse() == Ok(address))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Listed, listed, with, without};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_an_entry_for_exactly_the_address_counts() {
        let four = "192.0.2.1";
        let six = "2001:db8::1";
        for (text, of, wanted) in [
            ("", four, Listed::No),
            ("ALL: 192.0.2.1\n", four, Listed::Administrators(1)),
            ("all:192.0.2.1\n", four, Listed::Administrators(1)),
            (
                "# x\n\nALL : 198.51.100.1,192.0.2.1\n",
                four,
                Listed::Administrators(3),
            ),
            (
                "ALL: 198.51.100.1 \\\n 192.0.2.1\n",
                four,
                Listed::Administrators(1),
            ),
            ("a \\\nb\nALL: 192.0.2.1\n", four, Listed::Administrators(3)),
            ("ALL: 192.0.2.1 : deny\n", four, Listed::Administrators(1)),
            ("ALL: [2001:DB8:0::1]\n", six, Listed::Administrators(1)),
            // Neighbours in text, not in meaning.
            ("ALL: 192.0.2.10 192.0.2.11 1192.0.2.1\n", four, Listed::No),
            ("# ALL: 192.0.2.1\n", four, Listed::No),
            ("# \\\nALL: 192.0.2.1\n", four, Listed::No),
            ("ALL: 192.0.2.\n", four, Listed::No),
            ("sshd: 192.0.2.1\n", four, Listed::No),
            ("ALL: ALL EXCEPT 192.0.2.1\n", four, Listed::No),
            ("ALL EXCEPT sshd: 192.0.2.1\n", four, Listed::No),
            ("ALL: 192.0.2.1 : allow\n", four, Listed::No),
            ("ALL: 192.0.2.1 : spawn (x)\n", four, Listed::No),
            ("ALL: 2001:db8::1\n", six, Listed::No),
            ("192.0.2.1\n", four, Listed::No),
            // libwrap ignores a line without its newline.
            ("ALL: 192.0.2.1", four, Listed::No),
        ] {
            assert_eq!(listed(text.as_bytes(), address(of)), wanted, "{text:?}");
        }
    }

    #[test]
    fn an_entry_is_ours_by_its_marker() {
        let ours = "# ripost host-deny: 192.0.2.1\nALL: 192.0.2.1\n";
        let one = address("192.0.2.1");
        for (text, wanted) in [
            (ours.to_owned(), Listed::Ours),
            (format!("ALL: 192.0.2.1\n{ours}"), Listed::Ours),
            (ours.replace('\n', "\r\n"), Listed::Ours),
            // The marker is part of another line, so the entry has none.
            (format!("ALL: x \\\n{ours}"), Listed::Administrators(3)),
            // Its entry is another's now.
            (
                ours.replace("ALL: 192.0.2.1", "sshd: 192.0.2.1"),
                Listed::No,
            ),
            (ours.trim_end().to_owned(), Listed::No),
        ] {
            assert_eq!(listed(text.as_bytes(), one), wanted, "{text:?}");
        }
        assert_eq!(listed(ours.as_bytes(), address("192.0.2.10")), Listed::No);
    }

    #[test]
    fn an_entry_goes_on_lines_of_its_own() {
        let one = address("192.0.2.1");
        let ours = "# ripost host-deny: 192.0.2.1\nALL: 192.0.2.1\n";
        for (before, between) in [
            ("", ""),
            ("ALL: x\n", ""),
            ("ALL: x", "\n"),
            ("ALL: x \\\n", "\n"),
            ("ALL: x \\", "\n\n"),
            ("ALL: x\r\n", ""),
        ] {
            let text = with(before.as_bytes(), one);
            let wanted = format!("{before}{between}{ours}");
            assert_eq!(text, wanted.as_bytes(), "{before:?}");
            assert_eq!(listed(&text, one), Listed::Ours, "{before:?}");
        }
        let text = with(b"", address("2001:db8::10"));
        assert_eq!(
            text,
            b"# ripost host-deny: 2001:db8::10\nALL: [2001:db8::10]\n"
        );
    }

    #[test]
    fn only_marked_lines_are_taken_out() {
        let mut text = b"# keep 192.0.2.1\nALL:192.0.2.1\nALL:192.0.2.10\nodd \xff\r\n".to_vec();
        let administrators = text.clone();
        for of in ["192.0.2.1", "192.0.2.10", "192.0.2.11"] {
            text = with(&text, address(of));
        }
        for of in ["192.0.2.1", "192.0.2.11", "192.0.2.10"] {
            text = without(&text, address(of));
        }
        assert_eq!(text, administrators);
    }

    proptest! {
        #[test]
        fn adding_and_taking_out_leaves_every_byte_of_others(
            lines in "([a# :\\\\,\r\n]|ALL|192\\.0\\.2\\.1|[^a]){0,40}",
            octet in any::<u8>(),
        ) {
            let text = lines.as_bytes();
            let of = address(&format!("192.0.2.{octet}"));
            let added = with(text, of);
            prop_assert!(added.starts_with(text));
            prop_assert_eq!(listed(&added, of), Listed::Ours);
            let taken = without(&added, of);
            prop_assert!(taken.starts_with(text));
            prop_assert!(taken[text.len()..].iter().all(|&byte| byte == b'\n'));
        }
    }
}
