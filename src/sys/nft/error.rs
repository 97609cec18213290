use std::io;

/// Why nf_tables did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error(
        "use nf_tables: operation not permitted\n(it needs root, or CAP_NET_ADMIN in this network namespace; a table `ripost` with the owner flag belongs to another program)"
    )]
    NotPermitted,
    #[error(
        "use nf_tables: this kernel has none\n(load the module nf_tables, or build the kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET)"
    )]
    NotInKernel,
    #[error(
        "write table `inet ripost`: it holds objects of another shape\n(look with `nft list table inet ripost`; `nft delete table inet ripost` lets it be made anew)"
    )]
    OtherShape,
    #[error("write table `inet ripost`")]
    Kernel(#[source] io::Error),
    #[error("write table `inet ripost`: the kernel did not confirm the transaction")]
    NoAnswer,
    #[error(
        "write table `inet ripost`: the rules change faster than they can be written\n(find the program that does it with `nft monitor`)"
    )]
    Contended,
    #[error("speak to nf_tables over netlink: {action}")]
    Socket {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

impl NftError {
    /// What this errno, the answer to a request, means.
    pub(super) fn of(errno: i32) -> Self {
        match errno {
            libc::EPERM => Self::NotPermitted,
            libc::EOPNOTSUPP | libc::EAFNOSUPPORT => Self::NotInKernel,
            // EINVAL: a key of another length than the set's.
            libc::EEXIST | libc::EBUSY | libc::EINVAL => Self::OtherShape,
            _ => Self::Kernel(io::Error::from_raw_os_error(errno)),
        }
    }
}
