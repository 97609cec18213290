//! `<white_list>`: addresses and networks that are never acted upon.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::{IpNetwork, ip_mask_to_prefix};

use crate::config::block::{Block, unknown_attributes, value};
use crate::config::report::Report;
use crate::config::schema::Use;
use crate::config::xml::Node;

/// The names it has: that of Wazuh and older OSSEC, and that of OSSEC today.
const NAMES: [&str; 2] = ["white_list", "allow_list"];

/// Adds the entries of a `<global>` block.
pub(crate) fn read(block: &Block<'_>, into: &mut Vec<IpNetwork>, report: &mut Report<'_>) {
    for node in NAMES.iter().flat_map(|name| block.all(name)) {
        into.extend(entry(node, report));
    }
    let mut seen = HashSet::new();
    into.retain(|network| seen.insert(*network));
}

fn entry(node: &Node, report: &mut Report<'_>) -> Option<IpNetwork> {
    if let Some(list) = node.attributes.iter().find(|a| a.name == "list") {
        let hint = "write one <white_list> for each address or network";
        report.error(
            list.at,
            "a white list in a file is not in this version",
            hint,
        );
        return None;
    }
    unknown_attributes(node, &["list"], report);
    let text = value(node, Use::Exact, report)?.text;
    if text.is_empty() {
        let message = format!("this <{}> is empty and protects nothing", node.name);
        let hint = "remove it; Wazuh 4.x takes it for every address and then never responds";
        report.warning(node.name_at, message, hint);
        return None;
    }
    match parse(text) {
        Ok(network) => {
            remarks(text, network, node, report);
            Some(network.network)
        }
        Err(problem) => {
            let (message, hint) = problem.explain(text);
            report.error(node.text_at, message, hint);
            None
        }
    }
}

fn remarks(text: &str, entry: Entry, node: &Node, report: &mut Report<'_>) {
    if entry.host_bits {
        let network = entry.network;
        let message = format!("`{text}` is an address inside the network {network}: that is taken");
        let hint = format!("write {network}, or the address alone if only that is meant");
        report.warning(node.text_at, message, hint);
    }
    if entry.network.prefix() == 0 {
        let message = format!("`{text}` is every address: nothing will ever be blocked");
        report.warning(node.text_at, message, "write the networks that are yours");
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Entry {
    network: IpNetwork,
    /// The address had bits set behind the prefix.
    host_bits: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Problem {
    Negated,
    Several,
    Address,
    Mask,
    HostName,
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
                "write one <white_list> for each address or network",
            ),
            Self::Address => (
                format!("`{text}` is no address"),
                "write an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 or 2001:db8::/32",
            ),
            Self::Mask => (
                format!("`{text}`: what stands behind the `/` is no length of a network"),
                "write 10.0.0.0/8 or 10.0.0.0/255.0.0.0, and for IPv6 2001:db8::/32",
            ),
            Self::HostName => (
                format!("`{text}` is a host name, and those are not in this version"),
                "write the addresses of the host; loopback is always protected",
            ),
        }
    }
}

fn parse(text: &str) -> Result<Entry, Problem> {
    if text.starts_with('!') {
        return Err(Problem::Negated);
    }
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(no_address(text, address));
    };
    let prefix = match (mask, address) {
        (None, IpAddr::V4(_)) => 32,
        (None, IpAddr::V6(_)) => 128,
        (Some(mask), _) => prefix(mask, address).ok_or(Problem::Mask)?,
    };
    let (address, prefix) = unmapped(address, prefix);
    let written = IpNetwork::new(address, prefix).map_err(|_| Problem::Mask)?;
    let network = IpNetwork::new(written.network(), prefix).map_err(|_| Problem::Mask)?;
    Ok(Entry {
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

fn no_address(text: &str, address: &str) -> Problem {
    if text.contains([',', ' ', ';', '\t', '\n']) {
        Problem::Several
    } else if address.contains(':')
        || address.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || text.contains('/')
    {
        Problem::Address
    } else {
        Problem::HostName
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, parse};

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
            let entry = parse(text).unwrap();
            assert_eq!(
                (entry.network.to_string().as_str(), entry.host_bits),
                (network, host_bits),
                "{text}"
            );
        }
    }

    #[test]
    fn what_four_x_would_read_otherwise_is_refused() {
        for (text, problem) in [
            ("!10.0.0.1", Problem::Negated),
            ("300.1.1.1", Problem::Address),
            ("10.0.0", Problem::Address),
            ("fe80:", Problem::Address),
            ("010.0.0.1", Problem::Address),
            ("10.0.0.1/33", Problem::Mask),
            ("10.0.0.1/", Problem::Mask),
            ("10.0.0.0/255.0.255.0", Problem::Mask),
            ("2001:db8::/255.0.0.0", Problem::Mask),
            ("2001:db8::/129", Problem::Mask),
            ("10.0.0.1,10.0.0.2", Problem::Several),
            ("10.0.0.1 10.0.0.2", Problem::Several),
            ("^localhost.localdomain$", Problem::HostName),
            ("web-7", Problem::HostName),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
    }
}
