use std::io;

use ipnetwork::IpNetwork;

use crate::ar::tool::ToolError;
use crate::sys::fs::FsError;

/// Why iptables did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum IptablesError {
    #[error(
        "use {tool}: operation not permitted\n(it needs root, or CAP_NET_ADMIN in this network namespace)"
    )]
    NotPermitted { tool: String },
    #[error(
        "use {tool}: another program has held the lock of iptables for {seconds} s\n(find it with `fuser /run/xtables.lock`)"
    )]
    Busy { tool: String, seconds: u32 },
    #[error(
        "use {tool}: this kernel has neither its table raw nor its table filter\n(as root: modprobe iptable_raw, or ip6table_raw for IPv6)"
    )]
    NoTable { tool: String },
    #[error(
        "use {tool}: it works through nf_tables, which this kernel has not\n(as root: modprobe nf_tables; or install the iptables-legacy of your distribution)"
    )]
    NoNfTables { tool: String },
    #[error("use {tool}: this kernel has no IPv6\n(is ipv6.disable=1 set?)")]
    NoFamily { tool: String },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("be the only one who changes the rules of iptables")]
    Lock(#[from] FsError),
    #[error("ask the kernel which rules of iptables there are")]
    Kernel(#[from] io::Error),
    #[error(
        "drop packets of {0} by iptables: what was written is not there\n(another program changes the rules at the same time)"
    )]
    Lost(IpNetwork),
    #[error(
        "let packets of {0} pass again: rules of iptables that drop them come back as often as they are deleted\n(another program writes them)"
    )]
    Stays(IpNetwork),
}

impl IptablesError {
    /// Whether it says that this host has no iptables, or none that works.
    pub fn is_gap(&self) -> bool {
        match self {
            Self::NoTable { .. } | Self::NoNfTables { .. } | Self::NoFamily { .. } => true,
            Self::Tool(error) => matches!(error, ToolError::Missing { .. }),
            Self::NotPermitted { .. }
            | Self::Busy { .. }
            | Self::Lock(_)
            | Self::Kernel(_)
            | Self::Lost(_)
            | Self::Stays(_) => false,
        }
    }

    /// Whether it says that there is nothing to start.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Tool(ToolError::Missing { .. }))
    }
}
