//! What the two kinds of iptables have in the kernel, asked without starting
//! either: looking with legacy iptables brings a table about, and each packet
//! passes it from then on.

use std::fs;
use std::io;

use ipnetwork::IpNetwork;

use crate::sys::host::nf_tables::{ask, request};

/// Each has tables and programs of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub fn of(network: IpNetwork) -> Self {
        match network {
            IpNetwork::V4(_) => Self::Ipv4,
            IpNetwork::V6(_) => Self::Ipv6,
        }
    }

    /// linux/netfilter.h.
    fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// The tables in use, a line each; for root alone (ip_tables.c,
    /// x_tables.c).
    fn legacy_tables(self) -> &'static str {
        match self {
            Self::Ipv4 => "/proc/net/ip_tables_names",
            Self::Ipv6 => "/proc/net/ip6_tables_names",
        }
    }
}

/// Whether this network namespace has this table of legacy iptables.
pub fn has_legacy_table(family: Family, table: &str) -> io::Result<bool> {
    names(fs::read_to_string(family.legacy_tables()), table)
}

fn names(tables: io::Result<String>, table: &str) -> io::Result<bool> {
    match tables {
        Ok(text) => Ok(text.lines().any(|line| line == table)),
        Err(error) => match error.kind() {
            // No part of it is in the kernel.
            io::ErrorKind::NotFound => Ok(false),
            // Whoever may not read this has never changed the rules: the lock
            // of iptables is root's as well.
            io::ErrorKind::PermissionDenied => Ok(false),
            _ => Err(error),
        },
    }
}

/// linux/netfilter/nf_tables.h, `enum nft_chain_attributes`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// Whether this network namespace has this chain in a table of iptables-nft.
pub fn has_nft_chain(family: Family, table: &str, chain: &str) -> io::Result<bool> {
    let attributes = [(CHAIN_TABLE, table), (CHAIN_NAME, chain)];
    let question = request(libc::NFT_MSG_GETCHAIN, family.number(), &attributes);
    let Err(error) = ask(&question, libc::NFT_MSG_NEWCHAIN) else {
        return Ok(true);
    };
    match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(false),
        // There is no nfnetlink, no nf_tables, or none for this family.
        Some(libc::EPROTONOSUPPORT | libc::EINVAL | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
            Ok(false)
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::names;

    #[test]
    fn a_table_is_there_if_the_kernel_names_it_and_may_be_looked_for_by_all() {
        let text = |text: &str| Ok(text.to_owned());
        assert!(names(text("filter\nraw\n"), "raw").unwrap());
        assert!(!names(text("filter\nrawer\n"), "raw").unwrap());
        for errno in [libc::ENOENT, libc::EACCES] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(!names(Err(error), "raw").unwrap());
        }
        let error = io::Error::from_raw_os_error(libc::EIO);
        assert!(names(Err(error), "raw").is_err());
    }
}
