//! What is never acted upon: one entry after the other, wherever it stands.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnetwork::{IpNetwork, ip_mask_to_prefix};

use crate::config::report::{Report, Span};
use crate::model::{InvalidNamePattern, NamePattern};

/// What is never acted upon: what a file says itself, and the lists it names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Protected {
    pub own: Entries,
    pub lists: Vec<List>,
}

/// A file of entries below `etc/lists`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct List {
    /// Below the home.
    pub path: PathBuf,
    pub entries: Entries,
}

/// Entries of a white list, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entries {
    pub networks: Vec<IpNetwork>,
    /// Held against the text of what an alert names; never looked up.
    pub names: Vec<NamePattern>,
}

impl Protected {
    /// All entries, wherever they stand.
    pub fn all(&self) -> Entries {
        let mut all = self.own.clone();
        for List { entries, .. } in &self.lists {
            all.networks.extend(&entries.networks);
            all.names.extend_from_slice(&entries.names);
        }
        all.once();
        all
    }
}

impl Entries {
    pub fn len(&self) -> usize {
        self.networks.len() + self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what an entry says; what is wrong with it is reported.
    pub(crate) fn add(&mut self, text: &str, at: Span, report: &mut Report<'_>) {
        match parse(text) {
            Ok(Parsed::Network { network, host_bits }) => {
                remarks(text, (network, host_bits), at, report);
                self.networks.push(network);
            }
            Ok(Parsed::Name) => self.names.extend(name(text, at, report)),
            Err(problem) => {
                let (message, hint) = problem.explain(text);
                report.error(at, message, hint);
            }
        }
    }

    /// Leaves each entry there once, where it stands first.
    pub(crate) fn once(&mut self) {
        let mut seen = HashSet::new();
        self.networks.retain(|network| seen.insert(*network));
        let mut seen = HashSet::new();
        self.names.retain(|name| seen.insert(name.clone()));
    }
}

/// A pattern over names, as 4.x takes all that is no IPv4 address.
fn name(text: &str, at: Span, report: &mut Report<'_>) -> Option<NamePattern> {
    let pattern = match NamePattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            let message = format!("`{text}` {error}");
            let hint = match error {
                InvalidNamePattern::FitsEverything => {
                    "remove it, or the stray `|`; Wazuh 4.x takes it for every address and then \
                     never responds"
                }
                InvalidNamePattern::TooLong | InvalidNamePattern::Character => {
                    "write the name of a host: ^web-7.example.org$"
                }
            };
            report.error(at, message, hint);
            return None;
        }
    };
    if pattern.is_negated() {
        let message = format!("`{text}` is every address and every name but those that fit it");
        let hint =
            "hardly anything will be blocked; write what is to be protected, without the `!`";
        report.warning(at, message, hint);
    } else if !text.contains(|c: char| c.is_ascii_alphabetic()) {
        let message = format!("`{text}` is compared with each address as text");
        report.warning(at, message, "write a network, such as 192.0.2.0/24");
    } else if !text.to_ascii_lowercase().contains("localhost") {
        let message = format!(
            "`{text}` is compared with what an alert names, and never looked up: the addresses of \
             that host are not protected"
        );
        report.warning(at, message, "write them, too; or only them");
    }
    Some(pattern)
}

fn remarks(text: &str, (network, host_bits): (IpNetwork, bool), at: Span, report: &mut Report<'_>) {
    if host_bits {
        let message = format!("`{text}` is an address inside the network {network}: that is taken");
        let hint = format!("write {network}, or the address alone if only that is meant");
        report.warning(at, message, hint);
    }
    if network.prefix() == 0 {
        let message = format!("`{text}` is every address: nothing will ever be blocked");
        report.warning(at, message, "write the networks that are yours");
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Parsed {
    Network {
        network: IpNetwork,
        /// The address had bits set behind the prefix.
        host_bits: bool,
    },
    /// The name of a host, or a pattern of names.
    Name,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Problem {
    Negated,
    Several,
    /// A part of one, which 4.x takes for a pattern.
    Part,
    Address,
    Mask,
}

impl Problem {
    fn explain(self, text: &str) -> (String, &'static str) {
        match self {
            Self::Negated => (
                format!("`{text}`: the `!` has no effect in Wazuh 4.x, which protects the address"),
                "remove the `!` to protect it, or the whole entry not to",
            ),
            Self::Several => (
                format!("`{text}` is more than one entry"),
                "write each address or network as an entry of its own",
            ),
            Self::Part => (
                format!("`{text}` is a part of an address"),
                "Wazuh 4.x looks for it anywhere in an address; write a network such as 10.0.0.0/8 \
                 or fe80::/10",
            ),
            Self::Address => (
                format!("`{text}` is no address"),
                "write an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 or 2001:db8::/32",
            ),
            Self::Mask => (
                format!("`{text}`: what stands behind the `/` is no length of a network"),
                "write 10.0.0.0/8 or 10.0.0.0/255.0.0.0, and for IPv6 2001:db8::/32",
            ),
        }
    }
}

fn parse(text: &str) -> Result<Parsed, Problem> {
    if let Some(rest) = text.strip_prefix('!') {
        return match parse(rest)? {
            Parsed::Network { .. } => Err(Problem::Negated),
            Parsed::Name => Ok(Parsed::Name),
        };
    }
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return no_address(text, address).map_or(Ok(Parsed::Name), Err);
    };
    let prefix = match (mask, address) {
        (None, IpAddr::V4(_)) => 32,
        (None, IpAddr::V6(_)) => 128,
        (Some(mask), _) => prefix(mask, address).ok_or(Problem::Mask)?,
    };
    let (address, prefix) = unmapped(address, prefix);
    let written = IpNetwork::new(address, prefix).map_err(|_| Problem::Mask)?;
    let network = IpNetwork::new(written.network(), prefix).map_err(|_| Problem::Mask)?;
    Ok(Parsed::Network {
        network,
        host_bits: network != written,
    })
}

/// Digits, or for IPv4 a mask as of old.
fn prefix(mask: &str, address: IpAddr) -> Option<u8> {
    if !mask.is_empty() && mask.len() <= 3 && mask.bytes().all(|b| b.is_ascii_digit()) {
        return mask.parse().ok();
    }
    let mask: Ipv4Addr = mask.parse().ok()?;
    match address {
        IpAddr::V4(_) => ip_mask_to_prefix(mask.into()).ok(),
        IpAddr::V6(_) => None,
    }
}

/// A host written as `::ffff:192.0.2.1` is the IPv4 host (RFC 4291, 2.5.5.2):
/// that is how targets are compared.
fn unmapped(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), address) {
        (v4 @ IpAddr::V4(_), IpAddr::V6(_)) if (96..=128).contains(&prefix) => (v4, prefix - 96),
        _ => (address, prefix),
    }
}

fn is_number(part: &&str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// What is wrong with a text that is no address; nothing, if it is a name.
fn no_address(text: &str, address: &str) -> Option<Problem> {
    if text.contains([',', ' ', ';', '\t', '\n']) {
        Some(Problem::Several)
    } else if text.contains(['^', '$', '|']) {
        None
    } else if text.contains('/') || address.split('.').filter(is_number).count() == 4 {
        Some(Problem::Address)
    } else if address.contains(':') || address.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        Some(Problem::Part)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Parsed, Problem, parse};

    #[test]
    fn an_entry_is_an_address_or_a_network_of_either_family() {
        for (text, network, host_bits) in [
            ("127.0.0.1", "127.0.0.1/32", false),
            ("::1", "::1/128", false),
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.1.2.3/8", "10.0.0.0/8", true),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8", false),
            ("192.168.1.0/255.255.255.0", "192.168.1.0/24", false),
            ("2001:db8::/32", "2001:db8::/32", false),
            ("2001:db8::1/32", "2001:db8::/32", true),
            ("::ffff:192.0.2.1", "192.0.2.1/32", false),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24", false),
            ("0.0.0.0/0", "0.0.0.0/0", false),
        ] {
            let network = network.parse().unwrap();
            let wanted = Parsed::Network { network, host_bits };
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_has_letters_or_is_tied_to_an_end_is_a_name() {
        for text in [
            "^localhost.localdomain$",
            "!^web-",
            "^192.0.2.",
            "web-7",
            "a|b",
        ] {
            assert_eq!(parse(text), Ok(Parsed::Name), "{text}");
        }
    }

    #[test]
    fn what_four_x_would_read_otherwise_is_refused() {
        for (text, problem) in [
            ("!10.0.0.1", Problem::Negated),
            ("300.1.1.1", Problem::Address),
            ("10.0.0", Problem::Part),
            ("fe80:", Problem::Part),
            ("010.0.0.1", Problem::Address),
            ("10.0.0.1/33", Problem::Mask),
            ("10.0.0.1/", Problem::Mask),
            ("10.0.0.0/255.0.255.0", Problem::Mask),
            ("2001:db8::/255.0.0.0", Problem::Mask),
            ("2001:db8::/129", Problem::Mask),
            ("10.0.0.1,10.0.0.2", Problem::Several),
            ("10.0.0.1 10.0.0.2", Problem::Several),
            ("!300.0.0.1", Problem::Address),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
    }
}
